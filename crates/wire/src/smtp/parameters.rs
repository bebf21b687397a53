//! Parameters of MAIL and RCPT (RFC 5321 section 4.1.1.11).

use super::command::CommandError;
use super::dsn::{EnvelopeId, Notify, OriginalRecipient, Return};
use super::extensions::Extensions;
use std::fmt;

/// The body type that the client declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `BODY=7BIT`
    SevenBit,
    /// `BODY=8BITMIME` (RFC 6152)
    EightBitMime,
    /// `BODY=BINARYMIME` (RFC 3030 section 3)
    BinaryMime,
}

/// The parameters of MAIL. Only those of announced extensions are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// The size that the client declares (RFC 1870 section 3); a size that does not fit says "very large".
    pub size: Option<u64>,
    /// The body type (RFC 6152).
    pub body: Option<Body>,
    /// The address is, or the header fields are, internationalised (RFC 6531 section 3.4).
    pub smtputf8: bool,
    /// How much comes back with a notification of failure (RFC 3461 section 4.3).
    pub ret: Option<Return>,
    /// The sender's name for the transaction (RFC 3461 section 4.4).
    pub envid: Option<EnvelopeId>,
    /// The message travels over verified TLS or not at all (RFC 8689 section 3).
    pub require_tls: bool,
}

/// The parameters of RCPT. Only those of announced extensions are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RcptParameters {
    /// When the sender wants to hear about this recipient (RFC 3461 section 4.1).
    pub notify: Option<Notify>,
    /// The recipient as the sender first wrote it (RFC 3461 section 4.2).
    pub orcpt: Option<OriginalRecipient>,
}

/// Splits ` KEY=value KEY` into pairs.
fn pairs(text: &[u8]) -> Result<Vec<(String, Option<&str>)>, CommandError> {
    let text = std::str::from_utf8(text).map_err(|_| CommandError::BadParameter)?;
    if !text.is_empty() && !text.starts_with(' ') {
        return Err(CommandError::BadParameter);
    }
    text.split_ascii_whitespace()
        .map(|word| {
            let (keyword, value) = match word.split_once('=') {
                Some((keyword, value)) => (keyword, Some(value)),
                None => (word, None),
            };
            let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            if keyword.is_empty() || !keyword.bytes().all(legal) || value == Some("") {
                return Err(CommandError::BadParameter);
            }
            Ok((keyword.to_ascii_uppercase(), value))
        })
        .collect()
}

/// Refuses a parameter that comes a second time.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), CommandError> {
    if slot.replace(value).is_some() {
        Err(CommandError::BadParameter)
    } else {
        Ok(())
    }
}

impl MailParameters {
    pub(super) fn parse(text: &[u8], extensions: Extensions) -> Result<Self, CommandError> {
        let mut found = Self::default();
        for (keyword, value) in pairs(text)? {
            match (keyword.as_str(), value) {
                ("SIZE", Some(value)) if extensions.has(Extensions::SIZE) => {
                    if value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
                        return Err(CommandError::BadParameter);
                    }
                    // Twenty digits can overflow; such a message is too large for anybody.
                    once(&mut found.size, value.parse().unwrap_or(u64::MAX))?;
                }
                ("BODY", Some(value)) if extensions.has(Extensions::EIGHT_BIT_MIME) => {
                    let body = match value.to_ascii_uppercase().as_str() {
                        "7BIT" => Body::SevenBit,
                        "8BITMIME" => Body::EightBitMime,
                        "BINARYMIME" if extensions.has(Extensions::BINARYMIME) => Body::BinaryMime,
                        _ => return Err(CommandError::BadParameter),
                    };
                    once(&mut found.body, body)?;
                }
                ("SMTPUTF8", None) if extensions.has(Extensions::SMTPUTF8) => found.smtputf8 = true,
                ("REQUIRETLS", None) if extensions.has(Extensions::REQUIRETLS) => found.require_tls = true,
                ("RET", Some(value)) if extensions.has(Extensions::DSN) => {
                    once(&mut found.ret, Return::parse(value)?)?;
                }
                ("ENVID", Some(value)) if extensions.has(Extensions::DSN) => {
                    once(&mut found.envid, EnvelopeId::parse(value)?)?;
                }
                ("SIZE", None) | ("BODY", None) => return Err(CommandError::BadParameter),
                // RFC 5321 section 4.1.1.11: 555 for a parameter that is not known.
                _ => return Err(CommandError::UnknownParameter),
            }
        }
        Ok(found)
    }
}

impl fmt::Display for MailParameters {
    /// The parameters with a space before each, as they follow the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            Some(Body::SevenBit) => f.write_str(" BODY=7BIT")?,
            Some(Body::EightBitMime) => f.write_str(" BODY=8BITMIME")?,
            Some(Body::BinaryMime) => f.write_str(" BODY=BINARYMIME")?,
            None => {}
        }
        if self.smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if let Some(ret) = self.ret {
            write!(f, " RET={ret}")?;
        }
        if let Some(envid) = &self.envid {
            write!(f, " ENVID={envid}")?;
        }
        if self.require_tls {
            f.write_str(" REQUIRETLS")?;
        }
        Ok(())
    }
}

impl RcptParameters {
    pub(super) fn parse(text: &[u8], extensions: Extensions) -> Result<Self, CommandError> {
        let mut found = Self::default();
        for (keyword, value) in pairs(text)? {
            match (keyword.as_str(), value) {
                ("NOTIFY", Some(value)) if extensions.has(Extensions::DSN) => {
                    once(&mut found.notify, Notify::parse(value)?)?;
                }
                ("ORCPT", Some(value)) if extensions.has(Extensions::DSN) => {
                    let original = OriginalRecipient::parse(value)?;
                    // RFC 6533 section 3: bare characters beyond ASCII need SMTPUTF8.
                    if !original.is_ascii() && !extensions.has(Extensions::SMTPUTF8) {
                        return Err(CommandError::BadParameter);
                    }
                    once(&mut found.orcpt, original)?;
                }
                ("NOTIFY" | "ORCPT", None) if extensions.has(Extensions::DSN) => {
                    return Err(CommandError::BadParameter);
                }
                _ => return Err(CommandError::UnknownParameter),
            }
        }
        Ok(found)
    }
}

impl fmt::Display for RcptParameters {
    /// The parameters with a space before each, as they follow the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(notify) = self.notify {
            write!(f, " NOTIFY={notify}")?;
        }
        if let Some(orcpt) = &self.orcpt {
            write!(f, " ORCPT={orcpt}")?;
        }
        Ok(())
    }
}
