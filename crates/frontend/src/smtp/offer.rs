//! What the proxy announces beyond what every session has, and what it does about bare line ends.

use wire::smtp::{BareLineEnds, Extensions};

/// What happens to a message that holds a CR or LF that stands alone. Neither ever ends a line or the message
/// (SMTP smuggling).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BareLineEndPolicy {
    /// The message is refused with `550 5.6.0`.
    #[default]
    Reject,
    /// Each becomes CRLF in what the homes get.
    Normalise,
}

impl From<BareLineEndPolicy> for BareLineEnds {
    fn from(policy: BareLineEndPolicy) -> Self {
        match policy {
            BareLineEndPolicy::Reject => Self::Reject,
            BareLineEndPolicy::Normalise => Self::Normalise,
        }
    }
}

/// An extension that is a promise about the homes: a message that needs it is refused for a home that does not
/// have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub enum OfferedExtension {
    /// RFC 6152: text of eight bits.
    #[serde(rename = "8BITMIME")]
    EightBitMime,
    /// RFC 6531: addresses and headers in UTF-8.
    #[serde(rename = "SMTPUTF8")]
    SmtpUtf8,
    /// RFC 3030: BDAT. Homes need not know it.
    #[serde(rename = "CHUNKING")]
    Chunking,
    /// RFC 3030: binary messages. Clients send them where they are offered, and homes seldom take them.
    #[serde(rename = "BINARYMIME")]
    BinaryMime,
    /// RFC 3461: the sender's wishes about notifications.
    #[serde(rename = "DSN")]
    Dsn,
    /// RFC 8689: verified TLS to the home, or no delivery. Announced over TLS only.
    #[serde(rename = "REQUIRETLS")]
    RequireTls,
}

impl OfferedExtension {
    /// What is offered unless the configuration says otherwise; DSN only where notifications can be sent.
    pub(crate) fn usual(can_notify: bool) -> Extensions {
        let usual = Extensions::EIGHT_BIT_MIME
            .with(Extensions::SMTPUTF8)
            .with(Extensions::CHUNKING)
            .with(Extensions::REQUIRETLS);
        match can_notify {
            true => usual.with(Extensions::DSN),
            false => usual,
        }
    }

    /// The extension on the wire.
    pub(crate) const fn extension(self) -> Extensions {
        match self {
            Self::EightBitMime => Extensions::EIGHT_BIT_MIME,
            Self::SmtpUtf8 => Extensions::SMTPUTF8,
            Self::Chunking => Extensions::CHUNKING,
            Self::BinaryMime => Extensions::BINARYMIME,
            Self::Dsn => Extensions::DSN,
            Self::RequireTls => Extensions::REQUIRETLS,
        }
    }
}
