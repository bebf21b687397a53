//! `frontend`: our front end beside nginx's mail proxy, Dovecot's proxy, HAProxy, Perdition and Postfix.
//!
//! All stand before the same two homes and, where they can, ask the same slapd. What counts is the CPU time and the
//! memory of the front end alone: neither the homes' nor the directory's, nor that of nginx's responder.

mod auth_http;
mod figures;
mod peers;
mod stage;

pub(crate) use figures::figures;

use crate::client::{Dialect, Target};
use crate::compare::{Contest, Measured, OURS, Setting, Side, Values};
use crate::load::{Load, Until, Work, drive, hold};
use crate::machine::{cpu_seconds, file_system, pss_kib};
use crate::run::machine_line;
use anyhow::{Context, Result};
use figures::{Kind, Row, Security};
use stage::{Front, Home, Homes, Stage};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use testkit::HomingBinary;
use tokio::runtime::Runtime;

const MESSAGE: usize = 4096;
/// Idle sessions that are held for the two figures.
const IDLE: (usize, usize) = (1000, 5000);

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) span: Duration,
}

/// The names of the rows, for `--only`.
pub(crate) fn row_names() -> impl Iterator<Item = &'static str> {
    figures::rows().into_iter().map(|row| row.name)
}

/// What a reader needs to judge the run.
pub(crate) fn setting(binary: &HomingBinary, pace: Pace) -> Result<Setting> {
    Ok(Setting {
        benchmark: "frontend",
        programs: stage::versions(binary)?,
        machine: machine_line(),
        file_system: file_system(&std::env::temp_dir()),
        rounds: pace.rounds,
        notes: [
            "passwords are {SSHA} in slapd; Homing has a live map and remembers right credentials, Dovecot asks slapd with its auth cache on, nginx asks a responder that knows everybody beforehand and is not counted, Perdition only looks up the home, HAProxy relays and knows nobody",
            "login-bind is Homing with a bind at slapd for each login and no cache, beside the others as they are",
            "homes: one that answers at once (127.0.0.2), and Dovecot with mailboxes (the figures named -real)",
            "CPU ms are those of the front end's processes for one operation; memory is PSS",
            "Postfix takes a message into its queue on disk and delivers it afterwards; all others answer when the home has taken it",
        ]
        .map(str::to_owned)
        .to_vec(),
    })
}

/// Runs all contests whose name begins with one of `only`, or all.
pub(crate) fn run(
    binary: &HomingBinary,
    pace: Pace,
    only: &[String],
    mut report: impl FnMut(&[Measured]) -> Result<()>,
    mut note: impl FnMut(&str) -> Result<()>,
) -> Result<Vec<Measured>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut all = Vec::new();
    let wanted: Vec<Row> = figures::rows()
        .into_iter()
        .filter(|row| only.is_empty() || only.iter().any(|name| name == row.name))
        .collect();
    let mut stage: Option<Stage> = None;
    for row in wanted {
        // Memory is measured on servers that have done nothing else.
        if row.is_idle() || stage.is_none() {
            drop(stage.take());
            let started = Stage::start(binary)?;
            if all.is_empty() && !started.missing.is_empty() {
                note(&format!(
                    "not installed, left out: {}",
                    started.missing.join(", ")
                ))?;
            }
            stage = Some(started);
        }
        let stage = stage.as_ref().context("a stage")?;
        let contest = contest(stage, &runtime, row, pace);
        let measured = if row.is_idle() {
            contest.run_once()?
        } else {
            contest.run(pace.rounds)?
        };
        report(&measured)?;
        all.extend(measured);
    }
    Ok(all)
}

/// The sides of a row, ours first, then the one whose ratio counts.
fn contest<'a>(stage: &'a Stage, runtime: &'a Runtime, row: Row, pace: Pace) -> Contest<'a> {
    let mut fronts: Vec<&Front> = stage.fronts.iter().collect();
    if row.kind == Kind::LoginBind
        && let Some(first) = fronts.first_mut()
    {
        *first = &stage.binding;
    }
    // Stable: ours stays first, the one that the bar is for comes second.
    fronts.sort_by_key(|front| match front.name {
        OURS => 0,
        name if name == row.against => 1,
        _ => 2,
    });
    let mut sides = Vec::new();
    for front in fronts {
        // Perdition has a process for each session: thousands of them say nothing that is not known.
        if row.is_idle() && front.name == "perdition" {
            continue;
        }
        if let Some(place) = place(front, row) {
            sides.push((front.name, Some(front.leader), place));
        }
    }
    if matches!(row.kind, Kind::Noop { .. } | Kind::Fetch) && row.security == Security::Plain {
        sides.push(("direct", None, (Homes::NULL, stage.homes.imap, Dialect::Smtp)));
    }
    let sides = sides.into_iter().map(|(name, leader, (host, port, dialect))| {
        let address = SocketAddr::from((host, port));
        let leaders: Vec<u32> = leader.into_iter().collect();
        let mut number = 0;
        Side::new(name, move || {
            let target = match row.security {
                Security::Plain => address.into(),
                Security::Tls => stage.tls(address)?,
            };
            number += 1;
            let round = Round {
                row,
                target,
                dialect,
                leaders: &leaders,
                number,
                span: pace.span,
            };
            if row.is_idle() {
                round.idle(stage, runtime)
            } else {
                round.load(stage, runtime)
            }
        })
    });
    Contest {
        figures: row.figures(),
        sides: sides.collect(),
        warm_up: !row.is_idle(),
    }
}

/// Where a front end is asked for a row, if it can do that.
fn place(front: &Front, row: Row) -> Option<(Ipv4Addr, u16, Dialect)> {
    let imap = |port: Option<u16>| port.map(|port| (Ipv4Addr::LOCALHOST, port, Dialect::Smtp));
    match (row.kind, row.security) {
        (Kind::Deliver, _) => front
            .smtp
            .map(|(port, dialect)| (Ipv4Addr::LOCALHOST, port, dialect)),
        (Kind::LoginReal, _) => imap(front.imap_real),
        (_, Security::Plain) => imap(front.imap),
        (_, Security::Tls) => imap(front.imaps),
    }
}

/// One round of one side.
struct Round<'a> {
    row: Row,
    target: Target,
    dialect: Dialect,
    leaders: &'a [u32],
    number: u64,
    span: Duration,
}

impl Round<'_> {
    fn load(&self, stage: &Stage, runtime: &Runtime) -> Result<Values> {
        let (work, connections) = match self.row.kind {
            Kind::Login | Kind::LoginBind | Kind::LoginReal | Kind::Idle => (Work::ImapLogin, 10),
            Kind::Noop { sessions } => (Work::ImapNoop, sessions),
            Kind::Fetch => (Work::ImapFetchBody { messages: 1 }, 4),
            Kind::Deliver => (
                Work::Deliver {
                    dialect: self.dialect,
                    size: MESSAGE,
                },
                20,
            ),
        };
        let home = match self.row.kind {
            Kind::LoginReal => Home::Real,
            _ => Home::Null,
        };
        let load = Load {
            work,
            target: self.target.clone(),
            logins: stage.logins(home),
            connections,
            round: self.number,
        };
        let tally = drive(
            runtime,
            load.run(Until::Span(self.span), || cpu_seconds(self.leaders)),
        )?;
        let seconds = tally.elapsed.as_secs_f64();
        let operations = tally.operations as f64;
        let first = match self.row.first.unit {
            "ms" => seconds * 1000.0 * connections as f64 / operations,
            "MB/s" => tally.bytes as f64 / 1e6 / seconds,
            _ => operations / seconds,
        };
        let mut values = Values::from([(self.row.first.name, first)]);
        if let Some(second) = self.row.second
            && !self.leaders.is_empty()
        {
            let (before, after) = tally.readings;
            values.insert(second.name, (after - before) * 1000.0 / operations);
        }
        Ok(values)
    }

    /// Sessions are added up to 1,000, then up to 5,000; what a server sets up once is not a session's.
    fn idle(&self, stage: &Stage, runtime: &Runtime) -> Result<Values> {
        let logins = stage.logins(Home::Null);
        let (few, many) = IDLE;
        drive(runtime, async {
            let first = hold(&self.target, &logins, logins.len()).await?;
            let before = pss_kib(self.leaders)?;
            let held = hold(&self.target, &logins, few).await?;
            let at_few = pss_kib(self.leaders)?;
            let more = hold(&self.target, &logins, many - few).await?;
            let at_many = pss_kib(self.leaders)?;
            drop((first, held, more));
            let mut values = Values::from([(self.row.first.name, (at_few - before) / few as f64)]);
            if let Some(second) = self.row.second {
                values.insert(second.name, (at_many - before) / many as f64);
            }
            Ok(values)
        })
    }
}
