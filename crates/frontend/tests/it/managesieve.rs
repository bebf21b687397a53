//! RFC 5804 at the edge, the ways to log in at a home, and what homes can do wrong.

use crate::support::{Client, Do, Front, Home, OnePassword, SOON, context, context_with, front};
use Do::{Echo, Hang, Hear, Say};
use frontend::managesieve::{ManageSieveProxy, serve};
use frontend::{AuthenticateAt, ManageSieveProxyConfig, ProxyContext};
use model::{Address, Protocol};
use net::{ListenerConfig, SessionEnd, SessionFilter};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

/// base64 of "\0alice@example.test\0secret", and the same with "wrong".
const GOOD_PROOF: &str = "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=";
const BAD_PROOF: &str = "AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw==";
const DOWN_PROOF: &str = "AGFsaWNlQGV4YW1wbGUudGVzdABkaXJlY3RvcnkgZG93bg==";

const GREETING: &str =
    "\"IMPLEMENTATION\" \"a home\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\nOK {5}\r\nready\r\n";

const GOOD: &[Do] = &[
    Say(GREETING),
    Hear("AUTHENTICATE \"PLAIN\" "),
    Say("OK \"in\"\r\n"),
    Echo("ECHO "),
];

async fn sieve(home: &str, configure: fn(&mut ListenerConfig), authenticate: AuthenticateAt) -> Front {
    let config = ManageSieveProxyConfig {
        authenticate,
        max_login_failures: 3,
        ..ManageSieveProxyConfig::default()
    };
    start(context(&[("alice@example.test", home)]), configure, config).await
}

async fn start(
    context: ProxyContext,
    configure: fn(&mut ListenerConfig),
    config: ManageSieveProxyConfig,
) -> Front {
    let proxy = Arc::new(ManageSieveProxy::new(
        &config,
        context,
        Some(Arc::new(OnePassword)),
    ));
    front(Protocol::ManageSieve, configure, move |accepted| {
        serve(accepted, proxy.clone())
    })
    .await
}

/// Connects, and reads the capabilities up to the OK.
async fn greeted(front: &Front) -> (Client, Vec<String>) {
    let mut client = Client::connect(front.address).await;
    let capabilities = listed(&mut client).await;
    (client, capabilities)
}

/// The lines before the status, and the status.
async fn listed(client: &mut Client) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = client.line().await;
        let over = !line.starts_with('"');
        lines.push(line);
        if over {
            return lines;
        }
    }
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|found| found == line)
}

async fn plain(client: &mut Client, proof: &str) -> String {
    client.ask(&format!("AUTHENTICATE \"PLAIN\" \"{proof}\"")).await
}

#[tokio::test]
async fn every_way_to_log_in_ends_in_the_relay() {
    let home = Home::start(&[GOOD]).await;
    let front = sieve(&home.name, |_| {}, AuthenticateAt::Edge).await;
    let (mut client, _) = greeted(&front).await;
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "OK \"Logged in.\"");
    assert_eq!(client.ask("LISTSCRIPTS").await, "ECHO LISTSCRIPTS");
    assert_eq!(
        home.heard()[0],
        format!("AUTHENTICATE \"PLAIN\" \"{GOOD_PROOF}\"")
    );

    // With a literal, and the next command behind it.
    let (mut client, _) = greeted(&front).await;
    let done = client
        .ask(&format!(
            "AUTHENTICATE {{5+}}\r\nPLAIN {{{}+}}\r\n{GOOD_PROOF}\r\nLISTSCRIPTS",
            GOOD_PROOF.len()
        ))
        .await;
    assert_eq!(done, "OK \"Logged in.\"");
    assert_eq!(client.line().await, "ECHO LISTSCRIPTS");

    // RFC 5804 section 2.1: without an initial response the server asks with an empty string.
    let (mut client, _) = greeted(&front).await;
    assert_eq!(client.ask("AUTHENTICATE \"PLAIN\"").await, "\"\"");
    let done = client
        .ask(&format!("{{{}+}}\r\n{GOOD_PROOF}", GOOD_PROOF.len()))
        .await;
    assert_eq!(done, "OK \"Logged in.\"");

    let (mut client, _) = greeted(&front).await;
    assert_eq!(client.ask("AUTHENTICATE \"LOGIN\"").await, "\"VXNlcm5hbWU6\"");
    assert_eq!(
        client.ask("\"YWxpY2VAZXhhbXBsZS50ZXN0\"").await,
        "\"UGFzc3dvcmQ6\""
    );
    assert_eq!(client.ask("\"c2VjcmV0\"").await, "OK \"Logged in.\"");
}

#[tokio::test]
async fn commands_before_the_login() {
    let front = sieve("127.0.0.1:1", |_| {}, AuthenticateAt::Edge).await;
    let (mut client, capabilities) = greeted(&front).await;
    for line in [
        "\"IMPLEMENTATION\" \"Homing\"",
        "\"VERSION\" \"1.0\"",
        "\"SASL\" \"PLAIN LOGIN\"",
        "\"STARTTLS\"",
        "OK \"front.example.test Homing ready.\"",
    ] {
        assert!(has(&capabilities, line), "{line} in {capabilities:?}");
    }
    assert!(
        capabilities
            .iter()
            .any(|line| line.starts_with("\"SIEVE\" \"fileinto "))
    );
    assert!(!has(&capabilities, "\"XCLIENT\""), "{capabilities:?}");
    client.send("CAPABILITY\r\n");
    let again = listed(&mut client).await;
    assert_eq!(again[..again.len() - 1], capabilities[..again.len() - 1]);
    // RFC 5804 section 2.13.
    assert_eq!(
        client.ask("NOOP \"sync \\\"1\\\"\"").await,
        "OK (TAG \"sync \\\"1\\\"\") \"Nothing done.\""
    );
    assert_eq!(client.ask("NOOP").await, "OK \"Nothing done.\"");
    for command in [
        "LISTSCRIPTS",
        "PUTSCRIPT \"x\" {5+}\r\nkeep;",
        "NONSENSE",
        "AUTHENTICATE PLAIN",
        "AUTHENTICATE \"GSSAPI\"",
        "XCLIENT ADDR=192.0.2.7",
        &"x".repeat(20_000),
    ] {
        let reply = client.ask(command).await;
        assert!(reply.starts_with("NO \""), "{command}: {reply}");
    }
    // A cancelled exchange, and one that makes no sense.
    for response in ["\"*\"", "QQ==", "\"Q\""] {
        assert_eq!(client.ask("AUTHENTICATE \"PLAIN\"").await, "\"\"");
        let reply = client.ask(response).await;
        assert!(reply.starts_with("NO \"The exchange"), "{reply}");
    }
    assert_eq!(
        plain(&mut client, BAD_PROOF).await,
        "NO \"Authentication failed.\""
    );
    let reply = plain(&mut client, DOWN_PROOF).await;
    assert!(reply.starts_with("NO (TRYLATER) "), "{reply}");
    assert_eq!(client.ask("LOGOUT").await, "OK \"Goodbye.\"");
    assert!(client.is_closed().await);

    // Octets that nobody wants would be taken for commands.
    for literal in ["PUTSCRIPT \"x\" {1000000+}", "PUTSCRIPT \"x\" {5}"] {
        let (mut client, _) = greeted(&front).await;
        let reply = client.ask(literal).await;
        assert!(reply.starts_with("BYE "), "{literal}: {reply}");
        assert!(client.is_closed().await);
    }
    let (mut client, _) = greeted(&front).await;
    for _ in 0..3 {
        plain(&mut client, BAD_PROOF).await;
    }
    assert_eq!(client.line().await, "BYE \"Too many failed logins.\"");
}

#[tokio::test]
async fn bad_homes() {
    let scripts: [&[Do]; 12] = [
        &[],
        &[Say("BYE (TRYLATER) \"busy\"\r\n")],
        &[Say("NO \"not now\"\r\n")],
        &[Say("* OK IMAP\r\n")],
        &[Say("\"SIEVE\" {99999999}\r\n")],
        &[Do::Flood("\"X\" \"Y\"\r\n")],
        &[Say("\"SASL\" \"GSSAPI\"\r\nOK\r\n")],
        &[Say(GREETING), Hear("AUTHENTICATE"), Say("N")],
        &[Say(GREETING), Hear("AUTHENTICATE"), Hang],
        &[Say(GREETING), Hear("AUTHENTICATE"), Say("\"\"\r\n"), Hang],
        // The password was right: it is never said to be wrong.
        &[
            Say(GREETING),
            Hear("AUTHENTICATE"),
            Say("NO \"Authentication failed.\"\r\n"),
        ],
        &[
            Say(GREETING),
            Hear("AUTHENTICATE"),
            Say("NO (TRYLATER) \"busy\"\r\n"),
        ],
    ];
    for script in scripts {
        let home = Home::start(&[script]).await;
        // Those that hang are given up soon.
        let config = ManageSieveProxyConfig {
            home_timeout: 1,
            ..ManageSieveProxyConfig::default()
        };
        let front = start(context(&[("alice@example.test", &home.name)]), |_| {}, config).await;
        let (mut client, _) = greeted(&front).await;
        let done = plain(&mut client, GOOD_PROOF).await;
        assert!(done.starts_with("NO (TRYLATER) "), "{script:?}: {done}");
    }
}

/// Where the home alone decides, its no is a no, but what it says of itself is not.
#[tokio::test]
async fn a_home_that_decides() {
    for (answer, expected) in [
        ("NO \"wrong\"\r\n", "NO \"Authentication failed.\""),
        ("NO (TRYLATER) \"busy\"\r\n", "NO (TRYLATER) "),
        ("NO (ENCRYPT-NEEDED) \"TLS first\"\r\n", "NO (TRYLATER) "),
        ("BYE \"shutting down\"\r\n", "NO (TRYLATER) "),
    ] {
        let home = Home::start(&[&[Say(GREETING), Hear("AUTHENTICATE"), Say(answer)]]).await;
        let front = sieve(&home.name, |_| {}, AuthenticateAt::Home).await;
        let (mut client, _) = greeted(&front).await;
        let done = plain(&mut client, BAD_PROOF).await;
        assert!(done.starts_with(expected), "{answer}: {done}");
        assert_eq!(home.heard(), [format!("AUTHENTICATE \"PLAIN\" \"{BAD_PROOF}\"")]);
    }
    // No password is shown to a home that wants TLS first.
    let home = Home::start(&[&[Say("\"SASL\" \"\"\r\n\"STARTTLS\"\r\nOK\r\n"), Hear("")]]).await;
    let front = sieve(&home.name, |_| {}, AuthenticateAt::Home).await;
    let (mut client, _) = greeted(&front).await;
    let done = plain(&mut client, GOOD_PROOF).await;
    assert!(done.starts_with("NO (TRYLATER) "), "{done}");
    assert!(home.line_with(GOOD_PROOF).is_none(), "{:?}", home.heard());
}

// CVE-2011-0411 and RFC 5804 section 2.2.
#[tokio::test]
async fn starttls_discards_what_came_before() {
    let home = Home::start(&[GOOD]).await;
    let front = sieve(
        &home.name,
        |config| config.plaintext_login = Some(false),
        AuthenticateAt::Edge,
    )
    .await;
    let (mut client, capabilities) = greeted(&front).await;
    assert!(has(&capabilities, "\"SASL\" \"\""), "{capabilities:?}");
    let reply = plain(&mut client, GOOD_PROOF).await;
    assert_eq!(reply, "NO (ENCRYPT-NEEDED) \"Start TLS first.\"");
    let reply = client.ask("STARTTLS\r\nNOOP \"injected\"").await;
    assert!(reply.starts_with("OK "), "{reply}");
    client
        .0
        .start_tls_client(&front.tls, "localhost", SOON)
        .await
        .expect("a handshake");
    let capabilities = listed(&mut client).await;
    assert!(has(&capabilities, "\"SASL\" \"PLAIN LOGIN\""), "{capabilities:?}");
    assert!(!has(&capabilities, "\"STARTTLS\""), "{capabilities:?}");
    assert_eq!(
        client.ask("NOOP \"mine\"").await,
        "OK (TAG \"mine\") \"Nothing done.\""
    );
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "OK \"Logged in.\"");
}

#[tokio::test]
async fn claims_count_from_trusted_networks_only() {
    let claim = "XCLIENT ADDR=192.0.2.7 PORT=99 SESSION=00000000000000aa TTL=3";
    let trust: fn(&mut ListenerConfig) =
        |config| config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    let home = Home::start(&[&[
        Say("\"SASL\" \"PLAIN\"\r\n\"XCLIENT\"\r\nOK\r\n"),
        Hear("XCLIENT"),
        Say("OK \"Updated\"\r\n"),
        Hear("AUTHENTICATE"),
        Say("OK\r\n"),
        Echo("ECHO "),
    ]])
    .await;
    let front = sieve(&home.name, trust, AuthenticateAt::Edge).await;
    let (mut client, capabilities) = greeted(&front).await;
    assert!(has(&capabilities, "\"XCLIENT\""), "{capabilities:?}");
    assert_eq!(client.ask(claim).await, "OK \"Updated.\"");
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "OK \"Logged in.\"");
    assert_eq!(
        home.heard()[0],
        "XCLIENT ADDR=192.0.2.7 PORT=99 SESSION=00000000000000aa TTL=2"
    );
    // The count has run out.
    let (mut client, _) = greeted(&front).await;
    client.ask("XCLIENT TTL=1").await;
    let done = plain(&mut client, GOOD_PROOF).await;
    assert!(
        done.starts_with("NO (TRYLATER) \"The session goes in circles"),
        "{done}"
    );
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
        "managesieve": { "port": address.port(), "login": "master" },
    });
    let context = context_with(&[("alice@example.test", "store")], &[store]);
    let (sessions, metrics) = (context.sessions.clone(), context.metrics.clone());
    let front = start(context, |_| {}, ManageSieveProxyConfig::default()).await;
    let (mut client, _) = greeted(&front).await;
    assert_eq!(plain(&mut client, GOOD_PROOF).await, "OK \"Logged in.\"");
    let response = wire::sasl::encode_base64(b"alice@example.test\0front\0key");
    assert_eq!(home.heard()[0], format!("AUTHENTICATE \"PLAIN\" \"{response}\""));
    let of_alice = SessionFilter {
        account: Address::parse("alice@example.test").ok(),
        protocol: Some(Protocol::ManageSieve),
        ..SessionFilter::default()
    };
    assert_eq!(sessions.count(&of_alice), 1);
    assert_eq!(sessions.end(&of_alice, SessionEnd::Kicked), 1);
    assert!(client.is_closed().await, "nothing is said into the stream");
    let text = metrics.render();
    for line in [
        "homing_proxy_logins_total{protocol=\"managesieve\",home=\"store\",outcome=\"ok\"} 1",
        "homing_proxy_sessions_ended_total{protocol=\"managesieve\",home=\"store\",reason=\"kicked\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn shutting_down_says_goodbye() {
    let front = sieve("127.0.0.1:1", |_| {}, AuthenticateAt::Edge).await;
    let (mut client, _) = greeted(&front).await;
    front.trigger.request(std::time::Duration::from_secs(5));
    let last = client.line().await;
    assert!(last.starts_with("BYE "), "{last}");
    assert!(client.is_closed().await);
}
