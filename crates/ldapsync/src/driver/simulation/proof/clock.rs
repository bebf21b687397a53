//! Virtual time, and the moment at which a process dies: both are moved by the schedule alone.

use model::{Clock, ManualClock, Timestamp};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

/// Counts what a process does: every look at the clock and every word with the directory. When the count is up, the
/// process dies at its next await.
#[derive(Default)]
pub(super) struct Crash {
    left: AtomicI64,
}

impl Crash {
    /// The process dies after so many.
    pub(super) fn arm(&self, after: Option<u16>) {
        self.left
            .store(after.map_or(i64::MAX, i64::from), Ordering::Relaxed);
    }

    pub(super) fn tick(&self) {
        self.left.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) <= 0
    }
}

/// Runs a process until it is done, or dies (none).
pub(super) async fn until_crash<F: Future>(crash: &Crash, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let answer = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if crash.is_up() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    answer.await
}

/// A clock that counts the looks at it.
pub(super) struct Ticking {
    pub(super) clock: Arc<ManualClock>,
    pub(super) crash: Arc<Crash>,
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.crash.tick();
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}
