//! Directories that break, lie, lag or lose their keys: never "no" and never "wrong password" because of it.

use super::authentication::{authenticator, check};
use super::proxy::Proxy;
use super::slapd::{ROOT, ROOT_PASSWORD, SUFFIX, Slapd};
use super::{address, clock, config, connect};
use directory::config::ConnectorTls;
use directory::{Connector, LdapMethod, Lookup};
use model::Secret;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const METHODS: [LdapMethod; 2] = [LdapMethod::Password, LdapMethod::Bind];

/// How a server breaks when it is asked something.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Octets that are no LDAP.
    Garbage,
    /// A message that says it has a gigabyte, and goes on and on.
    Oversized,
    /// One entry, and then the connection ends as when the server is killed.
    CutOff,
    /// Notice of Disconnection (RFC 4511 section 4.4.1).
    Notice,
    /// The answer to another question.
    Stranger,
}

const FAULTS: [Fault; 5] = [
    Fault::Garbage,
    Fault::Oversized,
    Fault::CutOff,
    Fault::Notice,
    Fault::Stranger,
];

/// `[APPLICATION 24]` with resultCode unavailable and the OID of the notice, message 0.
const NOTICE: &[u8] =
    b"\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036";
/// searchResEntry of message 1: `uid=anna,dc=t` without attributes.
const ENTRY: &[u8] = b"\x30\x16\x02\x01\x01\x64\x11\x04\x0duid=anna,dc=t\x30\x00";
/// searchResDone of message 99.
const STRANGER: &[u8] = b"\x30\x0c\x02\x01\x63\x65\x07\x0a\x01\x00\x04\x00\x04\x00";

/// A server with a fault: its URI, and how many octets it got rid of.
async fn broken(fault: Fault) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("ldap://{}", listener.local_addr().expect("an address"));
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(misbehave(stream, fault, Arc::clone(&count)));
        }
    });
    (uri, sent)
}

async fn misbehave(mut stream: TcpStream, fault: Fault, sent: Arc<AtomicUsize>) {
    let mut question = [0; 4096];
    if !matches!(stream.read(&mut question).await, Ok(1..)) {
        return;
    }
    match fault {
        Fault::Garbage => {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
        Fault::Oversized => {
            let _ = stream.write_all(b"\x30\x84\x40\x00\x00\x00").await;
            while let Ok(length) = stream.write(&[0; 64 * 1024]).await {
                sent.fetch_add(length, Ordering::SeqCst);
            }
        }
        Fault::CutOff => {
            let _ = stream.write_all(ENTRY).await;
        }
        Fault::Notice => {
            let _ = stream.write_all(NOTICE).await;
        }
        Fault::Stranger => {
            let _ = stream.write_all(STRANGER).await;
            // It does not say more, and does not hang up.
            let _ = stream.read(&mut question).await;
        }
    }
}

fn people(slapd: &Slapd) {
    slapd.person("anna", "userPassword: secret\n");
    slapd.person("bert", "userPassword: secret\n");
}

async fn found(connector: &Connector, uid: &str) -> String {
    match connector
        .lookup_address(&address(&format!("{uid}@localdomain.test")))
        .await
    {
        Lookup::Found(account) => account.address.local_part().to_owned(),
        Lookup::NotFound => "no".to_owned(),
        Lookup::Ambiguous(_) => "ambiguous".to_owned(),
        Lookup::Unavailable(why) => format!("later: {why}"),
    }
}

fn is_later(answer: &str) -> bool {
    answer.starts_with("later") || answer == "unavailable"
}

// Who hung a moment ago is tried for as long as a connection may take, but nobody who wants to log in waits that long again.
#[tokio::test]
async fn nobody_waits_long_for_a_server_that_failed_before() {
    let slapd = Slapd::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let clock = clock();
    let mut hanging = config(&[&slapd]);
    hanging.uris = vec![format!("ldap://{}", listener.local_addr().expect("an address"))];
    hanging.timeout = 60;
    let connector = connect(hanging, &clock);
    // The first connection is refused, all others are silent.
    let server = tokio::spawn(async move {
        drop(listener.accept().await.expect("somebody"));
        listener.accept().await.expect("somebody again").0
    });
    assert!(is_later(&found(&connector, "anna").await));
    clock.advance(Duration::from_secs(60));
    let answer = tokio::time::timeout(Duration::from_secs(30), found(&connector, "anna")).await;
    assert!(is_later(&answer.expect("long before the minute of the trial")));
    let mut trial = server.await.expect("still there");
    let mut bind = [0; 4096];
    assert!(
        matches!(trial.read(&mut bind).await, Ok(1..)),
        "the trial goes on"
    );
}

#[tokio::test]
async fn a_broken_server_is_no_answer_and_the_next_one_gives_it() {
    let slapd = Slapd::start();
    people(&slapd);
    for fault in FAULTS {
        let (uri, sent) = broken(fault).await;
        let clock = clock();
        let mut alone = config(&[&slapd]);
        (alone.bind_dn, alone.bind_password) = (None, None);
        alone.timeout = 1;
        alone.uris = vec![uri];
        let mut both = alone.clone();
        both.uris.push(slapd.uri());
        let alone = connect(alone, &clock);
        let answer = found(&alone, "anna").await;
        assert!(is_later(&answer), "{fault:?}: {answer}");
        for method in METHODS {
            let answer = check(
                &authenticator(&alone, method, &clock),
                "anna@localdomain.test",
                "secret",
            )
            .await;
            assert_eq!(answer, "unavailable", "{fault:?} {method:?}");
            clock.advance(Duration::from_secs(60));
        }
        // More than the socket's own buffers, far less than what was announced.
        assert!(
            sent.load(Ordering::SeqCst) < 64 << 20,
            "{fault:?}: {sent:?} octets were taken"
        );
        let both = connect(both, &clock);
        assert_eq!(found(&both, "anna").await, "anna", "{fault:?}");
        assert_eq!(found(&both, "nobody").await, "no", "{fault:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_that_was_dropped_in_silence() {
    let slapd = Slapd::start();
    people(&slapd);
    let proxy = Proxy::to(slapd.address()).await;
    let clock = clock();
    let mut config = config(&[&slapd]);
    config.uris = vec![proxy.uri()];
    config.timeout = 1;
    let connector = connect(config, &clock);
    let bind = authenticator(&connector, LdapMethod::Bind, &clock);
    assert_eq!(found(&connector, "anna").await, "anna");
    assert_eq!(
        check(&bind, "anna@localdomain.test", "secret").await,
        "anna@localdomain.test"
    );
    // What goes through the old connections is lost; new ones work again.
    proxy.go_silent();
    let answer = found(&connector, "bert").await;
    assert!(is_later(&answer), "{answer}");
    assert_eq!(
        check(&bind, "bert@localdomain.test", "secret").await,
        "unavailable"
    );
    proxy.speak();
    clock.advance(Duration::from_secs(60));
    let mut answers = Vec::new();
    for _ in 0..8 {
        clock.advance(Duration::from_secs(10));
        answers.push(check(&bind, "bert@localdomain.test", "secret").await);
    }
    assert!(
        answers
            .iter()
            .all(|answer| answer == "unavailable" || answer == "bert@localdomain.test"),
        "{answers:?}"
    );
    assert_eq!(
        answers.last().map(String::as_str),
        Some("bert@localdomain.test"),
        "{answers:?}"
    );
    assert_eq!(found(&connector, "bert").await, "bert");
}

#[tokio::test]
async fn the_service_password_is_wrong_at_start_and_later() {
    let mut slapd = Slapd::start();
    people(&slapd);
    slapd.modify(&format!(
        "dn: cn=reader,ou=Elsewhere,{SUFFIX}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: first\n"
    ));
    let clock = clock();
    let mut config = config(&[&slapd]);
    config.bind_dn = Some(format!("cn=reader,ou=Elsewhere,{SUFFIX}"));
    config.bind_password = Some(Secret::from("wrong"));
    let connector = connect(config.clone(), &clock);
    let answer = found(&connector, "anna").await;
    assert!(
        is_later(&answer) && answer.contains("invalidCredentials"),
        "{answer}"
    );
    for method in METHODS {
        let answer = check(
            &authenticator(&connector, method, &clock),
            "anna@localdomain.test",
            "secret",
        )
        .await;
        assert_eq!(answer, "unavailable", "{method:?}");
    }
    config.bind_password = Some(Secret::from("first"));
    let connector = connect(config, &clock);
    assert_eq!(found(&connector, "anna").await, "anna");
    slapd.modify(&format!(
        "dn: cn=reader,ou=Elsewhere,{SUFFIX}\nchangetype: modify\nreplace: userPassword\nuserPassword: second\n"
    ));
    slapd.kill();
    slapd.restart();
    for method in METHODS {
        let answer = check(
            &authenticator(&connector, method, &clock),
            "bert@localdomain.test",
            "secret",
        )
        .await;
        assert_eq!(answer, "unavailable", "{method:?}");
        clock.advance(Duration::from_secs(60));
    }
    slapd.modify(&format!(
        "dn: cn=reader,ou=Elsewhere,{SUFFIX}\nchangetype: modify\nreplace: userPassword\nuserPassword: first\n"
    ));
    clock.advance(Duration::from_secs(60));
    assert_eq!(found(&connector, "bert").await, "bert");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, host: &str, end: i32| {
        let mut wanted = rcgen::CertificateParams::new(vec![host.to_owned()]).expect("a name");
        wanted.not_after = rcgen::date_time_ymd(end, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = wanted.self_signed(&key).expect("a certificate");
        let (path, key_path) = (
            folder.path().join(name),
            folder.path().join(format!("{name}.key")),
        );
        std::fs::write(&path, certificate.pem()).expect("written");
        std::fs::write(&key_path, key.serialize_pem()).expect("written");
        (path, key_path)
    };
    let good = write("good", "127.0.0.1", 2099);
    for ((path, key), trusted, words) in [
        (write("expired", "127.0.0.1", 2001), None, "expired"),
        (
            write("name", "ldap.example.test", 2099),
            None,
            "ldap.example.test",
        ),
        (
            write("unknown", "127.0.0.1", 2099),
            Some(good.0.clone()),
            "authorit",
        ),
    ] {
        let slapd = Slapd::with_certificate(&path, &key);
        people(&slapd);
        let clock = clock();
        let mut config = config(&[&slapd]);
        config.tls = Some(ConnectorTls::StartTls);
        config.ca_file = Some(trusted.unwrap_or(path));
        let connector = connect(config, &clock);
        let answer = found(&connector, "anna").await;
        assert!(is_later(&answer) && answer.contains(words), "{words}: {answer}");
        let answer = check(
            &authenticator(&connector, LdapMethod::Bind, &clock),
            "anna@localdomain.test",
            "secret",
        )
        .await;
        assert_eq!(answer, "unavailable", "{words}");
    }
}

/// The rule: a server that is behind what another one has shown may say yes, never no.
#[tokio::test]
async fn a_second_server_that_lags_says_no_to_nobody() {
    let (mut first, mut second) = (Slapd::start(), Slapd::start());
    first.person("anna", "userPassword: secret\n");
    let old = first.backup();
    first.person("bert", "userPassword: secret\n");
    second.restore(&old);
    let clock = clock();
    let mut config = config(&[&first, &second]);
    (config.bind_dn, config.bind_password) = (Some(ROOT.to_owned()), Some(Secret::from(ROOT_PASSWORD)));
    let connector = connect(config, &clock);
    for uid in ["anna", "bert"] {
        assert_eq!(found(&connector, uid).await, uid);
    }
    assert_eq!(
        found(&connector, "nobody").await,
        "no",
        "the first server knows everything"
    );
    first.modify(&format!(
        "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: userPassword\nuserPassword: changed\n"
    ));
    assert_eq!(found(&connector, "anna").await, "anna");
    let bind = authenticator(&connector, LdapMethod::Bind, &clock);
    let new = first.backup();
    first.kill();
    assert_eq!(found(&connector, "anna").await, "anna", "a yes is a yes");
    for uid in ["bert", "nobody"] {
        let answer = found(&connector, uid).await;
        assert!(is_later(&answer) && answer.contains("behind"), "{uid}: {answer}");
        assert_eq!(
            check(&bind, &format!("{uid}@localdomain.test"), "secret").await,
            "unavailable",
            "{uid}"
        );
    }
    assert_eq!(
        check(&bind, "anna@localdomain.test", "changed").await,
        "unavailable",
        "the new password is not there yet"
    );
    // It catches up.
    second.restore(&new);
    clock.advance(Duration::from_secs(60));
    for (uid, answer) in [("bert", "bert"), ("nobody", "no")] {
        assert_eq!(found(&connector, uid).await, answer);
    }
    assert_eq!(
        check(&bind, "anna@localdomain.test", "changed").await,
        "anna@localdomain.test"
    );
    first.restart();
    assert_eq!(found(&connector, "bert").await, "bert");
}
