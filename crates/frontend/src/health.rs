//! What is known about each home: up, suspect, down, on trial; and how fast one that is back is used again.
//!
//! Every attempt to connect tells. After [`LIMIT`] failures in a row a home is down and is not tried until its
//! pause is over; then one attempt is made, a session's or a probe's, while the others are still told at once.
//! For a while after it is back, sessions are let through one after the other, so that it does not fall again
//! under all of them.

use directory::HomeRef;
use model::{Clock, Protocol};
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
/// How long a home that is back is used with care.
const RAMP: Duration = Duration::from_secs(5);
/// The mean time between two sessions during that: 500 a second.
const SPACING: Duration = Duration::from_millis(2);
/// The longest that a session waits for its turn; past it, "try later" is the kinder answer.
const LONGEST_TURN: Duration = Duration::from_secs(2);

/// How a home is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeState {
    /// The last attempt succeeded.
    Up,
    /// The last attempts failed, but too few to give it up.
    Suspect,
    /// Not tried for now.
    Down,
    /// Down, and being tried at this moment.
    Trial,
}

impl HomeState {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Trial => "trial",
        }
    }
}

/// One service of one home, as it has been met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeStatus {
    /// The home, as user maps name it.
    pub home: String,
    /// `host:port`
    pub address: String,
    /// What is spoken there.
    pub protocol: Protocol,
    /// How it is doing.
    pub state: HomeState,
    /// The last failure, when the last attempt failed.
    pub reason: Option<String>,
    /// How long it has been in this state.
    pub lasting: Duration,
}

/// Which service of which home, for the records.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) home: HomeRef,
    pub(crate) protocol: Protocol,
}

#[derive(Debug)]
struct Record {
    place: Place,
    failures: u32,
    retry_at: Duration,
    on_trial: bool,
    reason: String,
    /// When it came into its state.
    since: Duration,
    /// Until then it is used with care; when the next session may go.
    ramp_until: Duration,
    next_turn: Duration,
}

impl Record {
    fn state(&self) -> HomeState {
        match self.failures {
            0 => HomeState::Up,
            failures if failures < LIMIT => HomeState::Suspect,
            _ if self.on_trial => HomeState::Trial,
            _ => HomeState::Down,
        }
    }
}

/// The health of every home that has been tried.
pub(crate) struct Health {
    clock: Arc<dyn Clock>,
    records: Mutex<HashMap<String, Record>>,
}

impl Health {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            records: Mutex::default(),
        }
    }

    /// Whether to try the home, and after which wait; none when it is not to be tried. For a home that is down,
    /// the answer gives the caller the one trial.
    pub(crate) fn may_try(&self, address: &str, place: &Place) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut records = self.records.lock();
        if records.len() >= MAX_HOMES && !records.contains_key(address) {
            return Some(Duration::ZERO);
        }
        let record = records
            .entry(address.to_owned())
            .or_insert_with(|| Record::new(place, now));
        if record.failures < LIMIT {
            return record.turn(now);
        }
        if now < record.retry_at {
            return None;
        }
        // The trial has the longest pause to come to a result; nobody else tries meanwhile.
        record.retry_at = now + LONGEST_PAUSE;
        record.on_trial = true;
        Some(Duration::ZERO)
    }

    pub(crate) fn succeeded(&self, address: &str) {
        let now = self.clock.monotonic();
        let mut records = self.records.lock();
        let Some(record) = records.get_mut(address).filter(|record| record.failures > 0) else {
            return;
        };
        if record.failures >= LIMIT {
            tracing::info!(home = %record.place.home, address, "home is up again");
            record.ramp_until = now + RAMP;
            record.next_turn = now;
        }
        (record.failures, record.on_trial, record.since) = (0, false, now);
        record.reason.clear();
    }

    pub(crate) fn failed(&self, address: &str, reason: &str) {
        let now = self.clock.monotonic();
        let mut records = self.records.lock();
        let Some(record) = records.get_mut(address) else {
            return;
        };
        let before = record.state();
        record.failures = record.failures.saturating_add(1);
        record.on_trial = false;
        reason.clone_into(&mut record.reason);
        if record.failures >= LIMIT {
            let doubled = FIRST_PAUSE.saturating_mul(1 << (record.failures - LIMIT).min(8));
            record.retry_at = now + jittered(doubled.min(LONGEST_PAUSE));
            if record.failures == LIMIT {
                tracing::error!(home = %record.place.home, address, reason, "home is down");
            }
        }
        if before != record.state() && before != HomeState::Trial {
            record.since = now;
        }
    }

    /// The homes that are down and whose pause is over. None of them is given a trial by this.
    pub(crate) fn due(&self) -> Vec<(String, Place)> {
        let now = self.clock.monotonic();
        let records = self.records.lock();
        let due = records
            .iter()
            .filter(|(_, record)| record.failures >= LIMIT && now >= record.retry_at);
        due.map(|(address, record)| (address.clone(), record.place.clone()))
            .collect()
    }

    /// Every home that has been tried.
    pub(crate) fn list(&self) -> Vec<HomeStatus> {
        let now = self.clock.monotonic();
        let status = |(address, record): (&String, &Record)| HomeStatus {
            home: record.place.home.to_string(),
            address: address.clone(),
            protocol: record.place.protocol,
            state: record.state(),
            reason: (record.failures > 0).then(|| record.reason.clone()),
            lasting: now.saturating_sub(record.since),
        };
        let mut list: Vec<HomeStatus> = self.records.lock().iter().map(status).collect();
        list.sort_by(|a, b| (&a.home, &a.address).cmp(&(&b.home, &b.address)));
        list
    }
}

impl Record {
    fn new(place: &Place, now: Duration) -> Self {
        Self {
            place: place.clone(),
            failures: 0,
            retry_at: Duration::ZERO,
            on_trial: false,
            reason: String::new(),
            since: now,
            ramp_until: Duration::ZERO,
            next_turn: Duration::ZERO,
        }
    }

    /// How long a session waits for its turn; none when the queue is too long.
    fn turn(&mut self, now: Duration) -> Option<Duration> {
        if now >= self.ramp_until && now >= self.next_turn {
            return Some(Duration::ZERO);
        }
        let turn = self.next_turn.max(now);
        let wait = turn - now;
        if wait > LONGEST_TURN {
            return None;
        }
        self.next_turn = turn + jittered(SPACING * 8 / 7);
        Some(wait)
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

    const A: &str = "a:143";

    fn place() -> Place {
        Place {
            home: HomeRef::parse("a").expect("a home"),
            protocol: Protocol::Imap,
        }
    }

    fn health() -> (Arc<ManualClock>, Health) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        (clock.clone(), Health::new(clock))
    }

    fn state(health: &Health) -> HomeState {
        health.list()[0].state
    }

    #[test]
    fn down_after_three_and_one_trial_at_a_time() {
        let (clock, health) = health();
        for _ in 0..3 {
            assert_eq!(health.may_try(A, &place()), Some(Duration::ZERO));
            health.failed(A, "refused");
        }
        assert_eq!(health.may_try("b:143", &place()), Some(Duration::ZERO));
        assert!(health.may_try(A, &place()).is_none() && health.due().is_empty());
        clock.advance(Duration::from_millis(300));
        let list = health.list();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].home.as_str(), list[0].state), ("a", HomeState::Down));
        assert_eq!(list[0].reason.as_deref(), Some("refused"));
        assert_eq!(list[0].lasting, Duration::from_millis(300));
        clock.advance(LONGEST_PAUSE);
        assert_eq!(health.due().len(), 1);
        assert_eq!(health.may_try(A, &place()), Some(Duration::ZERO), "the trial");
        assert_eq!(state(&health), HomeState::Trial);
        assert!(
            health.may_try(A, &place()).is_none() && health.due().is_empty(),
            "the others wait for it"
        );
        health.succeeded(A);
        assert_eq!((state(&health), &health.list()[0].reason), (HomeState::Up, &None));
        health.failed(A, "refused");
        assert_eq!(state(&health), HomeState::Suspect);
    }

    #[test]
    fn a_home_that_is_back_is_used_with_care() {
        let (clock, health) = health();
        for _ in 0..3 {
            health.may_try(A, &place()).expect("not given up yet");
            health.failed(A, "refused");
        }
        clock.advance(LONGEST_PAUSE);
        health.may_try(A, &place()).expect("the trial");
        health.succeeded(A);
        let waits: Vec<Duration> = std::iter::from_fn(|| health.may_try(A, &place()))
            .take(5000)
            .collect();
        assert!(
            waits.is_sorted() && waits.len() > 800 && waits.len() < 1500,
            "{}",
            waits.len()
        );
        assert!(waits.last().is_some_and(|wait| *wait <= LONGEST_TURN));
        clock.advance(RAMP);
        assert_eq!(health.may_try(A, &place()), Some(Duration::ZERO));
    }

    #[test]
    fn names_are_bounded() {
        let (_, health) = health();
        for number in 0..MAX_HOMES + 5 {
            assert_eq!(
                health.may_try(&format!("{number}:143"), &place()),
                Some(Duration::ZERO)
            );
        }
        assert_eq!(health.list().len(), MAX_HOMES);
    }
}
