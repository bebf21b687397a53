//! What waits: writes that the directory has not acknowledged, in numbers, and what was changed here and not looked at
//! since, for the directory does not answer.

use super::journal::{concerns_entries, is_written};
use super::{SyncEngine, SyncError};
use crate::local::own_id;
use crate::plan::LocalId;
use directory::config::Direction;
use model::{Address, Timestamp};
use std::collections::BTreeMap;
use store::{JournalEntry, StoreError, Touched};

/// Intents that are counted; a longer outbox is "at least" so many.
const COUNTED: u64 = 2560;
const PAGE: usize = 256;
/// Pages of the journal that one answer reads: most rows may be passwords, which concern no entry.
const PAGES: usize = 40;

/// The outbox in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct OutboxStatus {
    /// Objects whose entry is to be written; counted up to 2560.
    pub waiting: u64,
    /// Since when the first of them waits.
    pub since: Option<Timestamp>,
    /// What the last attempt of one of them failed with.
    pub error: Option<String>,
    /// Changes here that were not looked at yet; counted up to 2560.
    pub edits: u64,
    /// Since when the first of those waits.
    pub edited_since: Option<Timestamp>,
}

/// Changes of one object here that wait for the directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WaitingEdit {
    /// The object.
    pub local: LocalId,
    /// Its address; none when it was deleted for good.
    pub address: Option<Address>,
    /// When it was first changed.
    pub since: Timestamp,
    /// What was changed, in the words of the fields.
    pub changed: Vec<&'static str>,
}

/// A few of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitingEdits {
    /// Each object once.
    pub edits: Vec<WaitingEdit>,
    /// Where the next ones begin; none at the end.
    pub next: Option<u64>,
}

/// What was counted of the journal, from where to where: as long as neither moves the answer is the same, and whoever
/// watches the status while thousands of changes wait does not have them read again each time.
pub(super) struct Counted {
    range: (u64, u64),
    edits: u64,
    since: Option<Timestamp>,
}

pub(super) fn outbox(parts: &SyncEngine) -> Result<OutboxStatus, StoreError> {
    let mut status = OutboxStatus::default();
    if parts.config.direction != Direction::LdapToLocal {
        let range = (parts.heard_to()?, *parts.local.store.journal_watch().borrow());
        let known = parts.counted.lock().take().filter(|known| known.range == range);
        let known = match known {
            Some(known) => known,
            None => count(parts, range)?,
        };
        (status.edits, status.edited_since) = (known.edits, known.since);
        *parts.counted.lock() = Some(known);
    }
    intents(parts, status)
}

fn count(parts: &SyncEngine, range: (u64, u64)) -> Result<Counted, StoreError> {
    let (mut edits, mut since, mut from) = (0, None, Some(range.0));
    for _ in 0..PAGES {
        let page = parts.unread(from)?;
        edits += page.rows.len() as u64;
        since = since.or(page.rows.first().map(|row| row.since));
        from = page.next;
        if from.is_none() || edits >= COUNTED {
            break;
        }
    }
    Ok(Counted { range, edits, since })
}

fn intents(parts: &SyncEngine, mut status: OutboxStatus) -> Result<OutboxStatus, StoreError> {
    let (store, name) = (&parts.local.store, &parts.config.name);
    let mut after = None;
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

/// Rows of the journal that say something about entries of this connector and were not looked at.
struct Unread {
    rows: Vec<Row>,
    next: Option<u64>,
}

struct Row {
    local: store::LocalId,
    /// None when it was deleted for good.
    address: Option<Address>,
    since: Timestamp,
    touched: Touched,
}

impl SyncEngine {
    /// What was changed here and waits for the directory, after `after`, which is a former answer's `next`. Bounded.
    pub fn waiting_edits(&self, after: Option<u64>) -> Result<WaitingEdits, SyncError> {
        let error = |error: StoreError| SyncError::Store(error.to_string());
        let page = self.unread(after).map_err(error)?;
        let mut objects: BTreeMap<LocalId, WaitingEdit> = BTreeMap::new();
        for row in page.rows {
            let local = own_id(row.local);
            let edit = objects.entry(local).or_insert_with(|| WaitingEdit {
                local,
                address: row.address,
                since: row.since,
                changed: Vec::new(),
            });
            for word in words(row.touched) {
                if !edit.changed.contains(&word) {
                    edit.changed.push(word);
                }
            }
        }
        let mut edits: Vec<WaitingEdit> = objects.into_values().collect();
        edits.sort_by_key(|edit| edit.since);
        Ok(WaitingEdits {
            edits,
            next: page.next,
        })
    }

    /// One page of them.
    fn unread(&self, after: Option<u64>) -> Result<Unread, StoreError> {
        let mut unread = Unread {
            rows: Vec::new(),
            next: None,
        };
        if self.config.direction == Direction::LdapToLocal {
            return Ok(unread);
        }
        let from = match after {
            Some(after) => after,
            None => self.heard_to()?,
        };
        let page = self.local.store.journal_for(&self.config.name, from, PAGE)?;
        unread.next = page.more.then_some(page.offset);
        for row in page.entries {
            if let Some(local) = row.object.filter(|_| concerns_entries(row.touched)) {
                unread.rows.extend(self.row(&row, local)?);
            }
        }
        Ok(unread)
    }

    /// How far the journal is read. What was read in this process and said nothing is not stored each time.
    fn heard_to(&self) -> Result<u64, StoreError> {
        let state = self.local.store.connector_state(&self.config.name)?;
        Ok(state.journal_offset.max(*self.heard.lock()))
    }

    /// A row of an object that is this connector's to write.
    fn row(&self, row: &JournalEntry, local: store::LocalId) -> Result<Option<Row>, StoreError> {
        let store = &self.local.store;
        let address = match local {
            store::LocalId::Account(id) => store.account(id)?.map(|account| account.address.clone()),
            store::LocalId::Group(id) => store.group(id)?.map(|group| group.address.clone()),
        };
        let ours = address.as_ref().is_none_or(|address| is_written(self, address));
        Ok(ours.then_some(Row {
            local,
            address,
            since: row.time,
            touched: row.touched,
        }))
    }
}

fn words(touched: Touched) -> impl Iterator<Item = &'static str> {
    let all = [
        (Touched::CREATED, "created"),
        (Touched::DELETED, "deleted"),
        (Touched::ADDRESS, "address"),
        (Touched::ALIASES, "aliases"),
        (Touched::DISPLAY_NAME, "display_name"),
        (Touched::QUOTA, "quota"),
        (Touched::ENABLED, "enabled"),
        (Touched::STATE, "state"),
        (Touched::MEMBERS, "members"),
    ];
    all.into_iter()
        .filter(move |(bit, _)| touched.has(*bit))
        .map(|(_, word)| word)
}
