//! Explaining one object: both sides are read as for a plan, and nothing is changed.

use super::report::{feed_error, store_error};
use super::{SyncEngine, SyncError, gone};
use crate::explain::{Event, Explanation, explain};
use crate::mapping::Members;
use crate::plan::{Remote, plan};
use directory::Lookup;
use directory::feed::{FeedError, Presence};
use model::{Address, EntryUuid};
use store::StoreError;

/// Rows of the conflict journal that are looked through; the newest come first.
const CONFLICTS: usize = 256;

/// How an object is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By an address of the object here.
    Address(Address),
    /// By its entry.
    Entry(EntryUuid),
}

impl SyncEngine {
    /// Why the account or group with this address is as it is; none when nothing here has the address, or no entry
    /// is linked to it.
    pub async fn explain(&self, address: &Address) -> Result<Option<Explanation>, SyncError> {
        self.explain_object(&Named::Address(address.clone())).await
    }

    /// The same for an object that is named in any way. An address that nothing here has, or that is not linked, is
    /// looked for in the directory; none when that does not know it either.
    pub async fn explain_object(&self, named: &Named) -> Result<Option<Explanation>, SyncError> {
        let store = &self.local.store;
        let link = match named {
            Named::Entry(uuid) => return self.explain_entry(*uuid).await.map(Some),
            Named::Address(address) => match store.local_id(address).map_err(store_error)? {
                Some(local) => store.association(&self.config.name, local).map_err(store_error)?,
                None => None,
            },
        };
        if let (None, Named::Address(address)) = (&link, named) {
            return match (self.remotes.address)(address.clone()).await {
                Lookup::Found(entry) => self.explain_entry(entry.uuid).await.map(Some),
                Lookup::NotFound => Ok(None),
                Lookup::Ambiguous(dns) => Err(SyncError::Refused(format!(
                    "several entries have this address: {}",
                    dns.join(" | ")
                ))),
                Lookup::Unavailable(why) => Err(SyncError::Directory(why.to_string())),
            };
        }
        let Some(link) = link else { return Ok(None) };
        self.explain_entry(link.remote).await.map(Some)
    }

    async fn explain_entry(&self, uuid: EntryUuid) -> Result<Explanation, SyncError> {
        let link = self.local.store.association_by_uuid(&self.config.name, uuid);
        let link = link.map_err(store_error)?;
        let (remote, dn) = self.remote_of(uuid).await?;
        let (situation, _) = self
            .local
            .situation(uuid, remote, (dn, None))
            .map_err(store_error)?;
        let decision = plan(&situation, &self.policy);
        let events = match &link {
            Some(link) => self.events_of(link).map_err(store_error)?,
            None => Vec::new(),
        };
        Ok(explain(&situation, &self.policy, &decision, events))
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
                Ok((
                    self.scope
                        .remote(&entry, members, &|domain| self.is_local(domain)),
                    dn,
                ))
            }
        }
    }

    /// What is written down about an object, the newest first.
    fn events_of(&self, link: &store::Association) -> Result<Vec<Event>, StoreError> {
        let (store, name) = (&self.local.store, &self.config.name);
        let mut events = Vec::new();
        for row in store.list_conflicts(name, None, CONFLICTS)? {
            if row.id.remote == link.remote {
                let text = format!(
                    "{} was decided by {} (conflict {})",
                    row.id.field, row.rule, row.id
                );
                events.push(Event::new(row.id.time, text));
            }
        }
        if let Some(intent) = store.intent(name, link.local)? {
            let error = intent.error.unwrap_or_else(|| "not yet acknowledged".to_owned());
            let text = format!(
                "to be written in the directory, attempt {}: {error}",
                intent.attempts
            );
            events.push(Event::new(intent.since, text));
        }
        let object = link.remote.to_string();
        // Rows stand in the order of their objects: the one that follows the object's own beginning is its own.
        let before = object.get(..object.len() - 1);
        let rows = store.quarantine_after(name, before, CONFLICTS)?;
        if let Some(row) = rows.into_iter().find(|row| row.object == object) {
            events.push(Event::new(row.since, format!("set aside: {}", row.reason)));
        }
        events.sort_by_key(|event| std::cmp::Reverse(event.time));
        Ok(events)
    }
}
