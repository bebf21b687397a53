//! The commit queue: one thread turns what arrived during the previous sync into one batch and one sync.
//!
//! Writers build a [`Batch`] under their own lock, put it in the queue and wait without the lock. The thread
//! checks preconditions against what is committed plus what stands earlier in the group, assigns journal
//! numbers, counts references to bodies, writes, syncs, and only then runs the `publish` actions, in queue
//! order. A failed commit moves the generation of the accounts it touched, so that everything built upon it
//! fails too and the caches are built anew.

mod bulk;
mod group;
mod known;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use bulk::{Bulk, BulkPart, BulkRow, finish_loading};
pub(crate) use thread::{mark_bytes, read_mark};

use crate::StoreError;
use crate::engine::{Engine, Space};
use crate::mail::BodyId;
use crate::sync::Tally;
use bytes::Bytes;
use model::Clock;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The queue holds at most this many KiB of values, counted in units of at least [`MIN_UNITS`] a batch.
const QUEUE_UNITS: u32 = 96 * 1024;
const MIN_UNITS: u32 = 24;

/// When the writer is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// After the sync.
    Durable,
    /// When the kernel has it; synced within a second.
    Relaxed,
}

/// What must hold of a point key, or of a prefix.
#[derive(Debug, Clone)]
pub(crate) enum Expect {
    Absent,
    Present,
    Equals(Bytes),
    /// No key begins with it.
    Empty,
}

/// A precondition and the error that its failure means.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    pub(crate) space: Space,
    pub(crate) key: Vec<u8>,
    pub(crate) expect: Expect,
    pub(crate) otherwise: StoreError,
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Put(Space, Vec<u8>, Bytes),
    /// The same where nothing may be yet: else [`StoreError::Conflict`]. For many rows at once, which need no text of
    /// their own for the case that they are refused.
    New(Space, Vec<u8>, Bytes),
    Delete(Space, Vec<u8>),
    /// One more reference to a body that is there.
    Share(BodyId, u32),
    /// One reference less; the body goes with the last.
    Release(BodyId),
    /// A journal row; its number is assigned in commit order.
    Journal(Bytes),
    /// So many journal entries in one row, which has the number of the last.
    Journals(u32, Bytes),
    /// What a change means for the sums of a connector's links.
    Tally(Box<(String, Tally)>),
}

/// Where the caches of one account stand against what is committed.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    generation: AtomicU64,
    in_flight: AtomicUsize,
}

impl Fence {
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    fn break_off(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

/// What becomes visible once the batch is committed.
pub(crate) type Publish = Box<dyn FnOnce() + Send>;

/// All or nothing.
pub(crate) struct Batch {
    pub(crate) class: Class,
    pub(crate) expectations: Vec<Expectation>,
    pub(crate) ops: Vec<Op>,
    pub(crate) fences: Vec<(Arc<Fence>, u64)>,
    pub(crate) publish: Vec<Publish>,
    /// So many rows of [`Space::Directory`] that they become a file of their own.
    pub(crate) bulk: Option<Bulk>,
}

impl Batch {
    /// The octets of its values.
    fn bytes(&self) -> usize {
        let of = |op: &Op| match op {
            Op::Put(_, _, value) | Op::New(_, _, value) | Op::Journal(value) | Op::Journals(_, value) => {
                value.len()
            }
            Op::Delete(..) | Op::Share(..) | Op::Release(_) | Op::Tally(_) => 0,
        };
        self.ops.iter().map(of).sum()
    }

    pub(crate) fn new(class: Class) -> Self {
        Self {
            class,
            expectations: Vec::new(),
            ops: Vec::new(),
            fences: Vec::new(),
            publish: Vec::new(),
            bulk: None,
        }
    }

    pub(crate) fn put(&mut self, space: Space, key: Vec<u8>, value: Bytes) {
        self.ops.push(Op::Put(space, key, value));
    }

    /// A row where nothing may be yet. A batch never names such a key twice.
    pub(crate) fn put_new(&mut self, space: Space, key: Vec<u8>, value: Bytes) {
        self.ops.push(Op::New(space, key, value));
    }

    pub(crate) fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.ops.push(Op::Delete(space, key));
    }

    pub(crate) fn expect(&mut self, space: Space, key: Vec<u8>, expect: Expect, otherwise: StoreError) {
        self.expectations.push(Expectation {
            space,
            key,
            expect,
            otherwise,
        });
    }

    /// Whether it stores new bodies: such batches are the first to be refused on a full disk.
    fn grows(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Put(Space::Body, ..)))
    }
}

/// A batch in the queue.
struct Request {
    batch: Batch,
    answer: oneshot::Sender<Result<(), StoreError>>,
    _room: Option<OwnedSemaphorePermit>,
}

enum Message {
    Commit(Box<Request>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// Figures of the commit queue since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitStats {
    /// Batches committed.
    pub commits: u64,
    /// Engine writes that held them.
    pub groups: u64,
    /// Syncs to disk.
    pub syncs: u64,
    /// Batches refused.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    groups: AtomicU64,
    syncs: AtomicU64,
    refused: AtomicU64,
    /// A write has failed: nothing is written any more.
    read_only: AtomicBool,
}

/// Whether something can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskState {
    /// A write has failed, and the store takes no other until it is opened again.
    pub is_read_only: bool,
    /// Octets that are free on its disk; none for a store in memory, or where the system does not tell.
    pub free: Option<u64>,
    /// Where less is free, new mail is refused.
    pub reserve: u64,
}

impl DiskState {
    /// Whether new mail is taken.
    #[must_use]
    pub fn takes_mail(&self) -> bool {
        !self.is_read_only && self.free.is_none_or(|free| free >= self.reserve)
    }
}

/// Where free space is measured, and how much must stay free.
#[derive(Debug, Clone)]
pub(crate) struct Reserve {
    pub(crate) folder: PathBuf,
    pub(crate) bytes: u64,
}

impl Reserve {
    /// What is free there now.
    fn free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.folder).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// What the committer starts from.
pub(crate) struct Start {
    /// The commit sequence number found in the store.
    pub(crate) sequence: u64,
    /// The next journal number.
    pub(crate) journal: u64,
    /// Told the next journal number after each commit that held journal rows.
    pub(crate) journal_told: tokio::sync::watch::Sender<u64>,
    /// The side file that repeats the commit sequence number.
    pub(crate) mark: Option<std::fs::File>,
    pub(crate) reserve: Option<Reserve>,
}

/// The queue's entrance.
pub(crate) struct Committer {
    sender: Option<mpsc::Sender<Message>>,
    room: Arc<Semaphore>,
    counters: Arc<Counters>,
    reserve: Option<Reserve>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// In place of the thread.
    callers: Option<Callers>,
}

/// Who carries out what is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hands {
    Thread,
    /// Whoever waits for a commit: nothing happens beside the callers, so a simulation is the same every time.
    Callers,
}

/// What callers carry out.
type Callers = Arc<Mutex<(thread::Worker, mpsc::Receiver<Message>)>>;

/// A place in the queue, taken before anything is built so that nothing can fail or wait between building
/// and queueing.
pub(crate) struct Slot<'a> {
    committer: &'a Committer,
    room: OwnedSemaphorePermit,
}

/// A queued batch.
pub(crate) struct Queued {
    answer: oneshot::Receiver<Result<(), StoreError>>,
    callers: Option<Callers>,
}

impl Queued {
    /// Waits until the batch is committed in its class. Dropping this does not take the batch back.
    pub(crate) async fn committed(self) -> Result<(), StoreError> {
        if let Some(callers) = &self.callers {
            // As with a thread, nobody has an answer at once.
            tokio::task::yield_now().await;
            carry_out(callers);
        }
        self.answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Committer {
    pub(crate) fn start(
        engine: Arc<Engine>,
        clock: Arc<dyn Clock>,
        start: Start,
        hands: Hands,
    ) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let reserve = start.reserve.clone();
        let worker = thread::Worker::new(engine, clock, start, Arc::clone(&counters));
        let (mut thread, mut callers) = (None, None);
        match hands {
            Hands::Callers => callers = Some(Arc::new(Mutex::new((worker, receiver)))),
            Hands::Thread => {
                let running = std::thread::Builder::new()
                    .name("store-commit".into())
                    .spawn(move || worker.run(&receiver));
                thread = Some(running.map_err(|error| StoreError::Engine(error.to_string()))?);
            }
        }
        Ok(Self {
            sender: Some(sender),
            room: Arc::new(Semaphore::new(QUEUE_UNITS as usize)),
            counters,
            reserve,
            thread,
            callers,
        })
    }

    /// Waits for room for about `bytes` of values.
    pub(crate) async fn slot(&self, bytes: usize) -> Result<Slot<'_>, StoreError> {
        let units = u32::try_from(bytes / 1024)
            .unwrap_or(QUEUE_UNITS)
            .clamp(MIN_UNITS, QUEUE_UNITS);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(units)
            .await
            .map_err(|_| StoreError::Closed)?;
        Ok(Slot {
            committer: self,
            room,
        })
    }

    /// Queues and waits: for writers without a lock of their own. A batch takes as much room as it has values: who is
    /// renamed may be in hundreds of large lists, each of which is written whole.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.slot(batch.bytes()).await?.send(batch).committed().await
    }

    /// Returns when everything that was queued before has been committed or refused. Takes no room: whoever
    /// waits here may hold room already.
    pub(crate) async fn barrier(&self) -> Result<(), StoreError> {
        self.push(Batch::new(Class::Relaxed), None).committed().await
    }

    fn push(&self, batch: Batch, room: Option<OwnedSemaphorePermit>) -> Queued {
        let (answer, receiver) = oneshot::channel();
        for (fence, _) in &batch.fences {
            fence.in_flight.fetch_add(1, Ordering::SeqCst);
        }
        let request = Box::new(Request {
            batch,
            answer,
            _room: room,
        });
        if let Some(sender) = &self.sender
            && let Err(mpsc::SendError(Message::Commit(request))) = sender.send(Message::Commit(request))
        {
            group::refuse(*request, StoreError::Closed);
        }
        Queued {
            answer: receiver,
            callers: self.callers.clone(),
        }
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let (answer, done) = oneshot::channel();
        self.room.close();
        if let Some(sender) = &self.sender {
            // A thread that is gone has closed already; the receiver below tells.
            let _ = sender.send(Message::Close(answer));
        }
        self.callers.iter().for_each(carry_out);
        done.await.unwrap_or(Ok(()))
    }

    pub(crate) fn disk(&self) -> DiskState {
        DiskState {
            is_read_only: self.counters.read_only.load(Ordering::Relaxed),
            free: self.reserve.as_ref().and_then(Reserve::free),
            reserve: self.reserve.as_ref().map_or(0, |reserve| reserve.bytes),
        }
    }

    pub(crate) fn stats(&self) -> CommitStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CommitStats {
            commits: read(&self.counters.commits),
            groups: read(&self.counters.groups),
            syncs: read(&self.counters.syncs),
            refused: read(&self.counters.refused),
        }
    }
}

/// Never under the lock of a writer, which the end of a commit may need.
fn carry_out(callers: &Callers) {
    let (worker, queue) = &mut *callers.lock();
    worker.carry_out(queue);
}

impl Slot<'_> {
    /// Puts the batch in the queue; never waits.
    pub(crate) fn send(self, batch: Batch) -> Queued {
        self.committer.push(batch, Some(self.room))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // The thread ends when the queue's last entrance is gone; the folder's lock is free once it has.
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
