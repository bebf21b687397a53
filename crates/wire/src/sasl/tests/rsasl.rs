//! Each side of ours against the other side of `rsasl`, for every mechanism that both have.

use super::*;
use ::rsasl::callback::{Context, Request, SessionCallback, SessionData};
use ::rsasl::config::SASLConfig;
use ::rsasl::mechanisms::scram::properties::ScramStoredPassword;
use ::rsasl::prelude::{Mechname, SASLClient, SASLServer, SessionError, Validation};
use ::rsasl::property::{AuthId, AuthzId, OAuthBearerToken, Password};
use ::rsasl::validate::{Validate, ValidationError};
use model::ScramHash;

// Without a comma or an equals sign: rsasl neither writes nor reads them as RFC 5801 section 4 asks for.
const LOGIN: &str = "alice@example.test";
const PASSWORD: &str = "p w\u{fc}";
const TOKEN: &str = "abc.def-ghi";

/// Knows one account, as a client and as a server.
struct Account;

/// Who was let in.
struct Entered;

impl Validation for Entered {
    type Value = String;
}

impl SessionCallback for Account {
    fn callback(
        &self,
        session: &SessionData,
        _: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        let wanted = match session.mechanism().mechanism.as_str() {
            "SCRAM-SHA-1" => ScramHash::Sha1,
            _ => ScramHash::Sha256,
        };
        let wanted = Wanted {
            login: LOGIN.to_owned(),
            hash: wanted,
        };
        let keys = keys_of(&wanted, PASSWORD);
        let (stored, server) = keys.keys();
        let stored = ScramStoredPassword::new(2, keys.salt(), stored.expose(), server.expose());
        request
            .satisfy::<AuthId>(LOGIN)?
            .satisfy::<AuthzId>(LOGIN)?
            .satisfy::<Password>(PASSWORD.as_bytes())?
            .satisfy::<OAuthBearerToken>(TOKEN)?
            .satisfy::<ScramStoredPassword<'static>>(&stored)?;
        request.satisfy::<::rsasl::mechanisms::oauthbearer::properties::OAuthBearerValidate>(&Ok(()))?;
        request.satisfy::<::rsasl::mechanisms::xoauth2::properties::XOAuth2Validate>(&Ok(()))?;
        Ok(())
    }

    fn validate(
        &self,
        session: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        validate.with::<Entered, _>(|| {
            let name = context
                .get_ref::<AuthId>()
                .or_else(|| context.get_ref::<AuthzId>())
                .unwrap_or_default();
            let good = match session.mechanism().mechanism.as_str() {
                "PLAIN" | "LOGIN" => context.get_ref::<Password>() == Some(PASSWORD.as_bytes()),
                // rsasl leaves the scheme in front of the token.
                "OAUTHBEARER" | "XOAUTH2" => context
                    .get_ref::<OAuthBearerToken>()
                    .is_some_and(|token| token.strip_prefix("Bearer ").unwrap_or(token) == TOKEN),
                _ => true,
            };
            Ok(if good { name.to_owned() } else { String::new() })
        })?;
        Ok(())
    }
}

fn config() -> std::sync::Arc<SASLConfig> {
    SASLConfig::builder()
        .with_default_mechanisms()
        .with_callback(Account)
        .expect("a configuration")
}

const BOTH: [Mechanism; 7] = [
    Mechanism::Plain,
    Mechanism::Login,
    Mechanism::ScramSha1,
    Mechanism::ScramSha256,
    Mechanism::OauthBearer,
    Mechanism::Xoauth2,
    Mechanism::External,
];

fn secret(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::OauthBearer | Mechanism::Xoauth2 => TOKEN,
        _ => PASSWORD,
    }
}

/// Decodes for the side that takes octets.
fn plain(text: &[u8]) -> Vec<u8> {
    match text {
        b"=" => Vec::new(),
        text => decode_base64(text).expect("base64").expose().to_vec(),
    }
}

#[test]
fn our_server_takes_their_client() {
    for mechanism in BOTH {
        let client = SASLClient::new(config());
        let name = Mechname::parse(mechanism.name().as_bytes()).expect("a name");
        let mut client = client.start_suggested(&[name]).expect("a session");
        let (mut server, mut step) = start(mechanism, None);
        let mut input = None;
        loop {
            step = match step {
                Step::Challenge(text) => {
                    let challenge = plain(text.as_bytes());
                    input = Some(challenge).filter(|text| !text.is_empty() || input.is_some());
                    let mut out = Vec::new();
                    client
                        .step(input.as_deref(), &mut out)
                        .unwrap_or_else(|error| panic!("{mechanism:?}: {error}"));
                    server.respond(encode_base64(&out).as_bytes())
                }
                Step::Keys(wanted) => server.keys(keys_of(&wanted, PASSWORD)),
                Step::Done(login) => {
                    assert_eq!(login.login, LOGIN, "{mechanism:?}");
                    match &login.credential {
                        Credential::Password(given) => assert_eq!(given.expose(), PASSWORD.as_bytes()),
                        Credential::Bearer(token) => assert_eq!(token.expose(), TOKEN.as_bytes()),
                        Credential::Scram(proof) => {
                            let wanted = Wanted {
                                login: LOGIN.to_owned(),
                                hash: proof.hash,
                            };
                            assert!(keys_of(&wanted, PASSWORD).accept(proof), "{mechanism:?}");
                        }
                        Credential::Certificate(_) => {}
                        other => panic!("{mechanism:?}: {other:?}"),
                    }
                    match server.conclude(Verdict::Good) {
                        Conclusion::Reply => break,
                        Conclusion::Challenge(text) => Step::Challenge(text),
                    }
                }
                Step::Acknowledged => break,
                Step::Failed(error) => panic!("{mechanism:?}: {error}"),
            };
        }
    }
}

#[test]
fn our_client_enters_their_server() {
    for mechanism in BOTH {
        for sent in [true, false] {
            if sent && mechanism == Mechanism::Login {
                continue;
            }
            let server = SASLServer::<Entered>::new(config());
            let name = Mechname::parse(mechanism.name().as_bytes()).expect("a name");
            let mut server = server.start_suggested(name).expect("a session");
            let mut ours = client(mechanism, LOGIN, Some(LOGIN), secret(mechanism));
            let mut line = match sent {
                true => ours.initial().map(|text| plain(text.expose())),
                false if server.are_we_first() => None,
                false => Some(plain(ours.respond(b"").expect("a first message").expose())),
            };
            loop {
                let mut out = Vec::new();
                let state = server
                    .step(line.as_deref(), &mut out)
                    .unwrap_or_else(|error| panic!("{mechanism:?}: {error}"));
                if out.is_empty() && state.is_finished() {
                    break;
                }
                let answer = ours
                    .respond(encode_base64(&out).as_bytes())
                    .unwrap_or_else(|error| panic!("{mechanism:?}: {error}"));
                if state.is_finished() {
                    assert!(answer.is_empty());
                    break;
                }
                line = Some(plain(answer.expose()));
            }
            assert!(ours.is_proven(), "{mechanism:?}");
            assert_eq!(server.validation().as_deref(), Some(LOGIN), "{mechanism:?}");
        }
    }
}

#[test]
fn their_server_refuses_a_wrong_password_of_our_client() {
    for mechanism in [Mechanism::ScramSha1, Mechanism::ScramSha256] {
        let name = Mechname::parse(mechanism.name().as_bytes()).expect("a name");
        let mut server = SASLServer::<Entered>::new(config())
            .start_suggested(name)
            .expect("a session");
        let mut ours = client(mechanism, LOGIN, None, "wrong");
        let first = plain(ours.initial().expect("a first message").expose());
        let mut out = Vec::new();
        server.step(Some(&first), &mut out).expect("a challenge");
        let last = ours.respond(encode_base64(&out).as_bytes()).expect("a proof");
        let mut out = Vec::new();
        let result = server.step(Some(&plain(last.expose())), &mut out);
        assert!(result.is_err() || out.starts_with(b"e="), "{mechanism:?}");
        assert!(!ours.is_proven());
    }
}
