//! Reading the journal, which is the audit log too.

use super::rows::read_journal;
use super::types::JournalEntry;
use crate::engine::{Space, after_prefix};
use crate::{Store, StoreError, keys};

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
}
