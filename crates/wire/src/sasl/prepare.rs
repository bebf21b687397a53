//! Names and passwords as SASL wants them: SASLprep (RFC 4013) and what a log and a look-up can bear.

use super::{MAX_FIELD, SaslError};
use model::Secret;

/// An identity is UTF-8 text without control characters: it will be logged and looked up.
pub(super) fn identity(bytes: &[u8]) -> Result<String, SaslError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SaslError::Malformed)?;
    if text.is_empty() || text.len() > MAX_FIELD || text.chars().any(char::is_control) {
        return Err(SaslError::Malformed);
    }
    Ok(text.to_owned())
}

/// A password may be any octets but NUL: old hashes were made from other character sets than UTF-8.
pub(super) fn password(bytes: &[u8]) -> Result<Secret, SaslError> {
    if bytes.len() > MAX_FIELD || bytes.contains(&0) {
        return Err(SaslError::Malformed);
    }
    Ok(Secret::new(bytes))
}

/// A name in the form in which it is compared (RFC 5802 section 5.1, on `n`).
pub(super) fn prepared_name(text: &str) -> Result<String, SaslError> {
    let form = stringprep::saslprep(text).map_err(|_| SaslError::Malformed)?;
    identity(form.as_bytes())
}

/// A password in the form from which keys are made (RFC 5802 section 2.2, `Normalize`).
pub(super) fn prepared_password(password: &Secret) -> Result<Secret, SaslError> {
    let text = std::str::from_utf8(password.expose()).map_err(|_| SaslError::Malformed)?;
    let form = stringprep::saslprep(text).map_err(|_| SaslError::Malformed)?;
    Ok(Secret::new(form.as_bytes()))
}

/// `saslname`: `=2C` for a comma, `=3D` for an equals sign, and no other `=` (RFC 5802 section 7).
pub(super) fn read_saslname(bytes: &[u8]) -> Result<String, SaslError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SaslError::Malformed)?;
    let mut pieces = text.split('=');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        if let Some(rest) = piece.strip_prefix("2C") {
            name.push(',');
            name.push_str(rest);
        } else if let Some(rest) = piece.strip_prefix("3D") {
            name.push('=');
            name.push_str(rest);
        } else {
            return Err(SaslError::Malformed);
        }
    }
    identity(name.as_bytes())
}

pub(super) fn write_saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}
