//! Bytes from socket to socket without a copy through this process: by way of a pipe, while much is moving.

use parking_lot::Mutex;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pipes at once; whoever gets none copies. With their size this is half of what Linux lets one ordinary user have.
const MAX_PIPES: usize = 128;
/// Bytes in a pipe. Linux makes them for 64 KiB, and then most of the time goes into being called; with much more, the
/// one who reads waits for the one who writes.
const SIZE: usize = 256 << 10;
/// Bytes asked for at once. A pipe takes what fits into its slots.
const MOST: usize = 1 << 20;

/// The pipes that all relays share. One that is not in use keeps for the next.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    free: Mutex<Vec<Pipe>>,
    made: AtomicUsize,
    taken: AtomicUsize,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipes {
    /// A pipe; none when there are too many, or no descriptors.
    pub(super) fn take(self: &Arc<Self>) -> Option<Splice> {
        let free = self.free.lock().pop();
        let pipe = match free {
            Some(pipe) => pipe,
            None => self.make()?,
        };
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Splice {
            pipe: Some(pipe),
            inside: 0,
            pipes: Arc::clone(self),
        })
    }

    fn make(&self) -> Option<Pipe> {
        let room = self
            .made
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |made| {
                (made < MAX_PIPES).then_some(made + 1)
            });
        room.ok()?;
        match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
            Ok((read, write)) => {
                // A user who has too many already gets no more than Linux gives to all.
                let _ = fcntl_setpipe_size(&write, SIZE);
                Some(Pipe { read, write })
            }
            Err(_) => {
                self.made.fetch_sub(1, Ordering::AcqRel);
                None
            }
        }
    }

    /// How often a relay has taken one.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many there are, and how many of them are not in use.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.made.load(Ordering::Acquire), self.free.lock().len())
    }
}

/// A pipe on loan, with what is in it.
#[derive(Debug)]
pub(super) struct Splice {
    /// None only while it is dropped.
    pipe: Option<Pipe>,
    inside: usize,
    pipes: Arc<Pipes>,
}

/// What became of one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes have arrived at the sink.
    Moved(u64),
    /// The source has nothing more for now, and the pipe is empty.
    Quiet,
    /// The source has ended, and the pipe is empty.
    Ended,
    /// The system does not splice these two, and nothing was lost.
    Unable,
}

/// Which of the two sockets failed.
#[derive(Debug)]
pub(super) enum Broken {
    Source(io::Error),
    Sink(io::Error),
}

impl Splice {
    /// Moves once. `Pending` while the sink does not take what is in the pipe.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        sink: &TcpStream,
    ) -> Poll<Result<Step, Broken>> {
        let Some(pipe) = &self.pipe else {
            return Poll::Ready(Ok(Step::Unable));
        };
        while self.inside == 0 {
            match source.poll_read_ready(cx) {
                Poll::Pending => return Poll::Ready(Ok(Step::Quiet)),
                Poll::Ready(ready) => ready.map_err(Broken::Source)?,
            }
            let moved = source.try_io(Interest::READABLE, || once(source, &pipe.write, MOST));
            match moved {
                Ok(0) => return Poll::Ready(Ok(Step::Ended)),
                Ok(read) => self.inside = read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Poll::Ready(Ok(Step::Unable));
                }
                Err(error) => return Poll::Ready(Err(Broken::Source(error))),
            }
        }
        loop {
            ready!(sink.poll_write_ready(cx)).map_err(Broken::Sink)?;
            match sink.try_io(Interest::WRITABLE, || once(&pipe.read, sink, self.inside)) {
                Ok(0) => return Poll::Ready(Err(Broken::Sink(io::ErrorKind::WriteZero.into()))),
                Ok(written) => {
                    self.inside -= written.min(self.inside);
                    return Poll::Ready(Ok(Step::Moved(written as u64)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(Broken::Sink(error))),
            }
        }
    }
}

fn once(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        match splice(from.as_fd(), None, to.as_fd(), None, most, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take() else { return };
        if self.inside == 0 {
            self.pipes.free.lock().push(pipe);
        } else {
            // Somebody's bytes are in it.
            self.pipes.made.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
