//! ENVELOPE and BODYSTRUCTURE from the bytes of a message, computed once when it is stored.
//!
//! Header values stay raw (encoded words, 8-bit octets), unfolded, because that is what IMAP carries.
//! Positions are octets of the stored bytes. Input is hostile: depth, parts, lengths and total work are
//! bounded, nothing panics, and whatever is not understood becomes the plainest thing that is true of it.
//!
//! Follows RFC 5322 (headers, addresses), RFC 2045, 2046 and 2183 (MIME), RFC 9051 section 7.5.2.

mod address;
mod header;
mod params;
mod parts;
pub(crate) mod rows;

use model::{BodyStructure, Envelope};

/// What is computed of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// ENVELOPE.
    pub envelope: Envelope,
    /// BODYSTRUCTURE.
    pub body: BodyStructure,
    /// Octets of the header, blank line included.
    pub header_len: u32,
}

/// Parses a message. Never fails: every sequence of octets is a message with a header and a body.
#[must_use]
pub fn parse(message: &[u8]) -> Parsed {
    parts::parse(message)
}

#[cfg(test)]
mod tests;
