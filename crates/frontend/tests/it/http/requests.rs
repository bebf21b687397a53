//! Logins by Basic and Bearer, and what home and client see of each other.

use super::app::App;
use super::{ALICE, BASIC, Setup, asserted, web};
use frontend::assertion::{KeyRing, Minter, TrustedFrontEndConfig, Verdict, Verifier};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock as _, Credential,
    ManualClock, MechanismSet, Protocol, RejectReason, SystemClock, Timestamp,
};
use std::sync::Arc;

#[tokio::test]
async fn a_request_goes_home_and_says_for_whom() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let forged = "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n\
                  X_Forwarded_For: 203.0.113.9\r\nRemote-User: root\r\nConnection: close, x-mine\r\nX-Mine: 1\r\n\
                  TE: trailers\r\nCookie: a=1; homing=x; b=2\r\nVia: 1.0 lb\r\n";
    let answer = web.get("/a/b?c=d", forged).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "hello"),
        "{answer:?}"
    );
    assert_eq!(answer.field("via"), Some("1.1 front.example.test"));
    let seen = app.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/a/b?c=d"));
    // alice@example.test:secret, in the front end's own words.
    assert_eq!(
        seen.field("authorization"),
        Some("Basic YWxpY2VAZXhhbXBsZS50ZXN0OnNlY3JldA==")
    );
    assert_eq!(seen.field("host"), Some("mail.example.test"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("mail.example.test"));
    let forwarded = seen.field("forwarded").expect("told");
    assert!(
        forwarded.starts_with("for=\"127.0.0.1:") && forwarded.ends_with("proto=http"),
        "{forwarded}"
    );
    assert_eq!(
        seen.headers.get_all("via").iter().collect::<Vec<_>>(),
        ["1.0 lb", "1.1 front.example.test"]
    );
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.field("x-request-id").map(str::len), Some(16));
    for gone in [
        "x-real-ip",
        "x_forwarded_for",
        "remote-user",
        "x-mine",
        "te",
        "connection",
    ] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn a_home_neither_logs_in_nor_tells_of_its_connection() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let answer = web.get("/cookies", "").await;
    assert_eq!(answer.fields("set-cookie"), ["sid=1"]);
    assert_eq!(answer.field("x-internal"), None);
    assert_eq!(web.get("/404", "").await.status, 404);
    // The login was good here: nobody is asked for the password again.
    let refused = web.get("/401", "").await;
    assert_eq!(refused.status, 503);
    assert!(refused.field("retry-after").is_some() && refused.field("www-authenticate").is_none());
}

#[tokio::test]
async fn wrong_and_late_logins() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let basic = |pair: &str| {
        format!(
            "Authorization: Basic {}\r\n",
            wire::sasl::encode_base64(pair.as_bytes())
        )
    };
    for (fields, status) in [
        (String::new(), 401),
        (basic("alice@example.test:wrong"), 401),
        (basic("alice@example.test:"), 401),
        (basic("alice@example.test:expired"), 401),
        (basic("alice@example.test:directory down"), 503),
        (basic("bob@example.test:secret"), 503),
        ("Authorization: Bearer x\r\n".to_owned(), 401),
        ("Authorization: Digest x\r\n".to_owned(), 401),
        ("Authorization: Basic x\r\n".to_owned(), 400),
        (format!("{BASIC}{BASIC}"), 400),
    ] {
        let answer = web.anonymous("/", &fields).await;
        assert_eq!(answer.status, status, "{fields}");
        let challenge = answer.field("www-authenticate");
        let expected = (status == 401).then_some("Basic realm=\"Example mail\", charset=\"UTF-8\"");
        assert_eq!(challenge, expected, "{fields}");
        assert_eq!(answer.field("retry-after").is_some(), status == 503);
        assert!(
            !answer.body.contains("wrong credential") && !answer.body.contains("down"),
            "{answer:?}"
        );
    }
    assert!(app.seen().is_empty(), "no home hears of them");
}

#[tokio::test]
async fn guessing_ends_the_connection() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let wrong = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2VAZXhhbXBsZS50ZXN0Ong=\r\n\r\n";
    // No "Connection: close" is asked for: the front end closes after the fifth.
    let answer = web.raw(&wrong.repeat(8)).await;
    let all = format!("{}\r\n\r\n{}", answer.head, answer.body);
    assert_eq!(all.matches("HTTP/1.1 401").count(), 5, "{all}");
}

/// Takes one token.
struct OneToken;

impl Authenticator for OneToken {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            match &request.credential {
                Credential::Bearer(token) if token.expose() == b"good.token" => {
                    let address = Address::parse(ALICE).expect("an address");
                    AuthOutcome::Accepted(Authenticated { address, entry: None })
                }
                _ => AuthOutcome::Rejected(RejectReason::WrongCredential),
            }
        })
    }

    fn mechanisms(&self) -> MechanismSet {
        MechanismSet::PASSWORD.union(MechanismSet::BEARER)
    }
}

#[tokio::test]
async fn tokens() {
    let app = App::start().await;
    let setup = Setup {
        authenticator: Arc::new(OneToken),
        ..Setup::default()
    };
    let web = setup.start(&app.name).await;
    assert_eq!(
        web.anonymous("/", "Authorization: Bearer good.token\r\n")
            .await
            .status,
        200
    );
    assert_eq!(
        app.seen().remove(0).field("authorization"),
        Some("Bearer good.token")
    );
    let refused = web.anonymous("/", "Authorization: Bearer bad.token\r\n").await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.field("www-authenticate"),
        Some("Bearer realm=\"Example mail\", error=\"invalid_token\"")
    );
}

#[tokio::test]
async fn a_home_is_shown_a_new_assertion_with_each_request() {
    let app = App::start().await;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let clock = Arc::new(SystemClock::new());
    let ring = KeyRing::new(folder.path());
    ring.ensure(clock.now()).expect("a key");
    let mut context = crate::support::context_with(&[(ALICE, "store1")], &[asserted("store1", &app.name)]);
    context.assertions = Some(Arc::new(Minter::new(
        ring.clone(),
        "front.example.test",
        clock.clone(),
    )));
    let setup = Setup {
        context: Some(context),
        ..Setup::default()
    };
    let web = setup.start("").await;
    for _ in 0..2 {
        assert_eq!(web.get("/", "").await.status, 200);
    }
    let trusted = TrustedFrontEndConfig {
        name: "front.example.test".to_owned(),
        keys: ring.public_file(),
    };
    let verifier = Verifier::new("store1", &[trusted], clock);
    for seen in app.seen() {
        let token = seen
            .field("authorization")
            .and_then(|field| field.strip_prefix("Bearer "));
        let verdict = verifier.verify(token.expect("a token").as_bytes(), Protocol::Http);
        assert_eq!(
            verdict,
            Ok(Verdict::Vouched(Address::parse(ALICE).expect("an address")))
        );
    }
    assert_eq!(web.context.sessions.len(), 1, "one login for both");
}

/// What the home was shown.
fn token(seen: &super::app::Seen) -> &str {
    let field = seen.field("authorization").expect("a credential");
    field.strip_prefix("Bearer ").expect("a token")
}

#[tokio::test]
async fn an_assertion_is_as_young_as_the_attempt_however_long_the_queue() {
    let app = App::start().await;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
    let ring = KeyRing::new(folder.path());
    ring.ensure(clock.now()).expect("a key");
    let mut context = crate::support::context_with(&[(ALICE, "store1")], &[asserted("store1", &app.name)]);
    context.assertions = Some(Arc::new(Minter::new(
        ring.clone(),
        "front.example.test",
        clock.clone(),
    )));
    let mut setup = Setup {
        context: Some(context),
        ..Setup::default()
    };
    (setup.config.home_requests, setup.config.home_queue) = (1, 1);
    let web = Arc::new(setup.start("").await);
    let ask = |path: &'static str| {
        let web = web.clone();
        async move { web.get(path, "").await.status }
    };
    let first = tokio::spawn(ask("/held"));
    super::until(|| app.seen().len() == 1).await;
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..2 {
        others.spawn(ask("/waited"));
    }
    let refused = others.join_next().await.expect("one of them").expect("no panic");
    assert_eq!(refused, 503, "the other one waits");
    clock.advance(std::time::Duration::from_secs(90));
    app.gate.add_permits(1);
    assert_eq!(first.await.expect("no panic"), 200);
    let waited = others.join_next().await.expect("the other").expect("no panic");
    assert_eq!(waited, 200);
    let trusted = TrustedFrontEndConfig {
        name: "front.example.test".to_owned(),
        keys: ring.public_file(),
    };
    let verifier = Verifier::new("store1", &[trusted], clock);
    let seen = app.seen();
    let verdict = verifier.verify(token(&seen[1]).as_bytes(), Protocol::Http);
    assert_eq!(
        verdict,
        Ok(Verdict::Vouched(Address::parse(ALICE).expect("an address")))
    );
}

/// A home may close a kept connection at any time, which says nothing about the home; and whoever remembers used tokens
/// must not see one twice.
#[tokio::test]
async fn a_second_attempt_has_a_token_of_its_own_and_the_first_is_no_fault() {
    let (name, heads) = super::app::raw(super::app::Raw::SaysOnce(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ))
    .await;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let clock = Arc::new(SystemClock::new());
    let ring = KeyRing::new(folder.path());
    ring.ensure(clock.now()).expect("a key");
    let mut context = crate::support::context_with(&[(ALICE, "store1")], &[asserted("store1", &name)]);
    context.assertions = Some(Arc::new(Minter::new(ring, "front.example.test", clock)));
    let setup = Setup {
        context: Some(context),
        ..Setup::default()
    };
    let web = setup.start("").await;
    assert_eq!(web.get("/1", "").await.status, 200);
    // On the kept connection, which is closed, and then on a new one.
    assert_eq!(web.get("/2", "").await.status, 200);
    let told = heads.lock().clone();
    let line = |head: &String| {
        let line = head
            .lines()
            .find(|line| line.to_lowercase().starts_with("authorization: "));
        line.map(str::to_owned).expect("a credential")
    };
    let tries: Vec<&String> = told.iter().filter(|head| head.starts_with("GET /2 ")).collect();
    assert_eq!(tries.len(), 2, "{told:?}");
    assert_ne!(line(tries[0]), line(tries[1]));
    // What may change something is not sent twice.
    let post = web
        .raw(&format!(
            "POST /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{BASIC}Content-Length: 1\r\n\r\nx"
        ))
        .await;
    assert_eq!(post.status, 502);
    let count = heads
        .lock()
        .iter()
        .filter(|head| head.starts_with("POST /3 "))
        .count();
    assert_eq!(count, 1);
    assert!(web.context.dialer.failing_homes().is_empty());
}

#[tokio::test]
async fn a_trusted_proxy_names_its_client() {
    let app = App::start().await;
    let setup = Setup {
        listener: |config| {
            config.tls = Some(net::TlsMode::None);
            config.trusted_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        },
        ..Setup::default()
    };
    let web = setup.start(&app.name).await;
    let told = "Forwarded: for=203.0.113.9, for=\"[2001:db8::7]:4711\";proto=https\r\n";
    assert_eq!(web.get("/", told).await.status, 200);
    let seen = app.seen().remove(0);
    assert_eq!(seen.field("x-forwarded-for"), Some("2001:db8::7"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    // A login over the client's TLS gets a cookie for TLS only.
    let page = web.anonymous("/.homing/login", told).await;
    assert!(
        page.field("set-cookie")
            .is_some_and(|cookie| cookie.starts_with("__Host-homing-form="))
    );
}

#[tokio::test]
async fn connections_to_homes_are_kept_and_a_stale_one_hurts_nobody() {
    let app = App::start().await;
    let web = web(&app.name).await;
    for _ in 0..5 {
        assert_eq!(web.get("/", "").await.status, 200);
    }
    assert!(app.connections() < 5, "{} connections", app.connections());
    // One that answers once on each connection, and says nothing of closing it.
    let (name, heads) = super::app::raw(super::app::Raw::Says(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ))
    .await;
    let web = super::web(&name).await;
    for number in 1..=10 {
        assert_eq!(web.get("/", "").await.status, 200);
        assert_eq!(heads.lock().len(), number);
    }
}
