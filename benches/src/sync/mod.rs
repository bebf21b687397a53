//! The benchmark `sync`: the product and a directory, from the first synchronisation to a push of many changes.
//!
//! The subject is `homing serve` with its store on disk, asked over its admin socket. The peers are `ldapsearch` and
//! `ldapmodify` on the same slapd. What has no peer is measured against its bar alone.

mod ad;
mod edits;
mod person;
mod push;
mod reads;
mod site;

use crate::clock::{now, pause};
use crate::compare::{Contest, Figure, Measured, OURS, Setting, Side, Values};
use crate::directory::openldap_version;
use crate::machine::{anonymous_kib, cpu_seconds, file_system};
use crate::probe::Shuffle;
use crate::run::machine_line;
use crate::stats::Bar;
use anyhow::{Context, Result, ensure};
use edits::Names;
use person::Editor;
use push::Manner;
use site::{Comparison, Server, Site};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use testkit::HomingBinary;

/// How large and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) people: usize,
    pub(crate) rounds: usize,
    /// Changes of one bulk push.
    pub(crate) changes: usize,
    /// Edits of one round.
    pub(crate) edits: usize,
    /// How much longer a commit to the disk takes than it would.
    pub(crate) slower: Duration,
}

/// People in the domain of Active Directory.
const AD_PEOPLE: usize = 100;
/// Memory that the store's cache may take, by default, in MiB.
const CACHE: f64 = 64.0;
/// Where the memory is looked at while everybody is read: each look costs the process that is measured.
const LOOK: Duration = Duration::from_millis(20);

const fn millis(name: &'static str, title: &'static str, bar: Bar) -> Figure {
    Figure {
        name,
        title,
        unit: "ms",
        higher_is_better: false,
        bar,
    }
}

/// Microseconds of a processor for one account.
const fn cpu(name: &'static str, title: &'static str) -> Figure {
    Figure {
        name,
        title,
        unit: "CPU us",
        higher_is_better: false,
        bar: Bar::None,
    }
}

const FIRST: [Figure; 4] = [
    Figure {
        name: "first-sync",
        title: "first synchronisation, from the start of the process",
        unit: "accounts/s",
        higher_is_better: true,
        bar: Bar::RatioAtLeast(0.8),
    },
    Figure {
        name: "first-sync-memory",
        title: "most memory meanwhile, beyond the store's cache",
        unit: "MiB",
        higher_is_better: false,
        bar: Bar::AtMost(64.0),
    },
    cpu("first-sync-cpu", "CPU time of the product for each"),
    cpu("first-sync-slapd-cpu", "CPU time of slapd for each"),
];

const RESUME: [Figure; 2] = [
    millis(
        "resume",
        "the feed resumed with its cookie, nothing changed",
        Bar::AtMost(50.0),
    ),
    millis(
        "resume-start",
        "the same from the start of synchronisation",
        Bar::AtMost(50.0),
    ),
];

const LOST_LOG: Figure = millis(
    "lost-sessionlog",
    "resumed after slapd lost its session log, one entry changed",
    Bar::AtMost(1000.0),
);

const AUDIT: [Figure; 2] = [
    millis(
        "audit",
        "comparison of everything, all equal",
        Bar::AtMost(2000.0),
    ),
    Figure {
        name: "audit-writes",
        title: "what it wrote, here and there",
        unit: "writes",
        higher_is_better: false,
        bar: Bar::AtMost(0.0),
    },
];

const EDITS: [Figure; 3] = [
    millis("edit-commit", "slapd answers an edit, median", Bar::None),
    millis(
        "edit-visible",
        "from sending the edit until the mail server has it, median",
        Bar::AtMost(10.0),
    ),
    millis(
        "edit-visible-p99",
        "the same, 99th percentile",
        Bar::AtMost(100.0),
    ),
];

const AD: [Figure; 3] = [
    millis("ad-edit-commit", "Samba answers an edit, median", Bar::None),
    millis(
        "ad-edit-visible",
        "the same on Active Directory, median",
        Bar::None,
    ),
    millis(
        "ad-edit-visible-p99",
        "the same, 99th percentile",
        Bar::AtMost(500.0),
    ),
];

/// The parts of the benchmark, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Resume,
    LostLog,
    Audit,
    Edits,
    Ad,
    Reads,
    Serial,
    Single,
    Bulk,
}

impl Part {
    const ALL: [Self; 10] = [
        Self::First,
        Self::Resume,
        Self::LostLog,
        Self::Audit,
        Self::Edits,
        Self::Ad,
        Self::Reads,
        Self::Serial,
        Self::Single,
        Self::Bulk,
    ];

    fn figures(self) -> Vec<Figure> {
        match self {
            Self::First => FIRST.to_vec(),
            Self::Resume => RESUME.to_vec(),
            Self::LostLog => vec![LOST_LOG],
            Self::Audit => AUDIT.to_vec(),
            Self::Edits => EDITS.to_vec(),
            Self::Ad => AD.to_vec(),
            Self::Reads => reads::figures().to_vec(),
            Self::Serial => Manner::Serial.figures(),
            Self::Single => Manner::Single.figures(),
            Self::Bulk => Manner::Bulk.figures(),
        }
    }

    fn is_wanted(self, only: &[String]) -> bool {
        only.is_empty()
            || self
                .figures()
                .iter()
                .any(|figure| only.iter().any(|name| name == figure.name))
    }

    /// Whether it needs the large directory.
    fn is_at_large(self) -> bool {
        !matches!(self, Self::Ad | Self::Serial | Self::Single | Self::Bulk)
    }
}

/// All figures, for the list.
pub(crate) fn figures() -> Vec<Figure> {
    Part::ALL.into_iter().flat_map(Part::figures).collect()
}

/// Runs the parts that have one of these figures, all of them when none is named; `each` sees rows as they come.
pub(crate) fn run(
    binary: &HomingBinary,
    size: Size,
    only: &[String],
    mut each: impl FnMut(&[Measured]) -> Result<()>,
) -> Result<Vec<Measured>> {
    let parts: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| part.is_wanted(only))
        .collect();
    let (large, others): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.is_at_large());
    let mut all = Vec::new();
    let mut take = |measured: Vec<Measured>| -> Result<()> {
        each(&measured)?;
        all.extend(measured);
        Ok(())
    };
    if !large.is_empty() {
        let mut site = Site::start(binary, size.people, size.slower)?;
        for part in large {
            take(at_large(&mut site, part, size)?)?;
        }
    }
    let mut site = None;
    for part in others {
        let measured = match part {
            Part::Ad => ad(binary, size)?,
            Part::Serial | Part::Single | Part::Bulk => {
                let site = match &site {
                    Some(site) => site,
                    None => site.insert(Site::start(binary, size.changes, size.slower)?),
                };
                let (manner, count) = match part {
                    Part::Bulk => (Manner::Bulk, size.changes),
                    Part::Single => (Manner::Single, (size.changes / 10).max(1)),
                    _ => (Manner::Serial, (size.changes / 10).max(1)),
                };
                push::run(site, manner, count, size.rounds)?
            }
            _ => Vec::new(),
        };
        take(measured)?;
    }
    Ok(all)
}

fn at_large(site: &mut Site, part: Part, size: Size) -> Result<Vec<Measured>> {
    match part {
        Part::First => first(site).run(size.rounds),
        Part::Reads => reads::run(site, size.rounds),
        _ => {
            let mut server = site.homing("")?;
            server.until_linked(site.people)?;
            match part {
                Part::Resume => alone(RESUME.to_vec(), move || resume(&mut server)).run(size.rounds),
                Part::LostLog => lost_log(site, server).run(size.rounds),
                Part::Audit => audit(site, server).run(size.rounds),
                _ => edits(site, server, size)?.run(size.rounds),
            }
        }
    }
}

/// A contest that nobody else takes part in.
fn alone<'a>(figures: Vec<Figure>, round: impl FnMut() -> Result<Values> + 'a) -> Contest<'a> {
    Contest {
        figures,
        sides: vec![Side::new(OURS, round)],
        warm_up: true,
    }
}

fn first(site: &Site) -> Contest<'_> {
    let people = site.people as f64;
    Contest {
        figures: FIRST.to_vec(),
        sides: vec![
            Side::new(OURS, move || {
                let before = site.processor()?;
                let mut server = site.homing("")?;
                let (seconds, memory) = watched(&mut server, site.people)?;
                Ok(Values::from([
                    ("first-sync", people / seconds),
                    ("first-sync-memory", (memory - CACHE).max(0.0)),
                    (
                        "first-sync-cpu",
                        cpu_seconds(&[server.process()?])? * 1e6 / people,
                    ),
                    (
                        "first-sync-slapd-cpu",
                        (site.processor()? - before) * 1e6 / people,
                    ),
                ]))
            }),
            Side::new("ldapsearch", move || {
                let before = site.processor()?;
                let seconds = site.refresh()?;
                Ok(Values::from([
                    ("first-sync", people / seconds),
                    (
                        "first-sync-slapd-cpu",
                        (site.processor()? - before) * 1e6 / people,
                    ),
                ]))
            }),
        ],
        warm_up: true,
    }
}

/// Seconds from the start of the process until everybody is here, and the most memory that it had, in MiB.
fn watched(server: &mut Server, people: usize) -> Result<(f64, f64)> {
    let mut memory = 0.0f64;
    loop {
        let status = server.status()?;
        memory = memory.max(server.memory()?);
        if status.state == "following" && status.linked == people as u64 {
            let seconds = server.age();
            ensure!(status.aside == 0 && status.error.is_none(), "{status:?}");
            return Ok((seconds, memory));
        }
        ensure!(
            server.age() < 3600.0,
            "everybody should be here by now: {status:?}"
        );
        pause(LOOK);
    }
}

fn resume(server: &mut Server) -> Result<Values> {
    server.rest()?;
    let began = now();
    server.begin()?;
    server.until("it follows", |status| status.state == "following")?;
    let start = began.elapsed().as_secs_f64() * 1000.0;
    let began = now();
    let status = server.run(Comparison::Changes)?;
    let again = began.elapsed().as_secs_f64() * 1000.0;
    ensure!(status.here + status.there == 0, "{status:?}");
    Ok(Values::from([("resume", again), ("resume-start", start)]))
}

fn lost_log(site: &mut Site, mut server: Server) -> Contest<'_> {
    let mut shuffle = Shuffle::new(5);
    alone(vec![LOST_LOG], move || {
        server.rest()?;
        let number = shuffle.next(site.people);
        let name = format!("Unheard {}", server.age());
        Editor::connect(&site.slapd.uri(), &site.slapd.root)?.replace(
            &site.dn(number),
            "displayName",
            &name,
        )?;
        site.slapd.stop()?;
        site.slapd.restart()?;
        let began = now();
        server.begin()?;
        server.until("it follows", |status| {
            status.state == "following" && status.here > 0
        })?;
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        let account = server.api.get(&Server::account(number))?;
        ensure!(
            account.get("display_name").and_then(serde_json::Value::as_str) == Some(&name),
            "{account}"
        );
        Ok(Values::from([(LOST_LOG.name, millis)]))
    })
}

fn audit(site: &Site, mut server: Server) -> Contest<'_> {
    alone(AUDIT.to_vec(), move || {
        let (before, csn) = (server.status()?, site.context_csn()?);
        let began = now();
        let after = server.run(Comparison::Everything)?;
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        ensure!(
            after.linked == site.people as u64 && after.aside == 0 && site.context_csn()? == csn,
            "{after:?}"
        );
        let writes = (after.here + after.there).saturating_sub(before.here + before.there);
        Ok(Values::from([("audit", millis), ("audit-writes", writes as f64)]))
    })
}

fn edits(site: &Site, mut server: Server, size: Size) -> Result<Contest<'_>> {
    let editor = Editor::connect(&site.slapd.uri(), &site.slapd.root)?;
    let mut shuffle = Shuffle::new(7);
    let names = Names {
        commit: EDITS[0].name,
        middle: EDITS[1].name,
        slow: EDITS[2].name,
    };
    Ok(alone(EDITS.to_vec(), move || {
        edits::round(&editor, &mut server, names, size.edits, || {
            let number = shuffle.next(site.people);
            (site.dn(number), Server::account(number))
        })
    }))
}

fn ad(binary: &HomingBinary, size: Size) -> Result<Vec<Measured>> {
    let domain = ad::Domain::start(binary, AD_PEOPLE)?;
    let editor = Editor::connect(&domain.samba.uri(), &domain.samba.administrator)?;
    let mut shuffle = Shuffle::new(13);
    let names = Names {
        commit: AD[0].name,
        middle: AD[1].name,
        slow: AD[2].name,
    };
    let (samba, people) = (&domain.samba, domain.people);
    let server = RefCell::new(domain.server);
    alone(AD.to_vec(), || {
        edits::round(&editor, &mut server.borrow_mut(), names, size.edits, || {
            ad::Domain::place(samba, shuffle.next(people))
        })
    })
    .run(size.rounds)
}

const MEMORY: Figure = Figure {
    name: "linked-memory",
    title: "memory with everybody linked, after a comparison of everything, beyond the store's cache",
    unit: "MiB",
    higher_is_better: false,
    bar: Bar::AtMost(64.0),
};

const MEMORY_PEAK: Figure = Figure {
    name: "linked-memory-peak",
    title: "the most that it was on the way there",
    unit: "MiB",
    higher_is_better: false,
    bar: Bar::AtMost(64.0),
};

const MEMORY_RATE: Figure = Figure {
    name: "linked-first-sync",
    title: "first synchronisation, from the start of the process",
    unit: "accounts/s",
    higher_is_better: true,
    bar: Bar::None,
};

/// The figures of [`memory`], for the list.
pub(crate) fn memory_figures() -> [Figure; 3] {
    [MEMORY, MEMORY_PEAK, MEMORY_RATE]
}

/// How much memory so many linked accounts take.
pub(crate) fn memory(binary: &HomingBinary, size: Size) -> Result<Vec<Measured>> {
    let site = Site::start(binary, size.people, size.slower)?;
    let contest = Contest {
        figures: memory_figures().to_vec(),
        sides: vec![Side::new(OURS, || linked_memory(&site))],
        warm_up: false,
    };
    contest.run_once()
}

fn linked_memory(site: &Site) -> Result<Values> {
    let mut server = site.homing("")?;
    let (seconds, first) = watched(&mut server, site.people)?;
    let (told, ended) = std::sync::mpsc::channel::<()>();
    let process = server.process()?;
    let watcher = std::thread::spawn(move || -> Result<f64> {
        let mut most = 0.0f64;
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            most = most.max(anonymous_kib(process)? / 1024.0);
        }
        Ok(most)
    });
    let audited = server.run(Comparison::Everything);
    drop(told);
    let audit = watcher.join().ok().context("the watcher panicked")??;
    audited?;
    Ok(Values::from([
        (MEMORY.name, (server.memory()? - CACHE).max(0.0)),
        (MEMORY_PEAK.name, (first.max(audit) - CACHE).max(0.0)),
        (MEMORY_RATE.name, site.people as f64 / seconds),
    ]))
}

/// What the report says about the run.
pub(crate) fn setting(binary: &HomingBinary, size: Size) -> Result<Setting> {
    let slower = (!size.slower.is_zero()).then(|| {
        format!(
            "every commit to the disk, of slapd and of homing alike, takes {} ms longer than this disk's",
            size.slower.as_millis()
        )
    });
    Ok(Setting {
        benchmark: "sync",
        programs: BTreeMap::from([
            (OURS, binary.run(&["--version"])?.trim().to_owned()),
            ("ldap-utils", openldap_version()),
        ]),
        machine: machine_line(),
        file_system: file_system(&std::env::temp_dir()),
        rounds: size.rounds,
        notes: vec![
            format!(
                "one slapd with {} people, two aliases each, every commit durable; homing serve with its store on disk, asked over its admin socket",
                size.people
            ),
            "times of a first sync are from the start of the process, of an edit from before it is sent".to_owned(),
            format!(
                "pushes are switches of {} accounts (serial and single: a tenth) made while synchronisation rests, from its start until all is acknowledged here; ldapmodify writes the same to the same entries",
                size.changes
            ),
            "serial has writes = { rate = 0, window = 1, transaction = 1 }, single { rate = 0, transaction = 1 }, bulk the defaults".to_owned(),
            "reads-*: somebody else looks people up 250 times a second at most; quiet is the same with nobody else, ldapsearch and ldapmodify the same beside them; slapd has a processor of its own there".to_owned(),
            format!("memory is anonymous pages, less the {CACHE} MiB that the store's cache may have"),
        ]
        .into_iter()
        .chain(slower)
        .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_choose_their_part() {
        let wanted: Vec<Part> = Part::ALL
            .into_iter()
            .filter(|part| part.is_wanted(&["audit-writes".to_owned(), "push-bulk".to_owned()]))
            .collect();
        assert_eq!(wanted, [Part::Audit, Part::Bulk]);
        assert!(Part::ALL.into_iter().all(|part| part.is_wanted(&[])));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = figures().iter().map(|figure| figure.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
