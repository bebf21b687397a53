//! One connector's work: feeds the engine, carries out its effects.

use super::ahead::UnderWay;
use super::arrivals::Arrivals;
use super::parents::Parents;
use super::stream::Unsaved;
use super::{Request, SyncEngine, SyncError, quarantine, sums};
use crate::engine::{Aside, Checkpoint, Effect, Engine, Input, Newest, Scope, Settings, Trouble, Wake};
use crate::guard::Limits;
use crate::local::Seen;
use crate::plan::{Creation, LocalId};
use directory::feed::{ChangeSource, Cookie, Fingerprint, Following};
use model::{EntryUuid, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use store::{ConnectorState, Phase, Shown, StoreError};

/// How often a long round shows how far it has come.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// What a guard has counted, by the minute.
type Counted = Vec<(Timestamp, u32)>;

pub(super) struct Worker<'a> {
    pub(super) parts: &'a SyncEngine,
    pub(super) engine: Engine,
    pub(super) source: Box<dyn ChangeSource>,
    /// The feed while it stays open.
    pub(super) stream: Option<Following>,
    pub(super) unsaved: Option<Unsaved>,
    pub(super) effects: VecDeque<Effect>,
    /// What is being written while the next objects are looked up.
    pub(super) under_way: Option<UnderWay>,
    /// What was read of the objects that are being planned.
    pub(super) seen: HashMap<EntryUuid, Seen>,
    /// What the directory showed of those that may be set aside.
    pub(super) shown: HashMap<EntryUuid, Shown>,
    /// Whether most of the entries that were named last were known here.
    pub(super) familiar: bool,
    /// Accounts that are on their way into the store.
    pub(super) arrivals: Arrivals,
    /// What stands above the entries that are read.
    pub(super) parents: Parents,
    /// How many objects are in use, as the store had it at the last commit.
    pub(super) linked: u64,
    /// What the guard had counted when that was last stored.
    guard: (Counted, Counted),
    /// How far the journal was read, and how far it will be once this round has ended well.
    pub(super) offset: u64,
    pub(super) reading: Option<u64>,
    /// How far the journal counts as read after a restart, where that is less: a row of it named an object of which
    /// nothing could be concluded yet.
    kept_at: Option<u64>,
    /// How far the server that is read had come when it was last asked.
    pub(super) server: Option<Fingerprint>,
    /// Whether a round may have ended between an account and the groups that have it: then every account that is
    /// named is compared with all groups, and not only the one whose address is news.
    pub(super) doubtful: bool,
    /// The newest of our own renames that the server is not known to have.
    pub(super) renamed: Newest,
    /// What a server that says it is behind did not show.
    pub(super) lacked: Option<EntryUuid>,
    /// Objects that this round has set aside for a new reason.
    pub(super) newly_aside: usize,
    /// Rows of the quarantine that the store did not take: what is to be there, or nothing. As many as there are rows.
    pub(super) unkept: BTreeMap<String, Option<Aside>>,
    /// Nobody was linked when this round began to read the feed.
    began_bare: bool,
    /// When the status was last shown.
    published: Timestamp,
}

impl<'a> Worker<'a> {
    /// Reads the checkpoint, the quarantine and what is known of all links together.
    pub(super) async fn load(parts: &'a SyncEngine) -> Result<Self, StoreError> {
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
            void: state.void_versions,
            spared: state.spared,
        };
        let (linked, newest) = sums::known(parts, &checkpoint.void).await?;
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
            together: Settings::together(parts.config.writes.transaction),
        };
        let mut engine = Engine::new(settings, checkpoint, linked, aside, strangers);
        engine.believe_from(newest);
        let now = parts.now();
        for (uuid, end) in sums::ends(parts, Engine::remembers_until(now))? {
            engine.remember_end(uuid, end, now);
        }
        let source = (parts.remotes.source)();
        Ok(Self {
            parts,
            engine,
            source,
            stream: None,
            unsaved: None,
            effects: VecDeque::new(),
            under_way: None,
            seen: HashMap::new(),
            shown: HashMap::new(),
            familiar: false,
            arrivals: Arrivals::default(),
            parents: Parents::default(),
            linked,
            guard: counted,
            offset: state.journal_offset,
            reading: None,
            kept_at: None,
            server: None,
            doubtful: true,
            renamed: Newest::default(),
            lacked: None,
            newly_aside: 0,
            unkept: BTreeMap::new(),
            began_bare: false,
            published: Timestamp::default(),
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
                let _ = reply.send(self.approve(&hash).await);
            }
            Request::Order { order, reply } => {
                let done = self.obey(order).await;
                let _ = reply.send(done);
            }
        }
    }

    /// Whether the hash is that of what is held. The approval is kept before anybody is told of it.
    pub(super) async fn approve(&mut self, hash: &str) -> Result<bool, SyncError> {
        let Some(rows) = self.engine.approve(hash, self.parts.now()) else {
            return Ok(false);
        };
        for effect in rows {
            self.carry_out(effect)
                .await
                .map_err(|trouble| SyncError::Store(trouble.to_string()))?;
        }
        Ok(true)
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
        if let Err(trouble) = self.keep_unkept().await {
            self.give_up(trouble, true);
        }
        loop {
            let Some(effect) = self.effects.pop_front() else {
                if self.under_way.is_none() {
                    break;
                }
                self.all_written().await;
                continue;
            };
            if matches!(effect, Effect::Poll(_) | Effect::LookUp(_)) {
                // Often enough to watch, rarely enough to cost nothing.
                self.publish();
            }
            let store_fails = is_row(&effect);
            if let Err(trouble) = self.carry_out(effect).await {
                self.give_up(trouble, store_fails);
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
        self.learn_parents().await;
        self.publish();
        let status = self.parts.status.lock().clone();
        match status.error {
            Some(error) => tracing::warn!(connector = %self.parts.config.name, %error, "a sync round failed"),
            None => {
                tracing::debug!(connector = %self.parts.config.name, counts = ?status.counts, "synchronised")
            }
        }
    }

    /// The round is over. What was concluded of single objects holds all the same, for the engine goes by it already: it is
    /// written now, or in the next round where the store takes nothing.
    fn give_up(&mut self, trouble: Trouble, store_fails: bool) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                row if is_row(&row) && !store_fails => self.effects.push_back(row),
                row => self.remember_row(row),
            }
        }
        self.step(Input::Failed(trouble));
    }

    /// What was read and needed nothing. A write that was begun for it has served, whatever came of it; but where the
    /// round failed, or the object gets a second chance, the intent is what says that it is to be looked at again.
    pub(super) async fn forget(&mut self) {
        let engine = &self.engine;
        let begun: Vec<LocalId> = self
            .seen
            .drain()
            .filter(|(uuid, seen)| seen.begun.is_some() && engine.is_done_with(*uuid))
            .filter_map(|(_, seen)| seen.local)
            .collect();
        if let Err(error) = self.parts.local.drop_intents(&begun).await {
            tracing::warn!(connector = %self.parts.config.name, %error, "an ended write cannot be noted");
        }
    }

    /// The same, but not for every portion: a status reads the whole quarantine.
    pub(super) fn publish_sometimes(&mut self) {
        if self.parts.now().since(self.published) >= SHOWN_EVERY {
            self.publish();
        }
    }

    pub(super) fn publish(&mut self) {
        self.published = self.parts.now();
        let status = self.engine.status(&self.parts.config.name, self.parts.now());
        // Not only when somebody looks: the rates are about the minute before the first look too.
        self.parts.rates.lock().rates(&status.counts, self.published);
        *self.parts.status.lock() = status;
    }

    pub(super) fn step(&mut self, input: Input) {
        let about = match &input {
            Input::Examined(situation) => Some(situation.uuid),
            Input::Applied(uuid, _) => Some(*uuid),
            _ => None,
        };
        let effects = self.engine.step(input, self.parts.now());
        let waits = |uuid: &EntryUuid| {
            let aside = |effect: &Effect| matches!(effect, Effect::SetAside(of, _) if of == uuid);
            effects.iter().any(aside) || !self.engine.is_done_with(*uuid)
        };
        if let Some(uuid) = about.filter(|uuid| !waits(uuid)) {
            self.shown.remove(&uuid);
        }
        self.effects.extend(effects);
    }

    pub(super) async fn carry_out(&mut self, effect: Effect) -> Result<(), Trouble> {
        match effect {
            Effect::AskServer => {
                let answer = self.source.fingerprint().await;
                self.server = answer.as_ref().ok().cloned();
                // What a round that failed left behind.
                self.shown.clear();
                self.note_directory().await?;
                self.step(Input::Server(answer));
            }
            Effect::Prove => {
                let holds = self.shows_everything().await?;
                self.step(Input::Proved(holds));
            }
            Effect::Poll(cookie) => {
                if cookie.is_none() {
                    // Everything here is compared too, so that the journal begins behind what is there now.
                    self.reading = Some(self.parts.local.store.journal_watch().borrow().saturating_sub(1));
                }
                let (store, name) = (&self.parts.local.store, &self.parts.config.name);
                let sums = store.link_sums(name).map_err(store_trouble)?;
                // Where nobody lives it may be known who lives elsewhere, and some of them may be gone.
                self.began_bare = sums.is_some_and(|sums| sums.links == 0)
                    && store
                        .list_elsewhere(name, None, 1)
                        .map_err(store_trouble)?
                        .is_empty();
                self.parents.begin(cookie.is_none());
                self.left_behind()?;
                self.read_feed(cookie).await?;
            }
            // Named entries are examined while the feed is read.
            Effect::Examine(_) | Effect::Abandon => {}
            Effect::LookUp(uuids) => self.look_up(&uuids).await?,
            Effect::ListLinks => {
                // Who came in this round was named in it.
                let links = match self.began_bare {
                    true => Vec::new(),
                    false => self.all_missing().await?,
                };
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
            Effect::ReleaseStranger(local) => self.release(local.to_string()).await?,
            Effect::EndIntent(local) => {
                let ended = self.parts.local.end_intent(local).await;
                ended.map_err(store_trouble)?;
            }
            Effect::Apply(plan) => self.apply(plan).await,
            Effect::SetAside(uuid, row) => self.keep_aside(uuid.to_string(), row).await?,
            Effect::Release(uuid) => self.release(uuid.to_string()).await?,
            Effect::Commit(checkpoint) => {
                self.tell_of_the_others();
                self.commit(checkpoint).await?;
            }
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
                Effect::Release(uuid) => self.release(uuid.to_string()).await?,
                _ => {}
            }
        }
        Ok(())
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
        let read_before = self.durable_offset();
        self.offset = self.reading.take().unwrap_or(self.offset);
        self.kept_at = self.engine.awaits().then_some(read_before);
        if self.engine.is_live() && !counted {
            self.unsaved = Some(Unsaved::after(self.unsaved.take(), checkpoint));
        } else {
            self.unsaved = None;
            save(self.parts, self.phase(), self.durable_offset(), checkpoint).await?;
        }
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        if let Some(sums) = store.link_sums(name).map_err(store_trouble)? {
            self.linked = sums.living;
        }
        self.step(Input::Committed { linked: self.linked });
        Ok(())
    }

    /// How far the journal is read, for the next process.
    pub(super) fn durable_offset(&self) -> u64 {
        self.kept_at.unwrap_or(self.offset)
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
    state.void_versions = checkpoint.void;
    state.spared = checkpoint.spared;
    state.journal_offset = offset;
    state.last_error = None;
    store
        .put_connector_state(name, &state)
        .await
        .map_err(store_trouble)
}

/// A row of the quarantine, kept or dropped.
const fn is_row(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::SetAside(..) | Effect::Release(_) | Effect::SetStrangerAside(..) | Effect::ReleaseStranger(_)
    )
}

pub(super) fn store_trouble(error: StoreError) -> Trouble {
    Trouble::Store(error.to_string())
}
