//! The soak: editors on both sides, restarts and kills of all servers, a session log that overflows; at the end both
//! sides agree and every value that was dropped is in the conflict journal.
//!
//! The mail server is the product itself, one or two processes of `homing serve` edited over their admin sockets; the
//! directory is a real slapd or Samba. Everything that is drawn comes from a seed, but processes keep their own time,
//! so a seed repeats the kind of a run and not the run.

mod chronicle;
mod directory;
mod editors;
mod fates;
mod home;
mod judge;
mod side;

use crate::clock::now;
use crate::probe::Shuffle;
use anyhow::{Context, Result, ensure};
use chronicle::Chronicle;
pub(crate) use directory::Kind;
use directory::{DOMAIN, Directory};
use home::{CONNECTOR, Home};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::{HomingBinary, free_port};

/// Groups.
const TEAMS: usize = 5;
/// Between two lines of progress.
const TOLD: Duration = Duration::from_secs(60);
/// Lines of a report about what differs.
const REPORTED: usize = 200;
/// Entries that a domain controller shows in one search (MaxPageSize, MS-ADTS section 3.1.1.3.4.6), with room for those
/// who are added.
const MOST_IN_AD: usize = 750;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) span: Duration,
    pub(crate) seed: u64,
    pub(crate) people: usize,
    pub(crate) directory: Kind,
    /// How many servers share the directory.
    pub(crate) back_ends: usize,
}

/// Runs it; what differed at the end.
pub(crate) fn run(binary: &HomingBinary, plan: Plan) -> Result<Vec<String>> {
    ensure!(
        plan.directory == Kind::Openldap || plan.people <= MOST_IN_AD,
        "--people {} is more than a domain controller shows at once; at most {MOST_IN_AD} with --directory ad",
        plan.people
    );
    let stopped = stop_by_signal();
    say(&format!(
        "soak sync: {:?}, {} back ends, {} people, {TEAMS} groups, seed {}, for {} minutes",
        plan.directory,
        plan.back_ends,
        plan.people,
        plan.seed,
        plan.span.as_secs() / 60
    ))?;
    let mut soak = Soak::start(binary, plan)?;
    let outcome = soak.run(plan.span, &stopped);
    if !outcome.as_ref().is_ok_and(Vec::is_empty) {
        let folder = soak.keep()?;
        say(&format!(
            "logs and stores of the back ends are in {}",
            folder.display()
        ))?;
    }
    outcome
}

/// Ctrl-C once ends the editing and goes on to the verdict; twice ends at once.
fn stop_by_signal() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stopped);
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if told.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    });
    stopped
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

struct Soak {
    directory: Directory,
    homes: Vec<Home>,
    /// The port of each back end's IMAP service.
    ports: Vec<u16>,
    chronicle: Chronicle,
    draw: Shuffle,
    /// For values that nobody used before.
    next: u64,
    /// How many people there are to be.
    people: usize,
    /// The next person's number.
    newest: usize,
    known: editors::Known,
    looked: Instant,
    fates: fates::Fates,
    /// How often a comparison of everything was needed to end a wait.
    forgotten: u32,
}

impl Soak {
    fn start(binary: &HomingBinary, plan: Plan) -> Result<Self> {
        let names: Vec<String> = (0..plan.back_ends)
            .map(|number| format!("mail{number}.{DOMAIN}"))
            .collect();
        let directory = Directory::start(binary, plan.directory, (plan.people, TEAMS), &names)?;
        let mut soak = Self {
            directory,
            homes: Vec::new(),
            ports: names.iter().map(|_| free_port()).collect::<Result<_>>()?,
            chronicle: Chronicle::default(),
            draw: Shuffle::new(plan.seed),
            next: 0,
            people: plan.people,
            newest: plan.people,
            known: editors::Known::default(),
            looked: now(),
            fates: fates::Fates::default(),
            forgotten: 0,
        };
        for (at, name) in names.iter().enumerate() {
            let config = soak.config(at, name, names.len() > 1)?;
            let home = Home::start(binary, name, names.len() > 1, &config)?;
            soak.homes.push(home);
        }
        let left = soak.settled()?;
        ensure!(left.is_none(), "the first synchronisation does not end: {left:?}");
        soak.look()?;
        Ok(soak)
    }

    fn run(&mut self, span: Duration, stopped: &AtomicBool) -> Result<Vec<String>> {
        let began = now();
        let (mut told, mut fate_at) = (began, self.after(3_000, 12_000));
        while began.elapsed() < span && !stopped.load(Ordering::Relaxed) {
            self.edit()?;
            if now() >= fate_at {
                self.fate()?;
                fate_at = self.after(3_000, 12_000);
            }
            if told.elapsed() > TOLD {
                told = now();
                self.tell(began)?;
            }
        }
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        let problems = self.judge()?;
        let lost = self.conflicts()?.len();
        let verdict = if problems.is_empty() {
            "converged"
        } else {
            "FAILED"
        };
        for line in problems.iter().take(REPORTED) {
            say(line)?;
        }
        let all = &self.chronicle;
        say(&format!(
            "soak sync: {verdict} after {minutes:.1} minutes: {} edits in the directory, {} here, {} without an answer; {}; {} waits ended by hand, {lost} dropped values in the conflict journal, {} problems",
            all.there,
            all.here,
            all.perhaps,
            self.fates,
            self.forgotten,
            problems.len()
        ))?;
        Ok(problems)
    }

    fn tell(&mut self, began: Instant) -> Result<()> {
        let lost = self.conflicts()?.len();
        let all = &self.chronicle;
        say(&format!(
            "{:>4} min: {} edits in the directory, {} here, {}, {lost} conflicts",
            began.elapsed().as_secs() / 60,
            all.there,
            all.here,
            self.fates
        ))
    }

    fn below(&mut self, count: usize) -> usize {
        self.draw.next(count)
    }

    fn either(&mut self, one: &'static str, other: &'static str) -> &'static str {
        if self.below(2) == 0 { one } else { other }
    }

    fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.below(to - from)) as u64)
    }

    fn after(&mut self, from: usize, to: usize) -> Instant {
        now() + self.millis(from, to)
    }

    fn unused(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn home(&mut self, at: usize) -> Result<&mut Home> {
        self.homes.get_mut(at).context("there is no such back end")
    }

    /// Starts a back end again.
    fn open(&mut self, at: usize) -> Result<()> {
        let (name, several) = (self.home(at)?.name.clone(), self.homes.len() > 1);
        let config = self.config(at, &name, several)?;
        self.home(at)?.restart(&config)
    }

    /// The configuration of a back end; what decides conflicts is another thing each time.
    fn config(&mut self, at: usize, name: &str, clustered: bool) -> Result<String> {
        let resolution = self.either("ldap-wins", "local-wins");
        let scope = match self.below(4) {
            0 => "entry",
            _ => "attribute",
        };
        let arriving = self.either("hold", "start-empty");
        let port = self.ports.get(at).context("there is no such back end")?;
        Ok(format!(
            "server_name = \"{name}\"\n[[imap.listener]]\naddress = \"127.0.0.1:{port}\"\n\
             [[connector]]\nname = \"{CONNECTOR}\"\n{}direction = \"both-ways\"\n\
             conflict_resolution = \"{resolution}\"\nconflict_scope = \"{scope}\"\n\
             clustered = {clustered}\non_host_change = \"{arriving}\"\non_delete = \"delete\"\n\
             absent = \"clear\"\nask_first = false\ntimeout = 2\n\
             # Deletions are many here, and the guard is not what is looked at.\n\
             guard = {{ limit = 1000000, floor = 1000000, percent = 100 }}\nwrites.rate = 0\n",
            self.directory.connector()
        ))
    }

    /// Puts what a person needs who looks into a failure where it stays.
    fn keep(&mut self) -> Result<PathBuf> {
        let kept = std::env::temp_dir().join(format!("homing-soak-{}", std::process::id()));
        for home in &mut self.homes {
            home.kill()?;
            copy(home.folder(), &kept.join(&home.name))?;
        }
        Ok(kept)
    }
}

/// A folder with everything in it that is a file.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
