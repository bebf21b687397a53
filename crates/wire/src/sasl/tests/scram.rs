//! SCRAM: the RFCs' examples, the server's proof, channel binding and the rule against downgrade.

use super::*;
use crate::sasl::scram::{Client, ClientStart, First, Plus};
use model::ScramHash;

const SCRAM: [Mechanism; 4] = [
    Mechanism::ScramSha1,
    Mechanism::ScramSha1Plus,
    Mechanism::ScramSha256,
    Mechanism::ScramSha256Plus,
];

fn decoded(text: &str) -> String {
    let bytes = decode_base64(text.as_bytes()).expect("base64");
    String::from_utf8(bytes.expose().to_vec()).expect("UTF-8")
}

/// The client's whole part of an example.
fn example(hash: ScramHash, nonce: &str, first: &str, server: &str, last: &str, server_last: &str) {
    let client = Client::new(ClientStart {
        hash,
        plus: Plus::No,
        login: "user",
        authzid: None,
        password: Secret::from("pencil"),
        nonce: decode_base64(nonce.as_bytes()).expect("base64").expose(),
        bindings: &ChannelBindings::default(),
    })
    .expect("a client");
    assert_eq!(client.first().expose(), first.as_bytes());
    let (proven, message) = client.prove(server.as_bytes()).expect("a proof");
    assert_eq!(message.expose(), last.as_bytes());
    proven.check(server_last.as_bytes()).expect("a true server");
    assert_eq!(
        proven.check(b"v=AAAA9pqV8S7suAoZWja4dJRkFsKQ="),
        Err(SaslError::NotBase64)
    );
    assert_eq!(
        proven.check(b"v=AAAA9pqV8S7suAoZWja4dJRkFsI="),
        Err(SaslError::ServerNotProven)
    );
    assert_eq!(proven.check(b"e=other-error"), Err(SaslError::Refused));
}

// RFC 5802 section 5 and RFC 7677 section 3.
#[test]
fn the_examples() {
    example(
        ScramHash::Sha1,
        "fyko+d2lbbFgONRv9qkxdawL",
        "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    );
    example(
        ScramHash::Sha256,
        "rOprNGfwEbeRWgbNEkqO",
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    );
}

#[test]
fn the_server_proves_itself_and_the_client_takes_note() {
    for mechanism in SCRAM {
        for (known, verdict) in [("hunter2", Verdict::Good), ("hunter3", Verdict::Bad)] {
            let mut client = client(mechanism, "alice", Some("bob"), "hunter2");
            let first = client.initial().expect("a first message");
            let (mut server, step) = start(mechanism, Some(first.expose()));
            let Step::Keys(wanted) = step else {
                panic!("{step:?}")
            };
            assert_eq!(wanted.login, "alice");
            let keys = keys_of(&wanted, known);
            let Step::Challenge(text) = server.keys(keys.clone()) else {
                panic!()
            };
            let answer = client.respond(text.as_bytes()).expect("a proof");
            let step = server.respond(answer.expose());
            let Step::Done(login) = step else {
                panic!("{step:?}")
            };
            assert_eq!(login.authzid.as_deref(), Some("bob"));
            let Credential::Scram(proof) = &login.credential else {
                panic!("{login:?}")
            };
            assert_eq!(keys.accept(proof), verdict == Verdict::Good);
            match (server.conclude(verdict), verdict) {
                (Conclusion::Challenge(text), Verdict::Good) => {
                    assert!(!client.is_proven());
                    let empty = client.respond(text.as_bytes()).expect("a true server");
                    assert!(empty.is_empty() && client.is_proven());
                    assert!(matches!(server.respond(b""), Step::Acknowledged));
                }
                (Conclusion::Reply, Verdict::Bad) => {}
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_client_that_cancels_at_the_end_is_not_logged_in() {
    let mut client = client(Mechanism::ScramSha256, "alice", None, "hunter2");
    let first = client.initial().expect("a first message");
    let (mut server, step) = start(Mechanism::ScramSha256, Some(first.expose()));
    let Step::Keys(wanted) = step else {
        panic!("{step:?}")
    };
    let Step::Challenge(text) = server.keys(keys_of(&wanted, "hunter2")) else {
        panic!()
    };
    let answer = client.respond(text.as_bytes()).expect("a proof");
    assert!(matches!(server.respond(answer.expose()), Step::Done(_)));
    assert!(matches!(server.conclude(Verdict::Good), Conclusion::Challenge(_)));
    assert!(matches!(server.respond(b"*"), Step::Failed(SaslError::Cancelled)));
}

// RFC 5802 section 6: who could bind and was not offered it says so, and is heard.
#[test]
fn downgrade_is_noticed() {
    let read = |message: &str, plus, announced| {
        First::read(message.as_bytes(), plus, announced, &bindings()).map(|first| first.login)
    };
    for (message, plus, announced, good) in [
        ("n,,n=user,r=abc", Plus::No, Plus::No, true),
        ("n,,n=user,r=abc", Plus::No, Plus::Yes, true),
        ("y,,n=user,r=abc", Plus::No, Plus::No, true),
        ("y,,n=user,r=abc", Plus::No, Plus::Yes, false),
        ("y,,n=user,r=abc", Plus::Yes, Plus::Yes, false),
        ("n,,n=user,r=abc", Plus::Yes, Plus::Yes, false),
        ("p=tls-exporter,,n=user,r=abc", Plus::Yes, Plus::Yes, true),
        ("p=tls-server-end-point,,n=user,r=abc", Plus::Yes, Plus::Yes, true),
        ("p=tls-unique,,n=user,r=abc", Plus::Yes, Plus::Yes, false),
        ("p=tls-exporter,,n=user,r=abc", Plus::No, Plus::Yes, false),
    ] {
        let expected = if good {
            Ok("user".to_owned())
        } else {
            Err(SaslError::ChannelBinding)
        };
        assert_eq!(read(message, plus, announced), expected, "{message} {plus:?}");
    }
}

#[test]
fn another_channel_is_noticed() {
    let mut client = ClientExchange::new(Mechanism::ScramSha256Plus, "alice", None, Secret::from("x"))
        .with_nonce(
            [4; NONCE],
            ChannelBindings {
                exporter: Some(vec![9; 32]),
                server_end_point: None,
            },
        );
    let first = client.initial().expect("a first message");
    let (mut server, step) = start(Mechanism::ScramSha256Plus, Some(first.expose()));
    let Step::Keys(wanted) = step else {
        panic!("{step:?}")
    };
    let Step::Challenge(text) = server.keys(keys_of(&wanted, "x")) else {
        panic!()
    };
    let answer = client.respond(text.as_bytes()).expect("a proof");
    let step = server.respond(answer.expose());
    assert!(
        matches!(step, Step::Failed(SaslError::ChannelBinding)),
        "{step:?}"
    );
}

#[test]
fn the_grammar_is_strict() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,r=abc,n=user",
        "n,,n=,r=abc",
        "n,,n=us=er,r=abc",
        "n,,n=us=2Der,r=abc",
        "n,,n=user,r=",
        "n,,n=user,r=a c",
        "n,,m=ext,n=user,r=abc",
        "n,,n=user,r=abc,m=ext",
        "n,,n=user,r=abc,ext",
        "n,a=,n=user,r=abc",
        "n,b=x,n=user,r=abc",
        "x,,n=user,r=abc",
        "n,,n=us\u{7}er,r=abc",
    ] {
        let read = First::read(
            message.as_bytes(),
            Plus::No,
            Plus::No,
            &ChannelBindings::default(),
        );
        assert_eq!(read.map(|_| ()), Err(SaslError::Malformed), "{message:?}");
    }
    let long = format!("n,,n=user,r={}", "a".repeat(300));
    assert!(First::read(long.as_bytes(), Plus::No, Plus::No, &ChannelBindings::default()).is_err());
    // RFC 4013: a soft hyphen is mapped to nothing, and a comma is written =2C.
    let first = First::read(
        "n,a==3D,n=I\u{ad}X=2C,r=abc,x=later".as_bytes(),
        Plus::No,
        Plus::No,
        &ChannelBindings::default(),
    )
    .expect("good");
    assert_eq!(
        (first.login.as_str(), first.authzid.as_deref()),
        ("IX,", Some("="))
    );
}

#[test]
fn a_server_that_asks_for_the_impossible_gets_nothing() {
    for server in [
        "r=BAQEBAQEBAQEBAQEBAQEBAQE,s=AAAA,i=4096",
        "r=other,s=AAAA,i=4096",
        "r=BAQEBAQEBAQEBAQEBAQEBAQEx,s=AAAA,i=0",
        "r=BAQEBAQEBAQEBAQEBAQEBAQEx,s=AAAA,i=4294967295",
        "r=BAQEBAQEBAQEBAQEBAQEBAQEx,s=AAAA,i=+4096",
        "r=BAQEBAQEBAQEBAQEBAQEBAQEx,s=,i=4096",
        "m=x,r=BAQEBAQEBAQEBAQEBAQEBAQEx,s=AAAA,i=4096",
    ] {
        let mut client = client(Mechanism::ScramSha256, "alice", None, "x");
        let first = client.initial().expect("a first message");
        assert_eq!(
            decoded(std::str::from_utf8(first.expose()).expect("ASCII")),
            "n,,n=alice,r=BAQEBAQEBAQEBAQEBAQEBAQE"
        );
        let answer = client.respond(encode_base64(server.as_bytes()).as_bytes());
        assert_eq!(answer.map(|_| ()), Err(SaslError::Malformed), "{server}");
    }
}

#[test]
fn without_randomness_there_is_no_scram() {
    let mut client = ClientExchange::new(Mechanism::ScramSha256, "alice", None, Secret::from("x"));
    assert!(client.initial().is_none());
    let mut unbound = ClientExchange::new(Mechanism::ScramSha256Plus, "alice", None, Secret::from("x"))
        .with_nonce([1; NONCE], ChannelBindings::default());
    assert!(unbound.initial().is_none(), "nothing to bind to");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_name_and_password(login in "[!-~äöüßé]{1,30}", password in "[ -~äöüßé]{1,30}", plus in any::<bool>()) {
        let mechanism = if plus { Mechanism::ScramSha256Plus } else { Mechanism::ScramSha256 };
        let step = play(mechanism, &login, None, &password, Initial::Sent);
        let Step::Done(done) = step else { panic!("{step:?}") };
        prop_assert_eq!(&done.login, &login);
        let Credential::Scram(proof) = &done.credential else { panic!() };
        let wanted = Wanted { login, hash: ScramHash::Sha256 };
        prop_assert!(keys_of(&wanted, &password).accept(proof));
        let other = format!("{password}x");
        prop_assert!(!keys_of(&wanted, &other).accept(proof));
    }
}
