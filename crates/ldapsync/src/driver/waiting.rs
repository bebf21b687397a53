//! What waits: writes that the directory has not acknowledged, in numbers.

use super::SyncEngine;
use model::Timestamp;
use store::StoreError;

/// Intents that are counted; a longer outbox is "at least" so many.
const COUNTED: u64 = 2560;
const PAGE: usize = 256;

/// The outbox in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct OutboxStatus {
    /// Objects whose entry is to be written; counted up to 2560.
    pub waiting: u64,
    /// Since when the first of them waits.
    pub since: Option<Timestamp>,
    /// What the last attempt of one of them failed with.
    pub error: Option<String>,
}

pub(super) fn outbox(parts: &SyncEngine) -> Result<OutboxStatus, StoreError> {
    let (store, name) = (&parts.local.store, &parts.config.name);
    let (mut status, mut after) = (OutboxStatus::default(), None);
    loop {
        let page = store.list_intents(name, after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(status);
        };
        after = Some(last.local);
        for intent in page {
            status.waiting += 1;
            status.since = Some(status.since.map_or(intent.since, |since| since.min(intent.since)));
            status.error = intent.error.or(status.error);
        }
        if status.waiting >= COUNTED {
            return Ok(status);
        }
    }
}
