//! One coarse timer for all sessions: a wheel of seconds, turned by one task while anybody waits.
//!
//! A session's own timer would cost more memory than the rest of its waiting, and nobody needs its precision.

use super::{Entry, Registry, SessionId};
use parking_lot::Mutex;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// What the wheel turns by.
const TICK: Duration = Duration::from_secs(1);
/// Seconds that the wheel spans. Whoever waits longer is looked at once in a turn.
const SLOTS: u32 = 64;
/// No slot.
pub(super) const NOWHERE: u32 = 0;

/// The sessions by the second at which they are looked at. The first second is number 1.
#[derive(Debug)]
struct Wheel {
    slots: Vec<Vec<SessionId>>,
    /// Seconds that are over.
    over: u32,
    held: usize,
}

impl Wheel {
    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            over: 0,
            held: 0,
        }
    }

    /// Where this second has its place.
    fn slot(&mut self, second: u32) -> Option<&mut Vec<SessionId>> {
        self.slots.get_mut(usize::try_from(second % SLOTS).ok()?)
    }

    /// Has the session looked at in this second, or earlier; the second in which it will be.
    fn insert(&mut self, id: SessionId, second: u32) -> u32 {
        let next = self.over.saturating_add(1);
        let second = second.clamp(next, next.saturating_add(SLOTS - 2));
        if let Some(slot) = self.slot(second) {
            slot.push(id);
            self.held += 1;
        }
        second
    }

    /// One second is over: whom to look at.
    fn turn(&mut self) -> Vec<SessionId> {
        self.over = self.over.saturating_add(1);
        let over = self.over;
        let due = self.slot(over).map(std::mem::take).unwrap_or_default();
        self.held = self.held.saturating_sub(due.len());
        due
    }
}

/// When which session is to be woken.
#[derive(Debug)]
pub(super) struct Timer {
    origin: OnceLock<Instant>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    wheel: Wheel,
    /// Whether the task runs.
    turning: bool,
}

impl Default for Timer {
    fn default() -> Self {
        Self {
            origin: OnceLock::new(),
            state: Mutex::new(State {
                wheel: Wheel::new(),
                turning: false,
            }),
        }
    }
}

impl Timer {
    fn origin(&self) -> Instant {
        *self.origin.get_or_init(Instant::now)
    }

    /// The seconds that are over at this moment.
    fn seconds(&self, moment: Instant) -> u32 {
        let passed = moment.saturating_duration_since(self.origin()).as_secs();
        u32::try_from(passed).unwrap_or(u32::MAX)
    }

    /// The first second that ends at this moment or later.
    fn second_of(&self, moment: Instant) -> u32 {
        let passed = moment.saturating_duration_since(self.origin());
        let begun = u32::try_from(passed.as_secs()).unwrap_or(u32::MAX);
        begun
            .saturating_add(u32::from(passed.subsec_nanos() > 0))
            .max(NOWHERE + 1)
    }
}

impl Registry {
    /// Wakes the task of the session at this moment or up to a second later, unless another moment is given
    /// meanwhile.
    pub(super) fn wake_at(self: &Arc<Self>, entry: &Entry, moment: Instant) {
        let second = self.timer.second_of(moment);
        // In this order, and the wheel reads in the other: one of the two sees what the other did.
        entry.due.store(second, Ordering::SeqCst);
        let slot = entry.slot.load(Ordering::SeqCst);
        if slot != NOWHERE && slot <= second {
            return;
        }
        let mut state = self.timer.state.lock();
        if !state.turning {
            state.turning = true;
            state.wheel.over = self.timer.seconds(Instant::now());
            tokio::spawn(turn(Arc::downgrade(self), self.timer.origin()));
        }
        let slot = state.wheel.insert(entry.id, second);
        entry.slot.store(slot, Ordering::SeqCst);
    }

    /// Turns the wheel up to this moment; whom to wake, and whether anybody still waits.
    fn turn(&self, now: Instant) -> (Vec<Waker>, bool) {
        let now = self.timer.seconds(now);
        let mut wakers = Vec::new();
        let mut state = self.timer.state.lock();
        while state.wheel.over < now {
            let ids = state.wheel.turn();
            let over = state.wheel.over;
            let table = self.table.lock();
            for id in ids {
                let Some(entry) = table.live.get(&id) else {
                    continue;
                };
                // It has a place of its own since.
                if entry.slot.load(Ordering::SeqCst) != over {
                    continue;
                }
                entry.slot.store(NOWHERE, Ordering::SeqCst);
                let due = entry.due.load(Ordering::SeqCst);
                if due > over {
                    let slot = state.wheel.insert(id, due);
                    entry.slot.store(slot, Ordering::SeqCst);
                } else {
                    wakers.extend(entry.waker.lock().take());
                }
            }
        }
        state.turning = state.wheel.held > 0;
        (wakers, state.turning)
    }
}

async fn turn(registry: Weak<Registry>, origin: Instant) {
    let mut ticks = tokio::time::interval_at(origin, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(registry) = registry.upgrade() else {
            return;
        };
        let (wakers, go_on) = registry.turn(Instant::now());
        drop(registry);
        for waker in wakers {
            waker.wake();
        }
        if !go_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn everybody_is_looked_at_in_time_and_nobody_twice(
            start in 0u32..1_000_000,
            waits in proptest::collection::vec(0u32..400, 1..40),
        ) {
            let mut wheel = Wheel::new();
            wheel.over = start;
            let mut expected: Vec<(SessionId, u32)> = Vec::new();
            for (id, wait) in (0..).zip(&waits) {
                let second = start + wait;
                let seen = wheel.insert(id, second);
                prop_assert!(seen > start && seen <= second.max(start + 1));
                expected.push((id, seen));
            }
            prop_assert_eq!(wheel.held, waits.len());
            for _ in 0..SLOTS {
                let mut due = wheel.turn();
                due.sort_unstable();
                let wanted: Vec<SessionId> =
                    expected.iter().filter(|(_, seen)| *seen == wheel.over).map(|(id, _)| *id).collect();
                prop_assert_eq!(due, wanted);
            }
            prop_assert_eq!(wheel.held, 0);
        }
    }
}
