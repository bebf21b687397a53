//! The soak: editors on both sides, restarts and kills of both servers, a session log that overflows; at the end both
//! sides agree and every value that was dropped is in the conflict journal.
//!
//! The mail server is a process of its own ([`server`]) with the store on disk and the engine as the product runs it;
//! the directory is a real slapd. Everything that is drawn comes from a seed, but processes keep their own time, so a
//! seed repeats the kind of a run and not the run.

mod chronicle;
mod directory;
mod fates;
mod home;
mod server;
mod talk;

use crate::clock::{now, pause};
use crate::probe::Shuffle;
use anyhow::{Context, Result, bail};
use chronicle::{Chronicle, Editor, Sure, differences};
use directory::{DOMAIN, Directory, Wrote};
use home::Home;
use ldap::ModifyOperation;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use talk::{Answer, Ask, Condition, Edit, Lost, Setup, Side};
use testkit::{HomingBinary, Scratch};

/// Groups.
const TEAMS: usize = 5;
/// Between two looks at who is there.
const LOOKS: Duration = Duration::from_secs(3);
/// Between two lines of progress.
const TOLD: Duration = Duration::from_secs(60);
/// How long both sides may take to agree when the last edit is made.
const SETTLES: Duration = Duration::from_secs(300);
/// How long it may wait for a directory that is behind before somebody helps.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// Lines of a report about what differs.
const REPORTED: usize = 200;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) span: Duration,
    pub(crate) seed: u64,
    pub(crate) people: usize,
}

/// The mail server's process.
pub(crate) fn server() -> Result<()> {
    server::run()
}

/// Runs it; what differed at the end.
pub(crate) fn run(binary: &HomingBinary, plan: Plan) -> Result<Vec<String>> {
    let stopped = stop_by_signal();
    let mut soak = Soak::start(binary, plan)?;
    say(&format!(
        "soak sync: {} people, {TEAMS} groups, seed {}, for {} minutes",
        plan.people,
        plan.seed,
        plan.span.as_secs() / 60
    ))?;
    let began = now();
    let (mut told, mut fate_at) = (began, soak.after(3_000, 12_000));
    while began.elapsed() < plan.span && !stopped.load(Ordering::Relaxed) {
        soak.edit()?;
        if now() >= fate_at {
            soak.fate()?;
            fate_at = soak.after(3_000, 12_000);
        }
        if told.elapsed() > TOLD {
            told = now();
            soak.tell(began)?;
        }
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let problems = soak.judge()?;
    let lost = soak.conflicts()?.len();
    let all = &soak.chronicle;
    let verdict = if problems.is_empty() {
        "converged"
    } else {
        "FAILED"
    };
    for line in problems.iter().take(REPORTED) {
        say(line)?;
    }
    say(&format!(
        "soak sync: {verdict} after {minutes:.1} minutes: {} edits in the directory, {} here, {} without an answer; {}; {} waits ended by hand, {lost} dropped values in the conflict journal, {} problems",
        all.there,
        all.here,
        all.perhaps,
        soak.fates,
        soak.forgotten,
        problems.len()
    ))?;
    Ok(problems)
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
    /// None while it is down.
    home: Option<Home>,
    scratch: Scratch,
    chronicle: Chronicle,
    draw: Shuffle,
    /// For values that nobody used before.
    next: u64,
    /// How many people there are to be.
    people: usize,
    /// The next person's number.
    newest: usize,
    /// Addresses as each side has them, a moment ago.
    known: [Vec<String>; 2],
    looked: Instant,
    fates: fates::Fates,
    /// How often a comparison of everything was needed to end a wait.
    forgotten: u32,
}

impl Soak {
    fn start(binary: &HomingBinary, plan: Plan) -> Result<Self> {
        let directory = Directory::start(binary, plan.people, TEAMS)?;
        let mut soak = Self {
            directory,
            home: None,
            scratch: Scratch::new()?,
            chronicle: Chronicle::default(),
            draw: Shuffle::new(plan.seed),
            next: 0,
            people: plan.people,
            newest: plan.people,
            known: [Vec::new(), Vec::new()],
            looked: now(),
            fates: fates::Fates::default(),
            forgotten: 0,
        };
        soak.open()?;
        soak.settled()?;
        soak.look()?;
        Ok(soak)
    }

    fn below(&mut self, count: usize) -> usize {
        self.draw.next(count)
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

    /// Starts the mail server; what decides conflicts is another thing each time.
    fn open(&mut self) -> Result<()> {
        let resolution = if self.below(2) == 0 {
            "ldap-wins"
        } else {
            "local-wins"
        };
        let scope = if self.below(4) == 0 { "entry" } else { "attribute" };
        let setup = Setup {
            data_dir: self.scratch.folder("data")?.display().to_string(),
            server_name: format!("mail.{DOMAIN}"),
            connector: self.directory.connector(resolution, scope),
        };
        self.home = Some(Home::start(&setup)?);
        Ok(())
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer> {
        self.home.as_mut().context("the mail server is down")?.ask(ask)
    }

    /// Sees who is there, on the sides that are up.
    fn look(&mut self) -> Result<()> {
        self.looked = now();
        let names = |side: Side| side.people.into_iter().map(|person| person.address).collect();
        if self.directory.slapd.child().is_some() {
            let [there, _] = &mut self.known;
            *there = names(self.directory.look()?);
        }
        if self.home.is_some()
            && let Answer::Side(side) = self.ask(&Ask::Look)?
        {
            let [_, here] = &mut self.known;
            *here = names(side);
        }
        Ok(())
    }

    /// One edit somewhere, or one on each side that get into each other's way.
    fn edit(&mut self) -> Result<()> {
        if self.looked.elapsed() > LOOKS {
            self.look()?;
        }
        match self.below(5) {
            0 => self.clash()?,
            1 | 2 => self.edit_at(Editor::Here)?,
            _ => self.edit_at(Editor::There)?,
        }
        let rest = self.millis(0, 30);
        pause(rest);
        Ok(())
    }

    /// The same attribute of the same person on both sides, one right after the other.
    fn clash(&mut self) -> Result<()> {
        let Some(address) = self.somebody(Editor::There) else {
            return Ok(());
        };
        let kind = self.below(4);
        for editor in [Editor::There, Editor::Here] {
            let edit = match kind {
                0 => Edit::Quota(1_000_000 + self.unused()),
                1 => Edit::Address(self.new_address(&address)),
                _ => Edit::Name(format!("clash-{}", self.unused())),
            };
            self.person(editor, &address, edit)?;
        }
        Ok(())
    }

    fn somebody(&mut self, editor: Editor) -> Option<String> {
        let [there, here] = &self.known;
        let known = if editor == Editor::There { there } else { here };
        known.get(self.draw.next(known.len())).cloned()
    }

    fn new_address(&mut self, address: &str) -> String {
        let number = chronicle::number(address).unwrap_or_default();
        format!("p{number}.r{}@{DOMAIN}", self.unused())
    }

    /// One edit of one kind.
    fn edit_at(&mut self, editor: Editor) -> Result<()> {
        let Some(address) = self.somebody(editor) else {
            return self.create(editor);
        };
        let unused = self.unused();
        let edit = match self.below(100) {
            0..25 => Edit::Name(format!("name-{unused}")),
            25..35 => Edit::Quota(1_000_000 + unused),
            35..45 => Edit::Enabled(self.below(2) == 0),
            45..60 => Edit::AddAlias(format!("alias-{unused}@{DOMAIN}")),
            60..67 => match self.chronicle.alias(&address) {
                Some(alias) => Edit::DropAlias(alias),
                None => return Ok(()),
            },
            67..72 => Edit::Address(self.new_address(&address)),
            72..77 => return self.create(editor),
            77..81 => match self.known.iter().map(Vec::len).min() {
                Some(count) if count > self.people * 3 / 4 => Edit::Delete,
                _ => return Ok(()),
            },
            81..88 => return self.join(editor, &address),
            88..92 => return self.leave(editor),
            _ if editor == Editor::There => {
                let east = match self.below(3) {
                    0 => None,
                    place => Some(place == 1),
                };
                let number = chronicle::number(&address).unwrap_or_default();
                // What the name of an entry is, only the directory decides; nothing is lost with it.
                return self
                    .directory
                    .rename(&address, &format!("p{number}-x{unused}"), east)
                    .map(drop);
            }
            _ => return Ok(()),
        };
        self.person(editor, &address, edit)
    }

    /// Carries an edit of a person out and notes it.
    fn person(&mut self, editor: Editor, address: &str, edit: Edit) -> Result<()> {
        let wrote = match editor {
            Editor::There if self.directory.slapd.child().is_none() => return Ok(()),
            Editor::There => self.directory.edit(address, &edit)?,
            Editor::Here if self.home.is_none() => return Ok(()),
            Editor::Here => {
                let ask = Ask::Edit {
                    address: address.to_owned(),
                    edit: edit.clone(),
                };
                said(self.ask(&ask)?)?
            }
        };
        self.note(editor, address, &edit, wrote);
        Ok(())
    }

    fn note(&mut self, editor: Editor, address: &str, edit: &Edit, wrote: Wrote) {
        let end = match wrote {
            Wrote::Done(replaced) => (Sure::Done, replaced),
            Wrote::Unknown(replaced) => (Sure::Perhaps, replaced),
            Wrote::Refused(why) => return self.chronicle.refused(editor, address, edit, &why),
        };
        self.chronicle.edited(editor, address, edit, end);
    }

    fn create(&mut self, editor: Editor) -> Result<()> {
        let many = self.known.iter().map(Vec::len).max().unwrap_or_default();
        if many > self.people * 5 / 4 {
            return Ok(());
        }
        let address = format!("p{}@{DOMAIN}", self.newest);
        self.newest += 1;
        let name = format!("new-{}", self.unused());
        let east = self.below(3) == 0;
        let wrote = match editor {
            Editor::There if self.directory.slapd.child().is_none() => return Ok(()),
            Editor::There => self.directory.create(&address, &name, east)?,
            Editor::Here if self.home.is_none() => return Ok(()),
            Editor::Here => {
                let (address, name) = (address.clone(), name.clone());
                said(self.ask(&Ask::Create { address, name })?)?
            }
        };
        if let Wrote::Done(_) = wrote {
            self.chronicle.created(editor, &address, &name);
        }
        Ok(())
    }

    fn join(&mut self, editor: Editor, address: &str) -> Result<()> {
        let team = self.team();
        if self.chronicle.has_sat(&team, address) {
            return Ok(());
        }
        if self.member(editor, &team, address, ModifyOperation::Add)? {
            self.chronicle.joined(editor, &team, address);
        }
        Ok(())
    }

    fn leave(&mut self, editor: Editor) -> Result<()> {
        let team = self.team();
        let [there, here] = &self.known;
        let known = if editor == Editor::There { there } else { here };
        let seat = self.chronicle.seat(&team);
        let Some(address) = known
            .iter()
            .find(|address| chronicle::number(address) == seat)
            .cloned()
        else {
            return Ok(());
        };
        if seat.is_some() && self.member(editor, &team, &address, ModifyOperation::Delete)? {
            self.chronicle.left(editor, &team, &address);
        }
        Ok(())
    }

    fn team(&mut self) -> String {
        format!("team{}@{DOMAIN}", self.below(TEAMS))
    }

    /// Whether it was done.
    fn member(
        &mut self,
        editor: Editor,
        team: &str,
        address: &str,
        operation: ModifyOperation,
    ) -> Result<bool> {
        let (group, member) = (team.to_owned(), address.to_owned());
        let wrote = match editor {
            Editor::There if self.directory.slapd.child().is_none() => return Ok(false),
            Editor::There => self.directory.member(team, address, operation)?,
            Editor::Here if self.home.is_none() => return Ok(false),
            Editor::Here => {
                let ask = match operation {
                    ModifyOperation::Add => Ask::AddMember { group, member },
                    _ => Ask::DropMember { group, member },
                };
                said(self.ask(&ask)?)?
            }
        };
        Ok(matches!(wrote, Wrote::Done(_)))
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

    fn conflicts(&mut self) -> Result<Vec<Lost>> {
        match self.ask(&Ask::Conflicts)? {
            Answer::Conflicts(all) => Ok(all),
            other => bail!("{other:?}"),
        }
    }

    /// Waits until nothing is left to do; what is left when it takes too long.
    fn settled(&mut self) -> Result<Option<Condition>> {
        let began = now();
        loop {
            let Answer::Condition(condition) = self.ask(&Ask::Status)? else {
                bail!("the mail server does not say how it is")
            };
            let quiet = condition.state == "following" && condition.error.is_none();
            if quiet && condition.outbox == 0 && condition.aside.is_empty() {
                return Ok(None);
            }
            if began.elapsed() > SETTLES {
                return Ok(Some(condition));
            }
            if quiet && !condition.aside.is_empty() {
                self.ask(&Ask::Retry)?;
            }
            // A slapd that was killed right after a deletion has forgotten that it had come so far. On a directory that
            // nobody writes any more, an administrator ends the wait, as the status says.
            if !quiet && began.elapsed() > FORGOTTEN && self.directory.slapd.child().is_some() {
                self.forgotten += 1;
                self.ask(&Ask::Compare)?;
            }
            pause(Duration::from_millis(200));
        }
    }

    /// Both sides are left alone until they agree; what is wrong then.
    fn judge(&mut self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        if let Some(left) = self.settled()? {
            problems.push(format!("it does not settle within {SETTLES:?}: {left:?}"));
        }
        self.ask(&Ask::Compare)?;
        if let Some(left) = self.settled()? {
            problems.push(format!("a comparison of everything does not settle: {left:?}"));
        }
        let began = now();
        let (there, differ) = loop {
            let there = self.directory.look()?;
            let Answer::Side(here) = self.ask(&Ask::Look)? else {
                bail!("the mail server shows nothing")
            };
            let differ = differences(&there, &here);
            // A second look only for what was on its way.
            if differ.is_empty() || began.elapsed() > Duration::from_secs(10) {
                break (there, differ);
            }
            pause(Duration::from_secs(1));
        };
        let addresses: BTreeSet<String> = differ
            .iter()
            .filter_map(|text| text.lines().next().map(str::to_owned))
            .take(10)
            .collect();
        problems.extend(differ);
        for address in addresses {
            if let Answer::Text(text) = self.ask(&Ask::Explain { address })? {
                problems.push(text);
            }
        }
        let lost = self.conflicts()?;
        problems.extend(self.chronicle.missing(&there, &lost));
        // Nothing is left to be written.
        let before = self.directory.version()?;
        self.ask(&Ask::Compare)?;
        if self.directory.version()? != before {
            problems.push("a comparison of everything wrote to the directory once more".to_owned());
        }
        Ok(problems)
    }
}

/// The mail server's word about an edit.
fn said(answer: Answer) -> Result<Wrote> {
    match answer {
        Answer::Done { replaced } => Ok(Wrote::Done(replaced)),
        Answer::Refused(why) => Ok(Wrote::Refused(why)),
        other => bail!("an edit is answered with {other:?}"),
    }
}
