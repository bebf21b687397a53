//! Bytes both ways between a client and a home, after login.
//!
//! A future of its own, small, without a buffer while nothing moves: bytes go from the stack of the poll
//! straight to the other side, and only what the other side does not take at once is kept.

use crate::{Connection, LineStream, Session, SessionEnd};
use bytes::{Buf, Bytes};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes moved at once.
const CHUNK: usize = 32 * 1024;
/// How long a session that was told to end must be quiet before it is closed.
const QUIET: Duration = Duration::from_secs(2);
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
    pending: Bytes,
    moved: u64,
    state: State,
    /// Written but perhaps still in TLS's own buffer.
    unflushed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended; the sink is to be told.
    Closing,
    Closed,
}

/// Whose fault an error is.
enum Fault {
    Source(io::Error),
    Sink(io::Error),
}

impl Direction {
    fn new(pending: Bytes) -> Self {
        Self {
            pending,
            moved: 0,
            state: State::Open,
            unflushed: false,
        }
    }

    /// Moves what can be moved. `Ready` once the direction is closed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Connection,
        sink: &mut Connection,
    ) -> Poll<Result<(), Fault>> {
        loop {
            while !self.pending.is_empty() {
                let written =
                    ready!(Pin::new(&mut *sink).poll_write(cx, &self.pending)).map_err(Fault::Sink)?;
                if written == 0 {
                    return Poll::Ready(Err(Fault::Sink(io::ErrorKind::WriteZero.into())));
                }
                self.pending.advance(written);
                self.moved += written as u64;
                self.unflushed = true;
            }
            // The last slice would keep its allocation alive.
            self.pending = Bytes::new();
            match self.state {
                State::Closed => return Poll::Ready(Ok(())),
                State::Closing => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(Fault::Sink)?;
                    self.state = State::Closed;
                    return Poll::Ready(Ok(()));
                }
                State::Open => {}
            }
            if self.read(cx, source, sink)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *sink).poll_flush(cx)).map_err(Fault::Sink)?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
        }
    }

    /// Reads a chunk onto the stack and writes it at once; keeps only what the sink does not take.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Connection,
        sink: &mut Connection,
    ) -> Result<Poll<()>, Fault> {
        let mut chunk = [const { MaybeUninit::<u8>::uninit() }; CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        match Pin::new(source).poll_read(cx, &mut chunk) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Poll::Ready(result) => result.map_err(Fault::Source)?,
        }
        let mut bytes = chunk.filled();
        if bytes.is_empty() {
            self.state = State::Closing;
            return Ok(Poll::Ready(()));
        }
        if let Poll::Ready(result) = Pin::new(sink).poll_write(cx, bytes) {
            let written = result.map_err(Fault::Sink)?;
            self.moved += written as u64;
            self.unflushed = true;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        if !bytes.is_empty() {
            self.pending = Bytes::copy_from_slice(bytes);
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
    first_closed: Option<Side>,
    timer: Pin<Box<Sleep>>,
}

/// Who closed first.
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
            first_closed: None,
            timer: Box::pin(tokio::time::sleep_until(active + idle)),
        }
    }

    /// The session that is relayed.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Moves what can be moved; the end, when that is what happened.
    fn transfer(&mut self, cx: &mut Context<'_>) -> Option<RelayEnd> {
        let before = (self.up.moved, self.down.moved, self.up.state, self.down.state);
        let sent = self.up.poll(cx, &mut self.client, &mut self.home);
        let received = self.down.poll(cx, &mut self.home, &mut self.client);
        match (sent, received) {
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
        match self.told {
            Some((_, at)) => (self.active.max(at) + patience.min(QUIET)).min(at + GRACE),
            None => self.active + patience,
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        if let Some(end) = self.transfer(cx) {
            // Whoever closes after that does it because of that.
            return Poll::Ready(self.told.map_or(end, |(why, _)| RelayEnd::Told(why)));
        }
        if self.told.is_none()
            && let Poll::Ready(why) = self.session.poll_ended(cx)
        {
            self.told = Some((why, Instant::now()));
        }
        loop {
            let due = self.due();
            // Putting it off is left to the moment when it fires: most bytes move long before.
            if self.timer.deadline() > due {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            if due <= self.timer.deadline() {
                let quiet = match self.told {
                    Some((why, _)) => RelayEnd::Told(why),
                    None => RelayEnd::Idle,
                };
                return Poll::Ready(match quiet {
                    RelayEnd::Idle => self.closed().unwrap_or(quiet),
                    told => told,
                });
            }
            self.timer.as_mut().reset(due);
        }
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
