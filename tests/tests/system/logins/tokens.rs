//! Tokens: curl and Python, keys from a URL, a new key, and an issuer that is away.

use super::issuer::{Issuer, SigningKey};
use super::{Doors, Options, PROTOCOLS, Site, expect, python};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::{Homing, run_with_input};

const ISSUER: &str = "https://id.localdomain.test";

#[allow(clippy::disallowed_methods)] // The servers have no other clock.
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn claims(email: &str) -> Result<Value> {
    Ok(json!({ "iss": ISSUER, "aud": "homing", "exp": now()? + 600, "email": email, "scope": "mail other" }))
}

fn with(mut claims: Value, key: &str, value: Value) -> Value {
    claims[key] = value;
    claims
}

struct Both {
    site: Site,
    front: Homing,
    front_doors: Doors,
}

impl Both {
    fn start(section: &str) -> Result<Self> {
        let options = Options {
            sections: section,
            ..Options::default()
        };
        let site = Site::start(options)?;
        let (front, front_doors) = site.front(options, "kind = \"ldap-password\"")?;
        Ok(Self {
            site,
            front,
            front_doors,
        })
    }

    fn servers(&self) -> [(&'static str, Doors); 2] {
        [("home", self.site.home_doors), ("front", self.front_doors)]
    }

    fn logs(&self) -> String {
        format!("{}\n{}", self.site.home.log_tail(), self.front.log_tail())
    }
}

fn jwks(issuer: &Issuer) -> String {
    format!(
        "[oauth]\nissuer = \"{ISSUER}\"\naudience = [\"homing\"]\njwks_url = \"http://127.0.0.1:{}/keys\"\n\
         required_scope = [\"mail\"]\nopenid_configuration = \"{ISSUER}/.well-known/openid-configuration\"",
        issuer.port
    )
}

fn curl_in(site: &Site, doors: Doors, protocol: &str, auth: &str, token: &str) -> Result<String> {
    let port = if protocol == "imap" {
        doors.implicit.imap
    } else {
        doors.implicit.pop3
    };
    let (ca, auth) = (site.ca(), format!("AUTH={auth}"));
    let url = format!("{protocol}s://127.0.0.1:{port}/");
    let config = format!("user = \"{}\"\noauth2-bearer = \"{token}\"\n", site.mail("alice"));
    let args = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--config",
        "-",
        "--cacert",
        &ca,
        "--login-options",
        &auth,
        &url,
    ];
    run_with_input("curl", &args, config.as_bytes())
}

#[test]
fn signed_tokens_log_in_and_others_do_not() -> Result<()> {
    let issuer = Issuer::start()?;
    let key = SigningKey::new("one")?;
    issuer.publish(&[&key]);
    let both = Both::start(&jwks(&issuer))?;
    signed(&both, &key).with_context(|| both.logs())
}

fn signed(both: &Both, key: &SigningKey) -> Result<()> {
    let site = &both.site;
    let (alice, bob) = (site.mail("alice"), site.mail("bob"));
    let good = key.token(&claims(&alice)?)?;
    for (name, doors) in both.servers() {
        let mut attempts = Vec::new();
        for protocol in PROTOCOLS {
            for auth in ["OAUTHBEARER", "XOAUTH2"] {
                curl_in(site, doors, protocol, auth, &good)
                    .with_context(|| format!("{name} {protocol} {auth}"))?;
                let refused = curl_in(site, doors, protocol, auth, "not-a-token");
                ensure!(refused.is_err(), "{name} {protocol} {auth}");
            }
            let mut one = |login: &str, token: String, outcome| {
                for mode in ["starttls", "implicit"] {
                    let how = json!({ "mechanism": "OAUTHBEARER", "login": login, "token": token });
                    attempts.push((site.attempt(doors, protocol, mode, how), outcome));
                }
            };
            one(&alice, good.clone(), "in");
            one("", good.clone(), "in");
            one(&bob, good.clone(), "refused");
            let claimed = claims(&alice)?;
            for (what, value) in [
                ("exp", json!(now()? - 600)),
                ("nbf", json!(now()? + 600)),
                ("aud", json!("other")),
                ("iss", json!("https://id.elsewhere.test")),
                ("scope", json!("other")),
                ("email_verified", json!(false)),
                ("email", json!(site.mail("nobody"))),
            ] {
                one(&alice, key.token(&with(claimed.clone(), what, value))?, "refused");
            }
            // The same name, another key.
            one(&alice, SigningKey::new("one")?.token(&claimed)?, "refused");
        }
        let told = expect(&attempts).context(name)?;
        // RFC 7628 section 3.2.2: where a token is to be had.
        let refusal = told
            .iter()
            .find(|told| told["outcome"] == "refused")
            .context("none refused")?;
        ensure!(
            refusal["refusal"]["openid-configuration"]
                == format!("{ISSUER}/.well-known/openid-configuration"),
            "{refusal}"
        );
        // In the clear, no token is asked for.
        for protocol in PROTOCOLS {
            let told = python(&[site.attempt(doors, protocol, "starttls", json!({}))])?;
            ensure!(!told[0]["before"].to_string().contains("BEARER"), "{told:?}");
            ensure!(told[0]["after"].to_string().contains("OAUTHBEARER"), "{told:?}");
        }
    }
    Ok(())
}

#[test]
fn a_disabled_account_does_not_log_in_by_its_token() -> Result<()> {
    let issuer = Issuer::start()?;
    let key = SigningKey::new("one")?;
    issuer.publish(&[&key]);
    let both = Both::start(&jwks(&issuer))?;
    let site = &both.site;
    let attempt = || {
        let token = key.token(&claims(&site.mail("alice"))?)?;
        let how = json!({ "mechanism": "OAUTHBEARER", "login": "", "token": token });
        anyhow::Ok(site.attempt(site.home_doors, "imap", "implicit", how))
    };
    expect(&[(attempt()?, "in")])?;
    site.home.command(&["account", "disable", &site.mail("alice")])?;
    expect(&[(attempt()?, "refused")])?;
    Ok(())
}

#[test]
fn a_new_key_is_fetched_and_an_issuer_that_is_away_is_no_wrong_password() -> Result<()> {
    let issuer = Issuer::start()?;
    let (old, new) = (SigningKey::new("one")?, SigningKey::new("two")?);
    issuer.publish(&[&old]);
    let port = issuer.port;
    // Long enough that the second question at one moment is not asked.
    let both = Both::start(&format!("{}\njwks_pause = 3", jwks(&issuer)))?;
    let site = &both.site;
    let claimed = claims(&site.mail("alice"))?;
    let attempt = |key: &SigningKey| {
        let token = key.token(&claimed)?;
        let how = json!({ "mechanism": "OAUTHBEARER", "login": "", "token": token });
        anyhow::Ok(site.attempt(both.front_doors, "imap", "implicit", how))
    };
    // Nobody has the keys yet, and nobody can say that the token is wrong.
    drop(issuer);
    expect(&[(attempt(&old)?, "later")]).with_context(|| both.logs())?;
    let issuer = Issuer::start_at(port)?;
    issuer.publish(&[&old]);
    within_a_minute(|| Ok(python(&[attempt(&old)?])?[0]["outcome"] == "in")).with_context(|| both.logs())?;
    // The issuer takes a new key.
    issuer.publish(&[&new]);
    within_a_minute(|| Ok(python(&[attempt(&new)?])?[0]["outcome"] == "in")).with_context(|| both.logs())?;
    // A key that was withdrawn is no key, once the keys have been asked for again.
    within_a_minute(|| {
        let told = python(&[attempt(&old)?])?;
        ensure!(told[0]["outcome"] != "in", "{told:?}");
        Ok(told[0]["outcome"] == "refused")
    })
    .with_context(|| both.logs())?;
    // And while the issuer is away, what was read of it holds.
    drop(issuer);
    expect(&[(attempt(&new)?, "in")]).with_context(|| both.logs())?;
    Ok(())
}

fn within_a_minute(mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..120 {
        if holds()? {
            return Ok(());
        }
        pause();
    }
    anyhow::bail!("not within a minute")
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn pause() {
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
fn an_issuer_is_asked_about_tokens() -> Result<()> {
    let issuer = Issuer::start()?;
    let port = issuer.port;
    let both = Both::start(&format!(
        "[oauth]\nissuer = \"{ISSUER}\"\nclient_id = \"homing\"\nclient_secret = \"knock\"\n\
         introspection_url = \"http://127.0.0.1:{port}/introspect\""
    ))?;
    let site = &both.site;
    let alice = site.mail("alice");
    issuer.know(
        "alices",
        json!({ "active": true, "iss": ISSUER, "username": alice, "exp": now()? + 600 }),
    );
    issuer.know("old", json!({ "active": false, "username": alice }));
    let mut attempts = Vec::new();
    for (_, doors) in both.servers() {
        for protocol in PROTOCOLS {
            for (token, outcome) in [("alices", "in"), ("old", "refused"), ("strange", "refused")] {
                let how = json!({ "mechanism": "OAUTHBEARER", "login": "", "token": token });
                attempts.push((site.attempt(doors, protocol, "implicit", how), outcome));
            }
        }
    }
    expect(&attempts).with_context(|| both.logs())?;
    drop(issuer);
    let attempts: Vec<(Value, &str)> = attempts
        .into_iter()
        .filter(|(attempt, _)| attempt["token"] != "alices")
        .map(|(attempt, _)| (attempt, "later"))
        .collect();
    expect(&attempts).with_context(|| both.logs())?;
    Ok(())
}
