//! Tombstones: links whose local object is gone for good, so that a deletion here can still reach a directory
//! that was away, and nothing that was unlinked comes back.

use super::change::{local_of, prefix};
use super::rows::{read_link, write_link};
use super::{Association, LinkState, check_name, sums};
use crate::codec::{Decoded, Reader, Writer};
use crate::commit::{Batch, Expect};
use crate::engine::{Space, after_key, after_prefix};
use crate::{LocalId, Origin, Store, StoreError, keys};
use bytes::Bytes;
use model::{EntryUuid, Timestamp};

const VERSION: u8 = 1;

/// Who removed the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedBy {
    /// A person, or the end of retention after a person's deletion.
    Person,
    /// A connector, for its entry was gone or out of scope. No other connector may turn that into a deletion.
    Sync,
}

impl RemovedBy {
    pub(crate) const fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Connector(_) => Self::Sync,
            Origin::Admin(_) | Origin::User(_) | Origin::System => Self::Person,
        }
    }
}

/// A link whose local object is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The link as it was last.
    pub link: Association,
    /// Who removed the object.
    pub removed_by: RemovedBy,
    /// When.
    pub since: Timestamp,
}

pub(super) fn key(connector: &str, uuid: EntryUuid) -> Vec<u8> {
    let mut key = all(connector);
    key.extend_from_slice(uuid.as_bytes());
    key
}

/// What the keys of a connector's tombstones begin with.
pub(crate) fn all(connector: &str) -> Vec<u8> {
    prefix(b'T', connector)
}

fn write(tombstone: &Tombstone) -> Bytes {
    Writer::new(VERSION)
        .raw(&tombstone.link.local.to_bytes())
        .u8(match tombstone.removed_by {
            RemovedBy::Person => 0,
            RemovedBy::Sync => 1,
        })
        .time(tombstone.since)
        .bytes(&write_link(&tombstone.link))
        .done()
}

fn read(connector: &str, row: &[u8]) -> Decoded<Tombstone> {
    let mut r = Reader::new(row, "tombstone", VERSION)?;
    let local = local_of(r.take(9)?)?;
    let removed_by = match r.u8()? {
        0 => RemovedBy::Person,
        1 => RemovedBy::Sync,
        _ => return Err(r.corrupt()),
    };
    let since = r.time()?;
    let link = read_link(connector, local, r.bytes()?)?;
    r.end()?;
    Ok(Tombstone {
        link,
        removed_by,
        since,
    })
}

pub(super) fn stage(batch: &mut Batch, tombstone: &Tombstone) -> Result<(), StoreError> {
    check_name(&tombstone.link.connector)?;
    let key = key(&tombstone.link.connector, tombstone.link.remote);
    batch.put(Space::Directory, key, write(tombstone));
    Ok(())
}

impl Store {
    /// The tombstone of an entry, if its local object is gone for good.
    pub fn tombstone(&self, connector: &str, remote: EntryUuid) -> Result<Option<Tombstone>, StoreError> {
        let row = self.engine().get(Space::Directory, &key(connector, remote))?;
        row.map(|row| read(connector, &row)).transpose()
    }

    /// Tombstones by UUID, after `after`; at most `limit` and at most 256.
    pub fn list_tombstones(
        &self,
        connector: &str,
        after: Option<EntryUuid>,
        limit: usize,
    ) -> Result<Vec<Tombstone>, StoreError> {
        let prefix = all(connector);
        let from = after.map_or_else(|| prefix.clone(), |uuid| after_key(&key(connector, uuid)));
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        page.rows.iter().map(|(_, row)| read(connector, row)).collect()
    }

    /// Removes every link of an object that goes, with what hangs on it. A living link leaves a tombstone, which says
    /// who took the object out of use; the origin is whoever erases it now.
    pub(crate) fn stage_unlink_all(
        &self,
        batch: &mut Batch,
        local: LocalId,
        (by, origin): (RemovedBy, &Origin),
    ) -> Result<(), StoreError> {
        let links = self.link_rows_of(local)?;
        let left = |link: &Association| {
            matches!(
                link.data.state,
                LinkState::Gone { .. } | LinkState::OutOfScope { .. } | LinkState::MovedAway { .. }
            )
        };
        // Of a group no state says that a connector has begun to remove it: only its links do.
        let begun = matches!(local, LocalId::Group(_)) && links.iter().any(|(link, _)| left(link));
        let removed_by = if begun { RemovedBy::Sync } else { by };
        let since = self.clock().now();
        for (link, row) in links {
            let own = matches!(origin, Origin::Connector(name) if *name == link.connector);
            let key = keys::link(&link.connector, local);
            // What goes is what was read: the sums lose that.
            let unchanged = Expect::Equals(row);
            batch.expect(Space::Directory, key.clone(), unchanged, StoreError::Conflict);
            batch.delete(Space::Directory, key);
            batch.delete(Space::Directory, keys::remote(&link.connector, link.remote));
            sums::stage(batch, (&link.connector, link.remote), Some(&link.data), None);
            self.stage_intent_done(batch, &link.connector, local)?;
            if let LocalId::Group(_) = local {
                self.stage_pending(batch, &link.connector, local, &[])?;
            }
            if own || left(&link) {
                continue;
            }
            let tombstone = Tombstone {
                link,
                removed_by,
                since,
            };
            stage(batch, &tombstone)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::LinkData;
    use model::AccountId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_round_trip_and_damage_never_panics(at in 0usize..60, x: u8) {
            let tombstone = Tombstone {
                link: Association {
                    connector: "c".into(),
                    local: LocalId::Account(AccountId::new(3).expect("not zero")),
                    remote: EntryUuid::from_bytes([4; 16]),
                    data: LinkData::new("uid=a,dc=test"),
                },
                removed_by: RemovedBy::Sync,
                since: Timestamp::from_millis(9),
            };
            let mut row = write(&tombstone).to_vec();
            prop_assert_eq!(&read("c", &row).expect("reads"), &tombstone);
            if let Some(byte) = row.get_mut(at) {
                *byte = x;
            }
            let _ = read("c", &row);
        }
    }
}
