//! The remote half of plans: an intent first, then the write, then the new base.
//!
//! A write is sent once. What is not known of its end is found out by looking at the entry again, in this process or
//! the next.

use super::beside::{Moment, apart_from_others};
use super::names::{Names, members_of, members_written};
use super::outlet::Outlet;
use super::rename;
use super::worker::{Worker, store_trouble};
use super::writes::{Entity, Terms};
use crate::engine::{Input, Notice, Outcome, Trouble};
use crate::field::{Field, Image};
use crate::local::{Local, Seen, own_id, store_id};
use crate::outbox::is_same_name;
use crate::plan::{Creation, Kind, LocalId, Plan, RemoteOp, kind_of};
use directory::config::Direction;
use directory::write::{Fate, Precondition, Schema, Write, WriteError, Written};
use model::{Address, EntryUuid};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use store::{Intent, MemberRef, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// From so many on, writes share transactions.
const BULK: usize = 8;
/// Answers that are written down in one commit.
const NOTED_TOGETHER: usize = 128;

type Answer = Result<Written, WriteError>;
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

    /// Makes this entry and all others that are queued.
    pub(super) async fn create(&mut self, creations: Vec<Creation>) {
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

    /// An entry without a name of its own shows its `cn`. That is taken over at once, or it would look like somebody's
    /// edit when the object here is changed or deleted next.
    fn look_at_names(&mut self, uuids: impl IntoIterator<Item = EntryUuid>) {
        for uuid in uuids {
            self.step(Input::Noticed(Notice::Here(uuid)));
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

/// What is sent together: of writes that share transactions, none is before another. Groups lose their entries before the
/// accounts in them do, or the server may change them because of that, and everything else comes before.
fn in_parts(jobs: Vec<Job>) -> [Vec<Job>; 4] {
    let is_deleted = |job: &Job| job.plan.remote.contains(&RemoteOp::Delete);
    let is_group = |job: &Job| matches!(job.seen.local, Some(LocalId::Group(_)));
    let (deletions, others): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(is_deleted);
    let (groups, accounts) = deletions.into_iter().partition(is_group);
    let (others, lists) = apart(others);
    [others, lists, groups, accounts]
}

/// Lists that name an entry which another job renames come after it, and get its new name then.
fn apart(jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let renames = |job: &&Job| {
        job.writes
            .iter()
            .any(|write| matches!(write, Write::Rename { .. }))
    };
    let renamed: BTreeSet<EntryUuid> = jobs.iter().filter(renames).map(|job| job.plan.uuid).collect();
    let (mut first, mut lists) = (Vec::with_capacity(jobs.len()), Vec::new());
    for mut job in jobs {
        job.waits = !renamed.is_empty() && !members_written(&job.plan).is_disjoint(&renamed);
        if job.waits {
            lists.push(job);
        } else {
            first.push(job);
        }
    }
    (first, lists)
}

/// Everybody at once, except where a name must be free before another entry takes it.
async fn in_turns(local: &Local, outlet: &Arc<dyn Outlet>, jobs: Vec<Job>) -> Vec<Option<Ended>> {
    let writes: Vec<&[Write]> = jobs.iter().map(|job| job.writes.as_slice()).collect();
    let turns = rename::turns(&writes);
    let mut jobs: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
    let mut ended = Vec::new();
    for turn in turns {
        match turn {
            rename::Turn::Send(some) => {
                let take = |index: usize| jobs.get_mut(index).and_then(Option::take);
                let some: Vec<Job> = some.into_iter().filter_map(take).collect();
                let single = some.iter().all(|job| job.writes.len() == 1);
                ended.extend(if single && some.len() >= BULK {
                    together(local, outlet, some, None).await
                } else {
                    side_by_side(local, outlet, some).await
                });
            }
            rename::Turn::StepAside(index) => {
                let Some(slot) = jobs.get_mut(index) else { continue };
                let Some(mut job) = slot.take() else { continue };
                match rename::step_aside(outlet, &mut job.writes).await {
                    Ok(()) => *slot = Some(job),
                    Err(error) => ended.push(Some(acknowledge(local, job, Err(error)).await)),
                }
            }
        }
    }
    ended
}

/// Every object by itself, as many at once as the writer lets.
async fn side_by_side(local: &Local, outlet: &Arc<dyn Outlet>, jobs: Vec<Job>) -> Vec<Option<Ended>> {
    let mut running = JoinSet::new();
    for job in jobs {
        let (local, outlet) = (local.clone(), Arc::clone(outlet));
        running.spawn(async move {
            let answer = send(&*outlet, &job.writes).await;
            acknowledge(&local, job, answer).await
        });
    }
    let mut ended = Vec::new();
    while let Some(done) = running.join_next().await {
        ended.push(done.ok());
    }
    ended
}

/// Many at once, which share the server's commits. What is answered is written down here while the others are under way,
/// as much of it together as has come. `answered` is told when nothing is under way any more, and whether all was done.
pub(super) async fn together(
    local: &Local,
    outlet: &Arc<dyn Outlet>,
    jobs: Vec<Job>,
    answered: Option<oneshot::Sender<bool>>,
) -> Vec<Option<Ended>> {
    let writes = jobs.iter().flat_map(|job| job.writes.clone()).collect();
    let (tell, answers) = mpsc::unbounded_channel();
    // A task of its own: the next write does not wait for what is written down of the last one.
    let mut noting = JoinSet::new();
    noting.spawn(note_answers(local.clone(), jobs, answers, answered));
    outlet.write_each(writes, tell).await;
    match noting.join_next().await {
        Some(Ok(ended)) => ended,
        _ => vec![None],
    }
}

async fn note_answers(
    local: Local,
    jobs: Vec<Job>,
    mut answers: mpsc::UnboundedReceiver<(usize, Answer)>,
    mut answered: Option<oneshot::Sender<bool>>,
) -> Vec<Option<Ended>> {
    let (mut left, mut all_done) = (jobs.len(), true);
    let mut jobs: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
    let (mut ended, mut some) = (Vec::with_capacity(jobs.len()), Vec::new());
    while answers.recv_many(&mut some, NOTED_TOGETHER).await > 0 {
        left = left.saturating_sub(some.len());
        all_done &= some.iter().all(|(_, answer)| answer.is_ok());
        if let Some(tell) = answered.take_if(|_| left == 0) {
            // Whoever waits for it may have gone.
            let _ = tell.send(all_done);
        }
        let take = |(number, answer): (usize, Answer)| Some((jobs.get_mut(number)?.take()?, answer));
        let answered: Vec<(Job, Answer)> = some.drain(..).filter_map(take).collect();
        ended.extend(acknowledge_all(&local, answered).await.into_iter().map(Some));
    }
    // No answer: its task ended early.
    ended.extend(jobs.into_iter().flatten().map(|_| None));
    ended
}

/// The successes among them in one commit, where that goes.
async fn acknowledge_all(local: &Local, answered: Vec<(Job, Answer)>) -> Vec<Ended> {
    let done: Vec<_> = answered
        .iter()
        .filter_map(|(job, answer)| Some((&job.plan, &job.seen, answer.as_ref().ok()?)))
        .collect();
    let settled = done.len() > 1 && local.settle_all(&done).await;
    let mut ended = Vec::with_capacity(answered.len());
    for (job, answer) in answered {
        ended.push(match answer {
            Ok(_) if settled => (job, Outcome::Done),
            answer => acknowledge(local, job, answer).await,
        });
    }
    ended
}

/// The writes of one object, one after the other: each is made on what the one before it left.
async fn send(outlet: &dyn Outlet, writes: &[Write]) -> Result<Written, WriteError> {
    let mut last: Option<Written> = None;
    for write in writes {
        let mut write = write.clone();
        if let (
            Some(before),
            Write::Modify {
                target, precondition, ..
            }
            | Write::Rename {
                target, precondition, ..
            },
        ) = (&last, &mut write)
        {
            target.dn.clone_from(&before.dn);
            precondition.csn.clone_from(&before.csn);
        }
        last = Some(outlet.write(&write).await?);
    }
    last.ok_or(WriteError::NoSuchObject)
}

async fn acknowledge(local: &Local, job: Job, answer: Answer) -> Ended {
    let Job { plan, seen, .. } = &job;
    let outcome = match answer {
        Ok(written) => match local.settle(plan, seen, &written).await {
            Ok(()) => Outcome::Done,
            Err(StoreError::Conflict) => Outcome::Stale,
            Err(error) => Outcome::Temporary(error.to_string()),
        },
        Err(WriteError::Unavailable {
            why,
            fate: Fate::NotDone,
        }) if job.writes.len() == 1 => match never_sent(local, [&job]).await {
            Ok(()) => Outcome::Unreachable(why.to_string()),
            Err(error) => Outcome::Temporary(error.to_string()),
        },
        // Nobody knows: the intent stays, and the entry is looked at again.
        Err(WriteError::Unavailable { why, .. }) => Outcome::Unreachable(why.to_string()),
        Err(error) => match end_intent(local, &job, &error).await {
            Err(error) => Outcome::Temporary(error.to_string()),
            Ok(()) => match error {
                // Not ours any more: what the directory says of it comes over the feed.
                WriteError::NotMine(_) => Outcome::Done,
                WriteError::Stale | WriteError::NoSuchObject => Outcome::Stale,
                error => Outcome::Refused(format!("the directory: {error}")),
            },
        },
    };
    (job, outcome)
}

/// Jobs that were begun and are not sent now. Each is looked at again.
async fn never_sent<'a>(local: &Local, jobs: impl IntoIterator<Item = &'a Job>) -> Result<(), StoreError> {
    #[cfg(test)]
    if crate::broken::is(crate::broken::Broken::RefusedKept) {
        return Ok(());
    }
    let rows = jobs
        .into_iter()
        .filter_map(|job| local.not_sent(&job.plan, &job.seen));
    local.store.commit_sync_soon(&rows.collect::<Vec<_>>()).await
}

/// This write did not take place. One before it, whose end is not known either, may have: it is kept in mind as it was, with its
/// values and the name that it gave this server. Nothing that was refused is ours when somebody there writes it next.
async fn end_intent(local: &Local, job: &Job, error: &WriteError) -> Result<(), StoreError> {
    let Some(object) = job.seen.local else {
        return Ok(());
    };
    match (&job.seen.begun, error) {
        (None, _) | (_, WriteError::NotMine(_)) => local.drop_intents(&[object]).await,
        #[cfg(test)]
        _ if crate::broken::is(crate::broken::Broken::RefusedKept) => Ok(()),
        // The first of several writes may have taken place.
        (Some(_), _) if job.writes.len() > 1 => Ok(()),
        (Some(earlier), _) => {
            let row = store::SyncChange::Intent(earlier.clone());
            local.store.commit_sync_soon(&[row]).await
        }
    }
}

/// New entries: the intents in one commit, the writes, and each link with the end of its intent.
async fn give_birth(
    parts: &super::SyncEngine,
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

#[cfg(test)]
mod births;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Remote;
    use model::{AccountId, GroupId};

    fn job(number: u8, group: bool, ops: Vec<RemoteOp>) -> Job {
        let uuid = EntryUuid::from_bytes([number; 16]);
        let (_, mut seen) = Local::nobody(uuid, Remote::Gone, (String::new(), None));
        let id = u64::from(number);
        seen.local = Some(match group {
            true => LocalId::Group(GroupId::new(id).expect("not zero")),
            false => LocalId::Account(AccountId::new(id).expect("not zero")),
        });
        let plan = Plan {
            remote: ops,
            ..Plan::nothing(uuid, number.to_string(), None)
        };
        Job::here(plan, seen)
    }

    #[test]
    fn a_group_goes_before_the_accounts_in_it() {
        let host = || RemoteOp::Host {
            was: "a.test".to_owned(),
            now: "b.test".to_owned(),
        };
        let jobs = vec![
            job(1, false, vec![RemoteOp::Delete]),
            job(2, true, vec![RemoteOp::Delete]),
            job(3, false, vec![host()]),
            job(4, false, vec![RemoteOp::Delete]),
            job(5, true, vec![RemoteOp::Delete]),
        ];
        let parts = in_parts(jobs).map(|some| {
            let names = some.iter().map(|job| job.plan.subject.clone());
            names.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(parts, ["3", "", "2 5", "1 4"]);
    }
}
