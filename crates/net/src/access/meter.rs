//! What one rule has let in: connections held and made, by address and together. Memory is bounded.

use crate::sessions::site;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// Addresses that are counted at once; one takes about 50 octets.
const MAX_ADDRESSES: usize = 100_000;
/// Between two looks for addresses that need no more counting, when there are too many.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How much one rule lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections of one address at once.
    pub(super) at_once: Option<u32>,
    /// New connections of one address in a minute.
    pub(super) per_minute: Option<u32>,
    /// New connections of everybody in a minute.
    pub(super) together: Option<u32>,
}

/// Which limit a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooOften {
    /// The address holds as many as it may.
    #[error("max_connections")]
    AtOnce,
    /// The address has made as many as it may.
    #[error("per_minute")]
    PerMinute,
    /// All together have.
    #[error("per_minute_together")]
    Together,
}

/// Counts for one rule and all its copies.
#[derive(Debug, Default)]
pub(super) struct Meter {
    counts: Mutex<Counts>,
    /// The moment of the first connection.
    origin: OnceLock<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    together: Pace,
    addresses: HashMap<IpAddr, Count>,
    swept: Option<Duration>,
}

/// One address.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    held: u32,
    pace: Pace,
}

/// A full minute's worth at once, and then one after the other: the time at which everything so far would have come
/// in evenly (the generic cell rate algorithm).
#[derive(Debug, Default, Clone, Copy)]
struct Pace(Duration);

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    meter: Arc<Meter>,
    address: IpAddr,
}

impl Pace {
    /// The pace after one more; none when that is too fast.
    fn after_one(self, per_minute: Option<u32>, now: Duration) -> Option<Self> {
        let Some(per_minute) = per_minute else {
            return Some(self);
        };
        let next = self.0.max(now) + MINUTE / per_minute.max(1);
        (next.saturating_sub(now) <= MINUTE).then_some(Self(next))
    }

    /// Whether it is as if nobody had come.
    fn is_rested(self, now: Duration) -> bool {
        self.0 <= now
    }
}

impl Meter {
    /// How long it has been counting.
    pub(super) fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.origin.get_or_init(|| now))
    }

    /// Counts a connection from this address; none when nothing of it has to be given back.
    pub(super) fn enter(
        self: &Arc<Self>,
        limits: Limits,
        client: IpAddr,
        now: Duration,
    ) -> Result<Option<Pass>, TooOften> {
        if limits.at_once.is_none() && limits.per_minute.is_none() && limits.together.is_none() {
            return Ok(None);
        }
        let address = site(client);
        let mut counts = self.counts.lock();
        let known = counts.addresses.get(&address).copied();
        let count = known.unwrap_or_default();
        if limits.at_once.is_some_and(|most| count.held >= most) {
            return Err(TooOften::AtOnce);
        }
        let pace = count
            .pace
            .after_one(limits.per_minute, now)
            .ok_or(TooOften::PerMinute)?;
        let together = counts.together.after_one(limits.together, now);
        counts.together = together.ok_or(TooOften::Together)?;
        // Whoever is one address too many is let in without being counted: the listener's own limits hold for
        // everybody, and strangers are not to pay for a flood from elsewhere.
        if known.is_none() && !counts.has_room(now) {
            return Ok(None);
        }
        let held = count.held.saturating_add(1);
        counts.addresses.insert(address, Count { held, pace });
        Ok(Some(Pass {
            meter: Arc::clone(self),
            address,
        }))
    }
}

impl Counts {
    fn has_room(&mut self, now: Duration) -> bool {
        if self.addresses.len() < MAX_ADDRESSES {
            return true;
        }
        let is_due = self
            .swept
            .is_none_or(|last| now.saturating_sub(last) >= SWEEP_EVERY);
        if is_due {
            self.swept = Some(now);
            self.addresses
                .retain(|_, count| count.held > 0 || !count.pace.is_rested(now));
        }
        self.addresses.len() < MAX_ADDRESSES
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.meter.counts.lock();
        if let Some(count) = counts.addresses.get_mut(&self.address) {
            count.held = count.held.saturating_sub(1);
            // What has no pace to keep is forgotten at once; the others by and by.
            if count.held == 0 && count.pace.0.is_zero() {
                counts.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: Limits = Limits {
        at_once: None,
        per_minute: None,
        together: None,
    };

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn at_once() {
        let meter = Arc::new(Meter::default());
        let limits = Limits {
            at_once: Some(2),
            ..NONE
        };
        let enter = |client: &str| meter.enter(limits, client.parse().expect("an address"), seconds(0));
        let (first, second) = (enter("2001:db8::1"), enter("2001:db8::2"));
        assert_eq!(
            enter("2001:db8::3").expect_err("a /64 is one client"),
            TooOften::AtOnce
        );
        assert!(enter("2001:db8:0:1::1").is_ok());
        drop(first);
        assert!(enter("2001:db8::3").is_ok());
        drop(second);
        assert!(
            meter.counts.lock().addresses.is_empty(),
            "nothing is kept of those who are gone"
        );
    }

    #[test]
    fn a_minutes_worth_and_then_one_by_one() {
        let meter = Arc::new(Meter::default());
        let limits = Limits {
            per_minute: Some(6),
            together: Some(8),
            ..NONE
        };
        let enter = |number, at| meter.enter(limits, address(number), seconds(at)).map(drop);
        for _ in 0..6 {
            assert_eq!(enter(1, 100), Ok(()));
        }
        assert_eq!(enter(1, 100), Err(TooOften::PerMinute));
        assert_eq!(enter(1, 109), Err(TooOften::PerMinute));
        assert_eq!((enter(1, 110), enter(1, 110)), (Ok(()), Err(TooOften::PerMinute)));
        // Together they have eight, which come back after seven and a half seconds each.
        assert_eq!((enter(2, 110), enter(3, 110)), (Ok(()), Ok(())));
        assert_eq!(enter(4, 110), Err(TooOften::Together));
        assert_eq!(enter(4, 170), Ok(()));
        assert!(
            meter
                .enter(NONE, address(1), seconds(0))
                .expect("no limit")
                .is_none()
        );
    }

    #[test]
    fn the_table_has_an_end() {
        let meter = Arc::new(Meter::default());
        let limits = Limits {
            per_minute: Some(1),
            ..NONE
        };
        let enter = |number: u32, at| meter.enter(limits, address(number), seconds(at));
        let size = u32::try_from(MAX_ADDRESSES).expect("small");
        let held = enter(0, 0).expect("the first");
        for number in 1..size + 10 {
            assert!(enter(number, 1).is_ok(), "{number}");
        }
        assert_eq!(meter.counts.lock().addresses.len(), MAX_ADDRESSES);
        assert!(enter(size + 1, 1).is_ok_and(|pass| pass.is_none()), "not counted");
        assert_eq!(enter(5, 30).expect_err("still counted"), TooOften::PerMinute);
        assert!(
            enter(size + 1, 100).is_ok_and(|pass| pass.is_some()),
            "there is room again"
        );
        assert_eq!(
            meter.counts.lock().addresses.len(),
            2,
            "those who hold a connection stay"
        );
        drop(held);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// In no minute more than twice the limit come in, and nobody is refused who has not made as many as allowed in
        /// the last one.
        #[test]
        fn nobody_is_faster_than_allowed(per_minute in 1u32..20, gaps in proptest::collection::vec(0u64..20_000, 1..200)) {
            let meter = Arc::new(Meter::default());
            let limits = Limits { per_minute: Some(per_minute), ..NONE };
            let mut now = seconds(1);
            let mut taken: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let recent = taken.iter().filter(|at| now.saturating_sub(**at) < MINUTE).count();
                let most = usize::try_from(per_minute).expect("small");
                if meter.enter(limits, address(1), now).is_ok() {
                    taken.push(now);
                    prop_assert!(recent < most * 2);
                } else {
                    prop_assert!(recent >= most, "{recent} of {most}");
                }
            }
        }
    }
}
