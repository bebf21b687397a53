//! How much was changed within the last minute.

use crate::engine::Counts;
use model::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// What is looked back on.
const WINDOW: Duration = Duration::from_secs(60);
/// Between two samples, so that a minute is a bounded number of them.
const APART: Duration = Duration::from_secs(1);

/// Objects that were changed within the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Rates {
    /// Changed here.
    pub here_per_minute: u64,
    /// Changed in the directory.
    pub there_per_minute: u64,
}

/// Samples of the totals.
#[derive(Debug, Default)]
pub(super) struct Sampled(VecDeque<(Timestamp, u64, u64)>);

impl Sampled {
    /// Takes the totals of now, and says what came within the window.
    pub(super) fn rates(&mut self, counts: &Counts, now: Timestamp) -> Rates {
        let (here, there) = (counts.here(), counts.there());
        // Within the window and one before it: what the window is compared with.
        while self.0.get(1).is_some_and(|(time, ..)| now.since(*time) >= WINDOW) {
            self.0.pop_front();
        }
        let recent = self.0.back().is_some_and(|(time, ..)| now.since(*time) < APART);
        if !recent {
            self.0.push_back((now, here, there));
        }
        let (_, before_here, before_there) = self.0.front().copied().unwrap_or((now, here, there));
        Rates {
            here_per_minute: here.saturating_sub(before_here),
            there_per_minute: there.saturating_sub(before_there),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_looked_back_on() {
        let at = |second: u64| Timestamp::from_millis(second * 1000);
        let counts = |updated: u64, updated_there: u64| Counts {
            updated,
            updated_there,
            ..Counts::default()
        };
        let mut sampled = Sampled::default();
        assert_eq!(sampled.rates(&counts(0, 0), at(0)), Rates::default());
        let now = sampled.rates(&counts(5, 2), at(30));
        assert_eq!((now.here_per_minute, now.there_per_minute), (5, 2));
        let later = sampled.rates(&counts(6, 2), at(80));
        assert_eq!((later.here_per_minute, later.there_per_minute), (6, 2));
        let quiet = sampled.rates(&counts(6, 2), at(145));
        assert_eq!((quiet.here_per_minute, quiet.there_per_minute), (0, 0));
        for second in 0..10_000 {
            sampled.rates(&counts(6, 2), at(200 + second / 100));
        }
        assert!(sampled.0.len() <= 62, "bounded: {}", sampled.0.len());
    }
}
