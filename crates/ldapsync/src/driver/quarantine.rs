//! Quarantine rows between two lives of the process.

use super::SyncEngine;
use crate::engine::Aside;
use crate::plan::LocalId;
use model::{AccountId, EntryUuid, GroupId};
use std::collections::BTreeMap;
use store::{Shown, StoreError};

/// The quarantine as it was stored: of entries, and of objects without one.
type Rows = (BTreeMap<EntryUuid, Aside>, BTreeMap<LocalId, Aside>);

pub(super) fn rows(parts: &SyncEngine) -> Result<Rows, StoreError> {
    let (mut entries, mut strangers, mut after) = (BTreeMap::new(), BTreeMap::new(), None);
    loop {
        let page = parts
            .local
            .store
            .quarantine_after(&parts.config.name, after.as_deref(), 256)?;
        let Some(last) = page.last() else {
            return Ok((entries, strangers));
        };
        after = Some(last.object.clone());
        for row in page {
            let aside = Aside {
                reason: row.reason,
                attempts: row.attempts,
                since: row.since,
                next: row.next,
            };
            if let Ok(uuid) = EntryUuid::parse(&row.object) {
                entries.insert(uuid, aside);
            } else if let Some(local) = stranger(&row.object) {
                strangers.insert(local, aside);
            }
        }
    }
}

/// What is known to have been shown of the entries in quarantine. At most as many as the engine sets aside.
pub(super) fn shown(parts: &SyncEngine) -> Result<BTreeMap<EntryUuid, Shown>, StoreError> {
    let (mut found, mut after) = (BTreeMap::new(), None);
    loop {
        let (store, name) = (&parts.local.store, &parts.config.name);
        let page = store.quarantine_after(name, after.as_deref(), 256)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.object.clone());
        let entry = |row: store::QuarantineEntry| Some((EntryUuid::parse(&row.object).ok()?, row.shown));
        found.extend(page.into_iter().filter_map(entry));
    }
}

/// Reads what `LocalId` displays.
fn stranger(text: &str) -> Option<LocalId> {
    let (kind, number) = text.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    match kind {
        "account" => AccountId::new(number).ok().map(LocalId::Account),
        "group" => GroupId::new(number).ok().map(LocalId::Group),
        _ => None,
    }
}
