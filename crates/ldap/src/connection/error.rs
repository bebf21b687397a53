//! What can go wrong, by who is to blame.

use crate::control::Control;
use crate::message::FrameError;
use crate::result::{LdapResult, ResultCode};
use net::TlsError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The end of an operation: the server's result and the controls that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The result.
    pub result: LdapResult,
    /// The response controls.
    pub controls: Vec<Control>,
}

/// Why an operation, or the attempt to connect, failed.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// The server answered, and the answer is not success.
    #[error("{}", show(&.0.result))]
    Result(Box<Outcome>),
    /// No answer within the deadline. Whether a change took place is not known.
    #[error("no answer within the deadline")]
    TimedOut,
    /// There is no connection: refused, unreachable, or the host has no address.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection ended before the answer came. Whether a change took place is not known.
    #[error("the connection is closed: {0}")]
    Closed(CloseReason),
    /// TLS was asked for and cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// A search found more entries than its caller takes.
    #[error("the search found more than {0} entries")]
    TooMany(usize),
    /// An entry is larger than the limit of entries; it was not kept.
    #[error("the entry {dn:?} takes {size} octets, more than are read")]
    EntryTooLarge {
        /// The entry.
        dn: String,
        /// The length of its message.
        size: usize,
    },
    /// The results of a search were taken so slowly that other operations had to wait.
    #[error("the results were not taken fast enough, so the search was abandoned")]
    SlowConsumer,
    /// A bind with an empty password would succeed as anonymous (RFC 4513 section 5.1.2).
    #[error("an empty password is never sent to a directory")]
    EmptyPassword,
}

impl LdapError {
    /// True when nothing was decided: the same request may succeed later or elsewhere. False when the server
    /// said no, or the caller asked for something it can never have.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Result(outcome) => outcome.result.code.is_transient(),
            Self::TooMany(_) | Self::EntryTooLarge { .. } | Self::EmptyPassword => false,
            Self::TimedOut
            | Self::Connect(_)
            | Self::Closed(_)
            | Self::Tls(_)
            | Self::Protocol(_)
            | Self::SlowConsumer => true,
        }
    }

    /// The server's result code, when it answered.
    #[must_use]
    pub fn code(&self) -> Option<ResultCode> {
        self.result().map(|result| result.code)
    }

    /// The server's result, when it answered.
    #[must_use]
    pub fn result(&self) -> Option<&LdapResult> {
        match self {
            Self::Result(outcome) => Some(&outcome.result),
            _ => None,
        }
    }

    /// The controls that came with the answer; a refused bind may say why in one of them.
    #[must_use]
    pub fn controls(&self) -> &[Control] {
        match self {
            Self::Result(outcome) => &outcome.controls,
            _ => &[],
        }
    }
}

fn show(result: &LdapResult) -> String {
    if result.diagnostic.is_empty() {
        format!("the server answered {}", result.code)
    } else {
        // The server's words may hold anything; a log line stays one line.
        format!(
            "the server answered {}: {}",
            result.code,
            result.diagnostic.escape_debug()
        )
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed by this side")]
    Local,
    /// The server closed it without a word.
    #[error("closed by the server")]
    EndOfStream,
    /// The server said that it closes the connection (RFC 4511 section 4.4.1).
    #[error("{}", show(.0))]
    Notice(Box<LdapResult>),
    /// The stream broke.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// What the server sent is not LDAP, or answers nothing we asked.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The server sent a message over the limit.
    #[error("a message of {length} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The announced length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The server took no bytes, or did not answer a keep-alive.
    #[error("the server did not react for {0:?}")]
    Unresponsive(Duration),
    /// A bind was given up, so nobody knows who the connection is bound as (RFC 4511 section 4.2.1).
    #[error("a bind on it was given up")]
    BindInterrupted,
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { length, limit } => Self::TooLarge { length, limit },
            FrameError::Malformed(_) => Self::Protocol(error.to_string()),
        }
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A TLS server that closes without close_notify looks like this.
            io::ErrorKind::UnexpectedEof => Self::EndOfStream,
            _ => Self::Io(Arc::new(error)),
        }
    }
}
