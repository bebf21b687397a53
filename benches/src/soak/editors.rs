//! The editors: administrators and tools on both sides, who edit what they have just seen.

use super::chronicle::{self, Editor, Sure};
use super::directory::{DOMAIN, Place};
use super::side::{Edit, Seating, Side, Wrote};
use super::{Soak, TEAMS};
use crate::clock::{now, pause};
use anyhow::{Context, Result};
use std::time::Duration;

/// Between two looks at who is there.
const LOOKS: Duration = Duration::from_secs(3);

/// Addresses as each side has them, a moment ago.
#[derive(Debug, Default)]
pub(super) struct Known {
    there: Vec<String>,
    /// Of each back end.
    here: Vec<Vec<String>>,
}

impl Known {
    fn of(&self, editor: Editor) -> &[String] {
        match editor {
            Editor::There => &self.there,
            Editor::Here(at) => self.here.get(at).map(Vec::as_slice).unwrap_or_default(),
        }
    }

    /// People on each side, the directory first.
    fn counts(&self) -> [usize; 2] {
        [self.there.len(), self.here.iter().map(Vec::len).sum()]
    }

    /// The back end that has somebody.
    fn home_of(&self, address: &str) -> Option<usize> {
        let has = |people: &Vec<String>| people.iter().any(|known| known == address);
        self.here.iter().position(has)
    }
}

impl Soak {
    /// Sees who is there, on the sides that are up.
    pub(super) fn look(&mut self) -> Result<()> {
        self.looked = now();
        let names = |side: Side| side.people.into_iter().map(|person| person.address).collect();
        if self.directory.is_up() {
            self.known.there = names(self.directory.look()?);
        }
        self.known.here.resize_with(self.homes.len(), Vec::new);
        for (home, known) in self.homes.iter_mut().zip(&mut self.known.here) {
            if home.is_up() {
                *known = names(home.look()?);
            }
        }
        Ok(())
    }

    /// One edit somewhere, or one on each side that get into each other's way.
    pub(super) fn edit(&mut self) -> Result<()> {
        if self.looked.elapsed() > LOOKS {
            self.look()?;
        }
        match self.below(5) {
            0 => self.clash()?,
            1 | 2 => {
                let here = self.some_home();
                self.edit_at(here)?;
            }
            _ => self.edit_at(Editor::There)?,
        }
        let rest = self.millis(0, 30);
        pause(rest);
        Ok(())
    }

    /// Somebody who edits on one of the back ends.
    pub(super) fn some_home(&mut self) -> Editor {
        Editor::Here(self.below(self.homes.len()))
    }

    /// The same attribute of the same person on both sides, one right after the other.
    fn clash(&mut self) -> Result<()> {
        let Some(address) = self.somebody(Editor::There) else {
            return Ok(());
        };
        let here = Editor::Here(self.known.home_of(&address).unwrap_or_default());
        let kind = self.below(4);
        for editor in [Editor::There, here] {
            let edit = match kind {
                0 => Edit::Quota(1_000_000 + self.unused()),
                1 => Edit::Address(self.new_address(&address)),
                _ => Edit::Name(format!("clash-{}", self.unused())),
            };
            self.person(editor, &address, edit)?;
        }
        Ok(())
    }

    pub(super) fn somebody(&mut self, editor: Editor) -> Option<String> {
        let known = self.known.of(editor);
        known.get(self.draw.next(known.len())).cloned()
    }

    fn new_address(&mut self, address: &str) -> String {
        let number = chronicle::number(address).unwrap_or_default();
        format!("p{number}.r{}@{DOMAIN}", self.unused())
    }

    /// Whether anybody can edit there.
    fn is_up(&self, editor: Editor) -> bool {
        match editor {
            Editor::There => self.directory.is_up(),
            Editor::Here(at) => self.homes.get(at).is_some_and(super::Home::is_up),
        }
    }

    /// One edit of one kind.
    pub(super) fn edit_at(&mut self, editor: Editor) -> Result<()> {
        if !self.is_up(editor) {
            return Ok(());
        }
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
            77..81
                if self
                    .known
                    .counts()
                    .iter()
                    .all(|count| count * 4 > self.people * 3) =>
            {
                Edit::Delete
            }
            77..81 => return Ok(()),
            81..88 => return self.join(editor, &address),
            88..92 => return self.leave(editor),
            _ if editor != Editor::There => return Ok(()),
            92..96 if self.homes.len() > 1 => {
                let at = self.below(self.homes.len());
                let home = self.homes.get(at).context("a back end")?;
                Edit::Home(home.name.clone())
            }
            _ => return self.rename(&address, unused),
        };
        self.person(editor, &address, edit)
    }

    /// What the name of an entry is, only the directory decides; nothing is lost with it.
    fn rename(&mut self, address: &str, unused: u64) -> Result<()> {
        let east = match self.below(3) {
            0 => None,
            place => Some(place == 1),
        };
        let number = chronicle::number(address).unwrap_or_default();
        self.directory
            .rename(address, &format!("p{number}-x{unused}"), east)
            .map(drop)
    }

    /// Carries an edit of a person out and notes it.
    fn person(&mut self, editor: Editor, address: &str, edit: Edit) -> Result<()> {
        if !self.is_up(editor) {
            return Ok(());
        }
        let wrote = match editor {
            Editor::There => self.directory.edit(address, &edit)?,
            Editor::Here(at) => self.home(at)?.edit(address, &edit)?,
        };
        self.note(editor, address, &edit, wrote);
        Ok(())
    }

    pub(super) fn note(&mut self, editor: Editor, address: &str, edit: &Edit, wrote: Wrote) {
        let end = match wrote {
            Wrote::Done(replaced) => (Sure::Done, replaced),
            Wrote::Unknown(replaced) => (Sure::Perhaps, replaced),
            Wrote::Refused(why) => return self.chronicle.refused(editor, address, edit, &why),
        };
        self.chronicle.edited(editor, address, edit, end);
    }

    fn create(&mut self, editor: Editor) -> Result<()> {
        let many = self.known.counts().into_iter().max().unwrap_or_default();
        if many > self.people * 5 / 4 || !self.is_up(editor) {
            return Ok(());
        }
        let address = format!("p{}@{DOMAIN}", self.newest);
        self.newest += 1;
        let name = format!("new-{}", self.unused());
        let (east, at) = (self.below(3) == 0, self.below(self.homes.len()));
        let wrote = match editor {
            Editor::There => {
                let home = self.homes.get(at).map(|home| home.name.clone());
                let place = Place {
                    east,
                    home: home.as_deref(),
                };
                self.directory.create(&address, &name, place)?
            }
            Editor::Here(at) => self.home(at)?.create(&address, &name)?,
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
        self.member(editor, (&team, address), Seating::Joins)
    }

    fn leave(&mut self, editor: Editor) -> Result<()> {
        let team = self.team();
        let Some(seat) = self.chronicle.seat(&team) else {
            return Ok(());
        };
        let known = self.known.of(editor);
        let found = known.iter().find(|known| chronicle::number(known) == Some(seat));
        match found.cloned() {
            Some(address) => self.member(editor, (&team, &address), Seating::Leaves),
            None => Ok(()),
        }
    }

    fn team(&mut self) -> String {
        format!("team{}@{DOMAIN}", self.below(TEAMS))
    }

    fn member(&mut self, editor: Editor, (team, address): (&str, &str), seating: Seating) -> Result<()> {
        if !self.is_up(editor) {
            return Ok(());
        }
        let wrote = match editor {
            Editor::There => self.directory.member(team, address, seating)?,
            Editor::Here(at) => self.home(at)?.member(team, address, seating)?,
        };
        let sure = match wrote {
            Wrote::Done(_) => Sure::Done,
            Wrote::Unknown(_) => Sure::Perhaps,
            Wrote::Refused(_) => return Ok(()),
        };
        self.chronicle.seated(editor, (team, address), seating, sure);
        Ok(())
    }
}
