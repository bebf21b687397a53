//! A message on its way in: the data after DATA, or chunks after BDAT (RFC 3030).
//!
//! Owns the limits on what is kept. What is refused is read to its end all the same, or its rest would be taken
//! for commands.

use super::message::{Message, MessageWriter};
use super::proxy::SmtpProxy;
use super::reply;
use net::{LineStream, ReadError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::smtp::{ChunkDecoder, DotDecoder, Progress, Reply};

/// A message that is not there after this long comes from somebody who only wants to hold the connection.
const WHOLE: Duration = Duration::from_secs(3600);
/// Data taken from the connection at once.
const CHUNK: usize = 64 * 1024;

/// Why there is no message.
#[derive(Debug)]
pub(super) enum NoMessage {
    /// It was read to its end; the session goes on.
    Refused(Reply),
    /// The client sends without end, or nothing for too long: the session ends with this reply.
    End(Reply),
    /// The client is gone.
    Lost,
}

impl NoMessage {
    fn of(error: &ReadError) -> Self {
        match error {
            ReadError::TimedOut => Self::End(reply::timed_out()),
            _ => Self::Lost,
        }
    }
}

/// What has been read of a message, within its limits.
struct Intake {
    kept: Result<MessageWriter, Reply>,
    /// The largest message.
    max: u64,
    /// Octets read, kept or not.
    read: u64,
    deadline: Instant,
}

impl Intake {
    fn new(proxy: &SmtpProxy) -> Self {
        let config = &proxy.config;
        let dir = config.buffer_dir.clone().unwrap_or_else(std::env::temp_dir);
        let memory = usize::try_from(config.buffer_memory.0).unwrap_or(usize::MAX);
        Self {
            kept: Ok(MessageWriter::new(memory, &dir, proxy.share())),
            max: config.max_message_size.0,
            read: 0,
            deadline: Instant::now() + WHOLE,
        }
    }

    /// The next octets of the client, at most so many.
    async fn read(
        &mut self,
        stream: &mut LineStream,
        most: usize,
        limit: Duration,
    ) -> Result<bytes::Bytes, NoMessage> {
        // Twice the limit is patience enough for a client that does not stop.
        if self.read > self.max.saturating_mul(2).saturating_add(1 << 20) {
            return Err(NoMessage::End(reply::too_large()));
        }
        let read = timeout_at(self.deadline, stream.read_some(most, limit)).await;
        let input = read
            .unwrap_or(Err(ReadError::TimedOut))
            .map_err(|error| NoMessage::of(&error))?;
        self.read += input.len() as u64;
        Ok(input)
    }

    /// Keeps a piece. Once something is refused nothing is kept, and the space is free for others.
    async fn keep(&mut self, piece: &mut Vec<u8>) {
        if let Ok(writer) = &mut self.kept {
            let pushed = match writer.len() + piece.len() as u64 > self.max {
                true => Err(reply::too_large()),
                false => writer.push(piece).await.map_err(|error| {
                    tracing::error!(%error, "cannot buffer a message");
                    reply::no_space()
                }),
            };
            if let Err(refusal) = pushed {
                self.kept = Err(refusal);
            }
        }
        piece.clear();
    }

    fn finish(self, refusal: Option<Reply>) -> Result<Message, NoMessage> {
        match (self.kept, refusal) {
            (Err(reply), _) | (_, Some(reply)) => Err(NoMessage::Refused(reply)),
            (Ok(writer), None) => Ok(writer.finish()),
        }
    }
}

/// Reads dot-stuffed data to its end.
pub(super) async fn data(stream: &mut LineStream, proxy: &SmtpProxy) -> Result<Message, NoMessage> {
    let policy = proxy.config.bare_line_ends.into();
    let mut intake = Intake::new(proxy);
    let mut decoder = DotDecoder::new(policy);
    let mut piece = Vec::new();
    loop {
        let input = intake.read(stream, CHUNK, proxy.command_limit()).await?;
        let progress = decoder.decode(&input, &mut piece);
        intake.keep(&mut piece).await;
        if let Progress::Done { consumed } = progress {
            stream.unread(input.get(consumed..).unwrap_or_default());
            let bare = decoder.saw_bare_line_end() && proxy.config.refuses_bare_line_ends();
            return intake.finish(bare.then(reply::bare_line_end));
        }
    }
}

/// A message that comes in chunks.
pub(super) struct Chunks {
    intake: Intake,
    decoder: ChunkDecoder,
    refuses_bare: bool,
}

impl Chunks {
    pub(super) fn new(proxy: &SmtpProxy, binary: bool) -> Self {
        let policy = proxy.config.bare_line_ends.into();
        Self {
            intake: Intake::new(proxy),
            decoder: match binary {
                true => ChunkDecoder::binary(),
                false => ChunkDecoder::text(policy),
            },
            refuses_bare: proxy.config.refuses_bare_line_ends(),
        }
    }

    /// Reads a chunk of so many octets. What is refused so far is told at once (RFC 3030 section 2).
    pub(super) async fn take(
        &mut self,
        stream: &mut LineStream,
        size: u64,
        limit: Duration,
    ) -> Result<(), NoMessage> {
        let mut left = size;
        let mut piece = Vec::new();
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
            let input = self.intake.read(stream, most, limit).await?;
            left = left.saturating_sub(input.len() as u64);
            self.decoder.decode(&input, &mut piece);
            self.intake.keep(&mut piece).await;
        }
        match &self.intake.kept {
            Ok(_) => Ok(()),
            Err(refusal) => Err(NoMessage::Refused(refusal.clone())),
        }
    }

    /// The last chunk was read.
    pub(super) async fn finish(mut self) -> Result<Message, NoMessage> {
        let mut piece = Vec::new();
        self.decoder.finish(&mut piece);
        self.intake.keep(&mut piece).await;
        let bare = self.decoder.saw_bare_line_end() && self.refuses_bare;
        self.intake.finish(bare.then(reply::bare_line_end))
    }
}

/// Reads a chunk that belongs to no message, so that it is not taken for commands.
pub(super) async fn skip(stream: &mut LineStream, proxy: &SmtpProxy, size: u64) -> Result<(), NoMessage> {
    let mut intake = Intake::new(proxy);
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let input = intake.read(stream, most, proxy.command_limit()).await?;
        left = left.saturating_sub(input.len() as u64);
    }
    Ok(())
}
