//! New entries: an intent first, then the write, then the link.

use super::super::SyncEngine;
use super::super::beside::{Moment, apart_from_others};
use super::super::names::members_of;
use super::super::outlet::Outlet;
use super::super::worker::{Worker, store_trouble};
use super::send::BULK;
use super::terms;
use crate::engine::{Input, Notice, Outcome};
use crate::field::Field;
use crate::local::{Local, store_id};
use crate::outbox::is_same_name;
use crate::plan::{Creation, LocalId};
use directory::write::{Fate, Write, WriteError};
use model::Address;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use store::{Intent, MemberRef, StoreError};
use tokio::task::JoinSet;

impl Worker<'_> {
    /// Makes this entry and all others that are queued.
    pub(in super::super) async fn create(&mut self, creations: Vec<Creation>) {
        let Some(outlet) = self.parts.remotes.outlet.clone() else {
            return;
        };
        let wanted = creations
            .iter()
            .flat_map(|creation| members_of(&creation.image))
            .collect();
        let (schema, members) = match self.prepared(&*outlet, wanted).await {
            Ok(ready) => ready,
            Err(trouble) => return self.step(Input::Failed(trouble)),
        };
        let (mut births, mut without_some) = (Vec::new(), BTreeSet::new());
        for mut creation in creations {
            if members.put_off_some_of(&mut creation) {
                without_some.insert(creation.local);
            }
            let terms = terms(self.parts, &*outlet, &schema, &members.found);
            match terms.create(creation.kind, &creation.image) {
                Ok(Some(write)) => births.push((creation, write)),
                Ok(None) => {
                    let why = "it has no address".to_owned();
                    self.step(Input::Created(creation.local, Outcome::Refused(why)));
                }
                Err(error) => {
                    self.step(Input::Created(
                        creation.local,
                        Outcome::Refused(error.to_string()),
                    ));
                }
            }
        }
        for (creation, outcome) in give_birth(self.parts, &outlet, births).await {
            if outcome == Outcome::Done {
                self.note_written(Some(creation.local), false);
                let name = &self.parts.config.name;
                tracing::info!(connector = %name, "{}", creation.line());
                let woken = self.wake_groups(&creation).map_err(store_trouble);
                let looked = match without_some.contains(&creation.local) {
                    true => self.look_for_members(&creation),
                    false => Ok(()),
                };
                if let Err(trouble) = woken.and(looked) {
                    self.step(Input::Failed(trouble));
                }
            }
            self.step(Input::Created(creation.local, outcome));
        }
    }

    /// Groups that waited for the entry of this object.
    fn wake_groups(&mut self, creation: &Creation) -> Result<(), StoreError> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let addresses: Vec<Address> = [Field::Address, Field::Aliases]
            .into_iter()
            .flat_map(|field| creation.image.get(field).to_addresses().collect::<Vec<_>>())
            .collect();
        let mut found = BTreeSet::new();
        for address in addresses {
            let mut after = None;
            loop {
                let member = MemberRef::Address(address.clone());
                let page = store.groups_waiting_for(name, &member, after, 256)?;
                let Some(last) = page.last() else { break };
                after = Some(*last);
                for group in page {
                    found.extend(store.association(name, group)?.map(|link| link.remote));
                }
            }
        }
        for uuid in found {
            self.step(Input::Noticed(Notice::Group(uuid)));
        }
        Ok(())
    }
}

/// New entries: the intents in one commit, the writes, and each link with the end of its intent.
async fn give_birth(
    parts: &SyncEngine,
    outlet: &Arc<dyn Outlet>,
    births: Vec<(Creation, Write)>,
) -> Vec<(Creation, Outcome)> {
    let local = &parts.local;
    let (births, mut ended) = apart_from_others(parts, births, Moment::Before).await;
    let mut earlier = HashMap::new();
    for (creation, write) in &births {
        match unanswered_before(local, creation, write) {
            Ok(Some(intent)) => drop(earlier.insert(creation.local, intent)),
            Ok(None) => {}
            Err(error) => {
                let failed = |(creation, _)| (creation, Outcome::Temporary(error.to_string()));
                ended.extend(births.into_iter().map(failed));
                return ended;
            }
        }
    }
    let intents: Vec<store::SyncChange> = births
        .iter()
        .map(|(creation, write)| {
            let dn = match write {
                Write::Add(entry) => entry.dn().to_string(),
                _ => String::new(),
            };
            store::SyncChange::Intent(Box::new(local.birth(creation, dn)))
        })
        .collect();
    if let Err(error) = local.begin_births(&intents).await {
        let failed = |(creation, _)| (creation, Outcome::Temporary(error.to_string()));
        ended.extend(births.into_iter().map(failed));
        return ended;
    }
    let (births, others) = apart_from_others(parts, births, Moment::Begun).await;
    ended.extend(give_way(local, others, &mut earlier).await);
    let (creations, writes): (Vec<_>, Vec<_>) = births.into_iter().unzip();
    let answers = if writes.len() >= BULK {
        outlet.write_all(writes).await
    } else {
        let mut answers = Vec::new();
        for write in &writes {
            answers.push(outlet.write(write).await);
        }
        answers
    };
    let mut running = JoinSet::new();
    for (creation, answer) in creations.into_iter().zip(answers) {
        let local = local.clone();
        let earlier = earlier.remove(&creation.local);
        running.spawn(async move {
            let outcome = match answer {
                Ok(written) => match local.born(&creation, &written).await {
                    Ok(()) => Outcome::Done,
                    Err(StoreError::Conflict) => Outcome::Stale,
                    Err(error) => Outcome::Temporary(error.to_string()),
                },
                // It was never sent: what somebody makes under this name later is not ours.
                Err(WriteError::Unavailable {
                    why,
                    fate: Fate::NotDone,
                }) if creation.former.is_some() => match local.not_born(&creation, earlier).await {
                    Ok(()) => Outcome::Unreachable(why.to_string()),
                    Err(error) => Outcome::Temporary(error.to_string()),
                },
                Err(WriteError::Unavailable { why, .. }) => Outcome::Unreachable(why.to_string()),
                Err(error) => match local.not_born(&creation, made_late(&error, earlier)).await {
                    Ok(()) => Outcome::Refused(format!("the directory: {error}")),
                    Err(error) => Outcome::Temporary(error.to_string()),
                },
            };
            (creation, outcome)
        });
    }
    ended.extend(running.join_all().await);
    ended
}

/// Those that another connector is about to make are not sent. The intent that is kept of them says so, or what an earlier attempt
/// sent.
async fn give_way(
    local: &Local,
    others: Vec<(Creation, Outcome)>,
    earlier: &mut HashMap<LocalId, Intent>,
) -> Vec<(Creation, Outcome)> {
    let mut ended = Vec::with_capacity(others.len());
    for (creation, outcome) in others {
        let intent = match earlier.remove(&creation.local) {
            Some(earlier) => earlier,
            None => local.birth(&creation, String::new()),
        };
        let put_back = match local.store.intent(&local.connector, store_id(creation.local)) {
            // The other one has made it.
            Ok(None) => Ok(()),
            Ok(Some(_)) => {
                let row = [store::SyncChange::Intent(Box::new(intent))];
                local.store.commit_sync(&row).await
            }
            Err(error) => Err(error),
        };
        ended.push(match put_back {
            Ok(()) => (creation, outcome),
            Err(error) => (creation, Outcome::Temporary(error.to_string())),
        });
    }
    ended
}

/// An entry that is there already may be what an earlier attempt made: late, or on a server that shows it later.
fn made_late(error: &WriteError, earlier: Option<Intent>) -> Option<Intent> {
    earlier.filter(|_| matches!(error, WriteError::AlreadyExists(_)))
}

/// The intent of an earlier attempt to make this entry under this name, of which nobody knows what became.
fn unanswered_before(
    local: &Local,
    creation: &Creation,
    write: &Write,
) -> Result<Option<Intent>, StoreError> {
    let (Some(_), Write::Add(entry)) = (creation.former, write) else {
        return Ok(None);
    };
    let begun = local.store.intent(&local.connector, store_id(creation.local))?;
    let same = |begun: &Intent| is_same_name(&begun.dn, &entry.dn().to_string());
    Ok(begun.filter(|begun| begun.remote.is_none() && same(begun)))
}

#[cfg(test)]
mod tests;
