//! What administrators order: start and stop, an approved plan, another try, and changes of links.
//!
//! A change of a link runs between two rounds, never beside one, and is one commit with its row in the audit log.

use super::rest::{Consent, Rest};
use super::worker::{Worker, store_trouble};
use super::{Request, SyncEngine, SyncError, report};
use crate::engine::{Input, Notice, SyncStatus, Wake};
use crate::local::own_id;
use directory::Lookup;
use directory::feed::{Coverage, PollEnd};
use ldap::Dn;
use model::EntryUuid;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Association, LinkState, LocalId, Origin, StoreError, SyncChange};
use tokio::sync::oneshot;

/// How long a round may take to let go.
const LET_GO: Duration = Duration::from_secs(30);
/// Links that one order may change; more are ordered one after the other.
pub(super) const MOST_LINKS: usize = 256;

/// What an administrator does to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOrder {
    /// What is to be written stops; both sides stay as they are and are joined with nobody.
    Unlink,
    /// The two that were unlinked belong together again; what changed meanwhile is merged.
    Relink,
    /// Both that were unlinked are free: each may be joined or created again.
    Release,
}

impl LinkOrder {
    fn note(self, link: &Association) -> String {
        let what = match self {
            Self::Unlink => "unlinked from",
            Self::Relink => "linked again with",
            Self::Release => "released from",
        };
        let (connector, remote, dn) = (&link.connector, link.remote, &link.data.dn);
        format!(
            "{} {what} entry {dn} ({remote}) of {connector}",
            own_id(link.local)
        )
    }
}

/// An order to whoever has the connector's turn.
pub(crate) enum Order {
    Start(Consent),
    Apply(String),
    Retry(Option<String>),
    Gone(Dn),
    Links {
        order: LinkOrder,
        objects: Vec<LocalId>,
        by: Origin,
    },
}

/// What the directory holds for an object that was unlinked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "found")]
pub enum Pairing {
    /// The entry that it was linked with.
    Same {
        /// Its DN.
        dn: String,
    },
    /// Another entry has its address: a directory that was built anew.
    New {
        /// The entry.
        uuid: EntryUuid,
        /// Its DN.
        dn: String,
    },
    /// An entry that is linked with somebody else.
    Taken {
        /// Its DN.
        dn: String,
    },
    /// Several entries have the address.
    Ambiguous {
        /// Their DNs.
        dns: Vec<String>,
    },
    /// No entry has the address.
    Missing,
}

impl SyncEngine {
    /// Starts a connector that was stopped or waits. Where accounts are in the way of a first synchronisation that
    /// takes [`Consent::Given`].
    pub async fn start(&self, consent: Consent) -> Result<SyncStatus, SyncError> {
        self.order(Order::Start(consent)).await?;
        // What is told is what came of it: it works, or it waits for somebody's word.
        let mut rest = self.rest.subscribe();
        let begun = rest.wait_for(|rest| match (consent, rest) {
            (_, None) => true,
            (Consent::Missing, Some(Rest::Asks { .. })) => true,
            (Consent::Given, Some(Rest::Asks { .. })) | (_, Some(Rest::Stopped)) => false,
        });
        match tokio::time::timeout(LET_GO, begun).await {
            Ok(Ok(_)) => Ok(self.status()),
            Ok(Err(_)) => Err(SyncError::NotRunning),
            Err(_) => Err(SyncError::Busy),
        }
    }

    /// Stops it, also over a restart. A round that is under way is given up; what it did stays, and the rest comes
    /// with the next start.
    pub async fn stop(&self) -> Result<SyncStatus, SyncError> {
        if self.inbox.lock().is_some() {
            return Err(SyncError::NotRunning);
        }
        self.halt.send_replace(true);
        let mut rest = self.rest.subscribe();
        let stopped = rest.wait_for(|rest| *rest == Some(Rest::Stopped));
        match tokio::time::timeout(LET_GO, stopped).await {
            Ok(Ok(_)) => Ok(self.status()),
            Ok(Err(_)) => Err(SyncError::NotRunning),
            Err(_) => Err(SyncError::Busy),
        }
    }

    /// Carries out the plan that had this hash, and lets its destructive changes pass the guards.
    /// [`SyncError::OtherPlan`] when it would be another one now.
    pub async fn apply(&self, hash: &str) -> Result<SyncStatus, SyncError> {
        let rested = self.rest.borrow().is_some();
        self.order(Order::Apply(hash.to_owned())).await?;
        if rested {
            return self.sync_now().await;
        }
        Ok(self.status())
    }

    /// Tries quarantined objects again now: all, or the one of this UUID or local number. The number says how many.
    pub async fn retry(&self, object: Option<&str>) -> Result<(u64, SyncStatus), SyncError> {
        let found = self.order(Order::Retry(object.map(str::to_owned))).await?;
        match object {
            Some(object) if found == 0 => Err(SyncError::NotFound(format!(
                "{object} is not in quarantine, or the guard holds it"
            ))),
            _ => Ok((found, self.status())),
        }
    }

    /// Says that hidden entries in quarantine are gone: those that stood below `dn`, which was removed or renamed. What
    /// follows from that is done now, unless the guard holds it. The number says how many.
    pub async fn say_gone(&self, dn: &str) -> Result<(u64, SyncStatus), SyncError> {
        let below = Dn::parse(dn).map_err(|error| SyncError::Refused(format!("{dn:?} is no DN: {error}")))?;
        let found = self.order(Order::Gone(below)).await?;
        match found {
            0 => Err(SyncError::NotFound(format!(
                "no hidden entry in quarantine stood below {dn}"
            ))),
            _ => Ok((found, self.status())),
        }
    }

    /// Changes the links of these objects, at most 256 at once; says how many were changed. Objects whose link does
    /// not stand as the order needs it are passed over.
    pub async fn links(
        &self,
        order: LinkOrder,
        objects: Vec<LocalId>,
        by: &Origin,
    ) -> Result<u64, SyncError> {
        if objects.len() > MOST_LINKS {
            return Err(SyncError::Refused(format!("at most {MOST_LINKS} links at once")));
        }
        let by = by.clone();
        self.order(Order::Links { order, objects, by }).await
    }

    /// What the directory holds now for an object, by its primary address.
    pub async fn pairing(&self, link: &Association) -> Result<Pairing, SyncError> {
        let object = self.local.object(link.local).map_err(report::store_error)?;
        let Some(address) = object.and_then(|(object, _)| object.image.address()) else {
            return Ok(Pairing::Missing);
        };
        let found = (self.remotes.holder)(address).await;
        Ok(
            match found.map_err(|untold| SyncError::Directory(untold.to_string()))? {
                Lookup::NotFound => Pairing::Missing,
                Lookup::Ambiguous(dns) => Pairing::Ambiguous { dns },
                Lookup::Unavailable(why) => return Err(SyncError::Directory(why.to_string())),
                Lookup::Found(entry) if entry.uuid == link.remote => Pairing::Same { dn: entry.dn },
                Lookup::Found(entry) => {
                    let store = &self.local.store;
                    let other = store.association_by_uuid(&self.config.name, entry.uuid);
                    match other.map_err(report::store_error)? {
                        Some(_) => Pairing::Taken { dn: entry.dn },
                        None => Pairing::New {
                            uuid: entry.uuid,
                            dn: entry.dn,
                        },
                    }
                }
            },
        )
    }

    async fn order(&self, order: Order) -> Result<u64, SyncError> {
        let ask = |reply: oneshot::Sender<Result<u64, SyncError>>| Request::Order { order, reply };
        self.ask(ask).await?
    }

    /// Changes links in the store; the entries and objects that are to be looked at again.
    pub(super) async fn change_links(
        &self,
        order: LinkOrder,
        objects: &[LocalId],
        by: &Origin,
    ) -> Result<Vec<Association>, SyncError> {
        let mut changed = Vec::new();
        for object in objects {
            let done = self.change_link(order, *object, by).await;
            changed.extend(done.map_err(report::store_error)?);
        }
        Ok(changed)
    }

    async fn change_link(
        &self,
        order: LinkOrder,
        object: LocalId,
        by: &Origin,
    ) -> Result<Option<Association>, StoreError> {
        let (store, name) = (&self.local.store, &self.config.name);
        let Some(mut link) = store.association(name, object)? else {
            return Ok(None);
        };
        if link.data.state.is_held() == (order == LinkOrder::Unlink) {
            return Ok(None);
        }
        let rows = change_rows(order, &mut link);
        let note = (Some(object), order.note(&link));
        store.commit_sync_as(&rows, note, by).await?;
        tracing::warn!(connector = %name, ?by, "{}", order.note(&link));
        Ok(Some(link))
    }
}

/// The rows that unlink an object: for whoever changes the object in the same commit.
#[must_use]
pub fn unlink_rows(mut link: Association) -> Vec<SyncChange> {
    match link.data.state.is_held() {
        true => Vec::new(),
        false => change_rows(LinkOrder::Unlink, &mut link),
    }
}

/// The rows of a change, and the link as it is afterwards.
fn change_rows(order: LinkOrder, link: &mut Association) -> Vec<SyncChange> {
    let (connector, local) = (link.connector.clone(), link.local);
    let quarantine_done = |object: String| SyncChange::QuarantineDone {
        connector: connector.clone(),
        object,
    };
    let mut rows = vec![
        quarantine_done(link.remote.to_string()),
        quarantine_done(own_id(local).to_string()),
    ];
    let state = &mut link.data.state;
    match (order, state.clone()) {
        (LinkOrder::Unlink, was) => *state = LinkState::UnlinkedHeld { was: Box::new(was) },
        // Where it stood: whether the entry was gone decides what becomes of both when it is back.
        (LinkOrder::Relink, LinkState::UnlinkedHeld { was }) => *state = *was,
        (LinkOrder::Relink | LinkOrder::Release, _) => {}
    }
    rows.extend(match order {
        // It ends the intent as well.
        LinkOrder::Release => vec![SyncChange::Unlink { connector, local }],
        LinkOrder::Unlink | LinkOrder::Relink => vec![
            SyncChange::IntentDone { connector, local },
            SyncChange::Association(Box::new(link.clone())),
        ],
    });
    rows
}

impl Worker<'_> {
    /// Carries an order out between two rounds.
    pub(super) async fn obey(&mut self, order: Order) -> Result<u64, SyncError> {
        match order {
            // It runs.
            Order::Start(_) => Ok(0),
            Order::Apply(hash) => self.apply_plan(&hash).await,
            Order::Retry(object) => {
                let found = self.engine.retry(object.as_deref(), self.parts.now());
                if found > 0 {
                    self.round(Wake::Now).await;
                }
                Ok(found)
            }
            Order::Gone(below) => self.say_gone(&below).await,
            Order::Links { order, objects, by } => {
                let changed = self.parts.change_links(order, &objects, &by).await?;
                for link in &changed {
                    self.engine.forget_aside(link.remote, own_id(link.local));
                    if order == LinkOrder::Relink {
                        // What it has seen counts again for how far a server must have come.
                        self.note_written(Some(own_id(link.local)), false);
                    }
                }
                if order != LinkOrder::Unlink {
                    self.look_again(&changed).await?;
                }
                self.publish();
                Ok(changed.len() as u64)
            }
        }
    }

    async fn say_gone(&mut self, below: &Dn) -> Result<u64, SyncError> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let mut gone = Vec::new();
        for uuid in self.engine.hidden() {
            let link = store.association_by_uuid(name, uuid);
            let link = link.map_err(|error| SyncError::Store(store_trouble(error).to_string()))?;
            let stood = link.and_then(|link| Dn::parse(&link.data.dn).ok());
            if stood.is_some_and(|dn| dn.is_below(below)) {
                gone.push(uuid);
            }
        }
        let rows = self.engine.say_gone(&gone, self.parts.now());
        if rows.is_empty() {
            return Ok(0);
        }
        tracing::warn!(connector = %name, %below, entries = rows.len(), "an administrator says that they are gone");
        for row in rows {
            let kept = self.carry_out(row).await;
            kept.map_err(|trouble| SyncError::Store(trouble.to_string()))?;
        }
        self.round(Wake::Now).await;
        Ok(gone.len() as u64)
    }

    /// Lets these changes pass the guards. The approval is kept before anything is done.
    pub(super) async fn allow(
        &mut self,
        approved: BTreeMap<EntryUuid, Vec<String>>,
    ) -> Result<(), SyncError> {
        for row in self.engine.allow(approved, self.parts.now()) {
            let kept = self.carry_out(row).await;
            kept.map_err(|trouble| SyncError::Store(trouble.to_string()))?;
        }
        Ok(())
    }

    async fn apply_plan(&mut self, hash: &str) -> Result<u64, SyncError> {
        let made = report::make(self.parts, None).await?;
        if made.hash != hash {
            return Err(SyncError::OtherPlan);
        }
        self.allow(made.approvals).await?;
        self.round(Wake::Full).await;
        match self.parts.status().error {
            Some(error) => Err(SyncError::Directory(error)),
            None => Ok(made.changes),
        }
    }

    /// Looks at both sides of these links now, where a round beside the feed can begin; else the next round does.
    async fn look_again(&mut self, links: &[Association]) -> Result<(), SyncError> {
        if links.is_empty() || !self.engine.may_begin() || !self.engine.begin_live(self.parts.now()) {
            self.engine.compare_all();
            return Ok(());
        }
        for link in links {
            self.step(Input::Noticed(Notice::Here(link.remote)));
            let free = self
                .parts
                .local
                .store
                .association(&self.parts.config.name, link.local);
            let free = free.map_err(|error| SyncError::Store(store_trouble(error).to_string()))?;
            if free.is_none() && self.engine.pushes() {
                self.step(Input::Noticed(Notice::New(own_id(link.local))));
            }
        }
        self.step(Input::Ended(PollEnd {
            cookie: None,
            coverage: Coverage::NamedDeletes,
        }));
        self.pump().await;
        Ok(())
    }
}
