//! What the editors did, and whether all of it is accounted for at the end.
//!
//! Every value is used once. So a value that was acknowledged is at the end what both sides have, or somebody replaced
//! it who had seen it, or it is in the conflict journal; otherwise it was lost. Aliases and members are added once and
//! taken away once, and the same holds for each of them.

use super::talk::{Edit, Lost, Side};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Edits of one person that are kept for a report.
const REMEMBERED: usize = 60;

/// Who edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Editor {
    There,
    Here,
}

/// How sure an edit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sure {
    Done,
    /// The server was killed before it answered.
    Perhaps,
}

#[derive(Debug, Default)]
struct Person {
    /// Acknowledged values of what has one value, with the attribute's name.
    values: BTreeSet<(&'static str, String)>,
    replaced: BTreeSet<String>,
    added: BTreeSet<String>,
    /// Aliases that somebody took away, or may have.
    taken: BTreeSet<String>,
    is_deleted: bool,
    log: VecDeque<String>,
    /// What was done to its places in groups: seldom, so all of it is kept.
    seats: Vec<String>,
}

impl Person {
    fn remember(&mut self, line: String) {
        if self.log.len() >= REMEMBERED {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }
}

/// A place in a group.
type Seat = (String, u32);

/// Everything that was done.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    people: BTreeMap<u32, Person>,
    joined: BTreeSet<Seat>,
    left: BTreeSet<Seat>,
    pub(super) there: u64,
    pub(super) here: u64,
    pub(super) perhaps: u64,
}

/// The number in `p17@...` and `p17.r3@...`.
pub(super) fn number(address: &str) -> Option<u32> {
    let rest = address.strip_prefix('p')?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

impl Chronicle {
    fn count(&mut self, editor: Editor, sure: Sure) {
        match (sure, editor) {
            (Sure::Perhaps, _) => self.perhaps += 1,
            (Sure::Done, Editor::There) => self.there += 1,
            (Sure::Done, Editor::Here) => self.here += 1,
        }
    }

    fn person(&mut self, address: &str) -> Option<&mut Person> {
        Some(self.people.entry(number(address)?).or_default())
    }

    /// Somebody new.
    pub(super) fn created(&mut self, editor: Editor, address: &str, name: &str) {
        self.count(editor, Sure::Done);
        if let Some(person) = self.person(address) {
            person.values.insert(("name", name.to_owned()));
            person.remember(format!("{editor:?} created {address}"));
        }
    }

    /// An edit that was not made.
    pub(super) fn refused(&mut self, editor: Editor, address: &str, edit: &Edit, why: &str) {
        if let Some(person) = self.person(address) {
            person.remember(format!("{editor:?} refused {address} {edit:?}: {why}"));
        }
    }

    /// An edit, and the values that it replaced.
    pub(super) fn edited(
        &mut self,
        editor: Editor,
        address: &str,
        edit: &Edit,
        (sure, replaced): (Sure, Vec<String>),
    ) {
        self.count(editor, sure);
        let Some(person) = self.person(address) else {
            return;
        };
        person.remember(format!(
            "{editor:?} {sure:?} {address} {edit:?} instead of {replaced:?}"
        ));
        // Of an edit that nobody answered, what it would have replaced may be gone.
        person.replaced.extend(replaced);
        match (edit, sure) {
            (Edit::Delete, _) => person.is_deleted = true,
            (Edit::DropAlias(alias), _) => drop(person.taken.insert(alias.clone())),
            (Edit::AddAlias(alias), Sure::Done) => drop(person.added.insert(alias.clone())),
            (Edit::Name(name), Sure::Done) => drop(person.values.insert(("name", name.clone()))),
            (Edit::Quota(quota), Sure::Done) => drop(person.values.insert(("quota", quota.to_string()))),
            (Edit::Address(new), Sure::Done) => drop(person.values.insert(("address", new.clone()))),
            _ => {}
        }
    }

    pub(super) fn joined(&mut self, editor: Editor, team: &str, address: &str) {
        self.count(editor, Sure::Done);
        if let Some(number) = number(address) {
            self.joined.insert((team.to_owned(), number));
            self.people
                .entry(number)
                .or_default()
                .seats
                .push(format!("{editor:?} put {address} into {team}"));
        }
    }

    pub(super) fn left(&mut self, editor: Editor, team: &str, address: &str) {
        self.count(editor, Sure::Done);
        if let Some(number) = number(address) {
            self.left.insert((team.to_owned(), number));
            self.people
                .entry(number)
                .or_default()
                .seats
                .push(format!("{editor:?} took {address} out of {team}"));
        }
    }

    /// Whether somebody was, or may have been, in a group before.
    pub(super) fn has_sat(&self, team: &str, address: &str) -> bool {
        let seat = number(address).map(|number| (team.to_owned(), number));
        seat.is_some_and(|seat| self.joined.contains(&seat) || self.left.contains(&seat))
    }

    /// An alias that is there and that nobody has taken away yet.
    pub(super) fn alias(&self, address: &str) -> Option<String> {
        let person = self.people.get(&number(address)?)?;
        person.added.difference(&person.taken).next().cloned()
    }

    /// Somebody who is in a group because an editor put them there.
    pub(super) fn seat(&self, team: &str) -> Option<u32> {
        let mut seats = self.joined.difference(&self.left);
        seats.find(|(name, _)| name == team).map(|(_, number)| *number)
    }

    /// What is wrong with the end, which both sides have in common.
    pub(super) fn missing(&self, end: &Side, lost: &[Lost]) -> Vec<String> {
        let mut problems = Vec::new();
        let people: BTreeMap<u32, &super::talk::Person> = end
            .people
            .iter()
            .filter_map(|person| Some((number(&person.address)?, person)))
            .collect();
        let is_lost = |value: &str| lost.iter().any(|row| row.values.contains(value));
        for (number, person) in self.people.iter().filter(|(_, person)| !person.is_deleted) {
            let before = problems.len();
            let Some(now) = people.get(number) else {
                problems.push(format!("p{number} is gone, and nobody deleted it"));
                problems.extend(person.log.iter().map(|line| format!("    {line}")));
                continue;
            };
            for (attribute, value) in &person.values {
                let is = match *attribute {
                    "name" => now.name.as_ref() == Some(value),
                    "quota" => now.quota.map(|quota| quota.to_string()).as_ref() == Some(value),
                    _ => now.address == *value,
                };
                if !is && !person.replaced.contains(value) && !is_lost(value) {
                    problems.push(format!(
                        "p{number}: the {attribute} {value} was lost without a trace"
                    ));
                }
            }
            for alias in &person.added {
                match (now.aliases.contains(alias), person.taken.contains(alias)) {
                    (true, false) | (false, true) => {}
                    _ if is_lost(alias) => {}
                    (true, true) => problems.push(format!(
                        "p{number}: the alias {alias} was taken away and is there"
                    )),
                    (false, false) => {
                        problems.push(format!("p{number}: the alias {alias} was lost without a trace"));
                    }
                }
            }
            if problems.len() > before {
                problems.push(format!("  it is {now:?}"));
                problems.extend(person.log.iter().map(|line| format!("    {line}")));
            }
        }
        problems.extend(self.seats(end, &people, lost));
        problems
    }

    /// Members that are not as the editors left them. With the conflict scope `entry` the loser's changes of a whole
    /// group are dropped, and stand in the journal.
    fn seats(&self, end: &Side, people: &BTreeMap<u32, &super::talk::Person>, lost: &[Lost]) -> Vec<String> {
        let mut problems = Vec::new();
        for seat @ (team, number) in &self.joined {
            let deleted = self.people.get(number).is_some_and(|person| person.is_deleted);
            let (Some(person), false) = (people.get(number), deleted) else {
                continue;
            };
            let is_in = end
                .teams
                .iter()
                .any(|known| known.address == *team && known.members.contains(&person.address));
            let names = [format!("p{number}@"), format!("p{number}.")];
            let is_lost = lost.iter().any(|row| {
                row.field == "members"
                    && row.subject == *team
                    && names.iter().any(|name| row.values.contains(name))
            });
            if is_in == self.left.contains(seat) && !is_lost {
                let is = if is_in { "is still" } else { "is not" };
                problems.push(format!("p{number} {is} in {team}"));
                let log = self
                    .people
                    .get(number)
                    .map(|person| person.log.iter().chain(&person.seats));
                problems.extend(log.into_iter().flatten().map(|line| format!("    {line}")));
            }
        }
        problems
    }
}

/// What two sides do not have in common. A member here whose address nobody has waits for somebody who has it, and
/// the directory cannot hold it.
pub(super) fn differences(there: &Side, here: &Side) -> Vec<String> {
    let mut problems = Vec::new();
    let by_address = |side: &Side| -> BTreeMap<String, String> {
        let living: BTreeSet<&String> = side.people.iter().map(|person| &person.address).collect();
        let people = side
            .people
            .iter()
            .map(|person| (person.address.clone(), format!("{person:?}")));
        let teams = side.teams.iter().map(|team| {
            let members: Vec<&String> = team
                .members
                .iter()
                .filter(|member| living.contains(member))
                .collect();
            (team.address.clone(), format!("{members:?}"))
        });
        people.chain(teams).collect()
    };
    let (there, here) = (by_address(there), by_address(here));
    let all: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    for address in all {
        let (there, here) = (there.get(address), here.get(address));
        if there != here {
            let none = "none".to_owned();
            problems.push(format!(
                "{address}\n  directory: {}\n  here:      {}",
                there.unwrap_or(&none),
                here.unwrap_or(&none)
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::talk::{Person, Team};
    use super::*;

    const WHO: &str = "p7.r1@localdomain.test";

    fn end(name: &str, aliases: &[&str]) -> Side {
        Side {
            people: vec![Person {
                address: WHO.to_owned(),
                name: Some(name.to_owned()),
                quota: None,
                enabled: true,
                aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            }],
            teams: vec![Team {
                address: "team0@localdomain.test".to_owned(),
                members: BTreeSet::from([WHO.to_owned()]),
            }],
        }
    }

    fn done(replaced: &[&str]) -> (Sure, Vec<String>) {
        (
            Sure::Done,
            replaced.iter().map(|value| (*value).to_owned()).collect(),
        )
    }

    #[test]
    fn a_value_is_there_or_replaced_or_in_the_journal() {
        let mut all = Chronicle::default();
        all.created(Editor::There, WHO, "a");
        all.edited(Editor::There, WHO, &Edit::Name("b".to_owned()), done(&["a"]));
        all.edited(Editor::Here, WHO, &Edit::Name("c".to_owned()), done(&["a"]));
        let row = Lost {
            subject: String::new(),
            field: "display_name".to_owned(),
            values: "c\nb".to_owned(),
        };
        assert!(all.missing(&end("b", &[]), &[row]).is_empty());
        let problems = all.missing(&end("b", &[]), &[]);
        assert!(problems[0].contains("the name c was lost"), "{problems:?}");
        assert!(all.missing(&Side::default(), &[])[0].contains("gone"));
        all.edited(Editor::Here, WHO, &Edit::Delete, done(&[]));
        assert!(all.missing(&Side::default(), &[]).is_empty());
        assert_eq!((all.there, all.here, all.perhaps), (2, 2, 0));
    }

    #[test]
    fn aliases_and_members_come_and_go_once() {
        let mut all = Chronicle::default();
        all.created(Editor::There, WHO, "a");
        for alias in ["x", "y"] {
            all.edited(Editor::Here, WHO, &Edit::AddAlias(alias.to_owned()), done(&[]));
        }
        assert_eq!(all.alias(WHO).as_deref(), Some("x"));
        all.edited(Editor::There, WHO, &Edit::DropAlias("x".to_owned()), done(&[]));
        all.joined(Editor::There, "team0@localdomain.test", WHO);
        assert!(all.missing(&end("a", &["y"]), &[]).is_empty());
        assert!(all.missing(&end("a", &["x", "y"]), &[])[0].contains("x was taken away"));
        assert!(all.missing(&end("a", &[]), &[])[0].contains("y was lost"));
        assert_eq!(all.seat("team0@localdomain.test"), Some(7));
        all.left(Editor::Here, "team0@localdomain.test", WHO);
        assert!(all.missing(&end("a", &["y"]), &[])[0].contains("is still in"));
        assert!(all.has_sat("team0@localdomain.test", "p7@localdomain.test"));
        let row = Lost {
            subject: "team0@localdomain.test".to_owned(),
            field: "members".to_owned(),
            values: "p7@localdomain.test".to_owned(),
        };
        assert!(all.missing(&end("a", &["y"]), &[row]).is_empty());
    }

    #[test]
    fn sides_are_compared_by_address() {
        assert!(differences(&end("a", &[]), &end("a", &[])).is_empty());
        let found = differences(&end("a", &[]), &end("b", &[]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(WHO), "{found:?}");
        let mut waiting = end("a", &[]);
        waiting.teams[0]
            .members
            .insert("nobody@localdomain.test".to_owned());
        assert!(differences(&end("a", &[]), &waiting).is_empty());
    }
}
