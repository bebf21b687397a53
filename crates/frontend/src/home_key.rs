//! How a session logs in at its home: with what the client gave, with a master's credential, or by assertion.

use crate::config::AuthenticateAt;
use crate::failure::Failure;
use crate::login::{Admitted, Gate, Introduction, Proof};
use directory::{HomeTarget, LoginMode};
use model::Secret;
use wire::sasl::encode_base64;

/// What is shown to a home.
pub(crate) enum HomeKey {
    /// The user's own password.
    Password(Secret),
    /// A master user's password, on behalf of the account.
    Master {
        /// The master user.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A token: the client's own, or an assertion.
    Bearer(Secret),
}

/// One SASL exchange with a single response of the client.
pub(crate) struct Exchange {
    /// The mechanism's name.
    pub(crate) mechanism: &'static str,
    /// The response, in base64.
    pub(crate) response: Secret,
}

impl Gate {
    /// What to show to this home for this login.
    pub(crate) fn key_for(
        &self,
        target: &HomeTarget,
        name: &str,
        admitted: &Admitted,
        who: &Introduction<'_>,
    ) -> Result<HomeKey, Failure> {
        let fault = |cause: &str| Failure::LoginMode {
            home: name.to_owned(),
            cause: cause.to_owned(),
        };
        // Nobody has looked at the login here: what is shown must be worth nothing without the client's own proof.
        let mode = match self.settings.authenticate {
            AuthenticateAt::Edge => target.login,
            AuthenticateAt::Home => LoginMode::Replay,
        };
        match mode {
            LoginMode::Replay => match &admitted.proof {
                Proof::Password(password) => Ok(HomeKey::Password(password.clone())),
                Proof::Bearer(token) => Ok(HomeKey::Bearer(token.clone())),
                Proof::NoSecret => {
                    self.context.dialer.needs_secret_from_now_on(who.protocol);
                    Err(fault(
                        "login = \"replay\" needs the password, and the client did not show it",
                    ))
                }
            },
            LoginMode::Master => {
                let master = target.master.as_ref();
                let master = master.ok_or_else(|| fault("login = \"master\" without a master_user"))?;
                Ok(HomeKey::Master {
                    user: master.user.clone(),
                    password: master.password.clone(),
                })
            }
            LoginMode::Assertion => {
                let minter = self.context.assertions.as_ref();
                let minter =
                    minter.ok_or_else(|| fault("there is no key: run homing cluster key generate"))?;
                let audience = target.home.host();
                let token = minter.mint(
                    &admitted.address,
                    audience,
                    who.protocol,
                    who.peer,
                    &who.claims.session,
                );
                token
                    .map(HomeKey::Bearer)
                    .map_err(|error| fault(&error.to_string()))
            }
        }
    }
}

impl HomeKey {
    /// The exchange that shows it; none when the home offers no mechanism that could.
    pub(crate) fn exchange(
        &self,
        address: &str,
        target: &HomeTarget,
        offers: impl Fn(&str) -> bool,
    ) -> Option<Exchange> {
        let (mechanism, response) = match self {
            Self::Password(password) if offers("PLAIN") => ("PLAIN", plain("", address, password)),
            Self::Master { user, password } if offers("PLAIN") => ("PLAIN", plain(address, user, password)),
            Self::Bearer(token) if offers("OAUTHBEARER") => {
                ("OAUTHBEARER", oauthbearer(address, target, token))
            }
            Self::Bearer(token) if offers("XOAUTH2") => ("XOAUTH2", xoauth2(address, token)),
            _ => return None,
        };
        Some(Exchange {
            mechanism,
            response: Secret::new(encode_base64(response.expose())),
        })
    }
}

/// RFC 4616 section 2.
fn plain(authzid: &str, authcid: &str, password: &Secret) -> Secret {
    let parts = [
        authzid.as_bytes(),
        b"\0",
        authcid.as_bytes(),
        b"\0",
        password.expose(),
    ];
    Secret::new(parts.concat())
}

/// RFC 7628 section 3.1. In the GS2 header a comma and an equals sign are written as codes (RFC 5801 section 4).
fn oauthbearer(address: &str, target: &HomeTarget, token: &Secret) -> Secret {
    let name = address.replace('=', "=3D").replace(',', "=2C");
    let head = format!(
        "n,a={name},\x01host={}\x01port={}\x01auth=Bearer ",
        target.host, target.port
    );
    Secret::new([head.as_bytes(), token.expose(), b"\x01\x01"].concat())
}

/// Google's own form, which some servers know instead.
fn xoauth2(address: &str, token: &Secret) -> Secret {
    let head = format!("user={address}\x01auth=Bearer ");
    Secret::new([head.as_bytes(), token.expose(), b"\x01\x01"].concat())
}

/// What a client says after a server has refused a token, so that it can end the exchange (RFC 7628 section 3.2.3).
pub(crate) const AFTER_REFUSAL: &[u8] = b"AQ==";

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{HomeRef, Homes};
    use model::Protocol;
    use wire::sasl::decode_base64;

    fn said(key: &HomeKey, offered: &[&str]) -> Option<(&'static str, String)> {
        let homes =
            Homes::new(Vec::new(), &net::ClientTlsConfig::default()).expect("no homes are good homes");
        let home = HomeRef::parse("store1").expect("a home");
        let target = homes.target(&home, Protocol::Imap);
        let exchange = key.exchange("a,b=c@example.test", &target, |name| offered.contains(&name))?;
        let bytes = decode_base64(exchange.response.expose()).expect("base64");
        let text = String::from_utf8(bytes.expose().to_vec()).expect("text");
        Some((exchange.mechanism, text))
    }

    #[test]
    fn what_is_said_in_each_mechanism() {
        let password = HomeKey::Password("secret".into());
        let master = HomeKey::Master {
            user: "front".to_owned(),
            password: "key".into(),
        };
        let bearer = HomeKey::Bearer("t.o.k".into());
        let both = ["OAUTHBEARER", "XOAUTH2"];
        for (key, offered, mechanism, text) in [
            (&password, &["PLAIN"][..], "PLAIN", "\0a,b=c@example.test\0secret"),
            (&master, &["PLAIN"], "PLAIN", "a,b=c@example.test\0front\0key"),
            (
                &bearer,
                &both,
                "OAUTHBEARER",
                "n,a=a=2Cb=3Dc@example.test,\x01host=store1\x01port=143\x01auth=Bearer t.o.k\x01\x01",
            ),
            (
                &bearer,
                &["XOAUTH2"],
                "XOAUTH2",
                "user=a,b=c@example.test\x01auth=Bearer t.o.k\x01\x01",
            ),
        ] {
            assert_eq!(said(key, offered), Some((mechanism, text.to_owned())));
        }
        assert_eq!(said(&password, &both), None);
        assert_eq!(said(&bearer, &["PLAIN"]), None, "a token is no password");
    }
}
