//! Both sides of each mechanism, and what is refused.

mod bearer;
mod offers;
mod rsasl;
mod scram;

use super::*;
use model::{ClientCertificate, Credential, ScramKeys};
use proptest::prelude::*;
use std::sync::Arc;

fn password_of(login: &Login) -> Vec<u8> {
    match &login.credential {
        Credential::Password(secret) => secret.expose().to_vec(),
        other => panic!("{other:?}"),
    }
}

const BINDING: [u8; 32] = [5; 32];

fn bindings() -> ChannelBindings {
    ChannelBindings {
        exporter: Some(BINDING.to_vec()),
        server_end_point: Some(vec![6; 32]),
    }
}

/// A server whose client has a certificate and a channel to bind to.
fn context(mechanism: Mechanism) -> ServerContext {
    ServerContext {
        nonce: [3; NONCE],
        server_name: "postoffice.example.test".to_owned(),
        bindings: bindings(),
        plus_announced: mechanism.is_plus(),
        certificate: Some(Arc::new(ClientCertificate::default())),
        openid_configuration: None,
    }
}

fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> (ServerExchange, Step) {
    ServerExchange::start(mechanism, initial, context(mechanism))
}

fn client(mechanism: Mechanism, login: &str, authzid: Option<&str>, password: &str) -> ClientExchange {
    let bindings = match mechanism.is_plus() {
        true => bindings(),
        false => ChannelBindings::default(),
    };
    ClientExchange::new(mechanism, login, authzid, Secret::from(password)).with_nonce([4; NONCE], bindings)
}

/// What a server has of an account whose password is this.
fn keys_of(wanted: &Wanted, password: &str) -> ScramKeys {
    let prepared = prepare::prepared_password(&Secret::from(password)).expect("a password");
    ScramKeys::derive(wanted.hash, &prepared, b"salt of the account", 2).expect("keys")
}

/// Plays a whole exchange between our two sides.
fn play(mechanism: Mechanism, login: &str, authzid: Option<&str>, password: &str, initial: Initial) -> Step {
    let mut client = client(mechanism, login, authzid, password);
    let first = match initial {
        Initial::Sent => client.initial(),
        Initial::Asked => None,
    };
    let (mut server, mut step) = start(mechanism, first.as_ref().map(Secret::expose));
    loop {
        step = match step {
            Step::Challenge(text) => {
                let answer = client.respond(text.as_bytes()).expect("the client has an answer");
                server.respond(answer.expose())
            }
            Step::Keys(wanted) => server.keys(keys_of(&wanted, password)),
            other => return other,
        };
    }
}

#[derive(Clone, Copy)]
enum Initial {
    Sent,
    Asked,
}

#[test]
fn both_sides_agree() {
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        for initial in [Initial::Sent, Initial::Asked] {
            let Step::Done(done) = play(mechanism, "alice@example.test", None, "p w\u{fc}", initial) else {
                panic!("{mechanism:?}");
            };
            assert_eq!(done.login, "alice@example.test");
            assert_eq!(done.authzid, None);
            assert_eq!(password_of(&done), "p w\u{fc}".as_bytes());
        }
    }
}

// RFC 4616 section 4, the examples.
#[test]
fn rfc4616_examples() {
    let message = encode_base64(b"\0tim\0tanstaaftanstaaf");
    let (_, step) = start(Mechanism::Plain, Some(message.as_bytes()));
    let Step::Done(login) = step else { panic!() };
    assert_eq!((login.login.as_str(), &login.authzid), ("tim", &None));
    let message = encode_base64(b"Ursel\0Kurt\0xipj3plmq");
    let (_, step) = start(Mechanism::Plain, Some(message.as_bytes()));
    let Step::Done(login) = step else { panic!() };
    assert_eq!(
        (login.login.as_str(), login.authzid.as_deref()),
        ("Kurt", Some("Ursel"))
    );
}

#[test]
fn refuses_what_makes_no_sense() {
    for (mechanism, initial) in [
        (Mechanism::Plain, "!!!"),
        (Mechanism::Plain, "="),
        (Mechanism::Plain, ""),
        (Mechanism::Plain, &encode_base64(b"alice\0secret")),
        (Mechanism::Plain, &encode_base64(b"\0\0secret")),
        (Mechanism::Plain, &encode_base64(b"\0a\0b\0c")),
        (Mechanism::Plain, &encode_base64(b"\0al\xffice\0secret")),
        (Mechanism::Plain, &encode_base64(b"\0al\nice\0secret")),
        (
            Mechanism::Plain,
            &encode_base64(&[b"\0", &[b'a'; 2000][..], b"\0x"].concat()),
        ),
        (Mechanism::Login, "="),
        (Mechanism::Login, &encode_base64(b"a\0b")),
    ] {
        let (_, step) = start(mechanism, Some(initial.as_bytes()));
        assert!(
            matches!(step, Step::Failed(_)),
            "{mechanism:?} {initial:?}: {step:?}"
        );
    }
}

#[test]
fn a_star_cancels_and_nothing_follows() {
    let (mut server, _) = start(Mechanism::Login, None);
    assert!(matches!(server.respond(b"*"), Step::Failed(SaslError::Cancelled)));
    assert!(matches!(
        server.respond(b"YQ=="),
        Step::Failed(SaslError::OutOfTurn)
    ));
}

#[test]
fn an_empty_password_reaches_the_authenticator_as_empty() {
    let Step::Done(login) = play(Mechanism::Plain, "a", None, "", Initial::Sent) else {
        panic!();
    };
    assert!(password_of(&login).is_empty());
}

#[test]
fn debug_never_shows_the_password() {
    for mechanism in Mechanism::ALL {
        let client = client(mechanism, "alice", None, "hunter2");
        assert!(!format!("{client:?}").contains("hunter2"));
        let step = play(mechanism, "alice", None, "hunter2", Initial::Asked);
        let shown = format!("{step:?}");
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn names_are_found_in_any_case() {
    assert_eq!(Mechanism::parse(b"plain"), Some(Mechanism::Plain));
    assert_eq!(Mechanism::parse(b"LOGIN"), Some(Mechanism::Login));
    assert_eq!(Mechanism::parse(b"PLAINX"), None);
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::parse(mechanism.name().as_bytes()), Some(mechanism));
    }
}

#[test]
fn every_mechanism_ends_with_a_login() {
    for mechanism in Mechanism::ALL {
        for initial in [Initial::Sent, Initial::Asked] {
            let step = play(mechanism, "alice@example.test", None, "hunter2", initial);
            let Step::Done(done) = step else {
                panic!("{mechanism:?}: {step:?}");
            };
            assert_eq!(done.login, "alice@example.test", "{mechanism:?}");
            assert!(
                match &done.credential {
                    Credential::Password(secret) | Credential::Bearer(secret) =>
                        mechanism.shows_secret() && secret.expose() == b"hunter2",
                    Credential::Scram(proof) => Some(proof.hash) == mechanism.scram(),
                    Credential::CramMd5(proof) => proof.accept(&Secret::from("hunter2")),
                    Credential::Certificate(_) => mechanism == Mechanism::External,
                    Credential::Assertion(_) | Credential::Vouched => false,
                },
                "{mechanism:?}: {done:?}"
            );
        }
    }
}

// RFC 2195 section 2, the example: the digest is checked against the RFC in `model`.
#[test]
fn cram_md5_is_never_begun_by_the_client() {
    let (_, step) = start(Mechanism::CramMd5, Some(b"dGlt"));
    assert!(matches!(step, Step::Failed(SaslError::Malformed)), "{step:?}");
    let (mut server, step) = start(Mechanism::CramMd5, None);
    let Step::Challenge(text) = step else {
        panic!("{step:?}")
    };
    let challenge = decode_base64(text.as_bytes()).expect("base64");
    assert!(
        challenge.expose().starts_with(b"<0303")
            && challenge.expose().ends_with(b"@postoffice.example.test>")
    );
    let step = server.respond(encode_base64(b"tim b913a602c7eda7a495b4e6e7334d389").as_bytes());
    assert!(
        matches!(step, Step::Failed(SaslError::Malformed)),
        "31 digits: {step:?}"
    );
}

// RFC 4422 appendix A.1.
#[test]
fn external_needs_a_certificate_and_may_name_nobody() {
    let (_, step) = start(Mechanism::External, Some(b"="));
    let Step::Done(login) = step else {
        panic!("{step:?}")
    };
    assert!(login.login.is_empty());
    let (_, step) = ServerExchange::start(Mechanism::External, Some(b"="), ServerContext::default());
    assert!(matches!(step, Step::Failed(_)), "{step:?}");
    let (_, step) = start(Mechanism::External, Some(encode_base64(b"al\0ice").as_bytes()));
    assert!(matches!(step, Step::Failed(SaslError::Malformed)), "{step:?}");
}

proptest! {
    #[test]
    fn never_panics(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..4)) {
        for mechanism in Mechanism::ALL {
            let (mut server, mut step) = start(mechanism, lines.first().map(Vec::as_slice));
            let mut client = client(mechanism, "alice", None, "hunter2");
            for line in &lines {
                let _ = client.respond(line);
            }
            for line in &lines {
                if !matches!(step, Step::Challenge(_)) {
                    break;
                }
                step = server.respond(line);
            }
        }
    }

    #[test]
    fn round_trip(login in "[^\\p{Cc}]{1,40}", authzid in "[^\\p{Cc}]{0,20}", password in "[^\u{0}]{0,40}") {
        let wanted = Some(authzid.as_str()).filter(|authzid| !authzid.is_empty());
        let step = play(Mechanism::Plain, &login, wanted, &password, Initial::Sent);
        let Step::Done(done) = step else { panic!("{step:?}") };
        prop_assert_eq!(&done.login, &login);
        prop_assert_eq!(done.authzid.as_deref(), wanted.filter(|authzid| *authzid != login));
        prop_assert_eq!(password_of(&done), password.as_bytes());
    }
}
