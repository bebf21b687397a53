//! What sessions have learned about the homes: up, suspect, down.
//!
//! Passive: every attempt to connect is a probe. After [`LIMIT`] failures in a row a home is down and is not
//! tried until its pause is over; then one session tries, while the others are still told at once.

use model::Clock;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Failures in a row that make a home down.
const LIMIT: u32 = 3;
/// The first pause; it doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause: a home that comes back is used again this soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Homes remembered. A wildcard DNS and a bad map could name any number of them.
const MAX_HOMES: usize = 10_000;

/// How a home is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeState {
    /// The last attempt succeeded, or there was none.
    Up,
    /// The last attempts failed, but too few to give it up.
    Suspect,
    /// Not tried for now.
    Down,
}

/// One line of the list of homes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeStatus {
    /// `host:port`
    pub home: String,
    /// How it is doing.
    pub state: HomeState,
    /// The last failure, when the last attempt failed.
    pub reason: Option<String>,
}

#[derive(Debug, Default)]
struct Record {
    failures: u32,
    retry_at: Duration,
    reason: String,
}

/// The health of every home that has been tried.
pub(crate) struct Health {
    clock: Arc<dyn Clock>,
    failing: Mutex<HashMap<String, Record>>,
}

impl Health {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            failing: Mutex::default(),
        }
    }

    /// Whether to try the home now. True for a home that is down gives the caller the one trial.
    pub(crate) fn may_try(&self, home: &str) -> bool {
        let mut failing = self.failing.lock();
        let Some(record) = failing.get_mut(home).filter(|record| record.failures >= LIMIT) else {
            return true;
        };
        let now = self.clock.monotonic();
        if now < record.retry_at {
            return false;
        }
        // The trial has the longest pause to come to a result; nobody else tries meanwhile.
        record.retry_at = now + LONGEST_PAUSE;
        true
    }

    pub(crate) fn succeeded(&self, home: &str) {
        if let Some(record) = self.failing.lock().remove(home)
            && record.failures >= LIMIT
        {
            tracing::info!(home, "home is up again");
        }
    }

    pub(crate) fn failed(&self, home: &str, reason: &str) {
        let mut failing = self.failing.lock();
        if failing.len() >= MAX_HOMES && !failing.contains_key(home) {
            return;
        }
        let record = failing.entry(home.to_owned()).or_default();
        record.failures = record.failures.saturating_add(1);
        reason.clone_into(&mut record.reason);
        if record.failures >= LIMIT {
            let doubled = FIRST_PAUSE.saturating_mul(1 << (record.failures - LIMIT).min(8));
            record.retry_at = self.clock.monotonic() + jittered(doubled.min(LONGEST_PAUSE));
            if record.failures == LIMIT {
                tracing::error!(home, reason, "home is down");
            }
        }
    }

    /// Every home whose last attempt failed.
    pub(crate) fn list(&self) -> Vec<HomeStatus> {
        let mut list: Vec<_> = self
            .failing
            .lock()
            .iter()
            .map(|(home, record)| HomeStatus {
                home: home.clone(),
                state: if record.failures >= LIMIT {
                    HomeState::Down
                } else {
                    HomeState::Suspect
                },
                reason: Some(record.reason.clone()),
            })
            .collect();
        list.sort_by(|a, b| a.home.cmp(&b.home));
        list
    }
}

/// Three quarters to all of it, so that front ends do not try at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default() % 256;
    pause * 3 / 4 + pause / 4 * random / 256
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};

    #[test]
    fn down_after_three_and_one_trial_at_a_time() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let health = Health::new(clock.clone());
        for _ in 0..3 {
            assert!(health.may_try("a:143"));
            health.failed("a:143", "refused");
        }
        assert!(!health.may_try("a:143") && health.may_try("b:143"));
        assert_eq!(
            health.list(),
            [HomeStatus {
                home: "a:143".to_owned(),
                state: HomeState::Down,
                reason: Some("refused".to_owned())
            }]
        );
        clock.advance(LONGEST_PAUSE);
        assert!(health.may_try("a:143"), "the trial");
        assert!(!health.may_try("a:143"), "the others wait for it");
        health.succeeded("a:143");
        assert!(health.may_try("a:143") && health.list().is_empty());
        health.failed("a:143", "refused");
        assert_eq!(health.list()[0].state, HomeState::Suspect);
    }
}
