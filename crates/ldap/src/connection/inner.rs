//! What the tasks and the handles of one connection share: the table of operations that wait for an answer.

use super::search::Sink;
use super::{CloseReason, LdapError};
use crate::message::{Message, MessageId, Response};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, mpsc, oneshot, watch};

/// The right to have an operation in the table. While one is out, no bind can start.
pub(super) type Permit = OwnedRwLockReadGuard<()>;

pub(super) struct Inner {
    table: Mutex<Table>,
    closed: watch::Sender<Option<CloseReason>>,
    abandons: mpsc::UnboundedSender<Abandoned>,
    /// Every operation reads it, a bind writes it: RFC 4511 section 4.2.1 wants the connection for the bind
    /// alone. Its number of readers is the bound of the table.
    pub(super) gate: Arc<RwLock<()>>,
    /// Counts what is read from the stream, so that the keep-alive can see that something came.
    pub(super) received: AtomicU64,
    /// The reader waits for the consumer of a search.
    pub(super) stalled: AtomicBool,
    /// A keep-alive is in the table.
    pub(super) asked: AtomicBool,
}

struct Table {
    next: MessageId,
    waiting: HashMap<MessageId, Waiter>,
    closed: bool,
}

/// Who waits for the answers to one request.
pub(super) enum Waiter {
    /// One message ends the operation.
    One(oneshot::Sender<Message<Response>>),
    /// A search: many messages, the last is SearchDone.
    Search(Sink),
}

/// An operation whose Abandon is to be written. It keeps its permit until then, which bounds their number.
pub(super) struct Abandoned {
    pub(super) id: MessageId,
    _permit: Option<Permit>,
}

impl Inner {
    pub(super) fn new(max_pending: u32) -> (Arc<Self>, mpsc::UnboundedReceiver<Abandoned>) {
        let (abandons, abandoned) = mpsc::unbounded_channel();
        let inner = Self {
            table: Mutex::new(Table {
                next: MessageId::FIRST,
                waiting: HashMap::new(),
                closed: false,
            }),
            closed: watch::Sender::new(None),
            abandons,
            gate: Arc::new(RwLock::with_max_readers((), max_pending.max(1))),
            received: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            asked: AtomicBool::new(false),
        };
        (Arc::new(inner), abandoned)
    }

    /// Enters a new operation into the table under a fresh id.
    pub(super) fn register(&self, waiter: Waiter) -> Result<MessageId, LdapError> {
        let mut table = self.table.lock();
        if table.closed {
            drop(table);
            return Err(LdapError::Closed(self.close_reason()));
        }
        let id = table.fresh_id();
        table.waiting.insert(id, waiter);
        Ok(id)
    }

    /// An id for a request that has no answer.
    pub(super) fn fresh_id(&self) -> MessageId {
        self.table.lock().fresh_id()
    }

    /// Takes an operation out of the table. None when it is over already.
    pub(super) fn remove(&self, id: MessageId) -> Option<Waiter> {
        self.table.lock().waiting.remove(&id)
    }

    /// What to do with a message for `id`: a look at the waiter with the table locked.
    pub(super) fn with_waiter<T>(&self, id: MessageId, look: impl FnOnce(&Waiter) -> T) -> Option<T> {
        self.table.lock().waiting.get(&id).map(look)
    }

    /// True when operations other than this one wait for answers. A keep-alive is none: it can wait.
    pub(super) fn others_wait(&self, id: MessageId) -> bool {
        let asked = usize::from(self.asked.load(Ordering::Relaxed));
        let others = self
            .table
            .lock()
            .waiting
            .keys()
            .filter(|other| **other != id)
            .count();
        others > asked
    }

    /// Ends an operation that nobody waits for any more and tells the server. RFC 4511 section 4.11.
    pub(super) fn abandon(&self, id: MessageId, permit: Option<Permit>) {
        if self.remove(id).is_some() {
            // Fails only when the writer is gone, and then so is the connection.
            let _ = self.abandons.send(Abandoned { id, _permit: permit });
        }
    }

    /// Closes the connection; only the first reason counts. Everyone who waits is told.
    pub(super) fn close(&self, reason: CloseReason) {
        let waiting = {
            let mut table = self.table.lock();
            if table.closed {
                return;
            }
            table.closed = true;
            // The reason must be there before a waiter looks for it.
            self.closed.send_replace(Some(reason));
            std::mem::take(&mut table.waiting)
        };
        drop(waiting);
    }

    /// Why the connection ended; asked only when it has.
    pub(super) fn close_reason(&self) -> CloseReason {
        self.closed.borrow().clone().unwrap_or(CloseReason::Local)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Waits for the end of the connection.
    pub(super) async fn closed(&self) -> CloseReason {
        match self.closed.subscribe().wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Local),
            Err(_) => CloseReason::Local,
        }
    }

    pub(super) fn count_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }
}

impl Table {
    /// RFC 4511 section 4.1.1.1: an id is not in use by another operation.
    fn fresh_id(&mut self) -> MessageId {
        let mut id = self.next;
        while self.waiting.contains_key(&id) {
            id = id.next();
        }
        self.next = id.next();
        id
    }
}
