//! Bytes both ways between a client and a home, after login.
//!
//! A future of its own, small, without a buffer while nothing moves: bytes go from the stack of the poll
//! straight to the other side, and only what the other side does not take at once is kept.

use crate::{Connection, LineStream, Shutdown};
use bytes::{Buf, Bytes};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes moved at once.
const CHUNK: usize = 32 * 1024;
/// How long a session may be quiet while we drain before it is closed.
const DRAIN_QUIET: Duration = Duration::from_secs(2);
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
    /// The server is stopping.
    Shutdown,
    /// The client's connection broke.
    ClientError(io::Error),
    /// The home's connection broke.
    HomeError(io::Error),
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

/// Relays until both sides have closed, one breaks, nothing moves for `idle`, or the server stops. While it
/// drains, a session is closed after two seconds of quiet, since nothing may be written into the stream.
pub async fn relay(
    client: impl Into<Leg>,
    home: impl Into<Leg>,
    idle: Duration,
    shutdown: Shutdown,
) -> RelayReport {
    let (mut client, mut home) = (client.into(), home.into());
    let mut up = Direction::new(std::mem::take(&mut client.leftover));
    let mut down = Direction::new(std::mem::take(&mut home.leftover));
    let (mut client, mut home) = (client.connection, home.connection);
    let mut active = Instant::now();
    let mut first_closed = None;
    let mut limit = idle;
    let timer = tokio::time::sleep_until(active + limit);
    let stopping = shutdown.requested();
    tokio::pin!(timer, stopping);
    let mut draining = false;
    let end = std::future::poll_fn(|cx| {
        loop {
            let before = (up.moved, down.moved, up.state, down.state);
            let sent = up.poll(cx, &mut client, &mut home);
            let received = down.poll(cx, &mut home, &mut client);
            match (sent, received) {
                (Poll::Ready(Err(Fault::Source(error))), _) | (_, Poll::Ready(Err(Fault::Sink(error)))) => {
                    return Poll::Ready(RelayEnd::ClientError(error));
                }
                (Poll::Ready(Err(Fault::Sink(error))), _) | (_, Poll::Ready(Err(Fault::Source(error)))) => {
                    return Poll::Ready(RelayEnd::HomeError(error));
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                    return Poll::Ready(first_closed.take().unwrap_or(RelayEnd::ClientClosed));
                }
                _ => {}
            }
            if (up.moved, down.moved, up.state, down.state) != before {
                active = Instant::now();
            }
            if first_closed.is_none() && up.state != State::Open {
                first_closed = Some(RelayEnd::ClientClosed);
                limit = limit.min(HALF_CLOSED);
            } else if first_closed.is_none() && down.state != State::Open {
                first_closed = Some(RelayEnd::HomeClosed);
                limit = limit.min(HALF_CLOSED);
            }
            if !draining && stopping.as_mut().poll(cx).is_ready() {
                draining = true;
                limit = limit.min(DRAIN_QUIET);
            }
            let due = active + limit;
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            if due <= timer.deadline() {
                let quiet = if draining {
                    RelayEnd::Shutdown
                } else {
                    RelayEnd::Idle
                };
                return Poll::Ready(first_closed.take().unwrap_or(quiet));
            }
            // Something moved since the timer was set: wait for the rest.
            timer.as_mut().reset(due);
        }
    })
    .await;
    RelayReport {
        bytes_up: up.moved,
        bytes_down: down.moved,
        end,
    }
}

#[cfg(test)]
mod tests;
