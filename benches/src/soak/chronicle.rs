//! What the editors did, and whether all of it is accounted for at the end.
//!
//! Every value is used once. So a value that was acknowledged is at the end what both sides have, or somebody replaced
//! it who had seen it, or it is in the conflict journal; otherwise it was lost. Aliases and members are added once and
//! taken away once, and the same holds for each of them.

use super::side::{Edit, Lost, Person as Account, Seating, Side};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Edits of one person that are kept for a report.
const REMEMBERED: usize = 60;

/// Who edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Editor {
    There,
    /// On this back end.
    Here(usize),
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
    unsure: BTreeSet<Seat>,
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
            (Sure::Done, Editor::Here(_)) => self.here += 1,
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

    /// Somebody who was put into a group or taken out. What nobody is sure of is not looked at in the end.
    pub(super) fn seated(
        &mut self,
        editor: Editor,
        (team, address): (&str, &str),
        seating: Seating,
        sure: Sure,
    ) {
        self.count(editor, sure);
        let Some(number) = number(address) else { return };
        let seat = (team.to_owned(), number);
        let person = self.people.entry(number).or_default();
        person
            .seats
            .push(format!("{editor:?} {sure:?}: {address} {seating:?} {team}"));
        match (sure, seating) {
            (Sure::Perhaps, _) => drop(self.unsure.insert(seat)),
            (Sure::Done, Seating::Joins) => drop(self.joined.insert(seat)),
            (Sure::Done, Seating::Leaves) => drop(self.left.insert(seat)),
        }
    }

    /// Whether somebody was, or may have been, in a group before.
    pub(super) fn has_sat(&self, team: &str, address: &str) -> bool {
        let seat = number(address).map(|number| (team.to_owned(), number));
        seat.is_some_and(|seat| {
            [&self.joined, &self.left, &self.unsure]
                .iter()
                .any(|seats| seats.contains(&seat))
        })
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
        let people: BTreeMap<u32, &Account> = end
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
    fn seats(&self, end: &Side, people: &BTreeMap<u32, &Account>, lost: &[Lost]) -> Vec<String> {
        let mut problems = Vec::new();
        for seat @ (team, number) in self.joined.difference(&self.unsure) {
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

/// What the directory and the back ends do not have in common. A member here whose address nobody has waits for
/// somebody who has it, and the directory cannot hold it.
pub(super) fn differences(there: &Side, homes: &[Side]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut here: BTreeMap<&str, &Account> = BTreeMap::new();
    for person in homes.iter().flat_map(|side| &side.people) {
        if let Some(twin) = here.insert(&person.address, person) {
            problems.push(format!("{} lives twice: {twin:?} and {person:?}", person.address));
        }
    }
    let people: BTreeMap<&str, &Account> = by_address(&there.people);
    let all: BTreeSet<&str> = people.keys().chain(here.keys()).copied().collect();
    for address in all {
        let (there, here) = (people.get(address), here.get(address));
        if !matches!((there, here), (Some(there), Some(here)) if there.agrees(here)) {
            problems.push(format!(
                "{address}\n  directory: {there:?}\n  here:      {here:?}"
            ));
        }
    }
    let teams = |side: &Side, living: &dyn Fn(&str) -> bool| -> BTreeMap<String, Vec<String>> {
        let members = |team: &super::side::Team| {
            let members = team.members.iter().filter(|member| living(member));
            (team.address.clone(), members.cloned().collect())
        };
        side.teams.iter().map(members).collect()
    };
    let known = teams(there, &|member| people.contains_key(member));
    for home in homes {
        let own = teams(home, &|member| here.contains_key(member));
        let all: BTreeSet<&String> = known.keys().chain(own.keys()).collect();
        for address in all {
            let (there, here) = (known.get(address), own.get(address));
            if there != here {
                problems.push(format!(
                    "{address}\n  directory: {there:?}\n  here:      {here:?}"
                ));
            }
        }
    }
    problems
}

fn by_address(people: &[Account]) -> BTreeMap<&str, &Account> {
    let pairs = people.iter().map(|person| (person.address.as_str(), person));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::super::side::{Person, Team};
    use super::*;

    const WHO: &str = "p7.r1@localdomain.test";

    fn end(name: &str, aliases: &[&str]) -> Side {
        Side {
            people: vec![Person {
                address: WHO.to_owned(),
                name: Some(name.to_owned()),
                quota: None,
                enabled: Some(true),
                aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
                home: None,
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
        all.edited(Editor::Here(0), WHO, &Edit::Name("c".to_owned()), done(&["a"]));
        let row = Lost {
            subject: String::new(),
            field: "display_name".to_owned(),
            values: "c\nb".to_owned(),
        };
        assert!(all.missing(&end("b", &[]), &[row]).is_empty());
        let problems = all.missing(&end("b", &[]), &[]);
        assert!(problems[0].contains("the name c was lost"), "{problems:?}");
        assert!(all.missing(&Side::default(), &[])[0].contains("gone"));
        all.edited(Editor::Here(0), WHO, &Edit::Delete, done(&[]));
        assert!(all.missing(&Side::default(), &[]).is_empty());
        assert_eq!((all.there, all.here, all.perhaps), (2, 2, 0));
    }

    #[test]
    fn aliases_and_members_come_and_go_once() {
        let mut all = Chronicle::default();
        all.created(Editor::There, WHO, "a");
        for alias in ["x", "y"] {
            all.edited(Editor::Here(0), WHO, &Edit::AddAlias(alias.to_owned()), done(&[]));
        }
        assert_eq!(all.alias(WHO).as_deref(), Some("x"));
        all.edited(Editor::There, WHO, &Edit::DropAlias("x".to_owned()), done(&[]));
        let seat = ("team0@localdomain.test", WHO);
        all.seated(Editor::There, seat, Seating::Joins, Sure::Done);
        assert!(all.missing(&end("a", &["y"]), &[]).is_empty());
        assert!(all.missing(&end("a", &["x", "y"]), &[])[0].contains("x was taken away"));
        assert!(all.missing(&end("a", &[]), &[])[0].contains("y was lost"));
        assert_eq!(all.seat("team0@localdomain.test"), Some(7));
        all.seated(Editor::Here(0), seat, Seating::Leaves, Sure::Done);
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
    fn what_nobody_is_sure_of_is_not_judged() {
        let mut all = Chronicle::default();
        all.created(Editor::There, WHO, "a");
        all.seated(
            Editor::Here(0),
            ("team1@localdomain.test", WHO),
            Seating::Joins,
            Sure::Perhaps,
        );
        assert!(all.missing(&end("a", &[]), &[]).is_empty());
        assert!(all.has_sat("team1@localdomain.test", WHO));
        assert_eq!((all.here, all.perhaps), (0, 1));
    }

    #[test]
    fn sides_are_compared_by_address() {
        let same = |there: &Side, here: Side| differences(there, &[here]);
        assert!(same(&end("a", &[]), end("a", &[])).is_empty());
        let found = same(&end("a", &[]), end("b", &[]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(WHO), "{found:?}");
        let mut waiting = end("a", &[]);
        waiting.teams[0]
            .members
            .insert("nobody@localdomain.test".to_owned());
        assert!(same(&end("a", &[]), waiting).is_empty());
        let mut silent = end("a", &[]);
        silent.people[0].enabled = None;
        assert!(same(&end("a", &[]), silent.clone()).is_empty());
        silent.people[0].quota = Some(1);
        assert_eq!(same(&end("a", &[]), silent).len(), 1);
    }

    #[test]
    fn several_back_ends_hold_everybody_once_and_every_group_each() {
        let mut there = end("a", &[]);
        there.people[0].home = Some("mail0".to_owned());
        let (one, mut other) = (there.clone(), there.clone());
        other.people.clear();
        assert!(differences(&there, &[one.clone(), other.clone()]).is_empty());
        // A second mailbox, the wrong home, a group that one of them has not.
        let twice = differences(&there, &[one.clone(), one.clone()]);
        assert!(twice[0].contains("lives twice"), "{twice:?}");
        let mut moved = one.clone();
        moved.people[0].home = Some("mail1".to_owned());
        assert_eq!(differences(&there, &[moved, other.clone()]).len(), 1);
        other.teams.clear();
        assert_eq!(differences(&there, &[one, other]).len(), 1);
    }
}
