//! Bytes both ways between a client and a home, after login.
//!
//! A future of its own, small, without a buffer or a timer while nothing moves: bytes go from the stack of the
//! poll straight to the other side, and only what the other side does not take at once is kept. Between two TCP
//! connections, much goes through a pipe of the kernel's.

mod splice;
mod watch;

pub(crate) use splice::Pipes;
pub use watch::Watch;
use watch::Way;

use crate::{Connection, LineStream, Session, SessionEnd};
use bytes::{Buf, Bytes};
use splice::{Broken, Splice, Step};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Bytes moved at once where TLS makes records of them.
const CHUNK: usize = 64 * 1024;
/// Between two TCP connections: as much as stays in the processor's nearest cache (docs/design/0018).
const PIECE: usize = 48 * 1024;
/// Bytes in one answer or one upload, after which the rest goes through a pipe: below that a copy is as cheap and sooner
/// at the other side.
const LARGE: u64 = 2 << 20;
/// How long a session that was told to end must be quiet before it is closed.
const QUIET: Duration = Duration::from_secs(2);
/// The same when the home has been asked to say goodbye.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long a session that was told to end may go on at all.
const GRACE: Duration = Duration::from_secs(30);
/// How long the other direction may go on without a byte after one side has closed.
const HALF_CLOSED: Duration = Duration::from_secs(30);

/// One side: the connection, and bytes already read from it.
#[derive(Debug)]
pub struct Leg {
    /// The connection.
    pub connection: Connection,
    /// What was read from it and not used.
    pub leftover: Bytes,
}

impl From<LineStream> for Leg {
    fn from(stream: LineStream) -> Self {
        let (connection, leftover) = stream.into_parts();
        Self { connection, leftover }
    }
}

/// How a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// The client closed first.
    ClientClosed,
    /// The home closed first.
    HomeClosed,
    /// Nothing moved for the idle time.
    Idle,
    /// It was told to end.
    Told(SessionEnd),
    /// What the client said may not be passed on.
    Refused(&'static str),
    /// The client's connection broke.
    ClientError(io::Error),
    /// The home's connection broke.
    HomeError(io::Error),
}

impl RelayEnd {
    /// In one word, for metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::HomeClosed => "home_closed",
            Self::Idle => "idle",
            Self::Told(why) => why.as_str(),
            Self::Refused(_) => "refused",
            Self::ClientError(_) => "client_error",
            Self::HomeError(_) => "home_error",
        }
    }
}

/// What a relay did.
#[derive(Debug)]
pub struct RelayReport {
    /// Bytes from the client to the home.
    pub bytes_up: u64,
    /// Bytes from the home to the client.
    pub bytes_down: u64,
    /// Why it ended.
    pub end: RelayEnd,
}

/// One direction.
#[derive(Debug)]
struct Direction {
    /// Read and not yet written.
    pending: Option<Box<Bytes>>,
    /// While much is moving.
    splice: Option<Box<Splice>>,
    moved: u64,
    state: State,
    /// Written but perhaps still in TLS's own buffer.
    unflushed: bool,
    /// The last read was full, and much went before it.
    much: bool,
    /// What had moved when the other side last spoke: since then it is one answer, or one upload.
    began: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended; the sink is to be told.
    Closing,
    Closed,
}

/// Whether the other direction still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    First,
    Last,
}

/// What became of one direction.
type Moved = Poll<Result<(), Fault>>;

/// Whose fault an error is.
enum Fault {
    Source(io::Error),
    Sink(io::Error),
    Refused(&'static str),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Source(error) => Self::Source(error),
            Broken::Sink(error) => Self::Sink(error),
        }
    }
}

impl Direction {
    fn new(pending: Bytes) -> Self {
        Self {
            pending: Some(pending).filter(|bytes| !bytes.is_empty()).map(Box::new),
            splice: None,
            moved: 0,
            state: State::Open,
            unflushed: false,
            much: false,
            began: 0,
        }
    }

    /// Moves what can be moved. `Ready` once the direction is closed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Connection,
        sink: &mut Connection,
        mut way: Way<'_>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            if let Some(pending) = &mut self.pending {
                while !pending.is_empty() {
                    let written =
                        ready!(Pin::new(&mut *sink).poll_write(cx, pending)).map_err(Fault::Sink)?;
                    if written == 0 {
                        return Poll::Ready(Err(Fault::Sink(io::ErrorKind::WriteZero.into())));
                    }
                    pending.advance(written);
                    self.moved += written as u64;
                    self.unflushed = true;
                }
                // The last slice would keep its allocation alive.
                self.pending = None;
            }
            match self.state {
                State::Closed => return Poll::Ready(Ok(())),
                // Both are closed at once after this, which says the same.
                State::Closing if way.order == Order::Last && matches!(sink, Connection::Tcp(_)) => {
                    self.state = State::Closed;
                    return Poll::Ready(Ok(()));
                }
                State::Closing => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(Fault::Sink)?;
                    self.state = State::Closed;
                    return Poll::Ready(Ok(()));
                }
                State::Open => {}
            }
            let moved = match (&*source, &*sink) {
                (Connection::Tcp(source), Connection::Tcp(sink)) if self.splices(way.pipes) => {
                    ready!(self.spliced(cx, source, sink))?
                }
                _ => match way.released()? {
                    Some(bytes) if bytes.is_empty() => self.read(cx, source, sink, &mut way)?,
                    Some(bytes) => {
                        self.pending = Some(Box::new(bytes));
                        continue;
                    }
                    // The other direction goes on first.
                    None => Poll::Pending,
                },
            };
            if moved.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *sink).poll_flush(cx)).map_err(Fault::Sink)?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
        }
    }

    /// Whether bytes go through a pipe now. It is asked for one when much is moving.
    fn splices(&mut self, pipes: &Arc<Pipes>) -> bool {
        if std::mem::take(&mut self.much) && self.splice.is_none() {
            self.splice = pipes.take().map(Box::new);
        }
        self.splice.is_some()
    }

    /// One step through the pipe, which is given back as soon as nothing comes. The outer `Pending` waits for the
    /// sink, the inner one for the source.
    fn spliced(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        sink: &TcpStream,
    ) -> Poll<Result<Poll<()>, Fault>> {
        let Some(splice) = &mut self.splice else {
            return Poll::Ready(Ok(Poll::Ready(())));
        };
        let step = ready!(splice.poll(cx, source, sink))?;
        if let Step::Moved(bytes) = step {
            self.moved += bytes;
            return Poll::Ready(Ok(Poll::Ready(())));
        }
        self.splice = None;
        Poll::Ready(Ok(match step {
            Step::Quiet => Poll::Pending,
            Step::Ended => {
                self.state = State::Closing;
                Poll::Ready(())
            }
            // The next read copies.
            Step::Unable | Step::Moved(_) => Poll::Ready(()),
        }))
    }

    /// Reads a chunk onto the stack and writes it at once; keeps only what the sink does not take.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Connection,
        sink: &mut Connection,
        way: &mut Way<'_>,
    ) -> Result<Poll<()>, Fault> {
        let size = match (&*source, &*sink) {
            (Connection::Tcp(_), Connection::Tcp(_)) => PIECE,
            _ => CHUNK,
        };
        let mut chunk = [const { MaybeUninit::<u8>::uninit() }; CHUNK];
        let mut chunk = ReadBuf::uninit(chunk.get_mut(..size).unwrap_or_default());
        match Pin::new(source).poll_read(cx, &mut chunk) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Poll::Ready(result) => result.map_err(Fault::Source)?,
        }
        if chunk.filled().is_empty() {
            self.state = State::Closing;
            return Ok(Poll::Ready(()));
        }
        // Nobody looks into a pipe.
        self.much = way.watch.is_none() && chunk.filled().len() == size && self.moved - self.began >= LARGE;
        let passed = way.pass(chunk.filled())?;
        let mut bytes = &*passed;
        if bytes.is_empty() {
            return Ok(Poll::Ready(()));
        }
        if let Poll::Ready(result) = Pin::new(sink).poll_write(cx, bytes) {
            let written = result.map_err(Fault::Sink)?;
            self.moved += written as u64;
            self.unflushed = true;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        if !bytes.is_empty() {
            self.pending = Some(Box::new(Bytes::copy_from_slice(bytes)));
        }
        Ok(Poll::Ready(()))
    }
}

/// The relay of one session. It is a future of its own, without a second copy of anything, because tens of
/// thousands of them wait at once.
///
/// It ends when both sides have closed, one breaks, nothing moves for the idle time, or the session is told to end.
/// Then nothing may be written into the stream, which may be inside a literal or compressed: it is closed without
/// a word at the first [`QUIET`] seconds without a byte, or after [`GRACE`].
#[derive(Debug)]
pub struct Relay {
    client: Connection,
    home: Connection,
    up: Direction,
    down: Direction,
    session: Session,
    idle: Duration,
    active: Instant,
    /// When it was told to end.
    told: Option<(SessionEnd, Instant)>,
    /// The home has been asked to say goodbye.
    farewell: bool,
    first_closed: Option<Side>,
    watch: Option<Box<dyn Watch>>,
}

/// Who closed first, or where bytes come from.
#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Home,
}

impl Relay {
    /// A relay between these two; `session` hears when it has to end.
    #[must_use]
    pub fn new(client: impl Into<Leg>, home: impl Into<Leg>, idle: Duration, session: Session) -> Self {
        let (client, home) = (client.into(), home.into());
        let active = Instant::now();
        Self {
            up: Direction::new(client.leftover),
            down: Direction::new(home.leftover),
            client: client.connection,
            home: home.connection,
            session,
            idle,
            active,
            told: None,
            farewell: false,
            first_closed: None,
            watch: None,
        }
    }

    /// The same with somebody between the two.
    #[must_use]
    pub fn watched(mut self, mut watch: Box<dyn Watch>) -> Self {
        if let Some(early) = self.up.pending.take() {
            let mut out = Vec::new();
            // A refusal is heard again when the relay begins.
            let _ = watch.up(&early, &mut out);
            self.up = Direction::new(out.into());
        }
        if let Some(early) = self.down.pending.take() {
            let passed = watch.down(&early).into_owned();
            self.down = Direction::new(passed.into());
        }
        self.watch = Some(watch);
        self
    }

    /// The session that is relayed.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Why it has been told to end, if it has.
    #[must_use]
    pub fn told(&self) -> Option<SessionEnd> {
        self.told.map(|(why, _)| why)
    }

    /// Somebody has asked the home to end the session in its own protocol: that is waited for.
    pub fn await_farewell(&mut self) {
        self.farewell = true;
    }

    /// Both directions, and the first one again when the second has set it free.
    fn poll_both(&mut self, cx: &mut Context<'_>) -> (Moved, Moved) {
        let pipes = self.session.pipes();
        let after = |other: &Direction| match other.state {
            State::Closed => Order::Last,
            State::Open | State::Closing => Order::First,
        };
        loop {
            let way = Way {
                side: Side::Client,
                order: after(&self.down),
                pipes,
                watch: &mut self.watch,
            };
            let sent = self.up.poll(cx, &mut self.client, &mut self.home, way);
            let waits = |watch: &Option<Box<dyn Watch>>| watch.as_ref().is_some_and(|watch| watch.waits());
            let waited = waits(&self.watch);
            let way = Way {
                side: Side::Home,
                order: after(&self.up),
                pipes,
                watch: &mut self.watch,
            };
            let received = self.down.poll(cx, &mut self.home, &mut self.client, way);
            let free = waited && !waits(&self.watch);
            if !free || sent.is_ready() || matches!(received, Poll::Ready(Err(_))) {
                return (sent, received);
            }
        }
    }

    /// Moves what can be moved; the end, when that is what happened.
    fn transfer(&mut self, cx: &mut Context<'_>) -> Option<RelayEnd> {
        let before = (self.up.moved, self.down.moved, self.up.state, self.down.state);
        let (sent, received) = self.poll_both(cx);
        match (sent, received) {
            (Poll::Ready(Err(Fault::Refused(why))), _) | (_, Poll::Ready(Err(Fault::Refused(why)))) => {
                return Some(RelayEnd::Refused(why));
            }
            (Poll::Ready(Err(Fault::Source(error))), _) | (_, Poll::Ready(Err(Fault::Sink(error)))) => {
                return Some(RelayEnd::ClientError(error));
            }
            (Poll::Ready(Err(Fault::Sink(error))), _) | (_, Poll::Ready(Err(Fault::Source(error)))) => {
                return Some(RelayEnd::HomeError(error));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                return Some(self.closed().unwrap_or(RelayEnd::ClientClosed));
            }
            _ => {}
        }
        if (self.up.moved, self.down.moved, self.up.state, self.down.state) != before {
            self.active = Instant::now();
            self.session.count(self.up.moved, self.down.moved);
            if self.up.moved != before.0 {
                self.down.began = self.down.moved;
            }
            if self.down.moved != before.1 {
                self.up.began = self.up.moved;
            }
        }
        if self.first_closed.is_none() && self.up.state != State::Open {
            self.first_closed = Some(Side::Client);
        } else if self.first_closed.is_none() && self.down.state != State::Open {
            self.first_closed = Some(Side::Home);
        }
        None
    }

    fn closed(&self) -> Option<RelayEnd> {
        self.first_closed.map(|side| match side {
            Side::Client => RelayEnd::ClientClosed,
            Side::Home => RelayEnd::HomeClosed,
        })
    }

    /// When it ends if nothing moves until then.
    fn due(&self) -> Instant {
        let patience = match self.first_closed {
            Some(_) => self.idle.min(HALF_CLOSED),
            None => self.idle,
        };
        let quiet = if self.farewell { FAREWELL } else { QUIET };
        match self.told {
            Some((_, at)) => (self.active.max(at) + patience.min(quiet)).min(at + GRACE),
            None => self.active + patience,
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        if let Some(end) = self.transfer(cx) {
            // Whoever closes after that does it because of that.
            return Poll::Ready(self.told.map_or(end, |(why, _)| RelayEnd::Told(why)));
        }
        self.session.watch(cx);
        let now = Instant::now();
        if self.told.is_none()
            && let Some(why) = self.session.ending()
        {
            self.told = Some((why, now));
        }
        let due = self.due();
        if now < due {
            self.session.wake_at(due);
            return Poll::Pending;
        }
        Poll::Ready(match self.told {
            Some((why, _)) => RelayEnd::Told(why),
            None => self.closed().unwrap_or(RelayEnd::Idle),
        })
    }
}

impl Future for Relay {
    type Output = RelayReport;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayReport> {
        let this = self.get_mut();
        let end = ready!(this.poll_end(cx));
        Poll::Ready(RelayReport {
            bytes_up: this.up.moved,
            bytes_down: this.down.moved,
            end,
        })
    }
}

#[cfg(test)]
mod tests;
