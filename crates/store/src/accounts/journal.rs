//! Reading the journal, which is the audit log too.

use super::rows::read_journal;
use super::types::JournalEntry;
use crate::engine::{Space, after_prefix};
use crate::{Store, StoreError, keys};

/// Entries that are kept; older ones go with housekeeping.
const KEPT: u64 = 1_000_000;

impl Store {
    /// Entries with a number above `seq`, oldest first; at most `limit` and at most 256.
    pub fn journal_after(&self, seq: u64, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let from = keys::journal(seq.saturating_add(1));
        let page = self
            .engine()
            .snapshot()
            .page(Space::Log, &from, &after_prefix(b"J"), limit.min(256))?;
        page.rows
            .iter()
            .map(|(key, row)| {
                let number = super::account::number_of(key).ok_or_else(|| StoreError::Corrupt {
                    account: None,
                    what: "journal key".into(),
                })?;
                read_journal(number, row)
            })
            .collect()
    }

    /// Removes the oldest entries beyond the number that is kept; returns how many.
    pub(crate) async fn trim_journal(&self) -> Result<usize, StoreError> {
        self.trim_journal_to(KEPT).await
    }

    pub(crate) async fn trim_journal_to(&self, kept: u64) -> Result<usize, StoreError> {
        let next = self.engine().get(Space::Meta, keys::JOURNAL)?;
        let next = next.and_then(|row| Some(u64::from_be_bytes(row.as_ref().try_into().ok()?)));
        let first = next.unwrap_or(0).saturating_sub(kept);
        self.erase_rows(Space::Log, &keys::journal(0), &keys::journal(first))
            .await
    }
}
