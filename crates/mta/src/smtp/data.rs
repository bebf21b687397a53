//! Reading one message within its limits.

use super::reply::DataProblem;
use crate::deliver::Finished;
use crate::receiver::Receiver;
use net::{LineStream, ReadError, Share};
use std::time::Duration;
use wire::smtp::{DotDecoder, Progress, hop_count};

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
    receiver: &Receiver,
    trace: String,
) -> Result<Result<Incoming, DataProblem>, ReadError> {
    match tokio::time::timeout(WHOLE, read_all(stream, receiver, trace.into_bytes())).await {
        Ok(done) => done,
        Err(_) => Err(ReadError::TimedOut),
    }
}

async fn read_all(
    stream: &mut LineStream,
    receiver: &Receiver,
    trace: Vec<u8>,
) -> Result<Result<Incoming, DataProblem>, ReadError> {
    let limits = &receiver.limits;
    let mut decoder = DotDecoder::new(limits.bare_line_ends);
    let mut buffer = Buffer {
        receiver,
        client_at: trace.len(),
        bytes: trace,
        share: receiver.memory.share(),
        dropped: 0,
        problem: None,
    };
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
        if buffer.dropped > limits.message_size.saturating_add(PATIENCE) {
            return Ok(Err(DataProblem::Endless));
        }
    }
    if decoder.saw_bare_line_end() && limits.bare_line_ends == wire::smtp::BareLineEnds::Reject {
        buffer.problem = Some(DataProblem::BareLineEnd);
    }
    let message = buffer.bytes.get(buffer.client_at..).unwrap_or_default();
    // RFC 5321 section 6.3.
    if buffer.problem.is_none() && hop_count(message) > limits.received {
        buffer.problem = Some(DataProblem::Looping);
    }
    Ok(match buffer.problem {
        Some(problem) => Err(problem),
        None => Ok(Incoming {
            message: Finished {
                bytes: buffer.bytes,
                client_at: buffer.client_at,
            },
            share: buffer.share,
        }),
    })
}

/// What has been read, within the size limit and the memory for messages.
struct Buffer<'a> {
    receiver: &'a Receiver,
    bytes: Vec<u8>,
    client_at: usize,
    share: Share,
    dropped: usize,
    problem: Option<DataProblem>,
}

impl Buffer<'_> {
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
