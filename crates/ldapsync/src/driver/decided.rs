//! What only the directory decides of an object here, so that whoever edits it can be told before the edit is undone.

use super::report::store_error;
use super::{SyncEngine, SyncError};
use crate::field::Field;
use crate::link::FIELDS;
use directory::config::Direction;
use store::{LinkState, LocalId};

impl SyncEngine {
    /// The fields of this object that its entry has and that are only read: an edit of one here would be undone. None
    /// in the other directions, and none where the two are not linked.
    pub fn decided_there(&self, local: LocalId) -> Result<Vec<Field>, SyncError> {
        if self.config.direction != Direction::LdapToLocal {
            return Ok(Vec::new());
        }
        let link = self.local.store.association(&self.config.name, local);
        let Some(link) = link.map_err(store_error)? else {
            return Ok(Vec::new());
        };
        if !matches!(
            link.data.state,
            LinkState::Linked | LinkState::AwaitingMail { .. }
        ) {
            return Ok(Vec::new());
        }
        // A value that the directory never had is left alone here.
        let has = |field: &Field| {
            let values = link.data.base.get(field.name());
            values.is_some_and(|values| !values.is_empty())
        };
        Ok(FIELDS.into_iter().filter(has).collect())
    }
}
