//! RFC 1939 section 4 at the edge, and what homes can do wrong.

use crate::support::{Client, Do, Front, Home, OnePassword, SOON, context, front};
use Do::{Echo, Hang, Hear, Say};
use frontend::pop3::{Pop3Proxy, serve};
use frontend::{AuthenticateAt, Pop3ProxyConfig};
use model::Protocol;
use net::ListenerConfig;
use std::sync::Arc;

const GOOD: &[Do] = &[
    Say("+OK ready\r\n"),
    Hear("USER alice@example.test"),
    Say("+OK\r\n"),
    Hear("PASS secret"),
    Say("+OK in\r\n"),
    Echo("+OK ECHO "),
];

async fn pop3(home: &str, configure: fn(&mut ListenerConfig), authenticate: AuthenticateAt) -> Front {
    let config = Pop3ProxyConfig {
        authenticate,
        max_login_failures: 3,
        ..Pop3ProxyConfig::default()
    };
    start(home, configure, config).await
}

async fn start(home: &str, configure: fn(&mut ListenerConfig), config: Pop3ProxyConfig) -> Front {
    let context = context(&[("alice@example.test", home)]);
    let proxy = Arc::new(Pop3Proxy::new(&config, context, Some(Arc::new(OnePassword))));
    front(Protocol::Pop3, configure, move |accepted| {
        serve(accepted, proxy.clone())
    })
    .await
}

async fn greeted(front: &Front) -> Client {
    let mut client = Client::connect(front.address).await;
    assert!(client.line().await.starts_with("+OK"));
    client
}

async fn log_in(client: &mut Client, password: &str) -> String {
    client.ask("USER alice@example.test").await;
    client.ask(&format!("PASS {password}")).await
}

#[tokio::test]
async fn every_way_to_log_in_ends_in_the_relay() {
    let home = Home::start(&[GOOD]).await;
    let front = pop3(&home.name, |_| {}, AuthenticateAt::Edge).await;
    let mut client = greeted(&front).await;
    assert!(log_in(&mut client, "secret").await.starts_with("+OK"));
    assert_eq!(client.ask("STAT").await, "+OK ECHO STAT");
    let mut client = greeted(&front).await;
    let done = client
        .ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\r\nSTAT")
        .await;
    assert!(done.starts_with("+OK"), "{done}");
    assert_eq!(client.line().await, "+OK ECHO STAT");
    let mut client = greeted(&front).await;
    assert!(client.ask("AUTH LOGIN").await.starts_with("+ "));
    assert!(client.ask("YWxpY2VAZXhhbXBsZS50ZXN0").await.starts_with("+ "));
    assert!(client.ask("c2VjcmV0").await.starts_with("+OK"));
}

#[tokio::test]
async fn commands_before_the_login() {
    let front = pop3("127.0.0.1:1", |_| {}, AuthenticateAt::Edge).await;
    let mut client = greeted(&front).await;
    client.send("CAPA\r\n");
    let mut capabilities = Vec::new();
    while capabilities.last().is_none_or(|line| line != ".") {
        capabilities.push(client.line().await);
    }
    for line in [
        "USER",
        "STLS",
        "SASL PLAIN LOGIN",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "UIDL",
    ] {
        assert!(
            capabilities.iter().any(|found| found == line),
            "{line} in {capabilities:?}"
        );
    }
    assert!(client.ask("STAT").await.starts_with("-ERR"));
    assert!(client.ask("PASS secret").await.starts_with("-ERR"));
    assert!(client.ask("NONSENSE").await.starts_with("-ERR"));
    assert!(client.ask(&"x".repeat(10_000)).await.starts_with("-ERR"));
    assert!(log_in(&mut client, "wrong").await.starts_with("-ERR [AUTH]"));
    assert!(
        log_in(&mut client, "directory down")
            .await
            .starts_with("-ERR [SYS/TEMP]")
    );
    assert!(client.ask("QUIT").await.starts_with("+OK"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn bad_homes() {
    let scripts: [&[Do]; 8] = [
        &[],
        &[Say("-ERR [SYS/TEMP] busy\r\n")],
        &[Say("* OK IMAP\r\n")],
        &[Say("+OK\r\n"), Hear("USER")],
        &[
            Say("+OK\r\n"),
            Hear("USER"),
            Say("+OK\r\n"),
            Hear("PASS"),
            Say("+O"),
        ],
        &[Say("+OK\r\n"), Hear("USER"), Say("+OK\r\n"), Hear("PASS"), Hang],
        &[
            Say("+OK\r\n"),
            Hear("USER"),
            Say("+OK\r\n"),
            Hear("PASS"),
            Say("-ERR [AUTH] wrong\r\n"),
        ],
        &[
            Say("+OK\r\n"),
            Hear("USER"),
            Say("+OK\r\n"),
            Hear("PASS"),
            Say("-ERR [IN-USE] busy\r\n"),
        ],
    ];
    for script in scripts {
        let home = Home::start(&[script]).await;
        // Those that hang are given up soon.
        let config = Pop3ProxyConfig {
            home_timeout: 1,
            ..Pop3ProxyConfig::default()
        };
        let front = start(&home.name, |_| {}, config).await;
        let mut client = greeted(&front).await;
        let done = log_in(&mut client, "secret").await;
        assert!(done.starts_with("-ERR [SYS/TEMP]"), "{script:?}: {done}");
    }
}

#[tokio::test]
async fn xclient_and_passwords_that_fit_no_line() {
    let home = Home::start(&[&[
        Say("+OK [XCLIENT] Dovecot ready.\r\n"),
        Hear("XCLIENT ADDR=127.0.0.1 PORT="),
        Say("+OK Updated\r\n"),
        Hear("AUTH PLAIN"),
        Say("+ \r\n"),
        Hear(""),
        Say("+OK in\r\n"),
        Echo("+OK ECHO "),
    ]])
    .await;
    let front = pop3(&home.name, |_| {}, AuthenticateAt::Home).await;
    let mut client = greeted(&front).await;
    // "\0alice@example.test\0a\r\nDELE 1": the line break must not become a command.
    let done = client
        .ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABhDQpERUxFIDE=")
        .await;
    assert!(done.starts_with("+OK"), "{done} {:?}", home.heard());
    assert_eq!(
        home.heard().last().map(String::as_str),
        Some("AGFsaWNlQGV4YW1wbGUudGVzdABhDQpERUxFIDE=")
    );
    let xclient = home.line_with("XCLIENT").expect("told");
    assert!(
        xclient.contains(" TTL=6") && xclient.contains(" SESSION="),
        "{xclient}"
    );
}

// RFC 2595 section 4, CVE-2011-0411.
#[tokio::test]
async fn stls_discards_what_came_before() {
    let home = Home::start(&[GOOD]).await;
    let front = pop3(
        &home.name,
        |config| config.plaintext_login = Some(false),
        AuthenticateAt::Edge,
    )
    .await;
    let mut client = greeted(&front).await;
    assert!(client.ask("USER alice@example.test").await.starts_with("-ERR"));
    assert!(
        client
            .ask("STLS\r\nUSER mallory@example.test")
            .await
            .starts_with("+OK")
    );
    client
        .0
        .start_tls_client(&front.tls, "localhost", SOON)
        .await
        .expect("a handshake");
    assert!(
        client.ask("PASS secret").await.starts_with("-ERR"),
        "no USER has been said"
    );
    assert!(log_in(&mut client, "secret").await.starts_with("+OK"));
}

#[tokio::test]
async fn claims_count_from_trusted_networks_only() {
    let claim = "XCLIENT ADDR=192.0.2.7 PORT=99 SESSION=00000000000000aa TTL=3";
    let front = pop3("127.0.0.1:1", |_| {}, AuthenticateAt::Edge).await;
    let mut client = greeted(&front).await;
    assert!(client.ask(claim).await.starts_with("-ERR"));

    let trust: fn(&mut ListenerConfig) =
        |config| config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    let home = Home::start(&[&[Say("+OK [XCLIENT] ready\r\n"), Hear("XCLIENT"), Say("+OK\r\n")]]).await;
    let front = pop3(&home.name, trust, AuthenticateAt::Edge).await;
    let mut client = Client::connect(front.address).await;
    assert!(client.line().await.starts_with("+OK [XCLIENT] "));
    assert!(client.ask(claim).await.starts_with("+OK"));
    log_in(&mut client, "secret").await;
    let told = home.line_with("XCLIENT").expect("told");
    assert_eq!(
        told,
        "XCLIENT ADDR=192.0.2.7 PORT=99 SESSION=00000000000000aa TTL=2"
    );
    // The count has run out.
    let mut client = Client::connect(front.address).await;
    client.line().await;
    client.ask("XCLIENT TTL=1").await;
    let done = log_in(&mut client, "secret").await;
    assert!(
        done.starts_with("-ERR [SYS/TEMP] The session goes in circles"),
        "{done}"
    );
}

/// Who sits on the way could claim anything before the handshake.
#[tokio::test]
async fn claims_from_before_stls_are_forgotten() {
    let trust: fn(&mut ListenerConfig) =
        |config| config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    let home = Home::start(&[&[Say("+OK [XCLIENT] ready\r\n"), Hear("XCLIENT"), Say("+OK\r\n")]]).await;
    let front = pop3(&home.name, trust, AuthenticateAt::Edge).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    client
        .ask("XCLIENT ADDR=192.0.2.7 PORT=99 SESSION=00000000000000aa TTL=1")
        .await;
    assert!(client.ask("STLS").await.starts_with("+OK"));
    client
        .0
        .start_tls_client(&front.tls, "localhost", SOON)
        .await
        .expect("a handshake");
    log_in(&mut client, "secret").await;
    let told = home.line_with("XCLIENT").expect("told");
    assert!(
        told.contains("ADDR=127.0.0.1 ") && told.contains(" TTL=6 ") && !told.contains("00aa"),
        "{told}"
    );
    // The client's connection is encrypted now, whatever ours to the home is.
    let transport = wire::sasl::encode_base64(b"transport=TLS");
    assert!(told.ends_with(&format!(" FORWARD={transport}")), "{told}");
}

/// What a home says for reasons of its own is never "wrong password", also where the home alone decides.
#[tokio::test]
async fn a_home_with_troubles_of_its_own() {
    for (greeting, answer) in [
        ("+OK\r\n", "-ERR [SYS/PERM] index is broken\r\n"),
        ("+OK\r\n", "-ERR [SYS/TEMP] busy\r\n"),
    ] {
        let home = Home::start(&[&[
            Say(greeting),
            Hear("USER"),
            Say("+OK\r\n"),
            Hear("PASS"),
            Say(answer),
        ]])
        .await;
        let front = pop3(&home.name, |_| {}, AuthenticateAt::Home).await;
        let mut client = greeted(&front).await;
        let done = log_in(&mut client, "secret").await;
        assert!(done.starts_with("-ERR [SYS/TEMP]"), "{answer}: {done}");
    }
    // Four sessions that have gone in circles do not take the home down.
    let home = Home::start(&[&[
        Say("+OK [XCLIENT] ready\r\n"),
        Hear("XCLIENT"),
        Say("-ERR [SYS/PERM] too many front ends in a row\r\n"),
    ]])
    .await;
    let front = pop3(&home.name, |_| {}, AuthenticateAt::Edge).await;
    let mut client = greeted(&front).await;
    for _ in 0..4 {
        let done = log_in(&mut client, "secret").await;
        assert!(done.starts_with("-ERR [SYS/TEMP]"), "{done}");
    }
    let told = home
        .heard()
        .iter()
        .filter(|line| line.starts_with("XCLIENT"))
        .count();
    assert_eq!(told, 4, "it is still tried");
}

/// A home that wants TLS first refuses the name unheard, with or without a code; an unknown name is refused too.
#[tokio::test]
async fn a_home_that_takes_no_password_in_the_clear() {
    let no_password = "+OK\r\nTOP\r\nSTLS\r\n.\r\n";
    for (refusal, capabilities, expected) in [
        ("-ERR start TLS first\r\n", no_password, "-ERR [SYS/TEMP]"),
        ("-ERR [AUTH] not in the clear\r\n", no_password, "-ERR [SYS/TEMP]"),
        ("-ERR never heard of\r\n", "+OK\r\nUSER\r\n.\r\n", "-ERR [AUTH]"),
        (
            "-ERR never heard of\r\n",
            "+OK\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n",
            "-ERR [AUTH]",
        ),
        ("-ERR never heard of\r\n", "-ERR what?\r\n", "-ERR [AUTH]"),
    ] {
        let home = Home::start(&[&[
            Say("+OK\r\n"),
            Hear("USER"),
            Say(refusal),
            Hear("CAPA"),
            Say(capabilities),
        ]])
        .await;
        let front = pop3(&home.name, |_| {}, AuthenticateAt::Home).await;
        let mut client = greeted(&front).await;
        let done = log_in(&mut client, "secret").await;
        assert!(done.starts_with(expected), "{refusal} {capabilities}: {done}");
        assert!(home.line_with("PASS").is_none(), "the password was told");
    }
}

#[tokio::test]
async fn shutting_down_says_goodbye() {
    let front = pop3("127.0.0.1:1", |_| {}, AuthenticateAt::Edge).await;
    let mut client = greeted(&front).await;
    front.trigger.request(std::time::Duration::from_secs(5));
    let last = client.line().await;
    assert!(last.starts_with("-ERR [SYS/TEMP]"), "{last}");
    assert!(client.is_closed().await);
}
