//! How long to wait before a feed is tried again.

use std::time::Duration;

/// The longest wait.
const MAX: Duration = Duration::from_secs(60);

/// Waits that double from failure to failure, up to a minute.
#[derive(Debug, Clone)]
pub(crate) struct BackOff {
    first: Duration,
    failures: u32,
}

impl BackOff {
    /// Starts with `first`, the connector's `retry_interval`.
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, failures: 0 }
    }

    /// The feed works again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// One more failure. `jitter` is a number from 0 to 255: the wait is between half and all of its step, so
    /// that a thousand front ends do not come back at once.
    pub(crate) fn failed(&mut self, jitter: u8) -> Duration {
        let step = self.first.saturating_mul(1 << self.failures.min(6)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        step / 2 + step / 2 * u32::from(jitter) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_minute_and_starts_again() {
        let mut waits = BackOff::new(Duration::from_secs(1));
        let seconds: Vec<u64> = (0..8).map(|_| waits.failed(255).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits.failed(0), Duration::from_secs(30), "jitter is at most half");
        waits.reset();
        assert_eq!(waits.failed(255), Duration::from_secs(1));
        let mut long = BackOff::new(Duration::from_secs(60));
        for _ in 0..100 {
            assert!(long.failed(255) <= MAX);
        }
    }
}
