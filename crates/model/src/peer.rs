//! Who is on the other end of a session, and how to find its traces.

use std::fmt;
use std::net::SocketAddr;

/// One identifier from the edge to the mailbox: every log line of a session or message carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u64);

impl TraceId {
    /// The trace with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Reads the 16 hexadecimal digits of the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16)
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether and how a session is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsState {
    /// No TLS (yet).
    Plain,
    /// TLS is established.
    Encrypted,
}

/// The protocol that a session speaks, for logs, limits and policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Mail between servers (RFC 5321).
    Smtp,
    /// Mail from a user's client (RFC 6409).
    Submission,
    /// Local delivery (RFC 2033).
    Lmtp,
    /// RFC 9051 and RFC 3501.
    Imap,
    /// RFC 1939.
    Pop3,
    /// RFC 5804.
    ManageSieve,
    /// WebMail, DAV, JMAP, administration.
    Http,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Lmtp => "lmtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::ManageSieve => "managesieve",
            Self::Http => "http",
        })
    }
}

/// The client of a session. Behind a trusted front end this is the client that the front end named.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client's address and port.
    pub client: SocketAddr,
    /// Our own end of the connection.
    pub local: SocketAddr,
    /// State of the encryption at the moment of asking.
    pub tls: TlsState,
    /// The session's trace.
    pub trace: TraceId,
}
