//! The journal, which is the audit log too: reading it, and entries that share a row.
//!
//! A row has one entry, or several that one commit made at one moment for one reason. Its number is that of the last one, so
//! whoever reads on from any number finds the row that has it.

use super::rows::{read_journal, read_origin, write_origin};
use super::types::{JournalEntry, Origin, Touched};
use crate::codec::{Decoded, Reader, Writer};
use crate::commit::Op;
use crate::engine::{Space, after_prefix};
use crate::{LocalId, Store, StoreError, keys};
use bytes::Bytes;
use model::{Address, Timestamp};
use std::collections::BTreeSet;

/// The version of a row with several entries.
const SEVERAL: u8 = 2;
/// Entries of a row.
const TOGETHER: usize = 32;

/// Names of each kind that a note spells out: a list may have thousands of members.
const SPELT: usize = 5;

/// Entries that are kept; older ones go with housekeeping.
const KEPT: u64 = 1_000_000;

/// `display name: Alice -> Alice A.`
pub(super) fn from_to(what: &str, old: Option<&str>, new: Option<&str>) -> String {
    format!("{what}: {} -> {}", old.unwrap_or("-"), new.unwrap_or("-"))
}

/// `members: + a, b - c`: what came and what went, of each kind the first few and how many
/// more. What is there twice is named once.
pub(super) fn gone_and_come(what: &str, old: &[Address], new: &[Address]) -> String {
    let (was, is): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
    let named = |sign: &str, addresses: Vec<&&Address>| {
        let more = addresses.len().saturating_sub(SPELT);
        let spelt = addresses.iter().take(SPELT).map(|address| address.as_str());
        let spelt: Vec<&str> = spelt.collect();
        let more = (more > 0).then(|| format!(" and {more} more"));
        (!spelt.is_empty()).then(|| format!("{sign} {}{}", spelt.join(", "), more.unwrap_or_default()))
    };
    let come = named("+", is.difference(&was).collect());
    let gone = named("-", was.difference(&is).collect());
    let both: Vec<String> = come.into_iter().chain(gone).collect();
    match both.is_empty() {
        // Another spelling, another order, or the entry of a member.
        true => what.to_owned(),
        false => format!("{what}: {}", both.join(" ")),
    }
}

impl Store {
    /// Entries with a number above `seq`, oldest first; at most `limit` and at most 256.
    pub fn journal_after(&self, seq: u64, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let (first, limit) = (seq.saturating_add(1), limit.min(256));
        let snapshot = self.engine().snapshot();
        // Rows beyond it may tell of accounts whose file is still being made, or never will be there.
        let end = keys::journal(next_number(snapshot.get(Space::Meta, keys::JOURNAL)?));
        let page = snapshot.page(Space::Log, &keys::journal(first), &end, limit)?;
        let mut entries = Vec::new();
        for (key, row) in &page.rows {
            let read = read_row(number(key)?, row)?;
            entries.extend(read.into_iter().filter(|entry| entry.seq >= first));
            if entries.len() >= limit {
                break;
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }

    /// Entries with a number below `before` (none: from the newest), the newest first; at most `limit` and at most
    /// 256.
    pub fn journal_before(&self, before: Option<u64>, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let snapshot = self.engine().snapshot();
        let next = next_number(snapshot.get(Space::Meta, keys::JOURNAL)?);
        let end = before.unwrap_or(u64::MAX).min(next);
        // Numbers have no gaps, so the entries before `end` are counted back.
        let first = end.saturating_sub(limit.min(256) as u64);
        let (mut from, behind) = (first, keys::journal(next));
        let mut entries = Vec::new();
        loop {
            let page = snapshot.page(Space::Log, &keys::journal(from), &behind, TOGETHER)?;
            for (key, row) in &page.rows {
                let last = number(key)?;
                from = last.saturating_add(1);
                let read = read_row(last, row)?.into_iter();
                entries.extend(read.filter(|entry| (first..end).contains(&entry.seq)));
            }
            if !page.more || from >= end {
                entries.reverse();
                return Ok(entries);
            }
        }
    }

    /// The number of the oldest entry that is kept.
    pub(crate) fn journal_begin(&self) -> Result<Option<u64>, StoreError> {
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Log, &keys::journal(0), &after_prefix(b"J"), 1)?;
        let Some((key, row)) = page.rows.first() else {
            return Ok(None);
        };
        Ok(read_row(number(key)?, row)?.first().map(|entry| entry.seq))
    }

    /// Removes the oldest entries beyond the number that is kept; returns how many.
    pub(crate) async fn trim_journal(&self) -> Result<usize, StoreError> {
        self.trim_journal_to(KEPT).await
    }

    pub(crate) async fn trim_journal_to(&self, kept: u64) -> Result<usize, StoreError> {
        let next = next_number(self.engine().get(Space::Meta, keys::JOURNAL)?);
        let first = next.saturating_sub(kept);
        self.erase_rows(Space::Log, &keys::journal(0), &keys::journal(first))
            .await
    }
}

/// The number that the next entry will have.
fn next_number(row: Option<Bytes>) -> u64 {
    let next = row.and_then(|row| Some(u64::from_be_bytes(row.as_ref().try_into().ok()?)));
    next.unwrap_or(0)
}

fn number(key: &[u8]) -> Result<u64, StoreError> {
    super::account::number_of(key).ok_or_else(|| StoreError::Corrupt {
        account: None,
        what: "journal key".into(),
    })
}

/// What one of several entries has of its own.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub(super) object: Option<LocalId>,
    pub(super) touched: Touched,
    pub(super) note: String,
}

/// Rows with all these entries.
pub(super) fn write_journals<'n>(
    time: Timestamp,
    origin: &'n Origin,
    noted: &'n [&'n Noted],
) -> impl Iterator<Item = Op> + 'n {
    noted.chunks(TOGETHER).map(move |some| {
        let mut w = Writer::new(SEVERAL);
        write_origin(w.time(time), origin);
        w.list(some.iter(), |w, entry| {
            w.option(entry.object, |w, object| {
                w.raw(&object.to_bytes());
            });
            w.num(u64::from(entry.touched.0)).text(&entry.note);
        });
        // Of one row, so it fits.
        Op::Journals(u32::try_from(some.len()).unwrap_or(u32::MAX), w.done())
    })
}

/// The entries of a row whose last one has this number.
fn read_row(last: u64, row: &[u8]) -> Decoded<Vec<JournalEntry>> {
    if row.first() != Some(&SEVERAL) {
        return read_journal(last, row).map(|entry| vec![entry]);
    }
    let mut r = Reader::new(row, "journal entries", SEVERAL)?;
    let (time, origin) = (r.time()?, read_origin(&mut r)?);
    let mut entries = r.list(|r| {
        Ok(JournalEntry {
            seq: 0,
            time,
            object: r.option(|r| LocalId::from_bytes(r.take(9)?).ok_or_else(|| r.corrupt()))?,
            touched: Touched(r.num32()?),
            origin: origin.clone(),
            note: r.text()?,
        })
    })?;
    r.end()?;
    for (back, entry) in (0..).zip(entries.iter_mut().rev()) {
        entry.seq = last.checked_sub(back).ok_or_else(|| r.corrupt())?;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::{from_to, gone_and_come};
    use model::Address;

    fn addresses(from: std::ops::Range<u32>) -> Vec<Address> {
        let named = from.map(|number| Address::parse(&format!("u{number}@a.test")).expect("an address"));
        named.collect()
    }

    #[test]
    fn a_note_says_from_what_to_what() {
        assert_eq!(from_to("quota", None, Some("5 octets")), "quota: - -> 5 octets");
        let both = gone_and_come("aliases", &addresses(0..2), &addresses(1..3));
        assert_eq!(both, "aliases: + u2@a.test - u0@a.test");
        assert_eq!(
            gone_and_come("aliases", &addresses(0..1), &[]),
            "aliases: - u0@a.test"
        );
        assert_eq!(
            gone_and_come("members", &addresses(0..1), &addresses(0..1)),
            "members"
        );
    }

    /// A list of thousands that is filled at once has a short note.
    #[test]
    fn a_note_is_short_however_many_come() {
        let note = gone_and_come("members", &[], &addresses(0..40_000));
        assert!(note.ends_with(" and 39995 more"), "{note}");
        assert!(note.len() < 200, "{note}");
    }
}
