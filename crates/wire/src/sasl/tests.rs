//! Both sides of each mechanism, and what is refused.

use super::*;
use model::Credential;
use proptest::prelude::*;

fn password_of(login: &Login) -> Vec<u8> {
    match &login.credential {
        Credential::Password(secret) => secret.expose().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Plays a whole exchange between our two sides.
fn play(mechanism: Mechanism, login: &str, authzid: Option<&str>, password: &str, initial: Initial) -> Step {
    let mut client = ClientExchange::new(mechanism, login, authzid, Secret::from(password));
    let first = match initial {
        Initial::Sent => client.initial(),
        Initial::Asked => None,
    };
    let (mut server, mut step) = ServerExchange::start(mechanism, first.as_ref().map(Secret::expose));
    while let Step::Challenge(text) = &step {
        let answer = client.respond(text.as_bytes()).expect("the client has an answer");
        step = server.respond(answer.expose());
    }
    step
}

#[derive(Clone, Copy)]
enum Initial {
    Sent,
    Asked,
}

#[test]
fn both_sides_agree() {
    for mechanism in Mechanism::ALL {
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
    let (_, step) = ServerExchange::start(Mechanism::Plain, Some(message.as_bytes()));
    let Step::Done(login) = step else { panic!() };
    assert_eq!((login.login.as_str(), &login.authzid), ("tim", &None));
    let message = encode_base64(b"Ursel\0Kurt\0xipj3plmq");
    let (_, step) = ServerExchange::start(Mechanism::Plain, Some(message.as_bytes()));
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
        let (_, step) = ServerExchange::start(mechanism, Some(initial.as_bytes()));
        assert!(
            matches!(step, Step::Failed(_)),
            "{mechanism:?} {initial:?}: {step:?}"
        );
    }
}

#[test]
fn a_star_cancels_and_nothing_follows() {
    let (mut server, _) = ServerExchange::start(Mechanism::Login, None);
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
        let client = ClientExchange::new(mechanism, "alice", None, Secret::from("hunter2"));
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
}

proptest! {
    #[test]
    fn never_panics(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..4)) {
        for mechanism in Mechanism::ALL {
            let (mut server, mut step) = ServerExchange::start(mechanism, lines.first().map(Vec::as_slice));
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
