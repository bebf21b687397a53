//! The mass-change guard: how many destructive changes a rolling hour may see.

use model::{EntryUuid, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The window.
const HOUR: Duration = Duration::from_secs(3600);
/// Events are counted by the minute, so that the window takes a bounded amount of memory.
const SLOT: Duration = Duration::from_secs(60);

/// When the guard trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// This many in an hour, whatever the size.
    pub(crate) limit: u64,
    /// Up to this many are let through whatever the share.
    pub(crate) floor: u64,
    /// Above the floor, this share of the linked objects, in percent.
    pub(crate) percent: u64,
}

/// Counts destructive changes and says when there are too many. What was tripped stays so until
/// [`Guard::release`]: a person looks at it, not the clock.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    limits: Limits,
    slots: VecDeque<(Timestamp, u64)>,
    /// What was let through and is not known to have come about, by object, and since when: another try of it is no
    /// other change, and what was refused was none.
    under_way: BTreeMap<EntryUuid, (Timestamp, u64)>,
    /// The weights of these together, and a moment since which all of them are under way: a portion asks a thousand times.
    weight: u64,
    oldest: Timestamp,
    tripped: bool,
}

impl Guard {
    /// A guard that has counted nothing.
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: VecDeque::new(),
            under_way: BTreeMap::new(),
            weight: 0,
            oldest: Timestamp::default(),
            tripped: false,
        }
    }

    /// A guard that goes on from what an earlier process counted.
    #[must_use]
    pub(crate) fn resume(limits: Limits, counted: &[(Timestamp, u32)]) -> Self {
        let slots = counted
            .iter()
            .map(|(start, count)| (*start, u64::from(*count)))
            .collect();
        Self {
            slots,
            ..Self::new(limits)
        }
    }

    /// What was counted, to be kept over a restart. What is under way then may have come about.
    pub(crate) fn counted(&self) -> Vec<(Timestamp, u32)> {
        let mut slots: BTreeMap<Timestamp, u64> = self.slots.iter().copied().collect();
        for (since, weight) in self.under_way.values() {
            let count = slots.entry(*since).or_default();
            *count = count.saturating_add(*weight);
        }
        let slot = |(start, count): (Timestamp, u64)| (start, u32::try_from(count).unwrap_or(u32::MAX));
        slots.into_iter().map(slot).collect()
    }

    /// Asks whether `weight` destructive changes of an object may happen while `linked` objects exist. They count from
    /// now on if so, once, until [`Guard::came_about`] or [`Guard::was_refused`]. One object's changes are let through
    /// or held together.
    pub(crate) fn admit(&mut self, object: EntryUuid, weight: u64, linked: u64, now: Timestamp) -> Admission {
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::NoGuard) {
            return Admission::Through;
        }
        if self.tripped {
            return Admission::Held;
        }
        let all = self.count(now);
        let known = self.under_way.get(&object).copied();
        let (since, counted) = known.unwrap_or((now, 0));
        let total = all.saturating_sub(counted).saturating_add(weight);
        let share_passed = total.saturating_mul(100) > linked.saturating_mul(self.limits.percent);
        if total >= self.limits.limit || (total > self.limits.floor && share_passed) {
            self.tripped = true;
            return Admission::Held;
        }
        self.oldest = match self.under_way.is_empty() {
            true => since,
            false => self.oldest.min(since),
        };
        self.under_way.insert(object, (since, weight));
        self.weight = self.weight.saturating_sub(counted).saturating_add(weight);
        Admission::Through
    }

    /// What was let through of this object is done, or is found to be so.
    pub(crate) fn came_about(&mut self, object: EntryUuid, now: Timestamp) {
        let Some(weight) = self.leaves(object) else {
            return;
        };
        match self.slots.back_mut() {
            Some((start, count)) if now.since(*start) < SLOT => *count = count.saturating_add(weight),
            _ => self.slots.push_back((now, weight)),
        }
    }

    /// Nothing of it took place.
    pub(crate) fn was_refused(&mut self, object: EntryUuid) {
        self.leaves(object);
    }

    fn leaves(&mut self, object: EntryUuid) -> Option<u64> {
        let (_, weight) = self.under_way.remove(&object)?;
        self.weight = self.weight.saturating_sub(weight);
        Some(weight)
    }

    /// Destructive changes in the last hour.
    #[must_use]
    pub(crate) fn count(&mut self, now: Timestamp) -> u64 {
        while self
            .slots
            .front()
            .is_some_and(|(start, _)| now.since(*start) >= HOUR)
        {
            self.slots.pop_front();
        }
        if now.since(self.oldest) >= HOUR {
            self.under_way.retain(|_, (since, _)| now.since(*since) < HOUR);
            let left = || self.under_way.values();
            self.weight = left().map(|(_, weight)| *weight).fold(0, u64::saturating_add);
            self.oldest = left().map(|(since, _)| *since).min().unwrap_or(now);
        }
        let done = self.slots.iter().map(|(_, count)| *count);
        done.fold(self.weight, u64::saturating_add)
    }

    /// Whether destructive changes are held now.
    #[must_use]
    pub(crate) fn is_tripped(&self) -> bool {
        self.tripped
    }

    /// Holds from now on: after a restart that finds held changes.
    pub(crate) fn trip(&mut self) {
        self.tripped = true;
    }

    /// Somebody approved what was held: the count starts again.
    pub(crate) fn release(&mut self) {
        self.tripped = false;
        self.slots.clear();
        self.under_way.clear();
        self.weight = 0;
    }

    /// Nothing is held any more, and nobody has approved anything: what was counted stays counted.
    pub(crate) fn nothing_is_held(&mut self) {
        self.tripped = false;
    }
}

/// The guard's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go on.
    Through,
    /// Keep it until somebody approves.
    Held,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        limit: 1000,
        floor: 50,
        percent: 5,
    };

    fn admitted(guard: &mut Guard, linked: u64, tries: u64, now: Timestamp) -> u64 {
        let object = |number: u64| EntryUuid::from_bytes(u128::from(number).to_be_bytes());
        (0..tries)
            .filter(|number| guard.admit(object(*number), 1, linked, now) == Admission::Through)
            .count() as u64
    }

    #[test]
    fn where_it_trips() {
        let now = Timestamp::from_millis(0);
        for (linked, through) in [
            (10, 50),
            (200, 50),
            (1000, 50),
            (2000, 100),
            (10_000, 500),
            (1_000_000, 999),
        ] {
            let mut guard = Guard::new(LIMITS);
            assert_eq!(admitted(&mut guard, linked, 2000, now), through, "{linked}");
            assert!(guard.is_tripped());
        }
    }

    #[test]
    fn the_hour_rolls_and_a_trip_stays() {
        let start = Timestamp::from_millis(0);
        let mut guard = Guard::new(LIMITS);
        assert_eq!(admitted(&mut guard, 10, 50, start), 50);
        let later = start.after(HOUR);
        assert_eq!(guard.count(later), 0);
        assert_eq!(admitted(&mut guard, 10, 51, later), 50);
        assert_eq!(
            admitted(&mut guard, 10, 5, later.after(HOUR * 5)),
            0,
            "only a person releases it"
        );
        guard.release();
        assert_eq!(admitted(&mut guard, 10, 5, later), 5);
    }

    #[test]
    fn memory_is_bounded() {
        let mut guard = Guard::new(LIMITS);
        for second in 0..20_000 {
            let object = EntryUuid::from_bytes((u128::from(second)).to_be_bytes());
            guard.admit(
                object,
                second % 2,
                1_000_000,
                Timestamp::from_millis(second * 10_000),
            );
        }
        assert!(guard.slots.len() <= 61, "{}", guard.slots.len());
        assert!(guard.under_way.len() <= 361, "{}", guard.under_way.len());
    }

    #[test]
    fn another_try_of_a_change_is_no_other_change() {
        let start = Timestamp::from_millis(0);
        let (one, two) = (EntryUuid::from_bytes([1; 16]), EntryUuid::from_bytes([2; 16]));
        let mut guard = Guard::new(LIMITS);
        for minute in 0..30 {
            let now = start.after(SLOT * minute);
            assert_eq!(guard.admit(one, 20, 100, now), Admission::Through, "{minute}");
        }
        let now = start.after(SLOT * 30);
        assert_eq!(guard.count(now), 20);
        // One member more is one more.
        guard.admit(one, 21, 100, now);
        assert_eq!(guard.count(now), 21);
        // Once it is done, the next is another.
        guard.came_about(one, now);
        assert_eq!(guard.admit(one, 20, 100, now), Admission::Through);
        assert_eq!(guard.count(now), 41);
        let kept = guard.counted();
        assert_eq!(
            Guard::resume(LIMITS, &kept).count(now),
            41,
            "it may have come about"
        );
        assert_eq!(guard.admit(two, 10, 100, now), Admission::Held);
        assert_eq!(
            guard.admit(one, 20, 100, now),
            Admission::Held,
            "nothing passes any more"
        );
        // What resolves itself does not open the guard, and what was refused was no change.
        guard.nothing_is_held();
        assert_eq!(guard.count(now), 41);
        guard.was_refused(one);
        assert_eq!(guard.count(now), 21);
        // After an hour it counts again.
        let later = now.after(HOUR);
        assert_eq!(guard.admit(one, 20, 100, later), Admission::Through);
        assert_eq!(guard.count(later), 20);
    }

    proptest! {
        /// The sum that is carried along is what a count of everything under way gives.
        #[test]
        fn what_is_under_way_is_counted(steps in vec((0u8..4, 0u8..6, 0u64..4, -20i64..50), 1..200)) {
            let mut guard = Guard::new(Limits { limit: 1_000_000, ..LIMITS });
            let mut now = Timestamp::from_millis(10_000_000);
            for (step, object, weight, minutes) in steps {
                // Wall clocks are set back, too.
                now = Timestamp::from_millis(now.as_millis().saturating_add_signed(minutes * 60_000));
                let object = EntryUuid::from_bytes([object; 16]);
                match step {
                    0 => guard.came_about(object, now),
                    1 => guard.was_refused(object),
                    _ => {
                        guard.admit(object, weight, 1_000_000, now);
                    }
                }
                let counted = guard.count(now);
                let done: u64 = guard.slots.iter().map(|(_, count)| *count).sum();
                let under_way: u64 = guard.under_way.values().map(|(_, weight)| *weight).sum();
                prop_assert_eq!(counted, done + under_way);
                prop_assert!(guard.under_way.values().all(|(since, _)| now.since(*since) < HOUR));
            }
        }
    }
}
