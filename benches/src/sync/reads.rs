//! What an independent reader of the directory notices of our work: how long its look-ups take.

use super::person::Reader;
use super::site::Site;
use crate::clock::pause;
use crate::compare::{Contest, Figure, Measured, OURS, Side, Values};
use crate::directory::percentile;
use crate::machine::cores;
use crate::probe::Shuffle;
use crate::stats::{Bar, median};
use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the reader listens to a directory that has nothing else to do.
const QUIET: Duration = Duration::from_secs(2);

const fn millis(name: &'static str, title: &'static str, bar: Bar) -> Figure {
    Figure {
        name,
        title,
        unit: "ms",
        higher_is_better: false,
        bar,
    }
}

/// A look-up by somebody else while everybody is read for the first time.
const FIRST: [Figure; 2] = [
    millis(
        "reads-first-sync",
        "a look-up by somebody else during the first sync, median",
        Bar::RatioAtMost(1.2),
    ),
    millis("reads-first-sync-p99", "the same, 99th percentile", Bar::None),
];

/// The same while many changes are written.
pub(super) const BULK: [Figure; 2] = [
    millis(
        "reads-push-bulk",
        "a look-up by somebody else during the bulk push, median",
        Bar::RatioAtMost(1.2),
    ),
    millis("reads-push-bulk-p99", "the same, 99th percentile", Bar::None),
];

pub(super) fn figures() -> [Figure; 2] {
    FIRST
}

/// A reader of this directory.
pub(super) fn reader(site: &Site) -> Reader {
    let mut shuffle = Shuffle::new(17);
    let people = site.people;
    Reader::start(
        site.slapd.uri(),
        site.slapd.reader.clone(),
        site.users_dn.clone(),
        move || Site::address(shuffle.next(people)),
    )
}

/// What a reader has seen, as the two figures.
pub(super) fn values([middle, slow]: [Figure; 2], millis: &[f64]) -> Values {
    Values::from([
        (middle.name, median(millis)),
        (slow.name, percentile(millis, 0.99)),
    ])
}

/// The reader alone.
pub(super) fn quiet(site: &Site, figures: [Figure; 2]) -> Side<'_> {
    Side::new("quiet", move || {
        let reader = reader(site);
        pause(QUIET);
        Ok(values(figures, &reader.finish()?))
    })
}

/// While everybody is read for the first time, by us and by `ldapsearch`.
pub(super) fn run(site: &Site, rounds: usize) -> Result<Vec<Measured>> {
    let _apart = Apart::new(site)?;
    let contest = Contest {
        figures: FIRST.to_vec(),
        sides: vec![
            Side::new(OURS, || {
                let reader = reader(site);
                let mut server = site.homing("")?;
                server.until_linked(site.people)?;
                Ok(values(FIRST, &reader.finish()?))
            }),
            quiet(site, FIRST),
            Side::new("ldapsearch", || {
                let reader = reader(site);
                site.refresh()?;
                Ok(values(FIRST, &reader.finish()?))
            }),
        ],
        warm_up: true,
    };
    contest.run(rounds)
}

/// The directory has a processor of its own, as on a machine of its own; everything that is started meanwhile has
/// another one. Undone when dropped.
pub(super) struct Apart {
    slapd: u32,
    cores: usize,
}

impl Apart {
    /// Does nothing on a machine with one processor.
    pub(super) fn new(site: &Site) -> Result<Self> {
        let slapd = site.slapd.child().context("slapd runs")?.id();
        let cores = cores();
        if cores >= 2 {
            pin(slapd, "1")?;
            pin(std::process::id(), "0")?;
        }
        Ok(Self { slapd, cores })
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let all = format!("0-{}", self.cores.saturating_sub(1));
        for process in [self.slapd, std::process::id()] {
            // A process that has ended needs no processors.
            let _ = pin(process, &all);
        }
    }
}

fn pin(process: u32, to: &str) -> Result<()> {
    let done = Command::new("taskset")
        .args(["-a", "-c", "-p", to, &process.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("taskset")?;
    ensure!(done.success(), "taskset could not pin a process to {to}");
    Ok(())
}
