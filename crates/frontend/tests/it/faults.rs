//! Faults of homes and of clients, by protocol: what is heard is "try later", and nothing is made up.

use crate::support::{Client, Do, Front, Home, OnePassword, SOON, context_with, front};
use Do::{Answer, Echo, Hang, Hear, Say};
use frontend::{ImapProxyConfig, Pop3ProxyConfig, imap, pop3};
use model::Protocol;
use net::{
    ClientTls, ClientTlsConfig, Connection, LineStream, Listener, ListenerConfig, ServerTls, Shutdown,
};
use net::{TlsConfig, TlsMode};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ALICE: &str = "alice@example.test";

/// A front end before this home, which is to upgrade to TLS or not.
async fn before(home: &Home, protocol: Protocol, tls: &str) -> Front {
    let (_, port) = home.name.rsplit_once(':').expect("host and port");
    let port: u16 = port.parse().expect("a port");
    let service = json!({ "port": port, "tls": tls });
    let settings = json!({
        "name": "store", "host": "127.0.0.1", "connect_timeout": 1,
        "imap": service, "pop3": service,
    });
    let context = context_with(&[(ALICE, "store")], &[settings]);
    let authenticator = Some(Arc::new(OnePassword) as Arc<dyn model::Authenticator>);
    match protocol {
        Protocol::Pop3 => {
            let config = Pop3ProxyConfig {
                home_timeout: 1,
                ..Pop3ProxyConfig::default()
            };
            let proxy = Arc::new(pop3::Pop3Proxy::new(&config, context, authenticator));
            front(
                protocol,
                |_| {},
                move |accepted| pop3::serve(accepted, proxy.clone()),
            )
            .await
        }
        _ => {
            let config = ImapProxyConfig {
                home_timeout: 1,
                ..ImapProxyConfig::default()
            };
            let proxy = Arc::new(imap::ImapProxy::new(&config, context, authenticator));
            front(
                protocol,
                |_| {},
                move |accepted| imap::serve(accepted, proxy.clone()),
            )
            .await
        }
    }
}

/// Logs in with the right password; the reply.
async fn log_in(client: &mut Client, protocol: Protocol) -> String {
    client.line().await;
    match protocol {
        Protocol::Pop3 => {
            client.ask("USER alice@example.test").await;
            client.ask("PASS secret").await
        }
        _ => client.ask("a LOGIN alice@example.test secret").await,
    }
}

/// Every way in which a home fails before the session is relayed, in both protocols. The ways that are said in a
/// protocol's own words stand in its own file.
#[tokio::test]
async fn a_home_that_fails_is_try_later() {
    let imap: &[(&str, &str, &[Do])] = &[
        ("hangs before its greeting", "none", &[Hang]),
        (
            "hangs after its greeting",
            "none",
            &[Say("* OK ready\r\n"), Hear("CAPABILITY"), Hang],
        ),
        (
            "hangs in the middle of its greeting",
            "none",
            &[Say("* OK rea"), Hang],
        ),
        (
            "dies in the middle of a literal",
            "none",
            &[
                Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"),
                Hear("AUTHENTICATE"),
                Say("* LIST () \"/\" {100}\r\nhalf of"),
            ],
        ),
        (
            "hangs up at STARTTLS",
            "starttls",
            &[Say("* OK ready\r\n"), Hear("STARTTLS")],
        ),
        (
            "refuses STARTTLS",
            "starttls",
            &[Say("* OK ready\r\n"), Answer("STARTTLS", "NO not today"), Hang],
        ),
        (
            "agrees to STARTTLS and hangs up",
            "starttls",
            &[Say("* OK ready\r\n"), Answer("STARTTLS", "OK begin")],
        ),
        (
            "agrees to STARTTLS and goes on in the clear",
            "starttls",
            &[
                Say("* OK ready\r\n"),
                Answer(
                    "STARTTLS",
                    "OK begin\r\n* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] as if",
                ),
                Echo("* OK "),
            ],
        ),
        (
            "agrees to STARTTLS and hangs",
            "starttls",
            &[Say("* OK ready\r\n"), Answer("STARTTLS", "OK begin"), Hang],
        ),
    ];
    let pop3: &[(&str, &str, &[Do])] = &[
        ("hangs before its greeting", "none", &[Hang]),
        (
            "hangs after its greeting",
            "none",
            &[Say("+OK ready\r\n"), Hear("CAPA"), Hang],
        ),
        (
            "hangs in the middle of its greeting",
            "none",
            &[Say("+OK rea"), Hang],
        ),
        (
            "dies in the middle of a list",
            "none",
            &[Say("+OK ready\r\n"), Hear("CAPA"), Say("+OK\r\nSASL PLAIN\r\n")],
        ),
        (
            "hangs up at STLS",
            "starttls",
            &[Say("+OK ready\r\n"), Hear("STLS")],
        ),
        (
            "refuses STLS",
            "starttls",
            &[Say("+OK ready\r\n"), Hear("STLS"), Say("-ERR no\r\n"), Hang],
        ),
        (
            "agrees to STLS and hangs up",
            "starttls",
            &[Say("+OK ready\r\n"), Hear("STLS"), Say("+OK go\r\n")],
        ),
        (
            "agrees to STLS and goes on in the clear",
            "starttls",
            &[
                Say("+OK ready\r\n"),
                Hear("STLS"),
                Say("+OK go\r\n+OK as if\r\n"),
                Echo("+OK "),
            ],
        ),
        (
            "agrees to STLS and hangs",
            "starttls",
            &[Say("+OK ready\r\n"), Hear("STLS"), Say("+OK go\r\n"), Hang],
        ),
    ];
    for (protocol, rows, later) in [
        (Protocol::Imap, imap, "a NO [UNAVAILABLE]"),
        (Protocol::Pop3, pop3, "-ERR [SYS/TEMP]"),
    ] {
        for (what, tls, script) in rows {
            let home = Home::start(&[*script]).await;
            let front = before(&home, protocol, tls).await;
            let mut client = Client::connect(front.address).await;
            let reply = log_in(&mut client, protocol).await;
            assert!(reply.starts_with(later), "{protocol}: {what}: {reply}");
            // Nothing that shows the password went out in the clear.
            let secret = |line: &String| line.contains("secret") || line.contains("AGFsaWNl");
            let told = home.heard().iter().any(secret);
            assert!(*tls == "none" || !told, "{protocol}: {what}: {:?}", home.heard());
        }
    }
}

const GOOD: &[Do] = &[
    Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"),
    Answer("AUTHENTICATE", "OK [CAPABILITY IMAP4rev1] in"),
];

/// What the home has sent of a literal arrives, and then the end: no word of ours is in it.
#[tokio::test]
async fn a_home_that_dies_in_a_literal_ends_the_session_there() {
    let script = [
        GOOD,
        &[Hear("b FETCH"), Say("* 1 FETCH (BODY[] {4096}\r\nSubject: half")],
    ]
    .concat();
    let home = Home::start(&[&script]).await;
    let front = before(&home, Protocol::Imap, "none").await;
    let mut client = Client::connect(front.address).await;
    assert!(log_in(&mut client, Protocol::Imap).await.starts_with("a OK"));
    client.send("b FETCH 1 BODY[]\r\n");
    client.0.flush(SOON).await.expect("sent");
    let (mut connection, leftover) = client.0.into_parts();
    let mut got = leftover.to_vec();
    connection.read_to_end(&mut got).await.expect("the end");
    assert_eq!(
        String::from_utf8_lossy(&got),
        "* 1 FETCH (BODY[] {4096}\r\nSubject: half"
    );
}

/// A client may close its side and wait for what is still to come.
#[tokio::test]
async fn half_a_connection_is_enough_for_the_answer() {
    let script = [GOOD, &[Echo("* ECHO ")]].concat();
    let home = Home::start(&[&script]).await;
    let front = before(&home, Protocol::Imap, "none").await;
    let mut client = Client::connect(front.address).await;
    assert!(log_in(&mut client, Protocol::Imap).await.starts_with("a OK"));
    let (mut connection, _) = client.0.into_parts();
    connection
        .write_all(b"b NOOP\r\nc LOGOUT\r\n")
        .await
        .expect("sent");
    connection.shutdown().await.expect("half-closed");
    let mut got = String::new();
    connection
        .read_to_string(&mut got)
        .await
        .expect("the rest, then the end");
    assert_eq!(got, "* ECHO b NOOP\r\n* ECHO c LOGOUT\r\n");
}

/// A certificate and its key.
struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    Pair {
        certificate: signed.cert.pem(),
        key: signed.signing_key.serialize_pem(),
    }
}

impl Pair {
    fn put(&self, files: &TlsConfig) {
        std::fs::write(&files.certificate, &self.certificate).expect("written");
        std::fs::write(&files.key, &self.key).expect("written");
    }
}

/// Clients come all the time while the certificate is replaced again and again: each handshake shows one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_is_swapped_under_load() {
    const SWAPS: usize = 20;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let files = TlsConfig::new(folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let pairs: Vec<Pair> = (0..=SWAPS).map(|_| pair()).collect();
    pairs[0].put(&files);
    let server = ServerTls::load(&files).expect("good files");
    let script = [GOOD, &[Echo("* ECHO ")]].concat();
    let home = Home::start(&[&script]).await;
    let context = context_with(&[(ALICE, &home.name)], &[]);
    let config = ImapProxyConfig::default();
    let proxy = Arc::new(imap::ImapProxy::new(
        &config,
        context,
        Some(Arc::new(OnePassword)),
    ));
    let mut listener = ListenerConfig::at(([127, 0, 0, 1], 0).into());
    listener.tls = Some(TlsMode::Implicit);
    let listener = Listener::bind(listener, Protocol::Imap, Some(server.clone()))
        .await
        .expect("a free port");
    let address = listener.local_addr();
    let (_trigger, shutdown) = Shutdown::new();
    tokio::spawn(listener.run(shutdown, move |accepted| imap::serve(accepted, proxy.clone())));

    // Whoever connects trusts each that there will ever be.
    let all = folder.path().join("all.pem");
    let texts: String = pairs.iter().map(|pair| pair.certificate.as_str()).collect();
    std::fs::write(&all, texts).expect("written");
    let tls = ClientTls::new(&ClientTlsConfig {
        ca_file: Some(all),
        ..ClientTlsConfig::default()
    });
    let tls = tls.expect("good files");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, tls) = (stop.clone(), tls.clone());
            tokio::spawn(async move {
                let mut served = 0;
                while served == 0 || !stop.load(Ordering::Relaxed) {
                    let connection = Connection::connect(address, SOON).await.expect("connected");
                    let connection = connection
                        .connect_tls(&tls, "localhost", SOON)
                        .await
                        .expect("a handshake");
                    let mut client = Client(LineStream::new(connection, 65_536));
                    let done = log_in(&mut client, Protocol::Imap).await;
                    assert!(done.starts_with("a OK"), "{done}");
                    assert_eq!(client.ask("b NOOP").await, "* ECHO b NOOP");
                    served += 1;
                }
                served
            })
        })
        .collect();
    for pair in &pairs[1..] {
        pair.put(&files);
        server.reload().expect("good files");
        // A client that comes now is shown this one and no other.
        let folder = tempfile::tempdir().expect("a scratch folder");
        let only = folder.path().join("only.pem");
        std::fs::write(&only, &pair.certificate).expect("written");
        let tls = ClientTls::new(&ClientTlsConfig {
            ca_file: Some(only),
            ..ClientTlsConfig::default()
        });
        let connection = Connection::connect(address, SOON).await.expect("connected");
        let tls = tls.expect("good files");
        connection
            .connect_tls(&tls, "localhost", SOON)
            .await
            .expect("the new certificate");
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let served: u32 = client.await.expect("nobody failed");
        assert!(served > 0);
    }
}
