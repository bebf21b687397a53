//! Who has logged out: tickets that are worth nothing any more, though they could still be opened.
//!
//! Each front end keeps them until they would have expired, over a restart in a file, which the processes before and
//! after an upgrade share while both run. The others with the same keys hear of them (`neighbours`, docs/design/0014).
//!
//! Owns what is known (`known`), the file (`journal`) and what front ends tell each other (`tidings`). Never waits for
//! the disk to say whether a ticket was given up.

mod journal;
mod known;
mod tidings;

use super::cookie::TicketId;
use aws_lc_rs::digest::{SHA256, digest};
use journal::Journal;
use known::{Bounds, Known};
use model::{Address, Clock};
use net::{Counter, Gauge, Metric, Metrics};
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(super) use tidings::{MAX_TEXT, Tidings};

/// Logouts kept, and those of one account among them: nobody makes a front end forget other people's by logging out
/// in a loop.
const BOUNDS: Bounds = Bounds {
    all: 100_000,
    of_one: 200,
};
/// How often it is said that some were forgotten.
const ALARM: Duration = Duration::from_secs(3600);

const REMEMBERED: Metric = Metric {
    name: "homing_http_logouts",
    help: "Logouts by HTTP that are remembered until their cookies would have expired.",
};
const FORGOTTEN: Metric = Metric {
    name: "homing_http_logouts_forgotten_total",
    help: "Logouts by HTTP that were forgotten before their cookies expired, by the bound they were over: all, account.",
};

/// Whose ticket it was: a few octets that tell accounts apart.
pub(super) type Owner = [u8; 8];

/// The owner of an account's tickets.
pub(super) fn owner(account: &Address) -> Owner {
    let hash = digest(&SHA256, account.as_str().as_bytes());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

/// One ticket that was given up. Times are in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logout {
    pub(super) ticket: TicketId,
    pub(super) owner: Owner,
    pub(super) given_up: u64,
    /// When it would have expired.
    pub(super) expires: u64,
}

/// The logouts that are still worth knowing.
pub(super) struct Logouts {
    /// Whoever needs both locks takes this one first.
    journal: Mutex<Journal>,
    known: Mutex<Known>,
    version: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    numbers: Numbers,
}

/// What is told to the administrator.
struct Numbers {
    remembered: Gauge,
    of_all: Counter,
    of_one: Counter,
    /// When it was last said in the log.
    said: Mutex<Option<Duration>>,
}

impl Logouts {
    /// Reads what this front end knew before it was restarted.
    pub(super) fn load(path: &Path, clock: Arc<dyn Clock>, metrics: &Metrics) -> io::Result<Self> {
        Self::within(BOUNDS, path, clock, metrics)
    }

    fn within(bounds: Bounds, path: &Path, clock: Arc<dyn Clock>, metrics: &Metrics) -> io::Result<Self> {
        let logouts = Self {
            journal: Mutex::new(Journal::new(path)),
            known: Mutex::new(Known::new(bounds)),
            version: watch::channel(0).0,
            clock,
            numbers: Numbers {
                remembered: metrics.gauge(REMEMBERED, &[]),
                of_all: metrics.counter(FORGOTTEN, &[("bound", "all")]),
                of_one: metrics.counter(FORGOTTEN, &[("bound", "account")]),
                said: Mutex::new(None),
            },
        };
        let written = logouts.journal.lock().news()?;
        logouts.learn(&written);
        Ok(logouts)
    }

    /// Whether a ticket was given up, here or at another front end.
    pub(super) fn has(&self, ticket: &TicketId) -> bool {
        self.known.lock().number(ticket).is_some()
    }

    /// Remembers these; those that nobody here knew, and what another process has written meanwhile. A file that
    /// cannot be written costs nothing but the memory of them over a restart.
    pub(super) fn add(&self, logouts: &[Logout]) -> Vec<Logout> {
        let mut journal = self.journal.lock();
        let mut fresh = self.learn(logouts);
        if fresh.is_empty() {
            return fresh;
        }
        // Before ours are written, so that only what others wrote is news.
        let others = self.read(&mut journal);
        if let Err(error) = self.write(&mut journal, &fresh) {
            tracing::error!(path = %journal.path().display(), %error, "logouts cannot be written down");
        }
        fresh.extend(others);
        fresh
    }

    /// What another process with the same file has written since the last look.
    pub(super) fn look(&self) -> Vec<Logout> {
        let mut journal = self.journal.lock();
        self.read(&mut journal)
    }

    fn read(&self, journal: &mut Journal) -> Vec<Logout> {
        match journal.news() {
            Ok(written) => self.learn(&written),
            Err(error) => {
                tracing::error!(path = %journal.path().display(), %error, "logouts cannot be read");
                Vec::new()
            }
        }
    }

    fn write(&self, journal: &mut Journal, fresh: &[Logout]) -> io::Result<()> {
        journal.append(fresh)?;
        let all = {
            let known = self.known.lock();
            journal.is_long(known.len()).then(|| known.since(0).1)
        };
        if let Some(all) = all {
            let missed = journal.rewrite(&all)?;
            journal.append(&self.learn(&missed))?;
        }
        Ok(())
    }

    /// Takes these into memory; those that were not known.
    fn learn(&self, logouts: &[Logout]) -> Vec<Logout> {
        let now = self.clock.now().as_secs();
        let mut known = self.known.lock();
        let mut fresh: Vec<Logout> = logouts.to_vec();
        fresh.retain(|logout| known.add(*logout, now));
        let (last, count, forgotten) = (known.last(), known.len(), known.take_forgotten());
        drop(known);
        self.numbers
            .remembered
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        self.alarm(forgotten);
        // Two at once may come here in any order.
        self.version.send_if_modified(|newest| {
            let is_newer = *newest < last;
            *newest = last.max(*newest);
            is_newer
        });
        fresh
    }

    fn alarm(&self, forgotten: known::Forgotten) {
        if forgotten == known::Forgotten::default() {
            return;
        }
        self.numbers.of_all.add(forgotten.of_all);
        self.numbers.of_one.add(forgotten.of_one);
        let now = self.clock.monotonic();
        let mut said = self.numbers.said.lock();
        if said.is_none_or(|last| now.saturating_sub(last) >= ALARM) {
            *said = Some(now);
            tracing::error!(
                all = forgotten.of_all,
                one_account = forgotten.of_one,
                "more logouts than can be remembered: copies of these cookies are good again until they expire"
            );
        }
    }

    /// The number of the newest one, and those that came after `number`; 0 for all.
    pub(super) fn since(&self, number: u64) -> (u64, Vec<Logout>) {
        self.known.lock().since(number)
    }

    /// The number under which a ticket's logout is told; that of the newest one when it is not known.
    pub(super) fn number(&self, ticket: &TicketId) -> u64 {
        let known = self.known.lock();
        known.number(ticket).unwrap_or(known.last())
    }

    /// Tells of the number of the newest one.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

#[cfg(test)]
mod tests;
