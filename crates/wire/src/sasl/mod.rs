//! SASL exchanges as IMAP, POP3, SMTP and ManageSieve carry them: one line of base64 at a time.
//!
//! Owns the mechanisms PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), SCRAM with SHA-1 and SHA-256 and
//! their -PLUS forms (RFC 5802, RFC 7677, bindings of RFC 5929 and RFC 9266), CRAM-MD5 (RFC 2195), OAUTHBEARER
//! (RFC 7628), XOAUTH2 and EXTERNAL (RFC 4422 appendix A): the server's side ([`ServerExchange`]), the client's
//! side ([`ClientExchange`]), what a server may announce ([`Channel`]), and the base64 of RFC 4648
//! section 4. The server learns who logs in from [`Step::Done`] and asks a [`model::Authenticator`] itself.
//!
//! Never decides whether a proof is good, and never shows one: whatever holds it is a [`model::Secret`].
//! Randomness is an input.

mod bearer;
mod channel;
mod client;
mod offer;
mod prepare;
mod scram;
mod server;
#[cfg(test)]
mod tests;

pub use channel::{Channel, ChannelFacts};
pub use client::ClientExchange;
pub use offer::{ChannelBindings, Terms};
pub use server::{Conclusion, Login, ServerContext, ServerExchange, Step, Verdict, Wanted};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{ScramHash, Secret};

/// The longest login or password that is looked at. RFC 4616 section 2 asks for 255 octets at least.
const MAX_FIELD: usize = 1024;
/// The longest token that is looked at.
const MAX_TOKEN: usize = 8192;
/// Octets of randomness that an exchange needs.
pub const NONCE: usize = 18;

/// The mechanisms that we speak on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4422 appendix A: the client certificate says who it is.
    External,
    /// RFC 7677, bound to the TLS channel.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802, bound to the TLS channel.
    ScramSha1Plus,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7628.
    OauthBearer,
    /// Google's draft of the same.
    Xoauth2,
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login: obsolete, and what many clients still try first.
    Login,
    /// RFC 2195: the server has to know the password itself.
    CramMd5,
}

impl Mechanism {
    /// All of them, in the order in which servers announce them.
    pub const ALL: [Self; 10] = [
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::ScramSha1Plus,
        Self::ScramSha1,
        Self::OauthBearer,
        Self::Xoauth2,
        Self::Plain,
        Self::Login,
        Self::CramMd5,
        Self::External,
    ];

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
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::CramMd5 => "CRAM-MD5",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
        }
    }

    /// The hash of a SCRAM mechanism.
    #[must_use]
    pub const fn scram(self) -> Option<ScramHash> {
        match self {
            Self::ScramSha1 | Self::ScramSha1Plus => Some(ScramHash::Sha1),
            Self::ScramSha256 | Self::ScramSha256Plus => Some(ScramHash::Sha256),
            _ => None,
        }
    }

    /// Whether it is bound to the TLS channel (RFC 5802 section 6).
    #[must_use]
    pub const fn is_plus(self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus)
    }

    /// Whether whoever listens learns something that logs in: the password or the token.
    #[must_use]
    pub const fn shows_secret(self) -> bool {
        matches!(
            self,
            Self::Plain | Self::Login | Self::OauthBearer | Self::Xoauth2
        )
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
    /// The two ends do not see the same TLS channel, or somebody between them hid what the other can do
    /// (RFC 5802 section 6).
    #[error("the channel binding does not fit: somebody may sit between the two ends")]
    ChannelBinding,
    /// The server could not show that it has the keys of this password.
    #[error("the server did not prove that it knows the password")]
    ServerNotProven,
    /// The server reported an error inside the mechanism.
    #[error("the server refused inside the exchange")]
    Refused,
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
