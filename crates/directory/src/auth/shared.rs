//! What all authenticators of one connector have in common: the directory sees them as one.

use super::budget::LockoutBudget;
use super::events::{AccountEventKind, AccountEvents};
use super::upgrade::Upgrades;
use crate::account::AccountState;
use crate::config::ConnectorConfig;
use ldap::Entry;
use model::{Address, Clock, EntryUuid};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Entries remembered of each kind.
const ENTRIES: usize = 100_000;
/// A weak scheme is named once a day.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// A change of a password is remembered for longer than any session goes without being checked.
const CHANGE_FOR: Duration = Duration::from_secs(3600);

/// A digest of all values of an entry's password attribute.
pub(crate) type PasswordValues = [u8; 32];

/// What a live replica of the directory knows about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiveState {
    /// It is there.
    Known(AccountState),
    /// It is gone.
    Gone,
    /// The replica cannot say now.
    Unsure,
}

/// Answers for an entry; none when the replica is gone.
type LiveView = Box<dyn Fn(EntryUuid) -> Option<LiveState> + Send + Sync>;

pub(crate) struct AuthShared {
    pub(crate) events: AccountEvents,
    pub(super) budget: Option<LockoutBudget>,
    pub(super) upgrades: Upgrades,
    /// The password values that we wrote ourselves, for the same password as before.
    rewritten: Mutex<TtlCache<EntryUuid, PasswordValues>>,
    /// Entries whose weak scheme was named today.
    named: Mutex<TtlCache<EntryUuid, ()>>,
    /// When an entry's password was last seen to be another one.
    changed: Mutex<TtlCache<EntryUuid, Duration>>,
    live: Mutex<Vec<LiveView>>,
}

impl AuthShared {
    pub(crate) fn new(config: &ConnectorConfig, clock: &Arc<dyn Clock>) -> Self {
        Self {
            events: AccountEvents::new(Arc::clone(clock)),
            budget: LockoutBudget::new(config, Arc::clone(clock)),
            upgrades: Upgrades::new(Arc::clone(clock)),
            rewritten: Mutex::new(TtlCache::new(Arc::clone(clock), ENTRIES)),
            named: Mutex::new(TtlCache::new(Arc::clone(clock), ENTRIES)),
            changed: Mutex::new(TtlCache::new(Arc::clone(clock), ENTRIES)),
            live: Mutex::new(Vec::new()),
        }
    }

    /// Before we write these values: what the change feed reports then is no other password.
    pub(super) fn will_rewrite(&self, entry: EntryUuid, values: PasswordValues) {
        self.rewritten.lock().insert(entry, values, A_DAY, Duration::ZERO);
    }

    /// Whether the entry's password values are the ones that we wrote for the password of before.
    pub(crate) fn is_own_rewrite(&self, uuid: EntryUuid, entry: &Entry, attribute: &str) -> bool {
        let rewritten = self.rewritten.lock();
        match rewritten.get(&uuid) {
            Cached::Fresh(ours) => *ours == password_values(entry.get(attribute)),
            Cached::Stale(_) | Cached::Missing => false,
        }
    }

    /// The entry has another password since `at` or earlier: what began before is not good any more.
    pub(crate) fn password_changed(&self, entry: EntryUuid, address: Option<Address>, at: Duration) {
        self.changed.lock().insert(entry, at, CHANGE_FOR, Duration::ZERO);
        self.events
            .publish_before(at, entry, address, AccountEventKind::PasswordChanged);
    }

    /// Whether the password of the entry was seen to change at this moment or later.
    pub(super) fn password_changed_since(&self, entry: EntryUuid, since: Duration) -> bool {
        matches!(self.changed.lock().get(&entry), Cached::Fresh(at) if *at >= since)
    }

    /// True once a day for each entry.
    pub(super) fn may_name(&self, entry: EntryUuid) -> bool {
        let mut named = self.named.lock();
        if matches!(named.get(&entry), Cached::Fresh(())) {
            return false;
        }
        named.insert(entry, (), A_DAY, Duration::ZERO);
        true
    }

    /// A replica to ask before the server is.
    pub(crate) fn add_live(&self, view: impl Fn(EntryUuid) -> Option<LiveState> + Send + Sync + 'static) {
        self.live.lock().push(Box::new(view));
    }

    /// What the first replica that is sure says.
    pub(super) fn live_state(&self, entry: EntryUuid) -> LiveState {
        let mut found = LiveState::Unsure;
        self.live.lock().retain(|view| match view(entry) {
            Some(state) => {
                if found == LiveState::Unsure {
                    found = state;
                }
                true
            }
            None => false,
        });
        found
    }
}

/// The order of an attribute's values means nothing (RFC 4512 section 2.2).
pub(super) fn password_values<V: AsRef<[u8]>>(values: &[V]) -> PasswordValues {
    let mut digests: Vec<[u8; 32]> = values
        .iter()
        .map(|value| *blake3::hash(value.as_ref()).as_bytes())
        .collect();
    digests.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for digest in &digests {
        hasher.update(digest);
    }
    *hasher.finalize().as_bytes()
}
