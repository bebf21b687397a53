//! What happens to the servers meanwhile.

use super::Soak;
use super::chronicle::Editor;
use super::side::{Edit, Wrote};
use crate::clock::pause;
use anyhow::Result;
use std::fmt;
use std::time::Duration;

/// Edits while a back end is down: more than slapd's session log remembers, deletions among them.
const OVERFLOW: usize = 80;

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Fates {
    restarts: u32,
    kills: u32,
    directory_restarts: u32,
    directory_kills: u32,
    freezes: u32,
    overflows: u32,
    comparisons: u32,
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the mail server restarted {} and killed {} times, the directory restarted {}, killed {} and frozen {} times, {} session logs overflown, {} comparisons of everything",
            self.restarts,
            self.kills,
            self.directory_restarts,
            self.directory_kills,
            self.freezes,
            self.overflows,
            self.comparisons
        )
    }
}

impl Soak {
    /// One thing that happens. All servers run before and after it.
    pub(super) fn fate(&mut self) -> Result<()> {
        let at = self.below(self.homes.len());
        match self.below(9) {
            0 => {
                self.fates.restarts += 1;
                self.home(at)?.stop()?;
                self.alone(Editor::There, 30)?;
                self.open(at)
            }
            1 | 2 => {
                self.kill_home(at)?;
                self.alone(Editor::There, 30)?;
                self.open(at)
            }
            3 => {
                self.fates.directory_restarts += 1;
                self.directory.stop()?;
                let here = self.some_home();
                self.alone(here, 30)?;
                self.directory.restart()
            }
            4 => {
                self.kill_directory()?;
                let here = self.some_home();
                self.alone(here, 30)?;
                self.directory.restart()
            }
            5 => {
                self.fates.freezes += 1;
                let span = self.millis(200, 5_000);
                self.directory.freeze_for(span)
            }
            6 => {
                self.fates.overflows += 1;
                self.kill_home(at)?;
                for _ in 0..OVERFLOW {
                    self.edit_at(Editor::There)?;
                }
                self.open(at)
            }
            7 => self.everything_dies(),
            _ => {
                self.fates.comparisons += 1;
                self.home(at)?.compare().map(drop)
            }
        }
    }

    fn everything_dies(&mut self) -> Result<()> {
        for at in 0..self.homes.len() {
            self.kill_home(at)?;
        }
        self.kill_directory()?;
        self.directory.restart()?;
        for at in 0..self.homes.len() {
            self.open(at)?;
        }
        // It hardly begins before it dies again.
        for _ in 0..3 {
            let (life, at) = (self.millis(0, 400), self.below(self.homes.len()));
            pause(life);
            self.kill_home(at)?;
            self.open(at)?;
        }
        Ok(())
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

    /// What is edited the moment before a server dies: every other time, and if there is anybody.
    fn last_edit(&mut self, editor: Editor) -> Option<(String, Edit)> {
        let address = self.somebody(editor)?;
        let edit = Edit::Name(format!("dying-{}", self.unused()));
        (self.below(2) == 0).then_some((address, edit))
    }

    /// SIGKILL of a back end, in the middle of an edit every other time.
    fn kill_home(&mut self, at: usize) -> Result<()> {
        self.fates.kills += 1;
        let Some((address, edit)) = self.last_edit(Editor::Here(at)) else {
            return self.home(at)?.kill();
        };
        let after = Duration::from_micros(self.below(5_000) as u64);
        let wrote = self.home(at)?.edit_and_die(&address, &edit, after)?;
        self.note(Editor::Here(at), &address, &edit, wrote);
        Ok(())
    }

    /// SIGKILL of the directory, in the middle of an edit every other time.
    fn kill_directory(&mut self) -> Result<()> {
        self.fates.directory_kills += 1;
        let Some((address, edit)) = self.last_edit(Editor::There) else {
            return self.directory.kill();
        };
        let after = Duration::from_micros(self.below(5_000) as u64);
        let wrote: Wrote = self.directory.edit_and_die(&address, &edit, after)?;
        self.note(Editor::There, &address, &edit, wrote);
        Ok(())
    }
}
