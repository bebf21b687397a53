//! A directory that is written, by us and by others: conditions, lost answers, aborted batches, replicas that lag.

use super::super::fake::{Faults, Person, Random, changed, csn_number, csn_text};
use super::clock::Crash;
use super::steps::{Answer, Hidden};
use crate::mapping::canonical_host;
use bytes::Bytes;
use directory::EntryKind;
use directory::feed::{Change, Cookie, Coverage, FeedError, PollEnd, Presence, Step};
use directory::write::{
    AttributeChange, Edit, Fate, NewEntry, Precondition, Property, Vocabulary, Write, WriteError, Written,
};
use ldap::ResultCode;
use model::{Address, EntryUuid, Unavailable};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What stands in for members where there are none.
pub(super) const NOBODY: &str = "cn=no-member,dc=test";
/// Where people are.
pub(super) const BRANCH: &str = ",ou=people,dc=test";
/// Where nobody looks for them.
pub(super) const AWAY: &str = ",ou=away,dc=test";
/// How far back a replica may lag.
const PAST: usize = 6;

/// What one server holds.
#[derive(Clone)]
pub(super) struct State {
    pub(super) entries: BTreeMap<EntryUuid, Person>,
    deleted: Vec<(u64, EntryUuid)>,
    pub(super) csn: u64,
    /// The oldest change that the session log still has.
    log_from: u64,
}

/// What others wrote, and what they wrote over.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) made: Vec<String>,
    pub(super) replaced: BTreeSet<String>,
    /// What entries had that others deleted.
    pub(super) ended: BTreeSet<String>,
}

impl Ledger {
    pub(super) fn replace(&mut self, values: impl IntoIterator<Item = String>) {
        self.replaced.extend(values);
    }
}

pub(super) struct Server {
    pub(super) live: State,
    past: VecDeque<State>,
    /// What the server that is read holds, when that is another one.
    replica: Option<State>,
    /// Whether writes and look-ups by address go to the first server all the same.
    apart: bool,
    /// How far the first server says that it has come, since it was killed and forgot; until the next change.
    forgot: Option<u64>,
    pub(super) hidden: Hidden,
    pub(super) faults: Faults,
    pub(super) answers: VecDeque<Answer>,
    pub(super) random: Random,
    listeners: Vec<mpsc::UnboundedSender<(Change, Cookie)>>,
    /// Who listens to a server that hears of nothing.
    deaf: Vec<mpsc::UnboundedSender<(Change, Cookie)>>,
    pub(super) ledger: Ledger,
    /// Everybody who was ever deleted or out of sight by somebody's will.
    pub(super) ever_absent: BTreeSet<EntryUuid>,
    /// Whom foreign editors deleted, for the backup.
    pub(super) buried: Vec<Person>,
    /// Everybody who was ever at another home than the first.
    pub(super) ever_elsewhere: BTreeSet<EntryUuid>,
    /// Entries that are ours.
    pub(super) made_by_us: BTreeSet<EntryUuid>,
    /// What our writes deleted.
    pub(super) deleted_by_us: Vec<EntryUuid>,
    /// How many writes of ours took place.
    pub(super) writes: u64,
    births: u64,
    edits: u64,
    /// After how many looks another server answers, and how far that one lags.
    switch: Option<(u16, usize)>,
    /// How often another server has answered so far.
    pub(super) turns: u64,
}

pub(super) type Shared = Arc<Mutex<Server>>;

pub(super) fn values_of(person: &Person) -> Vec<String> {
    let mut values = vec![person.name.clone(), person.address.to_string()];
    values.extend(person.aliases.iter().map(ToString::to_string));
    values
}

impl Server {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            live: State {
                entries: BTreeMap::new(),
                deleted: Vec::new(),
                csn: 1,
                log_from: 0,
            },
            past: VecDeque::new(),
            replica: None,
            apart: false,
            forgot: None,
            hidden: Hidden::Nothing,
            faults: Faults::default(),
            answers: VecDeque::new(),
            random: Random(seed | 1),
            listeners: Vec::new(),
            deaf: Vec::new(),
            ledger: Ledger::default(),
            ever_absent: BTreeSet::new(),
            buried: Vec::new(),
            ever_elsewhere: BTreeSet::new(),
            made_by_us: BTreeSet::new(),
            deleted_by_us: Vec::new(),
            writes: 0,
            births: 0,
            edits: 0,
            switch: None,
            turns: 0,
        }
    }

    /// What the server that is read holds.
    pub(super) fn view(&self) -> &State {
        self.replica.as_ref().unwrap_or(&self.live)
    }

    pub(super) fn is_lagging(&self) -> bool {
        self.replica.is_some()
    }

    /// Whether another server takes its place in the next round.
    pub(super) fn is_about_to_go(&self) -> bool {
        self.switch.is_some()
    }

    /// How far the server that is read says that it has come.
    pub(super) fn says(&self) -> u64 {
        let state = self.view();
        self.forgot.filter(|_| !self.is_lagging()).unwrap_or(state.csn)
    }

    /// slapd is killed: its entries are all there, and how far it was is not, nor its log.
    pub(super) fn kill(&mut self, forgets: u64) {
        self.hang_up();
        self.live.log_from = self.live.csn;
        self.forgot = Some(self.live.csn.saturating_sub(forgets));
    }

    fn is_hidden(&self, person: &Person) -> bool {
        match self.hidden {
            Hidden::Everything => true,
            Hidden::Accounts => person.kind == EntryKind::Account,
            Hidden::Nothing | Hidden::Aliases => false,
        }
    }

    fn shown(&self, person: &Person) -> Person {
        let mut person = person.clone();
        if self.hidden == Hidden::Aliases {
            person.aliases.clear();
        }
        person
    }

    /// What the server that is asked for single addresses shows: the one that is written, where the two are apart.
    pub(super) fn visible(&self) -> impl Iterator<Item = Person> {
        let state = if self.apart { &self.live } else { self.view() };
        let all = state.entries.values();
        all.filter(|person| !self.is_hidden(person))
            .map(|person| self.shown(person))
    }

    fn remember(&mut self) {
        self.past.push_back(self.live.clone());
        if self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    /// Another server answers from now on, which has not heard of the last few changes.
    pub(super) fn fail_over(&mut self, behind: usize) {
        self.turns += 1;
        self.hang_up();
        let at = self.past.len().saturating_sub(behind + 1);
        self.replica = self.past.get(at).cloned();
        self.apart = false;
    }

    /// The feed's connection is lost and opened to another server, which has not heard of the last few changes and
    /// hears of nothing; what is written goes to the first one as before.
    pub(super) fn fall_apart(&mut self, behind: usize) {
        self.turns += 1;
        self.hang_up();
        let newest = self.past.len();
        let state = self.past.get(newest.saturating_sub(behind));
        let state = state.filter(|_| behind > 0).unwrap_or(&self.live);
        self.replica = Some(state.clone());
        self.apart = true;
    }

    pub(super) fn catch_up(&mut self) {
        self.apart = false;
        self.forgot = None;
        self.switch = None;
        if self.replica.take().is_some() {
            self.turns += 1;
            self.hang_up();
        }
    }

    /// The same in the middle of whatever is going on by then.
    pub(super) fn fail_over_in(&mut self, looks: u16, behind: usize) {
        self.switch = Some((looks, behind));
    }

    /// One look at the server that is read.
    pub(super) fn look(&mut self) {
        match self.switch {
            Some((0, behind)) => {
                self.switch = None;
                self.fail_over(behind);
            }
            Some((looks, behind)) => self.switch = Some((looks - 1, behind)),
            None => {}
        }
    }

    pub(super) fn hang_up(&mut self) {
        self.listeners.clear();
        self.deaf.clear();
    }

    pub(super) fn lose_log(&mut self) {
        self.live.log_from = self.live.csn;
        self.hang_up();
    }

    pub(super) fn new_uuid(&mut self) -> EntryUuid {
        self.births += 1;
        self.last_born()
    }

    fn last_born(&self) -> EntryUuid {
        let mut bytes = [0x10; 16];
        bytes[8..].copy_from_slice(&self.births.to_be_bytes());
        EntryUuid::from_bytes(bytes)
    }

    pub(super) fn is_taken(&self, dn: &str) -> bool {
        self.live
            .entries
            .values()
            .any(|person| person.dn.eq_ignore_ascii_case(dn))
    }

    pub(super) fn put(&mut self, mut person: Person) {
        self.remember();
        self.forgot = None;
        self.live.csn += 1;
        person.csn = self.live.csn;
        if !person.in_scope {
            self.ever_absent.insert(person.uuid);
        }
        if person.host.as_deref().is_some_and(|host| !host.starts_with('a')) {
            self.ever_elsewhere.insert(person.uuid);
        }
        let old = self.live.entries.insert(person.uuid, person.clone());
        if person.in_scope {
            self.tell(&person);
        } else if old.as_ref().is_some_and(|old| old.in_scope) {
            self.announce(&Change::Deleted(person.uuid));
        }
        if let Some(old) = old {
            self.rewrite_members(&old.dn, Some(&person.dn));
        }
    }

    pub(super) fn delete(&mut self, uuid: EntryUuid) {
        self.remember();
        if let Some(old) = self.live.entries.remove(&uuid) {
            self.forgot = None;
            self.live.csn += 1;
            self.live.deleted.push((self.live.csn, uuid));
            self.announce(&Change::Deleted(uuid));
            self.rewrite_members(&old.dn, None);
        }
    }

    /// A branch is moved out of the bases, or into them: again one message about nobody, and no version says so.
    pub(super) fn move_branch(&mut self, from: &str, to: &str, who: impl Fn(&Person) -> bool) {
        self.remember();
        self.live.csn += 1;
        self.forgot = None;
        let comes = to == BRANCH;
        let taken: Vec<String> = self.live.entries.values().map(|p| p.dn.clone()).collect();
        let mut moved = Vec::new();
        for person in self.live.entries.values_mut() {
            let name = person.dn.strip_suffix(from).filter(|_| who(person));
            let Some(new) = name.map(|name| format!("{name}{to}")) else {
                continue;
            };
            if taken.contains(&new) {
                continue;
            }
            person.in_scope = comes;
            self.ever_absent.insert(person.uuid);
            moved.push((std::mem::replace(&mut person.dn, new.clone()), new));
        }
        for (old, new) in moved {
            self.rewrite_members(&old, Some(&new));
        }
    }

    /// A branch gets another name: one message, and that one is about nobody.
    pub(super) fn rename_branch(&mut self, from: &str, to: &str) {
        self.remember();
        self.live.csn += 1;
        self.forgot = None;
        let mut renamed = Vec::new();
        for person in self.live.entries.values_mut() {
            if let Some(name) = person.dn.strip_suffix(from) {
                let new = format!("{name}{to}");
                renamed.push((std::mem::replace(&mut person.dn, new.clone()), new));
            }
        }
        for (old, new) in renamed {
            self.rewrite_members(&old, Some(&new));
        }
    }

    // memberOf and refint say nothing and leave the entryCSN alone.
    fn rewrite_members(&mut self, old: &str, new: Option<&str>) {
        if new.is_some_and(|new| new == old) {
            return;
        }
        for group in self.live.entries.values_mut() {
            let Some(at) = group.members.iter().position(|member| member == old) else {
                continue;
            };
            group.members.remove(at);
            group.members.extend(new.map(str::to_owned));
            if group.members.is_empty() {
                group.members.push(NOBODY.to_owned());
            }
        }
    }

    fn tell(&mut self, person: &Person) {
        if !self.is_hidden(person) {
            let shown = self.shown(person);
            self.announce(&Change::Entry(Box::new(changed(&shown))));
        }
    }

    fn announce(&mut self, change: &Change) {
        let cookie = cookie(self.live.csn);
        self.listeners
            .retain(|listener| listener.send((change.clone(), cookie.clone())).is_ok());
    }

    /// What happens from here on is told, whatever the refresh shows of it.
    pub(super) fn listen(&mut self) -> mpsc::UnboundedReceiver<(Change, Cookie)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        if self.replica.is_none() {
            self.listeners.push(sender);
        } else if self.apart {
            // It stays open, and there is nothing to tell.
            self.deaf.push(sender);
        }
        receiver
    }

    /// The steps of a poll, as the faults leave them.
    pub(super) fn steps(
        &mut self,
        since: Option<&Cookie>,
    ) -> Result<Vec<Result<Step, FeedError>>, FeedError> {
        let since = since.and_then(|cookie| cookie.csns().get("001").map(|csn| csn_number(csn)));
        let (view, says) = (self.view(), self.says());
        if since.is_some_and(|since| since > says) {
            return Err(FeedError::CookieTooNew(
                "consumer state is newer than provider".to_owned(),
            ));
        }
        // What it has forgotten to have changed it does not tell to whoever has all that it remembers.
        let since = since.map(|since| if since == says { view.csn } else { since });
        let (logged, end) = (since.filter(|since| *since >= view.log_from), says);
        let mut changes = Vec::new();
        for person in view.entries.values().filter(|person| !self.is_hidden(person)) {
            let news = since.is_none_or(|since| person.csn > since);
            match (news, person.in_scope) {
                (true, true) => changes.push(Change::Entry(Box::new(changed(&self.shown(person))))),
                (true, false) if logged.is_some() => changes.push(Change::Deleted(person.uuid)),
                (false, true) if logged.is_none() => changes.push(Change::Present(person.uuid)),
                _ => {}
            }
        }
        let mut coverage = Coverage::Everything;
        if let Some(since) = logged {
            let gone = view.deleted.iter().filter(|(csn, _)| *csn > since);
            changes.extend(gone.map(|(_, uuid)| Change::Deleted(*uuid)));
            coverage = Coverage::NamedDeletes;
        }
        self.spoil(&mut changes);
        let mut steps = Vec::new();
        while !changes.is_empty() {
            let take = usize::try_from(self.random.below(4) + 1).expect("small");
            steps.push(Ok(Step::Changes(
                changes.drain(..take.min(changes.len())).collect(),
            )));
        }
        steps.push(Ok(Step::Done(PollEnd {
            cookie: Some(cookie(end)),
            coverage,
        })));
        if let Some(after) = self.faults.fail_after {
            steps.truncate(after);
            steps.push(Err(FeedError::Unavailable(away())));
        }
        Ok(steps)
    }

    fn spoil(&mut self, changes: &mut Vec<Change>) {
        if self.faults.duplicate {
            changes.extend(changes.clone());
        }
        if self.faults.false_deletes {
            let known: Vec<EntryUuid> = self.live.entries.keys().copied().collect();
            for uuid in known {
                if self.random.chance(30) {
                    changes.push(Change::Deleted(uuid));
                }
            }
        }
        if self.faults.shuffle {
            for at in (1..changes.len()).rev() {
                let other = usize::try_from(self.random.below(at as u64 + 1)).expect("small");
                changes.swap(at, other);
            }
        }
        if self.faults.lose_one {
            changes.pop();
        }
    }

    pub(super) fn presence(&self, uuid: EntryUuid) -> Presence {
        let person = self.view().entries.get(&uuid);
        match person.filter(|person| !self.is_hidden(person)) {
            None => Presence::Gone,
            Some(person) if person.in_scope => Presence::InScope(Box::new(changed(&self.shown(person)))),
            Some(person) => Presence::OutOfScope(Box::new(changed(&self.shown(person)).entry)),
        }
    }

    /// Where members are: an entry that cannot be read is none.
    pub(super) fn resolve(&self, dns: &[String]) -> directory::ResolvedMembers {
        let visible: Vec<Person> = self.visible().collect();
        let find = |dn: &String| visible.iter().find(|person| person.dn.eq_ignore_ascii_case(dn));
        let mut found = directory::ResolvedMembers::default();
        for dn in dns {
            match find(dn) {
                Some(person) => {
                    let address = (!person.broken).then(|| person.address.clone());
                    found.members.push((person.uuid, address));
                }
                None => found.dangling.push(dn.clone()),
            }
        }
        found
    }

    /// One write of ours, and whatever comes between.
    pub(super) fn take(&mut self, write: &Write, words: &Vocabulary) -> Result<Written, WriteError> {
        if self.replica.is_some() && !self.apart {
            // A replica takes no writes.
            return Err(unavailable(Fate::NotDone));
        }
        match self.answers.pop_front() {
            None => return self.carry_out(write, words),
            Some(Answer::NotSent) => return Err(unavailable(Fate::NotDone)),
            Some(Answer::LostBefore) => {}
            Some(Answer::LostAfter) => drop(self.carry_out(write, words)),
            Some(Answer::HangUp) => {
                drop(self.carry_out(write, words));
                self.hang_up();
            }
            Some(Answer::Refused) => {
                return Err(WriteError::Refused {
                    code: ResultCode::ConstraintViolation,
                    text: "not today".to_owned(),
                });
            }
            Some(Answer::Edited) => {
                self.be_faster(write, |person, value| person.name = value);
                return self.carry_out(write, words);
            }
            Some(Answer::Deleted) => {
                if let Some(uuid) = target(write) {
                    let known = self.live.entries.get(&uuid).map(values_of).unwrap_or_default();
                    self.ledger.ended.extend(known.iter().cloned());
                    self.ledger.replace(known);
                    self.ever_absent.insert(uuid);
                    self.delete(uuid);
                }
                return self.carry_out(write, words);
            }
            Some(Answer::Aborted) => {
                self.leak(write, words);
                return self.carry_out(write, words);
            }
        }
        Err(unavailable(Fate::Unknown))
    }

    /// Somebody else's edit of the same entry, just before ours.
    fn be_faster(&mut self, write: &Write, edit: impl FnOnce(&mut Person, String)) {
        let Some(mut person) = target(write).and_then(|uuid| self.live.entries.get(&uuid).cloned()) else {
            return;
        };
        self.edits += 1;
        let value = format!("Faster {}-{}", self.edits, person.uuid);
        self.ledger.replace([person.name.clone()]);
        self.ledger.made.push(value.clone());
        edit(&mut person, value);
        self.put(person);
    }

    // RFC 5805 on slapd: what is rolled back was told to everybody who listens, with a CSN of its own.
    fn leak(&mut self, write: &Write, words: &Vocabulary) {
        let before = self.live.clone();
        let (writes, deleted) = (self.writes, self.deleted_by_us.len());
        drop(self.carry_out(write, words));
        let csn = self.live.csn;
        self.live = before;
        self.live.csn = csn;
        self.writes = writes;
        self.deleted_by_us.truncate(deleted);
        if let Write::Add(_) = write {
            // An entry that was shown, and never was.
            self.ever_absent.insert(self.last_born());
        }
    }

    fn carry_out(&mut self, write: &Write, words: &Vocabulary) -> Result<Written, WriteError> {
        match write {
            Write::Add(new) => self.add(new, words),
            Write::Modify {
                target,
                precondition,
                changes,
            } => {
                let mut person = self.meant(target.uuid, precondition)?;
                for change in changes {
                    modify(&mut person, change, words)?;
                }
                self.done(person)
            }
            Write::Rename {
                target,
                precondition,
                rdn,
                new_parent,
            } => {
                let mut person = self.meant(target.uuid, precondition)?;
                let now = ldap::Dn::parse(&person.dn).expect("a DN");
                let parent = new_parent.clone().or_else(|| now.parent()).expect("a parent");
                let dn = parent.child(rdn.clone()).to_string();
                if !dn.eq_ignore_ascii_case(&person.dn) && self.is_taken(&dn) {
                    return Err(WriteError::AlreadyExists(None));
                }
                person.dn = dn;
                self.done(person)
            }
            Write::Delete { target, precondition } => {
                let person = self.meant(target.uuid, precondition)?;
                if self.hidden == Hidden::Aliases {
                    // What nobody may read, nobody can keep.
                    self.ledger
                        .replace(person.aliases.iter().map(ToString::to_string));
                }
                self.delete(person.uuid);
                self.writes += 1;
                self.deleted_by_us.push(person.uuid);
                Ok(written(&person, None))
            }
        }
    }

    fn meant(&self, uuid: EntryUuid, precondition: &Precondition) -> Result<Person, WriteError> {
        let found = self.live.entries.get(&uuid);
        let person = found
            .filter(|person| !self.is_hidden(person))
            .ok_or(WriteError::NoSuchObject)?;
        let host = person.host.as_deref().map(canonical_host);
        let mine = host
            .as_ref()
            .is_some_and(|host| precondition.hosts.contains(host));
        if !precondition.hosts.is_empty() && !mine {
            return Err(WriteError::NotMine(person.host.clone()));
        }
        let csn = csn_text(person.csn);
        if precondition.csn.as_ref().is_some_and(|seen| *seen != csn) {
            return Err(WriteError::Stale);
        }
        Ok(person.clone())
    }

    fn done(&mut self, person: Person) -> Result<Written, WriteError> {
        let uuid = person.uuid;
        self.put(person);
        self.writes += 1;
        let now = self.live.entries.get(&uuid).expect("just put");
        Ok(written(now, Some(csn_text(now.csn))))
    }

    fn add(&mut self, new: &NewEntry, words: &Vocabulary) -> Result<Written, WriteError> {
        let dn = new.dn().to_string();
        if self.is_taken(&dn) {
            return Err(WriteError::AlreadyExists(None));
        }
        let kind = if dn.contains("ou=groups,") {
            EntryKind::Group
        } else {
            EntryKind::Account
        };
        let mut person = Person {
            uuid: self.new_uuid(),
            dn,
            kind,
            address: Address::parse("nobody@example.test").expect("an address"),
            aliases: Vec::new(),
            host: None,
            name: String::new(),
            enabled: None,
            members: Vec::new(),
            in_scope: true,
            broken: true,
            csn: 0,
        };
        for attribute in &new.attributes {
            for value in attribute.values.iter() {
                one(&mut person, &attribute.name, value, words, true);
            }
        }
        person.broken = person.address.local_part() == "nobody";
        self.made_by_us.insert(person.uuid);
        self.done(person)
    }
}

pub(super) fn target(write: &Write) -> Option<EntryUuid> {
    match write {
        Write::Add(_) => None,
        Write::Modify { target, .. } | Write::Rename { target, .. } | Write::Delete { target, .. } => {
            Some(target.uuid)
        }
    }
}

fn written(person: &Person, csn: Option<String>) -> Written {
    Written {
        uuid: person.uuid,
        dn: person.dn.clone(),
        csn,
        entry: changed(person).entry,
    }
}

fn modify(person: &mut Person, change: &AttributeChange, words: &Vocabulary) -> Result<(), WriteError> {
    match &change.edit {
        Edit::Values { remove, add } => {
            for (values, comes) in [(remove, false), (add, true)] {
                for value in values {
                    if !one(person, &change.attribute, value, words, comes) {
                        return Err(WriteError::Stale);
                    }
                }
            }
        }
        Edit::Replace(values) => {
            if change.attribute.eq_ignore_ascii_case(words.switch_attribute()) {
                person.enabled = None;
            }
            for value in values {
                one(person, &change.attribute, value, words, true);
            }
        }
    }
    if person.kind == EntryKind::Group && person.members.is_empty() {
        person.members.push(NOBODY.to_owned());
    }
    Ok(())
}

/// One value comes or goes; false when it is so already.
fn one(person: &mut Person, attribute: &str, value: &Bytes, words: &Vocabulary, comes: bool) -> bool {
    let is = |property| {
        words
            .attribute(property)
            .is_some_and(|name| name.eq_ignore_ascii_case(attribute))
    };
    let text = String::from_utf8_lossy(value).into_owned();
    if is(Property::Address) {
        let address = Address::parse(&text).expect("an address");
        if comes {
            person.address = address;
            return true;
        }
        return person.address == address;
    }
    if is(Property::Aliases) {
        let address = Address::parse(&text).expect("an address");
        let at = person.aliases.iter().position(|alias| *alias == address);
        match (at, comes) {
            (Some(at), false) => drop(person.aliases.remove(at)),
            (None, true) => person.aliases.push(address),
            _ => return false,
        }
    } else if is(Property::Members) {
        let at = person
            .members
            .iter()
            .position(|member| member.eq_ignore_ascii_case(&text));
        match (at, comes) {
            (Some(at), false) => drop(person.members.remove(at)),
            (None, true) => {
                person.members.retain(|member| member != NOBODY);
                person.members.push(text);
            }
            _ => return false,
        }
    } else if is(Property::DisplayName) {
        if !comes && person.name != text {
            return false;
        }
        person.name = if comes { text } else { String::new() };
    } else if is(Property::Host) {
        person.host = comes.then_some(text);
    } else if attribute.eq_ignore_ascii_case(words.switch_attribute()) {
        person.enabled = comes.then_some(text == "TRUE");
    }
    true
}

fn cookie(csn: u64) -> Cookie {
    Cookie::new(format!("rid=000,csn={}", csn_text(csn))).expect("a cookie")
}

pub(super) fn away() -> Unavailable {
    Unavailable("the server went away".to_owned())
}

fn unavailable(fate: Fate) -> WriteError {
    WriteError::Unavailable { why: away(), fate }
}

/// What every await of the driver towards the directory goes through.
pub(super) async fn point(crash: &Crash) {
    crash.tick();
    tokio::task::yield_now().await;
}
