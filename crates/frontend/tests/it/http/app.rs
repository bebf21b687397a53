//! A small web application as a home, and homes that do as they like.

use aws_lc_rs::digest;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use wire::sasl::encode_base64;

/// A request as the home saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) octets: usize,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The application.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) name: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    /// Lets one event, or one answer that is held, go.
    pub(crate) gate: Arc<Semaphore>,
}

type Body = BoxBody<Bytes, Infallible>;

fn full(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes())).boxed()
}

impl App {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let app = Self {
            name: listener.local_addr().expect("bound").to_string(),
            seen: Arc::default(),
            connections: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let serving = app.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *serving.connections.lock() += 1;
                let app = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let app = app.clone();
                        async move { Ok::<_, Infallible>(app.answer(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    let _ = connection.await;
                });
            }
        });
        app
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock()
    }

    async fn answer(self, mut request: Request<Incoming>) -> Response<Body> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let octets = body
            .collect()
            .await
            .map_or(usize::MAX, |body| body.to_bytes().len());
        self.seen.lock().push(Seen {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts.headers.clone(),
            octets,
        });
        let mut response = Response::new(full("hello"));
        match parts.uri.path() {
            "/cookies" => {
                for cookie in ["sid=1", "homing=evil", "__Host-homing=evil"] {
                    let value = HeaderValue::from_static(cookie);
                    response.headers_mut().append("set-cookie", value);
                }
                let hop = HeaderValue::from_static("x-internal");
                response.headers_mut().insert(CONNECTION, hop);
                response
                    .headers_mut()
                    .insert("x-internal", HeaderValue::from_static("1"));
            }
            "/401" => *response.status_mut() = StatusCode::UNAUTHORIZED,
            "/404" => *response.status_mut() = StatusCode::NOT_FOUND,
            "/held" => {
                let permit = self.gate.acquire().await.expect("open");
                permit.forget();
            }
            "/events" => {
                response = Response::new(Events::behind(self.gate.clone()).boxed());
                let kind = HeaderValue::from_static("text/event-stream");
                response.headers_mut().insert(CONTENT_TYPE, kind);
            }
            "/socket" => {
                let key = parts
                    .headers
                    .get(SEC_WEBSOCKET_KEY)
                    .expect("a key")
                    .as_bytes()
                    .to_vec();
                let accept = [&key[..], b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
                let accept = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &accept);
                let accept = encode_base64(accept.as_ref());
                response = Response::new(Empty::new().boxed());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(
                    SEC_WEBSOCKET_ACCEPT,
                    HeaderValue::try_from(accept).expect("a value"),
                );
                tokio::spawn(async move {
                    let mut stream = TokioIo::new(upgrade.await.expect("upgraded"));
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
            _ => {}
        }
        response
    }
}

/// One event for each permit.
struct Events(tokio::sync::mpsc::Receiver<Frame<Bytes>>);

impl Events {
    fn behind(gate: Arc<Semaphore>) -> Self {
        let (send, receive) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            for number in 0.. {
                let permit = tokio::select! {
                    permit = gate.acquire() => permit.expect("open"),
                    () = send.closed() => return,
                };
                permit.forget();
                let frame = Frame::data(Bytes::from(format!("data: {number}\n\n")));
                if send.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Self(receive)
    }
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// What a home does that is no server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw {
    /// Answers every head with this, and closes.
    Says(&'static [u8]),
    /// Answers with this many octets of a header.
    Floods(usize),
    /// Answers with a body of this many octets, and waits for nobody.
    Pours(usize),
    /// Answers the first head of each connection with this, and closes it at the second.
    SaysOnce(&'static [u8]),
    /// Reads and says nothing.
    Hangs,
    /// Answers with this, and says nothing more.
    Stops(&'static [u8]),
}

/// Reads the head of one request.
async fn hear(stream: &mut tokio::net::TcpStream, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !text.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => text.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
    log.lock().push(String::from_utf8_lossy(&text).into_owned());
    Some(())
}

/// A home that reads the head of a request and does as it likes; with how many heads it has read.
pub(crate) async fn raw(what: Raw) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let name = listener.local_addr().expect("bound").to_string();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                if hear(&mut stream, &log).await.is_none() {
                    return;
                }
                match what {
                    Raw::Says(answer) => drop(stream.write_all(answer).await),
                    Raw::Floods(octets) => {
                        let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(octets));
                        drop(stream.write_all(head.as_bytes()).await);
                    }
                    Raw::Pours(octets) => {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {octets}\r\n\r\n");
                        drop(stream.write_all(head.as_bytes()).await);
                        drop(stream.write_all(&vec![b'x'; octets]).await);
                    }
                    Raw::SaysOnce(answer) => {
                        drop(stream.write_all(answer).await);
                        hear(&mut stream, &log).await;
                    }
                    Raw::Hangs => std::future::pending().await,
                    Raw::Stops(answer) => {
                        drop(stream.write_all(answer).await);
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    (name, heads)
}
