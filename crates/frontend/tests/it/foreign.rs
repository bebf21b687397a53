//! Dovecot and Postfix as homes of ManageSieve and submission: every way of a client to the front end, every way of
//! the front end to the home, and whether the home learns who the client is. And as both sides of LMTP.

use crate::support::{Client, Front, OnePassword, SOON, context_with, domains, front, listed_domains};
use frontend::assertion::{KeyRing, Minter, dovecot_tree};
use frontend::{
    AuthenticateAt, HomeProtocol, LmtpProxyConfig, ManageSieveProxyConfig, ProxyContext,
    SubmissionProxyConfig, managesieve, smtp, submission,
};
use model::{Clock, Protocol, SystemClock};
use net::{ListenerConfig, SessionFilter, TlsMode};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use testkit::{Dovecot, Postfix, run_with_input};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const SUBJECT: &str =
    "Subject: Gr\u{fc}\u{df}e\r\nFrom: <alice@example.test>\r\n\r\n.dot\r\nXCLIENT LOGIN=root\r\n";

/// A Dovecot that lets alice in by her own password, by the master's, and on the word of the front end. Its
/// submission passes mail on to a Postfix.
struct Site {
    dovecot: Dovecot,
    postfix: Postfix,
    scratch: tempfile::TempDir,
    minter: Arc<Minter>,
}

impl Site {
    fn start() -> Self {
        let postfix = Postfix::start(&[ALICE, BOB], "").expect("Postfix starts");
        let scratch = tempfile::tempdir().expect("a scratch folder");
        // Dovecot's authentication runs as a user of its own.
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).expect("ours");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ring = KeyRing::new(scratch.path().join("cluster-keys"));
        ring.ensure(clock.now()).expect("a key");
        let keys = ring.public_keys().expect("keys");
        for (path, pem) in dovecot_tree("front.example.test", &keys) {
            let path = scratch.path().join("trusted").join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, pem).expect("written");
        }
        let write = |name: &str, text: &str| {
            std::fs::write(scratch.path().join(name), text).expect("written");
        };
        write("masters", "front:{PLAIN}key\n");
        write("master.key", "key\n");
        let folder = scratch.path().display();
        write(
            "oauth2.conf",
            &format!(
                "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={folder}/trusted/\n\
                 username_attribute = sub\nissuers = front.example.test\n"
            ),
        );
        let settings = format!(
            "auth_mechanisms = plain login oauthbearer\nlogin_trusted_networks = 127.0.0.1\n\
             login_log_format_elements = user=<%u> method=%m rip=%r rport=%b \
             transport=<%{{passdb:forward_transport}}> session=<%{{session}}>\n\
             submission_relay_host = 127.0.0.1\nsubmission_relay_port = {}\nsubmission_relay_trusted = yes\n\
             passdb {{\n  driver = passwd-file\n  master = yes\n  args = {folder}/masters\n}}\n\
             passdb {{\n  driver = oauth2\n  mechanisms = oauthbearer\n  args = {folder}/oauth2.conf\n}}\n",
            postfix.smtp
        );
        let dovecot = Dovecot::start(&[(ALICE, "secret")], &settings).expect("Dovecot starts");
        Self {
            minter: Arc::new(Minter::new(ring, "front.example.test", clock)),
            dovecot,
            postfix,
            scratch,
        }
    }

    fn context(&self, login: &str) -> ProxyContext {
        let mut home = json!({
            "name": "store", "host": "127.0.0.1",
            "managesieve": { "port": self.dovecot.sieve, "login": login },
            "submission": { "port": self.dovecot.submission, "login": login },
        });
        if login == "master" {
            home["master_user"] = json!("front");
            home["master_password_file"] = json!(self.scratch.path().join("master.key"));
        }
        let mut context = context_with(&[("@example.test", "store")], &[home]);
        context.assertions = Some(self.minter.clone());
        context
    }
}

/// The front end of a protocol, with a listener of this kind.
async fn proxy(
    protocol: Protocol,
    context: ProxyContext,
    authenticate: AuthenticateAt,
    configure: fn(&mut ListenerConfig),
) -> Front {
    if protocol == Protocol::ManageSieve {
        let config = ManageSieveProxyConfig {
            authenticate,
            ..ManageSieveProxyConfig::default()
        };
        let proxy = managesieve::ManageSieveProxy::new(&config, context, Some(Arc::new(OnePassword)));
        let proxy = Arc::new(proxy);
        return front(protocol, configure, move |accepted| {
            managesieve::serve(accepted, proxy.clone())
        })
        .await;
    }
    let config = SubmissionProxyConfig {
        authenticate,
        ..SubmissionProxyConfig::default()
    };
    let proxy = submission::SubmissionProxy::new(&config, context, Some(Arc::new(OnePassword)));
    let proxy = Arc::new(proxy);
    front(protocol, configure, move |accepted| {
        submission::serve(accepted, proxy.clone())
    })
    .await
}

fn trusting(config: &mut ListenerConfig) {
    config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    config.proxy_protocol = true;
}

fn implicit(config: &mut ListenerConfig) {
    trusting(config);
    config.tls = Some(TlsMode::Implicit);
}

/// A client from this address, at the point where it may log in.
async fn ready(front: &Front, protocol: Protocol, mode: &str, source: &str) -> Client {
    let mut client = Client::connect(front.address).await;
    client.send(&format!("PROXY TCP4 {source} 192.0.2.1 4242 587\r\n"));
    let sieve = protocol == Protocol::ManageSieve;
    let last = if sieve { "OK" } else { "220 " };
    if mode == "implicit" {
        encrypt(&mut client, front).await;
    }
    read_to(&mut client, last).await;
    if mode == "starttls" {
        let agreed = if sieve {
            client.ask("STARTTLS").await
        } else {
            client.until("EHLO client.test", "250 ").await;
            client.ask("STARTTLS").await
        };
        assert!(agreed.starts_with(last), "{agreed}");
        encrypt(&mut client, front).await;
        if sieve {
            read_to(&mut client, last).await;
        }
    }
    if !sieve {
        client.until("EHLO client.test", "250 ").await;
    }
    client
}

async fn encrypt(client: &mut Client, front: &Front) {
    let handshake = client.0.start_tls_client(&front.tls, "localhost", SOON);
    handshake.await.expect("a handshake");
}

async fn read_to(client: &mut Client, start: &str) {
    while !client.line().await.starts_with(start) {}
}

/// Logs in, and does something that only the home can do.
async fn works(client: &mut Client, protocol: Protocol, password: &str) -> Result<(), String> {
    let proof = wire::sasl::encode_base64(format!("\0{ALICE}\0{password}").as_bytes());
    let (login, command, good) = match protocol {
        Protocol::ManageSieve => (
            format!("AUTHENTICATE \"PLAIN\" \"{proof}\""),
            "HAVESPACE \"x\" 10",
            "OK",
        ),
        _ => (
            format!("AUTH PLAIN {proof}"),
            "MAIL FROM:<alice@example.test>",
            "2",
        ),
    };
    for said in [login.as_str(), command] {
        let reply = client.ask(said).await;
        if !reply.starts_with(good) {
            return Err(reply);
        }
    }
    Ok(())
}

async fn logged(log: impl Fn() -> String, text: &str) -> String {
    for _ in 0..2_000 {
        if let Some(line) = log().lines().find(|line| line.contains(text)) {
            return line.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{text} is not in the log:\n{}", log());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_and_every_way_on() {
    use AuthenticateAt::{Edge, Home};
    let site = Site::start();
    let mut row = 0;
    for protocol in [Protocol::ManageSieve, Protocol::Submission] {
        for (authenticate, login) in [
            (Edge, "replay"),
            (Edge, "master"),
            (Edge, "assertion"),
            (Home, "replay"),
        ] {
            for mode in ["plain", "starttls", "implicit"] {
                row += 1;
                let configure = if mode == "implicit" { implicit } else { trusting };
                let context = site.context(login);
                let sessions = context.sessions.clone();
                let front = proxy(protocol, context, authenticate, configure).await;
                let source = format!("192.0.2.{}", 100 + row);
                let told = || format!("{protocol} {authenticate:?} {login} {mode} {source}");
                let mut client = ready(&front, protocol, mode, &source).await;
                let refused = works(&mut client, protocol, "wrong")
                    .await
                    .expect_err("a wrong password");
                assert!(
                    refused.starts_with("535 5.7.8") || refused == "NO \"Authentication failed.\"",
                    "{}: {refused}",
                    told()
                );
                if let Err(reply) = works(&mut client, protocol, "secret").await {
                    panic!("{}: {reply}\n{}", told(), site.dovecot.log());
                }
                let line = logged(
                    || site.dovecot.log(),
                    &format!("Login: user=<{ALICE}>, method={}, rip={source},", method(login)),
                )
                .await;
                let here = sessions.list(&SessionFilter::default(), 0, 2);
                assert_eq!(here.len(), 1, "{}", told());
                let transport = if mode == "plain" { "insecure" } else { "TLS" };
                for known in [
                    "rport=4242,".to_owned(),
                    format!("transport=<{transport}>,"),
                    format!("session=<{}>", here[0].about.trace),
                ] {
                    assert!(line.contains(&known), "{}: {known}: {line}", told());
                }
            }
        }
    }
}

fn method(login: &str) -> &'static str {
    match login {
        "assertion" => "OAUTHBEARER",
        _ => "PLAIN",
    }
}

/// Runs Python's own client.
fn python(ask: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/clients.py");
    let printed = run_with_input("python3", &["-B", script], ask.to_string().as_bytes());
    serde_json::from_str(&printed.expect("the client ends well")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_keep_scripts_and_send_mail() {
    let site = Site::start();
    for mode in ["plain", "starttls", "implicit"] {
        let configure: fn(&mut ListenerConfig) = match mode {
            "implicit" => |config| config.tls = Some(TlsMode::Implicit),
            _ => |_| {},
        };
        let context = site.context("replay");
        let front = proxy(
            Protocol::ManageSieve,
            context.clone(),
            AuthenticateAt::Edge,
            configure,
        )
        .await;
        let script = "require \"fileinto\";\r\n# \"quoted\" {5}\r\nfileinto \"x\";\r\n";
        let mut ask = json!({
            "protocol": "managesieve", "mode": mode, "port": front.address.port(), "ca": front.certificate(),
            "login": ALICE, "password": "secret", "script": script,
        });
        let told = tokio::task::spawn_blocking(move || python(&ask))
            .await
            .expect("no panic");
        for (key, expected) in [
            ("early", "NO"),
            ("login", "OK"),
            ("put", "OK"),
            ("active", "OK"),
            ("script", script),
            ("quit", "OK"),
        ] {
            assert_eq!(told[key], expected, "{mode}: {told}");
        }

        let front = proxy(Protocol::Submission, context, AuthenticateAt::Edge, configure).await;
        ask = json!({
            "protocol": "submission", "mode": mode, "port": front.address.port(), "ca": front.certificate(),
            "login": ALICE, "password": "secret", "to": [ALICE, BOB], "text": SUBJECT,
        });
        let told = tokio::task::spawn_blocking(move || python(&ask))
            .await
            .expect("no panic");
        assert_eq!(
            (&told["early"], &told["login"], &told["refused"], &told["quit"]),
            (&json!(530), &json!(235), &json!({}), &json!(221)),
            "{mode}: {told}"
        );
    }
    delivered(&site.postfix, BOB, 3).await;
    for message in site.postfix.messages(BOB).expect("readable") {
        let text = String::from_utf8(message).expect("as it was sent");
        assert!(
            text.contains("Subject: Gr\u{fc}\u{df}e\n") && text.ends_with("\n\n.dot\nXCLIENT LOGIN=root\n"),
            "{text}"
        );
    }
}

/// Waits until so many messages are there.
async fn delivered(postfix: &Postfix, address: &str, count: usize) {
    for _ in 0..2_000 {
        if postfix.delivered(address) == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{}\n{}", postfix.delivered(address), postfix.log());
}

/// Postfix asks Dovecot about logins, believes the front end's XCLIENT, and would believe a client's.
#[tokio::test(flavor = "multi_thread")]
async fn a_postfix_is_a_home_for_submission() {
    let port = testkit::free_port().expect("a free port");
    let settings = format!(
        "service auth {{\n  inet_listener sasl {{\n    address = 127.0.0.1\n    port = {port}\n  }}\n}}\n"
    );
    let logins = Dovecot::start(&[(ALICE, "secret")], &settings).expect("Dovecot starts");
    let postfix = Postfix::start(
        &[ALICE, BOB],
        &format!(
            "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:127.0.0.1:{port}\n\
             smtpd_authorized_xclient_hosts = 127.0.0.1\n\
             smtpd_client_restrictions = permit_sasl_authenticated, reject\n"
        ),
    )
    .expect("Postfix starts");
    let home = json!({
        "name": "store", "host": "127.0.0.1", "submission": { "port": postfix.smtp },
    });
    let context = context_with(&[("@example.test", "store")], &[home]);
    let config = SubmissionProxyConfig {
        extensions: [
            "PIPELINING",
            "SIZE",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "CHUNKING",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..SubmissionProxyConfig::default()
    };
    let proxy = submission::SubmissionProxy::new(&config, context, Some(Arc::new(OnePassword)));
    let proxy = Arc::new(proxy);
    let front = front(Protocol::Submission, trusting, move |accepted| {
        submission::serve(accepted, proxy.clone())
    })
    .await;
    let mut client = ready(&front, Protocol::Submission, "starttls", "192.0.2.77").await;
    let worked = works(&mut client, Protocol::Submission, "secret").await;
    assert_eq!(worked, Ok(()), "{}\n{}", postfix.log(), logins.log());
    // In one go, as RFC 2920 lets a client do it, and a chunk behind it that holds what looks like commands.
    client.send(
        "RCPT TO:<bob@example.test> NOTIFY=FAILURE\r\nXCLIENT ADDR=198.51.100.1 LOGIN=root@example.test\r\n\
         BDAT 29\r\nSubject: chunk\r\n\r\nXCLIENT x\r\nBDAT 6 LAST\r\nlast\r\nQUIT\r\n",
    );
    for expected in ["250 2.1.5", "500 5.5.2", "250 2.0.0", "250 2.0.0", "221 2.0.0"] {
        let reply = client.line().await;
        assert!(
            reply.starts_with(expected),
            "{reply}, not {expected}\n{}",
            postfix.log()
        );
    }
    assert!(client.is_closed().await);
    let line = logged(|| postfix.log(), "sasl_username=").await;
    assert!(
        line.contains("client=unknown[192.0.2.77]") && line.ends_with("sasl_username=alice@example.test"),
        "{line}"
    );
    assert!(!postfix.log().contains("198.51.100.1"), "{}", postfix.log());
    delivered(&postfix, BOB, 1).await;
    let message = postfix.messages(BOB).expect("readable").remove(0);
    let text = String::from_utf8(message).expect("text");
    assert!(text.ends_with("\n\nXCLIENT x\nlast\n"), "{text}");
    // What the client called itself.
    assert!(
        text.contains("Received: from client.test (unknown [192.0.2.77])"),
        "{text}"
    );
}

/// A Postfix as the client of the LMTP proxy: of two recipients one is delivered and the other tried again later, in
/// one transaction and without a second copy.
#[tokio::test(flavor = "multi_thread")]
async fn postfix_hands_mail_over_by_lmtp() {
    let dovecot = Dovecot::start(&[(ALICE, "secret")], "").expect("Dovecot starts");
    let home = json!({ "name": "store", "host": "127.0.0.1", "lmtp": { "port": dovecot.lmtp } });
    // Nobody listens there.
    let context = context_with(&[(ALICE, "store"), (BOB, "127.0.0.1:1")], &[home]);
    let config = LmtpProxyConfig {
        domains: listed_domains(&["example.test"]),
        home_protocol: HomeProtocol::Lmtp,
        ..LmtpProxyConfig::default()
    };
    let proxy = Arc::new(
        smtp::SmtpProxy::lmtp(config.clone(), context, domains(&config.domains)).expect("good homes"),
    );
    let front = front(
        Protocol::Lmtp,
        |_| {},
        move |accepted| smtp::serve(accepted, proxy.clone()),
    )
    .await;
    let settings = format!(
        "virtual_transport = lmtp:inet:127.0.0.1:{}\n",
        front.address.port()
    );
    let postfix = Postfix::start(&[ALICE, BOB], &settings).expect("Postfix starts");
    let address = ([127, 0, 0, 1], postfix.smtp).into();
    let mut client = Client::connect(address).await;
    client.line().await;
    client.until("EHLO client.test", "250 ").await;
    client.ask("MAIL FROM:<sender@elsewhere.test>").await;
    for to in [ALICE, BOB] {
        let reply = client.ask(&format!("RCPT TO:<{to}>")).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    client.ask("DATA").await;
    let reply = client.ask("Subject: by LMTP\r\n\r\nx\r\n.").await;
    assert!(reply.starts_with("250"), "{reply}");
    let sent = logged(|| postfix.log(), &format!("to=<{ALICE}>, relay=127.0.0.1")).await;
    assert!(sent.contains("dsn=2.") && sent.contains("status=sent"), "{sent}");
    let put_off = logged(|| postfix.log(), &format!("to=<{BOB}>, relay=127.0.0.1")).await;
    assert!(
        put_off.contains("dsn=4.4.1") && put_off.contains("status=deferred"),
        "{put_off}"
    );
    logged(|| dovecot.log(), "saved mail to INBOX").await;
}

/// What swaks does is what an administrator tries first.
#[tokio::test(flavor = "multi_thread")]
async fn swaks_sends_mail() {
    let site = Site::start();
    let front = proxy(
        Protocol::Submission,
        site.context("assertion"),
        AuthenticateAt::Edge,
        |_| {},
    )
    .await;
    let port = front.address.port().to_string();
    let send = |auth: &'static str, password: &'static str| {
        let port = port.clone();
        tokio::task::spawn_blocking(move || {
            let args = [
                "--server",
                "127.0.0.1",
                "--port",
                &port,
                "--auth",
                auth,
                "--auth-user",
                ALICE,
                "--auth-password",
                password,
                "--from",
                ALICE,
                "--to",
                BOB,
                "--pipeline",
                "--hide-all",
            ];
            run_with_input("swaks", &args, b"")
        })
    };
    for auth in ["PLAIN", "LOGIN"] {
        send(auth, "secret").await.expect("no panic").expect(auth);
        let refused = send(auth, "wrong").await.expect("no panic");
        assert!(refused.is_err(), "{auth}");
    }
    delivered(&site.postfix, BOB, 2).await;
}
