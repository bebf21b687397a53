//! Reads the change feed into a live map, for as long as the server runs.
//!
//! The cookie follows the effects: it is kept only when everything before it is in the replica, and what is kept
//! on disk is an older one with at least its effects.

use super::guard::{Evidence, Guard};
use super::record::{Facts, password_stamp};
use super::replica::{Before, Stamps, Upsert};
use super::snapshot::{self, Head};
use super::{LiveMap, Phase};
use crate::EntryProblem;
use crate::account::{AccountState, Host, wanted};
use crate::auth::AccountEventKind;
use crate::connector::jitter;
use crate::feed::{
    BackOff, Change, ChangeSource, ChangedEntry, Cookie, Coverage, FeedError, FeedEvent, PollEnd, Presence,
    open_for,
};
use crate::patterns::EntryKind;
use ldap::control::DirSyncRights;
use model::{Address, EntryUuid};
use net::Shutdown;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between two snapshots of a map that changes.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(60);
/// Entries looked up again at a time.
const VERIFY_AT_ONCE: usize = 1000;

/// Keeps one live map right.
pub struct LiveDriver {
    map: Arc<LiveMap>,
    source: Box<dyn ChangeSource>,
    stamp_key: [u8; 32],
    guard: Guard,
    /// Where the replica stands.
    cookie: Option<Cookie>,
    /// The directory that it holds.
    suffix: Option<EntryUuid>,
    /// The server was behind our cookie once: what it says since may be older than the replica.
    distrusted: bool,
    /// Until when entries that seem to be gone are held.
    held_until: Option<Duration>,
    /// Something is not in the snapshot.
    dirty: bool,
    next_snapshot: Duration,
    writing: Option<JoinHandle<io::Result<()>>>,
    back_off: BackOff,
}

/// What the driver does next.
enum Next {
    Event(Option<Result<FeedEvent, FeedError>>),
    Chores,
}

impl LiveDriver {
    pub(in crate::map) fn new(map: Arc<LiveMap>) -> Self {
        let connector = Arc::clone(&map.connector);
        let patterns = connector.patterns();
        let mut attributes: BTreeSet<String> = wanted(patterns, EntryKind::Account).into_iter().collect();
        attributes.extend(map.keys.attributes());
        attributes.extend(map.stamps.iter().cloned());
        // Routing needs neither names nor photographs.
        for name in [
            &patterns.map.display_name,
            &patterns.map.given_name,
            &patterns.map.surname,
        ] {
            attributes.remove(name);
        }
        let mut stamp_key = [0; 32];
        if let Err(error) = getrandom::fill(&mut stamp_key) {
            tracing::warn!(%error, "password stamps are not keyed");
        }
        let resume = map.resume.write().take();
        let holds = map.replica.read().held() > 0;
        Self {
            source: open_for(&connector, attributes, DirSyncRights::ObjectSecurity),
            stamp_key,
            guard: Guard::new(connector.config().guard),
            cookie: resume.as_ref().and_then(|head| head.cookie.clone()),
            suffix: resume.map(|head| head.suffix),
            distrusted: false,
            held_until: holds.then(|| map.clock.monotonic().saturating_add(map.stale_for)),
            dirty: false,
            next_snapshot: map.clock.monotonic(),
            writing: None,
            back_off: BackOff::new(Duration::from_secs(connector.config().retry_interval)),
            map,
        }
    }

    /// Follows the directory until the order to stop.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            let ended = tokio::select! {
                () = shutdown.requested() => break,
                ended = self.session() => ended,
            };
            let wait = match ended {
                Ok(()) => Duration::from_secs(self.map.connector.config().polling_interval),
                Err(error) => {
                    self.map.fall_behind();
                    let wait = self.back_off.failed(jitter());
                    tracing::warn!(map = %self.map.name, %error, ?wait, "the live map is not told of changes");
                    *self.map.problem.write() = Some(format!("it is behind the directory: {error}"));
                    wait
                }
            };
            tokio::select! {
                () = shutdown.requested() => break,
                () = sleep(wait) => self.chores().await,
            }
        }
        self.map.fall_behind();
        if let Some(writing) = self.writing.take() {
            self.written(writing.await);
        }
        if self.start_snapshot()
            && let Some(writing) = self.writing.take()
        {
            self.written(writing.await);
        }
    }

    /// One connection: from the refresh to its end.
    async fn session(&mut self) -> Result<(), FeedError> {
        let print = self.source.fingerprint().await?;
        let evidence = match self.suffix {
            Some(known) if known != print.suffix_uuid => {
                tracing::error!(map = %self.map.name, suffix = %print.suffix, "this is another directory than before; nothing is removed because of it");
                self.cookie = None;
                Evidence::Doubtful
            }
            _ => Evidence::Good,
        };
        if let Some(cookie) = &self.cookie
            && !print.has_caught_up(cookie)
        {
            self.distrusted = true;
            let text = format!("its contextCSN is {:?}", print.context_csns);
            return Err(FeedError::CookieTooNew(text));
        }
        if self.distrusted {
            self.cookie = None;
        }
        let followed = self.follow(print.suffix_uuid, evidence).await;
        match &followed {
            Err(FeedError::RefreshRequired) => self.cookie = None,
            Err(FeedError::CookieTooNew(_)) => self.distrusted = true,
            _ => {}
        }
        followed
    }

    async fn follow(&mut self, suffix: EntryUuid, evidence: Evidence) -> Result<(), FeedError> {
        let cookie = self.cookie.clone();
        let mut following = self.source.follow(cookie.as_ref()).await?;
        self.map.replica.write().begin_refresh();
        let mut refresh = Refresh::default();
        loop {
            let next = tokio::select! {
                event = following.next() => Next::Event(event),
                () = sleep(SNAPSHOT_EVERY) => Next::Chores,
            };
            match next {
                Next::Chores => {}
                Next::Event(None) => return Ok(()),
                Next::Event(Some(event)) => match event? {
                    FeedEvent::Refreshing(changes) => {
                        refresh.named += changes.len();
                        self.apply(changes, &mut refresh.doubtful)?;
                    }
                    FeedEvent::Refreshed(end) => {
                        let refresh = std::mem::take(&mut refresh);
                        self.refreshed(refresh, end, suffix, evidence).await?;
                    }
                    FeedEvent::Live { changes, cookie } => {
                        self.live(changes).await?;
                        self.cookie = cookie.or(self.cookie.take());
                    }
                    FeedEvent::Resuming => {
                        self.map.fall_behind();
                        self.map.replica.write().begin_refresh();
                    }
                },
            }
            self.chores().await;
        }
    }

    /// The refresh is over: now absences count, and then the map is right.
    async fn refreshed(
        &mut self,
        mut refresh: Refresh,
        end: PollEnd,
        suffix: EntryUuid,
        evidence: Evidence,
    ) -> Result<(), FeedError> {
        let mut evidence = evidence;
        if end.coverage == Coverage::Everything {
            let replica = self.map.replica.read();
            refresh.doubtful.extend(replica.unseen());
            // Those that were named are looked up once more: rather that than a mark for each.
            refresh.doubtful.extend(replica.unread());
            drop(replica);
            if refresh.named == 0 {
                // An empty answer while there are entries is a fault of the directory or of our rights.
                evidence = Evidence::Doubtful;
            }
        }
        self.clear_doubts(refresh.doubtful, evidence).await?;
        self.cookie = end.cookie.or(self.cookie.take());
        self.suffix = Some(suffix);
        self.distrusted = false;
        self.dirty = true;
        self.back_off.reset();
        self.changed();
        self.right();
        let (entries, held, unread, octets) = {
            let replica = self.map.replica.read();
            let unread = replica.unread().len();
            (replica.len(), replica.held(), unread, replica.memory())
        };
        tracing::info!(map = %self.map.name, entries, held, unread, octets, "the live map is filled");
        self.report();
        Ok(())
    }

    async fn live(&mut self, changes: Vec<Change>) -> Result<(), FeedError> {
        let mut doubtful = Vec::new();
        self.apply(changes, &mut doubtful)?;
        if !doubtful.is_empty() {
            // Until the doubts are over the map must not say no.
            self.map.fall_behind();
            self.clear_doubts(doubtful, Evidence::Good).await?;
            self.right();
        }
        self.dirty = true;
        self.changed();
        self.report();
        Ok(())
    }

    /// Puts changes into the replica. Entries that may be gone, or that it lacks, are to be looked up.
    fn apply(&self, changes: Vec<Change>, doubtful: &mut Vec<EntryUuid>) -> Result<(), FeedError> {
        for change in changes {
            match change {
                Change::Entry(changed) => {
                    if !self.upsert(&changed)? && self.is_known(changed.uuid) {
                        doubtful.push(changed.uuid);
                    }
                }
                Change::Present(uuid) => {
                    if !self.map.replica.write().saw(uuid) {
                        doubtful.push(uuid);
                    }
                }
                Change::Deleted(uuid) => {
                    if self.is_known(uuid) {
                        doubtful.push(uuid);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the replica has this entry, or knows that it could not be read.
    fn is_known(&self, uuid: EntryUuid) -> bool {
        let replica = self.map.replica.read();
        replica.has(uuid) || replica.unread().contains(&uuid)
    }

    /// Says what is wrong while the feed is well.
    fn report(&self) {
        let replica = self.map.replica.read();
        let (held, unread) = (replica.held(), replica.unread().len());
        drop(replica);
        let mut problems = Vec::new();
        if held > 0 {
            problems.push(format!(
                "{held} entries seem to be gone from the directory; they are held"
            ));
        }
        if unread > 0 {
            problems.push(format!(
                "{unread} entries are larger than max_entry; the server is asked for them and for unknown addresses"
            ));
        }
        *self.map.problem.write() = (!problems.is_empty()).then(|| problems.join("; "));
    }

    /// Adds or replaces one entry; false when it is no account or group of ours.
    fn upsert(&self, changed: &ChangedEntry) -> Result<bool, FeedError> {
        if let (Err(problem @ EntryProblem::TooLarge { .. }), Some(_)) = (&changed.account, changed.kind) {
            tracing::warn!(map = %self.map.name, %problem, "the live map leaves this entry to the server");
            self.map.replica.write().set_unread(changed.uuid);
            // What changed is not known: nothing may be answered from memory.
            self.map.connector.credentials_changed(changed.uuid);
            return Ok(true);
        }
        if let Err(problem @ EntryProblem::NoUuid { .. }) = &changed.account {
            return Err(FeedError::Protocol(format!(
                "{problem}; the service identity must be able to read it"
            )));
        }
        let stamp = password_stamp(&changed.entry, &self.map.stamps, &self.stamp_key);
        let Some(facts) = Facts::read(changed, self.map.connector.patterns(), &self.map.keys, stamp) else {
            return Ok(false);
        };
        let done = {
            let mut replica = self.map.replica.write();
            let done = replica.upsert(&facts);
            if self.writing.is_none() {
                replica.tidy();
            }
            done
        };
        let connector = &self.map.connector;
        let before = match done {
            Upsert::Added => None,
            Upsert::Changed(before) | Upsert::Same(before) => Some(before),
        };
        let same = before.is_some_and(|before| before.stamp == Stamps::Same);
        let rewritten = !same && connector.is_own_rewrite(facts.uuid, &changed.entry);
        if !(same || rewritten) || facts.state != AccountState::Active {
            connector.credentials_changed(facts.uuid);
        }
        if let (Some(before), EntryKind::Account) = (before, facts.kind) {
            let before = match rewritten {
                true => Before {
                    stamp: Stamps::Same,
                    ..before
                },
                false => before,
            };
            self.tell(&facts, before);
        }
        Ok(true)
    }

    /// Tells those who hold sessions what has happened to the account.
    fn tell(&self, facts: &Facts, before: Before) {
        let publish = |kind| {
            let address = facts
                .texts
                .first()
                .and_then(|(_, text)| Address::parse(text).ok());
            self.map
                .connector
                .publish_account_event(facts.uuid, address, kind);
        };
        let is_open = |state| matches!(state, AccountState::Active | AccountState::Locked);
        if before.stamp == Stamps::Other {
            publish(AccountEventKind::PasswordChanged);
        }
        if is_open(before.state) && !is_open(facts.state) {
            publish(AccountEventKind::Disabled);
        }
        if !before.same_host {
            let to = match &facts.host {
                Host::One(host) => Some(host.clone()),
                Host::None | Host::Several(_) => None,
            };
            publish(AccountEventKind::Moved { to });
        }
    }

    /// Before look-ups: the connection for them may have been idle too long, and lead to another server since.
    async fn meet_again(&mut self) -> Result<(), FeedError> {
        let print = self.source.fingerprint().await?;
        match &self.cookie {
            Some(cookie) if !print.has_caught_up(cookie) => Err(FeedError::CookieTooNew(format!(
                "its contextCSN is {:?}",
                print.context_csns
            ))),
            _ => Ok(()),
        }
    }

    /// Looks entries up by their UUID: what is there is taken in, what is gone goes, unless that is too much.
    async fn clear_doubts(
        &mut self,
        mut doubtful: Vec<EntryUuid>,
        evidence: Evidence,
    ) -> Result<(), FeedError> {
        doubtful.sort_unstable_by_key(|uuid| *uuid.as_bytes());
        doubtful.dedup();
        let mut leaving = Vec::new();
        if !doubtful.is_empty() {
            self.meet_again().await?;
        }
        for part in doubtful.chunks(VERIFY_AT_ONCE) {
            let answers = self.source.verify(part).await?;
            for (uuid, presence) in part.iter().zip(answers) {
                let stays = match presence {
                    Presence::InScope(changed) => self.upsert(&changed)?,
                    Presence::Gone | Presence::OutOfScope(_) => false,
                };
                if !stays {
                    self.map.replica.write().forget_unread(*uuid);
                    if self.map.replica.read().has(*uuid) {
                        leaving.push(*uuid);
                    }
                }
            }
        }
        if leaving.is_empty() {
            return Ok(());
        }
        let now = self.map.clock.monotonic();
        let all = self.map.replica.read().len();
        if self.guard.admits(leaving.len(), all, evidence, now) {
            self.remove(&leaving);
        } else {
            tracing::error!(map = %self.map.name, leaving = leaving.len(), all, "too many entries seem to be gone at once; they are held and still routed");
            let mut replica = self.map.replica.write();
            for uuid in &leaving {
                replica.hold(*uuid);
            }
            let until = now.saturating_add(self.map.stale_for);
            self.held_until = Some(self.held_until.map_or(until, |before| before.max(until)));
        }
        Ok(())
    }

    fn remove(&self, leaving: &[EntryUuid]) {
        for uuid in leaving {
            let mut replica = self.map.replica.write();
            let view = replica.account(*uuid);
            let address = view.and_then(|view| Address::parse(view.address()?).ok());
            replica.remove(*uuid);
            if self.writing.is_none() {
                replica.tidy();
            }
            drop(replica);
            let kind = AccountEventKind::Deleted;
            self.map.connector.publish_account_event(*uuid, address, kind);
        }
    }

    /// What is due beside the feed: the end of a hold, and the snapshot.
    async fn chores(&mut self) {
        let now = self.map.clock.monotonic();
        let due = self.held_until.is_some_and(|until| until <= now);
        if due
            && *self.map.phase.read() == Phase::Current
            && let Err(error) = self.release_held().await
        {
            tracing::warn!(map = %self.map.name, %error, "entries that are held cannot be looked up; they stay");
        }
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(writing) = self.writing.take()
        {
            self.written(writing.await);
        }
        if self.next_snapshot <= now {
            self.start_snapshot();
        }
    }

    /// The time of the hold is over: who is still gone is removed.
    async fn release_held(&mut self) -> Result<(), FeedError> {
        let held = self.map.replica.read().held_entries();
        let mut gone = Vec::new();
        if !held.is_empty() {
            self.meet_again().await?;
        }
        for part in held.chunks(VERIFY_AT_ONCE) {
            for (uuid, presence) in part.iter().zip(self.source.verify(part).await?) {
                let stays = match presence {
                    Presence::InScope(changed) => self.upsert(&changed)?,
                    Presence::Gone | Presence::OutOfScope(_) => false,
                };
                if !stays {
                    gone.push(*uuid);
                }
            }
        }
        self.held_until = None;
        self.remove(&gone);
        self.dirty = true;
        self.changed();
        self.report();
        Ok(())
    }

    /// Starts to write the replica when it has changed; true when it did.
    fn start_snapshot(&mut self) -> bool {
        let (Some(path), Some(suffix), true, None) =
            (self.map.snapshot.clone(), self.suffix, self.dirty, &self.writing)
        else {
            return false;
        };
        let now = self.map.clock.now();
        let right_at = match *self.map.phase.read() {
            Phase::Filling => return false,
            Phase::Current => now,
            Phase::Behind { since, age } => {
                let age = self
                    .map
                    .clock
                    .monotonic()
                    .saturating_sub(since)
                    .saturating_add(age);
                let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                model::Timestamp::from_millis(now.as_millis().saturating_sub(millis))
            }
        };
        let head = Head {
            scope: self.map.scope,
            suffix,
            right_at,
            // The snapshot does not know of entries that could not be read: after a restart they must come again.
            cookie: self
                .cookie
                .clone()
                .filter(|_| self.map.replica.read().unread().is_empty()),
        };
        self.dirty = false;
        self.next_snapshot = self.map.clock.monotonic().saturating_add(SNAPSHOT_EVERY);
        let map = Arc::clone(&self.map);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            snapshot::write(&path, &head, &map.replica)
        }));
        true
    }

    fn written(&mut self, result: Result<io::Result<()>, tokio::task::JoinError>) {
        let error = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.dirty = true;
        tracing::error!(map = %self.map.name, error, "the snapshot of the live map cannot be written");
    }

    /// The replica is as the directory. Without a search that stays open that is over at once.
    fn right(&self) {
        let since = self.map.clock.monotonic();
        let age = Duration::ZERO;
        self.map.set_phase(match self.map.connector.config().persist {
            true => Phase::Current,
            false => Phase::Behind { since, age },
        });
    }

    fn changed(&self) {
        self.map.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a refresh has told so far.
#[derive(Default)]
struct Refresh {
    /// How much it named.
    named: usize,
    doubtful: Vec<EntryUuid>,
}

impl std::fmt::Debug for LiveDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LiveDriver({})", self.map.name)
    }
}
