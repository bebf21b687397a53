//! How many wrong binds of ours the directory may see for one account.
//!
//! A directory that locks accounts after a few failed binds makes every guesser at a proxy a weapon against the
//! owner. So we count what we caused, and stop before the directory does. Most of the budget is kept for those
//! whom the account knows.

use super::cache::Digest;
use crate::config::ConnectorConfig;
use model::{Clock, EntryUuid};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Accounts that are counted.
const ENTRIES: usize = 200_000;

/// How much speaks for a bind before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The password is the one that was good last.
    LastGood,
    /// The account was entered from this network lately, and the password is not known to be wrong.
    KnownNetwork,
    /// Nothing.
    None,
}

/// Counts the failed binds of each account. Bounded memory, kept for as long as the process runs.
pub(crate) struct LockoutBudget {
    clock: Arc<dyn Clock>,
    /// Binds that may fail in one window.
    total: u32,
    window: Duration,
    counts: Mutex<TtlCache<EntryUuid, Count>>,
    /// Passwords that the directory has refused in this window: a device that keeps an old one must not use up
    /// what its owner needs on the same network.
    refused: Mutex<TtlCache<Digest, ()>>,
}

#[derive(Debug, Clone, Default)]
struct Count {
    /// When each failed bind of the window came back, oldest first.
    failed: VecDeque<Duration>,
    running: u32,
}

/// A bind that is under way. It counts as failed unless somebody says otherwise: an answer that was lost may
/// have been a "no" that the directory counted.
#[must_use]
pub(super) struct Reservation<'a> {
    budget: &'a LockoutBudget,
    entry: EntryUuid,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Failed,
    Succeeded,
    NotCounted,
}

impl LockoutBudget {
    /// None when the connector sets no limit.
    pub(crate) fn new(config: &ConnectorConfig, clock: Arc<dyn Clock>) -> Option<Self> {
        Some(Self {
            total: config.binds_that_may_fail()?,
            window: config.lockout_time(),
            counts: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            refused: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            clock,
        })
    }

    /// Whether the directory has refused this very password in this window.
    pub(super) fn was_refused(&self, digest: &Digest) -> bool {
        matches!(self.refused.lock().get(digest), Cached::Fresh(()))
    }

    /// The directory has refused this password.
    pub(super) fn refuse(&self, digest: Digest) {
        self.refused
            .lock()
            .insert(digest, (), self.window, Duration::ZERO);
    }

    /// Takes a place for one bind, if it may fail without harm.
    pub(super) fn reserve(&self, entry: EntryUuid, trust: Trust) -> Option<Reservation<'_>> {
        // The last place is for a password that will hardly fail, and is forgotten when it does.
        let places = match trust {
            Trust::LastGood => self.total,
            Trust::KnownNetwork => self.total.saturating_sub(1),
            Trust::None => self.total.saturating_sub(1) / 2,
        };
        let mut counts = self.counts.lock();
        let mut count = self.count(&counts, entry);
        let used = u32::try_from(count.failed.len())
            .unwrap_or(u32::MAX)
            .saturating_add(count.running);
        if used >= places {
            return None;
        }
        count.running += 1;
        self.keep(&mut counts, entry, count);
        Some(Reservation {
            budget: self,
            entry,
            end: End::Failed,
        })
    }

    fn end(&self, entry: EntryUuid, end: End) {
        let mut counts = self.counts.lock();
        let mut count = self.count(&counts, entry);
        count.running = count.running.saturating_sub(1);
        match end {
            End::Failed => count.failed.push_back(self.clock.monotonic()),
            // The directory forgets the failed ones, too.
            End::Succeeded => count.failed.clear(),
            End::NotCounted => {}
        }
        self.keep(&mut counts, entry, count);
    }

    /// The count as of now.
    fn count(&self, counts: &TtlCache<EntryUuid, Count>, entry: EntryUuid) -> Count {
        let mut count = match counts.get(&entry) {
            Cached::Fresh(count) => count.clone(),
            Cached::Stale(_) | Cached::Missing => Count::default(),
        };
        let now = self.clock.monotonic();
        while count
            .failed
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= self.window)
        {
            count.failed.pop_front();
        }
        count
    }

    fn keep(&self, counts: &mut TtlCache<EntryUuid, Count>, entry: EntryUuid, count: Count) {
        if count.running == 0 && count.failed.is_empty() {
            counts.remove(&entry);
        } else {
            counts.insert(entry, count, self.window, Duration::ZERO);
        }
    }
}

impl Reservation<'_> {
    /// The directory took the password.
    pub(super) fn succeeded(mut self) {
        self.end = End::Succeeded;
    }

    /// The directory was not asked, or refused for a reason that it does not count.
    pub(super) fn not_counted(mut self) {
        self.end = End::NotCounted;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.end(self.entry, self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};

    const ENTRY: EntryUuid = EntryUuid::from_bytes([7; 16]);

    fn budget(total: u32, front_ends: u32) -> (Arc<ManualClock>, LockoutBudget) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let mut config = ConnectorConfig::openldap("c", vec!["ldap://127.0.0.1".to_owned()], Vec::new());
        (config.lockout_budget, config.front_ends) = (total, front_ends);
        let budget = LockoutBudget::new(&config, clock.clone()).expect("a limit");
        (clock, budget)
    }

    /// How many binds fail one after the other before no more is sent.
    fn failures(budget: &LockoutBudget, trust: Trust) -> u32 {
        let mut count = 0;
        while let Some(place) = budget.reserve(ENTRY, trust) {
            drop(place);
            count += 1;
            assert!(count < 1000, "without a bound");
        }
        count
    }

    #[test]
    fn never_more_than_the_whole_and_something_is_left_for_the_owner() {
        for (total, front_ends, guesser, owner, last) in [
            (3, 1, 1, 1, 1),
            (4, 1, 1, 2, 1),
            (9, 1, 4, 4, 1),
            (30, 3, 4, 5, 1),
        ] {
            let (_, budget) = budget(total, front_ends);
            assert_eq!(failures(&budget, Trust::None), guesser, "{total}");
            assert_eq!(failures(&budget, Trust::KnownNetwork), owner, "{total}");
            assert_eq!(failures(&budget, Trust::LastGood), last, "{total}");
            assert!(guesser + owner + last <= total / front_ends);
            assert!(budget.reserve(ENTRY, Trust::LastGood).is_none());
        }
    }

    #[test]
    fn binds_side_by_side_count_before_they_fail() {
        let (_, budget) = budget(9, 1);
        let running: Vec<_> = std::iter::from_fn(|| budget.reserve(ENTRY, Trust::None)).collect();
        assert_eq!(running.len(), 4);
        for place in running {
            place.not_counted();
        }
        assert!(budget.counts.lock().is_empty(), "nothing to remember");
        assert_eq!(failures(&budget, Trust::None), 4);
    }

    #[test]
    fn a_success_and_time_make_room() {
        let (clock, budget) = budget(5, 1);
        assert_eq!(failures(&budget, Trust::None), 2);
        budget
            .reserve(ENTRY, Trust::KnownNetwork)
            .expect("the owner")
            .succeeded();
        assert_eq!(failures(&budget, Trust::None), 2);
        clock.advance(Duration::from_secs(1000));
        assert_eq!(failures(&budget, Trust::KnownNetwork), 2);
        clock.advance(Duration::from_secs(800));
        assert_eq!(
            failures(&budget, Trust::KnownNetwork),
            2,
            "the first two are out of the window"
        );
        clock.advance(Duration::from_secs(1800));
        assert_eq!(failures(&budget, Trust::None), 2);
    }
}
