//! What homes can do wrong: 502, 503 and 504 are told apart, and a cut answer never looks like a whole one.

use super::app::{App, Raw, raw};
use super::{ALICE, BASIC, Setup, read_until, web};
use crate::support::context;
use frontend::HomeState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn broken_homes() {
    for (what, status) in [
        (Raw::Says(b"garbage\r\n\r\n"), 502),
        (Raw::Says(b"* OK IMAP4rev1 ready\r\n"), 502),
        (Raw::Says(b""), 502),
        (
            Raw::Says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
            502,
        ),
        (Raw::Says(b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n"), 502),
        (
            Raw::Says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
            502,
        ),
        (Raw::Floods(100_000), 502),
        (Raw::Hangs, 504),
        (Raw::Stops(b"HTTP/1.1 200 OK\r\nContent-Le"), 504),
    ] {
        let (name, _) = raw(what).await;
        let mut setup = Setup::default();
        setup.config.home_timeout = 1;
        let web = setup.start(&name).await;
        let answer = web.get("/", "").await;
        assert_eq!(answer.status, status, "{what:?}");
        assert_eq!(answer.field("retry-after"), None, "{what:?}");
        assert!(!answer.body.contains(&name), "{answer:?}");
    }
}

#[tokio::test]
async fn a_home_that_is_down_is_not_asked_and_comes_back() {
    let app = App::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let name = closed.local_addr().expect("bound").to_string();
    drop(closed);
    let web = web(&name).await;
    for _ in 0..3 {
        assert_eq!(web.get("/", "").await.status, 502, "it refuses");
    }
    let down = web.get("/", "").await;
    assert_eq!(down.status, 503, "it is given up for the moment");
    assert!(down.field("retry-after").is_some());
    assert_eq!(web.context.dialer.failing_homes()[0].state, HomeState::Down);
    drop(app);
    // It comes back: the probe finds out, in HTTP's own way.
    let listener = tokio::net::TcpListener::bind(&name)
        .await
        .expect("the port is free again");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_until(&mut stream, "\r\n\r\n").await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                stream.write_all(answer).await.expect("written");
            });
        }
    });
    let back = tokio::time::timeout(super::SOON, async {
        while !web.context.dialer.failing_homes().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            web.context.dialer.probe().await;
        }
    });
    back.await.expect("it is up again");
    assert_eq!(web.get("/", "").await.status, 200);
}

#[tokio::test]
async fn a_cut_answer_is_seen_to_be_cut() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ] {
        let (name, _) = raw(Raw::Says(answer)).await;
        let web = super::web(&name).await;
        let url = format!("http://{}/", web.front.address);
        let output = tokio::process::Command::new("curl")
            .args(["-sS", "--max-time", "20", "-u", "alice@example.test:secret", &url])
            .output()
            .await
            .expect("curl runs");
        // 18: partial file; 56: failure in receiving.
        assert!(matches!(output.status.code(), Some(18 | 56)), "{output:?}");
        assert_eq!(output.stdout, b"half");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_is_not_passed_on() {
    let answer =
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let (name, _) = raw(Raw::Says(answer)).await;
    let web = super::web(&name).await;
    let answer = web.get("/", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-length"), None);
    assert!(answer.body.contains("hello"), "{answer:?}");
}

#[tokio::test]
async fn two_front_ends_that_send_each_other_the_same_request_stop() {
    // A port that is known before anybody listens on it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    let one = web(&address.to_string()).await;
    drop(free);
    let two = Setup {
        context: Some(context(&[(ALICE, &one.front.address.to_string())])),
        ..Setup::default()
    };
    let two = two.start("").await;
    // Forwards octets from that port to the second front end.
    let listener = tokio::net::TcpListener::bind(address).await.expect("free");
    let to = two.front.address;
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(to).await.expect("connected");
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    assert_eq!(one.get("/", "").await.status, 508);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let app = App::start().await;
    let mut setup = Setup::default();
    setup.config.home_requests = 1;
    setup.config.home_queue = 0;
    let web = setup.start(&app.name).await;
    let mut gone = web.connect().await;
    let request = format!("GET /held HTTP/1.1\r\nHost: a\r\n{BASIC}\r\n");
    gone.write_all(request.as_bytes()).await.expect("written");
    super::until(|| app.seen().len() == 1).await;
    assert_eq!(web.get("/", "").await.status, 503, "there is room for one");
    drop(gone);
    let freed = tokio::time::timeout(super::SOON, async {
        while web.get("/", "").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    freed.await.expect("its room is free again");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_is_done_is_passed_on() {
    let (name, _) = raw(Raw::Says(
        b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\n\r\nno",
    ))
    .await;
    let web = super::web(&name).await;
    let mut connection = web.connect().await;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n{BASIC}\r\n");
    connection.write_all(head.as_bytes()).await.expect("written");
    let mut octets = vec![0; 12];
    connection.read_exact(&mut octets).await.expect("an answer");
    assert_eq!(octets, b"HTTP/1.1 413");
}
