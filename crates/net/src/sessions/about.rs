//! What is known of a session, and which sessions are meant.

use model::{Address, EntryUuid, Protocol, Timestamp, TraceId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The number of a session, in the order of logins. It is not used again in the life of the process.
pub type SessionId = u64;

/// Why a session is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SessionEnd {
    /// The account may no longer be used here, or by whoever knew the old password.
    Revoked = 1,
    /// An administrator ended it.
    Kicked = 2,
    /// The home, or this server, is being emptied.
    Drained = 3,
}

impl SessionEnd {
    /// In one word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Kicked => "kicked",
            Self::Drained => "drained",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Revoked, Self::Kicked, Self::Drained];
        all.into_iter().find(|why| why.as_str() == word)
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Revoked),
            2 => Some(Self::Kicked),
            3 => Some(Self::Drained),
            _ => None,
        }
    }
}

/// What is known about a session when its login has been accepted.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What it speaks.
    pub protocol: Protocol,
    /// Whose it is.
    pub account: Address,
    /// The directory entry of the account, when a directory answered.
    pub entry: Option<EntryUuid>,
    /// Where the client is.
    pub client: SocketAddr,
    /// The home that it goes to; none for a session that ends in this process.
    pub home: Option<Arc<str>>,
    /// Its name in the logs of all hops.
    pub trace: TraceId,
}

/// One line of the list of sessions.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Its number.
    pub id: SessionId,
    /// What was known at the login.
    pub about: NewSession,
    /// When it logged in.
    pub since: Timestamp,
    /// The same on the monotonic clock.
    pub began: Duration,
    /// Octets from the client.
    pub bytes_up: u64,
    /// Octets to the client.
    pub bytes_down: u64,
    /// Why it is ending, once it has been told to.
    pub ending: Option<SessionEnd>,
}

/// Which sessions are meant: those that agree with everything that is given.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// This one only.
    pub id: Option<SessionId>,
    /// Of this account.
    pub account: Option<Address>,
    /// Of the account with this entry.
    pub entry: Option<EntryUuid>,
    /// Of accounts whose entry nobody has told.
    pub without_entry: bool,
    /// At this home; without a port, at any of its ports.
    pub home: Option<String>,
    /// In this protocol.
    pub protocol: Option<Protocol>,
    /// That ends in this process and has this name in the logs.
    pub trace: Option<TraceId>,
    /// That logged in at this moment of the monotonic clock or earlier.
    pub begun_by: Option<Duration>,
}
