//! Connector checkpoints and quarantine.

use super::check_name;
use super::rows::{read_quarantine, read_state, write_quarantine, write_state};
use super::types::{ConnectorState, QuarantineEntry};
use crate::commit::{Batch, Class};
use crate::engine::{Space, after_prefix};
use crate::{Store, StoreError, keys};

impl Store {
    /// A connector's checkpoint; the default when there is none yet.
    pub fn connector_state(&self, connector: &str) -> Result<ConnectorState, StoreError> {
        let row = self.engine().get(Space::Directory, &keys::connector(connector))?;
        row.map_or_else(|| Ok(ConnectorState::default()), |row| read_state(&row))
    }

    /// Stores a connector's checkpoint, durably.
    pub async fn put_connector_state(
        &self,
        connector: &str,
        state: &ConnectorState,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new(Class::Durable);
        stage_state(&mut batch, connector, state)?;
        self.commit(batch).await
    }

    /// Objects of a connector that wait; at most `limit` and at most 256.
    pub fn list_quarantine(&self, connector: &str, limit: usize) -> Result<Vec<QuarantineEntry>, StoreError> {
        let prefix = keys::quarantine_of(connector);
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &prefix, &after_prefix(&prefix), limit.min(256))?;
        page.rows
            .iter()
            .map(|(key, row)| {
                let object = key
                    .get(prefix.len()..)
                    .and_then(|object| std::str::from_utf8(object).ok())
                    .ok_or_else(|| StoreError::Corrupt {
                        account: None,
                        what: "quarantine key".into(),
                    })?;
                read_quarantine(connector, object, row)
            })
            .collect()
    }

    /// The quarantine entry of one object.
    pub fn quarantine(&self, connector: &str, object: &str) -> Result<Option<QuarantineEntry>, StoreError> {
        let row = self
            .engine()
            .get(Space::Directory, &keys::quarantine(connector, object))?;
        row.map(|row| read_quarantine(connector, object, &row))
            .transpose()
    }

    /// Puts an object in quarantine, or changes its entry.
    pub async fn put_quarantine(&self, entry: &QuarantineEntry) -> Result<(), StoreError> {
        let mut batch = Batch::new(Class::Durable);
        stage_quarantine(&mut batch, entry)?;
        self.commit(batch).await
    }

    /// Takes an object out of quarantine.
    pub async fn remove_quarantine(&self, connector: &str, object: &str) -> Result<(), StoreError> {
        let key = keys::quarantine(connector, object);
        if self.engine().get(Space::Directory, &key)?.is_none() {
            return Ok(());
        }
        let mut batch = Batch::new(Class::Durable);
        batch.delete(Space::Directory, key);
        self.commit(batch).await
    }
}

pub(super) fn stage_state(
    batch: &mut Batch,
    connector: &str,
    state: &ConnectorState,
) -> Result<(), StoreError> {
    check_name(connector)?;
    batch.put(Space::Directory, keys::connector(connector), write_state(state));
    Ok(())
}

pub(super) fn stage_quarantine(batch: &mut Batch, entry: &QuarantineEntry) -> Result<(), StoreError> {
    check_name(&entry.connector)?;
    check_name(&entry.object)?;
    let key = keys::quarantine(&entry.connector, &entry.object);
    batch.put(Space::Directory, key, write_quarantine(entry));
    Ok(())
}
