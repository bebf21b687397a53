//! The replica: records in an arena, found by address, by login name and by UUID.

use super::arena::{Arena, At};
use super::index::Index;
use super::record::{self, Facts, Mark, Role, View};
use crate::HomeRef;
use crate::account::{AccountState, Host};
use model::EntryUuid;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

/// Longer than any address or login that is looked up.
const LONGEST: usize = 512;

/// What a text is looked up as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// An address, or `@domain`.
    Address(&'a str),
    /// The name of a bare login.
    Login(&'a str),
}

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upsert {
    Added,
    /// The record is another one now.
    Changed(Before),
    Same(Before),
}

/// What the record of before said about what sessions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) stamp: Stamps,
    pub(super) state: AccountState,
    pub(super) same_host: bool,
}

/// How the password stamp compares with the one of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamps {
    Same,
    Other,
    /// One of them shows nothing.
    Unknown,
}

/// All accounts and groups of a directory, as far as routing needs them.
#[derive(Default)]
pub(super) struct Replica {
    arena: Arena,
    texts: Index,
    uuids: Index,
    hosts: Hosts,
    hash: RandomState,
    count: usize,
    held: usize,
    seen: usize,
    /// An entry found no place.
    lost: bool,
    /// Entries that exist and could not be read: nobody knows their addresses here.
    unread: HashSet<EntryUuid>,
}

/// Every host text once.
#[derive(Default)]
struct Hosts {
    known: Vec<KnownHost>,
    numbers: HashMap<String, u32>,
    octets: usize,
}

/// A host as entries write it, and the home it stands for.
#[derive(Debug, Clone)]
pub(super) struct KnownHost {
    pub(super) host: Host,
    /// None when the text is no home.
    pub(super) home: Option<HomeRef>,
}

impl Replica {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether a text that is not here is nobody's: there are entries, and all of them found a place.
    pub(super) fn may_say_no(&self) -> bool {
        self.count > 0 && !self.lost
    }

    /// Notes an entry that cannot be read. What was known of it may be wrong by now and is dropped.
    pub(super) fn set_unread(&mut self, uuid: EntryUuid) {
        self.remove(uuid);
        self.unread.insert(uuid);
    }

    /// The entry is gone, or none of ours.
    pub(super) fn forget_unread(&mut self, uuid: EntryUuid) {
        self.unread.remove(&uuid);
    }

    /// The entries that could not be read.
    pub(super) fn unread(&self) -> &HashSet<EntryUuid> {
        &self.unread
    }

    /// How many of them seem to be gone.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Adds an entry or replaces what was known of it. It is seen, and not held.
    pub(super) fn upsert(&mut self, facts: &Facts) -> Upsert {
        self.unread.remove(&facts.uuid);
        let packed = facts.pack(self.hosts.number(&facts.host));
        let Some(old) = self.place(facts.uuid) else {
            self.insert(&packed, facts.uuid);
            return Upsert::Added;
        };
        let before = self.arena.get(old).unwrap_or_default();
        let (was, is) = (View::new(before), View::new(&packed));
        let before_it = Before {
            stamp: match was.map_or(0, View::stamp) {
                0 => Stamps::Unknown,
                _ if facts.stamp == 0 => Stamps::Unknown,
                stamp if stamp == facts.stamp => Stamps::Same,
                _ => Stamps::Other,
            },
            state: was.map_or(facts.state, View::state),
            same_host: was.map(View::host) == is.map(View::host),
        };
        let same = record::same(before, &packed);
        if same {
            self.clear(old, Mark::Held);
            self.set(old, Mark::Seen);
            return Upsert::Same(before_it);
        }
        self.take_out(old);
        self.insert(&packed, facts.uuid);
        Upsert::Changed(before_it)
    }

    /// Whether there is such an entry.
    pub(super) fn has(&self, uuid: EntryUuid) -> bool {
        self.place(uuid).is_some()
    }

    /// The address and the state of an entry.
    pub(super) fn account(&self, uuid: EntryUuid) -> Option<View<'_>> {
        View::new(self.arena.get(self.place(uuid)?)?)
    }

    /// Marks an entry as seen in this refresh, and not held; false when there is none.
    pub(super) fn saw(&mut self, uuid: EntryUuid) -> bool {
        let Some(at) = self.place(uuid) else { return false };
        self.clear(at, Mark::Held);
        self.set(at, Mark::Seen);
        true
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, uuid: EntryUuid) {
        if let Some(at) = self.place(uuid) {
            self.take_out(at);
        }
    }

    /// Keeps an entry that seems to be gone. Others win against it.
    pub(super) fn hold(&mut self, uuid: EntryUuid) {
        if let Some(at) = self.place(uuid) {
            self.set(at, Mark::Held);
        }
    }

    /// Forgets what was seen.
    pub(super) fn begin_refresh(&mut self) {
        if self.seen == 0 {
            return;
        }
        for chunk in 0..self.arena.chunks() {
            for at in self.arena.places(chunk) {
                self.clear(at, Mark::Seen);
            }
        }
    }

    /// The entries that the refresh did not name.
    pub(super) fn unseen(&self) -> Vec<EntryUuid> {
        self.select(|view| !view.is_seen())
    }

    /// The entries that are held.
    pub(super) fn held_entries(&self) -> Vec<EntryUuid> {
        if self.held == 0 {
            return Vec::new();
        }
        self.select(|view| view.is_held())
    }

    /// The records with this text, in no order. Held ones are among them.
    pub(super) fn find<'a>(&'a self, key: Key<'a>) -> impl Iterator<Item = View<'a>> {
        let wanted = match key {
            Key::Address(text) | Key::Login(text) => text,
        };
        let login = matches!(key, Key::Login(_));
        self.texts
            .places(self.print(key))
            .filter_map(|at| View::new(self.arena.get(at)?))
            .filter(move |view| {
                view.octets().any(|(role, text)| {
                    (role == Role::Login) == login && text.eq_ignore_ascii_case(wanted.as_bytes())
                })
            })
    }

    /// The host of this number.
    pub(super) fn host(&self, number: u32) -> Option<&KnownHost> {
        self.hosts.known.get(usize::try_from(number).ok()?)
    }

    /// How many hosts there are; their numbers never change.
    pub(super) fn hosts(&self) -> &[KnownHost] {
        &self.hosts.known
    }

    /// Moves records together where memory is mostly holes; one piece at a time.
    pub(super) fn tidy(&mut self) {
        let Some(chunk) = self.arena.sparse() else { return };
        for at in self.arena.places(chunk) {
            let Some(packed) = self.arena.get(at).map(<[u8]>::to_vec) else {
                continue;
            };
            let Some(view) = View::new(&packed) else { continue };
            let Some(new) = self.arena.push(&packed) else {
                return;
            };
            let prints = self.prints(view);
            let uuid = self.uuid_print(view.uuid());
            self.uuids.remove(uuid, at);
            self.uuids.insert(uuid, new);
            for print in prints {
                self.texts.remove(print, at);
                self.texts.insert(print, new);
            }
            self.arena.remove(at);
        }
    }

    /// The packed records of one piece of memory; none after the last.
    pub(super) fn piece(&self, number: usize) -> Option<Vec<Vec<u8>>> {
        if number >= self.arena.chunks() {
            return None;
        }
        let places = self.arena.places(number);
        Some(
            places
                .into_iter()
                .filter_map(|at| Some(self.arena.get(at)?.to_vec()))
                .collect(),
        )
    }

    /// Octets held, without what the allocator adds.
    pub(super) fn memory(&self) -> usize {
        self.arena.memory() + self.texts.memory() + self.uuids.memory() + self.hosts.memory()
    }

    /// Octets of each table.
    #[cfg(test)]
    pub(super) fn index_memory(&self) -> [usize; 2] {
        [self.texts.memory(), self.uuids.memory()]
    }

    fn select(&self, which: impl Fn(View<'_>) -> bool) -> Vec<EntryUuid> {
        let mut found = Vec::new();
        for chunk in 0..self.arena.chunks() {
            let views = self.arena.places(chunk).into_iter();
            let views = views.filter_map(|at| View::new(self.arena.get(at)?));
            found.extend(views.filter(|view| which(*view)).map(View::uuid));
        }
        found
    }

    fn insert(&mut self, packed: &[u8], uuid: EntryUuid) {
        // All 32 GiB taken: the account stays unknown here, and lookups that miss must not say no.
        let (Some(at), Some(view)) = (self.arena.push(packed), View::new(packed)) else {
            tracing::error!(%uuid, "the live map is full");
            self.lost = true;
            return;
        };
        let uuid = self.uuid_print(uuid);
        self.uuids.insert(uuid, at);
        for print in self.prints(view) {
            self.texts.insert(print, at);
        }
        self.count += 1;
        self.set(at, Mark::Seen);
    }

    fn take_out(&mut self, at: At) {
        self.clear(at, Mark::Held);
        self.clear(at, Mark::Seen);
        let Some(view) = self.arena.get(at).and_then(View::new) else {
            return;
        };
        let (prints, uuid) = (self.prints(view), self.uuid_print(view.uuid()));
        self.uuids.remove(uuid, at);
        for print in prints {
            self.texts.remove(print, at);
        }
        self.arena.remove(at);
        self.count -= 1;
    }

    fn set(&mut self, at: At, mark: Mark) {
        if self
            .arena
            .get_mut(at)
            .is_some_and(|packed| record::set(packed, mark))
        {
            *self.counter(mark) += 1;
        }
    }

    fn clear(&mut self, at: At, mark: Mark) {
        if self
            .arena
            .get_mut(at)
            .is_some_and(|packed| record::clear(packed, mark))
        {
            *self.counter(mark) -= 1;
        }
    }

    fn counter(&mut self, mark: Mark) -> &mut usize {
        match mark {
            Mark::Held => &mut self.held,
            Mark::Seen => &mut self.seen,
        }
    }

    fn place(&self, uuid: EntryUuid) -> Option<At> {
        let is_it = |at: &At| {
            self.arena
                .get(*at)
                .and_then(View::new)
                .is_some_and(|view| view.uuid() == uuid)
        };
        self.uuids.places(self.uuid_print(uuid)).find(is_it)
    }

    /// The fingerprints of a record's texts, each once.
    fn prints(&self, view: View<'_>) -> Vec<u32> {
        let key = |(role, text)| match role {
            Role::Login => self.print(Key::Login(text)),
            _ => self.print(Key::Address(text)),
        };
        let mut prints: Vec<u32> = view.texts().map(key).collect();
        prints.sort_unstable();
        prints.dedup();
        prints
    }

    fn print(&self, key: Key<'_>) -> u32 {
        let (text, class) = match key {
            Key::Address(text) => (text, 0_u8),
            Key::Login(text) => (text, 1),
        };
        let mut folded = [0; LONGEST];
        let digest = match folded.get_mut(..text.len()) {
            Some(folded) => {
                folded.copy_from_slice(text.as_bytes());
                folded.make_ascii_lowercase();
                self.hash.hash_one((class, &*folded))
            }
            None => self.hash.hash_one((class, text.to_ascii_lowercase().as_bytes())),
        };
        upper(digest)
    }

    fn uuid_print(&self, uuid: EntryUuid) -> u32 {
        upper(self.hash.hash_one(uuid.as_bytes()))
    }
}

impl Hosts {
    /// The number of a host; the same text has the same number for ever.
    fn number(&mut self, host: &Host) -> u32 {
        let key = match host {
            Host::None => String::new(),
            Host::One(text) => text.clone(),
            Host::Several(texts) => texts.join("\0"),
        };
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let home = match host {
            Host::One(text) => HomeRef::parse(text).ok(),
            _ => None,
        };
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        // The text stands in the key, in the host and in the home.
        self.octets += 3 * key.len();
        self.known.push(KnownHost {
            host: host.clone(),
            home,
        });
        self.numbers.insert(key, number);
        number
    }

    fn memory(&self) -> usize {
        let slot = size_of::<(String, u32)>() + 1;
        self.known.capacity() * size_of::<KnownHost>() + self.numbers.capacity() * slot + self.octets
    }
}

fn upper(digest: u64) -> u32 {
    u32::try_from(digest >> 32).unwrap_or(0)
}
