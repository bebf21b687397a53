//! The sessions of a listener, each a task. The long rest of one becomes a task of its own, started by the session
//! itself: the listener is not woken for it, nor when a session ends.

use super::Slot;
use super::Tail;
use model::Protocol;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::task::Poll;
use tokio::task::{JoinError, JoinSet};

/// Everybody who is there. When it is dropped, they are.
#[derive(Debug)]
pub(super) struct Crowd {
    tasks: Arc<Mutex<Tasks>>,
    protocol: Protocol,
}

#[derive(Debug, Default)]
struct Tasks {
    set: JoinSet<()>,
    /// Nothing is started any more.
    closed: bool,
}

impl Tasks {
    fn start(&mut self, session: impl Future<Output = ()> + Send + 'static) {
        if !self.closed {
            self.set.spawn(session);
        }
    }
}

impl Crowd {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            tasks: Arc::default(),
            protocol,
        }
    }

    /// Takes a session in, and its long rest when it comes to that.
    pub(super) fn admit(&self, session: impl Future<Output = Option<(Tail, Slot)>> + Send + 'static) {
        // A session must not keep alive what is to end it.
        let tasks: Weak<Mutex<Tasks>> = Arc::downgrade(&self.tasks);
        self.tasks.lock().start(async move {
            let Some((tail, slot)) = session.await else { return };
            if let Some(tasks) = tasks.upgrade() {
                tasks.lock().start(async move {
                    tail.await;
                    drop(slot);
                });
            }
        });
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.lock().set.len()
    }

    /// Forgets those who have ended. To be called now and then.
    pub(super) fn sweep(&self) {
        let mut tasks = self.tasks.lock();
        while let Some(done) = tasks.set.try_join_next() {
            self.look_at(&done);
        }
    }

    /// Waits until nobody is left.
    pub(super) async fn left(&self) {
        std::future::poll_fn(|cx| {
            let mut tasks = self.tasks.lock();
            loop {
                match tasks.set.poll_join_next(cx) {
                    Poll::Ready(Some(done)) => self.look_at(&done),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Drops everybody.
    pub(super) async fn disperse(&self) {
        {
            let mut tasks = self.tasks.lock();
            tasks.closed = true;
            tasks.set.abort_all();
        }
        self.left().await;
    }

    fn look_at(&self, done: &Result<(), JoinError>) {
        if done.as_ref().is_err_and(JoinError::is_panic) {
            tracing::error!(protocol = %self.protocol, "a session panicked; the others go on");
        }
    }
}
