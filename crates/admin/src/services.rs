//! The services of the running process, as `homing service status` shows them.

use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One listener of one service.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    address: SocketAddr,
    sessions: AtomicU64,
    accepted: AtomicU64,
    retired: AtomicBool,
}

/// One row of the status.
#[derive(Debug, Serialize)]
pub(crate) struct ServiceRow {
    service: &'static str,
    address: SocketAddr,
    state: &'static str,
    sessions: u64,
    accepted: u64,
}

impl Service {
    /// A listener that has been bound.
    #[must_use]
    pub fn new(name: &'static str, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            name,
            address,
            sessions: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        })
    }

    /// The service's name, as its configuration section spells it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts a session for as long as the answer lives.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Session {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Session(Arc::clone(self))
    }

    /// How many sessions it has now.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// The listener takes no more sessions; those that it has go on.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether it was retired and its last session has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.retired.load(Ordering::Relaxed) && self.sessions.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn row(&self, draining: Draining) -> ServiceRow {
        ServiceRow {
            service: self.name,
            address: self.address,
            state: if draining == Draining::Yes || self.retired.load(Ordering::Relaxed) {
                "draining"
            } else {
                "running"
            },
            sessions: self.sessions.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
        }
    }
}

/// Whether the process has been asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draining {
    Yes,
    No,
}

/// A running session; dropping it ends the count.
#[derive(Debug)]
pub struct Session(Arc<Service>);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sessions_while_they_last() {
        let service = Service::new("imap", SocketAddr::from(([127, 0, 0, 1], 143)));
        let first = service.enter();
        let second = service.enter();
        drop(first);
        let row = service.row(Draining::No);
        assert_eq!((row.sessions, row.accepted, row.state), (1, 2, "running"));
        service.retire();
        assert_eq!(service.row(Draining::No).state, "draining");
        assert!(!service.is_over());
        drop(second);
        assert_eq!(service.row(Draining::Yes).sessions, 0);
        assert!(service.is_over());
    }
}
