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
}

#[derive(Debug)]
struct Tasks {
    set: JoinSet<()>,
    /// Nothing is started any more.
    closed: bool,
    protocol: Protocol,
}

impl Tasks {
    /// Takes the place of those who have ended: a finished task keeps its memory until somebody asks for it, and that
    /// of a login is several times what the rest of a session needs.
    fn start(&mut self, session: impl Future<Output = ()> + Send + 'static) {
        self.sweep();
        if !self.closed {
            self.set.spawn(session);
        }
    }

    fn sweep(&mut self) {
        while let Some(done) = self.set.try_join_next() {
            self.look_at(&done);
        }
    }

    fn look_at(&self, done: &Result<(), JoinError>) {
        if done.as_ref().is_err_and(JoinError::is_panic) {
            tracing::error!(protocol = %self.protocol, "a session panicked; the others go on");
        }
    }
}

impl Crowd {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            tasks: Arc::new(Mutex::new(Tasks {
                set: JoinSet::new(),
                closed: false,
                protocol,
            })),
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
        self.tasks.lock().sweep();
    }

    /// Waits until nobody is left.
    pub(super) async fn left(&self) {
        std::future::poll_fn(|cx| {
            let mut tasks = self.tasks.lock();
            loop {
                match tasks.set.poll_join_next(cx) {
                    Poll::Ready(Some(done)) => tasks.look_at(&done),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory of logins would be kept for a second each, which a wave of them makes much.
    #[tokio::test]
    async fn whoever_comes_takes_the_place_of_those_who_have_ended() {
        let crowd = Crowd::new(Protocol::Imap);
        for _ in 0..100 {
            crowd.admit(std::future::ready(None));
            tokio::task::yield_now().await;
        }
        assert!(crowd.len() <= 2, "{} of 100 are kept", crowd.len());
        crowd.left().await;
        assert_eq!(crowd.len(), 0);
    }
}
