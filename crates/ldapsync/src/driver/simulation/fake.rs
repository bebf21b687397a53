//! A directory in memory with the manners of slapd: silent rewrites of members, a session log that can be
//! lost, and every trick of a bad network.

use directory::feed::{
    Change, ChangeSource, ChangedEntry, Changes, Cookie, Coverage, FeedError, FeedEvent, Fingerprint,
    Following, PollEnd, Presence, Step,
};
use directory::{AccountState, DirectoryAccount, EntryKind, EntryProblem, Host, Lookup, ResolvedMembers};
use model::{Address, BoxFuture, EntryUuid, Unavailable};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

/// A small generator: the same seed gives the same run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) uuid: EntryUuid,
    pub(super) dn: String,
    pub(super) kind: EntryKind,
    pub(super) address: Address,
    pub(super) aliases: Vec<Address>,
    pub(super) host: Option<String>,
    pub(super) name: String,
    pub(super) enabled: Option<bool>,
    pub(super) members: Vec<String>,
    pub(super) in_scope: bool,
    pub(super) broken: bool,
    pub(super) csn: u64,
}

/// What goes wrong during the next poll.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) shuffle: bool,
    pub(super) duplicate: bool,
    pub(super) false_deletes: bool,
    pub(super) lose_one: bool,
    /// The poll works, but look-ups do not.
    pub(super) no_look_ups: bool,
    /// The server stops answering after so many steps.
    pub(super) fail_after: Option<usize>,
    /// This process dies after so many steps.
    pub(super) crash_after: Option<usize>,
}

pub(super) struct Directory {
    pub(super) entries: BTreeMap<EntryUuid, Person>,
    pub(super) deleted: Vec<(u64, EntryUuid)>,
    pub(super) csn: u64,
    /// The oldest change that the session log still has.
    pub(super) log_from: u64,
    pub(super) suffix: EntryUuid,
    pub(super) faults: Faults,
    pub(super) random: Random,
    pub(super) polls: u64,
    /// Whether a search stays open after its refresh, and who has one open.
    pub(super) persist: bool,
    listeners: Vec<mpsc::UnboundedSender<(Change, Cookie)>>,
    /// Names whose entries cannot be read, nor anything below them.
    pub(super) hidden: BTreeSet<String>,
    /// Everybody who was ever at another home.
    pub(super) ever_elsewhere: BTreeSet<EntryUuid>,
    /// Everybody who was ever deleted, out of scope, or without a home.
    pub(super) ever_absent: BTreeSet<EntryUuid>,
}

pub(super) type Shared = Arc<Mutex<Directory>>;

impl Directory {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            deleted: Vec::new(),
            csn: 1,
            log_from: 0,
            suffix: EntryUuid::from_bytes([0xee; 16]),
            faults: Faults::default(),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            polls: 0,
            persist: false,
            listeners: Vec::new(),
            hidden: BTreeSet::new(),
            ever_elsewhere: BTreeSet::new(),
            ever_absent: BTreeSet::new(),
        }
    }

    pub(super) fn put(&mut self, mut person: Person) {
        self.csn += 1;
        person.csn = self.csn;
        if person.host.as_deref().is_some_and(|host| host != "a.test") {
            self.ever_elsewhere.insert(person.uuid);
        }
        if !person.in_scope || person.host.is_none() {
            self.ever_absent.insert(person.uuid);
        }
        let old = self.entries.insert(person.uuid, person.clone());
        if person.in_scope {
            self.tell(Change::Entry(Box::new(changed(&person))));
        } else if old.as_ref().is_some_and(|old| old.in_scope) {
            // A persist search says `delete` of what leaves its filter.
            self.tell(Change::Deleted(person.uuid));
        }
        if let Some(old) = old {
            // refint: members follow a rename without any message.
            self.rewrite_members(&old.dn, Some(&person.dn));
        }
    }

    fn tell(&mut self, change: Change) {
        let cookie = self.cookie();
        self.listeners
            .retain(|listener| listener.send((change.clone(), cookie.clone())).is_ok());
    }

    /// Every open search ends: the server was restarted, or the network lost it.
    pub(super) fn hang_up(&mut self) {
        self.listeners.clear();
    }

    pub(super) fn delete(&mut self, uuid: EntryUuid) {
        if let Some(old) = self.entries.remove(&uuid) {
            self.csn += 1;
            self.ever_absent.insert(uuid);
            self.deleted.push((self.csn, uuid));
            self.tell(Change::Deleted(uuid));
            self.rewrite_members(&old.dn, None);
        }
    }

    fn rewrite_members(&mut self, old: &str, new: Option<&str>) {
        for group in self.entries.values_mut() {
            if let Some(at) = group.members.iter().position(|member| member == old) {
                group.members.remove(at);
                group.members.extend(new.map(str::to_owned));
            }
        }
    }

    pub(super) fn resolve(&self, dns: &[String]) -> ResolvedMembers {
        let mut found = ResolvedMembers::default();
        for dn in dns {
            match self.entries.values().find(|person| person.dn == *dn) {
                Some(person) => {
                    let address = (!person.broken).then(|| person.address.clone());
                    found.members.push((person.uuid, address));
                }
                None => found.dangling.push(dn.clone()),
            }
        }
        found
    }

    fn cookie(&self) -> Cookie {
        Cookie::new(format!("rid=000,csn={}", csn_text(self.csn))).expect("a cookie")
    }

    fn changes_since(&self, cookie: Option<&Cookie>) -> (Vec<Change>, Coverage) {
        let since = cookie.and_then(|cookie| cookie.csns().get("001").map(|csn| csn_number(csn)));
        let mut changes = Vec::new();
        for person in self.entries.values() {
            match since {
                Some(since) if person.csn <= since && since >= self.log_from => {}
                Some(since) if person.csn <= since && person.in_scope => {
                    changes.push(Change::Present(person.uuid))
                }
                Some(since) if person.csn <= since => {}
                _ if person.in_scope => changes.push(Change::Entry(Box::new(changed(person)))),
                Some(since) if since >= self.log_from => changes.push(Change::Deleted(person.uuid)),
                _ => {}
            }
        }
        match since {
            Some(since) if since >= self.log_from => {
                let gone = self.deleted.iter().filter(|(csn, _)| *csn > since);
                changes.extend(gone.map(|(_, uuid)| Change::Deleted(*uuid)));
                (changes, Coverage::NamedDeletes)
            }
            _ => (changes, Coverage::Everything),
        }
    }

    /// The steps of a poll, as the faults leave them.
    fn steps(&mut self, cookie: Option<&Cookie>) -> Vec<Result<Step, FeedError>> {
        self.polls += 1;
        let (mut changes, coverage) = self.changes_since(cookie);
        if self.faults.duplicate {
            changes.extend(changes.clone());
        }
        if self.faults.false_deletes {
            let known: Vec<EntryUuid> = self.entries.keys().copied().collect();
            changes.extend(
                known
                    .into_iter()
                    .filter(|_| self.random.chance(20))
                    .map(Change::Deleted),
            );
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
        let mut steps = Vec::new();
        while !changes.is_empty() {
            let take = usize::try_from(self.random.below(7) + 1)
                .expect("small")
                .min(changes.len());
            steps.push(Ok(Step::Changes(changes.drain(..take).collect())));
        }
        steps.push(Ok(Step::Done(PollEnd {
            cookie: Some(self.cookie()),
            coverage,
        })));
        if let Some(after) = self.faults.fail_after {
            steps.truncate(after);
            steps.push(Err(FeedError::Unavailable(Unavailable(
                "the server went away".to_owned(),
            ))));
        }
        steps
    }
}

pub(super) struct FakeSource {
    pub(super) directory: Shared,
    pub(super) crash: Arc<Notify>,
}

impl ChangeSource for FakeSource {
    fn poll<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Changes, FeedError>> {
        let (steps, crash_after) = {
            let mut directory = self.directory.lock();
            (directory.steps(cookie), directory.faults.crash_after)
        };
        let crash = Arc::clone(&self.crash);
        Box::pin(async move {
            let (sender, changes) = Changes::channel();
            tokio::spawn(async move {
                for (at, step) in steps.into_iter().enumerate() {
                    if crash_after == Some(at) {
                        // Everything before was handed over; give it time to be applied, then die.
                        tokio::task::yield_now().await;
                        crash.notify_one();
                        std::future::pending::<()>().await;
                    }
                    if !sender.send(step).await {
                        return;
                    }
                }
            });
            Ok(changes)
        })
    }

    fn follow<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Following, FeedError>> {
        if !self.directory.lock().persist {
            return Box::pin(async move { Ok(Following::polled(self.poll(cookie).await?)) });
        }
        let (sender, mut live) = mpsc::unbounded_channel();
        Box::pin(async move {
            let mut changes = {
                // What happens from here on is told, whatever the refresh shows of it.
                self.directory.lock().listeners.push(sender);
                self.poll(cookie).await?
            };
            Ok(Following::read_by(|backlog| async move {
                while let Some(step) = changes.next().await {
                    let event = match step {
                        Ok(Step::Changes(list)) => FeedEvent::Refreshing(list),
                        Ok(Step::Done(end)) => FeedEvent::Refreshed(end),
                        Err(error) => return backlog.fail(error),
                    };
                    if !backlog.send(event).await {
                        return;
                    }
                }
                while let Some((change, cookie)) = live.recv().await {
                    let event = FeedEvent::Live {
                        changes: vec![change],
                        cookie: Some(cookie),
                    };
                    if !backlog.send(event).await {
                        return;
                    }
                }
                let why = Unavailable("the server ended the search".to_owned());
                backlog.fail(FeedError::Unavailable(why));
            }))
        })
    }

    fn verify<'a>(&'a mut self, uuids: &'a [EntryUuid]) -> BoxFuture<'a, Result<Vec<Presence>, FeedError>> {
        if self.directory.lock().faults.no_look_ups {
            let why = Unavailable("the server went away".to_owned());
            return Box::pin(async move { Err(FeedError::Unavailable(why)) });
        }
        let directory = self.directory.lock();
        let look = |uuid: &EntryUuid| match directory.entries.get(uuid) {
            None => Presence::Gone,
            Some(person) if person.in_scope => Presence::InScope(Box::new(changed(person))),
            Some(person) => Presence::OutOfScope(Box::new(changed(person).entry)),
        };
        let answers = uuids.iter().map(look).collect();
        drop(directory);
        Box::pin(async move { Ok(answers) })
    }

    fn can_read<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        let hidden = self.directory.lock().hidden.contains(dn);
        Box::pin(async move { Ok(!hidden) })
    }

    fn identity<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<Option<EntryUuid>, FeedError>> {
        let directory = self.directory.lock();
        let named = |one: &&Person| one.dn == dn && !directory.hidden.contains(dn);
        let found = directory.entries.values().find(named).map(|one| one.uuid);
        drop(directory);
        Box::pin(async move { Ok(found) })
    }

    fn shows_below<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        let directory = self.directory.lock();
        let below = |one: &Person| {
            let above = one.dn.split_once(',').map(|(_, above)| above);
            one.in_scope && above == Some(dn)
        };
        let found = !directory.hidden.contains(dn) && directory.entries.values().any(below);
        drop(directory);
        Box::pin(async move { Ok(found) })
    }

    fn fingerprint(&mut self) -> BoxFuture<'_, Result<Fingerprint, FeedError>> {
        let directory = self.directory.lock();
        let fingerprint = Fingerprint {
            suffix: "dc=test".to_owned(),
            suffix_uuid: directory.suffix,
            context_csns: BTreeMap::from([("001".to_owned(), csn_text(directory.csn))]),
        };
        drop(directory);
        Box::pin(async move { Ok(fingerprint) })
    }
}

pub(super) fn lookup(directory: &Shared, address: &Address) -> Lookup {
    let directory = directory.lock();
    let mut found = directory.entries.values().filter(|person| {
        person.in_scope && !person.broken && (person.address == *address || person.aliases.contains(address))
    });
    match (found.next(), found.next()) {
        (None, _) => Lookup::NotFound,
        (Some(one), None) => Lookup::Found(Box::new(account(one))),
        (Some(one), Some(two)) => Lookup::Ambiguous(vec![one.dn.clone(), two.dn.clone()]),
    }
}

pub(super) fn csn_text(csn: u64) -> String {
    format!("{csn:014}.000000Z#000000#001#000000")
}

pub(super) fn csn_number(text: &str) -> u64 {
    text.split('.')
        .next()
        .and_then(|digits| digits.parse().ok())
        .expect("one of our own")
}

pub(super) fn changed(person: &Person) -> ChangedEntry {
    let csn = bytes::Bytes::from(csn_text(person.csn));
    let mut entry = ldap::Entry::new(person.dn.clone()).with("entryCSN", ldap::Values::one(csn));
    if let Some(enabled) = person.enabled {
        let value = if enabled { "TRUE" } else { "FALSE" };
        entry = entry.with(
            "homingEnabled",
            ldap::Values::one(bytes::Bytes::from_static(value.as_bytes())),
        );
    }
    let problem = EntryProblem::NoAddress {
        dn: person.dn.clone(),
        attribute: "mail".to_owned(),
    };
    ChangedEntry {
        uuid: person.uuid,
        kind: Some(person.kind),
        account: if person.broken {
            Err(problem)
        } else {
            Ok(account(person))
        },
        entry,
    }
}

pub(super) fn account(person: &Person) -> DirectoryAccount {
    DirectoryAccount {
        dn: person.dn.clone(),
        uuid: person.uuid,
        kind: person.kind,
        address: person.address.clone(),
        aliases: person.aliases.clone(),
        catch_all: Vec::new(),
        host: person.host.clone().map_or(Host::None, Host::One),
        state: if person.enabled == Some(false) {
            AccountState::Disabled
        } else {
            AccountState::Active
        },
        state_until: None,
        display_name: Some(person.name.clone()),
        given_name: None,
        surname: None,
        quota: None,
        members: person.members.clone(),
        entry_csn: Some(csn_text(person.csn)),
    }
}
