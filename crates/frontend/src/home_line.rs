//! The line to one home: what the talks with homes share, whatever the protocol.

use crate::dial::Dialled;
use crate::failure::{Failure, NO_WAY_IN};
use bytes::Bytes;
use directory::HomeTarget;
use net::{LinePolicy, LineStream, ReadError};
use std::io;
use std::time::Duration;
use wire::imap::{Assembler, CommandTooLarge, Next};

/// A connection to a home, its name for failures, and how long it may take to answer.
pub(crate) struct HomeLine {
    pub(crate) stream: LineStream,
    /// `host:port`
    pub(crate) name: String,
    pub(crate) limit: Duration,
}

impl HomeLine {
    /// A line over a fresh connection, and the home that it leads to. The greeting must come as soon as a
    /// connection must.
    pub(crate) fn new(dialled: Dialled, max_line: usize, policy: LinePolicy) -> (Self, HomeTarget) {
        let Dialled {
            connection,
            target,
            name,
        } = dialled;
        let line = Self {
            stream: LineStream::new(connection, max_line).with_policy(policy),
            name,
            limit: target.connect_timeout,
        };
        (line, target)
    }

    /// The next line.
    pub(crate) async fn read(&mut self) -> Result<Bytes, Failure> {
        let read = self.stream.read_line(self.limit).await;
        read.map_err(|error| self.lost(&error))
    }

    /// Exactly so many octets; the caller has checked that so many may be kept.
    pub(crate) async fn read_exact(&mut self, len: usize) -> Result<Bytes, Failure> {
        let read = self.stream.read_exact(len, self.limit).await;
        read.map_err(|error| self.lost(&error))
    }

    /// One whole response of IMAP or ManageSieve, with its literals; `take` gives a line of it to the assembler.
    pub(crate) async fn response(
        &mut self,
        most: usize,
        take: fn(&mut Assembler, &[u8]) -> Result<Next, CommandTooLarge>,
    ) -> Result<Vec<u8>, Failure> {
        let mut assembler = Assembler::new(most);
        loop {
            let line = self.read().await?;
            let next = take(&mut assembler, &line).map_err(|error| self.broken(&error.to_string()))?;
            match next {
                Next::Complete(whole) => return Ok(whole),
                Next::Literal(header) if assembler.has_room(header.size) => {
                    let size = usize::try_from(header.size).unwrap_or(most);
                    let data = self.read_exact(size).await?;
                    assembler
                        .literal(&data)
                        .map_err(|error| self.broken(&error.to_string()))?;
                }
                Next::Literal(_) => return Err(self.broken("it sends too large a literal")),
            }
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.stream.flush(self.limit).await;
        flushed.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Failure::Timeout(self.name.clone()),
            _ => self.broken(&error.to_string()),
        })
    }

    /// The handshake, once the home has agreed to it. What it said before no longer counts.
    pub(crate) async fn start_tls(&mut self, target: &HomeTarget) -> Result<(), Failure> {
        let encrypted = self
            .stream
            .start_tls_client(&target.trust, &target.host, self.limit)
            .await;
        encrypted.map_err(|error| self.tls(&error.to_string()))
    }

    fn lost(&self, error: &ReadError) -> Failure {
        match error {
            ReadError::TimedOut => Failure::Timeout(self.name.clone()),
            other => self.broken(&other.to_string()),
        }
    }

    pub(crate) fn broken(&self, cause: &str) -> Failure {
        Failure::Protocol {
            home: self.name.clone(),
            cause: cause.to_owned(),
        }
    }

    /// It shows no mechanism for the way to log in that is configured.
    pub(crate) fn no_way_in(&self) -> Failure {
        Failure::LoginMode {
            home: self.name.clone(),
            cause: NO_WAY_IN.to_owned(),
        }
    }

    pub(crate) fn tls(&self, cause: &str) -> Failure {
        Failure::Tls {
            home: self.name.clone(),
            cause: cause.to_owned(),
        }
    }

    /// The home's own "try later".
    pub(crate) fn temporary(&self, text: &str) -> Failure {
        Failure::HomeTemporary {
            home: self.name.clone(),
            text: text.to_owned(),
        }
    }
}
