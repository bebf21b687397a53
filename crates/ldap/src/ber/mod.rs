//! The subset of BER that LDAP allows: a bounded reader and a writer.
//!
//! Owns tags, lengths, integers, booleans and octet strings. Knows no LDAP message.
//!
//! The reader takes only definite lengths and primitive octet strings (RFC 4511 section 5.1), one-octet tags,
//! and integers of at most four octets. It hands out slices of the message, never copies, checks every length
//! against what is there before it allocates, and never recurses by itself. Whoever decodes a recursive type
//! bounds the depth: only filters are one, see [`MAX_FILTER_DEPTH`](crate::MAX_FILTER_DEPTH).
//!
//! The writer uses the shortest form of every length and integer, so equal values give equal bytes.

mod reader;
mod writer;

pub(crate) use reader::{Reader, header, long_length};
pub(crate) use writer::Writer;

use std::fmt;

/// The identifier octet of an element. LDAP needs no tag number above 30, so one octet is all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(u8);

impl Tag {
    /// BOOLEAN.
    pub(crate) const BOOLEAN: Self = Self(0x01);
    /// INTEGER.
    pub(crate) const INTEGER: Self = Self(0x02);
    /// OCTET STRING, primitive.
    pub(crate) const OCTET_STRING: Self = Self(0x04);
    /// ENUMERATED.
    pub(crate) const ENUMERATED: Self = Self(0x0a);
    /// SEQUENCE and SEQUENCE OF.
    pub(crate) const SEQUENCE: Self = Self(0x30);
    /// SET and SET OF.
    pub(crate) const SET: Self = Self(0x31);

    /// The tag with this identifier octet.
    #[must_use]
    pub(crate) const fn from_octet(octet: u8) -> Self {
        Self(octet)
    }

    /// A context-specific tag of a primitive element; `number` is at most 30.
    #[must_use]
    pub(crate) const fn context(number: u8) -> Self {
        Self(0x80 | number)
    }

    /// A context-specific tag of a constructed element.
    #[must_use]
    pub(crate) const fn context_constructed(number: u8) -> Self {
        Self(0xa0 | number)
    }

    /// An application tag of a primitive element.
    #[must_use]
    pub(crate) const fn application(number: u8) -> Self {
        Self(0x40 | number)
    }

    /// An application tag of a constructed element.
    #[must_use]
    pub(crate) const fn application_constructed(number: u8) -> Self {
        Self(0x60 | number)
    }

    /// The identifier octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        self.0
    }

    /// The number of a context-specific tag, primitive or constructed.
    const fn context_number(self) -> Option<u8> {
        if self.0 & 0xc0 == 0x80 {
            Some(self.0 & 0x1f)
        } else {
            None
        }
    }

    /// True when the tag number does not fit in this octet and more octets follow.
    const fn is_long_form(self) -> bool {
        self.0 & 0x1f == 0x1f
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why bytes are no LDAP message, or no value of a control or an extended operation. The peer is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An element or a component that must be there is not.
    #[error("the element ends early")]
    Truncated,
    /// Bytes follow where nothing may.
    #[error("there are bytes after the end")]
    TrailingBytes,
    /// Another element was expected here.
    #[error("expected an element with tag {expected}, found {found}")]
    UnexpectedTag {
        /// What the grammar asks for.
        expected: Tag,
        /// What is there.
        found: Tag,
    },
    /// A tag that no type of LDAP has at this place.
    #[error("tag {0} is not known here")]
    UnknownTag(Tag),
    /// A known component, but out of order, twice, or primitive where it is constructed or the reverse.
    #[error("the component with tag {0} is in the wrong place or form")]
    Misplaced(Tag),
    /// An indefinite length, or one that runs past its container (RFC 4511 section 5.1).
    #[error("an indefinite or impossible length")]
    BadLength,
    /// An integer that is empty, not minimal, or out of its range.
    #[error("an integer out of its range")]
    BadInteger,
    /// A boolean that is not one octet.
    #[error("a boolean that is not one octet")]
    BadBoolean,
    /// An LDAPString that is not UTF-8 (RFC 4511 section 4.1.2).
    #[error("a string that is not UTF-8")]
    NotUtf8,
    /// Nested deeper than the limit.
    #[error("nested too deeply")]
    TooDeep,
    /// More elements of a kind than the limit.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The value breaks a rule of its type.
    #[error("{0}")]
    Invalid(&'static str),
}
