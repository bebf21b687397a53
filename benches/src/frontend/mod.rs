//! `frontend`: our front end beside nginx's mail and HTTP proxies, Dovecot's proxy, HAProxy, Perdition and Postfix.
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
use crate::load::{Load, Until, Visitor, Work, drive, hold};
use crate::machine::{cpu_seconds, file_system, pss_kib};
use crate::null_home::{LARGE_PAGE, SMALL_PAGE};
use crate::run::machine_line;
use anyhow::{Context, Result};
use figures::{Kind, Page, Row, Security};
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
            "added-* is the time of one operation at a time through the front end, less that without it right afterwards",
            "by HTTP, Homing checks a session cookie, sends the account's own credential home and logs each request; nginx (proxy_pass, kept connections) logs each request, HAProxy (mode http) none; neither knows anybody",
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
            let started = Stage::start(binary, &runtime)?;
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
    if let Some(direct) = direct(stage, row) {
        sides.push(("direct", None, direct));
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
                name,
                row,
                target,
                dialect,
                leaders: &leaders,
                without: direct(stage, row)
                    .filter(|_| leader.is_some())
                    .map(|(host, port, _)| SocketAddr::from((host, port))),
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
    let plain = |port: Option<u16>| port.map(|port| (Ipv4Addr::LOCALHOST, port, Dialect::Smtp));
    match (row.kind, row.security) {
        (Kind::Deliver, _) => front
            .smtp
            .map(|(port, dialect)| (Ipv4Addr::LOCALHOST, port, dialect)),
        (Kind::Get { .. }, _) => plain(front.http),
        (_, Security::Tls) => plain(front.imaps),
        (_, Security::Plain) => match row.home {
            Home::Real => plain(front.imap_real),
            Home::Null => plain(front.imap),
        },
    }
}

/// The home itself, where a row says something about it without a front end.
fn direct(stage: &Stage, row: Row) -> Option<(Ipv4Addr, u16, Dialect)> {
    let host = match row.home {
        Home::Null => Homes::NULL,
        Home::Real => Homes::REAL,
    };
    let port = match row.kind {
        Kind::Get { .. } => stage.homes.http,
        Kind::Noop { .. } | Kind::Fetch => stage.homes.imap,
        Kind::Login { .. } if row.is_latency() => stage.homes.imap,
        _ => return None,
    };
    (row.security == Security::Plain).then_some((host, port, Dialect::Smtp))
}

/// One round of one side.
struct Round<'a> {
    name: &'static str,
    row: Row,
    target: Target,
    dialect: Dialect,
    leaders: &'a [u32],
    /// Where to ask for the same without a front end.
    without: Option<SocketAddr>,
    number: u64,
    span: Duration,
}

impl Round<'_> {
    fn load(&self, stage: &Stage, runtime: &Runtime) -> Result<Values> {
        let (work, connections) = match self.row.kind {
            Kind::Login { sessions } => (Work::ImapLogin, sessions),
            Kind::LoginBind | Kind::Idle => (Work::ImapLogin, 10),
            Kind::Get { page, sessions } => {
                let (path, _) = match page {
                    Page::Small => SMALL_PAGE,
                    Page::Large => LARGE_PAGE,
                };
                let visitor = match self.name {
                    OURS => Visitor::LoggedIn,
                    _ => Visitor::Stranger,
                };
                (Work::HttpGet { path, visitor }, sessions)
            }
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
        let load = Load {
            work,
            target: self.target.clone(),
            logins: stage.logins(self.row.home),
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
        let Some(second) = self.row.second else {
            return Ok(values);
        };
        if self.row.is_latency() {
            if let Some(without) = self.without {
                values.insert(second.name, first - self.alone(&load, without, runtime)?);
            }
        } else if !self.leaders.is_empty() {
            let (before, after) = tally.readings;
            values.insert(second.name, (after - before) * 1000.0 / operations);
        }
        Ok(values)
    }

    /// Milliseconds of one operation at the home itself.
    fn alone(&self, load: &Load, home: SocketAddr, runtime: &Runtime) -> Result<f64> {
        let mut load = load.clone();
        load.target = home.into();
        if let Work::HttpGet { visitor, .. } = &mut load.work {
            *visitor = Visitor::Stranger;
        }
        let tally = drive(runtime, load.run(Until::Span(self.span), || Ok(())))?;
        Ok(tally.elapsed.as_secs_f64() * 1000.0 * load.connections as f64 / tally.operations as f64)
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
