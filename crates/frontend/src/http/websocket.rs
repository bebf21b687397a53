//! WebSockets (RFC 6455), also inside an HTTP/2 stream (RFC 8441): the handshake goes to the home, and from then on
//! octets are relayed.

use super::body::{Outgoing, Upload};
use super::headers;
use super::logins::InUse;
use super::pool::Lease;
use super::reply::Fault;
use super::request::Kind;
use super::service::{HttpProxy, Visit};
use super::trail::Trail;
use crate::failure::Failure;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::sasl::encode_base64;

/// What is held of one direction.
const BUFFER: usize = 16 * 1024;
/// How long the other direction may take to end.
const LINGER: Duration = Duration::from_secs(10);
/// A socket that has to end is closed at the first pause of this length, or at the deadline.
const QUIET: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(30);
/// How often it is looked whether anything moves.
const TICK: Duration = Duration::from_secs(1);

/// Turns a request into the handshake that homes know (RFC 8441 section 5: those of HTTP/2 have no key).
pub(super) fn prepare(request: &mut Request<Upload>, kind: Kind) -> Result<(), Fault> {
    let fields = request.headers_mut();
    if kind == Kind::WebSocketStream {
        let key: [u8; 16] = net::fresh_random().map_err(|_| Fault::Own("there is no randomness"))?;
        let key = HeaderValue::try_from(encode_base64(&key)).map_err(|_| Fault::Own("there is no key"))?;
        fields.insert(SEC_WEBSOCKET_KEY, key);
    }
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    *request.method_mut() = Method::GET;
    Ok(())
}

/// A client and its home, once both have agreed.
pub(super) struct Socket {
    client: OnUpgrade,
    home: OnUpgrade,
    lease: Lease,
    login: InUse,
    idle: Duration,
    gone: CancellationToken,
}

/// Whether a home's answer is the 101 that was asked for (RFC 6455 section 4.2.2).
pub(super) fn is_agreed(response: &Response<Incoming>) -> bool {
    let named = response.headers().get(UPGRADE);
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && named.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// What belongs to one socket besides the home's answer.
pub(super) struct Ends {
    pub(super) client: OnUpgrade,
    pub(super) lease: Lease,
    pub(super) login: InUse,
}

impl HttpProxy {
    /// The answer that opens the socket, and the socket.
    pub(super) fn agree(
        &self,
        mut response: Response<Incoming>,
        ends: Ends,
        visit: &Visit,
        gone: CancellationToken,
    ) -> (Response<Outgoing>, Socket) {
        ends.lease.is_well();
        let home = hyper::upgrade::on(&mut response);
        let (mut head, _) = response.into_parts();
        headers::clean_response(&mut head.headers);
        self.sign(&mut head.headers);
        let mut answer = Response::new(Outgoing::whole(""));
        *answer.headers_mut() = head.headers;
        let fields = answer.headers_mut();
        if visit.target.kind == Kind::WebSocketStream {
            // RFC 8441 section 5: 200, and no trace of the handshake.
            fields.remove(SEC_WEBSOCKET_ACCEPT);
        } else {
            fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        let mut lease = ends.lease;
        lease.is_upgraded();
        let socket = Socket {
            client: ends.client,
            home,
            lease,
            login: ends.login,
            idle: visit.idle,
            gone,
        };
        (answer, socket)
    }
}

impl Socket {
    /// Relays to the end.
    pub(super) async fn run(self, mut trail: Trail) {
        let both = async { tokio::try_join!(self.client, self.home) };
        let (client, home) = match tokio::time::timeout(LINGER, both).await {
            Ok(Ok(both)) => both,
            _ => return trail.ends("not upgraded"),
        };
        let moved = Moved::default();
        let end = tokio::select! {
            end = relay(client, home, &moved) => end,
            end = silence(&moved, self.idle) => end,
            () = self.login.login().cut.cancelled() => "login ended",
            () = wind_down(&self.login, &moved) => "drained",
            () = self.gone.cancelled() => "client gone",
        };
        let (up, down) = (
            moved.up.load(Ordering::Relaxed),
            moved.down.load(Ordering::Relaxed),
        );
        self.login.login().count(up, down);
        trail.count(down);
        trail.ends(end);
        drop(self.lease);
    }
}

/// Octets moved so far.
#[derive(Debug, Default)]
struct Moved {
    up: AtomicU64,
    down: AtomicU64,
}

impl Moved {
    fn total(&self) -> u64 {
        let up = self.up.load(Ordering::Relaxed);
        up.wrapping_add(self.down.load(Ordering::Relaxed))
    }
}

async fn relay(client: Upgraded, home: Upgraded, moved: &Moved) -> &'static str {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_home, to_home) = tokio::io::split(TokioIo::new(home));
    let mut up = std::pin::pin!(pump(from_client, to_home, &moved.up));
    let mut down = std::pin::pin!(pump(from_home, to_client, &moved.down));
    let (first, rest) = tokio::select! {
        up = &mut up => (up, tokio::time::timeout(LINGER, down).await),
        down = &mut down => (down, tokio::time::timeout(LINGER, up).await),
    };
    match (first, rest) {
        (Ok(()), Ok(Ok(()))) => "done",
        _ => "broken off",
    }
}

async fn pump(
    mut from: ReadHalf<TokioIo<Upgraded>>,
    mut to: WriteHalf<TokioIo<Upgraded>>,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(octets) = buffer.get(..length).filter(|octets| !octets.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(octets).await?;
        to.flush().await?;
        count.fetch_add(u64::try_from(length).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Returns once nothing has moved for so long.
async fn silence(moved: &Moved, limit: Duration) -> &'static str {
    let (mut seen, mut since) = (moved.total(), Instant::now());
    loop {
        tokio::time::sleep(TICK.min(limit)).await;
        let now = moved.total();
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= limit {
            return "idle";
        }
    }
}

/// Returns once the socket has to make room, at a moment when nobody is speaking.
async fn wind_down(login: &InUse, moved: &Moved) {
    login.login().winds_down.cancelled().await;
    let quiet = silence(moved, QUIET);
    let _ = tokio::time::timeout(DEADLINE, quiet).await;
}

/// A home that agrees to something else than was asked for.
pub(super) fn refused(name: &str, status: StatusCode) -> Failure {
    Failure::Protocol {
        home: name.to_owned(),
        cause: format!("{status} is no answer to a WebSocket"),
    }
}
