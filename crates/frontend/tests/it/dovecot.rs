//! A real Dovecot as a foreign home: TLS to it, the login, and whether it learns who the client is.

use crate::support::{Client, OnePassword, SOON, context_with, domains, front, listed_domains};
use frontend::assertion::{KeyRing, Minter, dovecot_tree};
use frontend::{
    HomeProtocol, ImapProxyConfig, ManageSieveProxyConfig, Pop3ProxyConfig, ProxyContext, SmtpProxyConfig,
    imap, managesieve, pop3, smtp,
};
use model::{Clock, Protocol, SystemClock};
use net::ListenerConfig;
use serde_json::json;
use std::sync::Arc;
use testkit::Dovecot;

const ALICE: &str = "alice@example.test";

/// Dovecot with a certificate for `localhost`, and a home that verifies it against `ca`.
fn dovecot() -> (Dovecot, tempfile::TempDir, serde_json::Value) {
    let (files, _, _) = crate::support::certificate();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let settings = format!(
        "ssl = yes\nssl_cert = <{}\nssl_key = <{}\nlogin_trusted_networks = 127.0.0.1\n\
         login_log_format_elements = user=<%u> rip=%r %k session=<%{{session}}>\n",
        cert.display(),
        key.display()
    );
    let server = Dovecot::start(&[(ALICE, "secret"), ("other@example.test", "another")], &settings)
        .expect("Dovecot starts");
    let home = json!({
        "name": "store", "host": "localhost", "ca_file": cert,
        "imap": { "port": server.imap, "tls": "starttls" },
        "pop3": { "port": server.pop3, "tls": "starttls" },
        "lmtp": { "port": server.lmtp },
        "managesieve": { "port": server.sieve, "tls": "starttls" },
    });
    (server, files, home)
}

/// The first line of the log that holds this text, once it is there.
async fn logged(server: &Dovecot, text: &str) -> String {
    for _ in 0..1_000 {
        if let Some(line) = server.log().lines().find(|line| line.contains(text)) {
            return line.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{text} is not in the log:\n{}", server.log());
}

fn trusting(config: &mut ListenerConfig) {
    config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    config.proxy_protocol = true;
}

/// A client that the front end takes for another machine.
async fn from_afar(address: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    client.send("PROXY TCP4 192.0.2.7 192.0.2.1 4242 143\r\n");
    client
}

pub(crate) async fn deliver(context: ProxyContext) {
    let config = SmtpProxyConfig {
        domains: listed_domains(&["example.test"]),
        home_protocol: HomeProtocol::Lmtp,
        ..SmtpProxyConfig::default()
    };
    let proxy = Arc::new(
        smtp::SmtpProxy::new(config.clone(), context, domains(&config.domains)).expect("good homes"),
    );
    let front = front(
        Protocol::Smtp,
        |_| {},
        move |accepted| smtp::serve(accepted, proxy.clone()),
    )
    .await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    client.until("EHLO client.test", "250 ").await;
    client.ask("MAIL FROM:<sender@elsewhere.test>").await;
    let reply = client.ask("RCPT TO:<alice@example.test>").await;
    assert!(reply.starts_with("250"), "{reply}");
    let reply = client.ask("RCPT TO:<nobody@example.test>").await;
    assert!(reply.starts_with("452 4.5.3"), "one at a time: {reply}");
    client.ask("DATA").await;
    let reply = client.ask("Subject: through the front\r\n\r\n..x\r\n.").await;
    assert!(reply.starts_with("250 2."), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_in_and_out() {
    let (server, _files, home) = dovecot();
    let context = context_with(&[("@example.test", "store")], &[home]);
    deliver(context.clone()).await;

    let config = ImapProxyConfig::default();
    let proxy = Arc::new(imap::ImapProxy::new(
        &config,
        context.clone(),
        Some(Arc::new(OnePassword)),
    ));
    let imap = front(Protocol::Imap, trusting, move |accepted| {
        imap::serve(accepted, proxy.clone())
    })
    .await;
    let mut client = from_afar(imap.address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(
        done.starts_with("a OK [CAPABILITY IMAP4rev1 ") && done.contains("IDLE"),
        "{done} {}",
        server.log()
    );
    let done = client.until("b SELECT INBOX", "b ").await;
    assert!(done.starts_with("b OK"), "{done}");
    let subject = client
        .until("c FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]", "Subject")
        .await;
    assert_eq!(subject, "Subject: through the front");
    client.until("d LOGOUT", "d OK").await;
    assert!(client.is_closed().await);
    let line = logged(&server, "imap-login: Info: Login").await;
    assert!(line.contains("rip=192.0.2.7") && line.contains("TLSv1"), "{line}");

    let config = Pop3ProxyConfig::default();
    let proxy = Arc::new(pop3::Pop3Proxy::new(
        &config,
        context,
        Some(Arc::new(OnePassword)),
    ));
    let pop3 = front(Protocol::Pop3, trusting, move |accepted| {
        pop3::serve(accepted, proxy.clone())
    })
    .await;
    let mut client = from_afar(pop3.address).await;
    client.line().await;
    client.ask("USER alice@example.test").await;
    let done = client.ask("PASS secret").await;
    assert!(done.starts_with("+OK"), "{done} {}", server.log());
    let stat = client.ask("STAT").await;
    assert!(stat.starts_with("+OK 1 "), "{stat}");
    client.ask("QUIT").await;
    let line = logged(&server, "pop3-login: Info: Login").await;
    assert!(line.contains("rip=192.0.2.7"), "{line}");

    // The home decides otherwise than the edge: never shown as a wrong password.
    let mut client = from_afar(imap.address).await;
    client.line().await;
    let done = client.ask("a LOGIN other@example.test secret").await;
    assert!(done.starts_with("a NO [UNAVAILABLE]"), "{done}");
}

/// A home whose certificate is not trusted, and one that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_cannot_be_trusted_gets_no_password() {
    let (server, _files, mut home) = dovecot();
    let (strangers, _, _) = crate::support::certificate();
    home["ca_file"] = json!(strangers.path().join("cert.pem"));
    let context = context_with(&[("@example.test", "store")], &[home]);
    let config = ImapProxyConfig {
        home_timeout: 1,
        ..ImapProxyConfig::default()
    };
    let proxy = Arc::new(imap::ImapProxy::new(
        &config,
        context,
        Some(Arc::new(OnePassword)),
    ));
    let imap = front(
        Protocol::Imap,
        |_| {},
        move |accepted| imap::serve(accepted, proxy.clone()),
    )
    .await;
    let mut client = Client::connect(imap.address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(done.starts_with("a NO [UNAVAILABLE]"), "{done}");
    client.0.flush(SOON).await.expect("still connected");
    assert!(!server.log().contains("Login: user"), "{}", server.log());
}

/// Dovecot checks the front end's signature itself, from the exported keys: nobody's password is known to it.
#[tokio::test(flavor = "multi_thread")]
async fn dovecot_believes_an_assertion() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    open_to_all(scratch.path());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ring = KeyRing::new(scratch.path().join("cluster-keys"));
    ring.ensure(clock.now()).expect("a key");
    let keys = ring.public_keys().expect("keys");
    for (path, pem) in dovecot_tree("front.example.test", &keys) {
        let path = scratch.path().join("trusted").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, pem).expect("written");
    }
    let settings = scratch.path().join("oauth2.conf");
    let text = format!(
        "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={}/\n\
         username_attribute = sub\nissuers = front.example.test\n",
        scratch.path().join("trusted").display()
    );
    std::fs::write(&settings, text).expect("written");
    let passdb = format!(
        "auth_debug = yes\nauth_mechanisms = plain oauthbearer\nlogin_trusted_networks = 127.0.0.1\n\
         passdb {{\n driver = oauth2\n mechanisms = oauthbearer xoauth2\n args = {}\n}}\n",
        settings.display()
    );
    let server = Dovecot::start(&[(ALICE, "nobody knows this")], &passdb).expect("Dovecot starts");
    let home = json!({
        "name": "store", "host": "127.0.0.1",
        "imap": { "port": server.imap, "login": "assertion" },
        "pop3": { "port": server.pop3, "login": "assertion" },
        "managesieve": { "port": server.sieve, "login": "assertion" },
    });
    let mut context = context_with(&[("@example.test", "store")], &[home]);
    context.assertions = Some(Arc::new(Minter::new(ring, "front.example.test", clock)));
    let config = ImapProxyConfig::default();
    let proxy = Arc::new(imap::ImapProxy::new(
        &config,
        context.clone(),
        Some(Arc::new(OnePassword)),
    ));
    let imap = front(
        Protocol::Imap,
        |_| {},
        move |accepted| imap::serve(accepted, proxy.clone()),
    )
    .await;
    let mut client = Client::connect(imap.address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(done.starts_with("a OK [CAPABILITY"), "{done} {}", server.log());
    let done = client.until("b SELECT INBOX", "b ").await;
    assert!(done.starts_with("b OK"), "{done}");

    let sieve = sieve_front(context.clone(), |_| {}).await;
    let mut client = Client::connect(sieve.address).await;
    let done = sieve_login(&mut client).await;
    assert!(done.starts_with("OK"), "{done} {}", server.log());
    let done = client.until("LISTSCRIPTS", "OK").await;
    assert!(done.starts_with("OK"), "{done}");

    let config = Pop3ProxyConfig::default();
    let proxy = Arc::new(pop3::Pop3Proxy::new(
        &config,
        context,
        Some(Arc::new(OnePassword)),
    ));
    let pop3 = front(
        Protocol::Pop3,
        |_| {},
        move |accepted| pop3::serve(accepted, proxy.clone()),
    )
    .await;
    let mut client = Client::connect(pop3.address).await;
    client.line().await;
    client.ask("USER alice@example.test").await;
    let done = client.ask("PASS secret").await;
    assert!(done.starts_with("+OK"), "{done} {}", server.log());
}

pub(crate) async fn sieve_front(
    context: ProxyContext,
    configure: fn(&mut ListenerConfig),
) -> crate::support::Front {
    let config = ManageSieveProxyConfig::default();
    let proxy = managesieve::ManageSieveProxy::new(&config, context, Some(Arc::new(OnePassword)));
    let proxy = Arc::new(proxy);
    front(Protocol::ManageSieve, configure, move |accepted| {
        managesieve::serve(accepted, proxy.clone())
    })
    .await
}

/// Reads the greeting and logs alice in.
pub(crate) async fn sieve_login(client: &mut Client) -> String {
    let proof = wire::sasl::encode_base64(b"\0alice@example.test\0secret");
    while client.line().await.starts_with('"') {}
    client.ask(&format!("AUTHENTICATE \"PLAIN\" \"{proof}\"")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_kept_at_the_home() {
    let (server, _files, home) = dovecot();
    let context = context_with(&[("@example.test", "store")], &[home]);
    let sieve = sieve_front(context, trusting).await;
    let mut client = from_afar(sieve.address).await;
    let done = sieve_login(&mut client).await;
    assert_eq!(done, "OK \"Logged in.\"", "{}", server.log());
    // The home answers now, with its own capabilities.
    client.send("CAPABILITY\r\n");
    let mut capabilities = Vec::new();
    while capabilities
        .last()
        .is_none_or(|line: &String| line.starts_with('"'))
    {
        capabilities.push(client.line().await);
    }
    let text = capabilities.join("\n");
    assert!(
        text.contains("Pigeonhole") && text.contains("foreverypart"),
        "{text}"
    );
    let script = "require \"fileinto\";\r\nfileinto \"x\";\r\n";
    let put = format!("PUTSCRIPT \"mine\" {{{}+}}\r\n{script}", script.len());
    let done = client.ask(&put).await;
    assert!(done.starts_with("OK"), "{done}");
    assert!(client.ask("SETACTIVE \"mine\"").await.starts_with("OK"));
    assert_eq!(client.ask("LISTSCRIPTS").await, "\"mine\" ACTIVE");
    assert!(client.line().await.starts_with("OK"));
    let done = client.ask("PUTSCRIPT \"bad\" {4+}\r\nbad;").await;
    assert!(done.starts_with("NO"), "{done}");
    client.until("LOGOUT", "OK \"Logout").await;
    assert!(client.is_closed().await);
    let line = logged(&server, "managesieve-login: Info: Login").await;
    assert!(line.contains("rip=192.0.2.7") && line.contains("TLSv1"), "{line}");
    let trace = line
        .split("session=<")
        .nth(1)
        .and_then(|rest| rest.split('>').next());
    assert!(
        trace.is_some_and(|trace| model::TraceId::parse(trace).is_some()),
        "{line}"
    );
}

/// Dovecot's authentication runs as a user of its own.
fn open_to_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("ours");
}

/// Where the home takes a PROXY header, it knows the client before a word is said: address, port, TLS and the name that
/// the client asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_header_names_the_client_and_its_tls() {
    let port = testkit::free_port().expect("a free port");
    let settings = format!(
        "haproxy_trusted_networks = 127.0.0.1\ndisable_plaintext_auth = no\n\
         service imap-login {{\n inet_listener behind {{\n  address = 127.0.0.1\n  port = {port}\n  haproxy = yes\n }}\n}}\n\
         login_log_format_elements = user=<%u> rip=%r rport=%b lip=%l lport=%a <%c> name=<%{{local_name}}>\n"
    );
    let server = Dovecot::start(&[(ALICE, "secret")], &settings).expect("Dovecot starts");
    let home = json!({
        "name": "store", "host": "127.0.0.1", "imap": { "port": port, "proxy_protocol": true },
    });
    let context = context_with(&[("@example.test", "store")], &[home]);
    for (tls, last) in [(false, ""), (true, ", <secured>, name=<localhost>")] {
        let proxy = imap::ImapProxy::new(
            &ImapProxyConfig::default(),
            context.clone(),
            Some(Arc::new(OnePassword)),
        );
        let proxy = Arc::new(proxy);
        let configure: fn(&mut ListenerConfig) = match tls {
            true => |config| {
                trusting(config);
                config.tls = Some(net::TlsMode::Implicit);
            },
            false => trusting,
        };
        let front = front(Protocol::Imap, configure, move |accepted| {
            imap::serve(accepted, proxy.clone())
        })
        .await;
        let mut client = from_afar(front.address).await;
        if tls {
            let handshake = client.0.start_tls_client(&front.tls, "localhost", SOON);
            handshake.await.expect("a handshake");
        }
        let done = client.until("a LOGIN alice@example.test secret", "a ").await;
        assert!(done.starts_with("a OK"), "{done}\n{}", server.log());
        let told = format!("rip=192.0.2.7, rport=4242, lip=192.0.2.1, lport=143{last}");
        let line = logged(&server, &told).await;
        // Dovecot's word for TLS that somebody before it has ended.
        assert_eq!(line.contains("secured"), tls, "{line}");
    }
    // Whom the balancer does not name logs in as well, and the home does not take it for the front end.
    let proxy = imap::ImapProxy::new(
        &ImapProxyConfig::default(),
        context.clone(),
        Some(Arc::new(OnePassword)),
    );
    let proxy = Arc::new(proxy);
    let nameless = front(Protocol::Imap, trusting, move |accepted| {
        imap::serve(accepted, proxy.clone())
    })
    .await;
    let mut client = Client::connect(nameless.address).await;
    client.send("PROXY UNKNOWN\r\n");
    let done = client.until("a LOGIN alice@example.test secret", "a ").await;
    assert!(done.starts_with("a OK"), "{done}\n{}", server.log());
    logged(&server, "rip=0.0.0.0, rport=0, lip=127.0.0.1").await;
    // Whoever only looks whether it is there is nobody.
    context.dialer.probe().await;
    assert!(context.dialer.failing_homes().is_empty());
}
