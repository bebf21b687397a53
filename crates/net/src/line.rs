//! A connection read line by line within limits, and written through a buffer.
//!
//! Nothing is allocated while a session waits for input: bytes are read into the stack of the poll and kept
//! only once there are some.

use crate::{ClientTls, Connection, ServerTls, TlsError};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// Bytes taken from the connection at once.
const CHUNK: usize = 8 * 1024;
/// How much of an overlong line is skipped before the client is given up.
const MAX_SKIPPED: usize = 1024 * 1024;

/// Why nothing more could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The other side closed the connection.
    #[error("connection closed")]
    Closed,
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
    /// The line was longer than allowed; the rest of it was skipped and the next line can be read.
    #[error("line too long")]
    LineTooLong,
    /// The connection broke.
    #[error("{0}")]
    Io(#[source] io::Error),
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinePolicy {
    /// CRLF only; a bare CR or LF is part of the line (RFC 5321 section 2.3.8).
    Strict,
    /// CRLF or a bare LF, for the protocols where nothing is smuggled that way.
    AcceptLf,
}

/// A connection with an input and an output buffer.
#[derive(Debug)]
pub struct LineStream {
    connection: Connection,
    input: BytesMut,
    output: BytesMut,
    max_line: usize,
    policy: LinePolicy,
    /// Where the search for the end of the line goes on.
    searched: usize,
    /// Octets already dropped of a line that is too long.
    skipped: Option<usize>,
}

impl LineStream {
    /// A stream whose lines are at most `max_line` octets, without their end. The policy is strict.
    #[must_use]
    pub fn new(connection: Connection, max_line: usize) -> Self {
        Self::with_leftover(connection, Bytes::new(), max_line)
    }

    /// The same, with bytes that were already read from the connection.
    #[must_use]
    pub fn with_leftover(connection: Connection, leftover: Bytes, max_line: usize) -> Self {
        Self {
            connection,
            input: leftover.into(),
            output: BytesMut::new(),
            max_line,
            policy: LinePolicy::Strict,
            searched: 0,
            skipped: None,
        }
    }

    /// The same stream with another policy.
    #[must_use]
    pub fn with_policy(mut self, policy: LinePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Changes the longest line allowed: commands and literals may differ before and after login.
    pub fn set_max_line(&mut self, max_line: usize) {
        self.max_line = max_line;
    }

    /// The next line without its end. Output that is still queued is sent first when the line is not
    /// there yet, so a dialogue cannot hang on a forgotten flush.
    pub async fn read_line(&mut self, limit: Duration) -> Result<Bytes, ReadError> {
        if let Some(line) = self.take_line()? {
            return Ok(line);
        }
        within(limit, async {
            self.flush_now().await?;
            loop {
                self.fill().await?;
                if let Some(line) = self.take_line()? {
                    return Ok(line);
                }
            }
        })
        .await
    }

    /// The next line when it has arrived already: a client that pipelines has sent more than one.
    pub fn buffered_line(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.take_line()
    }

    /// Exactly `len` octets; the caller has checked that so many may be kept.
    pub async fn read_exact(&mut self, len: usize, limit: Duration) -> Result<Bytes, ReadError> {
        if self.input.len() < len {
            within(limit, async {
                self.flush_now().await?;
                while self.input.len() < len {
                    self.fill().await?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(self.take(len))
    }

    /// Whatever is there, at least one and at most `max` octets.
    pub async fn read_some(&mut self, max: usize, limit: Duration) -> Result<Bytes, ReadError> {
        if self.input.is_empty() {
            within(limit, async {
                self.flush_now().await?;
                self.fill().await
            })
            .await?;
        }
        Ok(self.take(self.input.len().min(max)))
    }

    /// Puts bytes back in front of the input.
    pub fn unread(&mut self, bytes: &[u8]) {
        let mut input = BytesMut::with_capacity(bytes.len() + self.input.len());
        input.extend_from_slice(bytes);
        input.extend_from_slice(&self.input);
        self.input = input;
        self.searched = 0;
    }

    /// Whether input is buffered already: a client that pipelines wants its replies together.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Waits until the other side closes or sends something unasked for. For a server that owns the turn.
    pub async fn wait_input(&mut self) -> Result<(), ReadError> {
        if self.input.is_empty() {
            self.fill().await
        } else {
            Ok(())
        }
    }

    /// Queues output. Callers that write much flush when [`LineStream::queued`] passes 64 KiB.
    pub fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// How much output is queued.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// Sends what is queued.
    pub async fn flush(&mut self, limit: Duration) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        match timeout(limit, self.flush_now()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ReadError::Io(error))) => Err(error),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends what is queued and closes our direction; errors no longer matter then.
    pub async fn close(mut self, limit: Duration) {
        let _ = timeout(limit, async {
            let _ = self.flush_now().await;
            let _ = self.connection.shutdown().await;
        })
        .await;
    }

    /// Sends what is queued, then does the handshake as a server. Input that arrived before the handshake is
    /// discarded: RFC 3207 section 4.2, CVE-2011-0411. After an error the stream is closed.
    pub async fn start_tls(&mut self, tls: &ServerTls, limit: Duration) -> Result<(), TlsError> {
        let connection = self.before_tls(limit).await?;
        self.connection = connection.accept_tls(tls, limit).await?;
        Ok(())
    }

    /// The same as a client: replies that arrived before the handshake are discarded.
    pub async fn start_tls_client(
        &mut self,
        tls: &ClientTls,
        server_name: &str,
        limit: Duration,
    ) -> Result<(), TlsError> {
        let connection = self.before_tls(limit).await?;
        self.connection = connection.connect_tls(tls, server_name, limit).await?;
        Ok(())
    }

    /// Whether the bytes are encrypted on the wire.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.connection.is_encrypted()
    }

    /// What a login can be bound to; nothing without TLS.
    #[must_use]
    pub fn tls_bindings(&self) -> crate::TlsBindings {
        self.connection.tls_bindings()
    }

    /// Whom the client's certificate names, when it has shown one.
    #[must_use]
    pub fn client_certificate(&self) -> Option<model::ClientCertificate> {
        self.connection.client_certificate()
    }

    /// The connection under the lines.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the other end is in this process.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(self.connection, Connection::Memory(_))
    }

    /// The connection and the input that was read but not used. Queued output must have been flushed.
    #[must_use]
    pub fn into_parts(self) -> (Connection, Bytes) {
        (self.connection, self.input.freeze())
    }

    async fn before_tls(&mut self, limit: Duration) -> Result<Connection, TlsError> {
        self.flush(limit).await.map_err(TlsError::Io)?;
        self.input = BytesMut::new();
        self.searched = 0;
        self.skipped = None;
        Ok(std::mem::replace(&mut self.connection, Connection::Closed))
    }

    async fn flush_now(&mut self) -> Result<(), ReadError> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.connection
            .write_all_buf(&mut self.output)
            .await
            .map_err(ReadError::Io)?;
        self.connection.flush().await.map_err(ReadError::Io)?;
        self.output = BytesMut::new();
        Ok(())
    }

    /// Adds at least one octet to the input.
    async fn fill(&mut self) -> Result<(), ReadError> {
        let (connection, input) = (&mut self.connection, &mut self.input);
        let read = poll_fn(|cx| {
            let mut chunk = [const { MaybeUninit::<u8>::uninit() }; CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut *connection).poll_read(cx, &mut chunk))?;
            input.extend_from_slice(chunk.filled());
            io::Result::Ok(chunk.filled().len()).into()
        });
        match read.await {
            Ok(0) => Err(ReadError::Closed),
            Ok(_) => Ok(()),
            // A peer that closes TCP without TLS's own goodbye has still closed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::Closed),
            Err(error) => Err(ReadError::Io(error)),
        }
    }

    fn take(&mut self, len: usize) -> Bytes {
        let taken = self.input.split_to(len.min(self.input.len())).freeze();
        self.searched = 0;
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        taken
    }

    /// Length of the first line and of its end, when the input holds a whole line.
    fn find_line(&mut self) -> Option<(usize, usize)> {
        let mut from = self.searched;
        while let Some(at) = self.input.get(from..)?.iter().position(|&byte| byte == b'\n') {
            let at = from + at;
            let cr = at.checked_sub(1).and_then(|i| self.input.get(i)) == Some(&b'\r');
            match (cr, self.policy) {
                (true, _) => return Some((at - 1, 2)),
                (false, LinePolicy::AcceptLf) => return Some((at, 1)),
                (false, LinePolicy::Strict) => from = at + 1,
            }
        }
        self.searched = self.input.len();
        None
    }

    fn take_line(&mut self) -> Result<Option<Bytes>, ReadError> {
        let found = self.find_line();
        let in_line = found.map_or(self.input.len(), |(len, _)| len);
        if let Some(skipped) = self.skipped {
            if found.is_none() {
                return self.skip(skipped).map(|()| None);
            }
        } else if in_line > self.max_line + usize::from(found.is_none()) && found.is_none() {
            // One octet more than allowed may still be the CR of the line's end.
            return self.skip(0).map(|()| None);
        }
        let Some((len, end)) = found else {
            return Ok(None);
        };
        let line = self.take(len + end);
        if self.skipped.take().is_some() || len > self.max_line {
            return Err(ReadError::LineTooLong);
        }
        Ok(Some(line.slice(..len)))
    }

    /// Drops what has been read of an overlong line but for its last octet, which may be the CR before the LF.
    fn skip(&mut self, skipped: usize) -> Result<(), ReadError> {
        let drop = self.input.len().saturating_sub(1);
        let total = skipped + drop;
        if total > MAX_SKIPPED {
            return Err(ReadError::Io(io::Error::new(
                io::ErrorKind::InvalidData,
                "a line without an end",
            )));
        }
        self.take(drop);
        self.searched = self.input.len();
        self.skipped = Some(total);
        Ok(())
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    timeout(limit, work).await.unwrap_or(Err(ReadError::TimedOut))
}

#[cfg(test)]
mod tests;
