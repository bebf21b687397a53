//! Reading the feed: a refresh portion by portion, and what comes over a search that stays open.
//!
//! What waits here is bounded by the feed itself (`directory::feed::Following`): while a batch is carried out the
//! next one gathers there, and past the bound the search is given up and resumed by its cookie.

use super::examine::{Freshness, version};
use super::parents::Met;
use super::worker::{Worker, save};
use crate::engine::{Checkpoint, Input, Notice, Trouble};
use crate::mapping::Members;
use directory::EntryKind;
use directory::feed::{Change, ChangedEntry, Cookie, Coverage, FeedError, FeedEvent, Following, PollEnd};
use model::{EntryUuid, Timestamp};
use std::time::Duration;
use store::{Elsewhere, Names};
use tokio::time::Instant;

/// Objects that are read, planned and applied together. The store commits what arrives during a sync as one
/// batch, so this is also about the size of a commit.
pub(super) const TOGETHER: usize = 256;
/// How long a cookie may wait for another batch to be committed with.
const COOKIE_WAITS: Duration = Duration::from_secs(1);

/// What ends a batch early.
enum Then {
    /// The search was given up for its backlog; a refresh follows on the same feed.
    Refresh,
    Lost(FeedError),
}

/// A checkpoint whose effects are durable and that is not yet stored itself.
pub(super) struct Unsaved {
    pub(super) checkpoint: Checkpoint,
    until: Instant,
}

impl Unsaved {
    /// The newest checkpoint takes the place of an older one, and its deadline.
    pub(super) fn after(older: Option<Self>, checkpoint: Checkpoint) -> Self {
        let until = older.map_or_else(|| Instant::now() + COOKIE_WAITS, |older| older.until);
        Self { checkpoint, until }
    }
}

impl Worker<'_> {
    /// The next event of the open feed; waits for ever when none is open. May be dropped and asked again.
    pub(super) async fn next_event(&mut self) -> Option<Result<FeedEvent, FeedError>> {
        match &mut self.stream {
            Some(stream) => stream.next().await,
            None => std::future::pending().await,
        }
    }

    /// When the cookie of the last batch has to be stored alone.
    pub(super) fn save_by(&self) -> Option<Instant> {
        self.unsaved.as_ref().map(|unsaved| unsaved.until)
    }

    /// Stores the cookie of the last batch. A failure is the store's, and the next round meets it too.
    pub(super) async fn save_now(&mut self) {
        if let Some(unsaved) = self.unsaved.take()
            && let Err(trouble) = save(
                self.parts,
                self.phase(),
                self.durable_offset(),
                unsaved.checkpoint,
            )
            .await
        {
            tracing::warn!(connector = %self.parts.config.name, %trouble, "the cookie cannot be stored");
        }
    }

    /// A batch from the open feed: what has come, up to the bound, is one round.
    pub(super) async fn live(&mut self, first: Option<Result<FeedEvent, FeedError>>) {
        let (mut changes, mut cookie, mut then) = (Vec::new(), None, None);
        let mut event = first;
        loop {
            match event {
                Some(Ok(FeedEvent::Live {
                    changes: some,
                    cookie: fresh,
                })) => {
                    changes.extend(some);
                    cookie = fresh.or(cookie);
                }
                Some(Ok(FeedEvent::Resuming)) => then = Some(Then::Refresh),
                Some(Ok(FeedEvent::Refreshing(_) | FeedEvent::Refreshed(_))) => {
                    let message = "a refresh in the middle of a feed".to_owned();
                    then = Some(Then::Lost(FeedError::Protocol(message)));
                }
                Some(Err(error)) => then = Some(Then::Lost(error)),
                None => {
                    let message = "the feed ended".to_owned();
                    then = Some(Then::Lost(FeedError::Unavailable(model::Unavailable(message))));
                }
            }
            if then.is_some() || changes.len() >= TOGETHER {
                break;
            }
            event = tokio::select! {
                biased;
                event = self.next_event() => event,
                // Nothing more is here: go on at once.
                () = std::future::ready(()) => break,
            };
        }
        if !changes.is_empty() || cookie.is_some() {
            self.batch(&changes, cookie).await;
        }
        match then {
            Some(Then::Refresh) if self.engine.is_following() => self.resume().await,
            Some(Then::Lost(error)) if self.engine.is_following() => {
                tracing::info!(connector = %self.parts.config.name, %error, "the feed ended; it is opened again");
                self.stream = None;
                self.step(Input::Lost(error));
                self.publish();
            }
            _ => {}
        }
    }

    async fn batch(&mut self, changes: &[Change], cookie: Option<Cookie>) {
        if !self.engine.begin_live(self.parts.now()) {
            return;
        }
        let end = PollEnd {
            cookie,
            coverage: Coverage::NamedDeletes,
        };
        let noted = self.portions(changes).await;
        self.all_arrived().await;
        self.end_of_feed(noted.map(|()| end));
        self.pump().await;
    }

    /// The feed resumes by its cookie, within a round.
    async fn resume(&mut self) {
        if !self.engine.begin_live(self.parts.now()) {
            return;
        }
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        let read = self.refresh(&mut stream).await;
        self.stream = Some(stream);
        self.end_of_feed(read);
        self.pump().await;
    }

    fn end_of_feed(&mut self, read: Result<PollEnd, Trouble>) {
        match read {
            Ok(end) => self.step(Input::Ended(end)),
            Err(trouble) => self.step(Input::Failed(trouble)),
        }
    }

    /// Opens the feed and reads it up to the end of its refresh; what it names is examined and applied portion by
    /// portion, so that a slow store slows the reading and nothing piles up.
    pub(super) async fn read_feed(&mut self, cookie: Option<Cookie>) -> Result<(), Trouble> {
        self.stream = None;
        let mut stream = self.source.follow(cookie.as_ref()).await?;
        let end = self.refresh(&mut stream).await?;
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::CookieEarly) {
            self.commit_early(&end).await?;
        }
        if stream.stays() {
            self.stream = Some(stream);
            self.step(Input::Stays);
        }
        self.step(Input::Ended(end));
        Ok(())
    }

    #[cfg(test)]
    async fn commit_early(&mut self, end: &PollEnd) -> Result<(), Trouble> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let mut state = store
            .connector_state(name)
            .map_err(super::worker::store_trouble)?;
        state.cookie = end.cookie.clone().map(|cookie| cookie.to_stored().into());
        let stored = store.put_connector_state(name, &state).await;
        stored.map_err(super::worker::store_trouble)
    }

    async fn refresh(&mut self, stream: &mut Following) -> Result<PollEnd, Trouble> {
        // Nearly all are people whose addresses nobody has, or who are known: the commit finds out. The first address that
        // somebody has ends that; where nobody is linked yet and somebody is here, there are many such.
        let accounts = || self.parts.local.store.list_accounts(None, 1);
        let strangers = self.linked == 0 && !accounts().map_err(super::worker::store_trouble)?.is_empty();
        self.arrivals.names = if strangers { Names::Now } else { Names::Later };
        let read = self.read_refresh(stream).await;
        self.all_arrived().await;
        self.arrivals.names = Names::Now;
        read
    }

    async fn read_refresh(&mut self, stream: &mut Following) -> Result<PollEnd, Trouble> {
        while let Some(event) = stream.next().await {
            match event? {
                FeedEvent::Refreshing(list) => self.portions(&list).await?,
                FeedEvent::Refreshed(end) => return Ok(end),
                // Given up in the middle: what was named so far is applied, and what follows names the rest.
                FeedEvent::Resuming => {}
                FeedEvent::Live { .. } => {
                    return Err(
                        FeedError::Protocol("a change before the end of the refresh".to_owned()).into(),
                    );
                }
            }
        }
        let message = "the feed ended in the middle of a refresh".to_owned();
        Err(FeedError::Unavailable(model::Unavailable(message)).into())
    }

    async fn portions(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        for portion in changes.chunks(TOGETHER) {
            self.portion(portion).await?;
            if self.engine.next_wake().is_some() {
                // The engine has its own reason, and this one comes too late to change it.
                return Err(Trouble::Store("the round was given up".to_owned()));
            }
        }
        Ok(())
    }

    fn note_told(&mut self, entry: &ChangedEntry, now: Timestamp) {
        if let Some(version) = version(entry) {
            self.engine.note_told(entry.uuid, Some(version), now);
        }
    }

    /// An account's entry is news.
    fn note_news(&mut self, entry: &ChangedEntry, now: Timestamp) {
        self.note_told(entry, now);
        (self.parts.remotes.sessions.changed)(entry.uuid);
    }

    async fn portion(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        let now = self.parts.now();
        let mut elsewhere = Vec::new();
        let mut known = Vec::new();
        let all = self.named(changes, now)?;
        let named = all.len();
        let entries = self.not_equal(all)?;
        let unknown = self.unknown(&entries)?;
        let count = unknown.iter().filter(|unknown| **unknown).count();
        self.familiar = count < named / 2;
        self.expect(count).await?;
        for (entry, unknown) in entries.into_iter().zip(unknown) {
            if unknown {
                self.note_news(entry, now);
                self.meet(entry, &mut elsewhere, now)?;
            } else {
                known.push(entry);
            }
        }
        self.gather().await;
        if !known.is_empty() || !self.effects.is_empty() {
            // What is on its way may be what these are about.
            self.all_arrived().await;
        }
        for entry in known {
            self.known_entry(entry, &mut elsewhere).await?;
        }
        self.note(&elsewhere).await?;
        self.settle().await?;
        // What needed nothing leaves nothing behind: memory does not grow with the directory.
        self.forget().await;
        self.publish_sometimes();
        Ok(())
    }

    /// The accounts that a portion names, each once. Notes everything else.
    fn named<'c>(&mut self, changes: &'c [Change], now: Timestamp) -> Result<Vec<&'c ChangedEntry>, Trouble> {
        let mut entries: Vec<&ChangedEntry> = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Present(uuid) => self.step(Input::Noticed(Notice::Present(*uuid))),
                Change::Deleted(uuid) => {
                    let before = entries.len();
                    entries.retain(|entry| entry.uuid != *uuid);
                    if entries.len() < before {
                        // Named and taken back: which of the two is true, a look tells, also where no absence counts.
                        self.step(Input::Noticed(Notice::Here(*uuid)));
                    }
                    self.engine.note_told(*uuid, None, now);
                    self.step(Input::Noticed(Notice::Absent(*uuid)));
                }
                Change::Entry(entry) if self.is_old_news(entry)? => {
                    self.step(Input::Noticed(Notice::Present(entry.uuid)));
                }
                Change::Entry(entry) => match entry.kind {
                    Some(EntryKind::Account) => entries.push(entry),
                    Some(EntryKind::Group) => {
                        self.note_told(entry, now);
                        self.step(Input::Noticed(Notice::Group(entry.uuid)));
                    }
                    None => self.step(Input::Noticed(Notice::Absent(entry.uuid))),
                },
            }
        }
        // The last message of an object says all.
        entries.sort_by_key(|entry| entry.uuid);
        entries.dedup_by(|later, kept| {
            let same = later.uuid == kept.uuid;
            if same {
                *kept = *later;
            }
            same
        });
        Ok(entries)
    }

    /// An entry of which nothing is news.
    pub(super) fn is_as_before(&mut self, entry: &ChangedEntry) {
        self.parents.note(&entry.entry.dn, Met::Before);
        self.step(Input::Noticed(Notice::Present(entry.uuid)));
    }

    /// An entry that somebody here, or something that is noted, is about.
    async fn known_entry(
        &mut self,
        entry: &ChangedEntry,
        elsewhere: &mut Vec<(EntryUuid, Option<Elsewhere>)>,
    ) -> Result<(), Trouble> {
        let uuid = entry.uuid;
        match self.freshness(entry)? {
            Freshness::News => {}
            Freshness::Echo => {
                self.is_as_before(entry);
                return Ok(());
            }
            Freshness::Older => {
                self.step(Input::Noticed(Notice::Present(uuid)));
                self.step(Input::Noticed(Notice::Here(uuid)));
                return Ok(());
            }
        }
        self.note_news(entry, self.parts.now());
        self.step(Input::Noticed(Notice::Account(uuid)));
        self.examine(entry, Members::default(), elsewhere).await
    }
}
