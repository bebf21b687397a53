//! What a sender asks about notifications (RFC 3461 section 4): RET and ENVID of MAIL, NOTIFY and ORCPT of RCPT.
//!
//! Values are kept as they were written, so that they leave as they came (RFC 3461 section 5.2.1).

use super::command::CommandError;
use super::xtext::xtext_decode;
use std::fmt;

/// RFC 3461 section 4.4.
const MAX_ENVID: usize = 100;
/// RFC 3461 section 4.2.
const MAX_ORCPT: usize = 500;

/// How much of the message comes back with a notification of failure (RFC 3461 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// `RET=FULL`
    Full,
    /// `RET=HDRS`
    Headers,
}

impl Return {
    pub(super) fn parse(value: &str) -> Result<Self, CommandError> {
        match value.to_ascii_uppercase().as_str() {
            "FULL" => Ok(Self::Full),
            "HDRS" => Ok(Self::Headers),
            _ => Err(CommandError::BadParameter),
        }
    }
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// The sender's own name for the transaction (RFC 3461 section 4.4), in xtext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeId(String);

impl EnvelopeId {
    pub(super) fn parse(value: &str) -> Result<Self, CommandError> {
        let legal = value.len() <= MAX_ENVID && xtext_decode(value).is_some_and(|text| text.is_ascii());
        legal
            .then(|| Self(value.to_owned()))
            .ok_or(CommandError::BadParameter)
    }

    /// The text that the sender meant: printable ASCII.
    #[must_use]
    pub fn decoded(&self) -> String {
        xtext_decode(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When the sender wants to hear about a recipient (RFC 3461 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// `NOTIFY=NEVER`
    Never,
    /// At least one of the three.
    On {
        /// When the message was delivered, or left for a server that cannot tell.
        success: bool,
        /// When it could not be delivered.
        failure: bool,
        /// When it takes long.
        delay: bool,
    },
}

impl Notify {
    pub(super) fn parse(value: &str) -> Result<Self, CommandError> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Ok(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in value.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => success = true,
                "FAILURE" => failure = true,
                "DELAY" => delay = true,
                // NEVER stands alone.
                _ => return Err(CommandError::BadParameter),
            }
        }
        Ok(Self::On {
            success,
            failure,
            delay,
        })
    }

    /// Whether the sender wants to hear that all went well.
    #[must_use]
    pub const fn on_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::On {
            success,
            failure,
            delay,
        } = *self
        else {
            return f.write_str("NEVER");
        };
        let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
        let words: Vec<&str> = words
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, word)| *word)
            .collect();
        f.write_str(&words.join(","))
    }
}

/// The recipient as the sender first wrote it (RFC 3461 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient(String);

impl OriginalRecipient {
    pub(super) fn parse(value: &str) -> Result<Self, CommandError> {
        let (kind, address) = value.split_once(';').ok_or(CommandError::BadParameter)?;
        let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let legal = if kind.eq_ignore_ascii_case("utf-8") {
            // RFC 6533 section 3: xtext, or the characters themselves where SMTPUTF8 is in force.
            !address.is_empty()
                && address
                    .chars()
                    .all(|c| !c.is_control() && !c.is_whitespace() && c != '=')
        } else {
            xtext_decode(address).is_some()
        };
        (atom && legal && value.len() <= MAX_ORCPT)
            .then(|| Self(value.to_owned()))
            .ok_or(CommandError::BadParameter)
    }

    /// The form for a notification (RFC 3464 section 2.3.1): the type, and the address without xtext. Nothing
    /// where the address is not ASCII, which that form cannot say.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        let (kind, address) = self.0.split_once(';')?;
        let address = xtext_decode(address).filter(|address| address.is_ascii())?;
        Some(format!("{kind};{address}"))
    }

    pub(super) fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
