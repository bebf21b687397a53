//! RFC 3501 sections 6.1 and 6.2 at the edge, and what homes can do wrong.

use crate::support::{Client, Do, Front, Home, OnePassword, SOON, context, front};
use Do::{Answer, Echo, Flood, Hang, Hear, Say};
use frontend::imap::{ImapProxy, serve};
use frontend::{AuthenticateAt, ImapProxyConfig};
use model::Protocol;
use net::ListenerConfig;
use std::sync::Arc;
use std::time::Duration;

const ALICE: &str = "alice@example.test";

const GOOD: &[Do] = &[
    Say("* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] ready\r\n"),
    Answer("ID", "OK done"),
    Answer("AUTHENTICATE PLAIN ", "OK [CAPABILITY IMAP4rev1 IDLE MOVE] in"),
    Echo("* ECHO "),
];

async fn imap(home: &str, configure: fn(&mut ListenerConfig), authenticate: AuthenticateAt) -> Front {
    let config = ImapProxyConfig {
        authenticate,
        max_login_failures: 3,
        ..ImapProxyConfig::default()
    };
    start(home, configure, config).await
}

async fn start(home: &str, configure: fn(&mut ListenerConfig), config: ImapProxyConfig) -> Front {
    let context = context(&[(ALICE, home)]);
    let proxy = Arc::new(ImapProxy::new(&config, context, Some(Arc::new(OnePassword))));
    front(Protocol::Imap, configure, move |accepted| {
        serve(accepted, proxy.clone())
    })
    .await
}

async fn edge(home: &str) -> Front {
    imap(home, |_| {}, AuthenticateAt::Edge).await
}

async fn greeted(front: &Front) -> Client {
    let mut client = Client::connect(front.address).await;
    let greeting = client.line().await;
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
    client
}

#[tokio::test]
async fn every_way_to_log_in_ends_in_the_relay() {
    let home = Home::start(&[GOOD]).await;
    let front = edge(&home.name).await;
    for login in [
        "a LOGIN alice@example.test secret",
        "a LOGIN \"alice@example.test\" {6+}\r\nsecret",
        "a AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=",
        "a authenticate login YWxpY2VAZXhhbXBsZS50ZXN0\r\nc2VjcmV0",
    ] {
        let mut client = greeted(&front).await;
        let done = client.until(login, "a ").await;
        assert_eq!(
            done, "a OK [CAPABILITY IMAP4rev1 IDLE MOVE] Logged in.",
            "{login}"
        );
        assert_eq!(client.ask("b SELECT INBOX").await, "* ECHO b SELECT INBOX");
    }
    let mut client = greeted(&front).await;
    assert!(client.ask("a AUTHENTICATE PLAIN").await.starts_with("+ "));
    let done = client.ask("AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=").await;
    assert!(done.starts_with("a OK"), "{done}");
    let mut client = greeted(&front).await;
    assert!(client.ask("a LOGIN {18}").await.starts_with("+ "));
    assert!(client.ask("alice@example.test {6}").await.starts_with("+ "));
    // Commands that follow in the same packet belong to the home.
    let done = client.ask("secret\r\nb NOOP").await;
    assert!(done.starts_with("a OK"), "{done}");
    assert_eq!(client.line().await, "* ECHO b NOOP");

    let sasl = home.line_with("AUTHENTICATE").expect("replayed");
    assert!(
        sasl.ends_with(" PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ="),
        "{sasl}"
    );
    let id = home
        .line_with("x-originating-ip")
        .expect("told who the client is");
    assert!(
        id.contains("\"127.0.0.1\"") && id.contains("\"x-proxy-ttl\" \"6\""),
        "{id}"
    );
}

#[tokio::test]
async fn commands_before_the_login() {
    let front = edge("127.0.0.1:1").await;
    let mut client = greeted(&front).await;
    assert!(
        client
            .ask("a CAPABILITY")
            .await
            .contains(" STARTTLS AUTH=PLAIN AUTH=LOGIN")
    );
    assert!(client.line().await.starts_with("a OK"));
    assert!(client.ask("b NOOP").await.starts_with("b OK"));
    assert!(client.until("c ID NIL", "c ").await.starts_with("c OK"));
    assert!(client.ask("d SELECT INBOX").await.starts_with("d BAD"));
    assert!(client.ask("e FROBNICATE").await.starts_with("e BAD"));
    assert!(client.ask("f AUTHENTICATE GSSAPI").await.starts_with("f NO"));
    assert!(client.ask("g AUTHENTICATE PLAIN").await.starts_with("+"));
    assert!(client.ask("*").await.starts_with("g BAD"));
    assert!(client.ask(&"x".repeat(40_000)).await.starts_with("* BAD"));
    // RFC 3501 section 4.3: who asks before it sends a literal waits for the tag.
    assert!(client.ask("h LOGIN {99999999}").await.starts_with("h BAD"));
    assert!(client.ask("hh LOGIN {10000}").await.starts_with("+"));
    client.send(&"x".repeat(10_000));
    assert!(client.ask(&" y".repeat(5_000)).await.starts_with("hh BAD"));
    assert!(client.ask("i LOGOUT").await.starts_with("* BYE"));
    assert!(client.line().await.starts_with("i OK"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn wrong_and_late_logins() {
    let home = Home::start(&[GOOD]).await;
    let front = edge(&home.name).await;
    for (login, code) in [
        ("a LOGIN alice@example.test wrong", "a NO [AUTHENTICATIONFAILED]"),
        ("a LOGIN alice@example.test \"\"", "a NO [AUTHENTICATIONFAILED]"),
        (
            "a LOGIN alice@example.test \"directory down\"",
            "a NO [UNAVAILABLE]",
        ),
        ("a LOGIN alice@example.test expired", "a NO [EXPIRED]"),
        // The password is right, and no map knows a home: nothing that the user could mend.
        ("a LOGIN bob@example.test secret", "a NO [UNAVAILABLE]"),
        // authzid = bob
        (
            "a AUTHENTICATE PLAIN Ym9iAGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=",
            "a NO [AUTHORIZATIONFAILED]",
        ),
    ] {
        let mut client = greeted(&front).await;
        let done = client.ask(login).await;
        assert!(done.starts_with(code), "{login}: {done}");
    }
    assert!(home.heard().is_empty(), "only valid logins reach a home");
    let mut client = greeted(&front).await;
    for _ in 0..3 {
        client.ask("a LOGIN alice@example.test wrong").await;
    }
    assert!(client.line().await.starts_with("* BYE"));
    assert!(client.is_closed().await);
}

/// What homes do wrong is never shown as a wrong password.
#[tokio::test]
async fn bad_homes() {
    let greeting = Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n");
    let scripts: [&[Do]; 13] = [
        &[],
        &[Say("* BYE too busy\r\n")],
        &[Say("* PREAUTH come in\r\n")],
        &[Say("220 smtp.example.test ESMTP\r\n")],
        &[Say("\u{0}\u{1}\u{2}garbage\r\n")],
        &[greeting.clone(), Hear("AUTHENTICATE")],
        &[greeting.clone(), Hear("AUTHENTICATE"), Say("* OK st")],
        &[greeting.clone(), Hear("AUTHENTICATE"), Hang],
        &[greeting.clone(), Hear("AUTHENTICATE"), Say("WRONGTAG OK in\r\n")],
        &[
            greeting.clone(),
            Hear("AUTHENTICATE"),
            Say("+ more\r\n"),
            Hear(""),
            Say("+ more\r\n"),
        ],
        &[
            greeting.clone(),
            Answer("AUTHENTICATE", "NO [AUTHENTICATIONFAILED] wrong password"),
        ],
        &[greeting.clone(), Answer("AUTHENTICATE", "NO [UNAVAILABLE] later")],
        &[Say("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\r\n"), Hang],
    ];
    for script in scripts {
        let home = Home::start(&[script]).await;
        // Those that hang are given up soon.
        let config = ImapProxyConfig {
            home_timeout: 1,
            ..ImapProxyConfig::default()
        };
        let front = start(&home.name, |_| {}, config).await;
        let mut client = greeted(&front).await;
        let done = client.ask("a LOGIN alice@example.test secret").await;
        assert!(done.starts_with("a NO [UNAVAILABLE]"), "{script:?}: {done}");
        assert!(
            client.ask("b NOOP").await.starts_with("b OK"),
            "the session goes on"
        );
    }
}

#[tokio::test]
async fn homes_that_send_without_end() {
    let greeting = Say("* OK hi\r\n");
    let scripts: [&[Do]; 3] = [
        &[greeting.clone(), Flood("* flood {5}\r\nxxxxx\r\n")],
        &[greeting.clone(), Flood("* an endless line ")],
        &[greeting, Flood("* literal {99999999}\r\n")],
    ];
    for script in scripts {
        let home = Home::start(&[script]).await;
        let front = edge(&home.name).await;
        let mut client = greeted(&front).await;
        let done = client.ask("a LOGIN alice@example.test secret").await;
        assert!(done.starts_with("a NO [UNAVAILABLE]"), "{script:?}: {done}");
    }
}

#[tokio::test]
async fn a_home_that_is_down_is_told_at_once_after_a_while() {
    let front = edge("127.0.0.1:1").await;
    for _ in 0..5 {
        let mut client = greeted(&front).await;
        let done = client.ask("a LOGIN alice@example.test secret").await;
        assert!(done.starts_with("a NO [UNAVAILABLE]"), "{done}");
    }
}

#[tokio::test]
async fn older_homes() {
    // Capabilities only when asked, no SASL-IR, no ID.
    let home = Home::start(&[
        &[
            Say("* OK ready\r\n"),
            Hear("CAPABILITY"),
            Say("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nH1 OK\r\n"),
            Hear("AUTHENTICATE PLAIN"),
            Say("+ \r\n"),
            Hear("AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ="),
            Say("* CAPABILITY IMAP4rev1 UIDPLUS\r\nH2 OK in\r\n"),
            Echo("* ECHO "),
        ],
        // No SASL at all.
        &[
            Say("* OK [CAPABILITY IMAP4rev1] ready\r\n"),
            Hear("LOGIN \"alice@example.test\" \"secret\""),
            Say("H1 OK in\r\n"),
            Hear("CAPABILITY"),
            Say("* CAPABILITY IMAP4rev1 UIDPLUS\r\nH2 OK\r\n"),
            Echo("* ECHO "),
        ],
    ])
    .await;
    let front = edge(&home.name).await;
    let mut client = greeted(&front).await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert_eq!(
        done,
        "a OK [CAPABILITY IMAP4rev1 UIDPLUS] Logged in.",
        "{:?}",
        home.heard()
    );
    let mut client = greeted(&front).await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(
        done.starts_with("a OK [CAPABILITY IMAP4rev1"),
        "{done} {:?}",
        home.heard()
    );
    assert_eq!(client.ask("b NOOP").await, "* ECHO b NOOP");
}

#[tokio::test]
async fn the_home_decides_when_told_to() {
    let no: &[Do] = &[
        Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"),
        Answer("AUTHENTICATE", "NO wrong"),
    ];
    let home = Home::start(&[no, GOOD]).await;
    let front = imap(&home.name, |_| {}, AuthenticateAt::Home).await;
    let mut client = greeted(&front).await;
    let done = client.ask("a LOGIN alice@example.test whatever").await;
    assert!(done.starts_with("a NO [AUTHENTICATIONFAILED]"), "{done}");
    let done = client.ask("b LOGIN nobody@example.test whatever").await;
    assert!(done.starts_with("b NO [AUTHENTICATIONFAILED]"), "{done}");
    let done = client.ask("c LOGIN alice@example.test whatever").await;
    assert!(done.starts_with("c OK"), "{done}");
}

#[tokio::test]
async fn a_home_says_why_not() {
    for (answer, wanted) in [
        ("NO [EXPIRED] change it", "a NO [EXPIRED]"),
        ("NO [PRIVACYREQUIRED] use TLS", "a NO [UNAVAILABLE]"),
        ("NO [UNAVAILABLE] later", "a NO [UNAVAILABLE]"),
    ] {
        let home = Home::start(&[&[
            Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"),
            Answer("AUTHENTICATE", answer),
        ]])
        .await;
        let front = imap(&home.name, |_| {}, AuthenticateAt::Home).await;
        let mut client = greeted(&front).await;
        let done = client.ask("a LOGIN alice@example.test whatever").await;
        assert!(done.starts_with(wanted), "{answer}: {done}");
    }
}

// RFC 3207 section 4.2, CVE-2011-0411.
#[tokio::test]
async fn starttls_discards_what_came_before() {
    let home = Home::start(&[GOOD]).await;
    let front = imap(
        &home.name,
        |config| config.plaintext_login = Some(false),
        AuthenticateAt::Edge,
    )
    .await;
    let mut client = Client::connect(front.address).await;
    let greeting = client.line().await;
    assert!(
        greeting.contains("STARTTLS") && greeting.contains("LOGINDISABLED"),
        "{greeting}"
    );
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(done.starts_with("a NO [PRIVACYREQUIRED]"), "{done}");
    let done = client
        .ask("b STARTTLS\r\nc LOGIN mallory@example.test injected")
        .await;
    assert!(done.starts_with("b OK"), "{done}");
    client
        .0
        .start_tls_client(&front.tls, "localhost", SOON)
        .await
        .expect("a handshake");
    let capabilities = client.ask("d CAPABILITY").await;
    assert!(
        capabilities.starts_with("* CAPABILITY") && capabilities.contains("AUTH=PLAIN"),
        "{capabilities}"
    );
    assert!(!capabilities.contains("STARTTLS") && client.line().await.starts_with("d OK"));
    let done = client.ask("e LOGIN alice@example.test secret").await;
    assert!(done.starts_with("e OK"), "{done}");
    assert_eq!(client.ask("f NOOP").await, "* ECHO f NOOP");
}

#[tokio::test]
async fn claims_count_from_trusted_networks_only() {
    let home = Home::start(&[GOOD]).await;
    let claim = "a ID (\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"99\" \"x-proxy-ttl\" \"3\" \"x-session-id\" \"abc\")";
    let front = imap(&home.name, |_| {}, AuthenticateAt::Edge).await;
    let mut client = greeted(&front).await;
    client.until(claim, "a OK").await;
    client.until("b LOGIN alice@example.test secret", "b OK").await;
    let id = home.line_with("x-originating-ip").expect("told");
    assert!(
        !id.contains("192.0.2.7") && id.contains("\"x-proxy-ttl\" \"6\""),
        "{id}"
    );

    let trust: fn(&mut ListenerConfig) =
        |config| config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    let home = Home::start(&[GOOD]).await;
    let front = imap(&home.name, trust, AuthenticateAt::Edge).await;
    let mut client = greeted(&front).await;
    client.until(claim, "a OK").await;
    client.until("b LOGIN alice@example.test secret", "b OK").await;
    let id = home.line_with("x-originating-ip").expect("told");
    for part in ["\"192.0.2.7\"", "\"99\"", "\"x-proxy-ttl\" \"2\"", "\"abc\""] {
        assert!(id.contains(part), "{part} in {id}");
    }
    // The count has run out.
    let mut client = greeted(&front).await;
    client.until("a ID (\"x-proxy-ttl\" \"1\")", "a OK").await;
    let done = client.ask("b LOGIN alice@example.test secret").await;
    assert!(
        done.starts_with("b NO [UNAVAILABLE] The session goes in circles"),
        "{done}"
    );
}

#[tokio::test]
async fn shutting_down_says_goodbye() {
    let front = edge("127.0.0.1:1").await;
    let mut client = greeted(&front).await;
    front.trigger.request(Duration::from_secs(5));
    assert!(client.line().await.starts_with("* BYE"));
    assert!(client.is_closed().await);
}
