//! Quarantine rows between two lives of the process.

use super::SyncEngine;
use crate::engine::Aside;
use model::EntryUuid;
use std::collections::BTreeMap;
use store::StoreError;

/// The quarantine as it was stored.
pub(super) fn rows(parts: &SyncEngine) -> Result<BTreeMap<EntryUuid, Aside>, StoreError> {
    let (mut rows, mut after) = (BTreeMap::new(), None);
    loop {
        let page = parts
            .local
            .store
            .quarantine_after(&parts.config.name, after.as_deref(), 256)?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = Some(last.object.clone());
        for row in page {
            if let Ok(uuid) = EntryUuid::parse(&row.object) {
                let aside = Aside {
                    reason: row.reason,
                    attempts: row.attempts,
                    since: row.since,
                    next: row.next,
                };
                rows.insert(uuid, aside);
            }
        }
    }
}
