//! A UTF-8 string that is a slice of a message.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::ber::DecodeError;

/// Text that shares the memory of the message it came from: an attribute description, an OID.
///
/// It keeps the whole message alive, unless it is one of the usual texts. What is stored for long should be copied with
/// `to_string`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(Bytes);

impl Text {
    /// Text from a constant; allocates nothing.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Checks that the bytes are UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, DecodeError> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(DecodeError::NotUtf8),
        }
    }

    /// The same of a part of a message; `slice` makes a slice of it.
    // A slice is counted, in memory that the reader of a connection and the consumer of its entries write in turns, and an
    // entry has a dozen names.
    pub(crate) fn from_part(part: &[u8], slice: impl FnOnce() -> Bytes) -> Result<Self, DecodeError> {
        match USUAL.iter().find(|usual| usual.as_bytes() == part) {
            Some(text) => Ok(Self::from_static(text)),
            None => Self::from_utf8(slice()),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked when built. Checking a short text again costs less than a reason for unsafe code.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes of the text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What messages say again and again: the OID of the control that each entry of a change feed has, and the names of
/// people's attributes.
static USUAL: [&str; 25] = [
    "cn",
    "sn",
    "mail",
    "objectClass",
    "givenName",
    "displayName",
    "mailHost",
    "mailLocalAddress",
    "entryUUID",
    "entryCSN",
    crate::control::SyncState::OID,
    "homingQuota",
    "homingEnabled",
    "pwdReset",
    "pwdAccountLockedTime",
    "uid",
    "member",
    "objectGUID",
    "uSNChanged",
    "proxyAddresses",
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "accountExpires",
    "lockoutTime",
    "pwdLastSet",
];

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_message_is_what_it_was() {
        let others = [
            "",
            "c",
            "CN",
            "cm",
            "mailGast",
            "cn;lang-fr",
            "description",
            "1.3.6.1.4.1.4203.1.9.1.3",
        ];
        for text in USUAL.into_iter().chain(others) {
            let part = Text::from_part(text.as_bytes(), || Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(part.expect("UTF-8").as_str(), text);
        }
        let octets = Bytes::from_static(&[b'c', 0xff]);
        let part = Text::from_part(&octets, || octets.clone());
        assert_eq!(part, Err(DecodeError::NotUtf8));
    }
}
