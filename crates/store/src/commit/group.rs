//! One group: preconditions, reference counts and journal numbers against the snapshot plus what is staged.

use super::known::Known;
use super::{Batch, Bulk, Expect, Expectation, Op, Request};
use crate::StoreError;
use crate::engine::{Snapshot, Space, Write, after_key, after_prefix};
use crate::keys;
use crate::mail::BodyId;
use crate::sync::SumsRow;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::Ordering;

/// What is to be written, by space: a key is looked for as it is, without a copy.
#[derive(Default)]
struct Staged(BTreeMap<Space, BTreeMap<Vec<u8>, Option<Bytes>>>);

impl Staged {
    fn get(&self, space: Space, key: &[u8]) -> Option<&Option<Bytes>> {
        self.0.get(&space)?.get(key)
    }

    fn insert(&mut self, space: Space, key: Vec<u8>, value: Option<Bytes>) {
        self.0.entry(space).or_default().insert(key, value);
    }

    /// Whether a row under these keys is to be there.
    fn has_any(&self, space: Space, from: &[u8], to: &[u8]) -> bool {
        let keys = (Bound::Included(from), Bound::Excluded(to));
        let mut rows = self
            .0
            .get(&space)
            .into_iter()
            .flat_map(|rows| rows.range::<[u8], _>(keys));
        rows.any(|(_, value)| value.is_some())
    }
}

pub(super) struct Group<'a> {
    committed: Snapshot<'a>,
    staged: Staged,
    journal: u64,
    /// What may be there of a file's rows, where that is known.
    known: Option<&'a mut Known>,
    /// Sums that this group changes, by connector: read once, written once.
    sums: BTreeMap<String, Sums>,
}

#[derive(Default)]
struct Sums {
    row: SumsRow,
    changed: bool,
}

impl<'a> Group<'a> {
    pub(super) fn new(committed: Snapshot<'a>, journal: u64) -> Self {
        Self {
            committed,
            staged: Staged::default(),
            journal,
            known: None,
            sums: BTreeMap::new(),
        }
    }

    pub(super) fn knowing(self, known: Option<&'a mut Known>) -> Self {
        Self { known, ..self }
    }

    pub(super) const fn next_journal(&self) -> u64 {
        self.journal
    }

    pub(super) fn into_writes(self) -> Vec<Write> {
        let rows = self.staged.0.into_iter().flat_map(|(space, rows)| {
            let rows = rows.into_iter();
            rows.map(move |(key, value)| (space, key, value))
        });
        let changed = self.sums.into_iter().filter(|(_, sums)| sums.changed);
        let sums = changed.map(|(connector, sums)| {
            let row = Some(sums.row.write());
            (Space::Directory, keys::sums(&connector), row)
        });
        rows.chain(sums).collect()
    }

    /// Takes the changes of the batch, all or none of them.
    pub(super) fn stage(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        for (fence, generation) in &batch.fences {
            if fence.generation() != *generation {
                return Err(StoreError::Conflict);
            }
        }
        for expectation in &batch.expectations {
            if !self.holds(expectation)? {
                return Err(expectation.otherwise.clone());
            }
        }
        self.nothing_there(batch)?;
        // Counts are read before anything is staged, because reading may fail.
        let counts = self.counts(batch)?;
        self.ready_sums(batch)?;
        for op in std::mem::take(&mut batch.ops) {
            match op {
                Op::Put(space, key, value) | Op::New(space, key, value) => {
                    self.staged.insert(space, key, Some(value));
                }
                Op::Delete(space, key) => self.staged.insert(space, key, None),
                Op::Journal(row) => {
                    let key = keys::journal(self.journal);
                    self.journal += 1;
                    self.staged.insert(Space::Log, key, Some(row));
                }
                Op::Journals(count, row) => {
                    self.journal += u64::from(count);
                    let key = keys::journal(self.journal.saturating_sub(1));
                    self.staged.insert(Space::Log, key, Some(row));
                }
                Op::Tally(change) => {
                    let (connector, tally) = *change;
                    let sums = self.sums.entry(connector).or_default();
                    sums.row.apply(&tally);
                    sums.changed = true;
                }
                Op::Share(..) | Op::Release(_) => {}
            }
        }
        for (body, count) in counts {
            self.count(body, count);
        }
        Ok(())
    }

    /// Reads the sums that the batch changes; a count that was overtaken does not fit.
    fn ready_sums(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for op in &batch.ops {
            let Op::Tally(change) = op else { continue };
            let (connector, tally) = change.as_ref();
            if !self.sums.contains_key(connector) {
                let row = self.committed.get(Space::Directory, &keys::sums(connector))?;
                let row = row.map(|row| SumsRow::read(&row)).unwrap_or_default();
                let sums = Sums { row, changed: false };
                self.sums.insert(connector.clone(), sums);
            }
            if self
                .sums
                .get(connector)
                .is_some_and(|sums| !sums.row.takes(tally))
            {
                return Err(StoreError::Conflict);
            }
        }
        Ok(())
    }

    /// Where the batch says that nothing is yet.
    fn nothing_there(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for op in &batch.ops {
            if let Op::New(space, key, _) = op
                && self.read(*space, key)?.is_some()
            {
                return Err(StoreError::Conflict);
            }
        }
        for key in batch.bulk.iter().flat_map(Bulk::new_keys) {
            // Known from now on: should the commit fail, that costs a look at most.
            let perhaps = self.known.as_mut().is_none_or(|known| known.add_new(key));
            if perhaps && self.read(Space::Directory, key)?.is_some() {
                return Err(StoreError::Conflict);
            }
        }
        Ok(())
    }

    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.staged.get(space, key) {
            Some(staged) => Ok(staged.clone()),
            None => self.committed.get(space, key),
        }
    }

    fn holds(&self, expectation: &Expectation) -> Result<bool, StoreError> {
        let Expectation { space, key, .. } = expectation;
        if matches!(expectation.expect, Expect::Empty) {
            return self.is_empty(*space, key);
        }
        let found = self.read(*space, key)?;
        Ok(match &expectation.expect {
            Expect::Absent | Expect::Empty => found.is_none(),
            Expect::Present => found.is_some(),
            Expect::Equals(value) => found.as_ref() == Some(value),
        })
    }

    fn is_empty(&self, space: Space, prefix: &[u8]) -> Result<bool, StoreError> {
        let end = after_prefix(prefix);
        if self.staged.has_any(space, prefix, &end) {
            return Ok(false);
        }
        // A committed row may be removed by an earlier batch of this group.
        let mut from = prefix.to_vec();
        loop {
            let page = self.committed.page(space, &from, &end, 64)?;
            for (key, _) in &page.rows {
                if !matches!(self.staged.get(space, key), Some(None)) {
                    return Ok(false);
                }
            }
            match page.rows.last() {
                Some((key, _)) if page.more => from = after_key(key),
                _ => return Ok(true),
            }
        }
    }

    /// The new reference count of every body that the batch shares or releases.
    fn counts(&self, batch: &Batch) -> Result<HashMap<BodyId, i64>, StoreError> {
        let mut counts = HashMap::new();
        for op in &batch.ops {
            let (body, step) = match op {
                Op::Share(body, more) => (*body, i64::from(*more)),
                Op::Release(body) => (*body, -1),
                _ => continue,
            };
            let count = match counts.get(&body) {
                Some(count) => *count,
                None => self.references(body)?,
            };
            counts.insert(body, count + step);
        }
        Ok(counts)
    }

    /// No row means one reference, which is the common case and costs no row.
    fn references(&self, body: BodyId) -> Result<i64, StoreError> {
        let Some(row) = self.read(Space::Refs, &body.0)? else {
            return Ok(1);
        };
        let bytes: [u8; 4] = row.as_ref().try_into().map_err(|_| StoreError::Corrupt {
            account: None,
            what: "body reference count".into(),
        })?;
        Ok(i64::from(u32::from_be_bytes(bytes)))
    }

    fn count(&mut self, body: BodyId, count: i64) {
        let row = u32::try_from(count)
            .ok()
            .filter(|count| *count > 1)
            .map(|count| Bytes::copy_from_slice(&count.to_be_bytes()));
        self.staged.insert(Space::Refs, body.0.to_vec(), row);
        if count < 1 {
            self.staged.insert(Space::Body, body.0.to_vec(), None);
        }
    }
}

/// Everything built upon this batch is void.
pub(super) fn break_fences(request: &Request) {
    for (fence, generation) in &request.batch.fences {
        if fence.generation() == *generation {
            fence.break_off();
        }
    }
}

/// Tells the writer.
pub(super) fn answer(request: Request, outcome: Result<(), StoreError>) {
    for (fence, _) in &request.batch.fences {
        fence.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
    // A writer that went away has lost interest, not the commit.
    let _ = request.answer.send(outcome);
}

/// Makes a committed batch visible, then tells the writer.
pub(super) fn publish(mut request: Request) {
    for publish in std::mem::take(&mut request.batch.publish) {
        publish();
    }
    answer(request, Ok(()));
}

/// Answers a batch that never reached a group.
pub(super) fn refuse(request: Request, error: StoreError) {
    break_fences(&request);
    answer(request, Err(error));
}
