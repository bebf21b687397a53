//! The load generator's clients: IMAP, POP3, SMTP, LMTP and HTTP over TCP, with TLS from the first byte where asked.
//!
//! They know as much of each protocol as a benchmark needs and read replies without keeping them, so that the
//! generator does not become what is measured. A reply that is not a success is an error that quotes it. They
//! have no deadlines of their own: whoever drives them sets one for the whole round.

mod http;
mod imap;
mod message;
mod pop3;
mod smtp;
mod target;

pub(crate) use http::Http;
pub(crate) use imap::Imap;
pub(crate) use message::Message;
pub(crate) use pop3::Pop3;
pub(crate) use smtp::{Dialect, Smtp};
pub(crate) use target::Target;

use anyhow::{Result, bail};
use bytes::{Buf, BytesMut};
use target::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What somebody logs in with.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) address: String,
    pub(crate) password: String,
}

/// A line from a server longer than this is no protocol.
const MAX_LINE: usize = 1 << 20;

/// One connection and what has been read of it but not used.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: Stream,
    input: BytesMut,
}

impl Conn {
    async fn open(target: &Target) -> Result<Self> {
        Ok(Self {
            stream: target.connect().await?,
            input: BytesMut::new(),
        })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        // Over TLS the last record may still be waiting.
        Ok(self.stream.flush().await?)
    }

    /// The next line with its end.
    async fn line(&mut self) -> Result<BytesMut> {
        let mut searched = 0;
        loop {
            let fresh = self.input.get(searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                return Ok(self.input.split_to(searched + at + 1));
            }
            searched = self.input.len();
            if searched > MAX_LINE {
                bail!("the server sent a line without an end");
            }
            self.fill().await?;
        }
    }

    /// Reads past `count` bytes.
    async fn skip(&mut self, mut count: usize) -> Result<()> {
        loop {
            let here = count.min(self.input.len());
            self.input.advance(here);
            count -= here;
            if count == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// The next `count` bytes, which are few.
    async fn take(&mut self, count: usize) -> Result<BytesMut> {
        if count > MAX_LINE {
            bail!("the server sent {count} bytes where few were expected");
        }
        while self.input.len() < count {
            self.fill().await?;
        }
        Ok(self.input.split_to(count))
    }

    async fn fill(&mut self) -> Result<()> {
        // A session that is held idle has no buffer; one that reads a lot gets a large one.
        let room = if self.input.is_empty() { 4 << 10 } else { 64 << 10 };
        self.input.reserve(room);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// A line for an error message.
fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}
