//! One connector's work: feeds the engine, carries out its effects.

use super::stream::Unsaved;
use super::{Request, SyncEngine, gone, order, quarantine, rivals};
use crate::engine::{
    Aside, Checkpoint, Effect, Engine, Input, Notice, Outcome, Scope, Settings, Trouble, Wake,
};
use crate::guard::Limits;
use crate::local::{LinkCount, Seen, is_living};
use crate::mapping::Members;
use crate::plan::{Creation, LocalId, LocalState, Plan, Remote, Situation};
use directory::EntryKind;
use directory::feed::{ChangeSource, ChangedEntry, Cookie, FeedError, Following, Presence};
use model::{Address, EntryUuid, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use store::{ConnectorState, Elsewhere, LinkState, Phase, QuarantineEntry, StoreError};
use tokio::task::JoinSet;

/// Entries that are looked at to see whether anything can be seen at all.
const SAMPLE: usize = 5;

/// What a guard has counted, by the minute.
type Counted = Vec<(Timestamp, u32)>;

pub(super) struct Worker<'a> {
    pub(super) parts: &'a SyncEngine,
    pub(super) engine: Engine,
    pub(super) source: Box<dyn ChangeSource>,
    /// The feed while it stays open.
    pub(super) stream: Option<Following>,
    pub(super) unsaved: Option<Unsaved>,
    effects: VecDeque<Effect>,
    /// What was read of the objects that are being planned.
    pub(super) seen: HashMap<EntryUuid, Seen>,
    pub(super) linked: u64,
    /// What the guard had counted when that was last stored.
    guard: (Counted, Counted),
    /// How far the journal was read, and how far it will be once this round has ended well.
    pub(super) offset: u64,
    pub(super) reading: Option<u64>,
    /// Whether a round may have ended between an account and the groups that have it: then every account that is
    /// named is compared with all groups, and not only the one whose address is news.
    doubtful: bool,
}

impl<'a> Worker<'a> {
    /// Reads the checkpoint, the quarantine and the number of links.
    pub(super) fn load(parts: &'a SyncEngine) -> Result<Self, StoreError> {
        let store = &parts.local.store;
        let state = store.connector_state(&parts.config.name)?;
        if state.cookie_damaged {
            tracing::warn!(connector = %parts.config.name, "the stored cookie is damaged; everything is compared");
        }
        let same_scope = state.scope_fingerprint.as_deref() == Some(parts.fingerprint.as_bytes().as_slice());
        // A damaged cookie is never sent: slapd would accept it and name no deletion.
        let cookie = state.cookie.and_then(|stored| Cookie::from_stored(&stored).ok());
        let server = state
            .server_fingerprint
            .as_deref()
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let checkpoint = Checkpoint {
            cookie,
            server: server.map(EntryUuid::from_bytes),
            last_success: state.last_success,
            last_full: state.last_full,
            guard: state.guard,
            guard_remote: state.guard_remote,
        };
        let mut linked = 0u64;
        parts
            .local
            .associations(|found| linked += u64::from(is_living(found)))?;
        let guard = parts.config.guard;
        let counted = (checkpoint.guard.clone(), checkpoint.guard_remote.clone());
        let (aside, strangers) = quarantine::rows(parts)?;
        let settings = Settings {
            policy: parts.policy.clone(),
            limits: Limits {
                limit: guard.limit,
                floor: guard.floor,
                percent: guard.percent,
            },
            scope: if same_scope { Scope::Same } else { Scope::Changed },
            polling_interval: Duration::from_secs(parts.config.polling_interval),
            retry_interval: Duration::from_secs(parts.config.retry_interval),
            seed: parts.seed,
        };
        let engine = Engine::new(settings, checkpoint, linked, aside, strangers);
        let source = (parts.remotes.source)();
        Ok(Self {
            parts,
            engine,
            source,
            stream: None,
            unsaved: None,
            effects: VecDeque::new(),
            seen: HashMap::new(),
            linked,
            guard: counted,
            offset: state.journal_offset,
            reading: None,
            doubtful: true,
        })
    }

    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.engine.next_wake()
    }

    pub(super) async fn serve(&mut self, request: Request) {
        match request {
            Request::Sync { wake, reply } => {
                self.round(wake).await;
                // Whoever asked may have gone.
                let _ = reply.send(self.parts.status());
            }
            Request::Approve { hash, reply } => {
                let _ = reply.send(self.approve(&hash));
            }
        }
    }

    pub(super) fn approve(&mut self, hash: &str) -> bool {
        self.engine.approve(hash, self.parts.now())
    }

    /// One round from the wake to the commit or the failure.
    pub(super) async fn round(&mut self, wake: Wake) {
        if let Err(error) = self.parts.claim_domains().await {
            tracing::error!(connector = %self.parts.config.name, %error, "cannot create the connector's domains");
        }
        if wake != Wake::Timer {
            self.save_now().await;
        }
        self.reading = None;
        self.step(Input::Wake(wake));
        self.pump().await;
    }

    /// Carries out what the engine asks for until the round is over.
    pub(super) async fn pump(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            if matches!(effect, Effect::Poll(_) | Effect::LookUp(_)) {
                // Often enough to watch, rarely enough to cost nothing.
                self.publish();
            }
            if let Err(trouble) = self.carry_out(effect).await {
                self.effects.clear();
                self.step(Input::Failed(trouble));
            }
        }
        self.forget().await;
        if self.engine.next_wake().is_none() {
            // Nothing is left to do and the engine waits: a defect here must not stop the sync for good.
            self.step(Input::Failed(Trouble::Store("the round did not end".to_owned())));
        }
        if !self.engine.is_following() {
            self.stream = None;
        }
        self.doubtful = !self.engine.is_well();
        self.publish();
        let status = self.parts.status.lock().clone();
        match status.error {
            Some(error) => tracing::warn!(connector = %self.parts.config.name, %error, "a sync round failed"),
            None => {
                tracing::debug!(connector = %self.parts.config.name, counts = ?status.counts, "synchronised")
            }
        }
    }

    /// What was read and needed nothing. A write that was begun for it has served, whatever came of it.
    pub(super) async fn forget(&mut self) {
        let begun: Vec<LocalId> = self
            .seen
            .drain()
            .filter(|(_, seen)| seen.has_intent)
            .filter_map(|(_, seen)| seen.local)
            .collect();
        if let Err(error) = self.parts.local.drop_intents(&begun).await {
            tracing::warn!(connector = %self.parts.config.name, %error, "an ended write cannot be noted");
        }
    }

    pub(super) fn publish(&mut self) {
        let status = self.engine.status(&self.parts.config.name, self.parts.now());
        *self.parts.status.lock() = status;
    }

    pub(super) fn step(&mut self, input: Input) {
        self.effects.extend(self.engine.step(input, self.parts.now()));
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<(), Trouble> {
        match effect {
            Effect::AskServer => {
                let answer = self.source.fingerprint().await;
                self.step(Input::Server(answer));
            }
            Effect::Poll(cookie) => {
                if cookie.is_none() {
                    // Everything here is compared too, so that the journal begins behind what is there now.
                    self.reading = Some(self.parts.local.store.journal_watch().borrow().saturating_sub(1));
                }
                self.left_behind()?;
                self.read_feed(cookie).await?;
            }
            // Named entries are examined while the feed is read.
            Effect::Examine(_) | Effect::Abandon => {}
            Effect::LookUp(uuids) => self.look_up(&uuids).await?,
            Effect::ListLinks => {
                let links = self.all_known()?;
                self.step(Input::Links(links));
            }
            Effect::Sample(absent) => self.sample(&absent).await?,
            Effect::FindGroups(members) => {
                let groups = self.parts.local.groups_with(&members).map_err(store_trouble)?;
                self.step(Input::Groups(groups));
            }
            Effect::ListNewcomers => {
                let found = self.list_newcomers().map_err(store_trouble)?;
                self.step(Input::Newcomers(found));
            }
            Effect::LookAt(objects) => self.look_at(&objects).await?,
            Effect::Create(creation) => self.create_all(*creation).await,
            Effect::SetStrangerAside(local, row) => self.keep_aside(local.to_string(), row).await?,
            Effect::ReleaseStranger(local) => self.release(&local.to_string()).await?,
            Effect::Apply(plan) => self.apply(plan).await,
            Effect::SetAside(uuid, row) => self.keep_aside(uuid.to_string(), row).await?,
            Effect::Release(uuid) => self.release(&uuid.to_string()).await?,
            Effect::Commit(checkpoint) => self.commit(checkpoint).await?,
        }
        Ok(())
    }

    /// Carries out what is queued, up to the end of a portion.
    pub(super) async fn settle(&mut self) -> Result<(), Trouble> {
        while let Some(effect) = self.effects.pop_front() {
            // Only the effects of single objects are queued while a feed is read, so this does not recurse.
            match effect {
                Effect::Apply(plan) => self.apply(plan).await,
                Effect::SetAside(uuid, row) => self.keep_aside(uuid.to_string(), row).await?,
                Effect::Release(uuid) => self.release(&uuid.to_string()).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads both sides of an entry and hands them to the engine.
    pub(super) async fn examine(
        &mut self,
        entry: &ChangedEntry,
        members: Members,
        elsewhere: &mut Vec<(EntryUuid, Option<Elsewhere>)>,
    ) -> Result<(), Trouble> {
        let parts = self.parts;
        let remote = parts
            .scope
            .remote(entry, members, &|domain| parts.is_local(domain));
        let address = entry.account.as_ref().ok().map(|account| account.address.clone());
        if let Remote::Elsewhere { host } = &remote {
            let now = Elsewhere { host: host.clone() };
            let known = parts
                .local
                .store
                .elsewhere(&parts.config.name, entry.uuid)
                .map_err(store_trouble)?;
            if known.as_ref() != Some(&now) {
                elsewhere.push((entry.uuid, Some(now)));
            }
        }
        let csn = entry
            .account
            .as_ref()
            .ok()
            .and_then(|account| account.entry_csn.clone());
        let origin = (entry.entry.dn.clone(), csn);
        self.examine_remote((entry.uuid, Some(&entry.entry)), remote, origin, Some(address))
            .await
    }

    async fn examine_remote(
        &mut self,
        (uuid, entry): (EntryUuid, Option<&ldap::Entry>),
        remote: Remote,
        origin: (String, Option<String>),
        address: Option<Option<Address>>,
    ) -> Result<(), Trouble> {
        let (mut situation, mut seen) = self
            .parts
            .local
            .situation(uuid, remote, origin)
            .map_err(store_trouble)?;
        if self.engine.pushes() {
            seen.entry = entry.cloned();
            rivals::find(self.parts, &mut situation).await?;
        }
        if let Some(address) = address
            && (self.parts.fetched.lock().remove(&uuid)
                || self.doubtful
                // A group that was read while the entry was unusable waits for it.
                || self.engine.is_aside(uuid)
                || !is_known_by(&situation, address.as_ref()))
        {
            self.step(Input::Noticed(Notice::Member(uuid, address)));
        }
        self.seen.insert(uuid, seen);
        self.step(Input::Examined(Box::new(situation)));
        Ok(())
    }

    pub(super) async fn note(&mut self, elsewhere: &[(EntryUuid, Option<Elsewhere>)]) -> Result<(), Trouble> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        store.note_elsewhere(name, elsewhere).await.map_err(store_trouble)
    }

    /// Looks UUIDs up without a filter: this is what makes an absence a fact.
    async fn look_up(&mut self, uuids: &[EntryUuid]) -> Result<(), Trouble> {
        self.forget().await;
        let answers = self.source.verify(uuids).await?;
        if answers.len() != uuids.len() {
            return Err(FeedError::Protocol("a look-up left objects out".to_owned()).into());
        }
        let (mut elsewhere, mut parents) = (Vec::new(), gone::Parents::default());
        for (uuid, presence) in uuids.iter().zip(answers) {
            match presence {
                Presence::Gone => {
                    let remote = parents.judge(self.parts, &mut *self.source, *uuid).await?;
                    let gone = (remote == Remote::Gone).then_some(None);
                    if gone.is_some() {
                        elsewhere.push((*uuid, None));
                    }
                    self.examine_remote((*uuid, None), remote, (String::new(), None), gone)
                        .await?;
                }
                Presence::OutOfScope(entry) => {
                    let origin = (entry.dn.clone(), None);
                    self.examine_remote((*uuid, None), Remote::OutOfScope, origin, Some(None))
                        .await?;
                }
                Presence::InScope(entry) => {
                    let members = members(self.parts, &entry).await?;
                    self.examine(&entry, members, &mut elsewhere).await?;
                }
            }
        }
        let known = |(uuid, seen): &(EntryUuid, Option<Elsewhere>)| {
            // Forgetting what was never noted needs no commit.
            seen.is_some()
                || matches!(
                    self.parts.local.store.elsewhere(&self.parts.config.name, *uuid),
                    Ok(Some(_))
                )
        };
        let elsewhere: Vec<_> = elsewhere.into_iter().filter(known).collect();
        self.note(&elsewhere).await
    }

    /// Every UUID that is known here: linked, or noted at another home.
    fn all_known(&self) -> Result<Vec<EntryUuid>, Trouble> {
        let mut known = Vec::new();
        self.parts
            .local
            .associations(|found| known.push(found.remote))
            .map_err(store_trouble)?;
        let mut after = None;
        loop {
            let store = &self.parts.local.store;
            let page = store
                .list_elsewhere(&self.parts.config.name, after, 256)
                .map_err(store_trouble)?;
            let Some(last) = page.last() else { return Ok(known) };
            after = Some(*last);
            known.extend(page);
        }
    }

    /// Looks whether entries that should be there can be seen: lost read rights look like mass deletion.
    async fn sample(&mut self, absent: &[EntryUuid]) -> Result<(), Trouble> {
        let absent: std::collections::HashSet<&EntryUuid> = absent.iter().collect();
        let (mut sample, mut leaving, mut after) = (Vec::new(), 0usize, None);
        // Accounts alone: rights to read them and rights to read groups are not the same.
        let account = |found: &&store::Association| {
            found.data.state == LinkState::Linked && matches!(found.local, store::LocalId::Account(_))
        };
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        while sample.len() < SAMPLE {
            let page = store.list_associations(name, after, 256).map_err(store_trouble)?;
            let Some(last) = page.last() else { break };
            after = Some(last.remote);
            let (gone, there): (Vec<_>, Vec<_>) = page
                .iter()
                .filter(account)
                .map(|found| found.remote)
                .partition(|uuid| absent.contains(uuid));
            leaving += gone.len();
            sample.extend(there);
        }
        sample.truncate(SAMPLE);
        if sample.is_empty() && leaving > SAMPLE {
            // Nobody is left to ask for: an empty answer, as far as accounts go.
            return Err(Trouble::Blind(leaving));
        }
        let answers = if sample.is_empty() {
            Vec::new()
        } else {
            self.source.verify(&sample).await?
        };
        let visible = answers
            .iter()
            .filter(|answer| !matches!(answer, Presence::Gone))
            .count();
        self.step(Input::Sampled {
            asked: sample.len(),
            visible,
        });
        Ok(())
    }

    /// Applies this plan and all others that are queued, side by side.
    async fn apply(&mut self, first: Box<Plan>) {
        let mut plans = vec![*first];
        let (applies, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.effects)
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Apply(_)));
        self.effects = others.into();
        plans.extend(applies.into_iter().filter_map(|effect| match effect {
            Effect::Apply(plan) => Some(*plan),
            _ => None,
        }));
        let (pushes, plans): (Vec<Plan>, Vec<Plan>) =
            plans.into_iter().partition(|plan| !plan.remote.is_empty());
        let mut running = JoinSet::new();
        let (plans, waiting) = order::split(plans);
        for plan in plans {
            let Some(seen) = self.seen.remove(&plan.uuid) else {
                self.step(Input::Applied(plan.uuid, Outcome::Stale));
                continue;
            };
            let local = self.parts.local.clone();
            running.spawn(async move {
                let (outcome, count) = local.apply(&plan, &seen, None).await;
                (plan, outcome, count)
            });
        }
        // The cookie of the batch before rides along: its effects are durable already.
        let (parts, phase, unsaved) = (self.parts, (self.phase(), self.offset), self.unsaved.take());
        let saving = async move {
            match unsaved {
                Some(unsaved) => save(parts, phase.0, phase.1, unsaved.checkpoint).await,
                None => Ok(()),
            }
        };
        let (saved, finished) = tokio::join!(saving, async {
            let mut finished = Vec::new();
            while let Some(done) = running.join_next().await {
                finished.push(done);
            }
            finished
        });
        if let Err(trouble) = saved {
            self.step(Input::Failed(trouble));
        }
        for done in finished {
            match done {
                Ok((plan, outcome, count)) => self.applied(&plan, outcome, count),
                Err(_) => self.step(Input::Failed(Trouble::Store(
                    "a change was interrupted".to_owned(),
                ))),
            }
        }
        for step in waiting {
            match step {
                order::Step::Park(uuid) => {
                    if let Some(seen) = self.seen.get_mut(&uuid)
                        && let Err(error) = self.parts.local.park(uuid, seen).await
                    {
                        // Whoever waits for its address is refused, and set aside with the reason.
                        tracing::warn!(connector = %self.parts.config.name, %uuid, %error, "cannot step aside");
                    }
                }
                order::Step::Apply(plan) => match self.seen.remove(&plan.uuid) {
                    Some(seen) => {
                        let (outcome, count) = self.parts.local.apply(&plan, &seen, None).await;
                        self.applied(&plan, outcome, count);
                    }
                    None => self.step(Input::Applied(plan.uuid, Outcome::Stale)),
                },
            }
        }
        if !pushes.is_empty() {
            self.push(pushes).await;
        }
    }

    pub(super) fn applied(&mut self, plan: &Plan, outcome: Outcome, count: LinkCount) {
        if outcome == Outcome::Done {
            for line in plan.lines() {
                tracing::info!(connector = %self.parts.config.name, uuid = %plan.uuid, "{line}");
            }
            let sessions = &self.parts.remotes.sessions;
            sessions.applied(plan.uuid, &plan.subject, &plan.ops);
        }
        self.count(count);
        self.step(Input::Applied(plan.uuid, outcome));
    }

    pub(super) fn count(&mut self, count: LinkCount) {
        self.linked = match count {
            LinkCount::Same => self.linked,
            LinkCount::More => self.linked.saturating_add(1),
            LinkCount::Less => self.linked.saturating_sub(1),
        };
    }

    async fn keep_aside(&mut self, object: String, row: Aside) -> Result<(), Trouble> {
        tracing::warn!(connector = %self.parts.config.name, %object, reason = %row.reason, "set aside");
        let entry = QuarantineEntry {
            connector: self.parts.config.name.clone(),
            object,
            reason: row.reason,
            attempts: row.attempts,
            since: row.since,
            next: row.next,
        };
        self.parts
            .local
            .store
            .put_quarantine(&entry)
            .await
            .map_err(store_trouble)
    }

    async fn release(&mut self, object: &str) -> Result<(), Trouble> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        store.remove_quarantine(name, object).await.map_err(store_trouble)
    }

    /// Makes this entry and all others that are queued.
    async fn create_all(&mut self, first: Creation) {
        let mut creations = vec![first];
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Create(creation) => creations.push(*creation),
                other => self.effects.push_back(other),
            }
        }
        self.create(creations).await;
    }

    /// The cookie of a round. Over an open feed it waits for the next batch, for a second at most: a crash before
    /// that repeats what was done, which changes nothing. What the guard has counted never waits.
    async fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), Trouble> {
        let now = (checkpoint.guard.clone(), checkpoint.guard_remote.clone());
        let counted = std::mem::replace(&mut self.guard, now.clone()) != now;
        self.offset = self.reading.take().unwrap_or(self.offset);
        if self.engine.is_live() && !counted {
            self.unsaved = Some(Unsaved::after(self.unsaved.take(), checkpoint));
        } else {
            self.unsaved = None;
            save(self.parts, self.phase(), self.offset, checkpoint).await?;
        }
        self.step(Input::Committed { linked: self.linked });
        Ok(())
    }

    pub(super) fn phase(&self) -> Phase {
        match self.engine.held() {
            Some(_) => Phase::Held,
            None => Phase::Following,
        }
    }
}

/// Stores a checkpoint.
pub(super) async fn save(
    parts: &SyncEngine,
    phase: Phase,
    offset: u64,
    checkpoint: Checkpoint,
) -> Result<(), Trouble> {
    let (store, name) = (&parts.local.store, &parts.config.name);
    let mut state: ConnectorState = store.connector_state(name).map_err(store_trouble)?;
    state.phase = phase;
    state.cookie = checkpoint.cookie.map(|cookie| cookie.to_stored().into());
    state.server_fingerprint = checkpoint.server.map(|uuid| uuid.as_bytes().to_vec().into());
    state.scope_fingerprint = Some(parts.fingerprint.as_bytes().to_vec().into());
    state.last_success = checkpoint.last_success;
    state.last_full = checkpoint.last_full;
    state.guard = checkpoint.guard;
    state.guard_remote = checkpoint.guard_remote;
    state.journal_offset = offset;
    state.last_error = None;
    store
        .put_connector_state(name, &state)
        .await
        .map_err(store_trouble)
}

/// Whether the groups know this entry by this address already.
fn is_known_by(situation: &Situation, address: Option<&Address>) -> bool {
    let living = situation
        .local
        .as_ref()
        .is_some_and(|local| matches!(local.state, LocalState::Active | LocalState::AwaitingMail { .. }));
    let base = situation.link.as_ref().and_then(|link| link.base.address());
    living && base.is_some() && base.as_ref().map(Address::as_str) == address.map(Address::as_str)
}

/// The members of a group's entry, resolved.
async fn members(parts: &SyncEngine, entry: &ChangedEntry) -> Result<Members, Trouble> {
    match (entry.kind, &entry.account) {
        (Some(EntryKind::Group), Ok(group)) => parts
            .resolve(&group.members)
            .await
            .map_err(|why| FeedError::Unavailable(why).into()),
        _ => Ok(Vec::new()),
    }
}

pub(super) fn store_trouble(error: StoreError) -> Trouble {
    Trouble::Store(error.to_string())
}
