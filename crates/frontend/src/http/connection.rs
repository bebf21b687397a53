//! One client's connection: HTTP/1.1, or HTTP/2 where TLS has agreed on it (RFC 9113 section 3.2).

use super::forwarded;
use super::service::HttpProxy;
use hyper::header::HeaderMap;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::{Peer, TlsState};
use net::{Accepted, Connection, ListenerConfig, Shutdown, new_trace_id};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Streams of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 100;
/// What is held of one answer for a client that does not take it.
const SEND_BUFFER: usize = 64 * 1024;
/// How much a client may send before it is read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Whether an HTTP/2 client is still there is asked this often.
const PING: Duration = Duration::from_secs(30);

/// An answer is asked for in pieces as large as the buffer: a client on a thin line takes several times what it may
/// pause to take one.
const STALLS: u32 = 5;

/// What all requests of a connection share.
pub(super) struct Door {
    proxy: Arc<HttpProxy>,
    peer: Peer,
    is_trusted: bool,
    pub(super) config: Arc<ListenerConfig>,
    pub(super) shutdown: Shutdown,
    failures: AtomicU32,
    running: AtomicU32,
    /// When the last request ended, in milliseconds since the start.
    quiet_since: AtomicU64,
    started: Instant,
    closes: CancellationToken,
    /// Answers on their way.
    answers: Mutex<Vec<Weak<Taking>>>,
    /// The connection is gone, whatever still runs.
    pub(super) gone: CancellationToken,
    /// WebSockets that were opened on it.
    pub(super) relays: TaskTracker,
}

/// How an answer is taken by its client. In HTTP/2 a client can refuse one stream and keep the others going, and
/// nobody asks the body then.
pub(super) struct Taking {
    /// Since when the client has something to take, in milliseconds of the connection; 0 for nothing.
    since: AtomicU64,
    cut: CancellationToken,
    door: Weak<Door>,
}

impl Taking {
    /// Something was handed to the client.
    pub(super) fn begins(&self) {
        if let Some(door) = self.door.upgrade() {
            self.since.store(door.age().max(1), Ordering::Relaxed);
        }
    }

    /// The client has room for more.
    pub(super) fn is_done(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    fn is_stuck(&self, now: u64, limit: Duration) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        let waits = u128::from(now.saturating_sub(since));
        since > 0 && (self.cut.is_cancelled() || waits >= limit.as_millis())
    }
}

/// A request that runs.
pub(super) struct Busy(Arc<Door>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.age(), Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Door {
    fn new(accepted: &Accepted, proxy: Arc<HttpProxy>) -> Self {
        Self {
            proxy,
            peer: accepted.peer.clone(),
            is_trusted: accepted.is_trusted(),
            config: Arc::clone(&accepted.config),
            shutdown: accepted.shutdown.clone(),
            failures: AtomicU32::new(0),
            running: AtomicU32::new(0),
            quiet_since: AtomicU64::new(0),
            started: Instant::now(),
            closes: CancellationToken::new(),
            answers: Mutex::default(),
            gone: CancellationToken::new(),
            relays: TaskTracker::new(),
        }
    }

    fn age(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.running.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Looks after an answer; `cut` ends it.
    pub(super) fn taking(self: &Arc<Self>, cut: CancellationToken) -> Arc<Taking> {
        let taking = Arc::new(Taking {
            // Whoever takes nothing at all never asks the body a first time.
            since: AtomicU64::new(self.age().max(1)),
            cut,
            door: Arc::downgrade(self),
        });
        let mut answers = self.answers.lock();
        answers.retain(|known| known.strong_count() > 0);
        answers.push(Arc::downgrade(&taking));
        taking
    }

    /// Whether the client has refused an answer for too long.
    fn is_stuck(&self, limit: Duration) -> bool {
        let now = self.age();
        let answers = self.answers.lock();
        let mut known = answers.iter().filter_map(Weak::upgrade);
        known.any(|taking| taking.is_stuck(now, limit))
    }

    fn is_idle(&self, limit: Duration) -> bool {
        let quiet = self
            .age()
            .saturating_sub(self.quiet_since.load(Ordering::Relaxed));
        self.running.load(Ordering::Acquire) == 0 && u128::from(quiet) >= limit.as_millis()
    }

    /// Who the client is, and whether its own connection is encrypted. What the other end says about that is
    /// believed from trusted networks only. Each request has a trace of its own.
    pub(super) fn believe(&self, headers: &HeaderMap) -> (Peer, bool) {
        let mut peer = self.peer.clone();
        peer.trace = new_trace_id();
        let mut secure = peer.tls == TlsState::Encrypted;
        if self.is_trusted {
            let claim = forwarded::claim(headers);
            if let Some(address) = claim.address {
                peer.client = SocketAddr::new(address, claim.port.unwrap_or_default());
            }
            secure = claim.secure.unwrap_or(secure);
        }
        peer.tls = if secure {
            TlsState::Encrypted
        } else {
            TlsState::Plain
        };
        (peer, secure)
    }

    /// One more login was wrong; after too many the connection ends.
    pub(super) fn count_failure(&self, limit: u32) {
        if self.failures.fetch_add(1, Ordering::AcqRel) + 1 >= limit {
            self.closes.cancel();
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closes.is_cancelled() || self.shutdown.is_requested()
    }
}

/// Serves one client to the end.
pub async fn serve(accepted: Accepted, proxy: Arc<HttpProxy>) {
    let limits = proxy.limits;
    let max_header = usize::try_from(proxy.config.max_header_size.0).unwrap_or(usize::MAX);
    let door = Arc::new(Door::new(&accepted, proxy));
    // Also when this future is dropped at the end of a drain.
    let _guard = door.gone.clone().drop_guard();
    let is_http2 = accepted.connection.agreed_protocol() == Some(b"h2");
    let io = TokioIo::new(Paced::new(accepted.connection, limits.body_timeout));
    let answering = Arc::clone(&door);
    let service = service_fn(move |request| {
        let door = Arc::clone(&answering);
        async move { Ok::<_, Infallible>(Box::pin(door.proxy.answer(&door, request)).await) }
    });
    if is_http2 {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(max_header).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            // RFC 8441 section 3.
            .enable_connect_protocol();
        let connection = http2.serve_connection(io, service);
        drive(connection, |connection| connection.graceful_shutdown(), &door).await;
    } else {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(max_header);
        let connection = http1.serve_connection(io, service).with_upgrades();
        drive(connection, |connection| connection.graceful_shutdown(), &door).await;
    }
    door.relays.close();
    door.relays.wait().await;
}

/// Runs a connection until it ends, is idle for too long, or has to make room.
async fn drive<C>(connection: C, wind_down: impl Fn(Pin<&mut C>), door: &Door)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    let limits = door.proxy.limits;
    let (idle, stall) = (limits.header_timeout, limits.body_timeout * STALLS);
    let tick = idle.min(limits.body_timeout);
    let mut asked = false;
    loop {
        tokio::select! {
            end = &mut connection => {
                if let Err(error) = end {
                    tracing::debug!(client = %door.peer.client, %error, "connection ended");
                }
                return;
            }
            () = door.shutdown.requested(), if !asked => {}
            () = door.closes.cancelled(), if !asked => {}
            () = tokio::time::sleep(tick) => {
                if door.is_stuck(stall) {
                    tracing::debug!(client = %door.peer.client, "an answer is not taken: the connection is closed");
                    return;
                }
                if !door.is_idle(idle) {
                    continue;
                }
                if asked {
                    return;
                }
            }
        }
        asked = true;
        wind_down(connection.as_mut());
    }
}

/// A connection whose other end may not refuse to read for ever.
struct Paced {
    inner: Connection,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    const fn new(inner: Connection, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            stalled: None,
        }
    }

    fn pace<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let limit = self.limit;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.pace(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.pace(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.pace(cx, shut)
    }
}
