//! The logouts in memory, within bounds.
//!
//! Past a bound the one that was given up first goes, so that front ends which tell each other what they have end with
//! the same ones, and come to an end.

use super::{Logout, Owner};
use crate::http::cookie::TicketId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What has expired is forgotten this often, in seconds.
const PRUNE: u64 = 60;
/// No ticket lasts longer (`session_lifetime`).
const LONGEST: u64 = 2_592_000;

/// How many are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) of_one: usize,
}

/// How many went before they had expired.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub(super) of_all: u64,
    pub(super) of_one: u64,
}

/// When it was given up, and which: the same order everywhere.
type Rank = (u64, TicketId);

const FIRST: Rank = (0, [0; 16]);
const LAST: Rank = (u64::MAX, [u8::MAX; 16]);

pub(super) struct Known {
    bounds: Bounds,
    numbers: HashMap<TicketId, u64>,
    /// In the order in which they were learned.
    in_order: BTreeMap<u64, Logout>,
    by_rank: BTreeSet<Rank>,
    by_owner: BTreeSet<(Owner, Rank)>,
    /// The last number. None is given twice.
    last: u64,
    /// When what has expired was forgotten, in seconds since the epoch.
    pruned: u64,
    forgotten: Forgotten,
}

impl Known {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            numbers: HashMap::new(),
            in_order: BTreeMap::new(),
            by_rank: BTreeSet::new(),
            by_owner: BTreeSet::new(),
            last: 0,
            pruned: 0,
            forgotten: Forgotten::default(),
        }
    }

    /// Whether it is known now and was not before.
    pub(super) fn add(&mut self, logout: Logout, now: u64) -> bool {
        let Logout { ticket, owner, .. } = logout;
        let expires = logout.expires.min(now.saturating_add(LONGEST));
        if expires <= now || self.numbers.contains_key(&ticket) {
            return false;
        }
        self.prune(now);
        self.last += 1;
        self.numbers.insert(ticket, self.last);
        self.in_order.insert(self.last, Logout { expires, ..logout });
        let rank = (logout.given_up, ticket);
        self.by_rank.insert(rank);
        self.by_owner.insert((owner, rank));
        let Some((out, one)) = self.over(owner) else {
            return true;
        };
        self.remove(&out);
        if out == ticket {
            // It was forgotten before, or would have been.
            self.last -= 1;
            return false;
        }
        match one {
            true => self.forgotten.of_one += 1,
            false => self.forgotten.of_all += 1,
        }
        true
    }

    /// Which one is too many, and whether it is one too many of this owner's.
    fn over(&self, owner: Owner) -> Option<(TicketId, bool)> {
        let own = self.by_owner.range((owner, FIRST)..=(owner, LAST));
        if own.clone().count() > self.bounds.of_one {
            return own.min().map(|(_, rank)| (rank.1, true));
        }
        let is_full = self.by_rank.len() > self.bounds.all;
        let first = self.by_rank.first().filter(|_| is_full);
        first.map(|rank| (rank.1, false))
    }

    fn remove(&mut self, ticket: &TicketId) {
        let number = self.numbers.remove(ticket);
        let Some(logout) = number.and_then(|number| self.in_order.remove(&number)) else {
            return;
        };
        let rank = (logout.given_up, *ticket);
        self.by_rank.remove(&rank);
        self.by_owner.remove(&(logout.owner, rank));
    }

    /// Forgets what has expired, now and then.
    fn prune(&mut self, now: u64) {
        if now < self.pruned.saturating_add(PRUNE) {
            return;
        }
        self.pruned = now;
        let over = self.in_order.values().filter(|logout| logout.expires <= now);
        let over: Vec<TicketId> = over.map(|logout| logout.ticket).collect();
        for ticket in over {
            self.remove(&ticket);
        }
    }

    pub(super) fn number(&self, ticket: &TicketId) -> Option<u64> {
        self.numbers.get(ticket).copied()
    }

    /// The number of the newest one.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }

    /// The number of the newest one, and those that came after `number`; 0 for all.
    pub(super) fn since(&self, number: u64) -> (u64, Vec<Logout>) {
        let newer = self.in_order.range(number.saturating_add(1)..);
        (self.last, newer.map(|(_, logout)| *logout).collect())
    }

    /// What was forgotten since this was asked last.
    pub(super) fn take_forgotten(&mut self) -> Forgotten {
        std::mem::take(&mut self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_000_000;

    fn logout(ticket: u128, owner: u8, given_up: u64) -> Logout {
        Logout {
            ticket: ticket.to_be_bytes(),
            owner: [owner; 8],
            given_up,
            expires: NOW + 100,
        }
    }

    fn tickets(known: &Known) -> BTreeSet<TicketId> {
        known.in_order.values().map(|logout| logout.ticket).collect()
    }

    #[test]
    fn whoever_logs_out_in_a_loop_is_forgotten_and_nobody_else() {
        let mut known = Known::new(super::super::BOUNDS);
        assert!(known.add(logout(0, 7, NOW), NOW));
        for number in 1..=1_000 {
            assert!(known.add(logout(number, 1, NOW + 1), NOW + 1), "{number}");
        }
        assert!(known.number(&[0; 16]).is_some(), "the other person's");
        assert_eq!(known.len(), 1 + super::super::BOUNDS.of_one);
        let kept = |number: u128| known.number(&number.to_be_bytes()).is_some();
        assert!(kept(1_000) && kept(801) && !kept(800), "the newest ones");
        let wanted = Forgotten {
            of_all: 0,
            of_one: 800,
        };
        assert_eq!(known.take_forgotten(), wanted);
        assert_eq!(known.take_forgotten(), Forgotten::default());
        assert!(
            !known.add(logout(9_999, 1, 1), NOW),
            "older than all that are kept"
        );
    }

    #[test]
    fn of_too_many_people_the_first_go() {
        let mut known = Known::new(Bounds { all: 3, of_one: 2 });
        for (number, owner) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
            assert!(known.add(logout(number, owner, NOW + u64::from(owner)), NOW));
        }
        assert!(known.number(&1u128.to_be_bytes()).is_none());
        assert_eq!((known.len(), known.last()), (3, 4));
        let wanted = Forgotten { of_all: 1, of_one: 0 };
        assert_eq!(known.take_forgotten(), wanted);
        // What has expired makes room, and is not called forgotten.
        let late = Logout {
            expires: NOW + 1_000,
            ..logout(5, 5, NOW)
        };
        assert!(known.add(late, NOW + 200));
        assert_eq!((known.len(), known.last()), (1, 5));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// However many each has heard of, and whoever speaks first.
        #[test]
        fn front_ends_that_tell_each_other_come_to_an_end_and_agree(
            seeds in proptest::collection::vec((0usize..3, 0u128..60), 0..80),
            turns in proptest::collection::vec((0usize..3, 0usize..3), 0..30),
        ) {
            let mut all: Vec<Known> = (0..3).map(|_| Known::new(Bounds { all: 12, of_one: 5 })).collect();
            for (at, ticket) in seeds {
                // A ticket has one owner, and was given up once.
                let number = u8::try_from(ticket).expect("small");
                all[at].add(logout(ticket, number % 3, NOW + u64::from(number) * 7 % 11), NOW);
            }
            let mut tell = |from: usize, to: usize| -> bool {
                let told = all[from].since(0).1;
                let to = &mut all[to];
                told.into_iter().filter(|logout| to.add(*logout, NOW)).count() > 0
            };
            for (from, to) in turns {
                tell(from, to);
            }
            let mut rounds = 0;
            loop {
                let mut news = false;
                for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
                    news |= tell(from, to);
                }
                if !news {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds < 10, "it does not end");
            }
            prop_assert_eq!(tickets(&all[0]), tickets(&all[1]));
            prop_assert_eq!(tickets(&all[1]), tickets(&all[2]));
            for known in &all {
                prop_assert!(known.by_rank.len() == known.len() && known.by_owner.len() == known.len());
                prop_assert!(known.numbers.len() == known.len() && known.len() <= 12);
            }
        }
    }
}
