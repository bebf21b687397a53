//! The sync cookie: opaque to RFC 4533, but what slapd writes into it decides whether a server has caught up.

use super::Fingerprint;
use super::active_directory::Position;
use std::collections::BTreeMap;

/// Octets of the checksum in the stored form.
const CHECKSUM: usize = 16;
/// slapd's cookie has one CSN of 40 octets for each writing server, DirSync's some 30 for each domain controller;
/// this is room for two thousand.
const MAX_COOKIE: usize = 65_536;

/// Where a feed continues. Only a whole one is ever sent: slapd accepts a damaged cookie and answers as if
/// nothing had been deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie(Vec<u8>);

/// The stored form is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored cookie is damaged: its checksum does not match")]
pub struct CookieDamaged;

impl Cookie {
    /// A cookie as the server sent it. An empty or monstrous one is none.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (!bytes.is_empty() && bytes.len() <= MAX_COOKIE).then_some(Self(bytes))
    }

    /// The octets for the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The octets for the wire, under the replica id by which slapd's log tells this server's feed from others
    /// (`rid=007,...`). A cookie of another form goes as it came.
    #[must_use]
    pub fn under(&self, replica: Option<u16>) -> Vec<u8> {
        let text = std::str::from_utf8(&self.0).ok();
        let Some((replica, text)) = replica.zip(text.filter(|_| !self.csns().is_empty())) else {
            return self.0.clone();
        };
        if Position::read(&self.0).is_some() {
            return self.0.clone();
        }
        let rest = text.split(',').filter(|part| !part.starts_with("rid="));
        let head = format!("rid={replica:03}");
        let parts: Vec<&str> = std::iter::once(head.as_str()).chain(rest).collect();
        parts.join(",").into_bytes()
    }

    /// The form to be stored: a checksum, then the octets.
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        let mut stored = checksum(&self.0);
        stored.extend_from_slice(&self.0);
        stored
    }

    /// Reads the stored form. A damaged one leads to a full refresh, never onto the wire.
    pub fn from_stored(stored: &[u8]) -> Result<Self, CookieDamaged> {
        let (sum, bytes) = stored.split_at_checked(CHECKSUM).ok_or(CookieDamaged)?;
        if checksum(bytes) != sum {
            return Err(CookieDamaged);
        }
        Self::new(bytes).ok_or(CookieDamaged)
    }

    /// The change numbers in slapd's cookie (`rid=001,sid=002,csn=A;B`), by the server that made them; of one from
    /// Active Directory the number of the last change, by the domain controller's invocationId. Empty for a
    /// cookie of another form.
    #[must_use]
    pub fn csns(&self) -> BTreeMap<String, String> {
        if let Some(position) = Position::read(&self.0) {
            return position.vector();
        }
        let text = std::str::from_utf8(&self.0).unwrap_or_default();
        let lists = text.split(',').filter_map(|part| part.strip_prefix("csn="));
        csn_vector(lists.flat_map(|list| list.split(';')))
    }

    /// Whether the cookie may be stored: slapd marks those in the middle of a delete phase with `delcsn`.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !self.0.windows(7).any(|part| part == b"delcsn=")
    }

    /// The same cookie where this server says that it has not come so far: it refuses a newer one. None where it has
    /// nothing in common with the server.
    #[must_use]
    pub fn held_back(&self, server: &Fingerprint) -> Option<Self> {
        if Position::read(&self.0).is_some() {
            return None;
        }
        let csns = self.csns().into_iter().filter_map(|(sid, csn)| {
            let own = server.context_csns.get(&sid)?;
            Some(if *own < csn { own.clone() } else { csn })
        });
        let csns: Vec<String> = csns.collect();
        let text = std::str::from_utf8(&self.0).ok().filter(|_| !csns.is_empty())?;
        let head = text.split(',').filter(|part| !part.starts_with("csn="));
        let list = format!("csn={}", csns.join(";"));
        let parts: Vec<&str> = head.chain([list.as_str()]).collect();
        Self::new(parts.join(","))
    }

    /// The cookie that covers what both cover: the newer CSN of each server. Cookies of another form give way
    /// to the newer one.
    #[must_use]
    pub fn merged(&self, newer: &Self) -> Self {
        // Of Active Directory's cookies the server's own octets cannot be put together.
        if [self, newer]
            .iter()
            .any(|cookie| Position::read(&cookie.0).is_some())
        {
            return newer.clone();
        }
        let mut csns = self.csns();
        let fresh = newer.csns();
        if csns.is_empty() || fresh.is_empty() {
            return newer.clone();
        }
        for (sid, csn) in fresh {
            let slot = csns.entry(sid).or_default();
            if csn > *slot {
                *slot = csn;
            }
        }
        let text = std::str::from_utf8(&newer.0).unwrap_or_default();
        let head: Vec<&str> = text.split(',').filter(|part| !part.starts_with("csn=")).collect();
        let list: Vec<String> = csns.into_values().collect();
        let mut merged = head.join(",");
        if !merged.is_empty() {
            merged.push(',');
        }
        merged.push_str("csn=");
        merged.push_str(&list.join(";"));
        Self::new(merged).unwrap_or_else(|| newer.clone())
    }
}

/// The newest CSN of each server. `20260101000000.000000Z#000000#001#000000`: time, count, server, operation;
/// text order is their order.
pub(crate) fn csn_vector<'a>(csns: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut vector = BTreeMap::new();
    for csn in csns {
        if let Some(sid) = csn.split('#').nth(2) {
            let slot: &mut String = vector.entry(sid.to_owned()).or_default();
            if csn > slot.as_str() {
                csn.clone_into(slot);
            }
        }
    }
    vector
}

fn checksum(bytes: &[u8]) -> Vec<u8> {
    let hash = blake3::hash(bytes);
    hash.as_bytes().iter().take(CHECKSUM).copied().collect()
}
