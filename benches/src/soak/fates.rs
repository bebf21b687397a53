//! What happens to the servers meanwhile.

use super::chronicle::Editor;
use super::directory::Wrote;
use super::home::Told;
use super::talk::{Ask, Edit};
use super::{Soak, said};
use crate::clock::pause;
use anyhow::{Context, Result};
use std::fmt;
use std::time::Duration;

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Fates {
    restarts: u32,
    kills: u32,
    slapd_restarts: u32,
    slapd_kills: u32,
    freezes: u32,
    overflows: u32,
    comparisons: u32,
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server restarted {} and killed {} times, slapd restarted {}, killed {} and frozen {} times, {} session logs overflown, {} comparisons of everything",
            self.restarts,
            self.kills,
            self.slapd_restarts,
            self.slapd_kills,
            self.freezes,
            self.overflows,
            self.comparisons
        )
    }
}

impl Soak {
    /// One thing that happens. Both servers run before and after it.
    pub(super) fn fate(&mut self) -> Result<()> {
        match self.below(9) {
            0 => {
                self.fates.restarts += 1;
                self.home.take().context("the mail server is up")?.end()?;
                self.alone(Editor::There, 30)?;
                self.open()
            }
            1 | 2 => {
                self.kill_home()?;
                self.alone(Editor::There, 30)?;
                self.open()
            }
            3 => {
                self.fates.slapd_restarts += 1;
                self.directory.slapd.stop()?;
                self.alone(Editor::Here, 30)?;
                self.directory.restart()
            }
            4 => {
                self.kill_slapd()?;
                self.alone(Editor::Here, 30)?;
                self.directory.restart()
            }
            5 => {
                self.fates.freezes += 1;
                let span = self.millis(200, 5_000);
                self.directory.freeze_for(span)
            }
            6 => {
                // More than the session log remembers, deletions among it.
                self.fates.overflows += 1;
                self.kill_home()?;
                for _ in 0..80 {
                    self.edit_at(Editor::There)?;
                }
                self.open()
            }
            7 => {
                self.kill_home()?;
                self.kill_slapd()?;
                self.directory.restart()?;
                self.open()?;
                // It hardly begins before it dies again.
                for _ in 0..3 {
                    let life = self.millis(0, 400);
                    pause(life);
                    self.kill_home()?;
                    self.open()?;
                }
                Ok(())
            }
            _ => {
                self.fates.comparisons += 1;
                self.ask(&Ask::Compare).map(drop)
            }
        }
    }

    /// Only this side is edited for a while.
    fn alone(&mut self, editor: Editor, most: usize) -> Result<()> {
        for _ in 0..self.below(most) {
            self.edit_at(editor)?;
        }
        let rest = self.millis(0, 1_000);
        pause(rest);
        Ok(())
    }

    /// SIGKILL of the mail server, in the middle of an edit every other time.
    fn kill_home(&mut self) -> Result<()> {
        self.fates.kills += 1;
        let home = self.home.take().context("the mail server is up")?;
        let (Some(address), 0) = (self.somebody(Editor::Here), self.below(2)) else {
            home.kill(None)?;
            return Ok(());
        };
        let edit = Edit::Name(format!("dying-{}", self.unused()));
        let ask = Ask::Edit {
            address: address.clone(),
            edit: edit.clone(),
        };
        let after = Duration::from_micros(self.below(5_000) as u64);
        let wrote = match home.kill(Some((&ask, after)))? {
            Told::Answer(answer) => said(answer)?,
            Told::Nothing(about) => Wrote::Unknown(about),
        };
        self.note(Editor::Here, &address, &edit, wrote);
        Ok(())
    }

    /// SIGKILL of slapd, in the middle of an edit every other time.
    fn kill_slapd(&mut self) -> Result<()> {
        self.fates.slapd_kills += 1;
        let (Some(address), 0) = (self.somebody(Editor::There), self.below(2)) else {
            self.directory.hang_up();
            return self.directory.slapd.kill();
        };
        let edit = Edit::Name(format!("dying-{}", self.unused()));
        let after = Duration::from_micros(self.below(5_000) as u64);
        let wrote = self.directory.edit_and_die(&address, &edit, after)?;
        self.note(Editor::There, &address, &edit, wrote);
        Ok(())
    }
}
