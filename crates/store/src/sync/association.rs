//! Links between local objects and directory entries.

use super::rows::{read_link, write_link};
use super::types::{Association, LinkData};
use super::{check_name, sums};
use crate::commit::{Batch, Class, Expect};
use crate::engine::{Space, after_key, after_prefix};
use crate::{LocalId, Store, StoreError, keys};
use bytes::Bytes;
use model::EntryUuid;

/// A link as it was read, with its row: it can be changed without another read, and only as long as it is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRead {
    link: Association,
    row: Bytes,
}

impl LinkRead {
    /// What was read.
    #[must_use]
    pub const fn link(&self) -> &Association {
        &self.link
    }
}

impl Store {
    /// The link of a local object with this connector, to be changed by [`SyncChange::Relinked`](crate::SyncChange).
    pub fn link_to_change(&self, connector: &str, local: LocalId) -> Result<Option<LinkRead>, StoreError> {
        let row = self
            .engine()
            .get(Space::Directory, &keys::link(connector, local))?;
        let Some(row) = row else { return Ok(None) };
        let link = read_link(connector, local, &row)?;
        Ok(Some(LinkRead { link, row }))
    }

    /// The link of a local object with this connector.
    pub fn association(&self, connector: &str, local: LocalId) -> Result<Option<Association>, StoreError> {
        let row = self
            .engine()
            .get(Space::Directory, &keys::link(connector, local))?;
        row.map(|row| read_link(connector, local, &row)).transpose()
    }

    /// The link of a directory entry with this connector.
    pub fn association_by_uuid(
        &self,
        connector: &str,
        uuid: EntryUuid,
    ) -> Result<Option<Association>, StoreError> {
        let row = self
            .engine()
            .get(Space::Directory, &keys::remote(connector, uuid))?;
        let Some(row) = row else { return Ok(None) };
        self.association(connector, local_of(&row)?)
    }

    /// Every link of a local object.
    pub fn associations_of(&self, local: LocalId) -> Result<Vec<Association>, StoreError> {
        let links = self.link_rows_of(local)?;
        Ok(links.into_iter().map(|(link, _)| link).collect())
    }

    /// The same with the rows as they are stored.
    pub(super) fn link_rows_of(&self, local: LocalId) -> Result<Vec<(Association, Bytes)>, StoreError> {
        let prefix = keys::links_of(local);
        let rows = self.engine().snapshot().all(Space::Directory, &prefix)?;
        rows.into_iter()
            .map(|(key, row)| {
                let connector = key
                    .get(prefix.len()..)
                    .and_then(|name| std::str::from_utf8(name).ok())
                    .ok_or_else(corrupt)?;
                Ok((read_link(connector, local, &row)?, row))
            })
            .collect()
    }

    /// Links of a connector by UUID, after `after`; at most `limit` and at most 256.
    pub fn list_associations(
        &self,
        connector: &str,
        after: Option<EntryUuid>,
        limit: usize,
    ) -> Result<Vec<Association>, StoreError> {
        let prefix = keys::remotes_of(connector);
        let from = after.map_or_else(
            || prefix.clone(),
            |uuid| after_key(&keys::remote(connector, uuid)),
        );
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        let mut links = Vec::with_capacity(page.rows.len());
        for (_, row) in &page.rows {
            let local = local_of(row)?;
            if let Some(row) = snapshot.get(Space::Directory, &keys::link(connector, local))? {
                links.push(read_link(connector, local, &row)?);
            }
        }
        Ok(links)
    }

    /// Stores a link, new or changed. [`StoreError::AlreadyExists`] when the object is linked to another
    /// entry of this connector, or the entry to another object.
    pub async fn put_association(&self, association: &Association) -> Result<(), StoreError> {
        let mut batch = Batch::new(Class::Durable);
        if self.stage_association(&mut batch, association)? {
            self.commit(batch).await?;
        }
        Ok(())
    }

    /// Removes a link; nothing of the local object changes.
    pub async fn remove_association(&self, connector: &str, local: LocalId) -> Result<(), StoreError> {
        let mut batch = Batch::new(Class::Durable);
        self.stage_unlink(&mut batch, connector, local)?;
        if batch.ops.is_empty() {
            return Ok(());
        }
        self.commit(batch).await
    }

    pub(super) fn stage_unlink(
        &self,
        batch: &mut Batch,
        connector: &str,
        local: LocalId,
    ) -> Result<(), StoreError> {
        let key = keys::link(connector, local);
        let Some(row) = self.engine().get(Space::Directory, &key)? else {
            return Ok(());
        };
        let link = read_link(connector, local, &row)?;
        batch.expect(
            Space::Directory,
            key.clone(),
            Expect::Equals(row),
            StoreError::Conflict,
        );
        batch.delete(Space::Directory, key);
        batch.delete(Space::Directory, keys::remote(connector, link.remote));
        sums::stage(batch, (connector, link.remote), Some(&link.data), None);
        self.stage_intent_done(batch, connector, local)
    }

    /// Adds the link to a batch, with both of its uniqueness rules; false when it is stored like that already.
    pub(crate) fn stage_association(
        &self,
        batch: &mut Batch,
        link: &Association,
    ) -> Result<bool, StoreError> {
        check_name(&link.connector)?;
        let (here, there) = (
            keys::link(&link.connector, link.local),
            keys::remote(&link.connector, link.remote),
        );
        let snapshot = self.engine().snapshot();
        let row = write_link(link);
        let local = Bytes::copy_from_slice(&link.local.to_bytes());
        let taken = || StoreError::AlreadyExists(format!("a link of entry {} or its object", link.remote));
        let mut before = None;
        let expect = match snapshot.get(Space::Directory, &here)? {
            Some(old) if old == row => return Ok(false),
            Some(old) => {
                let known = read_link(&link.connector, link.local, &old)?;
                if known.remote != link.remote {
                    return Err(taken());
                }
                before = Some(known.data);
                Expect::Equals(old)
            }
            None => Expect::Absent,
        };
        batch.expect(Space::Directory, here.clone(), expect, StoreError::Conflict);
        let expect = match snapshot.get(Space::Directory, &there)? {
            Some(old) if old != local => return Err(taken()),
            Some(old) => Expect::Equals(old),
            None => Expect::Absent,
        };
        batch.expect(Space::Directory, there.clone(), expect, taken());
        batch.put(Space::Directory, here, row);
        batch.put(Space::Directory, there, local);
        let about = (link.connector.as_str(), link.remote);
        sums::stage(batch, about, before.as_ref(), Some(&link.data));
        Ok(true)
    }
}

/// Adds what becomes of a link to a batch. Both of its ends stay, so the row of the entry is right as long as that of the
/// object is the one that was read: nothing is read again, and a link that went meanwhile does not come back.
pub(super) fn stage_changed(batch: &mut Batch, read: &LinkRead, data: &LinkData) {
    let LinkRead {
        link: before,
        row: old,
    } = read;
    let link = Association {
        connector: before.connector.clone(),
        local: before.local,
        remote: before.remote,
        data: data.clone(),
    };
    let row = write_link(&link);
    if row == *old {
        return;
    }
    let here = keys::link(&link.connector, link.local);
    batch.expect(
        Space::Directory,
        here.clone(),
        Expect::Equals(old.clone()),
        StoreError::Conflict,
    );
    batch.put(Space::Directory, here, row);
    let about = (link.connector.as_str(), link.remote);
    sums::stage(batch, about, Some(&before.data), Some(&link.data));
}

/// The link of an object that comes with it: its keys, by the object and by the entry, and its row. The object is new, so
/// that nothing has the first; what is to be so of the second, the batch has to say.
pub(crate) fn stage_arrival(
    batch: &mut Batch,
    link: &Association,
) -> Result<(Vec<u8>, Vec<u8>, Bytes), StoreError> {
    check_name(&link.connector)?;
    sums::stage_arrival(batch, link);
    let here = keys::link(&link.connector, link.local);
    let there = keys::remote(&link.connector, link.remote);
    Ok((here, there, write_link(link)))
}

pub(super) fn corrupt() -> StoreError {
    StoreError::Corrupt {
        account: None,
        what: "association index".into(),
    }
}

fn local_of(row: &[u8]) -> Result<LocalId, StoreError> {
    LocalId::from_bytes(row).ok_or_else(corrupt)
}
