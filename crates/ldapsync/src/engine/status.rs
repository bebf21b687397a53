//! What an administrator sees.

use super::{Engine, Phase, RoundStatus, Trouble};
use crate::driver::{OutboxStatus, Rates};
use crate::plan::{LocalId, Op, Plan};
use directory::feed::FeedError;
use model::{EntryUuid, Timestamp};
use store::IntentKind;

/// The state of a connector's synchronisation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SyncStatus {
    /// The connector.
    pub connector: String,
    /// Which side is written.
    pub direction: &'static str,
    /// The number under which OpenLDAP's log knows this feed; none where nobody has said the server's name.
    pub replica_id: Option<u16>,
    /// The connector's own domains; none: every domain of this server.
    pub domains: Vec<String>,
    /// Whether it works.
    pub state: State,
    /// What the last round failed with.
    pub error: Option<String>,
    /// Seconds since the local side was last known to agree with the directory; none before the first time.
    pub lag_seconds: Option<u64>,
    /// When a round last ended well, in milliseconds since 1970.
    pub last_success: Option<Timestamp>,
    /// When something was last changed here.
    pub last_change: Option<Timestamp>,
    /// When the next round begins.
    pub next_round: Option<Timestamp>,
    /// How changes come in.
    pub feed: FeedState,
    /// Whether the next poll continues from a cookie.
    pub has_cookie: bool,
    /// Seconds since the cookie was committed.
    pub cookie_age_seconds: Option<u64>,
    /// The round that is under way.
    pub round: Option<RoundStatus>,
    /// Linked accounts and groups.
    pub linked: u64,
    /// Accounts that are in the way of a first synchronisation, while it waits to be started.
    pub unlinked: u64,
    /// What was changed within the last minute.
    pub rates: Rates,
    /// What is still to be written in the directory.
    pub outbox: OutboxStatus,
    /// What was done since the start of the process.
    pub counts: Counts,
    /// How many objects wait, of which the next two show the first ones.
    pub set_aside: u64,
    /// Objects that wait.
    pub quarantine: Vec<AsideStatus>,
    /// Objects here that wait for an entry of their own.
    pub strangers: Vec<StrangerStatus>,
    /// The mass-change guard.
    pub guard: GuardStatus,
}

impl SyncStatus {
    /// Before anything was read.
    pub(crate) fn starting(connector: &str) -> Self {
        Self {
            connector: connector.to_owned(),
            direction: "",
            replica_id: None,
            domains: Vec::new(),
            state: State::Starting,
            error: None,
            lag_seconds: None,
            last_success: None,
            last_change: None,
            next_round: None,
            feed: FeedState::None,
            has_cookie: false,
            cookie_age_seconds: None,
            round: None,
            linked: 0,
            unlinked: 0,
            rates: Rates::default(),
            outbox: OutboxStatus::default(),
            counts: Counts::default(),
            set_aside: 0,
            quarantine: Vec::new(),
            strangers: Vec::new(),
            guard: GuardStatus {
                count: 0,
                count_there: 0,
                tripped: false,
                held: 0,
                hash: None,
            },
        }
    }

    /// Works the ages out for `now`.
    pub(crate) fn refresh(&mut self, now: Timestamp) {
        let age = self.last_success.map(|since| now.since(since).as_secs());
        // A feed that is open and silent says that nothing changed.
        let silent = self.feed == FeedState::Open && self.error.is_none();
        self.lag_seconds = if silent { age.map(|_| 0) } else { age };
        self.cookie_age_seconds = age.filter(|_| self.has_cookie);
    }
}

/// Whether synchronisation works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No round has ended yet.
    Starting,
    /// Between two rounds, the last of which ended well.
    Following,
    /// In a round.
    Working,
    /// The directory cannot be asked, or lags behind; tried again.
    Waiting,
    /// An administrator stopped it.
    Stopped,
    /// Accounts are in the way of a first synchronisation, and nobody has agreed to it yet.
    WaitingForApproval,
    /// The directory's answer cannot be true; an administrator should look. Tried again nevertheless.
    Fault,
}

/// How changes come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedState {
    /// Not at all now.
    None,
    /// By asking every `polling_interval`.
    Polled,
    /// As they happen.
    Open,
}

/// Totals since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// New objects.
    pub created: u64,
    /// Existing objects that joined an entry.
    pub linked: u64,
    /// Objects of which a field was changed.
    pub updated: u64,
    /// Objects that came back.
    pub revived: u64,
    /// Objects that were switched off because the entry is gone or out of scope.
    pub removed: u64,
    /// Accounts whose home is elsewhere now.
    pub moved_away: u64,
    /// Objects that needed nothing.
    pub unchanged: u64,
    /// Entries that were made in the directory.
    pub created_there: u64,
    /// Entries that were changed in the directory.
    pub updated_there: u64,
    /// Entries that were deleted in the directory.
    pub deleted_there: u64,
    /// Values that lost and went to the conflict journal.
    pub conflicts: u64,
    /// Times that an object was put in quarantine.
    pub set_aside: u64,
    /// Times that the guard held a change.
    pub held: u64,
    /// Rounds that did not end.
    pub failed_rounds: u64,
}

impl Counts {
    /// All that was changed here.
    #[must_use]
    pub fn here(&self) -> u64 {
        self.created + self.linked + self.updated + self.revived + self.removed + self.moved_away
    }

    /// All that was changed in the directory.
    #[must_use]
    pub fn there(&self) -> u64 {
        self.created_there + self.updated_there + self.deleted_there
    }

    /// What a plan comes to.
    pub(super) fn of(plan: &Plan) -> Self {
        let mut counts = Self::default();
        counts.count(plan);
        counts
    }

    /// Adds what a plan came to.
    pub(super) fn add(&mut self, done: &Self) {
        self.created += done.created;
        self.linked += done.linked;
        self.updated += done.updated;
        self.revived += done.revived;
        self.removed += done.removed;
        self.moved_away += done.moved_away;
        self.created_there += done.created_there;
        self.updated_there += done.updated_there;
        self.deleted_there += done.deleted_there;
        self.conflicts += done.conflicts;
    }

    fn count(&mut self, plan: &Plan) {
        let mut updated = false;
        for op in &plan.ops {
            match op {
                Op::Create { .. } => self.created += 1,
                Op::Link { .. } => self.linked += 1,
                Op::Set { .. } | Op::Adopt { .. } => updated = true,
                Op::Revive | Op::Await { .. } => self.revived += 1,
                Op::Remove { .. } => self.removed += 1,
                Op::MoveAway { .. } => self.moved_away += 1,
            }
        }
        self.updated += u64::from(updated);
        match plan.intent() {
            None => {}
            Some(IntentKind::Create) => self.created_there += 1,
            Some(IntentKind::Delete) => self.deleted_there += 1,
            Some(_) => self.updated_there += 1,
        }
        self.conflicts += plan.discarded.len() as u64;
    }
}

/// An object in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AsideStatus {
    /// The entry.
    pub uuid: EntryUuid,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again; none when the guard holds it.
    pub next: Option<Timestamp>,
}

/// An object here that cannot get an entry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StrangerStatus {
    /// The object.
    pub object: LocalId,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again.
    pub next: Timestamp,
}

/// The mass-change guard.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GuardStatus {
    /// Destructive changes here in the last hour.
    pub count: u64,
    /// Destructive changes in the directory in the last hour.
    pub count_there: u64,
    /// Whether destructive changes are held.
    pub tripped: bool,
    /// How many objects wait for approval.
    pub held: u64,
    /// What `approve` takes.
    pub hash: Option<String>,
}

/// Rows of the quarantine in one status; the rest is only counted in `guard.held` and the totals.
const SHOWN: usize = 200;

impl Engine {
    /// The status for people.
    pub(crate) fn status(&mut self, connector: &str, now: Timestamp) -> SyncStatus {
        let last_success = self.checkpoint.last_success;
        let rows = self.aside.iter().take(SHOWN).map(|(uuid, row)| AsideStatus {
            uuid: *uuid,
            reason: row.reason.clone(),
            attempts: row.attempts,
            since: row.since,
            next: (!row.is_held()).then_some(row.next),
        });
        let strangers = self
            .strangers
            .iter()
            .take(SHOWN)
            .map(|(local, row)| StrangerStatus {
                object: *local,
                reason: row.reason.clone(),
                attempts: row.attempts,
                since: row.since,
                next: row.next,
            });
        let mut status = SyncStatus {
            connector: connector.to_owned(),
            replica_id: None,
            direction: "",
            domains: Vec::new(),
            state: self.state(),
            error: self.trouble.as_ref().map(ToString::to_string),
            lag_seconds: None,
            last_success,
            last_change: self.last_change,
            next_round: self.next_wake(),
            feed: self.feed,
            has_cookie: self.checkpoint.cookie.is_some(),
            cookie_age_seconds: None,
            round: self.round_status(),
            linked: self.linked,
            unlinked: 0,
            rates: Rates::default(),
            outbox: OutboxStatus::default(),
            counts: self.counts,
            set_aside: (self.aside.len() + self.strangers.len()) as u64,
            quarantine: rows.collect(),
            strangers: strangers.collect(),
            guard: GuardStatus {
                count: self.guard.count(now),
                count_there: self.guard_remote.count(now),
                tripped: self.guard.is_tripped() || self.guard_remote.is_tripped(),
                held: self.aside.values().filter(|row| row.is_held()).count() as u64,
                hash: self.held(),
            },
        };
        status.refresh(now);
        status
    }

    fn state(&self) -> State {
        match (&self.phase, &self.trouble) {
            (_, Some(Trouble::Empty(_) | Trouble::Blind(_) | Trouble::Feed(FeedError::Protocol(_)))) => {
                State::Fault
            }
            (_, Some(_)) => State::Waiting,
            (Phase::Idle { .. }, None) if self.checkpoint.last_success.is_some() => State::Following,
            (Phase::Idle { .. }, None) => State::Starting,
            (Phase::Asking { .. } | Phase::Proving { .. } | Phase::InRound(_), None) => State::Working,
        }
    }
}
