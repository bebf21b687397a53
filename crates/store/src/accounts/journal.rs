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
            .map(|(key, row)| read_journal(number(key)?, row))
            .collect()
    }

    /// Entries with a number below `before` (none: from the newest), the newest first; at most `limit` and at most
    /// 256.
    pub fn journal_before(&self, before: Option<u64>, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let next = self.engine().get(Space::Meta, keys::JOURNAL)?;
        let next = next.and_then(|row| Some(u64::from_be_bytes(row.as_ref().try_into().ok()?)));
        let end = before.unwrap_or(u64::MAX).min(next.unwrap_or(0));
        // Numbers have no gaps, so the rows before `end` are counted back.
        let mut from = end.saturating_sub(limit.min(256) as u64);
        let snapshot = self.engine().snapshot();
        let mut rows = Vec::new();
        loop {
            let page = snapshot.page(Space::Log, &keys::journal(from), &keys::journal(end), 256)?;
            for (key, row) in &page.rows {
                let seq = number(key)?;
                from = seq.saturating_add(1);
                rows.push(read_journal(seq, row)?);
            }
            if !page.more || page.rows.is_empty() {
                rows.reverse();
                return Ok(rows);
            }
        }
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

fn number(key: &[u8]) -> Result<u64, StoreError> {
    super::account::number_of(key).ok_or_else(|| StoreError::Corrupt {
        account: None,
        what: "journal key".into(),
    })
}
