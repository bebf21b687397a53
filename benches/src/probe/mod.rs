//! A client of a directory as a process of its own, so that its CPU time and memory are its own.
//!
//! Owns the job that the bench writes to standard input, the answer on standard output, and the measurement of
//! this process. [`homing`] does the work with the product's own crates, [`ldap3`] with the library of that
//! name. Passwords come with the job, never on the command line.

mod edits;
mod homing;
mod ldap3;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::time::Duration;

/// What a probe is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) task: Task,
    /// Who does it.
    pub(crate) library: Library,
    /// The connector, as its section of a configuration file.
    pub(crate) connector: serde_json::Value,
    /// Somebody who may write, for edits.
    pub(crate) writer_dn: String,
    pub(crate) writer_password: String,
    /// The address of each person.
    pub(crate) addresses: Vec<String>,
    /// The password of everybody.
    pub(crate) password: String,
    /// Where edits find the people: `uid=..` below this.
    pub(crate) users_dn: String,
    pub(crate) folder: String,
}

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// Look addresses up for so many milliseconds, with so many at once.
    Lookups { window: usize, millis: u64 },
    /// Read everything by one Content Sync refresh.
    Refresh,
    /// Log people in, each by a search and a bind.
    Binds { window: usize, millis: u64 },
    /// Fill a live map, then look addresses up in it for so many milliseconds.
    LiveMap { millis: u64 },
    /// Fill a live map, then edit entries and wait until the map says so.
    Edits { count: usize },
}

/// Whose code does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Library {
    Homing,
    Ldap3,
}

/// What a probe has to say.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) operations: u64,
    pub(crate) seconds: f64,
    /// Anonymous memory before the work and its highest value during it, in KiB.
    pub(crate) memory_before: f64,
    pub(crate) memory_peak: f64,
    /// After the work, in KiB.
    pub(crate) memory_after: f64,
    /// CPU seconds of the measured part.
    pub(crate) cpu_seconds: f64,
    /// Of a live map: look-ups a second.
    pub(crate) lookups_per_second: f64,
    /// Of edits: milliseconds until the server had answered, and from then until the map said so.
    pub(crate) commit_millis: Vec<f64>,
    pub(crate) latency_millis: Vec<f64>,
}

/// The entry of the child process.
pub(crate) fn run() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let job: Job = serde_json::from_str(&text).context("the job is not understood")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(async {
        match (job.library, job.task) {
            (Library::Homing, Task::Lookups { window, millis }) => {
                homing::lookups(&job, window, Duration::from_millis(millis)).await
            }
            (Library::Homing, Task::Refresh) => homing::refresh(&job).await,
            (Library::Homing, Task::Binds { window, millis }) => {
                homing::binds(&job, window, Duration::from_millis(millis)).await
            }
            (Library::Homing, Task::LiveMap { millis }) => {
                homing::live_map(&job, Duration::from_millis(millis)).await
            }
            (Library::Homing, Task::Edits { count }) => edits::run(&job, count).await,
            (Library::Ldap3, Task::Lookups { window, millis }) => {
                ldap3::lookups(&job, window, Duration::from_millis(millis)).await
            }
            (Library::Ldap3, Task::Binds { window, millis }) => {
                ldap3::binds(&job, window, Duration::from_millis(millis)).await
            }
            (Library::Ldap3, task) => bail!("{task:?} is not for this library"),
        }
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&answer)?)?;
    Ok(out.flush()?)
}

/// Anonymous resident memory of this process in KiB: what was allocated, without program text and files.
pub(crate) fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}

/// Deals indices out in an order that no cache likes and that is the same every time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shuffle {
    state: u64,
}

impl Shuffle {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed ^ 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// One of `0..count`.
    pub(crate) fn next(&mut self, count: usize) -> usize {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % count.max(1) as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_pipe() -> Result<()> {
        let job = Job {
            task: Task::Lookups {
                window: 32,
                millis: 5,
            },
            library: Library::Ldap3,
            connector: serde_json::json!({"name": "x"}),
            writer_dn: String::new(),
            writer_password: String::new(),
            addresses: vec!["a@b.test".to_owned()],
            password: String::new(),
            users_dn: String::new(),
            folder: String::new(),
        };
        let back: Job = serde_json::from_str(&serde_json::to_string(&job)?)?;
        assert_eq!((back.task, back.library), (job.task, job.library));
        Ok(())
    }

    #[test]
    fn the_shuffle_stays_in_range_and_moves() {
        let mut shuffle = Shuffle::new(1);
        let drawn: std::collections::BTreeSet<usize> = (0..100).map(|_| shuffle.next(10)).collect();
        assert_eq!(drawn, (0..10).collect());
        assert!(memory() > 0.0);
    }
}
