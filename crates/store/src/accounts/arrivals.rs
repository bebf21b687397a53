//! Which entries of a directory mean nothing here.

use crate::engine::{Snapshot, Space};
use crate::{Store, StoreError, keys};
use model::{Address, EntryUuid};

/// An entry and the addresses that it wants here.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The entry.
    pub uuid: EntryUuid,
    /// Its address.
    pub address: &'a Address,
    /// Its further addresses.
    pub aliases: &'a [Address],
}

/// Whether the addresses of entries are looked up as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The commit finds out.
    Later,
    /// An entry whose address somebody has is known.
    Now,
}

impl Store {
    /// Which of these entries mean nothing here: no link of this connector, no tombstone and no note of another home
    /// has their UUID, and with [`Names::Now`] nobody has one of their addresses either. In the order of the question.
    pub fn unknown(
        &self,
        connector: &str,
        entries: &[Arrival<'_>],
        names: Names,
    ) -> Result<Vec<bool>, StoreError> {
        let snapshot = self.engine().snapshot();
        let aliases = self.domain_aliases();
        let linked = Kind::look(&snapshot, keys::remotes_of(connector), entries)?;
        let buried = Kind::look(&snapshot, crate::sync::tombstones_of(connector), entries)?;
        let away = Kind::look(&snapshot, crate::sync::elsewhere_of(connector), entries)?;
        let mut unknown = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut known = false;
            for kind in [&linked, &buried, &away] {
                known = known || kind.has(&snapshot, entry.uuid)?;
            }
            if names == Names::Now {
                for address in std::iter::once(entry.address).chain(entry.aliases) {
                    let key = keys::name(&aliases.address(address.clone()));
                    known = known || snapshot.get(Space::Directory, &key)?.is_some();
                }
            }
            unknown.push(!known);
        }
        Ok(unknown)
    }
}

/// The keys of one kind that end with the UUID of an entry.
struct Kind {
    prefix: Vec<u8>,
    /// No key between the first and the last of those that are asked for: nothing is to be read.
    none: bool,
}

impl Kind {
    fn look(snapshot: &Snapshot<'_>, prefix: Vec<u8>, entries: &[Arrival<'_>]) -> Result<Self, StoreError> {
        let uuids = || entries.iter().map(|entry| entry.uuid);
        let (Some(first), Some(last)) = (uuids().min(), uuids().max()) else {
            return Ok(Self { prefix, none: true });
        };
        let key = |uuid: EntryUuid| [prefix.as_slice(), uuid.as_bytes()].concat();
        let behind = crate::engine::after_key(&key(last));
        let page = snapshot.page(Space::Directory, &key(first), &behind, 1)?;
        let none = page.rows.is_empty();
        Ok(Self { prefix, none })
    }

    fn has(&self, snapshot: &Snapshot<'_>, uuid: EntryUuid) -> Result<bool, StoreError> {
        if self.none {
            return Ok(false);
        }
        let key = [self.prefix.as_slice(), uuid.as_bytes()].concat();
        Ok(snapshot.get(Space::Directory, &key)?.is_some())
    }
}
