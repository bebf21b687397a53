//! Benchmarks side by side: our servers and a named peer on the same machine, in turn, in one run.
//!
//! Owns the load generator, the home that answers at once, the stage with all servers, and the report. Quotes
//! ratios and CPU time, for a machine's absolute speed says nothing about another's. Judges no test: `./test`
//! asserts no times. docs/benchmarks.md says how to read what it prints.

mod api;
mod chart;
mod client;
mod clock;
mod compare;
mod directory;
mod figures;
mod frontend;
mod load;
mod machine;
mod null_home;
mod probe;
mod report;
mod run;
mod soak;
mod stage;
mod stats;
mod sync;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use figures::{Figure, smoke};
use machine::file_system;
use report::Setting;
use run::{Pace, Runner, machine_line};
use stage::{Sizes, Stage};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use testkit::HomingBinary;

/// Compare Homing with its peers on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "benches",
    after_help = "Example: cargo build --release -p homing && cargo run --release -p benches -- run smoke --json smoke.json --svg smoke.svg"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the benchmarks and their figures.
    List,
    /// Run a benchmark. Bars are judged, but a missed one does not change the exit code.
    #[command(
        after_help = "Example: cargo run --release -p benches -- run smoke --only imap-login,imap-noop --pairs 9"
    )]
    Run(RunArguments),
    /// Edit on both sides, restart and kill all servers for a while, and see whether they agree and nothing was lost.
    ///
    /// Exit code 0 when they do; otherwise 1, what differed is printed, and logs and stores are kept. Ctrl-C ends the
    /// editing early and goes on to the verdict.
    #[command(
        after_help = "Example: cargo run --release -p benches -- soak sync --minutes 60\nExample: cargo run --release -p benches -- soak sync --minutes 15 --directory ad --back-ends 2"
    )]
    Soak(SoakArguments),
    /// Be a client for another run (reads a job from standard input).
    #[command(hide = true)]
    Probe,
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The benchmark: `smoke`, `directory`, `frontend`, `sync`, or `sync-memory` (one round, best with
    /// `--people 1000000`).
    name: String,
    /// How often both sides are measured; fewer than 9 judge no bar.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=999))]
    pairs: u16,
    /// Seconds of each round; 0.1 to 60, default 1, for `frontend` 0.5: a run takes ten minutes.
    #[arg(long)]
    seconds: Option<f64>,
    /// Only these figures of `smoke` or `sync` or rows of `frontend`, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "FIGURE")]
    only: Vec<String>,
    /// Messages in the large mailbox.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(8..=1_000_000))]
    messages: u64,
    /// People in the directory of `directory`, `sync` and `sync-memory`.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=5_000_000))]
    people: u64,
    /// Changes in one bulk push of `sync`.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    changes: u64,
    /// Edits in one round of `sync`.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    edits: u64,
    /// Milliseconds that every commit to the disk takes longer, of slapd and of Homing alike, in `sync` (needs strace): how
    /// both do on a slower disk. 2 makes a disk that commits in half a millisecond one that does 390 in a second.
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=100))]
    slower_commits: u64,
    /// Write the figures as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw a chart into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct SoakArguments {
    /// What is soaked: `sync`.
    name: String,
    /// How long edits are made.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// What is drawn at random is drawn from this; servers keep their own time all the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// People in the directory, about.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    people: u64,
    /// The directory: slapd, or a Samba domain controller (needs root).
    #[arg(long, value_enum, default_value = "openldap")]
    directory: soak::Kind,
    /// Servers that share the directory, each with its own people (`clustered`); the directory moves people between
    /// them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=4))]
    back_ends: u64,
}

/// Messages in each mailbox that is read from.
const READ: u64 = 100;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::List => list(),
        Command::Run(arguments) => run(&arguments),
        Command::Soak(arguments) => soak(&arguments),
        Command::Probe => probe::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "smoke: Homing's back end and front end beside Dovecot's")?;
    let sizes = Sizes {
        big: 10_000,
        read: READ,
    };
    for figure in smoke(sizes) {
        writeln!(
            out,
            "  {:<20} {:>9}  {}, {}",
            figure.name,
            figure.bar.shown(),
            figure.title,
            figure.measure.unit()
        )?;
    }
    writeln!(
        out,
        "directory: look-ups, change feed, binds and live map beside ldap3 and ldapsearch"
    )?;
    list_figures(&mut out, &directory::figures())?;
    writeln!(
        out,
        "frontend: the front end beside nginx, Dovecot, HAProxy, Perdition and Postfix; mail protocols and HTTP"
    )?;
    list_figures(&mut out, &frontend::figures())?;
    writeln!(
        out,
        "sync: homing serve beside ldapsearch and ldapmodify, and how soon an edit is seen"
    )?;
    list_figures(&mut out, &sync::figures())?;
    writeln!(out, "sync-memory: what linked accounts take")?;
    list_figures(&mut out, &sync::memory_figures())?;
    Ok(())
}

fn list_figures(out: &mut impl Write, figures: &[compare::Figure]) -> Result<()> {
    for figure in figures {
        writeln!(
            out,
            "  {:<20} {:>9}  {}, {}",
            figure.name,
            figure.bar.shown(),
            figure.title,
            figure.unit
        )?;
    }
    Ok(())
}

fn run(arguments: &RunArguments) -> Result<()> {
    if let Some(seconds) = arguments.seconds
        && !(0.1..=60.0).contains(&seconds)
    {
        bail!("--seconds {seconds} is not between 0.1 and 60");
    }
    match arguments.name.as_str() {
        "smoke" => run_smoke(arguments),
        "directory" => run_directory(arguments),
        "frontend" => run_frontend(arguments),
        "sync" | "sync-memory" => run_sync(arguments),
        other => bail!("there is no benchmark {other:?}; `benches list` shows those there are"),
    }
}

/// How long a round lasts.
fn span(arguments: &RunArguments, default: f64) -> Duration {
    Duration::from_secs_f64(arguments.seconds.unwrap_or(default))
}

fn run_directory(arguments: &RunArguments) -> Result<()> {
    if !arguments.only.is_empty() {
        bail!("--only is for `smoke`");
    }
    let binary = binary()?;
    let size = directory::Size {
        people: usize::try_from(arguments.people)?,
        rounds: usize::from(arguments.pairs),
        millis: span(arguments, 1.0).as_millis().try_into()?,
    };
    let setting = directory::setting(&binary, size)?;
    say("filling slapd ...")?;
    say(&compare::head(&setting))?;
    let all = directory::run(&binary, size, |measured| {
        measured
            .iter()
            .try_for_each(|measured| say(&compare::row(measured)))
    })?;
    if let Some(path) = &arguments.json {
        write_file(path, &(compare::json(&setting, &all)? + "\n"))?;
    }
    if let Some(path) = &arguments.svg {
        let title = format!("directory, {} rounds", setting.rounds);
        write_file(path, &chart::svg(&title, &compare::chart_rows(&all)))?;
    }
    Ok(())
}

fn run_frontend(arguments: &RunArguments) -> Result<()> {
    for name in &arguments.only {
        if !frontend::row_names().any(|row| row == name) {
            let all: Vec<&str> = frontend::row_names().collect();
            bail!("there is no row {name:?}; there are {}", all.join(", "));
        }
    }
    let binary = binary()?;
    let pace = frontend::Pace {
        rounds: usize::from(arguments.pairs),
        span: span(arguments, 0.5),
    };
    let setting = frontend::setting(&binary, pace)?;
    say("starting slapd, two homes and all front ends ...")?;
    say(&compare::head(&setting))?;
    let report = |measured: &[compare::Measured]| {
        measured
            .iter()
            .try_for_each(|measured| say(&compare::row(measured)))
    };
    let all = frontend::run(&binary, pace, &arguments.only, report, say)?;
    say(&compare::summary(&setting, &all))?;
    if let Some(path) = &arguments.json {
        write_file(path, &(compare::json(&setting, &all)? + "\n"))?;
    }
    if let Some(path) = &arguments.svg {
        let title = format!("frontend, {} rounds", setting.rounds);
        write_file(path, &chart::svg(&title, &compare::chart_rows(&all)))?;
    }
    Ok(())
}

fn soak(arguments: &SoakArguments) -> Result<()> {
    if arguments.name != "sync" {
        bail!("there is no soak {:?}; there is: sync", arguments.name);
    }
    let plan = soak::Plan {
        span: Duration::from_secs(arguments.minutes * 60),
        seed: arguments.seed,
        people: usize::try_from(arguments.people)?,
        directory: arguments.directory,
        back_ends: usize::try_from(arguments.back_ends)?,
    };
    match soak::run(&binary()?, plan)?.len() {
        0 => Ok(()),
        problems => bail!("{problems} problems"),
    }
}

fn run_sync(arguments: &RunArguments) -> Result<()> {
    let known = sync::figures();
    for name in &arguments.only {
        if !known.iter().any(|figure| figure.name == name) {
            bail!("there is no figure {name:?}; `benches list` shows those there are");
        }
    }
    let binary = binary()?;
    let size = sync::Size {
        people: usize::try_from(arguments.people)?,
        rounds: usize::from(arguments.pairs),
        changes: usize::try_from(arguments.changes)?,
        edits: usize::try_from(arguments.edits)?,
        slower: Duration::from_millis(arguments.slower_commits),
    };
    let setting = sync::setting(&binary, size)?;
    say(&compare::head(&setting))?;
    let report = |measured: &[compare::Measured]| {
        measured
            .iter()
            .try_for_each(|measured| say(&compare::row(measured)))
    };
    let all = match arguments.name.as_str() {
        "sync-memory" => {
            let all = sync::memory(&binary, size)?;
            report(&all)?;
            all
        }
        _ => sync::run(&binary, size, &arguments.only, report)?,
    };
    if let Some(path) = &arguments.json {
        write_file(path, &(compare::json(&setting, &all)? + "\n"))?;
    }
    if let Some(path) = &arguments.svg {
        let title = format!("sync, {} rounds", setting.rounds);
        write_file(path, &chart::svg(&title, &compare::chart_rows(&all)))?;
    }
    Ok(())
}

fn run_smoke(arguments: &RunArguments) -> Result<()> {
    let sizes = Sizes {
        big: arguments.messages.next_multiple_of(8),
        read: READ,
    };
    let figures = chosen(smoke(sizes), &arguments.only)?;
    let binary = binary()?;
    let pace = Pace {
        pairs: usize::from(arguments.pairs),
        span: span(arguments, 1.0),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut all = Vec::new();
    let mut printed_head = None;
    // Memory is measured on servers that have done nothing else; the others get fresh ones.
    let (idle, load): (Vec<Figure>, Vec<Figure>) = figures.into_iter().partition(Figure::is_idle);
    for figures in [idle, load].iter().filter(|figures| !figures.is_empty()) {
        say("starting slapd, Homing and Dovecot, filling mailboxes ...")?;
        let stage = Stage::start(&binary, sizes, &runtime)?;
        if printed_head.is_none() {
            let setting = setting(&stage, pace);
            say(&report::head(&setting, pace))?;
            printed_head = Some(setting);
        }
        let mut runner = Runner {
            stage: &stage,
            runtime: &runtime,
            pace,
            round: 0,
        };
        for figure in figures {
            let measured = runner.measure(figure)?;
            say(&report::row(&measured))?;
            all.push(measured);
        }
    }
    let setting = printed_head.context("no figure was chosen")?;
    if let Some(path) = &arguments.json {
        write_file(path, &(report::json(&setting, &all)? + "\n"))?;
    }
    if let Some(path) = &arguments.svg {
        let title = format!("{} and {}", setting.subject, setting.peer);
        write_file(path, &chart::svg(&title, &report::chart_rows(&all)))?;
    }
    Ok(())
}

fn chosen(all: Vec<Figure>, only: &[String]) -> Result<Vec<Figure>> {
    for name in only {
        if !all.iter().any(|figure| figure.name == name) {
            bail!("there is no figure {name:?}; `benches list` shows those there are");
        }
    }
    Ok(all
        .into_iter()
        .filter(|figure| only.is_empty() || only.iter().any(|name| name == figure.name))
        .collect())
}

/// The subject: what HOMING_BIN names, else the binary of the same build.
fn binary() -> Result<HomingBinary> {
    if cfg!(debug_assertions) {
        say("this is not a release build: the load generator is slow and the figures say little")?;
    }
    HomingBinary::find().context(
        "no subject: build it with `cargo build --release -p homing` (it is looked for beside this program), or set HOMING_BIN",
    )
}

fn setting(stage: &Stage, pace: Pace) -> Setting {
    let [subject, peer] = stage.versions.clone();
    Setting {
        benchmark: "smoke",
        subject,
        peer,
        machine: machine_line(),
        file_system: file_system(&std::env::temp_dir()),
        pairs: pace.pairs,
        seconds_per_round: pace.span.as_secs_f64(),
        large_mailbox: stage.sizes.big,
        notes: [
            "passwords are {SSHA} on both sides: Homing reads them from slapd over LDAP and caches, Dovecot from a passwd-file in memory; slapd's CPU time is not counted",
            "Dovecot keeps mail in sdbox and runs login processes that serve many sessions and mail processes that are used again; both log at info to a file",
            "front-* figures have a home that answers at once behind the front end and count the front end alone; Dovecot proxies there from its passwd-file",
            "CPU ms are those of all of a server's processes for one operation; memory is PSS",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
