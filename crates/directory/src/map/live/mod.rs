//! The live map: a replica of a connector's accounts in memory, kept right by the change feed.
//!
//! Owns the replica ([`replica`]), its snapshot on disk, the guards against a directory that seems to have lost
//! its entries, and the driver that reads the feed. Answers lookups without a round trip.
//!
//! Never says "no" unless it is filled, connected and up to date; a map that is filling, behind or not sure
//! leaves the question to the server, and helps out with a "yes" when that does not answer. A catch-all answer
//! is a "no" for the address itself, so it is held to the same rule. An entry that is too large to be read may have
//! any address: while there is one, every "no" is left to the server.

mod arena;
mod driver;
mod guard;
mod index;
mod keys;
mod record;
mod replica;
mod snapshot;
#[cfg(test)]
mod tests;

pub use driver::LiveDriver;

use super::Question;
use super::ldap_map::{Decision, Known, decide_host};
use super::route::{Freshness, Route};
use crate::EntryKind;
use crate::account::AccountState;
use crate::auth::LiveState;
use crate::config::UserMapConfig;
use crate::connector::Connector;
use keys::Keys;
use model::{Address, Clock, ConfigProblem, EntryUuid};
use parking_lot::RwLock;
use record::View;
use replica::{Key, Replica};
use snapshot::{Head, Scope, Unusable};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The replica of one map and what is known about it.
pub(super) struct LiveMap {
    name: String,
    connector: Arc<Connector>,
    clock: Arc<dyn Clock>,
    replica: RwLock<Replica>,
    phase: RwLock<Phase>,
    /// Why the map is behind or holds entries, for people.
    problem: RwLock<Option<String>>,
    /// Grows with each change: what was remembered of the server's answers before is not fresh any more.
    changes: AtomicU64,
    fresh_for: Duration,
    stale_for: Duration,
    /// Attributes that change with the password.
    stamps: Vec<String>,
    keys: Keys,
    scope: Scope,
    snapshot: Option<PathBuf>,
    /// Where the snapshot stood; the driver takes it.
    resume: RwLock<Option<Head>>,
}

/// How far the replica can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has never been whole.
    Filling,
    /// Whole, and the feed tells of every change at once.
    Current,
    /// Whole once: at `since` it had been right `age` before.
    Behind { since: Duration, age: Duration },
}

/// What the map says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LiveAnswer {
    /// This is the answer, and what was found.
    Now(Decision, Freshness, Found),
    /// The server must be asked; this serves when it does not answer.
    Ask { otherwise: Option<Known> },
}

/// What the replica holds for a question, for `homing route explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Entries(usize),
    Entry(EntryUuid, AccountState),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("live replica: no such entry"),
            Self::Entries(count) => write!(f, "live replica: {count} entries"),
            Self::Entry(uuid, state) => write!(f, "live replica: entryUUID {uuid}, {state:?}"),
        }
    }
}

/// What the replica holds for a question.
enum Hit {
    Nobody,
    Several(Vec<String>),
    One {
        decision: Decision,
        way: Way,
        held: bool,
        found: Found,
    },
}

/// How an entry was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By exactly what was asked.
    Exact,
    /// By the address without `+detail`: nobody has the exact one.
    Detail,
    /// Nobody has the address.
    CatchAll,
}

impl LiveMap {
    /// A map for this connector; with a folder it starts from the snapshot there, if that is good.
    pub(super) fn new(
        config: &UserMapConfig,
        connector: Arc<Connector>,
        clock: Arc<dyn Clock>,
        folder: Option<PathBuf>,
    ) -> Result<Arc<Self>, ConfigProblem> {
        let keys = Keys::read(connector.patterns()).map_err(|why| ConfigProblem::new("live", why))?;
        let stamps = connector.password_stamps();
        let scope = scope(&connector);
        let snapshot = folder.map(|folder| folder.join(file_name(&config.name)));
        let mut map = Self {
            name: config.name.clone(),
            connector,
            clock,
            replica: RwLock::default(),
            phase: RwLock::new(Phase::Filling),
            problem: RwLock::new(Some("it has not been filled yet".to_owned())),
            changes: AtomicU64::new(0),
            fresh_for: Duration::from_secs(config.cache_ttl),
            stale_for: Duration::from_secs(config.stale_for),
            stamps,
            keys,
            scope,
            snapshot,
            resume: RwLock::new(None),
        };
        map.load();
        let map = Arc::new(map);
        let view = Arc::downgrade(&map);
        let ask = move |uuid| view.upgrade().map(|map| map.state(uuid));
        map.connector.auth_shared().add_live(ask);
        Ok(map)
    }

    /// What is known of an entry without a doubt.
    fn state(&self, uuid: EntryUuid) -> LiveState {
        let phase = *self.phase.read();
        let replica = self.replica.read();
        match replica.account(uuid) {
            _ if phase != Phase::Current => LiveState::Unsure,
            Some(view) if view.is_held() => LiveState::Unsure,
            Some(view) => LiveState::Known(view.state_by(self.clock.as_ref())),
            None if replica.unread().contains(&uuid) => LiveState::Unsure,
            None if replica.may_say_no() => LiveState::Gone,
            None => LiveState::Unsure,
        }
    }

    fn load(&mut self) {
        let Some(path) = &self.snapshot else { return };
        match snapshot::read(path, &self.scope) {
            Ok((head, replica)) => {
                let now = self.clock.now();
                let age = match now < head.right_at {
                    // The clock was set back meanwhile, so nobody knows: the server is asked first.
                    true => self.fresh_for,
                    false => now.since(head.right_at),
                };
                tracing::info!(map = %self.name, entries = replica.len(), ?age, "the live map starts from its snapshot");
                self.replica = RwLock::new(replica);
                self.phase = RwLock::new(Phase::Behind {
                    since: self.clock.monotonic(),
                    age,
                });
                self.problem = RwLock::new(Some("it has not been connected yet".to_owned()));
                self.resume = RwLock::new(Some(head));
            }
            Err(Unusable::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(why) => {
                tracing::warn!(map = %self.name, path = %path.display(), %why, "the snapshot is not used; the map fills from the directory");
            }
        }
    }

    /// What is wrong with the map now.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.read().clone()
    }

    /// Grows with each change.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Answers a question, or says who can.
    pub(super) fn find(&self, question: Question<'_>) -> LiveAnswer {
        // Read before the replica: a map that falls behind meanwhile has been right at this moment.
        let phase = *self.phase.read();
        let replica = self.replica.read();
        let hit = match question {
            Question::Address(address) if is_plain(address.as_str()) => self.by_address(&replica, address),
            Question::Login(login) if is_plain(login) => self.by_login(&replica, login),
            // The directory folds and prepares such texts by rules of its own.
            _ => return LiveAnswer::Ask { otherwise: None },
        };
        let current = phase == Phase::Current && replica.may_say_no();
        let whole = current && replica.unread().is_empty();
        drop(replica);
        let (decision, way, held, found) = match hit {
            Hit::Nobody if whole => {
                let known = Decision::Known(Known::NoSuchAccount);
                return LiveAnswer::Now(known, Freshness::Live, Found::Nothing);
            }
            Hit::Several(names) if current => {
                let found = Found::Entries(names.len());
                return LiveAnswer::Now(Decision::Say(Route::Ambiguous(names)), Freshness::Live, found);
            }
            Hit::Nobody | Hit::Several(_) => return LiveAnswer::Ask { otherwise: None },
            Hit::One {
                decision,
                way,
                held,
                found,
            } => (decision, way, held, found),
        };
        if (whole || (current && way == Way::Exact)) && !held {
            return LiveAnswer::Now(decision, Freshness::Live, found);
        }
        match decision {
            Decision::Known(known @ Known::Home { .. }) => self.unsure(known, phase, way, found),
            _ => LiveAnswer::Ask { otherwise: None },
        }
    }

    /// A "yes" of a map that is not current, or of an entry that is held.
    fn unsure(&self, known: Known, phase: Phase, way: Way, found: Found) -> LiveAnswer {
        let (age, fresh) = match phase {
            // An entry that is held: the server would say no, and that is what is in doubt.
            Phase::Current => (Duration::ZERO, Duration::MAX),
            Phase::Behind { since, age } => {
                let age = self.clock.monotonic().saturating_sub(since).saturating_add(age);
                (age, self.fresh_for)
            }
            // Half of a replica does not know everybody's namesake: it speaks only when the server does not.
            Phase::Filling => (self.fresh_for, self.fresh_for),
        };
        let otherwise = match way {
            Way::Exact if age < fresh => {
                return LiveAnswer::Now(Decision::Known(known), Freshness::Stale, found);
            }
            Way::Detail if phase == Phase::Filling => None,
            Way::Exact | Way::Detail => {
                (age < self.fresh_for.saturating_add(self.stale_for)).then_some(known)
            }
            Way::CatchAll => None,
        };
        LiveAnswer::Ask { otherwise }
    }

    /// As the login pattern does.
    fn by_login(&self, replica: &Replica, text: &str) -> Hit {
        let login = self.connector.patterns().login(text);
        let is_account = |view: &View<'_>| view.kind() == EntryKind::Account;
        let mail = |view: &View<'_>, address: &str| {
            view.texts()
                .any(|(role, text)| role == record::Role::Mail && text.eq_ignore_ascii_case(address))
        };
        let mut found: Vec<View<'_>> = Vec::new();
        if let Some(address) = login.address.as_ref().filter(|_| self.keys.login_by_mail()) {
            let mails = replica.find(Key::Address(address)).filter(is_account);
            found.extend(mails.filter(|view| mail(view, address)));
        }
        let address = login.address.as_ref();
        let address = address.and_then(|address| self.keys.login_address(address));
        for name in [address.as_ref(), login.local_part.as_ref()]
            .into_iter()
            .flatten()
        {
            found.extend(replica.find(Key::Login(name)).filter(is_account));
        }
        found.sort_by_key(|view| *view.uuid().as_bytes());
        found.dedup_by_key(|view| view.uuid());
        self.decide(replica, found, Way::Exact, None)
            .unwrap_or(Hit::Nobody)
    }

    /// In the connector's order: exact, without `+detail`, as a group, then the domain's catch-all.
    fn by_address(&self, replica: &Replica, asked: &Address) -> Hit {
        let address = &self.connector.patterns().meant(asked);
        let plain = address.without_detail();
        let own = self.connector.patterns().local_part_counts(address.domain_str());
        for kind in [EntryKind::Account, EntryKind::Group] {
            let candidates = [(Way::Exact, Some(address)), (Way::Detail, plain.as_ref())];
            for (way, candidate) in candidates {
                let Some(candidate) = candidate else { continue };
                let views = replica.find(Key::Address(candidate.as_str()));
                let mut found: Vec<View<'_>> = views.filter(|view| view.kind() == kind).collect();
                let name = self.keys.local_part(candidate.local_part()).filter(|_| own);
                if let Some(name) = &name {
                    let named = replica.find(Key::Login(name));
                    found.extend(named.filter(|view| view.kind() == kind));
                    found.sort_by_key(|view| *view.uuid().as_bytes());
                    found.dedup_by_key(|view| view.uuid());
                }
                if let Some(hit) = self.decide(replica, found, way, Some(candidate)) {
                    return hit;
                }
            }
        }
        let text = format!("@{}", address.domain_str());
        let found = replica
            .find(Key::Address(&text))
            .filter(|view| view.kind() == EntryKind::Account)
            .collect();
        self.decide(replica, found, Way::CatchAll, None)
            .unwrap_or(Hit::Nobody)
    }

    /// The route of what was found; none when that is nothing. Entries that are held give way to others.
    fn decide(
        &self,
        replica: &Replica,
        mut found: Vec<View<'_>>,
        way: Way,
        asked: Option<&Address>,
    ) -> Option<Hit> {
        if found.iter().any(|view| !view.is_held()) {
            found.retain(|view| !view.is_held());
        }
        let view = match found.as_slice() {
            [] => return None,
            [one] => *one,
            several => {
                let name = |view: &View<'_>| {
                    format!(
                        "entryUUID={} ({})",
                        view.uuid(),
                        view.address().unwrap_or_default()
                    )
                };
                return Some(Hit::Several(several.iter().map(name).collect()));
            }
        };
        let text = view.address().unwrap_or_default();
        // The address that was asked for is parsed already, and mostly it is the one.
        let address = match asked.filter(|asked| asked.as_str() == text) {
            Some(asked) => asked.clone(),
            None => Address::parse(text).ok()?,
        };
        let host = replica.host(view.host())?;
        Some(Hit::One {
            decision: decide_host(host.home.as_ref(), &host.host, address, view.kind(), view.uuid()),
            way,
            held: view.is_held(),
            found: Found::Entry(view.uuid(), view.state_by(self.clock.as_ref())),
        })
    }

    fn set_phase(&self, phase: Phase) {
        *self.phase.write() = phase;
    }

    /// The feed does not tell of changes any more.
    fn fall_behind(&self) {
        let mut phase = self.phase.write();
        if *phase == Phase::Current {
            *phase = Phase::Behind {
                since: self.clock.monotonic(),
                age: Duration::ZERO,
            };
        }
    }
}

/// Texts that the directory compares octet by octet, without regard to ASCII case.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte))
}

/// A digest of the settings that decide which entries count and how they are read.
fn scope(connector: &Connector) -> Scope {
    let patterns = connector.patterns();
    let text = format!(
        "{} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        patterns.top,
        patterns.accounts,
        patterns.groups,
        patterns.map,
        patterns.server,
        patterns.address_template(),
        patterns.login_template(),
        patterns.spelling(),
    );
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// A file name for a map's name, which may hold anything.
fn file_name(map: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '_'
        }
    };
    let name: String = map.chars().take(60).map(safe).collect();
    let digest = blake3::hash(map.as_bytes()).to_hex();
    format!("{name}-{}.snapshot", digest.get(..8).unwrap_or_default())
}
