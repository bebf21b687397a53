//! A real Cyrus as a foreign home: mail in, and logins with the user's own password and with the master's; in the clear
//! and over TLS.

use crate::dovecot::{deliver, sieve_front, sieve_login};
use crate::support::{Client, Front, OnePassword, SOON, certificate, context_with, front};
use frontend::{AuthenticateAt, ImapProxyConfig, ProxyContext, imap, pop3};
use model::{Authenticator, Protocol};
use net::{ListenerConfig, SessionFilter, TlsMode};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use testkit::{CYRUS_ADMIN, Cyrus};

pub(crate) const USERS: [(&str, &str); 2] = [
    ("alice@example.test", "secret"),
    ("other@example.test", "another"),
];

/// The home, and the folder with the master's password.
pub(crate) fn home(server: &Cyrus, login: &str) -> (serde_json::Value, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("master");
    std::fs::write(&secret, CYRUS_ADMIN.1).expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("kept to us");
    let mut home = json!({
        "name": "store", "host": "127.0.0.1",
        "imap": { "port": server.imap, "login": login },
        "pop3": { "port": server.pop3, "login": login },
        "managesieve": { "port": server.sieve, "login": login },
        "lmtp": { "port": server.lmtp },
    });
    if login == "master" {
        home["master_user"] = json!(CYRUS_ADMIN.0);
        home["master_password_file"] = json!(secret);
    }
    (home, folder)
}

async fn fronts(context: &ProxyContext, edge: Option<Arc<dyn Authenticator>>) -> (Front, Front) {
    let config = ImapProxyConfig {
        authenticate: match edge {
            Some(_) => AuthenticateAt::Edge,
            None => AuthenticateAt::Home,
        },
        ..ImapProxyConfig::default()
    };
    let proxy = imap::ImapProxy::new(&config, context.clone(), edge.clone());
    let proxy = Arc::new(proxy);
    let imap = front(
        Protocol::Imap,
        |_| {},
        move |accepted| imap::serve(accepted, proxy.clone()),
    )
    .await;
    let proxy = pop3::Pop3Proxy::new(&config, context.clone(), edge);
    let proxy = Arc::new(proxy);
    let pop3 = front(
        Protocol::Pop3,
        |_| {},
        move |accepted| pop3::serve(accepted, proxy.clone()),
    )
    .await;
    (imap, pop3)
}

/// A front end for IMAP whose clients a PROXY header names.
async fn proxied(context: &ProxyContext, edge: Option<Arc<dyn Authenticator>>, mode: &str) -> Front {
    let config = ImapProxyConfig {
        authenticate: match edge {
            Some(_) => AuthenticateAt::Edge,
            None => AuthenticateAt::Home,
        },
        ..ImapProxyConfig::default()
    };
    let proxy = Arc::new(imap::ImapProxy::new(&config, context.clone(), edge));
    fn trusting(config: &mut ListenerConfig) {
        config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
        config.proxy_protocol = true;
    }
    let configure: fn(&mut ListenerConfig) = match mode {
        "implicit" => |config| {
            trusting(config);
            config.tls = Some(TlsMode::Implicit);
        },
        _ => trusting,
    };
    front(Protocol::Imap, configure, move |accepted| {
        imap::serve(accepted, proxy.clone())
    })
    .await
}

/// The line of Cyrus' log that has all of this.
async fn logged(server: &Cyrus, parts: &[&str]) -> String {
    for _ in 0..2_000 {
        let log = server.log();
        let found = log
            .lines()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        if let Some(line) = found {
            return line.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{parts:?} is not in the log:\n{}", server.log());
}

/// (plain, STARTTLS, implicit) x (checked at the edge, at the home) x (replay, master). Cyrus writes what ID says beside
/// the session that has logged in. It has nothing like it in POP3, ManageSieve and LMTP (no XCLIENT, no PROXY header):
/// there the message's own trace field is what arrives, which the last test has.
#[tokio::test(flavor = "multi_thread")]
async fn cyrus_is_told_who_the_client_is() {
    let server = Cyrus::start(&USERS, "").expect("Cyrus starts");
    let edge: Arc<dyn Authenticator> = Arc::new(OnePassword);
    let mut row = 100;
    for (login, edge) in [("replay", Some(&edge)), ("master", Some(&edge)), ("replay", None)] {
        let (settings, _secret) = home(&server, login);
        let context = context_with(&[("@example.test", "store")], &[settings]);
        for mode in ["plain", "starttls", "implicit"] {
            row += 1;
            let source = format!("192.0.2.{row}");
            let front = proxied(&context, edge.cloned(), mode).await;
            let mut client = Client::connect(front.address).await;
            client.send(&format!("PROXY TCP4 {source} 192.0.2.1 4242 143\r\n"));
            if mode == "starttls" {
                client.line().await;
                assert!(client.ask("s STARTTLS").await.starts_with("s OK"));
            }
            if mode != "plain" {
                let handshake = client.0.start_tls_client(&front.tls, "localhost", SOON);
                handshake.await.expect("a handshake");
            }
            let done = client.until("a LOGIN alice@example.test secret", "a ").await;
            assert!(
                done.starts_with("a OK"),
                "{login} {mode}: {done}\n{}",
                server.log()
            );
            let here = context.sessions.list(&SessionFilter::default(), 0, 2);
            assert_eq!(here.len(), 1, "{login} {mode}");
            let transport = if mode == "plain" { "insecure" } else { "TLS" };
            let told = [
                "client id sessionid=<",
                &format!("\"x-originating-ip\" \"{source}\""),
                "\"x-originating-port\" \"4242\"",
                "\"x-connected-ip\" \"192.0.2.1\"",
                &format!("\"x-session-id\" \"{}\"", here[0].about.trace),
                &format!("\"x-forward-transport\" \"{transport}\""),
                "\"x-proxy-ttl\" \"6\"",
            ];
            let line = logged(&server, &told).await;
            let session = line
                .split_once("sessionid=<")
                .and_then(|(_, rest)| rest.split_once('>'))
                .expect("a session")
                .0
                .to_owned();
            logged(&server, &["login: ", "alice@example.test", &session]).await;
            client.until("z LOGOUT", "z OK").await;
            drop(client);
            while !context.sessions.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

/// How many messages alice sees over both protocols.
async fn read_mail((imap, pop3): &(Front, Front), messages: usize) {
    let mut client = Client::connect(imap.address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    // Cyrus says what it can after the login, and a front end passes that on.
    assert!(
        done.starts_with("a OK [CAPABILITY IMAP4rev1 ") && done.contains("QRESYNC"),
        "{done}"
    );
    client.send("b SELECT INBOX\r\n");
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.starts_with("b ")) {
        lines.push(client.line().await);
    }
    assert!(lines.contains(&format!("* {messages} EXISTS")), "{lines:?}");
    client.until("c LOGOUT", "c OK").await;
    assert!(client.is_closed().await);

    let mut client = Client::connect(pop3.address).await;
    client.line().await;
    client.ask("USER alice@example.test").await;
    let done = client.ask("PASS secret").await;
    assert!(done.starts_with("+OK"), "{done}");
    let stat = client.ask("STAT").await;
    assert!(stat.starts_with(&format!("+OK {messages} ")), "{stat}");
    client.ask("QUIT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cyrus_is_a_home_like_any_other() {
    let server = Cyrus::start(&USERS, "").expect("Cyrus starts");
    let (replay, _none) = home(&server, "replay");
    let context = context_with(&[("@example.test", "store")], &[replay]);
    deliver(context.clone()).await;
    let edge: Arc<dyn Authenticator> = Arc::new(OnePassword);
    for edge in [Some(edge.clone()), None] {
        let fronts = fronts(&context, edge.clone()).await;
        read_mail(&fronts, 1).await;
        // A wrong password is "no" by whoever says it; a right one that Cyrus refuses is not.
        let mut client = Client::connect(fronts.0.address).await;
        client.line().await;
        let done = client.ask("a LOGIN alice@example.test wrong").await;
        assert!(done.starts_with("a NO [AUTHENTICATIONFAILED]"), "{done}");
        let done = client.ask("b LOGIN other@example.test secret").await;
        let expected = match edge {
            Some(_) => "b NO [UNAVAILABLE]",
            None => "b NO [AUTHENTICATIONFAILED]",
        };
        assert!(done.starts_with(expected), "{done}");
    }
    let sieve = sieve_front(context, |_| {}).await;
    let mut client = Client::connect(sieve.address).await;
    assert!(sieve_login(&mut client).await.starts_with("OK"));
    assert!(
        client
            .ask("PUTSCRIPT \"mine\" {5+}\r\nkeep;")
            .await
            .starts_with("OK")
    );
    assert_eq!(client.ask("LISTSCRIPTS").await, "\"mine\"");

    let (master, _secret) = home(&server, "master");
    let context = context_with(&[("@example.test", "store")], &[master]);
    let both = fronts(&context, Some(edge)).await;
    read_mail(&both, 1).await;
    let sieve = sieve_front(context, |_| {}).await;
    let mut client = Client::connect(sieve.address).await;
    assert!(sieve_login(&mut client).await.starts_with("OK"));
    assert_eq!(client.ask("LISTSCRIPTS").await, "\"mine\"");
}

/// Over TLS, with a certificate that is verified: with another authority no password leaves the front end.
#[tokio::test(flavor = "multi_thread")]
async fn cyrus_is_a_home_over_tls() {
    let (files, _, _) = certificate();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    // Cyrus reads them as a user of its own.
    for (path, mode) in [(files.path(), 0o755), (&cert, 0o644), (&key, 0o644)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("shown to all");
    }
    let settings = format!(
        "tls_server_cert: {}\ntls_server_key: {}",
        cert.display(),
        key.display()
    );
    let server = Cyrus::start(&USERS, &settings).expect("Cyrus starts");
    let edge: Arc<dyn Authenticator> = Arc::new(OnePassword);
    let (strangers, _, _) = certificate();
    for (ca, is_in) in [(cert, true), (strangers.path().join("cert.pem"), false)] {
        let (mut home, _none) = home(&server, "replay");
        home["host"] = json!("localhost");
        home["ca_file"] = json!(ca);
        for service in ["imap", "pop3", "managesieve"] {
            home[service]["tls"] = json!("starttls");
        }
        let context = context_with(&[("@example.test", "store")], &[home]);
        let fronts = fronts(&context, Some(edge.clone())).await;
        let mut client = Client::connect(fronts.0.address).await;
        client.line().await;
        let done = client.ask("a LOGIN alice@example.test secret").await;
        let wanted = if is_in { "a OK" } else { "a NO [UNAVAILABLE]" };
        assert!(done.starts_with(wanted), "{done}\n{}", server.log());
        if is_in {
            read_mail(&fronts, 0).await;
        }
        let sieve = sieve_front(context, |_| {}).await;
        let mut client = Client::connect(sieve.address).await;
        let done = sieve_login(&mut client).await;
        let wanted = if is_in { "OK" } else { "NO (TRYLATER)" };
        assert!(done.starts_with(wanted), "{done}\n{}", server.log());
    }
}
