//! The committer thread.

use super::group::{self, Group};
use super::known::Known;
use super::{Bulk, Class, Counters, Message, Request, Reserve, Start};
use crate::StoreError;
use crate::engine::{Durability, Engine, Space};
use crate::keys;
use bytes::Bytes;
use model::Clock;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A group never holds more batches than this.
const GROUP: usize = 2048;
/// How long a relaxed write may stay in the kernel.
const RELAXED: Duration = Duration::from_secs(1);
/// How long nobody writes before the memory of what was written is given back, in two steps.
const PAUSE: Duration = Duration::from_secs(2);

/// What the engine still holds in memory of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Rows that wait to be written out.
    Rows,
    /// Rows that were.
    Copies,
    Nothing,
}

pub(super) struct Worker {
    pub(super) engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    sequence: u64,
    pub(super) journal: u64,
    journal_told: tokio::sync::watch::Sender<u64>,
    mark: Option<std::fs::File>,
    reserve: Option<Reserve>,
    pub(super) counters: Arc<Counters>,
    /// When the oldest write that is only in the kernel was made, on the monotonic clock.
    unsynced_since: Option<Duration>,
    holds: Holds,
    /// What may be there, while files of their own are made; nothing in it: there is too much.
    pub(super) known: Option<Option<Known>>,
    /// Set by the first failed write: nothing is written after it.
    pub(super) broken: Option<StoreError>,
}

impl Worker {
    pub(super) fn new(
        engine: Arc<Engine>,
        clock: Arc<dyn Clock>,
        start: Start,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            engine,
            clock,
            sequence: start.sequence,
            journal: start.journal,
            journal_told: start.journal_told,
            mark: start.mark,
            reserve: start.reserve,
            counters,
            unsynced_since: None,
            holds: Holds::Rows,
            known: None,
            broken: None,
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        let mut closing: Vec<oneshot::Sender<Result<(), StoreError>>> = Vec::new();
        while closing.is_empty() {
            let first = match self.next(queue) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) if self.unsynced_since.is_some() => {
                    self.sync_relaxed();
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.rest();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut requests = Vec::new();
            let mut message = Some(first);
            while let Some(next) = message {
                match next {
                    Message::Commit(request) => requests.push(*request),
                    Message::Close(answer) => closing.push(answer),
                }
                message = (requests.len() < GROUP && closing.is_empty())
                    .then(|| queue.try_recv().ok())
                    .flatten();
            }
            self.commit(requests);
            if self
                .unsynced_since
                .is_some_and(|since| self.clock.monotonic().saturating_sub(since) >= RELAXED)
            {
                self.sync_relaxed();
            }
        }
        // What was queued behind the close is refused, not lost in silence.
        for message in queue.try_iter() {
            match message {
                Message::Commit(request) => group::refuse(*request, StoreError::Closed),
                Message::Close(answer) => closing.push(answer),
            }
        }
        let end = self.stop();
        for answer in closing {
            let _ = answer.send(end.clone());
        }
    }

    /// Everything that is queued, on the thread of whoever waits for it.
    pub(super) fn carry_out(&mut self, queue: &Receiver<Message>) {
        let (mut requests, mut closing) = (Vec::new(), Vec::new());
        for message in queue.try_iter() {
            match message {
                Message::Commit(request) if closing.is_empty() => requests.push(*request),
                Message::Commit(request) => group::refuse(*request, StoreError::Closed),
                Message::Close(answer) => closing.push(answer),
            }
        }
        self.commit(requests);
        if !closing.is_empty() {
            let end = self.stop();
            for answer in closing {
                // Whoever asked may have gone.
                let _ = answer.send(end.clone());
            }
        }
    }

    fn next(&self, queue: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        if self.unsynced_since.is_some() {
            queue.recv_timeout(RELAXED)
        } else if self.holds == Holds::Nothing {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            queue.recv_timeout(PAUSE)
        }
    }

    /// Nobody writes: what was written need not stay in memory.
    fn rest(&mut self) {
        self.known = None;
        let (done, then) = match self.holds {
            _ if self.broken.is_some() => (Ok(()), Holds::Nothing),
            Holds::Rows => (self.engine.write_out(), Holds::Copies),
            Holds::Copies | Holds::Nothing => (self.engine.let_go(), Holds::Nothing),
        };
        self.holds = then;
        if let Err(error) = done {
            tracing::error!(%error, "rows could not be written out; the store is read-only until it is opened again");
            self.give_up(error);
        }
    }

    /// In the order in which they came; a batch that has a file of its own is a group of its own.
    fn commit(&mut self, requests: Vec<Request>) {
        let mut group = Vec::with_capacity(requests.len());
        for request in requests {
            if request.batch.bulk.is_some() {
                self.commit_group(std::mem::take(&mut group));
                self.commit_bulk(request);
            } else {
                group.push(request);
            }
        }
        self.commit_group(group);
    }

    fn commit_group(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let mut group = Group::new(self.engine.snapshot(), self.journal);
        let mut durable = false;
        let mut accepted = Vec::with_capacity(requests.len());
        let mut refused = Vec::new();
        let free = self.free_space();
        for mut request in requests {
            let verdict = match &self.broken {
                Some(error) => Err(error.clone()),
                None => self
                    .room_for(&request, free)
                    .and_then(|()| group.stage(&mut request.batch)),
            };
            match verdict {
                Ok(()) => {
                    durable |= request.batch.class == Class::Durable;
                    accepted.push(request);
                }
                Err(error) => {
                    // At once, so that later batches of this group that were built upon it fail too.
                    group::break_fences(&request);
                    refused.push((request, error));
                }
            }
        }
        let journal = group.next_journal();
        let writes = group.into_writes();
        let outcome = if writes.is_empty() {
            Ok(())
        } else {
            self.write(writes, durable, journal)
        };
        let count = |counter: &std::sync::atomic::AtomicU64, n: usize| {
            counter.fetch_add(n as u64, Ordering::Relaxed);
        };
        count(&self.counters.refused, refused.len());
        for (request, error) in refused {
            group::answer(request, Err(error));
        }
        match outcome {
            Ok(()) => {
                count(&self.counters.commits, accepted.len());
                for request in accepted {
                    group::publish(request);
                }
                self.tell_journal();
            }
            Err(error) => {
                count(&self.counters.refused, accepted.len());
                for request in &accepted {
                    group::break_fences(request);
                }
                for request in accepted {
                    group::answer(request, Err(error.clone()));
                }
            }
        }
    }

    /// Last, so that whoever wakes finds everything published.
    pub(super) fn tell_journal(&self) {
        self.journal_told
            .send_if_modified(|told| std::mem::replace(told, self.journal) != self.journal);
    }

    pub(super) fn write(
        &mut self,
        mut writes: Vec<crate::engine::Write>,
        durable: bool,
        journal: u64,
    ) -> Result<(), StoreError> {
        let sequence = self.sequence + 1;
        writes.push((Space::Meta, keys::SEQUENCE.to_vec(), Some(number(sequence))));
        if journal != self.journal {
            writes.push((Space::Meta, keys::JOURNAL.to_vec(), Some(number(journal))));
        }
        if let Some(Some(known)) = &mut self.known {
            writes.iter().for_each(|(space, key, _)| known.add(*space, key));
        }
        let durability = if durable {
            Durability::Disk
        } else {
            Durability::Kernel
        };
        if let Err(error) = self.engine.write(writes, durability) {
            tracing::error!(%error, "a commit failed; the store is read-only until it is opened again");
            self.give_up(error.clone());
            return Err(error);
        }
        self.sequence = sequence;
        self.journal = journal;
        self.holds = Holds::Rows;
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        if durable {
            self.synced();
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(self.clock.monotonic());
        }
        Ok(())
    }

    pub(super) fn give_up(&mut self, error: StoreError) {
        self.counters.read_only.store(true, Ordering::Relaxed);
        self.broken = Some(error);
    }

    /// A sync covers everything written before it, relaxed or not.
    fn synced(&mut self) {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.unsynced_since = None;
        if let Some(mark) = &self.mark
            && let Err(error) = mark.write_all_at(&mark_bytes(self.sequence), 0)
        {
            tracing::warn!(%error, "the commit mark could not be written");
        }
    }

    fn sync_relaxed(&mut self) {
        if self.unsynced_since.is_none() || self.broken.is_some() {
            self.unsynced_since = None;
            return;
        }
        match self.engine.sync() {
            Ok(()) => self.synced(),
            Err(error) => {
                tracing::error!(%error, "a sync failed; the store is read-only until it is opened again");
                self.give_up(error);
                self.unsynced_since = None;
            }
        }
    }

    /// Syncs and marks the stop as clean, so that the next start need not skip to the reserved ceilings.
    fn stop(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let writes = vec![(Space::Meta, keys::CLEAN.to_vec(), Some(Bytes::from_static(&[1])))];
        self.write(writes, true, self.journal)
    }

    pub(super) fn free_space(&self) -> Option<u64> {
        self.reserve.as_ref().and_then(Reserve::free)
    }

    /// New bodies stop at the reserve; everything else may use three quarters of it, so that a full
    /// store can still be emptied.
    pub(super) fn room_for(&self, request: &Request, free: Option<u64>) -> Result<(), StoreError> {
        if self.engine.is_full() {
            return Err(StoreError::Full);
        }
        let (Some(reserve), Some(free)) = (&self.reserve, free) else {
            return Ok(());
        };
        let floor = if request.batch.grows() {
            reserve.bytes
        } else {
            reserve.bytes / 4
        };
        // What goes into a file of its own is written at once.
        let file = request.batch.bulk.as_ref().map_or(0, Bulk::octets);
        if free < floor.saturating_add(file) && !request.batch.ops.is_empty() {
            return Err(StoreError::Full);
        }
        Ok(())
    }
}

pub(super) fn number(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

/// The side file's form: the number and its complement.
pub(crate) fn mark_bytes(sequence: u64) -> [u8; 16] {
    ((u128::from(sequence) << 64) | u128::from(!sequence)).to_be_bytes()
}

/// Reads the side file; none when it is not whole.
pub(crate) fn read_mark(bytes: [u8; 16]) -> Option<u64> {
    let both = u128::from_be_bytes(bytes);
    let sequence = u64::try_from(both >> 64).ok()?;
    (mark_bytes(sequence) == bytes).then_some(sequence)
}
