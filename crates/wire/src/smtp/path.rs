//! Reverse-path and forward-path (RFC 5321 section 4.1.2).

use super::extensions::Extensions;
use model::{Address, ReversePath};
use std::fmt;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No angle brackets, or nothing usable between them.
    #[error("the path is not <local-part@domain>")]
    Syntax,
    /// `user@[192.0.2.1]`: nobody's account lives at an address literal here.
    #[error("address literals are not accepted")]
    AddressLiteral,
    /// Characters beyond ASCII without SMTPUTF8 (RFC 6531 section 3.5).
    #[error("the address needs SMTPUTF8")]
    NeedsUtf8,
}

/// The argument of RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 section 4.1.1.3): always somebody.
    Postmaster,
    /// `<local-part@domain>`
    Address(Address),
}

impl fmt::Display for ForwardPath {
    /// Without the angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("Postmaster"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Splits `<...>` from what follows it. Quoted strings may hold any of the delimiters.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"<")?;
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let (path, rest) = inner.split_at_checked(index)?;
                return Some((path, rest.strip_prefix(b">")?));
            }
            _ => {}
        }
    }
    None
}

/// Drops a source route `@a,@b:` (RFC 5321 section 4.1.1.3: taken, and ignored).
fn without_route(path: &str) -> Result<&str, PathError> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) = path.split_once(':').ok_or(PathError::Syntax)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "@,.-".contains(c);
    if route.chars().all(plain) {
        Ok(mailbox)
    } else {
        Err(PathError::Syntax)
    }
}

fn mailbox(path: &[u8], extensions: Extensions) -> Result<Address, PathError> {
    if !path.is_ascii() && !extensions.has(Extensions::SMTPUTF8) {
        return Err(PathError::NeedsUtf8);
    }
    let path = std::str::from_utf8(path).map_err(|_| PathError::Syntax)?;
    let path = without_route(path)?;
    Address::parse(path).map_err(|_| match path.rsplit_once('@') {
        Some((_, domain)) if domain.starts_with('[') && domain.ends_with(']') => PathError::AddressLiteral,
        _ => PathError::Syntax,
    })
}

/// Reads the path after `FROM:`; gives the rest of the line too.
pub(super) fn reverse_path(text: &[u8], extensions: Extensions) -> Result<(ReversePath, &[u8]), PathError> {
    let (path, rest) = bracketed(text).ok_or(PathError::Syntax)?;
    if path.is_empty() {
        return Ok((ReversePath::Null, rest));
    }
    Ok((ReversePath::Address(mailbox(path, extensions)?), rest))
}

/// Reads the path after `TO:`; gives the rest of the line too.
pub(super) fn forward_path(text: &[u8], extensions: Extensions) -> Result<(ForwardPath, &[u8]), PathError> {
    let (path, rest) = bracketed(text).ok_or(PathError::Syntax)?;
    if path.eq_ignore_ascii_case(b"postmaster") {
        return Ok((ForwardPath::Postmaster, rest));
    }
    Ok((ForwardPath::Address(mailbox(path, extensions)?), rest))
}
