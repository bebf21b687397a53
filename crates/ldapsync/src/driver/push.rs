//! The remote half of plans: an intent first, then the write, then the new base.
//!
//! A write is sent once. What is not known of its end is found out by looking at the entry again, in this process or
//! the next.

mod birth;
mod send;

pub(super) use send::together;

use super::names::{Names, members_written};
use super::outlet::Outlet;
use super::worker::{Worker, store_trouble};
use super::writes::{Entity, Terms};
use crate::engine::{Input, Notice, Outcome, Trouble};
use crate::field::{Field, Image};
use crate::local::{Local, Seen, own_id, store_id};
use crate::plan::{Creation, Kind, LocalId, Plan, RemoteOp, kind_of};
use directory::config::Direction;
use directory::write::{Precondition, Schema, Write, WriteError};
use model::EntryUuid;
use send::{in_parts, in_turns, never_sent};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use store::StoreError;

/// A member that was there when its list was planned is not found when the list is to be sent.
const NAMELESS: &str = "the entry of one of its members is not found now";

/// One object, and the writes of its entry: none when only this side changes.
pub(super) struct Job {
    pub(super) plan: Plan,
    pub(super) seen: Seen,
    pub(super) writes: Vec<Write>,
    /// Whether it names entries that are renamed before it is sent.
    waits: bool,
    /// Members that the plan is carried out without, for now.
    pub(super) put_off: Vec<String>,
    /// Whether a list has members here who are gone: they leave it at the next look.
    pub(super) leaves: bool,
}

impl Job {
    /// A plan that changes this side alone.
    pub(super) const fn here(plan: Plan, seen: Seen) -> Self {
        Self {
            plan,
            seen,
            writes: Vec::new(),
            waits: false,
            put_off: Vec::new(),
            leaves: false,
        }
    }
}

impl AsRef<Plan> for Job {
    fn as_ref(&self) -> &Plan {
        &self.plan
    }
}

/// What a job came to.
pub(super) type Ended = (Job, Outcome);

impl Worker<'_> {
    /// Plans that have a remote half, with what is to be written there. Nothing is written yet.
    pub(super) async fn jobs(&mut self, plans: Vec<Plan>) -> Vec<Job> {
        let Some(outlet) = self.parts.remotes.outlet.clone() else {
            for plan in plans {
                let why = "nothing writes to this directory".to_owned();
                self.step(Input::Applied(plan.uuid, Outcome::Refused(why)));
            }
            return Vec::new();
        };
        let (schema, members) = match self.prepare(&*outlet, &plans).await {
            Ok(ready) => ready,
            Err(trouble) => {
                self.step(Input::Failed(trouble));
                return Vec::new();
            }
        };
        let mut jobs = Vec::new();
        for plan in plans {
            jobs.extend(self.job(&*outlet, (&schema, &members), plan).await);
        }
        jobs
    }

    /// The remote halves, whose intents are durable.
    pub(super) async fn write_there(&mut self, jobs: Vec<Job>) {
        let Some(outlet) = self.parts.remotes.outlet.clone() else {
            return;
        };
        let jobs = self.write_ahead(jobs).await;
        if jobs.is_empty() {
            return;
        }
        self.all_written().await;
        if self.engine.next_wake().is_some() {
            // The round is over with what was written before. These stay begun, and the next one looks at them.
            return self.put_back(&jobs).await;
        }
        for some in in_parts(jobs) {
            let some = self.name_anew(&*outlet, some).await;
            let ended = in_turns(&self.parts.local, &outlet, some).await;
            self.written(ended);
        }
    }

    /// What became of writes.
    pub(super) fn written(&mut self, ended: Vec<Option<Ended>>) {
        for done in ended {
            match done {
                Some((job, outcome)) => {
                    let renames =
                        |op: &RemoteOp| matches!(op, RemoteOp::Rename { .. } | RemoteOp::Move { .. });
                    self.note_written(job.seen.local, job.plan.remote.iter().any(renames));
                    let again = (outcome == Outcome::Done && (job.leaves || shows_its_cn(&job.plan)))
                        .then_some(job.plan.uuid);
                    // First, for the round may be over with the last of its objects.
                    self.look_at_names(again);
                    self.applied(&job.plan, job.told(outcome));
                }
                None => self.step(interrupted()),
            }
        }
    }

    /// What every write needs: the server's schema, and the names of members.
    async fn prepare(
        &mut self,
        outlet: &dyn Outlet,
        plans: &[Plan],
    ) -> Result<(Arc<Schema>, Names), Trouble> {
        let mut wanted = BTreeSet::new();
        for plan in plans {
            wanted.extend(members_written(plan));
        }
        self.prepared(outlet, wanted).await
    }

    async fn prepared(
        &mut self,
        outlet: &dyn Outlet,
        wanted: BTreeSet<EntryUuid>,
    ) -> Result<(Arc<Schema>, Names), Trouble> {
        let schema = outlet.schema().await.map_err(unreachable)?;
        Ok((schema, self.names(wanted).await?))
    }

    /// Lists whose members have been renamed since their writes were made.
    async fn name_anew(&mut self, outlet: &dyn Outlet, jobs: Vec<Job>) -> Vec<Job> {
        let mut wanted = BTreeSet::new();
        for job in jobs.iter().filter(|job| job.waits) {
            wanted.extend(members_written(&job.plan));
        }
        if wanted.is_empty() {
            return jobs;
        }
        let ready = self.prepared(outlet, wanted).await;
        let (mut kept, mut others) = (Vec::with_capacity(jobs.len()), Vec::new());
        for mut job in jobs {
            if !job.waits {
                kept.push(job);
                continue;
            }
            // Sent as it is, it might name nobody, or somebody else: a server takes any name for a member.
            let outcome = match &ready {
                Err(trouble) => Outcome::Unreachable(trouble.to_string()),
                Ok((schema, members)) => {
                    let terms = terms(self.parts, outlet, schema, &members.found);
                    match writes_of(self.parts, &terms, &job.plan, &job.seen) {
                        // What was begun stays so, and is looked at again.
                        Ok(_) if members.lacks_one_of(&job.plan) => Outcome::Unreachable(NAMELESS.to_owned()),
                        Ok(writes) => {
                            job.writes = writes;
                            kept.push(job);
                            continue;
                        }
                        Err(error) => Outcome::Refused(error.to_string()),
                    }
                }
            };
            others.push((job, outcome));
        }
        self.put_back(others.iter().map(|(job, _)| job)).await;
        for (job, outcome) in others {
            self.applied(&job.plan, outcome);
        }
        kept
    }

    /// What was begun is not sent now: nothing of it is in the directory.
    async fn put_back<'a>(&mut self, jobs: impl IntoIterator<Item = &'a Job>) {
        if let Err(error) = never_sent(&self.parts.local, jobs).await {
            self.step(Input::Failed(store_trouble(error)));
        }
    }

    /// A plan with its writes; none when it is carried out otherwise, or cannot be written.
    async fn job(
        &mut self,
        outlet: &dyn Outlet,
        (schema, members): (&Schema, &Names),
        mut plan: Plan,
    ) -> Option<Job> {
        let Some(mut seen) = self.seen.remove(&plan.uuid) else {
            self.step(Input::Applied(plan.uuid, Outcome::Stale));
            return None;
        };
        seen.local = plan.joined().or(seen.local);
        if let Some(RemoteOp::Create { image, .. }) = plan.remote.first()
            && let Some(local) = seen.local
        {
            let creation = Creation {
                local,
                subject: plan.subject.clone(),
                kind: kind_of(local),
                image: image.clone(),
                waiting: Vec::new(),
                // A list has no mail that a stranger could get.
                former: matches!(local, LocalId::Account(_)).then_some(plan.uuid),
            };
            let outcome = self.again(creation).await;
            self.applied(&plan, outcome);
            return None;
        }
        let put_off = members.put_off(&mut plan);
        let parts = self.parts;
        // Where the directory is only written, nobody leaves a list here because of it.
        let leaves = parts.config.direction == Direction::BothWays && members.brings_one_who_is_gone(&plan);
        let terms = terms(parts, outlet, schema, &members.found);
        let kind = seen.local.map_or(Kind::Account, kind_of);
        plan.follow_address(&seen.dn, |address| terms.name(kind, address));
        match writes_of(parts, &terms, &plan, &seen) {
            Ok(writes) => {
                if writes.is_empty() {
                    // The directory has no place for it, or says it already: that is agreed upon here.
                    plan.remote.clear();
                }
                Some(Job {
                    // Where nothing is written, the look that follows has to know more than this one, or it would lead to
                    // another one for ever.
                    leaves: leaves && (!writes.is_empty() || agrees_on_other_members(&plan, &seen)),
                    writes,
                    put_off,
                    ..Job::here(plan, seen)
                })
            }
            Err(error) => {
                self.step(Input::Applied(plan.uuid, Outcome::Refused(error.to_string())));
                None
            }
        }
    }

    /// An entry that is gone is made again: the link goes with its UUID, and the object is a newcomer.
    async fn again(&mut self, creation: Creation) -> Outcome {
        let local = &self.parts.local;
        let begun = local
            .begin_again(creation.local, local.birth(&creation, String::new()))
            .await;
        match begun {
            Ok(()) => {
                self.step(Input::Noticed(Notice::New(creation.local)));
                Outcome::Done
            }
            Err(error) => Outcome::Temporary(error.to_string()),
        }
    }

    /// An entry without a name of its own shows its `cn`. That is taken over at once, or it would look like somebody's
    /// edit when the object here is changed or deleted next.
    fn look_at_names(&mut self, uuids: impl IntoIterator<Item = EntryUuid>) {
        for uuid in uuids {
            self.step(Input::Noticed(Notice::Here(uuid)));
        }
    }
}

/// Whether a plan takes other members of a list for common than its link does.
fn agrees_on_other_members(plan: &Plan, seen: &Seen) -> bool {
    let of = |base: Option<&Image>| {
        base.map(|base| base.get(Field::Members).clone())
            .unwrap_or_default()
    };
    let known = seen.old.as_ref().map(|link| &link.base);
    !of(plan.base.as_ref()).equals(&of(known))
}

/// Whether the entry may show its `cn` as a name after the plan, and did not before: its own name goes, or it never had
/// one and its address is another than the one that the `cn` repeats.
fn shows_its_cn(plan: &Plan) -> bool {
    let nameless = plan
        .base
        .as_ref()
        .is_some_and(|base| base.get(Field::DisplayName).is_empty());
    nameless
        && plan.remote.iter().any(|op| {
            matches!(
                op,
                RemoteOp::Set {
                    field: Field::DisplayName | Field::Address,
                    ..
                }
            )
        })
}

/// The names of this server that an entry may have while it is written: a former one that it still shows, too.
pub(super) fn hosts_of(names: &[String], seen: &Seen) -> Vec<String> {
    let mut hosts = names.to_vec();
    if let Some(former) = seen.former_home.as_ref().filter(|_| !hosts.is_empty()) {
        hosts.push(former.clone());
    }
    hosts
}

fn terms<'a>(
    parts: &'a super::SyncEngine,
    outlet: &'a dyn Outlet,
    schema: &'a Schema,
    members: &'a HashMap<EntryUuid, String>,
) -> Terms<'a> {
    Terms {
        outlet,
        schema,
        domains: &parts.config.domains,
        host: parts.config.clustered.then_some(parts.server_name.as_str()),
        members,
    }
}

fn writes_of(
    parts: &super::SyncEngine,
    terms: &Terms<'_>,
    plan: &Plan,
    seen: &Seen,
) -> Result<Vec<Write>, directory::write::Unwritable> {
    let hosts = match seen.local {
        Some(LocalId::Account(_)) => hosts_of(parts.scope.hosts(), seen),
        _ => Vec::new(),
    };
    let entity = Entity {
        uuid: plan.uuid,
        dn: &seen.dn,
        entry: seen.entry.as_ref(),
        precondition: Precondition {
            csn: seen.csn.clone(),
            hosts,
        },
    };
    terms.writes(&entity, &plan.remote)
}

fn unreachable(error: WriteError) -> Trouble {
    directory::feed::FeedError::Unavailable(model::Unavailable(error.to_string())).into()
}

pub(super) fn interrupted() -> Input {
    Input::Failed(Trouble::Store("a write was interrupted".to_owned()))
}

/// The local object of a journal row or an intent, as the engine is told of it.
pub(super) fn notice(
    local: &Local,
    object: store::LocalId,
    remote: Option<EntryUuid>,
) -> Result<Notice, StoreError> {
    let link = local.store.association(&local.connector, object)?;
    Ok(match link.map(|link| link.remote).or(remote) {
        Some(uuid) => Notice::Here(uuid),
        None => Notice::New(own_id(object)),
    })
}

/// Whether an object has no link.
pub(super) fn is_newcomer(local: &Local, object: LocalId) -> Result<bool, StoreError> {
    Ok(local
        .store
        .association(&local.connector, store_id(object))?
        .is_none())
}
