//! WebSockets and event streams: nothing is held back, and they end when the login does.

use super::app::App;
use super::{BASIC, Setup, Web, read_until, web};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::{Connection, SessionEnd, SessionFilter};
use rustls::pki_types::pem::PemObject as _;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A client's frame: text, masked (RFC 6455 section 5.2).
const HELLO: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

async fn open(web: &Web, fields: &str) -> (Connection, String) {
    let mut connection = web.connect().await;
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: mail.example.test\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    );
    connection.write_all(request.as_bytes()).await.expect("written");
    let head = read_until(&mut connection, "\r\n\r\n").await;
    (connection, head)
}

async fn is_closed(connection: &mut Connection) -> bool {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(super::SOON, connection.read_to_end(&mut rest)).await;
    read.is_ok()
}

#[tokio::test]
async fn a_websocket_is_relayed_and_ends_with_its_login() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let (mut socket, head) = open(&web, BASIC).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // RFC 6455 section 1.3.
    assert!(
        head.to_lowercase()
            .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    for _ in 0..3 {
        socket.write_all(HELLO).await.expect("written");
        let mut echo = vec![0; HELLO.len()];
        socket.read_exact(&mut echo).await.expect("echoed");
        assert_eq!(echo, HELLO);
    }
    assert_eq!(web.context.sessions.len(), 1);
    assert_eq!(
        web.context
            .sessions
            .end(&SessionFilter::default(), SessionEnd::Revoked),
        1
    );
    assert!(is_closed(&mut socket).await);
    super::until(|| web.context.sessions.is_empty()).await;
}

#[tokio::test]
async fn a_websocket_needs_a_login_and_its_own_site() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let (_, head) = open(&web, "").await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    let (_, head) = open(&web, &format!("{BASIC}Origin: https://evil.test\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let (_, head) = open(&web, &format!("{BASIC}Origin: http://mail.example.test\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn a_socket_that_the_home_closes_is_closed() {
    let (name, _) = super::app::raw(super::app::Raw::Says(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
    ))
    .await;
    let web = super::web(&name).await;
    let (mut socket, head) = open(&web, BASIC).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut rest = head.split_once("\r\n\r\n").expect("a head").1.as_bytes().to_vec();
    socket.read_to_end(&mut rest).await.expect("closed");
    assert!(rest.ends_with(b"hi"), "{rest:?}");
}

#[tokio::test]
async fn events_arrive_one_by_one_and_end_with_the_login() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let mut stream = web.connect().await;
    let request = format!("GET /events HTTP/1.1\r\nHost: a\r\n{BASIC}\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.contains("text/event-stream"), "{head}");
    for number in 0..3 {
        // The home says the next one only now: whatever arrives was not waiting for more.
        app.gate.add_permits(1);
        read_until(&mut stream, &format!("data: {number}")).await;
    }
    web.context
        .sessions
        .end(&SessionFilter::default(), SessionEnd::Revoked);
    // The end of the chunks, so that the browser asks again, and hears a no.
    read_until(&mut stream, "0\r\n\r\n").await;
}

/// A client of HTTP/2 over TLS, as browsers are.
async fn http2(web: &Web) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    http2_with(web, 1 << 20).await
}

/// One that takes so many octets of an answer before it is asked for more.
async fn http2_with(web: &Web, window: u32) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    let ca = web.front.certificate();
    let mut roots = rustls::RootCertStore::empty();
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(ca).expect("a certificate");
    roots.add(certificate).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(web.front.address)
        .await
        .expect("connected");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
    let io = TokioIo::new(tls.await.expect("TLS"));
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(io)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

const AUTHORIZATION: &str = "Basic YWxpY2VAZXhhbXBsZS50ZXN0OnNlY3JldA==";

#[tokio::test]
async fn http2_requests_and_a_websocket_inside_a_stream() {
    let app = App::start().await;
    let setup = Setup {
        listener: |config| config.tls = Some(net::TlsMode::Implicit),
        ..Setup::default()
    };
    let web = setup.start(&app.name).await;
    let mut sender = http2(&web).await;
    let request = Request::get("https://localhost/a")
        .header("authorization", AUTHORIZATION)
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Empty::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers().get("via").expect("signed"),
        "1.1 front.example.test"
    );
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(&body[..], b"hello");
    let seen = app.seen().remove(0);
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.field("host"), Some("localhost"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("via"), Some("2.0 front.example.test"));

    // RFC 8441 section 5.
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("https://localhost/socket")
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .header("authorization", AUTHORIZATION)
        .header("sec-websocket-version", "13")
        .body(Empty::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().get("sec-websocket-accept").is_none());
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await.expect("a tunnel"));
    for _ in 0..3 {
        socket.write_all(HELLO).await.expect("written");
        let mut echo = vec![0; HELLO.len()];
        socket.read_exact(&mut echo).await.expect("echoed");
        assert_eq!(echo, HELLO);
    }
    web.context
        .sessions
        .end(&SessionFilter::default(), SessionEnd::Revoked);
    let mut rest = Vec::new();
    let read = tokio::time::timeout(super::SOON, socket.read_to_end(&mut rest)).await;
    read.map(drop).expect("it ends with its login");
}

/// Nobody has to be logged in for this, so it must cost nothing for long.
#[tokio::test]
async fn a_page_of_ours_that_is_never_read_does_not_hold_the_connection() {
    let mut setup = Setup {
        listener: |config| config.tls = Some(net::TlsMode::Implicit),
        ..Setup::default()
    };
    (setup.config.body_timeout, setup.config.header_timeout) = (1, 1);
    let web = setup.start("127.0.0.1:1").await;
    // A client with no room at all, and one with room for the first words.
    for window in [0, 10] {
        let mut sender = http2_with(&web, window).await;
        let request = Request::get("https://localhost/.homing/login")
            .body(Empty::new())
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let closed = tokio::time::timeout(super::SOON, async {
            while !sender.is_closed() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        closed.await.expect("it is given up");
        assert!(response.into_body().collect().await.is_err());
    }
}

#[tokio::test]
async fn a_stream_that_is_never_read_does_not_hold_its_home() {
    const BODY: usize = 400_000;
    let (name, _) = super::app::raw(super::app::Raw::Pours(BODY)).await;
    let mut setup = Setup {
        listener: |config| config.tls = Some(net::TlsMode::Implicit),
        ..Setup::default()
    };
    setup.config.body_timeout = 1;
    let web = setup.start(&name).await;
    let mut sender = http2_with(&web, 1_000).await;
    let request = Request::get("https://localhost/a")
        .header("authorization", AUTHORIZATION)
        .body(Empty::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    // Nothing of the body is read, and the connection is kept going.
    let closed = tokio::time::timeout(super::SOON, async {
        while !sender.is_closed() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    closed.await.expect("it is given up");
    assert!(
        response.into_body().collect().await.is_err(),
        "and does not look whole"
    );
}
