//! The benchmark `directory`: look-ups, a whole refresh, logins by bind, and the live map, against one slapd.
//!
//! The peers are the library `ldap3` and the program `ldapsearch`; they ask for the same entries and attributes
//! with the same rights. Client and server run on processors of their own when there are two.

mod stage;

use crate::compare::{Contest, Figure, Measured, OURS, Setting, Side};
use crate::machine::file_system;
use crate::probe::{Library, Task};
use crate::run::machine_line;
use crate::stats::{Bar, median};
use anyhow::Result;
use stage::{Directory, values};
use std::collections::BTreeMap;
use std::process::Command;
use testkit::HomingBinary;

/// What an account is in this directory.
pub(crate) const OBJECT_CLASS: &str = "homingAccount";

/// What the product asks for when it looks an account up.
pub(crate) const ATTRIBUTES: [&str; 14] = [
    "cn",
    "displayName",
    "entryCSN",
    "entryUUID",
    "givenName",
    "homingEnabled",
    "homingQuota",
    "mail",
    "mailHost",
    "mailLocalAddress",
    "objectClass",
    "pwdAccountLockedTime",
    "pwdReset",
    "sn",
];

/// The filter that the product's default pattern makes. The addresses here have nothing to escape.
pub(crate) fn filter(address: &str) -> String {
    format!("(&(objectClass={OBJECT_CLASS})(|(mail={address})(mailLocalAddress={address})))")
}

/// How large and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) people: usize,
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
}

const fn figure(name: &'static str, title: &'static str, unit: &'static str, bar: Bar) -> Figure {
    Figure {
        name,
        title,
        unit,
        higher_is_better: false,
        bar,
    }
}

const fn rate(name: &'static str, title: &'static str, unit: &'static str, bar: Bar) -> Figure {
    Figure {
        name,
        title,
        unit,
        higher_is_better: true,
        bar,
    }
}

/// The windows of look-ups: figure of the rate, figure of the CPU time.
const WINDOWS: [(usize, &str, &str); 3] = [
    (1, "lookups-1", "lookups-1-cpu"),
    (32, "lookups-32", "lookups-32-cpu"),
    (128, "lookups-128", "lookups-128-cpu"),
];

const REFRESH: [Figure; 3] = [
    rate(
        "refresh",
        "entries of one whole Content Sync refresh",
        "entries/s",
        Bar::RatioAtLeast(0.8),
    ),
    figure(
        "refresh-cpu",
        "CPU time of the client for 100,000 entries",
        "CPU s",
        Bar::AtMost(1.0),
    ),
    figure(
        "refresh-memory",
        "memory that the refresh adds at its peak",
        "MiB",
        Bar::AtMost(8.0),
    ),
];

const BINDS: [Figure; 2] = [
    rate(
        "binds-32",
        "logins by search and bind, 32 at once",
        "op/s",
        Bar::None,
    ),
    figure(
        "binds-32-cpu",
        "CPU time of the client for a login",
        "CPU ms",
        Bar::None,
    ),
];

const LIVE: [Figure; 4] = [
    rate(
        "live-fill",
        "filling a live map",
        "entries/s",
        Bar::RatioAtLeast(0.8),
    ),
    figure(
        "live-memory",
        "memory of a filled live map (two aliases)",
        "B/account",
        Bar::AtMost(256.0),
    ),
    figure(
        "live-peak",
        "memory while it fills",
        "B/account",
        Bar::AtMost(384.0),
    ),
    rate(
        "live-lookups",
        "look-ups in a live map on one processor",
        "op/s",
        Bar::AtLeast(1e6),
    ),
];

const EDITS: [Figure; 3] = [
    figure("edit-commit", "slapd answers an edit, median", "ms", Bar::None),
    figure(
        "edit-to-map",
        "from that answer until the live map says so, median",
        "ms",
        Bar::None,
    ),
    figure(
        "edit-to-map-p99",
        "the same, 99th percentile",
        "ms",
        Bar::AtMost(50.0),
    ),
];

/// All figures, for the list.
pub(crate) fn figures() -> Vec<Figure> {
    let windows = WINDOWS
        .iter()
        .flat_map(|(_, rate, cpu)| lookups_figures(rate, cpu));
    windows
        .chain(REFRESH)
        .chain(BINDS)
        .chain(LIVE)
        .chain(EDITS)
        .collect()
}

fn lookups_figures(name: &'static str, cpu: &'static str) -> [Figure; 2] {
    [
        rate(name, "look-ups of an address", "op/s", Bar::None),
        figure(cpu, "CPU time of the client for a look-up", "CPU ms", Bar::None),
    ]
}

/// Runs everything; `each` sees a contest's rows as soon as they are there.
pub(crate) fn run(
    binary: &HomingBinary,
    size: Size,
    mut each: impl FnMut(&[Measured]) -> Result<()>,
) -> Result<Vec<Measured>> {
    let directory = Directory::start(binary, size.people)?;
    let mut all = Vec::new();
    for contest in contests(&directory, size) {
        // A live map and edits have no peer for some of their figures, and take long: they are run less often.
        let measured = contest.run(size.rounds)?;
        each(&measured)?;
        all.extend(measured);
    }
    Ok(all)
}

fn contests(directory: &Directory, size: Size) -> Vec<Contest<'_>> {
    let mut contests: Vec<Contest<'_>> = WINDOWS
        .iter()
        .map(|(window, name, cpu)| lookups(directory, size, *window, name, cpu))
        .collect();
    contests.push(refresh(directory));
    contests.push(binds(directory, size));
    contests.push(live(directory, size));
    contests.push(edits(directory));
    contests
}

fn lookups<'a>(
    directory: &'a Directory,
    size: Size,
    window: usize,
    name: &'static str,
    cpu: &'static str,
) -> Contest<'a> {
    let probe = move |library| {
        move || {
            let task = Task::Lookups {
                window,
                millis: size.millis,
            };
            let answer = directory.probe(library, task)?;
            let operations = answer.operations as f64;
            Ok(values([
                (name, operations / answer.seconds),
                (cpu, answer.cpu_seconds * 1000.0 / operations),
            ]))
        }
    };
    let mut sides = vec![
        Side::new(OURS, probe(Library::Homing)),
        Side::new("ldap3", probe(Library::Ldap3)),
    ];
    if window == 1 {
        // About as many as fit into the same time.
        let count = usize::try_from(size.millis)
            .unwrap_or(usize::MAX)
            .saturating_mul(4);
        let filters = directory.filters(count);
        sides.push(Side::new("ldapsearch", move || {
            let (seconds, used) = directory.ldapsearch(&[], Some(&filters))?;
            Ok(values([
                (name, count as f64 / seconds),
                (cpu, used * 1000.0 / count as f64),
            ]))
        }));
    }
    Contest {
        figures: lookups_figures(name, cpu).to_vec(),
        sides,
        warm_up: true,
    }
}

fn refresh(directory: &Directory) -> Contest<'_> {
    let people = directory.people as f64;
    Contest {
        figures: REFRESH.to_vec(),
        sides: vec![
            Side::new(OURS, move || {
                let answer = directory.probe(Library::Homing, Task::Refresh)?;
                anyhow::ensure!(
                    answer.operations >= directory.people as u64,
                    "entries are missing"
                );
                Ok(values([
                    ("refresh", people / answer.seconds),
                    ("refresh-cpu", answer.cpu_seconds * 1e5 / people),
                    (
                        "refresh-memory",
                        (answer.memory_peak - answer.memory_before) / 1024.0,
                    ),
                ]))
            }),
            Side::new("ldapsearch", move || {
                let (seconds, used) = directory.ldapsearch(&["-E", "sync=ro"], None)?;
                Ok(values([
                    ("refresh", people / seconds),
                    ("refresh-cpu", used * 1e5 / people),
                ]))
            }),
        ],
        warm_up: true,
    }
}

fn binds(directory: &Directory, size: Size) -> Contest<'_> {
    let probe = move |library| {
        move || {
            let task = Task::Binds {
                window: 32,
                millis: size.millis,
            };
            let answer = directory.probe(library, task)?;
            let operations = answer.operations as f64;
            Ok(values([
                ("binds-32", operations / answer.seconds),
                ("binds-32-cpu", answer.cpu_seconds * 1000.0 / operations),
            ]))
        }
    };
    Contest {
        figures: BINDS.to_vec(),
        sides: vec![
            Side::new(OURS, probe(Library::Homing)),
            Side::new("ldap3", probe(Library::Ldap3)),
        ],
        warm_up: true,
    }
}

fn live(directory: &Directory, size: Size) -> Contest<'_> {
    let people = directory.people as f64;
    Contest {
        figures: LIVE.to_vec(),
        sides: vec![
            Side::new(OURS, move || {
                let answer = directory.probe(Library::Homing, Task::LiveMap { millis: size.millis })?;
                let per_account = |kib: f64| (kib - answer.memory_before) * 1024.0 / people;
                Ok(values([
                    ("live-fill", people / answer.seconds),
                    ("live-memory", per_account(answer.memory_after)),
                    ("live-peak", per_account(answer.memory_peak)),
                    ("live-lookups", answer.lookups_per_second),
                ]))
            }),
            Side::new("ldapsearch", move || {
                let (seconds, _) = directory.ldapsearch(&["-E", "sync=ro"], None)?;
                Ok(values([("live-fill", people / seconds)]))
            }),
        ],
        warm_up: false,
    }
}

fn edits(directory: &Directory) -> Contest<'_> {
    Contest {
        figures: EDITS.to_vec(),
        sides: vec![Side::new(OURS, move || {
            let answer = directory.probe(Library::Homing, Task::Edits { count: 300 })?;
            Ok(values([
                ("edit-commit", median(&answer.commit_millis)),
                ("edit-to-map", median(&answer.latency_millis)),
                ("edit-to-map-p99", percentile(&answer.latency_millis, 0.99)),
            ]))
        })],
        warm_up: false,
    }
}

/// The value that this share of all values does not exceed.
pub(crate) fn percentile(all: &[f64], share: f64) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil().max(1.0);
    sorted
        .into_iter()
        .take_while({
            let mut seen = 0.0;
            move |_| {
                seen += 1.0;
                seen <= rank
            }
        })
        .last()
        .unwrap_or(f64::NAN)
}

/// What the programs of the package ldap-utils call themselves.
pub(crate) fn openldap_version() -> String {
    let output = Command::new("ldapsearch").arg("-VV").output();
    let text = output.map(|output| {
        let all = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&all).into_owned()
    });
    // `$OpenLDAP: ldapsearch 2.5.13 (when it was built) $`
    let found = text.ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.split("OpenLDAP: ").nth(1))?;
        line.split(" (").next().map(str::to_owned)
    });
    found.unwrap_or_else(|| "OpenLDAP".to_owned())
}

/// What the report says about the run.
pub(crate) fn setting(binary: &HomingBinary, size: Size) -> Result<Setting> {
    Ok(Setting {
        benchmark: "directory",
        programs: BTreeMap::from([
            (OURS, binary.run(&["--version"])?.trim().to_owned()),
            ("ldap3", "ldap3 0.12 (crate)".to_owned()),
            ("ldapsearch", openldap_version()),
        ]),
        machine: machine_line(),
        file_system: file_system(&std::env::temp_dir()),
        rounds: size.rounds,
        notes: vec![
            format!(
                "one slapd with {} people, two aliases each, {{SSHA}} passwords; clients run on one processor, slapd on another",
                size.people
            ),
            "our look-ups read entries through the attribute mapping, without any cache; ldap3 and ldapsearch only fetch them".to_owned(),
            "CPU time is the client's; memory is what anonymous pages grew by".to_owned(),
            "edit-to-map is measured from slapd's answer; half of the 0.1 ms between two looks is its error".to_owned(),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&[3.0, 1.0], 0.99), 3.0);
        assert!(percentile(&[], 0.5).is_nan());
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
