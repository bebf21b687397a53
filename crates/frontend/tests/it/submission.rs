//! RFC 6409 and RFC 4954 at the edge, the ways to log in at a home, and what lies between a client and its home.

use crate::support::{Client, Do, Front, Home, OnePassword, SOON, context, context_with, front};
use Do::{Echo, Hang, Hear, Say};
use frontend::submission::{SubmissionProxy, serve};
use frontend::{AuthenticateAt, ProxyContext, SubmissionProxyConfig};
use model::{Address, ByteSize, Protocol};
use net::{ListenerConfig, SessionEnd, SessionFilter};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

/// base64 of "\0alice@example.test\0secret", and the same with "wrong".
const GOOD_PROOF: &str = "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=";
const BAD_PROOF: &str = "AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw==";
const DOWN_PROOF: &str = "AGFsaWNlQGV4YW1wbGUudGVzdABkaXJlY3RvcnkgZG93bg==";

const HELLO: &str = "250-home\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN\r\n";

const GOOD: &[Do] = &[
    Say("220 home\r\n"),
    Hear("EHLO front.example.test"),
    Say(HELLO),
    Hear("AUTH PLAIN "),
    Say("235 2.7.0 in\r\n"),
    Echo("250 2.0.0 ECHO "),
];

/// The last word of a session that has to end.
const ENDED: &str = "421 4.3.2 The session is ended; try again";

async fn submission(home: &str, configure: fn(&mut ListenerConfig), authenticate: AuthenticateAt) -> Front {
    let config = SubmissionProxyConfig {
        authenticate,
        max_login_failures: 3,
        ..SubmissionProxyConfig::default()
    };
    start(context(&[("alice@example.test", home)]), configure, config).await
}

async fn start(
    context: ProxyContext,
    configure: fn(&mut ListenerConfig),
    config: SubmissionProxyConfig,
) -> Front {
    let proxy = Arc::new(SubmissionProxy::new(
        &config,
        context,
        Some(Arc::new(OnePassword)),
    ));
    front(Protocol::Submission, configure, move |accepted| {
        serve(accepted, proxy.clone())
    })
    .await
}

/// Connects, says EHLO, and reads what is announced.
async fn greeted(front: &Front) -> (Client, Vec<String>) {
    let mut client = Client::connect(front.address).await;
    let greeting = client.line().await;
    assert_eq!(greeting, "220 front.example.test ESMTP Homing");
    let announced = hello(&mut client).await;
    (client, announced)
}

async fn hello(client: &mut Client) -> Vec<String> {
    client.send("EHLO client.test\r\n");
    lines(client).await
}

/// The lines of one reply, without the code.
async fn lines(client: &mut Client) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = client.line().await;
        lines.push(line[4..].to_owned());
        if line.as_bytes()[3] == b' ' {
            return lines;
        }
    }
}

async fn plain(client: &mut Client, proof: &str) -> String {
    client.ask(&format!("AUTH PLAIN {proof}")).await
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|found| found == line)
}

#[tokio::test]
async fn every_way_to_log_in_ends_at_the_home() {
    let home = Home::start(&[GOOD]).await;
    let front = submission(&home.name, |_| {}, AuthenticateAt::Edge).await;
    let (mut client, _) = greeted(&front).await;
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "235 2.7.0 Logged in");
    assert_eq!(
        client.ask("MAIL FROM:<alice@example.test>").await,
        "250 2.0.0 ECHO MAIL FROM:<alice@example.test>"
    );
    assert_eq!(home.heard()[1], format!("AUTH PLAIN {GOOD_PROOF}"));

    let (mut client, _) = greeted(&front).await;
    assert_eq!(client.ask("AUTH PLAIN").await, "334 ");
    assert_eq!(client.ask(GOOD_PROOF).await, "235 2.7.0 Logged in");
    let (mut client, _) = greeted(&front).await;
    assert_eq!(client.ask("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
    assert_eq!(client.ask("YWxpY2VAZXhhbXBsZS50ZXN0").await, "334 UGFzc3dvcmQ6");
    // What follows at once already goes home.
    assert_eq!(client.ask("c2VjcmV0\r\nNOOP").await, "235 2.7.0 Logged in");
    assert_eq!(client.line().await, "250 2.0.0 ECHO NOOP");
}

#[tokio::test]
async fn commands_before_the_login() {
    let config = SubmissionProxyConfig {
        extensions: ["PIPELINING", "SIZE", "DSN"].map(str::to_owned).to_vec(),
        max_message_size: Some(ByteSize(5000)),
        max_login_failures: 2,
        ..SubmissionProxyConfig::default()
    };
    let front = start(context(&[("alice@example.test", "127.0.0.1:1")]), |_| {}, config).await;
    let (mut client, announced) = greeted(&front).await;
    assert_eq!(
        announced,
        [
            "front.example.test greets client.test",
            "PIPELINING",
            "SIZE 5000",
            "DSN",
            "STARTTLS",
            "AUTH PLAIN LOGIN"
        ]
    );
    for (command, reply) in [
        (
            "MAIL FROM:<alice@example.test>",
            "530 5.7.0 Authentication required",
        ),
        ("mail from:<x> NONSENSE", "530 5.7.0"),
        ("RCPT TO:<alice@example.test>", "530 5.7.0"),
        ("DATA", "530 5.7.0"),
        ("BDAT 5 LAST", "530 5.7.0"),
        ("NOOP", "250 2.0.0"),
        ("RSET", "250 2.0.0"),
        ("HELP", "214 2.0.0"),
        ("FROBNICATE", "500 5.5.1"),
        ("XCLIENT ADDR=192.0.2.7", "500 5.5.1"),
        ("XFORWARD ADDR=192.0.2.7", "500 5.5.1"),
        ("LHLO x", "500 5.5.1"),
        ("AUTH", "501 5.5.4"),
        ("AUTH GSSAPI", "504 5.5.4"),
        ("AUTH PLAIN !", "501 5.5.2"),
    ] {
        let heard = client.ask(command).await;
        assert!(heard.starts_with(reply), "{command}: {heard}");
    }
    let heard = client.ask(&"x".repeat(20_000)).await;
    assert!(heard.starts_with("500 5.5.2"), "{heard}");
    assert_eq!(client.ask("AUTH PLAIN").await, "334 ");
    assert!(client.ask("*").await.starts_with("501 5.5.2"));
    let heard = plain(&mut client, DOWN_PROOF).await;
    assert!(heard.starts_with("454 4.7.0"), "{heard}");
    assert_eq!(
        plain(&mut client, BAD_PROOF).await,
        "535 5.7.8 Authentication failed"
    );
    // The home is not there, and that is nobody's wrong password.
    let heard = plain(&mut client, GOOD_PROOF).await;
    assert!(heard.starts_with("454 4.7.0"), "{heard}");
    plain(&mut client, BAD_PROOF).await;
    assert_eq!(client.line().await, "421 4.7.0 Too many failed logins");
    assert!(client.is_closed().await);

    let mut client = Client::connect(front.address).await;
    client.line().await;
    assert!(plain(&mut client, GOOD_PROOF).await.starts_with("503 5.5.1"));
    assert_eq!(client.ask("QUIT").await, "221 2.0.0 Goodbye");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn bad_homes() {
    let scripts: [&[Do]; 12] = [
        &[],
        &[Say("421 4.3.2 busy\r\n")],
        &[Say("554 5.7.1 go away\r\n")],
        &[Say("* OK IMAP\r\n")],
        &[Say("220 home\r\n"), Hear("EHLO"), Say("502 5.5.1 what?\r\n")],
        &[Say("220 home\r\n"), Hear("EHLO"), Do::Flood("250-X\r\n")],
        // It promises less than we have.
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say("250-home\r\n250-SIZE\r\n250 AUTH PLAIN\r\n"),
        ],
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say("250-home\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"),
        ],
        &[Say("220 home\r\n"), Hear("EHLO"), Say(HELLO), Hear("AUTH"), Hang],
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("AUTH"),
            Say("334 \r\n334 \r\n"),
            Hang,
        ],
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("AUTH"),
            Say("535 5.7.8 no\r\n"),
        ],
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("AUTH"),
            Say("250 2.0.0 yes\r\n"),
        ],
    ];
    for script in scripts {
        let home = Home::start(&[script]).await;
        // Those that hang are given up soon.
        let config = SubmissionProxyConfig {
            home_timeout: 1,
            ..SubmissionProxyConfig::default()
        };
        let front = start(context(&[("alice@example.test", &home.name)]), |_| {}, config).await;
        let (mut client, _) = greeted(&front).await;
        let done = plain(&mut client, GOOD_PROOF).await;
        assert!(done.starts_with("454 4.7.0 "), "{script:?}: {done}");
    }
}

/// Where the home alone decides, its no is a no, but what it says of itself is not.
#[tokio::test]
async fn a_home_that_decides() {
    for (answer, expected) in [
        ("535 5.7.8 wrong\r\n", "535 5.7.8 "),
        ("454 4.7.0 later\r\n", "454 4.7.0 "),
        ("421 4.3.2 closing\r\n", "454 4.7.0 "),
        ("538 5.7.11 TLS first\r\n", "454 4.7.0 "),
        ("534 5.7.9 stronger\r\n", "454 4.7.0 "),
    ] {
        let home = Home::start(&[&[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("AUTH"),
            Say(answer),
        ]])
        .await;
        let front = submission(&home.name, |_| {}, AuthenticateAt::Home).await;
        let (mut client, _) = greeted(&front).await;
        let done = plain(&mut client, BAD_PROOF).await;
        assert!(done.starts_with(expected), "{answer}: {done}");
        assert_eq!(home.heard()[1], format!("AUTH PLAIN {BAD_PROOF}"));
    }
}

// RFC 3207 section 4.2, CVE-2011-0411.
#[tokio::test]
async fn starttls_discards_what_came_before() {
    let home = Home::start(&[GOOD]).await;
    let front = submission(
        &home.name,
        |config| config.plaintext_login = Some(false),
        AuthenticateAt::Edge,
    )
    .await;
    let (mut client, announced) = greeted(&front).await;
    assert!(has(&announced, "STARTTLS"), "{announced:?}");
    assert!(
        !announced.iter().any(|line| line.starts_with("AUTH")),
        "{announced:?}"
    );
    assert_eq!(
        plain(&mut client, GOOD_PROOF).await,
        "538 5.7.11 This mechanism needs TLS"
    );
    let heard = client.ask("MAIL FROM:<a@b>").await;
    assert!(heard.starts_with("530 5.7.0 Start TLS"), "{heard}");
    let heard = client.ask("STARTTLS\r\nEHLO injected").await;
    assert!(heard.starts_with("220 "), "{heard}");
    client
        .0
        .start_tls_client(&front.tls, "localhost", SOON)
        .await
        .expect("a handshake");
    assert!(plain(&mut client, GOOD_PROOF).await.starts_with("503 5.5.1"));
    let announced = hello(&mut client).await;
    assert!(
        has(&announced, "AUTH PLAIN LOGIN") && !has(&announced, "STARTTLS"),
        "{announced:?}"
    );
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "235 2.7.0 Logged in");
}

const TRUSTING: &[Do] = &[
    Say("220 home\r\n"),
    Hear("EHLO front.example.test"),
    Say(
        "250-PIPELINING\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-AUTH PLAIN\r\n\
         250 XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL\r\n",
    ),
    Hear("XCLIENT "),
    Say("220 home\r\n"),
    Hear("EHLO client.test"),
    Say(HELLO),
    Hear("AUTH PLAIN "),
    Say("235 2.7.0 in\r\n"),
    Echo("250 2.0.0 ECHO "),
];

#[tokio::test]
async fn the_home_learns_who_the_client_is_from_the_front_end_alone() {
    let home = Home::start(&[TRUSTING]).await;
    let front = submission(&home.name, |_| {}, AuthenticateAt::Edge).await;
    let (mut client, announced) = greeted(&front).await;
    assert!(
        !announced.iter().any(|line| line.starts_with("XCLIENT")),
        "{announced:?}"
    );
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "235 2.7.0 Logged in");
    let told = home.heard()[1].clone();
    assert!(
        told.starts_with("XCLIENT ADDR=127.0.0.1 PORT=")
            && told.contains(" PROTO=ESMTP HELO=client.test SESSION=")
            && told.ends_with(" TTL=6"),
        "{told}"
    );
    // A client that claims to be somebody else is not heard, whatever the home would believe.
    for command in [
        "XCLIENT LOGIN=root",
        "STARTTLS",
        "AUTH PLAIN x",
        "xforward ADDR=1.2.3.4",
    ] {
        assert_eq!(client.ask(command).await, "250 2.0.0 ECHO NOT-HERE");
    }
    assert_eq!(client.ask("NOOP").await, "250 2.0.0 ECHO NOOP");
}

#[tokio::test]
async fn claims_count_from_trusted_networks_only() {
    let trust: fn(&mut ListenerConfig) =
        |config| config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    let home = Home::start(&[TRUSTING]).await;
    let front = submission(&home.name, trust, AuthenticateAt::Edge).await;
    let (mut client, announced) = greeted(&front).await;
    assert!(
        has(
            &announced,
            "XCLIENT ADDR PORT PROTO HELO SESSION TTL CLIENT-TRANSPORT"
        ),
        "{announced:?}"
    );
    let claim = "XCLIENT ADDR=192.0.2.7 PORT=99 PROTO=ESMTP HELO=client.test SESSION=00000000000000aa TTL=3";
    assert!(client.ask(claim).await.starts_with("220 "));
    hello(&mut client).await;
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "235 2.7.0 Logged in");
    assert_eq!(home.heard()[1], claim.replace("TTL=3", "TTL=2"));
    // The count has run out.
    let (mut client, _) = greeted(&front).await;
    client.ask("XCLIENT TTL=1").await;
    hello(&mut client).await;
    let done = plain(&mut client, GOOD_PROOF).await;
    assert_eq!(done, "454 4.7.0 The session goes in circles between servers");
}

#[tokio::test]
async fn master_logins_sessions_and_numbers() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let password = dir.path().join("master");
    std::fs::write(&password, "key\n").expect("write");
    let home = Home::start(&[GOOD]).await;
    let address: SocketAddr = home.name.parse().expect("an address");
    let store = json!({
        "name": "store", "host": "127.0.0.1", "master_user": "front", "master_password_file": password,
        "submission": { "port": address.port(), "login": "master" },
    });
    let context = context_with(&[("alice@example.test", "store")], &[store]);
    let (sessions, metrics) = (context.sessions.clone(), context.metrics.clone());
    let front = start(context, |_| {}, SubmissionProxyConfig::default()).await;
    let (mut client, _) = greeted(&front).await;
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "235 2.7.0 Logged in");
    let response = wire::sasl::encode_base64(b"alice@example.test\0front\0key");
    assert_eq!(home.heard()[1], format!("AUTH PLAIN {response}"));
    assert_eq!(client.ask("NOOP").await, "250 2.0.0 ECHO NOOP");
    let of_alice = SessionFilter {
        account: Address::parse("alice@example.test").ok(),
        protocol: Some(Protocol::Submission),
        ..SessionFilter::default()
    };
    let rows = sessions.list(&of_alice, 0, 10);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].bytes_up, rows[0].bytes_down), (6, 21));
    assert_eq!(sessions.end(&of_alice, SessionEnd::Kicked), 1);
    assert_eq!(client.line().await, ENDED);
    assert!(client.is_closed().await);
    // It is counted once the client has closed, too.
    drop(client);
    let over = async {
        while !sessions.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, over).await.expect("it ends");
    let text = metrics.render();
    for line in [
        "homing_proxy_logins_total{protocol=\"submission\",home=\"store\",outcome=\"ok\"} 1",
        "homing_proxy_sessions_ended_total{protocol=\"submission\",home=\"store\",reason=\"kicked\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// RFC 5321 section 3.8: a session that has to end does so between commands, and the message under way is kept.
#[tokio::test]
async fn a_session_that_has_to_end_says_so_after_the_message() {
    let taking: &[Do] = &[
        Say("220 home\r\n"),
        Hear("EHLO"),
        Say(HELLO),
        Hear("AUTH"),
        Say("235 2.7.0 in\r\n"),
        Hear("DATA"),
        Say("354 go\r\n"),
        Hear("the message"),
        Hear("."),
        Say("250 2.0.0 kept\r\n"),
        Hang,
    ];
    let home = Home::start(&[taking]).await;
    let context = context(&[("alice@example.test", &home.name)]);
    let sessions = context.sessions.clone();
    let front = start(context, |_| {}, SubmissionProxyConfig::default()).await;
    let (mut client, _) = greeted(&front).await;
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "235 2.7.0 Logged in");
    assert_eq!(client.ask("DATA").await, "354 go");
    assert_eq!(sessions.end(&SessionFilter::default(), SessionEnd::Drained), 1);
    client.send("the message\r\n");
    assert_eq!(client.ask(".").await, "250 2.0.0 kept");
    assert_eq!(client.line().await, ENDED);
    assert!(client.is_closed().await);
}

/// A home that closes after its last word has been heard to the end; a client that closes ends its home's session.
#[tokio::test]
async fn the_end_of_either_side_is_the_end_of_both() {
    let closing: &[Do] = &[
        Say("220 home\r\n"),
        Hear("EHLO"),
        Say(HELLO),
        Hear("AUTH"),
        Say("235 2.7.0 in\r\n"),
        Hear("QUIT"),
        Say("221 2.0.0 bye\r\n"),
    ];
    let home = Home::start(&[closing]).await;
    let front = submission(&home.name, |_| {}, AuthenticateAt::Edge).await;
    let (mut client, _) = greeted(&front).await;
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "235 2.7.0 Logged in");
    assert_eq!(client.ask("QUIT").await, "221 2.0.0 bye");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn shutting_down_says_goodbye() {
    let front = submission("127.0.0.1:1", |_| {}, AuthenticateAt::Edge).await;
    let (mut client, _) = greeted(&front).await;
    front.trigger.request(std::time::Duration::from_secs(5));
    let last = client.line().await;
    assert!(last.starts_with("421 4.3.2"), "{last}");
    assert!(client.is_closed().await);
}
