//! A directory and the back ends that share it, with SIGKILL between all steps.

use super::directory::{DOMAIN, Directory, Kind, address};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::{Homing, HomingBinary, free_port};

/// Longer than anything takes on a slow and busy machine; nothing waits for it where all is well.
const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &[u8] = b"a password of hers";

pub(super) struct Home {
    homing: Homing,
    pub(super) imap: u16,
    pub(super) lmtp: u16,
}

pub(super) struct Site {
    binary: HomingBinary,
    pub(super) directory: Directory,
    pub(super) homes: Vec<Home>,
}

/// A back end's `server_name`.
pub(super) fn host(at: usize) -> String {
    format!("mail{at}.{DOMAIN}")
}

impl Site {
    /// One back end, with these settings of its connector.
    pub(super) fn start(kind: Kind, settings: &str) -> Result<Self> {
        Self::with_homes(kind, 1, settings)
    }

    pub(super) fn with_homes(kind: Kind, count: usize, settings: &str) -> Result<Self> {
        let binary = HomingBinary::find()?;
        let directory = Directory::start(&binary, kind)?;
        let mut site = Self {
            binary,
            directory,
            homes: Vec::new(),
        };
        for at in 0..count {
            let (imap, lmtp) = (free_port()?, free_port()?);
            let homing = Homing::start(&site.binary, &site.config(at, (imap, lmtp), settings))?;
            site.homes.push(Home { homing, imap, lmtp });
        }
        Ok(site)
    }

    fn config(&self, at: usize, (imap, lmtp): (u16, u16), settings: &str) -> String {
        format!(
            "server_name = \"{}\"\n[sessions]\nrecheck = 3600\n[[imap.listener]]\naddress = \"127.0.0.1:{imap}\"\n\
             [[lmtp.listener]]\naddress = \"127.0.0.1:{lmtp}\"\n\
             [[domain]]\nname = \"{DOMAIN}\"\nauth = [\"ldap-bind\", \"local\"]\nconnector = \"people\"\n\
             [[connector]]\nname = \"people\"\nask_first = false\non_delete = \"delete\"\nabsent = \"clear\"\n{}{settings}\n",
            host(at),
            self.directory.connector()
        )
    }

    /// Other settings from the next start on.
    pub(super) fn configure(&mut self, settings: &str) -> Result<()> {
        self.kill_homes()?;
        for (at, home) in self.homes.iter().enumerate() {
            let data = home.homing.folder().join("data").display().to_string();
            let text = self.config(at, (home.imap, home.lmtp), settings);
            std::fs::write(home.homing.config(), format!("data_dir = {data:?}\n{text}"))?;
        }
        self.start_homes()
    }

    pub(super) fn kill_homes(&mut self) -> Result<()> {
        self.homes.iter_mut().try_for_each(|home| home.homing.kill())
    }

    pub(super) fn start_homes(&mut self) -> Result<()> {
        self.homes.iter_mut().try_for_each(|home| home.homing.restart())
    }

    pub(super) fn kill_home(&mut self, at: usize) -> Result<()> {
        self.home(at)?.homing.kill()
    }

    pub(super) fn start_home(&mut self, at: usize) -> Result<()> {
        self.home(at)?.homing.restart()
    }

    fn home(&mut self, at: usize) -> Result<&mut Home> {
        self.homes.get_mut(at).context("a back end")
    }

    /// An edit in the directory. The back ends were killed before it, so they hear of it when they are back.
    pub(super) fn there(&mut self, edit: impl FnOnce(&Directory) -> Result<()>) -> Result<()> {
        self.kill_homes()?;
        edit(&self.directory)?;
        self.start_homes()
    }

    /// An edit on a back end. The directory was killed before it, and the back end right after it.
    pub(super) fn here(&mut self, edit: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.directory.kill()?;
        edit(self)?;
        self.kill_homes()?;
        self.directory.restart()?;
        self.start_homes()
    }

    /// Edits on both sides that know nothing of each other; everything is killed in between.
    pub(super) fn both(
        &mut self,
        there: impl FnOnce(&Directory) -> Result<()>,
        here: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        self.kill_homes()?;
        there(&self.directory)?;
        self.directory.kill()?;
        self.start_homes()?;
        here(self)?;
        self.kill_homes()?;
        self.directory.restart()?;
        self.start_homes()
    }

    /// Exit code, standard output, standard error of a command to the first back end.
    pub(super) fn run(&self, args: &[&str]) -> Result<(i32, String, String)> {
        self.run_at(0, args)
    }

    pub(super) fn run_at(&self, at: usize, args: &[&str]) -> Result<(i32, String, String)> {
        let home = self.homes.get(at).context("a back end")?;
        let config = home.homing.config().display().to_string();
        let (code, out, error) = self.binary.output(&[&["--config", &config], args].concat())?;
        Ok((code.context("ended by a signal")?, out, error))
    }

    /// A command that must succeed; what it printed.
    pub(super) fn order(&self, args: &[&str]) -> Result<String> {
        let (code, out, error) = self.run(args)?;
        ensure!(code == 0, "{args:?}: {code}\n{out}\n{error}");
        Ok(out)
    }

    pub(super) fn create(&self, name: &str) -> Result<()> {
        let home = self.homes.first().context("a back end")?;
        let address = address(name);
        let args = [
            "account",
            "create",
            &address,
            "--password-stdin",
            "--display-name",
            name,
        ];
        home.homing.command_with_input(&args, PASSWORD).map(drop)
    }

    /// `account change` of somebody.
    pub(super) fn change(&self, name: &str, args: &[&str]) -> Result<()> {
        let address = address(name);
        self.order(&[&["account", "change", &address], args].concat())
            .map(drop)
    }

    /// The account that has this address, on this back end.
    pub(super) fn account_at(&self, at: usize, name: &str) -> Result<Option<Value>> {
        let (code, out, error) = self.run_at(at, &["account", "show", &address(name), "--json"])?;
        match code {
            0 => Ok(Some(serde_json::from_str(&out)?)),
            1 => Ok(None),
            _ => bail!("{code}: {error}"),
        }
    }

    pub(super) fn account(&self, name: &str) -> Result<Option<Value>> {
        self.account_at(0, name)
    }

    /// One word of an account; empty without one.
    pub(super) fn says(&self, name: &str, key: &str) -> Result<String> {
        let account = self.account(name)?.unwrap_or_default();
        Ok(match account.get(key) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        })
    }

    /// Its aliases without their domain.
    pub(super) fn aliases(&self, name: &str) -> Result<Vec<String>> {
        let account = self.account(name)?.unwrap_or_default();
        Ok(names(account.get("aliases")))
    }

    pub(super) fn members_at(&self, at: usize, team: &str) -> Result<Vec<String>> {
        let (code, out, _) = self.run_at(at, &["group", "show", &address(team), "--json"])?;
        if code != 0 {
            return Ok(Vec::new());
        }
        let group: Value = serde_json::from_str(&out)?;
        Ok(names(group.get("members")))
    }

    pub(super) fn status_at(&self, at: usize) -> Result<Value> {
        let (_, out, error) = self.run_at(at, &["sync", "status", "--json"])?;
        let all: Value = serde_json::from_str(&out).with_context(|| error)?;
        all.get(0).cloned().context("a connector")
    }

    /// What lost conflicts, newest first.
    pub(super) fn conflicts(&self) -> Result<Vec<Value>> {
        let out = self.order(&["sync", "conflicts", "--json"])?;
        out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Waits until it holds.
    pub(super) fn until(&self, what: &str, holds: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        self.until_at(0, what, holds)
    }

    /// The same; a failure shows how this back end is.
    pub(super) fn until_at(
        &self,
        at: usize,
        what: &str,
        holds: impl Fn(&Self) -> Result<bool>,
    ) -> Result<()> {
        let began = now();
        loop {
            let outcome = holds(self);
            if matches!(outcome, Ok(true)) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let log = self.homes.get(at).map(|home| home.homing.log_tail());
                let status = self.status_at(at);
                bail!(
                    "{what}: not within {PATIENCE:?}: {outcome:?}\n{status:?}\n{}",
                    log.unwrap_or_default()
                );
            }
            pause(Duration::from_millis(50));
        }
    }

    /// Waits until every back end has nothing left to do.
    pub(super) fn settled(&self) -> Result<()> {
        self.until("nothing is left to do", |site| {
            for at in 0..site.homes.len() {
                let status = site.status_at(at)?;
                let is_done = status["state"] == "following"
                    && status["error"].is_null()
                    && status["outbox"]["waiting"] == 0;
                if !is_done {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Nothing is left to be written: a comparison of everything leaves these entries as they are.
    pub(super) fn at_rest(&self, people: &[&str]) -> Result<()> {
        self.settled()?;
        let versions = |site: &Self| -> Result<Vec<String>> {
            people.iter().map(|name| site.directory.version(name)).collect()
        };
        let before = versions(self)?;
        self.order(&["sync", "run", "--full"])?;
        self.settled()?;
        ensure!(
            versions(self)? == before,
            "a comparison of everything has written"
        );
        Ok(())
    }
}

fn names(list: Option<&Value>) -> Vec<String> {
    let all = list.and_then(Value::as_array).into_iter().flatten();
    let mut names: Vec<String> = all
        .filter_map(Value::as_str)
        .map(|text| text.trim_end_matches(&format!("@{DOMAIN}")).to_owned())
        .collect();
    names.sort();
    names
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn pause(span: Duration) {
    std::thread::sleep(span);
}
