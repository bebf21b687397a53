//! Guessing costs time: per account and client network, and per account, before any check.

use model::Clock;
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Failures are forgotten after this much quiet.
const MEMORY: Duration = Duration::from_secs(600);
/// A network from which the account was entered may be tried from for this long, whatever others do.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Records of each kind.
const ENTRIES: usize = 100_000;

/// What one network, or all together, may do.
struct Limits {
    /// Wrong passwords that cost nothing: people mistype, and a device may hold an old password.
    free: u32,
    /// Checks at once, fewer by every failure: guesses sent side by side must not pass before the first of
    /// them has failed.
    at_once: u32,
}

const ONE_NETWORK: Limits = Limits {
    free: 10,
    at_once: 64,
};
/// Somebody with many networks has no more guesses than this.
const ALL_NETWORKS: Limits = Limits {
    free: 100,
    at_once: 256,
};

/// The client's network: what one customer of a provider usually has to himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Prefix {
    V4([u8; 3]),
    V6([u16; 4]),
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    failures: u32,
    running: u32,
    blocked_until: Duration,
}

impl Record {
    fn allows(&self, limits: &Limits, now: Duration) -> bool {
        let less = self.failures.saturating_mul(limits.at_once / limits.free);
        let at_once = limits.at_once.saturating_sub(less).max(1);
        self.blocked_until <= now && self.running < at_once
    }

    fn fail(&mut self, limits: &Limits, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let wait = match self.failures.checked_sub(limits.free) {
            None | Some(0) => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(6)).min(MAX_WAIT),
        };
        self.blocked_until = now.saturating_add(wait);
    }
}

/// Decides who may have a password checked now. Bounded memory; `K` is the account.
pub struct Throttle<K> {
    clock: Arc<dyn Clock>,
    records: Mutex<Records<K>>,
}

struct Records<K> {
    networks: TtlCache<(K, Prefix), Record>,
    accounts: TtlCache<K, Record>,
    known: TtlCache<(K, Prefix), ()>,
}

/// A check that is under way. Dropped without a word, it decided nothing.
#[must_use]
pub struct Trial<'a, K: Copy + Eq + Hash> {
    throttle: &'a Throttle<K>,
    account: K,
    network: Prefix,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Undecided,
    Failed,
    Succeeded,
}

impl<K: Copy + Eq + Hash> Throttle<K> {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            records: Mutex::new(Records {
                networks: TtlCache::new(Arc::clone(&clock), ENTRIES),
                accounts: TtlCache::new(Arc::clone(&clock), ENTRIES),
                known: TtlCache::new(Arc::clone(&clock), ENTRIES),
            }),
            clock,
        }
    }

    /// Begins a check, if this client may have a password of this account checked now. The owner passes from
    /// a network of his own however many others guess.
    pub fn attempt(&self, account: K, client: IpAddr) -> Option<Trial<'_, K>> {
        let network = prefix(client);
        let now = self.clock.monotonic();
        let mut records = self.records.lock();
        let known = matches!(records.known.get(&(account, network)), Cached::Fresh(()));
        let mut here = fresh(&records.networks, &(account, network));
        let mut all = fresh(&records.accounts, &account);
        // A client of many connections that has not failed yet, at the owner's or on this machine, may open them
        // all at once.
        let trusted = here.failures == 0 && (known || client.to_canonical().is_loopback());
        let local = trusted || here.allows(&ONE_NETWORK, now);
        if !local || !(trusted || known || all.allows(&ALL_NETWORKS, now)) {
            return None;
        }
        here.running += 1;
        all.running += 1;
        keep(&mut records.networks, (account, network), here);
        keep(&mut records.accounts, account, all);
        Some(Trial {
            throttle: self,
            account,
            network,
            end: End::Undecided,
        })
    }

    /// Whether the account was entered from this client's network lately.
    #[must_use]
    pub fn is_known(&self, account: K, client: IpAddr) -> bool {
        let key = (account, prefix(client));
        matches!(self.records.lock().known.get(&key), Cached::Fresh(()))
    }

    fn end(&self, account: K, network: Prefix, end: End) {
        let now = self.clock.monotonic();
        let mut records = self.records.lock();
        let mut here = fresh(&records.networks, &(account, network));
        let mut all = fresh(&records.accounts, &account);
        here.running = here.running.saturating_sub(1);
        all.running = all.running.saturating_sub(1);
        match end {
            End::Undecided => {}
            End::Failed => {
                here.fail(&ONE_NETWORK, now);
                all.fail(&ALL_NETWORKS, now);
            }
            End::Succeeded => {
                here.failures = 0;
                here.blocked_until = Duration::ZERO;
                let key = (account, network);
                records.known.insert(key, (), KNOWN_FOR, Duration::ZERO);
            }
        }
        keep(&mut records.networks, (account, network), here);
        keep(&mut records.accounts, account, all);
    }
}

impl<K: Copy + Eq + Hash> Trial<'_, K> {
    /// The password was wrong.
    pub fn failed(mut self) {
        self.end = End::Failed;
    }

    /// The password was right.
    pub fn succeeded(mut self) {
        self.end = End::Succeeded;
    }
}

impl<K: Copy + Eq + Hash> Drop for Trial<'_, K> {
    fn drop(&mut self) {
        self.throttle.end(self.account, self.network, self.end);
    }
}

fn fresh<K: Eq + Hash + Clone>(records: &TtlCache<K, Record>, key: &K) -> Record {
    match records.get(key) {
        Cached::Fresh(record) => *record,
        Cached::Stale(_) | Cached::Missing => Record::default(),
    }
}

fn keep<K: Eq + Hash + Clone>(records: &mut TtlCache<K, Record>, key: K, record: Record) {
    if record.failures == 0 && record.running == 0 {
        records.remove(&key);
    } else {
        records.insert(key, record, MEMORY, Duration::ZERO);
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

    fn throttle() -> (Arc<ManualClock>, Throttle<u32>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        (clock.clone(), Throttle::new(clock))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn fails(throttle: &Throttle<u32>, account: u32, client: IpAddr) {
        throttle.attempt(account, client).expect("may try").failed();
    }

    #[test]
    fn waits_grow_for_the_guesser_only() {
        let (clock, throttle) = throttle();
        let (guesser, neighbour) = (ip("192.0.2.7"), ip("192.0.2.8"));
        for _ in 0..=ONE_NETWORK.free {
            fails(&throttle, 1, guesser);
        }
        assert!(throttle.attempt(1, guesser).is_none());
        assert!(
            throttle.attempt(1, neighbour).is_none(),
            "the whole network waits"
        );
        assert!(throttle.attempt(1, ip("198.51.100.1")).is_some());
        assert!(throttle.attempt(2, guesser).is_some());
        clock.advance(Duration::from_secs(2));
        for _ in 0..50 {
            fails(&throttle, 1, guesser);
            clock.advance(MAX_WAIT);
        }
        let attempt = throttle.attempt(1, guesser);
        attempt.expect("the wait is bounded").succeeded();
        fails(&throttle, 1, guesser);
        assert!(throttle.attempt(1, guesser).is_some());
    }

    #[test]
    fn guesses_side_by_side_are_bounded() {
        let (_, throttle) = throttle();
        let client = ip("192.0.2.7");
        let mut running = Vec::new();
        while let Some(attempt) = throttle.attempt(1, client) {
            running.push(attempt);
            assert!(running.len() <= 1000, "without a bound");
        }
        assert_eq!(running.len(), ONE_NETWORK.at_once as usize);
        assert!(throttle.attempt(1, ip("198.51.100.1")).is_some(), "somebody else");
        // Those that decide nothing leave no trace.
        running.clear();
        assert!(throttle.attempt(1, client).is_some());
        for _ in 0..ONE_NETWORK.free {
            fails(&throttle, 1, client);
        }
        assert!(throttle.records.lock().networks.len() == 1);
        throttle.attempt(1, client).expect("may try").succeeded();
        assert!(throttle.records.lock().networks.is_empty(), "nothing to remember");
    }

    #[test]
    fn many_connections_of_one_who_never_failed_open_at_once() {
        let (_, throttle) = throttle();
        for (account, client) in [(1, ip("198.51.100.1")), (2, ip("::1"))] {
            throttle.attempt(account, client).expect("may try").succeeded();
            let running: Vec<_> = (0..200).map(|_| throttle.attempt(account, client)).collect();
            assert!(running.iter().all(Option::is_some));
        }
    }

    #[test]
    fn many_networks_have_no_more_guesses_and_the_owner_passes() {
        let (_, throttle) = throttle();
        let (home, roaming) = (ip("198.51.100.1"), ip("203.0.113.1"));
        throttle.attempt(1, home).expect("may try").succeeded();
        let mut guesses = 0;
        for network in 0..1000 {
            let client = IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, 1]);
            if let Some(attempt) = throttle.attempt(1, client) {
                attempt.failed();
                guesses += 1;
            }
        }
        assert_eq!(guesses, ALL_NETWORKS.free + 1);
        assert!(throttle.attempt(1, roaming).is_none());
        assert!(throttle.attempt(1, home).is_some(), "the owner at home");
        assert!(throttle.attempt(2, roaming).is_some(), "another account");
    }
}
