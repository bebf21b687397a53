//! What every directory operation does to a batch: index rows, journal row, preconditions.

use super::rows::write_journal;
use super::types::{JournalEntry, Origin, Touched};
use crate::commit::{Batch, Class, Expect, Op};
use crate::engine::{PAGE_ROWS, Space, after_key, after_prefix};
use crate::{LocalId, Store, StoreError, keys};
use bytes::Bytes;
use model::{Address, Domain};
use std::collections::BTreeSet;

/// Most aliases of one account or group.
const ALIASES: usize = 1000;
/// Aliases that are few.
const FEW: usize = 8;

pub(super) fn batch() -> Batch {
    Batch::new(Class::Durable)
}

/// The list without repeats and without the primary address.
pub(super) fn tidy_aliases(primary: &Address, aliases: Vec<Address>) -> Result<Vec<Address>, StoreError> {
    // Nearly everybody has few: a table of them costs more than to compare each with each.
    let few = aliases.len() <= FEW;
    let mut tidy: Vec<Address> = Vec::with_capacity(aliases.len());
    let mut seen = BTreeSet::new();
    for alias in aliases {
        let repeated = match few {
            true => tidy.contains(&alias),
            false => !seen.insert(alias.key()),
        };
        if !repeated && alias != *primary {
            tidy.push(alias);
        }
    }
    if tidy.len() > ALIASES {
        return Err(StoreError::Limit("aliases"));
    }
    Ok(tidy)
}

/// Moves the index from the old set of names to the new one.
pub(super) fn index(batch: &mut Batch, owner: LocalId, old: &[&Address], new: &[&Address]) {
    let old_keys: BTreeSet<_> = old.iter().map(|address| keys::name(address)).collect();
    let new_keys: BTreeSet<_> = new.iter().map(|address| keys::name(address)).collect();
    for key in old_keys.difference(&new_keys) {
        batch.delete(Space::Directory, key.clone());
    }
    let mut domains = BTreeSet::new();
    for address in new {
        let key = keys::name(address);
        if old_keys.contains(&key) {
            continue;
        }
        domains.insert(address.domain());
        let taken = StoreError::AlreadyExists(address.to_string());
        batch.expect(Space::Directory, key.clone(), Expect::Absent, taken);
        batch.put(Space::Directory, key, Bytes::copy_from_slice(&owner.to_bytes()));
    }
    for domain in domains {
        needs_domain(batch, &domain);
    }
}

pub(super) fn needs_domain(batch: &mut Batch, domain: &Domain) {
    let missing = StoreError::NotFound("the domain");
    batch.expect(Space::Directory, keys::domain(domain), Expect::Present, missing);
}

impl Store {
    /// The next rows of a list, at least one unless there are none. One that does not decode is reported and
    /// left out: it must not take the others with it.
    pub(super) fn sound_rows<T>(
        &self,
        mut from: Vec<u8>,
        prefix: &[u8],
        limit: usize,
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let (end, limit) = (after_prefix(prefix), limit.clamp(1, PAGE_ROWS));
        loop {
            let page = self
                .engine()
                .snapshot()
                .page(Space::Directory, &from, &end, limit)?;
            let mut rows = Vec::with_capacity(page.rows.len());
            for (key, row) in &page.rows {
                match read(key, row) {
                    Ok(row) => rows.push(row),
                    Err(error) => tracing::error!(%error, "a damaged row is left out of a list"),
                }
            }
            match page.rows.last() {
                Some((key, _)) if page.more && rows.is_empty() => from = after_key(key),
                _ => return Ok(rows),
            }
        }
    }

    pub(crate) fn journal_row(
        &self,
        batch: &mut Batch,
        object: Option<LocalId>,
        touched: Touched,
        origin: &Origin,
        note: String,
    ) {
        let entry = JournalEntry {
            seq: 0,
            time: self.clock().now(),
            object,
            touched,
            origin: origin.clone(),
            note,
        };
        batch.ops.push(Op::Journal(write_journal(&entry)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_there_once_in_their_order_however_many() {
        let address = |text: String| Address::parse(&text).expect("an address");
        let primary = address("Alice@example.test".to_owned());
        for count in [0, 1, FEW - 3, FEW, FEW * 3] {
            let fresh: Vec<_> = (0..count)
                .map(|n| address(format!("a{n}@example.test")))
                .collect();
            let mut given = fresh.clone();
            given.insert(count / 2, address("alice@example.test".to_owned()));
            given.extend((0..count.min(2)).map(|n| address(format!("A{n}@Example.test"))));
            assert_eq!(tidy_aliases(&primary, given).expect("few"), fresh);
        }
        let many = (0..=ALIASES).map(|n| address(format!("a{n}@example.test")));
        assert!(matches!(
            tidy_aliases(&primary, many.collect()),
            Err(StoreError::Limit("aliases"))
        ));
    }
}
