//! Reading one message within its limits: after DATA, or in the chunks of BDAT.

use super::reply::DataProblem;
use crate::deliver::Finished;
use crate::receiver::Receiver;
use net::{LineStream, ReadError, Share};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::smtp::{ChunkDecoder, DotDecoder, Progress, hop_count};

/// RFC 5321 section 4.5.3.2.5 gives a client three minutes for a block; a server is no less patient.
const BLOCK: Duration = Duration::from_secs(300);
/// A message that is not there after this long comes from somebody who only wants to hold the connection.
const WHOLE: Duration = Duration::from_secs(3600);
/// How much is taken from the stream at once.
const PIECE: usize = 64 * 1024;
/// How far past the size limit a message is read to its end, so that the client hears `552`.
const PATIENCE: usize = 64 << 20;

/// A message in memory, and its share of the memory for messages.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Finished,
    pub(super) share: Share,
}

/// Reads to the final dot, whatever is wrong with the message; only then is there a verdict. `trace` is what
/// goes before the message.
pub(super) async fn read(
    stream: &mut LineStream,
    receiver: &Arc<Receiver>,
    trace: String,
) -> Result<Result<Incoming, DataProblem>, ReadError> {
    match tokio::time::timeout(WHOLE, read_all(stream, receiver, trace.into_bytes())).await {
        Ok(done) => done,
        Err(_) => Err(ReadError::TimedOut),
    }
}

async fn read_all(
    stream: &mut LineStream,
    receiver: &Arc<Receiver>,
    trace: Vec<u8>,
) -> Result<Result<Incoming, DataProblem>, ReadError> {
    let mut decoder = DotDecoder::new(receiver.limits.bare_line_ends);
    let mut buffer = Buffer::new(receiver.clone(), trace);
    loop {
        let piece = stream.read_some(PIECE, BLOCK).await?;
        let progress = decoder.decode(&piece, &mut buffer.bytes);
        buffer.settle();
        if let Progress::Done { consumed } = progress {
            if let Some(rest) = piece.get(consumed..).filter(|rest| !rest.is_empty()) {
                stream.unread(rest);
            }
            break;
        }
        if buffer.is_endless() {
            return Ok(Err(DataProblem::Endless));
        }
    }
    Ok(buffer.finish(decoder.saw_bare_line_end()))
}

/// A message that comes in chunks (RFC 3030 section 2).
pub(super) struct Chunks {
    buffer: Buffer,
    decoder: ChunkDecoder,
    deadline: Instant,
}

impl Chunks {
    /// Before the first chunk. `trace` is what goes before the message.
    pub(super) fn new(receiver: &Arc<Receiver>, trace: String) -> Self {
        Self {
            buffer: Buffer::new(receiver.clone(), trace.into_bytes()),
            decoder: ChunkDecoder::text(receiver.limits.bare_line_ends),
            deadline: Instant::now() + WHOLE,
        }
    }

    /// Reads a chunk of so many octets; what is wrong with the message so far is told at once.
    pub(super) async fn take(
        &mut self,
        stream: &mut LineStream,
        size: u64,
    ) -> Result<Result<(), DataProblem>, ReadError> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let read = timeout_at(self.deadline, stream.read_some(most, BLOCK)).await;
            let piece = read.unwrap_or(Err(ReadError::TimedOut))?;
            left = left.saturating_sub(piece.len() as u64);
            self.decoder.decode(&piece, &mut self.buffer.bytes);
            self.buffer.settle();
            if self.buffer.is_endless() {
                return Ok(Err(DataProblem::Endless));
            }
        }
        Ok(self.buffer.problem.map_or(Ok(()), Err))
    }

    /// The last chunk was read.
    pub(super) fn finish(mut self) -> Result<Incoming, DataProblem> {
        self.decoder.finish(&mut self.buffer.bytes);
        self.buffer.settle();
        let bare = self.decoder.saw_bare_line_end();
        self.buffer.finish(bare)
    }
}

/// Reads a chunk that belongs to no message, or its octets would be taken for commands.
pub(super) async fn skip(
    stream: &mut LineStream,
    receiver: &Receiver,
    size: u64,
) -> Result<Result<(), DataProblem>, ReadError> {
    let most = receiver.limits.message_size.saturating_add(PATIENCE);
    let mut left = usize::try_from(size).unwrap_or(usize::MAX);
    if left > most {
        return Ok(Err(DataProblem::Endless));
    }
    let deadline = Instant::now() + WHOLE;
    while left > 0 {
        let read = timeout_at(deadline, stream.read_some(left.min(PIECE), BLOCK)).await;
        left = left.saturating_sub(read.unwrap_or(Err(ReadError::TimedOut))?.len());
    }
    Ok(Ok(()))
}

/// What has been read, within the size limit and the memory for messages.
struct Buffer {
    receiver: Arc<Receiver>,
    bytes: Vec<u8>,
    client_at: usize,
    share: Share,
    dropped: usize,
    problem: Option<DataProblem>,
}

impl Buffer {
    fn new(receiver: Arc<Receiver>, trace: Vec<u8>) -> Self {
        Self {
            client_at: trace.len(),
            bytes: trace,
            share: receiver.memory.share(),
            dropped: 0,
            problem: None,
            receiver,
        }
    }

    fn is_endless(&self) -> bool {
        self.dropped > self.receiver.limits.message_size.saturating_add(PATIENCE)
    }

    /// The message, when nothing is wrong with it.
    fn finish(mut self, bare_line_end: bool) -> Result<Incoming, DataProblem> {
        let limits = &self.receiver.limits;
        if bare_line_end && limits.bare_line_ends == wire::smtp::BareLineEnds::Reject {
            self.problem = Some(DataProblem::BareLineEnd);
        }
        let message = self.bytes.get(self.client_at..).unwrap_or_default();
        // RFC 5321 section 6.3.
        if self.problem.is_none() && hop_count(message) > limits.received {
            self.problem = Some(DataProblem::Looping);
        }
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(Incoming {
                message: Finished {
                    bytes: self.bytes,
                    client_at: self.client_at,
                },
                share: self.share,
            }),
        }
    }

    /// Checks the limits after bytes were added; once one is broken nothing is kept any more.
    fn settle(&mut self) {
        if self.problem.is_none() {
            if self.bytes.len() - self.client_at > self.receiver.limits.message_size {
                self.problem = Some(DataProblem::TooLarge);
            } else if !self.share.grow_to(self.bytes.len() as u64) {
                self.problem = Some(DataProblem::NoMemory);
            } else {
                return;
            }
            self.share = self.receiver.memory.share();
        }
        self.dropped = self.dropped.saturating_add(self.bytes.len() - self.client_at);
        // Frees the memory, and keeps room for the trace fields only.
        self.bytes.truncate(self.client_at);
        self.bytes.shrink_to_fit();
    }
}
