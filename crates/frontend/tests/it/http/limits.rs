//! Sizes, times and numbers: each has an end, and says so.

use super::app::App;
use super::{BASIC, Setup, Web, read_until, web};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Runs curl with an upload; what it printed.
async fn curl(web: &Web, arguments: &[&str]) -> String {
    let url = format!("http://{}/upload", web.front.address);
    let output = tokio::process::Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "100",
            "-u",
            "alice@example.test:secret",
            "-o",
            "/dev/null",
        ])
        .args(["-w", "%{http_code}"])
        .args(arguments)
        .arg(url)
        .output()
        .await
        .expect("curl runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn large_bodies_pass_and_larger_ones_do_not() {
    let app = App::start().await;
    let mut setup = Setup::default();
    setup.config.max_body_size = model::ByteSize(8 << 20);
    let web = setup.start(&app.name).await;
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    let path = file.path().to_str().expect("a path");
    let upload = format!("@{path}");
    for (size, status, seen) in [(8 << 20, "200", 2), ((8 << 20) + 1, "413", 2)] {
        file.as_file().set_len(size).expect("as long as that");
        let plain = curl(&web, &["--data-binary", &upload]).await;
        // Without a length, in chunks.
        let chunks = curl(
            &web,
            &["-H", "Transfer-Encoding: chunked", "--data-binary", &upload],
        )
        .await;
        assert_eq!((plain.as_str(), chunks.as_str()), (status, status), "{size}");
        let whole = app.seen().iter().filter(|seen| seen.octets == 8 << 20).count();
        assert_eq!(whole, seen);
    }
    let over = app
        .seen()
        .iter()
        .filter(|seen| seen.octets != 8 << 20 && seen.octets != usize::MAX)
        .count();
    assert_eq!(over, 0, "a body that was cut off is no body");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let long = "x".repeat(100_000);
    assert_eq!(web.get("/", &format!("X: {long}\r\n")).await.status, 431);
    assert!(matches!(web.get(&format!("/{long}"), "").await.status, 414 | 431));
    assert_eq!(web.get("/", &"X: y\r\n".repeat(1_000)).await.status, 431);
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn whoever_is_slow_is_not_waited_for() {
    let app = App::start().await;
    let mut setup = Setup::default();
    setup.config.header_timeout = 1;
    setup.config.body_timeout = 1;
    let web = setup.start(&app.name).await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{BASIC}");
    // Nothing at all, half a head, half a line, and an answer without a further request.
    for text in ["", "GET / HTTP/1.1\r\nHost: a\r\n", "GE", &format!("{head}\r\n")] {
        let mut connection = web.connect().await;
        connection.write_all(text.as_bytes()).await.expect("written");
        let mut rest = Vec::new();
        let read = tokio::time::timeout(super::SOON, connection.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "{text:?} is still waited for");
    }
    let slow = format!("POST / HTTP/1.1\r\nHost: a\r\n{BASIC}Content-Length: 100\r\n\r\nhalf");
    assert_eq!(web.raw(&slow).await.status, 408);
}

#[tokio::test]
async fn one_account_does_not_take_everything() {
    let app = App::start().await;
    let mut setup = Setup::default();
    setup.config.account_requests = 2;
    let web = setup.start(&app.name).await;
    let mut held = Vec::new();
    for number in 1..=2 {
        let mut connection = web.connect().await;
        let request = format!("GET /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{BASIC}\r\n");
        connection.write_all(request.as_bytes()).await.expect("written");
        super::until(|| app.seen().len() == number).await;
        held.push(connection);
    }
    let refused = web.get("/", "").await;
    assert_eq!((refused.status, refused.field("retry-after")), (429, Some("1")));
    // Another login of the same account is none the better.
    let other = wire::sasl::encode_base64(b"Alice@Example.test:secret");
    let refused = web
        .anonymous("/", &format!("Authorization: Basic {other}\r\n"))
        .await;
    assert_eq!(refused.status, 429);
    app.gate.add_permits(2);
    for mut connection in held {
        read_until(&mut connection, "hello").await;
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.expect("closed");
    }
    assert_eq!(web.get("/", "").await.status, 200);
}

#[tokio::test]
async fn a_home_has_a_queue_and_the_queue_has_an_end() {
    let app = App::start().await;
    let mut setup = Setup::default();
    (setup.config.home_requests, setup.config.home_queue) = (1, 1);
    let web = Arc::new(setup.start(&app.name).await);
    let ask = |path: &'static str| {
        let web = web.clone();
        async move { web.get(path, "").await }
    };
    let first = tokio::spawn(ask("/held"));
    super::until(|| app.seen().len() == 1).await;
    // One of these waits, the others are too many.
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..4 {
        others.spawn(ask("/waited"));
    }
    for _ in 0..3 {
        let refused = others.join_next().await.expect("one of them").expect("no panic");
        assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    }
    app.gate.add_permits(1);
    assert_eq!(first.await.expect("no panic").status, 200);
    let waited = others.join_next().await.expect("the last").expect("no panic");
    assert_eq!(waited.status, 200);
}

#[tokio::test]
async fn only_named_hosts_are_served() {
    let app = App::start().await;
    let mut setup = Setup::default();
    setup.config.hosts = vec!["mail.example.test".to_owned()];
    let web = setup.start(&app.name).await;
    assert_eq!(web.get("/", "").await.status, 200);
    let other = web
        .raw(&format!("GET / HTTP/1.1\r\nHost: evil.test\r\n{BASIC}\r\n"))
        .await;
    assert_eq!(other.status, 421);
}

#[tokio::test]
async fn passwords_are_not_taken_in_the_clear() {
    let app = App::start().await;
    let setup = Setup {
        listener: |config| {
            config.tls = Some(net::TlsMode::None);
            config.plaintext_login = Some(false);
        },
        ..Setup::default()
    };
    let web = setup.start(&app.name).await;
    for answer in [web.get("/", "").await, web.anonymous("/.homing/login", "").await] {
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (403, "Use https to log in.\n")
        );
    }
    assert!(app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once() {
    let app = App::start().await;
    let mut setup = Setup::default();
    setup.config.account_requests = 1_000;
    let web = setup.start(&app.name).await;
    let mut all = Vec::with_capacity(1_000);
    for _ in 0..1_000 {
        all.push(web.connect().await);
    }
    let request = format!("GET /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{BASIC}\r\n");
    for connection in &mut all {
        connection.write_all(request.as_bytes()).await.expect("written");
    }
    let here = tokio::time::timeout(std::time::Duration::from_secs(100), async {
        while app.seen().len() < 1_000 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    here.await.expect("all of them are at the home at once");
    assert_eq!(web.context.sessions.len(), 1);
    app.gate.add_permits(1_000);
    for mut connection in all {
        let mut octets = Vec::new();
        connection.read_to_end(&mut octets).await.expect("answered");
        assert!(octets.starts_with(b"HTTP/1.1 200 ") && octets.ends_with(b"hello"));
    }
}
