//! Explaining one object: both sides are read as for a plan, and nothing is changed.

use super::journal::newcomer;
use super::report::{feed_error, store_error};
use super::{SyncEngine, SyncError, gone};
use crate::engine::{Aside, State};
use crate::explain::{Event, Explanation, Told, explain, explain_newcomer, explain_unread};
use crate::local::{own_id, store_id};
use crate::mapping::Members;
use crate::plan::{Birth, LocalId, Newcomer, Remote, Standing, plan, plan_newcomer};
use directory::Lookup;
use directory::feed::{FeedError, Presence};
use model::{Address, EntryUuid};
use store::{JournalEntry, Origin, StoreError};

/// Rows of the conflict journal that are looked through; the newest come first.
const CONFLICTS: usize = 256;
/// Rows of the journal of all objects that are looked through, the newest first.
const JOURNAL: usize = 8192;
/// Events that are told.
const EVENTS: usize = 8;
/// Rows that are read at once.
const PAGE: usize = 256;

/// How an object is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By an address of the object here.
    Address(Address),
    /// By the object itself: a deleted one has no address.
    Local(LocalId),
    /// By its entry.
    Entry(EntryUuid),
}

impl SyncEngine {
    /// Why an account, a group or an entry is as it is; none when neither this server nor the directory knows it.
    pub async fn explain_object(&self, named: &Named) -> Result<Option<Explanation>, SyncError> {
        let store = &self.local.store;
        let local = match named {
            Named::Entry(uuid) => return self.explain_entry(*uuid).await,
            Named::Local(local) => Some(store_id(*local)),
            Named::Address(address) => store.local_id(address).map_err(store_error)?,
        };
        let Some(local) = local else {
            let Named::Address(address) = named else {
                return Ok(None);
            };
            return match self.at(address).await? {
                Some(uuid) => self.explain_entry(uuid).await,
                None => Ok(None),
            };
        };
        let link = store.association(&self.config.name, local).map_err(store_error)?;
        if let Some(link) = link {
            return self.explain_entry(link.remote).await;
        }
        self.explain_stranger(own_id(local)).await
    }

    /// The entry that has an address.
    async fn at(&self, address: &Address) -> Result<Option<EntryUuid>, SyncError> {
        match (self.remotes.address)(address.clone()).await {
            Lookup::Found(entry) => Ok(Some(entry.uuid)),
            Lookup::NotFound => Ok(None),
            Lookup::Ambiguous(dns) => Err(SyncError::Refused(format!(
                "several entries have this address: {}",
                dns.join(" | ")
            ))),
            Lookup::Unavailable(why) => Err(SyncError::Directory(why.to_string())),
        }
    }

    /// An object here that has no entry.
    async fn explain_stranger(&self, local: LocalId) -> Result<Option<Explanation>, SyncError> {
        let object = self.local.object(store_id(local)).map_err(store_error)?;
        let Some((object, _)) = object else {
            return Ok(None);
        };
        let found = newcomer(self, local).await;
        let found = found.map_err(|trouble| SyncError::Directory(trouble.to_string()))?;
        let told = self.told(local.to_string(), Some(local)).map_err(store_error)?;
        let (found, birth) = match found {
            Some(found) => {
                let birth = plan_newcomer(&found, &self.policy);
                (found, birth)
            }
            // Of a domain that is not this connector's.
            None => (Newcomer::alone(object), Birth::Leave),
        };
        Ok(Some(explain_newcomer(&found, &self.policy, &birth, told)))
    }

    async fn explain_entry(&self, uuid: EntryUuid) -> Result<Option<Explanation>, SyncError> {
        let (remote, dn) = match self.remote_of(uuid).await {
            Ok(found) => found,
            Err(SyncError::Directory(why)) => return self.explain_unread(uuid, why),
            Err(other) => return Err(other),
        };
        let entry = remote.clone();
        let (situation, _) = self
            .local
            .situation(uuid, remote, (dn, None))
            .map_err(store_error)?;
        if situation.link.is_none() && entry == Remote::Gone {
            return Ok(None);
        }
        let decision = plan(&situation, &self.policy);
        let local = situation.link.as_ref().map(|link| link.local);
        let mut told = self.told(uuid.to_string(), local).map_err(store_error)?;
        let parted = situation
            .link
            .as_ref()
            .is_some_and(|link| link.standing == Standing::UnlinkedHeld);
        told.entry = parted.then_some(entry);
        Ok(Some(explain(&situation, &self.policy, &decision, told)))
    }

    /// What is known here of an entry while the directory cannot be read: whoever asks may do so because of that.
    fn explain_unread(&self, uuid: EntryUuid, why: String) -> Result<Option<Explanation>, SyncError> {
        let link = self.local.store.association_by_uuid(&self.config.name, uuid);
        let Some(link) = link.map_err(store_error)? else {
            return Err(SyncError::Directory(why));
        };
        // Nothing is concluded from the remote side that stands for the one that nobody saw.
        let seen = (link.data.dn.clone(), None);
        let (situation, _) = self
            .local
            .situation(uuid, Remote::OutOfScope, seen)
            .map_err(store_error)?;
        let told = self.told(uuid.to_string(), Some(own_id(link.local)));
        let told = told.map_err(store_error)?;
        Ok(Some(explain_unread(&situation, &self.policy, told, &why)))
    }

    async fn remote_of(&self, uuid: EntryUuid) -> Result<(Remote, String), SyncError> {
        let mut source = (self.remotes.source)();
        let answers = source.verify(&[uuid]).await.map_err(feed_error)?;
        match answers.into_iter().next() {
            None | Some(Presence::Gone) => {
                let mut parents = gone::Parents::default();
                let judged = parents.judge(self, &mut *source, uuid).await;
                let remote = judged.map_err(|trouble| SyncError::Directory(trouble.to_string()))?;
                Ok((remote, String::new()))
            }
            Some(Presence::OutOfScope(entry)) => Ok((Remote::OutOfScope, entry.dn.clone())),
            Some(Presence::InScope(entry)) => {
                let members = match &entry.account {
                    Ok(group) => self.resolve(&group.members).await,
                    Err(_) => Ok(Members::default()),
                };
                let members = members.map_err(|why| feed_error(FeedError::Unavailable(why)))?;
                let dn = entry.entry.dn.clone();
                Ok((self.remote(&entry, members), dn))
            }
        }
    }

    /// What is written down about an object: its row of the quarantine by its name there, and what happened to it.
    fn told(&self, object: String, local: Option<LocalId>) -> Result<Told, StoreError> {
        let (store, name) = (&self.local.store, &self.config.name);
        let status = self.status();
        let mut told = Told {
            rests: match (status.state, &status.error) {
                (State::Stopped, _) => Some("The connector is stopped; after homing sync start:".to_owned()),
                (State::WaitingForApproval, _) => {
                    Some("The connector waits for approval; after homing sync start or apply:".to_owned())
                }
                (_, Some(error)) => Some(format!("Nothing for now ({error}); once that is over:")),
                (_, None) => None,
            },
            ..Told::default()
        };
        // Rows stand in the order of their objects: the one that follows the object's own beginning is its own.
        let before = object.get(..object.len().saturating_sub(1));
        let rows = store.quarantine_after(name, before, CONFLICTS)?;
        if let Some(row) = rows.into_iter().find(|row| row.object == object) {
            let aside = Aside {
                reason: row.reason,
                attempts: row.attempts,
                since: row.since,
                next: row.next,
            };
            told.events
                .push(Event::new(aside.since, format!("set aside: {}", aside.reason)));
            if aside.is_held() {
                told.held = status.guard.hash;
            } else {
                told.aside = Some(aside.reason);
            }
        }
        for row in store.list_conflicts(name, None, CONFLICTS)? {
            if row.id.remote.to_string() == object {
                let text = format!(
                    "{} was decided by {} (conflict {})",
                    row.id.field, row.rule, row.id
                );
                told.events.push(Event::new(row.id.time, text));
            }
        }
        if let Some(local) = local {
            if let Some(intent) = store.intent(name, store_id(local))? {
                let error = intent.error.unwrap_or_else(|| "not yet acknowledged".to_owned());
                let text = format!(
                    "to be written in the directory, attempt {}: {error}",
                    intent.attempts
                );
                told.events.push(Event::new(intent.since, text));
            }
            told.events.extend(self.journal_of(local)?);
        }
        told.events.sort_by_key(|event| std::cmp::Reverse(event.time));
        told.events.truncate(EVENTS);
        Ok(told)
    }

    /// What the newest rows of the journal say about an object.
    fn journal_of(&self, local: LocalId) -> Result<Vec<Event>, StoreError> {
        let (mut events, mut before, mut looked_at) = (Vec::new(), None, 0);
        while events.len() < EVENTS && looked_at < JOURNAL {
            let page = self.local.store.journal_before(before, PAGE)?;
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            looked_at += page.len();
            let own = |row: &&JournalEntry| row.object == Some(store_id(local));
            events.extend(page.iter().filter(own).map(event));
        }
        Ok(events)
    }
}

fn event(row: &JournalEntry) -> Event {
    let who = match &row.origin {
        Origin::Admin(name) => format!("an administrator ({name})"),
        Origin::Connector(name) => format!("connector {name}"),
        Origin::User(id) => format!("its owner ({id})"),
        Origin::System => "this server".to_owned(),
    };
    Event::new(row.time, format!("{}, by {who}", row.note))
}
