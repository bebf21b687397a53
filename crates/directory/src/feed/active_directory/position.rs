//! Where a feed from Active Directory stands: our cookie around the server's.
//!
//! Beside the server's own octets it holds the domain controller's invocationId and the number of its last change
//! (USN), so that a controller that is behind, or was restored from a backup, is noticed before anything is
//! concluded from it. Numbers of one controller mean nothing at another.

use super::super::Cookie;
use model::EntryUuid;
use std::collections::BTreeMap;

/// What no cookie of Content Sync begins with.
const MAGIC: &[u8; 4] = b"\0AD1";
const DIR_SYNC: u8 = b'D';
const USN: u8 = b'U';
const INVOCATION: usize = 16;
const NUMBER: usize = 8;

/// How far a consumer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::feed) struct Position {
    /// The domain controller.
    pub(super) invocation: EntryUuid,
    /// Its last change that is covered, or one after it.
    pub(super) usn: u64,
    /// The server's cookie of DirSync; none when the feed goes by USN.
    pub(super) dir_sync: Option<Vec<u8>>,
}

impl Position {
    /// The form that consumers keep.
    pub(super) fn to_cookie(&self) -> Option<Cookie> {
        let kind = match &self.dir_sync {
            Some(_) => DIR_SYNC,
            None => USN,
        };
        let mut octets = MAGIC.to_vec();
        octets.push(kind);
        octets.extend_from_slice(self.invocation.as_bytes());
        octets.extend_from_slice(&self.usn.to_be_bytes());
        octets.extend_from_slice(self.dir_sync.as_deref().unwrap_or_default());
        Cookie::new(octets)
    }

    /// Reads what [`Position::to_cookie`] wrote; none for a cookie of another kind.
    pub(in crate::feed) fn read(octets: &[u8]) -> Option<Self> {
        let (kind, rest) = octets.strip_prefix(MAGIC)?.split_first()?;
        let (invocation, rest) = rest.split_first_chunk::<INVOCATION>()?;
        let (usn, rest) = rest.split_first_chunk::<NUMBER>()?;
        let dir_sync = match (*kind, rest) {
            (DIR_SYNC, cookie) => Some(cookie.to_vec()),
            (USN, []) => None,
            _ => return None,
        };
        Some(Self {
            invocation: EntryUuid::from_bytes(*invocation),
            usn: u64::from_be_bytes(*usn),
            dir_sync,
        })
    }

    /// In the form of a vector of change numbers, as slapd's cookies have one.
    pub(in crate::feed) fn vector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(self.invocation.to_string(), number(self.usn))])
    }
}

/// A change number whose order as a text is its order.
pub(super) fn number(usn: u64) -> String {
    format!("{usn:020}")
}

/// How far a controller has followed each other one: `replUpToDateVector` (MS-DRSR section 5.166, versions 1
/// and 2). What cannot be read says nothing.
pub(super) fn up_to_date_vector(octets: &[u8]) -> Vec<(EntryUuid, u64)> {
    read_vector(octets).unwrap_or_default()
}

fn read_vector(octets: &[u8]) -> Option<Vec<(EntryUuid, u64)>> {
    let (version, rest) = octets.split_first_chunk::<4>()?;
    let (_reserved, rest) = rest.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (_reserved, mut rest) = rest.split_first_chunk::<4>()?;
    // Version 2 adds the time of the last contact.
    let after = match u32::from_le_bytes(*version) {
        1 => 0,
        2 => 8,
        _ => return None,
    };
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let mut found = Vec::new();
    for _ in 0..count {
        let (guid, tail) = rest.split_first_chunk::<INVOCATION>()?;
        let (usn, tail) = tail.split_first_chunk::<NUMBER>()?;
        rest = tail.get(after..)?;
        let invocation = EntryUuid::from_bytes(crate::account::guid_order(*guid));
        found.push((invocation, u64::from_le_bytes(*usn)));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: EntryUuid = EntryUuid::from_bytes([7; 16]);

    #[test]
    fn a_position_survives_and_others_are_none() {
        for dir_sync in [None, Some(Vec::new()), Some(b"MSDS...".to_vec())] {
            let position = Position {
                invocation: A,
                usn: 4013,
                dir_sync,
            };
            let cookie = position.to_cookie().expect("a cookie");
            assert_eq!(Position::read(cookie.as_bytes()), Some(position.clone()));
            assert_eq!(cookie.csns(), position.vector());
            assert!(cookie.is_final());
            let newer = Position { usn: 9, ..position }.to_cookie().expect("a cookie");
            assert_eq!(
                cookie.merged(&newer),
                newer,
                "the server's octets are not put together"
            );
        }
        for other in [
            &b""[..],
            b"rid=001,csn=x",
            b"\0AD1",
            b"\0AD1X0123456789abcdef01234567",
            b"\0AD1U0123456789abcdef01234567x",
        ] {
            assert_eq!(Position::read(other), None, "{other:?}");
        }
        assert!(number(999) < number(1000));
    }

    #[test]
    fn vectors_by_table() {
        let cursor = |last: u8| [&[last; 16][..], &1234u64.to_le_bytes()].concat();
        let head = |version: u32, count: u32| [version, 0, count, 0].map(u32::to_le_bytes).concat();
        let one = [head(1, 1), cursor(7)].concat();
        assert_eq!(up_to_date_vector(&one), [(A, 1234)]);
        let two = [head(2, 2), cursor(7), vec![9; 8], cursor(8), vec![9; 8]].concat();
        assert_eq!(up_to_date_vector(&two).len(), 2);
        for broken in [
            &two[..two.len() - 1],
            &one[..5],
            &head(3, 0),
            &head(2, u32::MAX),
            &[],
        ] {
            assert_eq!(up_to_date_vector(broken), [], "{broken:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_octets(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = up_to_date_vector(&octets);
            if let Some(position) = Position::read(&octets) {
                prop_assert_eq!(position.to_cookie().map(|cookie| cookie.as_bytes().to_vec()), Some(octets));
            }
        }
    }
}
