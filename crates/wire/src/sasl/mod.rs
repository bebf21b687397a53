//! SASL exchanges as IMAP, POP3, SMTP and ManageSieve carry them: one line of base64 at a time.
//!
//! Owns the mechanisms PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login), the server's side
//! ([`ServerExchange`]), the client's side ([`ClientExchange`]) and the base64 of RFC 4648 section 4.
//! The server learns who logs in from [`Step::Done`] and asks a [`model::Authenticator`] itself.
//!
//! Never checks a password, and never shows one: whatever holds it is a [`model::Secret`].

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use client::ClientExchange;
pub use server::{Login, ServerExchange, Step};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Secret;

/// The longest login or password that is looked at. RFC 4616 section 2 asks for 255 octets at least.
const MAX_FIELD: usize = 1024;

/// The mechanisms that we speak on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login: obsolete, and what many clients still try first.
    Login,
}

impl Mechanism {
    /// All of them, best first: the order in which servers announce them.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// Finds a mechanism by its registered name, in any case (RFC 4422 section 3.1 has upper case; RFC 4954
    /// and RFC 5034 let the client choose).
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// Why an exchange ended before anybody could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client sent `*` (RFC 4954 section 4, RFC 5034 section 4, RFC 9051 section 6.2.2).
    #[error("the client cancelled the exchange")]
    Cancelled,
    /// The line is not base64.
    #[error("the response is not base64")]
    NotBase64,
    /// The response does not follow the mechanism's grammar.
    #[error("the response does not follow the mechanism's grammar")]
    Malformed,
    /// The other side went on when the mechanism was over.
    #[error("the exchange is already over")]
    OutOfTurn,
}

/// Base64 with padding (RFC 4648 section 4).
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads base64 with padding; what it says may be a password, so it is kept as one.
pub fn decode_base64(text: &[u8]) -> Result<Secret, SaslError> {
    STANDARD
        .decode(text)
        .map(Secret::new)
        .map_err(|_| SaslError::NotBase64)
}
