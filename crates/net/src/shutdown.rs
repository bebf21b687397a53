//! The order to stop: asked once, heard everywhere, with a deadline for what is still running.
//!
//! It may come in two steps: first nobody new is let in, while everything else goes on; then sessions end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
struct Inner {
    closed: CancellationToken,
    requested: CancellationToken,
    deadline: OnceLock<Instant>,
}

/// Gives the order to stop. Dropping it gives no order.
#[derive(Debug)]
pub struct ShutdownTrigger(Arc<Inner>);

/// Hears the order to stop.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Inner>);

impl Shutdown {
    /// A new order that has not been given yet.
    #[must_use]
    #[allow(clippy::new_ret_no_self)] // One end is useless without the other.
    pub fn new() -> (ShutdownTrigger, Self) {
        let inner = Arc::new(Inner::default());
        (ShutdownTrigger(inner.clone()), Self(inner))
    }

    /// Returns as soon as no more connections are to be accepted: at the order to stop, or before it.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Returns as soon as stopping is asked for.
    pub async fn requested(&self) {
        self.0.requested.cancelled().await;
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.is_cancelled()
    }

    /// Returns when stopping was asked for and the time to drain is over.
    pub async fn drained(&self) {
        self.requested().await;
        if let Some(deadline) = self.0.deadline.get() {
            tokio::time::sleep_until(*deadline).await;
        }
    }

    /// The order as a token, for drivers that take one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.requested.clone()
    }
}

impl ShutdownTrigger {
    /// Nobody new is to be let in. Whoever is there goes on.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Asks everybody to stop; sessions may finish within `drain`. Only the first call counts.
    pub fn request(&self, drain: Duration) {
        let _ = self.0.deadline.set(Instant::now() + drain);
        self.0.closed.cancel();
        self.0.requested.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drains_until_the_deadline() {
        let (trigger, shutdown) = Shutdown::new();
        trigger.close();
        shutdown.closed().await;
        assert!(!shutdown.is_requested());
        trigger.request(Duration::from_secs(5));
        trigger.request(Duration::from_secs(500));
        shutdown.requested().await;
        let before = Instant::now();
        shutdown.drained().await;
        assert_eq!(before.elapsed().as_secs(), 5);
        assert!(shutdown.is_requested());
    }
}
