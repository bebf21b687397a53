//! So many rows at once that they become a file of their own: no row goes through the log and the memory of the engine.
//!
//! Such a file is all or nothing by itself, but only in its own key space. So the journal's rows are written before it, beyond
//! the number up to which the journal counts, together with a note of what follows the file. A start that finds the note
//! carries it out where the file is there; where it is not, it removes the rows. All rows of the file are in memory meanwhile, so
//! whoever makes it bounds their number.

use super::group::Group;
use super::known::Known;
use super::thread::{Worker, number};
use super::{Request, group};
use crate::codec::{Decoded, Reader, Writer};
use crate::engine::{Durability, Engine, PAGE_ROWS, Space, Write, after_key, after_prefix};
use crate::{StoreError, keys};
use bytes::Bytes;
use std::sync::atomic::Ordering;

const VERSION: u8 = 1;

/// A row of a [`Bulk`]: where its key begins, and how long key and value are. The value follows the key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BulkRow {
    pub(crate) at: u32,
    pub(crate) key: u32,
    pub(crate) value: u32,
    /// Nothing may be there yet: else [`StoreError::Conflict`].
    pub(crate) is_new: bool,
}

impl BulkRow {
    /// Key and value, of the octets that it is a part of.
    pub(crate) fn of<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let row = bytes.get(self.at as usize..).unwrap_or_default();
        let (key, rest) = row.split_at_checked(self.key as usize).unwrap_or_default();
        (key, rest.get(..self.value as usize).unwrap_or_default())
    }
}

/// Rows of [`Space::Directory`] in the order of their keys, none of them twice: part by part.
#[derive(Debug, Clone)]
pub(crate) struct Bulk(pub(crate) Vec<BulkPart>);

#[derive(Debug, Clone)]
pub(crate) struct BulkPart {
    pub(crate) bytes: Bytes,
    pub(crate) rows: Vec<BulkRow>,
}

impl Bulk {
    fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let parts = self.0.iter();
        let rows = parts.flat_map(|part| part.rows.iter().map(|row| row.of(&part.bytes)));
        rows.map(|(key, value)| (key, Some(value)))
    }

    /// Octets of all of them: the file has as many at most, and about as many.
    pub(super) fn octets(&self) -> u64 {
        let octets: usize = self.0.iter().map(|part| part.bytes.len()).sum();
        u64::try_from(octets).unwrap_or(u64::MAX)
    }

    /// The keys of those that must not be there yet.
    pub(crate) fn new_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|part| {
            let new = part.rows.iter().filter(|row| row.is_new);
            new.map(|row| row.of(&part.bytes).0)
        })
    }
}

/// Two lists in the order of their keys as one; where both have a key, the second says what it is.
fn merged<'r>(
    rows: impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)>,
    others: impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)>,
) -> impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)> {
    let (mut rows, mut others) = (rows.peekable(), others.peekable());
    std::iter::from_fn(move || {
        let (Some((row, _)), Some((other, _))) = (rows.peek(), others.peek()) else {
            return rows.next().or_else(|| others.next());
        };
        match row.cmp(other) {
            std::cmp::Ordering::Less => rows.next(),
            std::cmp::Ordering::Greater => others.next(),
            std::cmp::Ordering::Equal => {
                rows.next();
                others.next()
            }
        }
    })
}

impl Worker {
    /// Commits a batch that has a file of its own.
    pub(super) fn commit_bulk(&mut self, mut request: Request) {
        let free = self.free_space();
        let ready = match &self.broken {
            Some(error) => Err(error.clone()),
            None => self.begin_known().and_then(|()| self.room_for(&request, free)),
        };
        let known = self.known.as_mut().and_then(Option::as_mut);
        let mut staged = Group::new(self.engine.snapshot(), self.journal).knowing(known);
        let verdict = ready.and_then(|()| staged.stage(&mut request.batch));
        let (journal, writes) = (staged.next_journal(), staged.into_writes());
        let written = verdict.and_then(|()| match request.batch.bulk.take() {
            Some(bulk) => self.load(&bulk, writes, journal),
            None => Ok(()),
        });
        match written {
            Ok(()) => {
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                group::publish(request);
                self.tell_journal();
            }
            Err(error) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                group::break_fences(&request);
                group::answer(request, Err(error));
            }
        }
    }

    fn begin_known(&mut self) -> Result<(), StoreError> {
        if self.known.is_none() {
            self.known = Some(Known::begin(&self.engine.snapshot())?);
        }
        Ok(())
    }

    fn load(&mut self, bulk: &Bulk, writes: Vec<Write>, journal: u64) -> Result<(), StoreError> {
        if !self.engine.takes_a_file(Space::Directory)? {
            return self.write(without_a_file(bulk, writes), true, journal);
        }
        let (mut beside, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for write in writes {
            match write.0 {
                Space::Directory => beside.push(write),
                Space::Log => before.push(write),
                _ => after.push(write),
            }
        }
        beside.sort_unstable_by(|(_, one, _), (_, other, _)| one.cmp(other));
        let Some(probe) = bulk.new_keys().next() else {
            return Err(StoreError::Invalid("rows of a file that none tells of".into()));
        };
        let note = write_note(probe, &after, journal);
        before.push((Space::Meta, keys::LOADING.to_vec(), Some(note)));
        self.write(before, true, self.journal)?;
        // The new ones of the file are known since it was looked whether they are there.
        if let Some(Some(known)) = &mut self.known {
            let beside = beside.iter().map(|(_, key, _)| key.as_slice());
            beside.for_each(|key| known.add(Space::Directory, key));
        }
        let others = beside.iter();
        let others = others.map(|(_, key, value)| (key.as_slice(), value.as_deref()));
        if let Err(error) = self.engine.ingest(Space::Directory, merged(bulk.rows(), others)) {
            tracing::error!(%error, "a commit failed; the store is read-only until it is opened again");
            self.give_up(error.clone());
            return Err(error);
        }
        after.push((Space::Meta, keys::LOADING.to_vec(), None));
        // What is noted is durable, so this may be lost: a start does it again.
        self.write(after, false, journal)
    }
}

/// All of it as rows like any others, each key once.
fn without_a_file(bulk: &Bulk, writes: Vec<Write>) -> Vec<Write> {
    let (mut beside, mut all): (Vec<Write>, Vec<Write>) = writes
        .into_iter()
        .partition(|(space, ..)| *space == Space::Directory);
    beside.sort_unstable_by(|(_, one, _), (_, other, _)| one.cmp(other));
    let others = beside
        .iter()
        .map(|(_, key, value)| (key.as_slice(), value.as_deref()));
    let rows = merged(bulk.rows(), others);
    all.extend(rows.map(|(key, value)| {
        let value = value.map(Bytes::copy_from_slice);
        (Space::Directory, key.to_vec(), value)
    }));
    all
}

/// What is to be written once the file is there, and a key by which that is seen.
fn write_note(probe: &[u8], after: &[Write], journal: u64) -> Bytes {
    let mut w = Writer::new(VERSION);
    w.bytes(probe).num(journal);
    w.list(after.iter(), |w, (space, key, value)| {
        w.u8(*space as u8).bytes(key);
        w.option(value.as_ref(), |w, value| {
            w.bytes(value);
        });
    });
    w.done()
}

fn read_note(row: &[u8]) -> Decoded<(Vec<u8>, Vec<Write>)> {
    let mut r = Reader::new(row, "rows of a file", VERSION)?;
    let (probe, journal) = (r.bytes()?.to_vec(), r.num()?);
    let mut after = r.list(|r| {
        let number = r.u8()?;
        let space = Space::ALL.into_iter().find(|space| *space as u8 == number);
        let space = space.ok_or_else(|| r.corrupt())?;
        let (key, value) = (r.bytes()?.to_vec(), r.option(Reader::bytes)?);
        Ok((space, key, value.map(Bytes::copy_from_slice)))
    })?;
    r.end()?;
    after.push((Space::Meta, keys::JOURNAL.to_vec(), Some(number(journal))));
    Ok((probe, after))
}

/// For a start: what an interrupted commit of a file left to do.
pub(crate) fn finish_loading(engine: &Engine) -> Result<(), StoreError> {
    let Some(row) = engine.get(Space::Meta, keys::LOADING)? else {
        return Ok(());
    };
    let (probe, after) = read_note(&row)?;
    let mut writes = match engine.get(Space::Directory, &probe)? {
        Some(_) => after,
        None => uncounted(engine)?,
    };
    writes.push((Space::Meta, keys::LOADING.to_vec(), None));
    engine.write(writes, Durability::Disk)
}

/// Rows of the journal beyond its number: they tell of what did not come.
fn uncounted(engine: &Engine) -> Result<Vec<Write>, StoreError> {
    let next = engine.get(Space::Meta, keys::JOURNAL)?;
    let next = next.and_then(|row| Some(u64::from_be_bytes(row.as_ref().try_into().ok()?)));
    let (mut from, end) = (keys::journal(next.unwrap_or(0)), after_prefix(b"J"));
    let (snapshot, mut gone) = (engine.snapshot(), Vec::new());
    loop {
        let page = snapshot.page(Space::Log, &from, &end, PAGE_ROWS)?;
        gone.extend(page.rows.iter().map(|(key, _)| (Space::Log, key.to_vec(), None)));
        match page.rows.last() {
            Some((key, _)) if page.more => from = after_key(key),
            _ => return Ok(gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_each_key_is_written_once() {
        let mut bytes = Vec::new();
        let mut rows = Vec::new();
        for (key, value) in [("a", "1"), ("c", "2"), ("d", "3")] {
            rows.push(BulkRow {
                at: u32::try_from(bytes.len()).expect("few"),
                key: 1,
                value: 1,
                is_new: true,
            });
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        let bulk = Bulk(vec![BulkPart {
            bytes: bytes.into(),
            rows,
        }]);
        let write = |space, key: &str, value: Option<&'static str>| {
            (
                space,
                key.as_bytes().to_vec(),
                value.map(|value| Bytes::from_static(value.as_bytes())),
            )
        };
        let beside = vec![
            write(Space::Directory, "d", Some("4")),
            write(Space::Log, "a", Some("5")),
            write(Space::Directory, "c", None),
            write(Space::Directory, "b", Some("6")),
        ];
        assert_eq!(
            without_a_file(&bulk, beside),
            [
                write(Space::Log, "a", Some("5")),
                write(Space::Directory, "a", Some("1")),
                write(Space::Directory, "b", Some("6")),
                write(Space::Directory, "c", None),
                write(Space::Directory, "d", Some("4")),
            ]
        );
    }
}
