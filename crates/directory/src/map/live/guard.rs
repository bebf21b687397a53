//! When to stop and keep what seems to be gone: a pure record of removals.

use crate::config::GuardConfig;
use std::collections::VecDeque;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Counts the removals of the last hour.
#[derive(Debug)]
pub(super) struct Guard {
    config: GuardConfig,
    removals: VecDeque<(Duration, usize)>,
}

/// Where a removal comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The directory that we have known, and it shows at least something.
    Good,
    /// Another directory than before, or one that shows nothing at all: no absence counts.
    Doubtful,
}

impl Guard {
    pub(super) fn new(config: GuardConfig) -> Self {
        Self {
            config,
            removals: VecDeque::new(),
        }
    }

    /// Whether `leaving` of `all` entries may go at `now`.
    pub(super) fn admits(&mut self, leaving: usize, all: usize, evidence: Evidence, now: Duration) -> bool {
        while self
            .removals
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) >= HOUR)
        {
            self.removals.pop_front();
        }
        if leaving == 0 {
            return true;
        }
        if evidence == Evidence::Doubtful {
            return false;
        }
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let before: usize = self.removals.iter().map(|(_, count)| count).sum();
        let sum = before + leaving;
        let share = (all + before).saturating_mul(size(self.config.percent)) / 100;
        let admitted = sum <= size(self.config.floor) || sum < size(self.config.limit) && sum <= share;
        if admitted {
            self.removals.push_back((now, leaving));
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evidence::{Doubtful, Good};

    #[test]
    fn few_pass_many_do_not_and_an_hour_is_forgotten() {
        let at = Duration::from_secs;
        let new = || Guard::new(GuardConfig::default());
        assert!(new().admits(50, 60, Good, at(0)), "the floor");
        assert!(!new().admits(51, 60, Good, at(0)));
        assert!(new().admits(999, 100_000, Good, at(0)));
        assert!(!new().admits(1000, 100_000, Good, at(0)), "the limit");
        assert!(!new().admits(1, 60, Doubtful, at(0)));
        assert!(new().admits(0, 60, Doubtful, at(0)));
        let mut slow = new();
        for step in 0..5 {
            assert!(slow.admits(10, 100, Good, at(step)));
        }
        assert!(
            !slow.admits(10, 100, Good, at(100)),
            "one by one is the same as all at once"
        );
        assert!(slow.admits(10, 100, Good, at(3700)));
    }
}
