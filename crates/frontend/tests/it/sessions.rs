//! What holds for sessions of every protocol: limits, the end from outside, the ways to log in at a home, a home in
//! this process, orders about homes, and the numbers.

use crate::support::{Client, Do, Home, OnePassword, SOON, context_with, front};
use Do::{Answer, Echo, Hear, Say};
use directory::HomeRef;
use frontend::assertion::{KeyRing, Minter, TrustedFrontEndConfig, Verdict, Verifier};
use frontend::{AuthenticateAt, ImapProxyConfig, LocalHome, Pop3ProxyConfig, ProxyContext, imap, pop3};
use model::{Address, Clock, Protocol, SystemClock};
use net::{SessionEnd, SessionFilter, SessionLimits};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

const ALICE: &str = "alice@example.test";

const GOOD: &[Do] = &[
    Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"),
    Answer("AUTHENTICATE PLAIN ", "OK [CAPABILITY IMAP4rev1 IDLE] in"),
    Echo("* ECHO "),
];

/// A `[[home]]` named `store` at this address.
fn at(home: &Home, settings: serde_json::Value) -> serde_json::Value {
    let address: SocketAddr = home.name.parse().expect("an address");
    let mut config = json!({
        "name": "store", "host": "127.0.0.1", "imap": { "port": address.port() }, "pop3": { "port": address.port() },
    });
    let (Some(config), Some(settings)) = (config.as_object_mut(), settings.as_object()) else {
        panic!("objects");
    };
    for (key, value) in settings {
        match (
            config.get_mut(key).and_then(|known| known.as_object_mut()),
            value.as_object(),
        ) {
            (Some(known), Some(value)) => known.extend(value.clone()),
            _ => drop(config.insert(key.clone(), value.clone())),
        }
    }
    serde_json::Value::Object(config.clone())
}

async fn imap_front(context: ProxyContext) -> crate::support::Front {
    let proxy = Arc::new(imap::ImapProxy::new(
        &ImapProxyConfig::default(),
        context,
        Some(Arc::new(OnePassword)),
    ));
    front(
        Protocol::Imap,
        |_| {},
        move |accepted| imap::serve(accepted, proxy.clone()),
    )
    .await
}

async fn pop3_front(context: ProxyContext) -> crate::support::Front {
    let proxy = Arc::new(pop3::Pop3Proxy::new(
        &Pop3ProxyConfig::default(),
        context,
        Some(Arc::new(OnePassword)),
    ));
    front(
        Protocol::Pop3,
        |_| {},
        move |accepted| pop3::serve(accepted, proxy.clone()),
    )
    .await
}

async fn logged_in(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(done.starts_with("a OK"), "{done}");
    client
}

fn of_alice() -> SessionFilter {
    SessionFilter {
        account: Address::parse(ALICE).ok(),
        ..SessionFilter::default()
    }
}

#[tokio::test]
async fn sessions_are_listed_limited_and_ended_without_a_word() {
    let home = Home::start(&[GOOD]).await;
    let context = context_with(&[(ALICE, "store")], &[at(&home, json!({}))]);
    context.sessions.set_limits(SessionLimits {
        max_per_account: 2,
        ..SessionLimits::default()
    });
    let sessions = context.sessions.clone();
    let metrics = context.metrics.clone();
    let front = imap_front(context).await;
    let mut first = logged_in(front.address).await;
    let _second = logged_in(front.address).await;
    let mut third = Client::connect(front.address).await;
    third.line().await;
    let done = third.ask("a LOGIN alice@example.test secret").await;
    assert_eq!(done, "a NO [LIMIT] Too many sessions; close some and try again.");

    assert_eq!(first.ask("b NOOP").await, "* ECHO b NOOP");
    let rows = sessions.list(&of_alice(), 0, 10);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].about.home.as_deref(), Some("store"));
    assert_eq!((rows[0].bytes_up, rows[0].bytes_down), (8, 15));

    let only_first = SessionFilter {
        id: Some(rows[0].id),
        ..SessionFilter::default()
    };
    assert_eq!(sessions.end(&only_first, SessionEnd::Revoked), 1);
    assert!(first.is_closed().await, "nothing is said into the stream");
    // Its place is free again.
    let mut fourth = logged_in(front.address).await;
    assert_eq!(fourth.ask("b NOOP").await, "* ECHO b NOOP");

    let text = metrics.render();
    for line in [
        "homing_proxy_logins_total{protocol=\"imap\",home=\"store\",outcome=\"ok\"} 3",
        "homing_proxy_logins_total{protocol=\"imap\",home=\"store\",outcome=\"limit\"} 1",
        "homing_proxy_login_seconds_count{protocol=\"imap\"} 4",
        "homing_proxy_sessions_ended_total{protocol=\"imap\",home=\"store\",reason=\"revoked\"} 1",
        "homing_proxy_bytes_total{protocol=\"imap\",home=\"store\",direction=\"up\"} 8",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_drained_home_takes_no_new_sessions_and_keeps_the_old() {
    let home = Home::start(&[GOOD]).await;
    let context = context_with(&[(ALICE, "store")], &[at(&home, json!({}))]);
    let dialer = context.dialer.clone();
    let front = imap_front(context).await;
    let mut old = logged_in(front.address).await;
    let store = HomeRef::parse("store").expect("a home");
    dialer.drain(&store, "new disks").expect("in memory");
    let mut new = Client::connect(front.address).await;
    new.line().await;
    let done = new.ask("a LOGIN alice@example.test secret").await;
    assert!(done.starts_with("a NO [UNAVAILABLE]"), "{done}");
    assert_eq!(old.ask("b NOOP").await, "* ECHO b NOOP");
    assert!(dialer.enable(&store).expect("in memory"));
    let done = new.ask("a LOGIN alice@example.test secret").await;
    assert!(done.starts_with("a OK"), "{done}");
    assert!(dialer.failing_homes().is_empty(), "an order is no failure");
}

#[tokio::test]
async fn a_master_user_logs_in_on_behalf_of_the_account() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let password = dir.path().join("master");
    std::fs::write(&password, "key\n").expect("write");
    let master = json!({
        "master_user": "front", "master_password_file": password,
        "imap": { "login": "master" }, "pop3": { "login": "master" },
    });
    // RFC 4616: authzid NUL authcid NUL password.
    let response = wire::sasl::encode_base64(b"alice@example.test\0front\0key");

    let home = Home::start(&[GOOD]).await;
    let context = context_with(&[(ALICE, "store")], &[at(&home, master.clone())]);
    let front = imap_front(context).await;
    logged_in(front.address).await;
    let heard = home.line_with("AUTHENTICATE").expect("heard");
    assert!(heard.ends_with(&response), "{heard}");

    let home = Home::start(&[&[
        Say("+OK ready\r\n"),
        Hear("AUTH PLAIN"),
        Say("+ \r\n"),
        Hear(""),
        Say("+OK in\r\n"),
        Echo("+OK "),
    ]])
    .await;
    let context = context_with(&[(ALICE, "store")], &[at(&home, master)]);
    let front = pop3_front(context).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    client.ask("USER alice@example.test").await;
    assert_eq!(client.ask("PASS secret").await, "+OK Logged in.");
    assert_eq!(home.heard().get(1), Some(&response));
}

struct Signing {
    _dir: tempfile::TempDir,
    minter: Arc<Minter>,
    verifier: Verifier,
}

fn signing() -> Signing {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ring = KeyRing::new(dir.path().join("keys"));
    ring.ensure(clock.now()).expect("a key");
    let trusted = TrustedFrontEndConfig {
        name: "front.example.test".to_owned(),
        keys: ring.public_file(),
    };
    Signing {
        _dir: dir,
        minter: Arc::new(Minter::new(ring, "front.example.test", clock.clone())),
        verifier: Verifier::new("store", &[trusted], clock),
    }
}

impl Signing {
    /// The token in an OAUTHBEARER response.
    fn believes(&self, protocol: Protocol, response: &str) -> Result<Verdict, String> {
        let bytes = wire::sasl::decode_base64(response.as_bytes()).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(bytes.expose()).into_owned();
        let token = text
            .split("auth=Bearer ")
            .nth(1)
            .and_then(|rest| rest.split('\x01').next());
        let token = token.ok_or_else(|| text.clone())?;
        self.verifier
            .verify(token.as_bytes(), protocol)
            .map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn an_assertion_is_shown_inline_or_after_the_continuation() {
    let signing = signing();
    let assertion = json!({ "imap": { "login": "assertion" }, "pop3": { "login": "assertion" } });
    let vouched = Ok(Verdict::Vouched(Address::parse(ALICE).expect("an address")));
    for (greeting, place) in [
        (
            "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER] ready\r\n",
            0,
        ),
        ("* OK [CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER] ready\r\n", 1),
    ] {
        let script: &[Do] = match place {
            0 => &[
                Say(greeting),
                Answer("AUTHENTICATE OAUTHBEARER ", "OK [CAPABILITY IMAP4rev1] in"),
                Echo(""),
            ],
            _ => &[
                Say(greeting),
                Hear("AUTHENTICATE OAUTHBEARER"),
                Say("+ \r\n"),
                Hear(""),
                Say("H1 OK [CAPABILITY IMAP4rev1] in\r\n"),
                Echo(""),
            ],
        };
        let home = Home::start(&[script]).await;
        let mut context = context_with(&[(ALICE, "store")], &[at(&home, assertion.clone())]);
        context.assertions = Some(signing.minter.clone());
        let front = imap_front(context).await;
        logged_in(front.address).await;
        let heard = home.heard();
        let response = heard[place].rsplit(' ').next().expect("the response");
        assert_eq!(signing.believes(Protocol::Imap, response), vouched, "{heard:?}");
    }

    let home = Home::start(&[&[
        Say("+OK ready\r\n"),
        Hear("CAPA"),
        Say("+OK list\r\nSASL PLAIN OAUTHBEARER\r\n.\r\n"),
        Hear("AUTH OAUTHBEARER"),
        Say("+ \r\n"),
        Hear(""),
        Say("+OK in\r\n"),
        Echo("+OK "),
    ]])
    .await;
    let mut context = context_with(&[(ALICE, "store")], &[at(&home, assertion)]);
    context.assertions = Some(signing.minter.clone());
    let front = pop3_front(context).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    client.ask("USER alice@example.test").await;
    assert_eq!(client.ask("PASS secret").await, "+OK Logged in.");
    assert_eq!(signing.believes(Protocol::Pop3, &home.heard()[2]), vouched);
}

/// The home says what is wrong inside the exchange, and waits for the client before it refuses (RFC 7628 section
/// 3.2.3). The password was right, so the client hears "try later".
#[tokio::test]
async fn a_refused_assertion_is_never_a_wrong_password() {
    let signing = signing();
    let home = Home::start(&[&[
        Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER] ready\r\n"),
        Hear("AUTHENTICATE OAUTHBEARER "),
        Say("+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=\r\n"),
        Hear("AQ=="),
        Say("H1 NO [AUTHENTICATIONFAILED] no\r\n"),
        Echo(""),
    ]])
    .await;
    let assertion = json!({ "imap": { "login": "assertion" } });
    let mut context = context_with(&[(ALICE, "store")], &[at(&home, assertion)]);
    context.assertions = Some(signing.minter.clone());
    let front = imap_front(context).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(
        done.starts_with("a NO [UNAVAILABLE]"),
        "{done} {:?}",
        home.heard()
    );
}

/// With `authenticate = "home"` nobody has looked at the password before the home does. A home that believes the
/// front end would let anybody in, so it is shown what the client gave.
#[tokio::test]
async fn nobody_is_vouched_for_who_was_not_checked() {
    let signing = signing();
    let folder = tempfile::tempdir().expect("a scratch folder");
    let password = folder.path().join("master");
    std::fs::write(&password, "the master's").expect("write");
    for login in ["assertion", "master"] {
        let home = Home::start(&[&[
            Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=OAUTHBEARER] ready\r\n"),
            Answer("AUTHENTICATE ", "NO [AUTHENTICATIONFAILED] no"),
            Echo(""),
        ]])
        .await;
        let settings = json!({
            "imap": { "login": login }, "master_user": "front", "master_password_file": password,
        });
        let mut context = context_with(&[(ALICE, "store")], &[at(&home, settings)]);
        context.assertions = Some(signing.minter.clone());
        let config = ImapProxyConfig {
            authenticate: AuthenticateAt::Home,
            ..ImapProxyConfig::default()
        };
        let proxy = Arc::new(imap::ImapProxy::new(&config, context, None));
        let front = front(
            Protocol::Imap,
            |_| {},
            move |accepted| imap::serve(accepted, proxy.clone()),
        )
        .await;
        let mut client = Client::connect(front.address).await;
        client.line().await;
        let done = client.ask("a LOGIN alice@example.test guess").await;
        assert!(done.starts_with("a NO [AUTHENTICATIONFAILED]"), "{login}: {done}");
        // base64 of "\0alice@example.test\0guess".
        let said = home.heard()[0].clone();
        assert!(
            said.ends_with("AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABndWVzcw=="),
            "{login}: {said}"
        );
    }
}

#[tokio::test]
async fn the_home_in_this_process_is_entered_by_assertion() {
    let signing = signing();
    let local = LocalHome::new("Store");
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let log = heard.clone();
    local.serve(
        Protocol::Imap,
        Arc::new(move |accepted: net::Accepted| {
            assert!(accepted.is_trusted() && accepted.peer.client.ip().is_loopback());
            let log = log.clone();
            tokio::spawn(async move {
                let mut stream = net::LineStream::new(accepted.connection, 65_536);
                stream.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER] local\r\n");
                while let Ok(line) = stream.read_line(SOON).await {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    stream.write(line.split(' ').next().unwrap_or_default().as_bytes());
                    stream.write(b" OK [CAPABILITY IMAP4rev1 LOCAL] done\r\n");
                    log.lock().push(line);
                }
            });
        }),
    );
    let mut context = context_with(&[(ALICE, "store"), ("bob@example.test", "127.0.0.1:1")], &[]);
    let dialer = Arc::into_inner(context.dialer).expect("nobody else has it yet");
    context.dialer = Arc::new(dialer.serving(local));
    context.assertions = Some(signing.minter.clone());
    let front = imap_front(context).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert_eq!(done, "a OK [CAPABILITY IMAP4rev1 LOCAL] Logged in.");
    assert_eq!(
        client.ask("b NOOP").await,
        "b OK [CAPABILITY IMAP4rev1 LOCAL] done"
    );
    let said = heard.lock()[0].clone();
    let response = said.rsplit(' ').next().expect("the response");
    let alice = Address::parse(ALICE).expect("an address");
    assert_eq!(
        signing.believes(Protocol::Imap, response),
        Ok(Verdict::Vouched(alice)),
        "{said}"
    );
    // The others go where they always went.
    let mut client = Client::connect(front.address).await;
    client.line().await;
    let done = client.ask("a LOGIN bob@example.test secret").await;
    assert!(done.starts_with("a NO [UNAVAILABLE]"), "{done}");
}

#[tokio::test]
async fn a_home_that_is_back_is_found_by_a_probe() {
    let place = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = place.local_addr().expect("bound");
    drop(place);
    let home = json!({ "name": "store", "host": "127.0.0.1", "imap": { "port": address.port() } });
    let context = context_with(&[(ALICE, "store")], &[home]);
    let dialer = context.dialer.clone();
    let front = imap_front(context).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    for _ in 0..3 {
        let done = client.ask("a LOGIN alice@example.test secret").await;
        assert!(done.starts_with("a NO [UNAVAILABLE]"), "{done}");
    }
    assert_eq!(dialer.failing_homes()[0].state, frontend::HomeState::Down);
    let back = tokio::net::TcpListener::bind(address).await.expect("still free");
    let greeting = tokio::spawn(async move {
        let (stream, _) = back.accept().await.expect("the probe");
        let mut stream = net::LineStream::new(stream.into(), 100);
        stream.write(b"* OK back\r\n");
        stream.close(SOON).await;
    });
    // The first pause is half a second.
    while !dialer.failing_homes().is_empty() {
        dialer.probe().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    greeting.await.expect("it was asked");
}
