//! Quarantine rows, kept for the next life of the process and read in it.
//!
//! What the engine has concluded of an object is written, however long the store takes nothing.

use super::SyncEngine;
use super::worker::{Worker, store_trouble};
use crate::engine::{Aside, Effect, Trouble};
use crate::plan::LocalId;
use model::{AccountId, EntryUuid, GroupId};
use std::collections::BTreeMap;
use store::{QuarantineEntry, Shown, StoreError};

/// Objects that the log names one by one when a round sets many aside.
const TOLD_ASIDE: usize = 10;

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

impl Worker<'_> {
    /// A row, durably.
    pub(super) async fn keep_aside(&mut self, object: String, row: Aside) -> Result<(), Trouble> {
        let name = &self.parts.config.name;
        // Another try of the same is no news.
        self.newly_aside += usize::from(row.attempts == 1);
        if row.attempts == 1 && self.newly_aside <= TOLD_ASIDE {
            tracing::warn!(connector = %name, %object, reason = %row.reason, "set aside");
        } else {
            tracing::debug!(connector = %name, %object, reason = %row.reason, "set aside");
        }
        self.write_row(object, Some(row)).await
    }

    /// The end of a row.
    pub(super) async fn release(&mut self, object: String) -> Result<(), Trouble> {
        self.write_row(object, None).await
    }

    /// The rows that the store has not taken so far, each once.
    pub(super) async fn keep_unkept(&mut self) -> Result<(), Trouble> {
        let mut unkept = std::mem::take(&mut self.unkept);
        while let Some((object, row)) = unkept.pop_first() {
            if let Err(trouble) = self.write_row(object, row).await {
                self.unkept.append(&mut unkept);
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Keeps an effect for the next round, if it is a row.
    pub(super) fn remember_row(&mut self, effect: Effect) {
        let (object, row) = match effect {
            Effect::SetAside(uuid, row) => (uuid.to_string(), Some(row)),
            Effect::Release(uuid) => (uuid.to_string(), None),
            Effect::SetStrangerAside(local, row) => (local.to_string(), Some(row)),
            Effect::ReleaseStranger(local) => (local.to_string(), None),
            _ => return,
        };
        self.unkept.insert(object, row);
    }

    async fn write_row(&mut self, object: String, row: Option<Aside>) -> Result<(), Trouble> {
        let written = match &row {
            Some(row) => self.put_row(&object, row).await,
            None => {
                let (store, name) = (&self.parts.local.store, &self.parts.config.name);
                store.remove_quarantine(name, &object).await
            }
        };
        match written {
            // An older word on the object is void.
            Ok(()) => drop(self.unkept.remove(&object)),
            Err(error) => {
                self.unkept.insert(object, row);
                return Err(store_trouble(error));
            }
        }
        Ok(())
    }

    async fn put_row(&mut self, object: &str, row: &Aside) -> Result<(), StoreError> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let uuid = EntryUuid::parse(object).ok();
        let shown = match uuid.and_then(|uuid| self.shown.get(&uuid)) {
            Some(shown) => shown.clone(),
            // A person's word on the row, and no look at the object.
            None => store
                .quarantine(name, object)?
                .map(|row| row.shown)
                .unwrap_or_default(),
        };
        let entry = QuarantineEntry {
            connector: name.clone(),
            object: object.to_owned(),
            shown,
            reason: row.reason.clone(),
            attempts: row.attempts,
            since: row.since,
            next: row.next,
        };
        store.put_quarantine(&entry).await?;
        if let Some(uuid) = uuid {
            self.shown.remove(&uuid);
        }
        Ok(())
    }

    /// One cause may set everybody aside: the log has some of them, and how many more there are.
    pub(super) fn tell_of_the_others(&mut self) {
        let more = std::mem::take(&mut self.newly_aside).saturating_sub(TOLD_ASIDE);
        if more > 0 {
            let name = &self.parts.config.name;
            tracing::warn!(connector = %name, more, "more objects are set aside; see homing sync quarantine");
        }
    }
}
