//! Guessing costs time: per account and client network, before any bind.

use model::{Clock, EntryUuid};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Wrong passwords that cost nothing: people mistype, and a device may hold an old password.
const FREE: u32 = 10;
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Failures are forgotten after this much quiet.
const MEMORY: Duration = Duration::from_secs(600);
/// Pairs remembered.
const ENTRIES: usize = 100_000;

/// The client's network: what one customer of a provider usually has to himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Prefix {
    V4([u8; 3]),
    V6([u16; 4]),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    blocked_until: Duration,
}

pub(super) struct Throttle {
    clock: Arc<dyn Clock>,
    failures: Mutex<TtlCache<(EntryUuid, Prefix), Failures>>,
}

impl Throttle {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            failures: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            clock,
        }
    }

    /// Whether this client may have a password of this account checked now.
    pub(super) fn allows(&self, account: EntryUuid, client: IpAddr) -> bool {
        match self.failures.lock().get(&(account, prefix(client))) {
            Cached::Fresh(failures) => failures.blocked_until <= self.clock.monotonic(),
            Cached::Stale(_) | Cached::Missing => true,
        }
    }

    pub(super) fn failed(&self, account: EntryUuid, client: IpAddr) {
        let key = (account, prefix(client));
        let mut all = self.failures.lock();
        let count = match all.get(&key) {
            Cached::Fresh(failures) => failures.count.saturating_add(1),
            Cached::Stale(_) | Cached::Missing => 1,
        };
        let wait = match count.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(6)).min(MAX_WAIT),
        };
        let blocked_until = self.clock.monotonic().saturating_add(wait);
        all.insert(key, Failures { count, blocked_until }, MEMORY, Duration::ZERO);
    }

    pub(super) fn succeeded(&self, account: EntryUuid, client: IpAddr) {
        self.failures.lock().remove(&(account, prefix(client)));
    }
}

fn prefix(client: IpAddr) -> Prefix {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Prefix::V4([a, b, c])
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Prefix::V6([a, b, c, d])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};

    #[test]
    fn waits_grow_for_the_guesser_only() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let throttle = Throttle::new(clock.clone());
        let account = EntryUuid::from_bytes([1; 16]);
        let guesser: IpAddr = "192.0.2.7".parse().expect("an address");
        let neighbour: IpAddr = "192.0.2.8".parse().expect("an address");
        let owner: IpAddr = "198.51.100.1".parse().expect("an address");
        for _ in 0..FREE {
            assert!(throttle.allows(account, guesser));
            throttle.failed(account, guesser);
        }
        assert!(throttle.allows(account, guesser));
        throttle.failed(account, guesser);
        assert!(!throttle.allows(account, guesser));
        assert!(!throttle.allows(account, neighbour), "the whole network waits");
        assert!(throttle.allows(account, owner));
        assert!(throttle.allows(EntryUuid::from_bytes([2; 16]), guesser));
        clock.advance(Duration::from_secs(2));
        assert!(throttle.allows(account, guesser));
        for _ in 0..100 {
            throttle.failed(account, guesser);
        }
        clock.advance(MAX_WAIT);
        assert!(throttle.allows(account, guesser), "the wait is bounded");
        throttle.succeeded(account, guesser);
        throttle.failed(account, guesser);
        assert!(throttle.allows(account, guesser));
    }
}
