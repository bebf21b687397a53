//! How fast a connector may write: a window, a token bucket, and what slow answers teach. Pure.

use std::time::Duration;

/// An answer so many times slower than the usual one means that the server is busy.
const SLOW: u32 = 4;
/// Below this no answer counts as slow: an fsync of a quiet disk takes as long.
const NEVER_SLOW: Duration = Duration::from_millis(20);
/// Quick answers, for each place of the window, before it grows by one.
const PATIENCE: u32 = 16;
/// The longest pause between two writes to a server that suffers.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The limits, from the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Writes in flight at most.
    pub(super) window: u32,
    /// Writes a second in the long run; 0 is no limit.
    pub(super) rate: u32,
    /// Writes that a rest has saved up.
    pub(super) burst: u32,
}

/// What a would-be writer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Go; [`Budget::done`] must follow.
    Now,
    /// Ask again after this time.
    After(Duration),
    /// Ask again when a write is done.
    Full,
}

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// After this time.
    After(Duration),
    /// After a time that says nothing, because the work was large.
    Untimed,
    /// Not at all, or it was "busy".
    Overloaded,
}

#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    window: u32,
    in_flight: u32,
    /// When the bucket will be full again.
    full_at: Duration,
    /// The usual time of an answer.
    usual: Option<Duration>,
    quick: u32,
    /// Between two writes, while even one at a time is too much.
    pause: Duration,
    not_before: Duration,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            window: 1,
            in_flight: 0,
            full_at: Duration::ZERO,
            usual: None,
            quick: 0,
            pause: Duration::ZERO,
            not_before: Duration::ZERO,
        }
    }

    /// Asks for the right to write at `now`.
    pub(super) fn take(&mut self, now: Duration) -> Turn {
        if self.in_flight >= self.window {
            return Turn::Full;
        }
        if let Some(wait) = self.not_before.checked_sub(now).filter(|wait| !wait.is_zero()) {
            return Turn::After(wait);
        }
        if let Some(each) = Duration::from_secs(1).checked_div(self.limits.rate) {
            let full_at = self.full_at.max(now).saturating_add(each);
            let room = each.saturating_mul(self.limits.burst.max(1));
            let ahead = full_at.saturating_sub(now);
            if ahead > room {
                return Turn::After(ahead.saturating_sub(room));
            }
            self.full_at = full_at;
        }
        self.in_flight += 1;
        Turn::Now
    }

    /// A write that had its turn is over at `now`.
    pub(super) fn done(&mut self, now: Duration, answer: Answer) {
        // A server that writes one after the other needs as many times as long for several.
        let side_by_side = self.in_flight.max(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        let slow = match answer {
            Answer::Overloaded => true,
            Answer::Untimed => false,
            Answer::After(took) => self.is_slow(took / side_by_side),
        };
        if slow {
            self.quick = 0;
            if self.window > 1 {
                self.window /= 2;
            } else {
                let least = self.usual.unwrap_or(NEVER_SLOW);
                self.pause = self.pause.saturating_mul(2).clamp(least, MAX_PAUSE);
            }
        } else {
            self.pause /= 2;
            self.quick += 1;
            if self.quick >= PATIENCE.saturating_mul(self.window) {
                self.quick = 0;
                self.window = (self.window + 1).min(self.limits.window.max(1));
            }
        }
        self.not_before = now.saturating_add(self.pause);
    }

    /// Compares with the usual time, and learns it: quickly downwards, slowly upwards.
    fn is_slow(&mut self, took: Duration) -> bool {
        let usual = self.usual.unwrap_or(took);
        self.usual = Some(if took < usual {
            took
        } else {
            usual.saturating_add(took.saturating_sub(usual) / 64)
        });
        took > NEVER_SLOW && took > usual.saturating_mul(SLOW)
    }

    #[cfg(test)]
    fn window(&self) -> u32 {
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn budget(window: u32, rate: u32, burst: u32) -> Budget {
        Budget::new(Limits { window, rate, burst })
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut budget = budget(4, 100, 3);
        let now = ms(5000);
        for _ in 0..3 {
            assert_eq!(budget.take(now), Turn::Now);
            budget.done(now, Answer::After(ms(1)));
        }
        assert_eq!(budget.take(now), Turn::After(ms(10)));
        assert_eq!(budget.take(ms(5010)), Turn::Now);
        budget.done(ms(5010), Answer::After(ms(1)));
        assert_eq!(budget.take(ms(5011)), Turn::After(ms(9)));
        let mut free = Budget::new(Limits {
            window: 1,
            rate: 0,
            burst: 0,
        });
        for _ in 0..10_000 {
            assert_eq!(free.take(now), Turn::Now);
            free.done(now, Answer::After(ms(1)));
        }
    }

    #[test]
    fn the_window_grows_slowly_and_halves_at_once() {
        let mut budget = budget(4, 0, 0);
        let mut now = Duration::ZERO;
        let mut run = |budget: &mut Budget, count: u32, took: Duration| {
            for _ in 0..count {
                now += ms(5000);
                assert_eq!(budget.take(now), Turn::Now);
                budget.done(now, Answer::After(took));
            }
        };
        run(&mut budget, PATIENCE, ms(2));
        assert_eq!(budget.window(), 2);
        run(&mut budget, 20 * PATIENCE, ms(2));
        assert_eq!(budget.window(), 4, "never beyond the limit");
        run(&mut budget, 1, ms(15));
        assert_eq!(budget.window(), 4, "a slow disk is no overload");
        run(&mut budget, 1, ms(200));
        assert_eq!(budget.window(), 2);
        run(&mut budget, 1, ms(200));
        assert_eq!(budget.window(), 1);
    }

    #[test]
    fn writes_that_wait_for_each_other_are_not_slow() {
        let mut budget = budget(4, 0, 0);
        budget.window = 4;
        for _ in 0..4 {
            assert_eq!(budget.take(ms(0)), Turn::Now);
        }
        budget.usual = Some(ms(8));
        budget.done(ms(32), Answer::After(ms(32)));
        assert_eq!(budget.window(), 4);
        assert_eq!(budget.take(ms(32)), Turn::Now);
        budget.done(ms(200), Answer::After(ms(168)));
        assert_eq!(budget.window(), 2, "five times as long is");
    }

    #[test]
    fn one_at_a_time_is_too_much() {
        let mut budget = budget(1, 0, 0);
        let now = ms(10);
        assert_eq!((budget.take(now), budget.take(now)), (Turn::Now, Turn::Full));
        budget.done(now, Answer::Overloaded);
        assert_eq!(budget.take(now), Turn::After(NEVER_SLOW));
        for _ in 0..20 {
            budget.in_flight += 1;
            budget.done(now, Answer::Overloaded);
        }
        assert_eq!(budget.take(now), Turn::After(MAX_PAUSE), "bounded");
        for _ in 0..64 {
            budget.in_flight += 1;
            budget.done(now, Answer::After(ms(1)));
        }
        assert_eq!(budget.take(now), Turn::Now, "it recovers");
    }

    proptest! {
        #[test]
        fn never_more_than_the_limits(
            window in 1u32..5,
            rate in 1u32..50,
            burst in 1u32..20,
            steps in prop::collection::vec((0u64..200, 0u64..300, any::<bool>()), 1..200),
        ) {
            let mut budget = budget(window, rate, burst);
            let (mut now, mut granted) = (ms(1000), 0u32);
            for (wait, took, finish) in steps {
                now += ms(wait);
                if finish && budget.in_flight > 0 {
                    budget.done(now, Answer::After(ms(took)));
                }
                match budget.take(now) {
                    Turn::Now => granted += 1,
                    Turn::After(wait) => prop_assert!(!wait.is_zero() && wait <= ms(60_000)),
                    Turn::Full => prop_assert!(budget.in_flight > 0),
                }
                prop_assert!(budget.in_flight <= window);
                let elapsed = (now - ms(1000)).as_secs_f64();
                prop_assert!(f64::from(granted) <= f64::from(burst) + elapsed * f64::from(rate) + 1.0);
            }
        }
    }
}
