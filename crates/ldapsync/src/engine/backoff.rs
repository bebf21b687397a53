//! Waiting after a failure: doubled each time, with jitter, up to a minute.

use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(60);

/// The waiting times of one connector.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(first: Duration, seed: u64) -> Self {
        // xorshift needs a number that is not zero.
        Self {
            first,
            failures: 0,
            random: seed | 1,
        }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait: between three quarters and the whole of the doubled time, so that a hundred servers do
    /// not come back to a restarted directory in the same moment.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let quarter = u64::try_from(whole.as_millis() / 4).unwrap_or(0);
        whole.saturating_sub(Duration::from_millis(self.random % (quarter + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_minute() {
        let mut backoff = Backoff::new(Duration::from_secs(1), 7);
        for seconds in [1u64, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = backoff.next();
            let whole = Duration::from_secs(seconds);
            assert!(wait <= whole && wait >= whole * 3 / 4, "{seconds}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
