//! The engine: rounds, as a state machine without I/O.
//!
//! [`Engine::step`] takes what happened and returns what to do next; the driver does it and reports back. A
//! round asks which server answers and how far it has come, reads the feed, looks at every named object once,
//! verifies what seems to be gone, and commits the cookie last: after the effects of everything before it. While
//! the feed stays open, each batch of changes is a round of its own (`live`).
//!
//! Never concludes a deletion from a round that failed, from a server that lags behind the cookie, from an
//! empty answer, or from a directory whose identity changed. One bad object goes into quarantine and the
//! others go on.

mod aside;
mod awaited;
mod backoff;
mod examine;
mod live;
mod messages;
mod named;
mod newcomers;
mod newest;
mod operate;
mod round;
mod status;
#[cfg(test)]
mod tests;
mod timed;
mod told;

pub use aside::is_held;
pub(crate) use aside::{Aside, short_hex};
#[cfg(test)]
pub(crate) use examine::is_settled;
pub(crate) use messages::{Effect, Input, Notice, Outcome, Trouble, Wake};
pub(crate) use newest::{Newest, Void, is_void};
pub use operate::RoundStatus;
pub use status::{AsideStatus, Counts, FeedState, GuardStatus, State, StrangerStatus, SyncStatus};

use crate::guard::{Guard, Limits};
use crate::merge::Side;
use crate::plan::{LocalId, Policy};
use backoff::Backoff;
use directory::feed::{Cookie, Coverage, FeedError, Fingerprint, PollEnd};
use model::{EntryUuid, Timestamp};
use round::{Round, Stage};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two comparisons of everything.
const AUDIT: Duration = Duration::from_secs(86_400);

/// What the engine is made with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    /// Whether the stored cookie belongs to these bases, filters and mapping.
    pub(crate) scope: Scope,
    pub(crate) polling_interval: Duration,
    pub(crate) retry_interval: Duration,
    /// For the jitter of retries: any number that differs between servers.
    pub(crate) seed: u64,
    /// Objects changed here that are looked at, and written, together: as many as fill some transactions.
    pub(crate) together: usize,
}

impl Settings {
    /// [`Settings::together`] for transactions of this size. Each portion waits for two commits here, so it is some
    /// transactions large, all of them full.
    pub(crate) fn together(transaction: u16) -> usize {
        let size = usize::from(transaction);
        if size <= 1 {
            // Nothing is gained by filling anything: the sooner the first is written, the more is planned meanwhile.
            return ONE_BY_ONE;
        }
        let whole = MOST_TOGETHER.checked_div(size).unwrap_or(0) * size;
        whole.max(LEAST_TOGETHER)
    }
}

/// The bounds of [`Settings::together`]: few in tests, so that a few people are several portions.
const MOST_TOGETHER: usize = if cfg!(test) { 4 } else { 500 };
const LEAST_TOGETHER: usize = if cfg!(test) { 4 } else { round::PORTION };
/// Where each change is written by itself.
const ONE_BY_ONE: usize = if cfg!(test) { 4 } else { 64 };

/// What the bases, filters and mapping are, compared with those of the last committed round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Same,
    /// Everything is compared once, and no absence counts: a wrong base looks like mass deletion.
    Changed,
}

/// What is committed at the end of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) cookie: Option<Cookie>,
    /// The suffix entry's UUID of the directory that gave the cookie.
    pub(crate) server: Option<EntryUuid>,
    pub(crate) last_success: Option<Timestamp>,
    /// When everything was last compared. Kept over restarts: a server that is restarted daily needs it too.
    pub(crate) last_full: Option<Timestamp>,
    /// Destructive changes of the last hour, so that a restart does not open the guard.
    pub(crate) guard: Vec<(Timestamp, u32)>,
    /// The same for what was done to the directory.
    pub(crate) guard_remote: Vec<(Timestamp, u32)>,
    /// Versions that say nothing any more.
    pub(crate) void: Vec<Void>,
    /// Whether the last comparison of everything spared whatever was absent.
    pub(crate) spared: bool,
}

impl Checkpoint {
    /// Whether everything is to be compared again. A moment that is still to come says nothing: the clock was set.
    fn audit_is_due(&self, now: Timestamp) -> bool {
        self.last_full
            .is_none_or(|last| last > now || last.after(AUDIT) <= now)
    }

    fn next_audit(&self) -> Option<Timestamp> {
        self.last_full.map(|last| last.after(AUDIT))
    }
}

/// The state between two steps.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    phase: Phase,
    feed: FeedState,
    checkpoint: Checkpoint,
    linked: u64,
    guard: Guard,
    /// The guard of the directory.
    guard_remote: Guard,
    aside: BTreeMap<EntryUuid, Aside>,
    /// Quarantined objects without an entry.
    strangers: BTreeMap<LocalId, Aside>,
    /// Held changes that somebody approved, by the lines that were approved.
    approved: BTreeMap<EntryUuid, Vec<String>>,
    backoff: Backoff,
    counts: Counts,
    last_change: Option<Timestamp>,
    trouble: Option<Trouble>,
    /// The session log of the server no longer reaches back to the cookie. The cookie itself is kept: it says how
    /// far a server must have come to be believed.
    log_lost: bool,
    /// What the round that failed had to look at for a reason of its own, and nobody would name again.
    owed: BTreeSet<EntryUuid>,
    /// Entries whose state ends by itself before the next comparisons of everything: no message tells of it.
    timed: BTreeMap<EntryUuid, Timestamp>,
    /// What the open feed told and is looked at once more.
    told: BTreeMap<EntryUuid, told::Told>,
    /// What the server that is read has not got yet of our own writes.
    awaited: BTreeMap<EntryUuid, awaited::Awaited>,
    /// What a server that had forgotten how far it was said of itself when everything was compared with it.
    forgetful: Option<BTreeMap<String, String>>,
    /// How far a server must have come to be believed, beside the cookie.
    newest: Newest,
}

/// Where the engine stands.
#[derive(Debug)]
enum Phase {
    Idle {
        next: Timestamp,
    },
    /// Waiting for the fingerprint.
    Asking {
        wake: Wake,
    },
    /// Waiting for the proof that this server is not behind.
    Proving {
        wake: Wake,
        server: Fingerprint,
    },
    InRound(Box<Round>),
}

/// How a server stands to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    CaughtUp,
    /// It shows everything, and says that it is behind.
    Forgetful,
}

impl Engine {
    /// An engine that starts its first round at the first wake.
    pub(crate) fn new(
        settings: Settings,
        checkpoint: Checkpoint,
        linked: u64,
        aside: BTreeMap<EntryUuid, Aside>,
        strangers: BTreeMap<LocalId, Aside>,
    ) -> Self {
        let mut guard = Guard::resume(settings.limits, &checkpoint.guard);
        let mut guard_remote = Guard::resume(settings.limits, &checkpoint.guard_remote);
        for row in aside.values() {
            if row.holds(Side::Local) {
                guard.trip();
            }
            if row.holds(Side::Remote) {
                guard_remote.trip();
            }
        }
        let approved = aside
            .iter()
            .filter_map(|(uuid, row)| Some((*uuid, row.approved_lines()?)));
        let approved = approved.collect();
        let backoff = Backoff::new(settings.retry_interval, settings.seed);
        Self {
            settings,
            phase: Phase::Idle {
                next: Timestamp::default(),
            },
            feed: FeedState::None,
            checkpoint,
            linked,
            guard,
            guard_remote,
            aside,
            strangers,
            approved,
            backoff,
            counts: Counts::default(),
            last_change: None,
            trouble: None,
            log_lost: false,
            owed: BTreeSet::new(),
            timed: BTreeMap::new(),
            told: BTreeMap::new(),
            awaited: BTreeMap::new(),
            forgetful: None,
            newest: Newest::default(),
        }
    }

    /// Takes one event and says what to do.
    pub(crate) fn step(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Wake(wake) => self.wake(wake, now),
            Input::Server(answer) => self.server(answer, now),
            Input::Proved(holds) => self.proved(holds, now),
            Input::Noticed(notice) => self.noticed(notice),
            Input::Stays => {
                self.feed = FeedState::Open;
                Vec::new()
            }
            Input::Lost(error) => {
                self.lost(error, now);
                Vec::new()
            }
            Input::Ended(end) => self.ended(end, now),
            Input::Failed(trouble) => self.fail(trouble, now),
            Input::Links(links) => self.swept(&links, now),
            Input::Sampled { asked, visible } if asked > 0 && visible == 0 => {
                self.fail(Trouble::Blind(asked), now)
            }
            Input::Sampled { .. } => self.next_stage(now),
            Input::Groups(groups) => self.groups_found(groups, now),
            Input::Newcomers(found) => self.newcomers(found, now),
            Input::Newcomer(newcomer) => self.newcomer(&newcomer, now),
            Input::NoNewcomer(local) => self.no_newcomer(local, now),
            Input::Created(local, outcome) => self.created(local, outcome, now),
            Input::Examined(situation) => self.examined(&situation, now),
            Input::Sent(uuids) => self.sent(&uuids),
            Input::Applied(uuid, outcome) => self.applied(uuid, outcome, now),
            Input::Overtaken(uuid) => self.overtaken(uuid, now),
            Input::NotYet(uuid) => self.not_yet(uuid, now),
            Input::Committed { linked } => self.committed(linked, now),
        }
    }

    /// When the timer is to fire next; none in the middle of a round.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Idle { next } => Some(next),
            _ => None,
        }
    }

    /// Whether the feed is open, so that its events are to be told.
    pub(crate) fn is_following(&self) -> bool {
        self.feed == FeedState::Open
    }

    fn wake(&mut self, wake: Wake, now: Timestamp) -> Vec<Effect> {
        match self.phase {
            Phase::Idle { next } if wake != Wake::Timer || next <= now => {
                if self.needs_no_poll(wake, now) {
                    return self.wake_beside_feed(now);
                }
                // Asking again from the cookie takes over from an open feed.
                self.feed = FeedState::Polled;
                self.phase = Phase::Asking { wake };
                vec![Effect::AskServer]
            }
            _ => Vec::new(),
        }
    }

    fn server(&mut self, answer: Result<Fingerprint, FeedError>, now: Timestamp) -> Vec<Effect> {
        let Phase::Asking { wake } = self.phase else {
            return self.judged(answer, now);
        };
        let server = match answer {
            Ok(server) => server,
            Err(error) => return self.fail(error.into(), now),
        };
        let cookie = self.checkpoint.cookie.clone();
        // By command, and of another directory, nothing is known.
        let anew = wake == Wake::Full || self.is_another(&server);
        let cookie = cookie.filter(|_| !anew);
        // A replica that lags, or a restored backup, may neither add nor remove anything.
        let behind = cookie
            .as_ref()
            .is_some_and(|cookie| !server.has_caught_up(cookie))
            || (!anew && self.newest.is_ahead_of(&server));
        #[cfg(test)]
        let (behind, cookie) = crate::broken::believe_lag(behind, cookie);
        if behind {
            self.phase = Phase::Proving { wake, server };
            return vec![Effect::Prove];
        }
        self.begin((wake, server), cookie, Standing::CaughtUp, now)
    }

    /// Whether the server shows whatever is known, although it says that it is behind.
    fn proved(&mut self, holds: bool, now: Timestamp) -> Vec<Effect> {
        let judging = matches!(&self.phase, Phase::InRound(round) if round.stage == Stage::Judging);
        if judging && holds {
            return self.next_stage(now);
        }
        match std::mem::replace(&mut self.phase, Phase::Idle { next: now }) {
            Phase::Proving { wake, server } if holds => {
                let cookie = self.checkpoint.cookie.clone();
                self.begin((wake, server), cookie, Standing::Forgetful, now)
            }
            phase => {
                self.phase = phase;
                self.fail(Trouble::Lagging, now)
            }
        }
    }

    /// Begins a round with a server that is believed.
    fn begin(
        &mut self,
        (wake, server): (Wake, Fingerprint),
        cookie: Option<Cookie>,
        standing: Standing,
        now: Timestamp,
    ) -> Vec<Effect> {
        let changed = self.is_another(&server);
        let anew = wake == Wake::Full || changed;
        // What no message tells (a member's DN that comes to life, an edit of ours) is found once a day.
        let audit = self.checkpoint.audit_is_due(now);
        let rescoped = self.settings.scope == Scope::Changed;
        let covered = cookie.as_ref().map(Cookie::csns);
        let known = self.forgetful.as_ref() == Some(&server.context_csns);
        let cookie = match standing {
            Standing::CaughtUp => cookie.filter(|_| !audit && !rescoped && !self.log_lost),
            // It would refuse our cookie, and tells nothing of what it has forgotten to have changed. So everything is
            // compared, once; from then on it tells of what is news to itself.
            Standing::Forgetful => cookie
                .filter(|_| known && !rescoped)
                .and_then(|cookie| cookie.held_back(&server)),
        };
        let due = self.due(now);
        let mut round = Round::new(server.suffix_uuid, changed || rescoped, cookie.is_none(), due);
        if anew {
            round.anew = Some(Newest::default());
            round.void = self.newest.lost_by(&server);
        }
        if standing == Standing::Forgetful {
            round.forgetful = Some(server.context_csns);
            round.covered = covered.unwrap_or_default();
        }
        self.phase = Phase::InRound(Box::new(round));
        vec![Effect::Poll(cookie)]
    }

    fn is_another(&self, server: &Fingerprint) -> bool {
        let known = self.checkpoint.server;
        known.is_some_and(|known| known != server.suffix_uuid)
    }

    pub(super) fn noticed(&mut self, notice: Notice) -> Vec<Effect> {
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        match notice {
            Notice::Account(uuid) => {
                round.seen.insert(uuid);
                vec![Effect::Examine(uuid)]
            }
            Notice::Group(uuid) => {
                round.seen.insert(uuid);
                round.groups.insert(uuid);
                Vec::new()
            }
            Notice::Present(uuid) => {
                round.seen.insert(uuid);
                Vec::new()
            }
            Notice::Absent(uuid) => {
                round.absent.insert(uuid);
                Vec::new()
            }
            Notice::Here(uuid) => {
                round.due.insert(uuid);
                Vec::new()
            }
            Notice::New(local) => {
                round.newcomers.insert(local);
                Vec::new()
            }
            Notice::Member(uuid, address) => {
                // When everything is compared, the feed names every group anyway.
                if !round.full {
                    round.members.insert(uuid, address);
                }
                Vec::new()
            }
        }
    }

    fn ended(&mut self, end: PollEnd, now: Timestamp) -> Vec<Effect> {
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        let (everything, nothing) = (end.coverage == Coverage::Everything, round.seen.is_empty());
        round.cookie = end.cookie;
        round.stage = Stage::Streamed;
        if everything && nothing && self.linked > 0 {
            return self.fail(Trouble::Empty(self.linked), now);
        }
        if everything {
            vec![Effect::ListLinks]
        } else {
            self.next_stage(now)
        }
    }

    fn swept(&mut self, links: &[EntryUuid], now: Timestamp) -> Vec<Effect> {
        let spares = self.spares_absences();
        if let Phase::InRound(round) = &mut self.phase
            && !spares
        {
            let missing = links.iter().filter(|uuid| !round.seen.contains(**uuid));
            round.absent.extend(missing.copied());
        }
        self.next_stage(now)
    }

    fn groups_found(&mut self, groups: Vec<EntryUuid>, now: Timestamp) -> Vec<Effect> {
        if let Phase::InRound(round) = &mut self.phase {
            round.groups.extend(groups);
        }
        self.next_stage(now)
    }

    fn committed(&mut self, linked: u64, now: Timestamp) -> Vec<Effect> {
        if let Phase::InRound(round) = &mut self.phase {
            let forgetful = round.forgetful.is_some();
            if round.full && !forgetful {
                self.checkpoint.last_full = Some(now);
            }
            // What such a server does not show said nothing. So everything is compared once more when it has caught up.
            self.log_lost = forgetful || (round.live && self.log_lost);
            if let Some(newest) = round.anew.take() {
                self.newest = newest;
            }
            if !round.live {
                self.forgetful = round.forgetful.take();
            }
        }
        self.owed.clear();
        self.settings.scope = Scope::Same;
        self.linked = linked;
        self.backoff.reset();
        self.trouble = None;
        self.checkpoint.last_success = Some(now);
        self.phase = Phase::Idle {
            next: self.after_a_round(now),
        };
        Vec::new()
    }

    /// The round is over without a result. What was applied stays applied; the cookie stays where it was, so
    /// that the next round sees everything again.
    fn fail(&mut self, trouble: Trouble, now: Timestamp) -> Vec<Effect> {
        if matches!(trouble, Trouble::Feed(FeedError::RefreshRequired)) {
            // Full, but under guard and verification.
            self.log_lost = true;
        }
        if matches!(self.phase, Phase::Idle { .. }) {
            // The round is over already; what comes in late changes nothing.
            return Vec::new();
        }
        let reading = matches!(&self.phase, Phase::InRound(round) if round.stage == Stage::Streaming);
        if let Phase::InRound(round) = &mut self.phase {
            self.owed.append(&mut round.owed);
        }
        // The cookie did not move: an open feed would go on behind what was missed.
        self.feed = FeedState::None;
        self.trouble = Some(trouble);
        self.counts.failed_rounds += 1;
        self.phase = Phase::Idle {
            next: now.after(self.backoff.next()),
        };
        if reading {
            vec![Effect::Abandon]
        } else {
            Vec::new()
        }
    }
}
