//! Whether the claims of a token log somebody in, and whom: a function of values (RFC 7519 section 4, RFC 7662
//! section 2.2).

use crate::config::OauthConfig;
use model::Timestamp;
use serde_json::{Map, Value};

/// A longer name is nobody's.
const MAX_NAME: usize = 320;

/// The members of a token, or of an answer about one.
pub(super) type Claims = Map<String, Value>;

/// Whom the token names, and the second in which it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proven {
    pub(super) login: String,
    pub(super) until: Option<u64>,
}

/// Whether a claim that is absent speaks against the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// It does: nobody else has looked at the token.
    Bad,
    /// It does not: the issuer itself has just said that the token is good (RFC 7662 section 2.2).
    Fine,
}

/// Judges the claims. The error is for the log.
pub(super) fn judge(
    claims: &Claims,
    config: &OauthConfig,
    absent: Absent,
    now: Timestamp,
) -> Result<Proven, String> {
    let leeway = config.clock_leeway;
    let now = now.as_secs();
    let until = seconds(claims, "exp")?;
    match until {
        // RFC 7519 section 4.1.4: not on or after, but for the clocks.
        Some(end) if now >= end.saturating_add(leeway) => return Err("the token has expired".to_owned()),
        None if absent == Absent::Bad => return Err("the token never expires".to_owned()),
        _ => {}
    }
    if seconds(claims, "nbf")?.is_some_and(|begin| now.saturating_add(leeway) < begin) {
        return Err("the token is not good yet".to_owned());
    }
    if let Some(issuer) = &config.issuer {
        match claims.get("iss").and_then(Value::as_str) {
            Some(found) if found == issuer => {}
            None if absent == Absent::Fine => {}
            found => return Err(format!("the issuer is {found:?}")),
        }
    }
    if !config.audience.is_empty() {
        let found = texts(claims.get("aud"));
        let ours = |name: &&str| config.audience.iter().any(|ours| ours == name);
        let fits = found.iter().any(ours) || (found.is_empty() && absent == Absent::Fine);
        if !fits {
            return Err(format!("the token is for {found:?}"));
        }
    }
    let scopes: Vec<&str> = texts(claims.get("scope"))
        .into_iter()
        .chain(texts(claims.get("scp")))
        .flat_map(str::split_ascii_whitespace)
        .collect();
    if let Some(missing) = config
        .required_scope
        .iter()
        .find(|scope| !scopes.contains(&scope.as_str()))
    {
        return Err(format!("the token lacks the scope {missing}"));
    }
    let login = account(claims, config)?;
    Ok(Proven { login, until })
}

fn account(claims: &Claims, config: &OauthConfig) -> Result<String, String> {
    for name in config.account_claims() {
        let Some(value) = claims.get(name) else { continue };
        let text = value.as_str().unwrap_or_default();
        if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
            return Err(format!("the claim {name} names nobody"));
        }
        // OpenID Connect Core section 5.1: otherwise anybody could enter anybody's address there.
        let unverified = match claims.get("email_verified") {
            None | Some(Value::Bool(true)) => false,
            Some(said) => said != "true",
        };
        if name == "email" && unverified {
            return Err("the issuer has not verified the email".to_owned());
        }
        return Ok(text.to_owned());
    }
    Err("no claim names the account".to_owned())
}

fn seconds(claims: &Claims, name: &str) -> Result<Option<u64>, String> {
    match claims.get(name) {
        None => Ok(None),
        // RFC 7519 section 2, NumericDate: may have a fraction.
        Some(value) => match (value.as_u64(), value.as_f64()) {
            (Some(seconds), _) => Ok(Some(seconds)),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "`as` saturates, and the range is checked"
            )]
            (None, Some(seconds)) if (0.0..1e15).contains(&seconds) => Ok(Some(seconds as u64)),
            _ => Err(format!("the claim {name} is no time")),
        },
    }
}

/// One text, or a list of them.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(more: Value) -> OauthConfig {
        let mut all = json!({
            "issuer": "https://id.test", "audience": ["homing", "mail"], "jwks_file": "keys"
        });
        let members = all.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        serde_json::from_value(all).expect("a configuration")
    }

    fn judged(more: Value, claims: Value, absent: Absent) -> Result<String, String> {
        let now = Timestamp::from_millis(1_000_000_000);
        let mut all = json!({
            "iss": "https://id.test", "aud": "homing", "exp": 1_000_100, "email": "alice@example.test"
        });
        let members = all.as_object_mut().expect("an object");
        members.extend(claims.as_object().expect("an object").clone());
        members.retain(|_, value| !value.is_null());
        judge(members, &config(more), absent, now).map(|proven| proven.login)
    }

    #[test]
    fn each_claim_counts() {
        let good = |claims| judged(json!({}), claims, Absent::Bad).is_ok();
        for (claims, expected) in [
            (json!({}), true),
            (json!({"exp": 999_971}), true),
            (json!({"exp": 999_970}), false),
            (json!({"exp": 1_000_000.5}), true),
            (json!({"exp": "1000100"}), false),
            (json!({"exp": -1}), false),
            (json!({"exp": null}), false),
            (json!({"nbf": 1_000_030}), true),
            (json!({"nbf": 1_000_031}), false),
            (json!({"iss": "https://id.test/"}), false),
            (json!({"iss": null}), false),
            (json!({"aud": ["other", "mail"]}), true),
            (json!({"aud": "other"}), false),
            (json!({"aud": null}), false),
            (json!({"email": ""}), false),
            (json!({"email": "a\nb"}), false),
            (json!({"email": 5}), false),
            (json!({"email_verified": true}), true),
            (json!({"email_verified": false}), false),
            (json!({"email_verified": "false"}), false),
            (json!({"email_verified": "true"}), true),
            (json!({"email_verified": 0}), false),
        ] {
            assert_eq!(good(claims.clone()), expected, "{claims}");
        }
    }

    #[test]
    fn scopes_and_account_claims() {
        let scope = json!({"required_scope": ["mail", "imap"]});
        for (claims, expected) in [
            (json!({"scope": "openid mail imap"}), true),
            (json!({"scp": ["mail", "imap"]}), true),
            (json!({"scope": "mail"}), false),
            (json!({"scope": "mailimap"}), false),
            (json!({}), false),
        ] {
            let judged = judged(scope.clone(), claims.clone(), Absent::Bad);
            assert_eq!(judged.is_ok(), expected, "{claims}");
        }
        let named = |more, claims| judged(more, claims, Absent::Bad);
        let names = json!({"email": null, "sub": "al"});
        assert_eq!(named(json!({}), names), Ok("al".to_owned()));
        assert_eq!(
            named(json!({"account_claim": ["upn"]}), json!({"upn": "u"})),
            Ok("u".to_owned())
        );
        assert!(named(json!({"account_claim": ["upn"]}), json!({})).is_err());
    }

    #[test]
    fn an_issuer_that_was_asked_may_leave_out_what_it_checked() {
        let claims = json!({"iss": null, "aud": null, "exp": null});
        assert!(judged(json!({}), claims.clone(), Absent::Bad).is_err());
        assert!(judged(json!({}), claims, Absent::Fine).is_ok());
        assert!(judged(json!({}), json!({"aud": "other"}), Absent::Fine).is_err());
    }
}
