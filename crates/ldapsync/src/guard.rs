//! The mass-change guard: how many destructive changes a rolling hour may see.

use model::Timestamp;
use std::collections::VecDeque;
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
    tripped: bool,
}

impl Guard {
    /// A guard that has counted nothing.
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: VecDeque::new(),
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

    /// What was counted, to be kept over a restart.
    pub(crate) fn counted(&self) -> Vec<(Timestamp, u32)> {
        let slot = |(start, count): &(Timestamp, u64)| (*start, u32::try_from(*count).unwrap_or(u32::MAX));
        self.slots.iter().map(slot).collect()
    }

    /// Asks whether `weight` more destructive changes may happen while `linked` objects exist. They are
    /// counted if so. One object's changes are let through or held together.
    pub(crate) fn admit(&mut self, weight: u64, linked: u64, now: Timestamp) -> Admission {
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::NoGuard) {
            return Admission::Through;
        }
        if self.tripped {
            return Admission::Held;
        }
        let total = self.count(now).saturating_add(weight);
        let share_passed = total.saturating_mul(100) > linked.saturating_mul(self.limits.percent);
        if total >= self.limits.limit || (total > self.limits.floor && share_passed) {
            self.tripped = true;
            return Admission::Held;
        }
        match self.slots.back_mut() {
            Some((start, count)) if now.since(*start) < SLOT => *count = count.saturating_add(weight),
            _ => self.slots.push_back((now, weight)),
        }
        Admission::Through
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
        self.slots
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
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

    /// Somebody approved what was held, or nothing is held any more: the count starts again.
    pub(crate) fn release(&mut self) {
        self.tripped = false;
        self.slots.clear();
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

    const LIMITS: Limits = Limits {
        limit: 1000,
        floor: 50,
        percent: 5,
    };

    fn admitted(guard: &mut Guard, linked: u64, tries: u64, now: Timestamp) -> u64 {
        (0..tries)
            .filter(|_| guard.admit(1, linked, now) == Admission::Through)
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
            guard.admit(0, 1, Timestamp::from_millis(second * 1000));
        }
        assert!(guard.slots.len() <= 61, "{}", guard.slots.len());
    }
}
