//! The journal as one connector reads it: without its own echo.

use crate::{JournalEntry, Origin, Store, StoreError};

/// A part of the journal for one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPage {
    /// Changes of accounts and groups that others made, oldest first.
    pub entries: Vec<JournalEntry>,
    /// Read up to here: the connector's next offset.
    pub offset: u64,
    /// Whether there may be more behind it.
    pub more: bool,
    /// True when rows between the offset and the oldest that is kept were trimmed: everything must be compared.
    pub gap: bool,
}

impl Store {
    /// What others changed since `offset`. Rows whose origin is this connector are passed over; those of other
    /// connectors are not. At most `limit` and at most 256 rows are read.
    pub fn journal_for(&self, connector: &str, offset: u64, limit: usize) -> Result<JournalPage, StoreError> {
        let limit = limit.clamp(1, 256);
        let rows = self.journal_after(offset, limit)?;
        let first = rows.first().map(|row| row.seq);
        let page = JournalPage {
            offset: rows.last().map_or(offset, |row| row.seq),
            more: rows.len() == limit,
            gap: first.is_some_and(|first| first > offset.saturating_add(1)) && self.is_trimmed(offset)?,
            entries: rows
                .into_iter()
                .filter(|row| row.object.is_some())
                .filter(|row| !matches!(&row.origin, Origin::Connector(name) if name == connector))
                .collect(),
        };
        Ok(page)
    }

    /// Whether the row after `offset` is no longer kept. The journal begins with 0 or 1, so nothing is missing
    /// before its first row.
    fn is_trimmed(&self, offset: u64) -> Result<bool, StoreError> {
        let first = self.journal_begin()?;
        Ok(first.is_some_and(|first| first > offset.saturating_add(1) && first > 1))
    }
}
