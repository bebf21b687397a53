//! Entries that a clustered connector saw at another home, so that one that arrives here later is known to
//! have mail there. Also the paging of quarantine.

use super::check_name;
use super::rows::read_quarantine;
use super::types::QuarantineEntry;
use crate::codec::{Reader, Writer};
use crate::commit::{Batch, Class};
use crate::engine::{Space, after_key, after_prefix};
use crate::{Store, StoreError, keys};
use model::EntryUuid;

const VERSION: u8 = 1;

/// Where an entry was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The other home, canonical.
    pub host: String,
}

fn key(connector: &str, uuid: EntryUuid) -> Vec<u8> {
    let mut key = all(connector);
    key.extend_from_slice(uuid.as_bytes());
    key
}

/// What the keys of a connector's notes begin with.
pub(crate) fn all(connector: &str) -> Vec<u8> {
    [b"H", connector.as_bytes(), b"\0"].concat()
}

pub(super) fn stage(
    batch: &mut Batch,
    connector: &str,
    uuid: EntryUuid,
    seen: Option<&Elsewhere>,
) -> Result<(), StoreError> {
    check_name(connector)?;
    match seen {
        Some(seen) => {
            let row = Writer::new(VERSION).text(&seen.host).done();
            batch.put(Space::Directory, key(connector, uuid), row);
        }
        None => batch.delete(Space::Directory, key(connector, uuid)),
    }
    Ok(())
}

impl Store {
    /// Where this entry was seen, if at another home.
    pub fn elsewhere(&self, connector: &str, uuid: EntryUuid) -> Result<Option<Elsewhere>, StoreError> {
        let row = self.engine().get(Space::Directory, &key(connector, uuid))?;
        row.map(|row| {
            let mut r = Reader::new(&row, "entry seen elsewhere", VERSION)?;
            let seen = Elsewhere { host: r.text()? };
            r.end()?;
            Ok(seen)
        })
        .transpose()
    }

    /// Notes where entries were seen; `None` forgets. One durable commit for all.
    pub async fn note_elsewhere(
        &self,
        connector: &str,
        entries: &[(EntryUuid, Option<Elsewhere>)],
    ) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(Class::Durable);
        for (uuid, seen) in entries {
            stage(&mut batch, connector, *uuid, seen.as_ref())?;
        }
        self.commit(batch).await
    }

    /// Entries that are noted, after `after`; at most `limit` and at most 256.
    pub fn list_elsewhere(
        &self,
        connector: &str,
        after: Option<EntryUuid>,
        limit: usize,
    ) -> Result<Vec<EntryUuid>, StoreError> {
        let prefix = all(connector);
        let from = after.map_or_else(|| prefix.clone(), |uuid| after_key(&key(connector, uuid)));
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        let uuid = |key: &[u8]| {
            let bytes = key
                .get(prefix.len()..)
                .and_then(|rest| <[u8; 16]>::try_from(rest).ok());
            bytes
                .map(EntryUuid::from_bytes)
                .ok_or_else(|| StoreError::Corrupt {
                    account: None,
                    what: "key of an entry seen elsewhere".into(),
                })
        };
        page.rows.iter().map(|(key, _)| uuid(key)).collect()
    }

    /// Quarantine rows after the object `after`; at most `limit` and at most 256.
    pub fn quarantine_after(
        &self,
        connector: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<QuarantineEntry>, StoreError> {
        let prefix = keys::quarantine_of(connector);
        let from = after.map_or_else(
            || prefix.clone(),
            |object| after_key(&keys::quarantine(connector, object)),
        );
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        page.rows
            .iter()
            .map(|(key, row)| {
                let object = key
                    .get(prefix.len()..)
                    .and_then(|object| std::str::from_utf8(object).ok());
                let object = object.ok_or_else(|| StoreError::Corrupt {
                    account: None,
                    what: "quarantine key".into(),
                })?;
                read_quarantine(connector, object, row)
            })
            .collect()
    }
}
