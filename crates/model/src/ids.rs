//! Identifiers of accounts, messages and directory entries.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// Why an identifier could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Zero stands for "none" on the wire and is no identifier.
    #[error("the identifier is zero")]
    Zero,
    /// A MODSEQ is a 63-bit number (RFC 7162 section 3.1).
    #[error("the number is larger than 2^63 - 1")]
    TooLarge,
    /// The text is not a UUID.
    #[error("{0:?} is not a UUID")]
    NotAUuid(String),
}

macro_rules! local_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The identifier with this number; zero is none.
            pub fn new(number: u64) -> Result<Self, IdError> {
                NonZeroU64::new(number).map(Self).ok_or(IdError::Zero)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

local_id! {
    /// An account of this server's store. Never reused, even after the account is erased.
    AccountId
}
local_id! {
    /// A group (distribution list) of this server's store. Never reused.
    GroupId
}

/// A message's unique identifier in its mailbox, ascending (RFC 9051 section 2.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(NonZeroU32);

impl Uid {
    /// The first UID of a mailbox.
    pub const MIN: Self = Self(NonZeroU32::MIN);
    /// The last UID that a mailbox can assign.
    pub const MAX: Self = Self(NonZeroU32::MAX);

    /// The UID with this number; zero is none.
    pub fn new(number: u32) -> Result<Self, IdError> {
        NonZeroU32::new(number).map(Self).ok_or(IdError::Zero)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The next UID, or none after the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tells whether UIDs seen earlier are still valid (RFC 9051 section 2.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(NonZeroU32);

impl UidValidity {
    /// The UIDVALIDITY with this number; zero is none.
    pub fn new(number: u32) -> Result<Self, IdError> {
        NonZeroU32::new(number).map(Self).ok_or(IdError::Zero)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A modification sequence: one counter per account, raised by every change (RFC 7162 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ModSeq(u64);

impl ModSeq {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// The MODSEQ with this number, at most 2^63 - 1.
    pub fn new(number: u64) -> Result<Self, IdError> {
        if number > i64::MAX as u64 {
            Err(IdError::TooLarge)
        } else {
            Ok(Self(number))
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next value; stays at the end rather than wrapping.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1).min(i64::MAX as u64))
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A directory entry's lasting identity: `entryUUID` (RFC 4530) or `objectGUID`, as 16 bytes in the order
/// of the text form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryUuid([u8; 16]);

impl EntryUuid {
    /// The UUID of these bytes, in network order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the text form, with or without hyphens.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let not_one = || IdError::NotAUuid(text.to_owned());
        let (mut number, mut digits) = (0u128, 0usize);
        for byte in text.bytes().filter(|byte| *byte != b'-') {
            let digit = hex_value(byte).ok_or_else(not_one)?;
            number = number << 4 | u128::from(digit);
            digits += 1;
        }
        match digits {
            32 => Ok(Self(number.to_be_bytes())),
            _ => Err(not_one()),
        }
    }

    /// The bytes, in network order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for EntryUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EntryUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for EntryUuid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for EntryUuid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_round_trip() {
        let text = "6d0f4a1e-9b6c-4f0e-8a55-0123456789ab";
        assert_eq!(EntryUuid::parse(text).expect("valid").to_string(), text);
        for same in [text.to_uppercase(), text.replace('-', "")] {
            assert_eq!(EntryUuid::parse(&same).expect("valid").to_string(), text);
        }
        for bad in [
            "",
            "6d0f",
            "6d0f4a1e-9b6c-4f0e-8a55-0123456789abcd",
            "6d0f4a1e-9b6c-4f0e-8a55-0123456789a",
            "6d0f4a1e-9b6c-4f0e-8a55-0123456789ag",
            "6d0f4a1e-9b6c-4f0e-8a55-0123456789\u{e4}",
            "------------------------------------",
            "zd0f4a1e-9b6c-4f0e-8a55-0123456789ab",
        ] {
            assert!(EntryUuid::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits() {
        assert!(Uid::new(0).is_err());
        assert_eq!(Uid::MAX.next(), None);
        assert!(ModSeq::new(1 << 63).is_err());
        assert_eq!(
            ModSeq::new(i64::MAX as u64).expect("valid").next().get(),
            i64::MAX as u64
        );
    }
}
