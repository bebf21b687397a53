//! An entry that no look-up finds: gone, or only hidden.

use super::SyncEngine;
use super::parents::is_elsewhere;
use crate::engine::Trouble;
use crate::plan::Remote;
use directory::feed::ChangeSource;
use model::EntryUuid;
use std::collections::HashMap;

/// What was learned about parents while one list of entries was looked up.
#[derive(Default)]
pub(super) struct Parents(HashMap<String, bool>);

impl Parents {
    /// An absence counts only where the parent of the entry, as last known, can be read.
    pub(super) async fn judge(
        &mut self,
        parts: &SyncEngine,
        source: &mut dyn ChangeSource,
        uuid: EntryUuid,
    ) -> Result<Remote, Trouble> {
        let (store, name) = (&parts.local.store, &parts.config.name);
        let found = store
            .association_by_uuid(name, uuid)
            .map_err(|error| Trouble::Store(error.to_string()))?;
        let dn = found
            .filter(|link| link.data.state.is_living())
            .and_then(|found| ldap::Dn::parse(&found.data.dn).ok());
        let Some(above) = dn.and_then(|dn| dn.parent()) else {
            return Ok(Remote::Gone);
        };
        let parent = above.to_string();
        let readable = match self.0.get(&parent) {
            Some(known) => *known,
            None => {
                // Under its former name, or, where the branch was renamed, wherever it is now.
                let readable = source.can_read(&parent).await? || is_elsewhere(parts, source, &above).await?;
                self.0.insert(parent.clone(), readable);
                readable
            }
        };
        Ok(if readable {
            Remote::Gone
        } else {
            Remote::Hidden { parent }
        })
    }
}
