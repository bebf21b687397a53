//! Carrying plans out here, side by side, except those that take addresses from each other.

use super::ahead::is_alone;
use super::order;
use super::push::{Job, hosts_of, interrupted};
use super::worker::{Worker, save};
use crate::engine::{Effect, Input, Notice, Outcome};
use crate::field::Field;
use crate::local::Local;
use crate::plan::{Op, Plan, RemoteOp, Standing, is_parked_address};
use std::collections::VecDeque;
use tokio::task::JoinSet;

/// What the local half of a job came to.
type Begun = (Job, Outcome);

impl Worker<'_> {
    /// Carries out this plan and all others that are queued.
    pub(super) async fn apply(&mut self, first: Box<Plan>) {
        let mut plans = vec![*first];
        let (applies, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.effects)
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Apply(_)));
        self.effects = others.into();
        plans.extend(applies.into_iter().filter_map(|effect| match effect {
            Effect::Apply(plan) => Some(*plan),
            _ => None,
        }));
        if !plans.iter().all(is_alone) {
            // What is under way may be what these are about.
            self.all_written().await;
            if self.engine.next_wake().is_some() {
                return;
            }
        }
        let (pushes, plans): (Vec<Plan>, Vec<Plan>) =
            plans.into_iter().partition(|plan| !plan.remote.is_empty());
        let mut jobs = Vec::new();
        for plan in plans {
            match self.seen.remove(&plan.uuid) {
                Some(seen) => jobs.push(Job::here(plan, seen)),
                None => self.step(Input::Applied(plan.uuid, Outcome::Stale)),
            }
        }
        if !pushes.is_empty() {
            jobs.extend(self.jobs(pushes).await);
        }
        let begun = self.write_here(jobs).await;
        if !begun.is_empty() {
            self.write_there(begun).await;
        }
    }

    /// The local halves, each in one commit with the intent of its remote half: side by side, except those that take
    /// addresses from each other, whoever of them has something to write in the directory as well. Gives back what is
    /// to be written there.
    pub(super) async fn write_here(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let (free, waiting) = order::split(jobs);
        let mut running = JoinSet::new();
        for job in free {
            running.spawn(begin(
                self.parts.local.clone(),
                self.parts.scope.hosts().to_vec(),
                job,
            ));
        }
        // The cookie of the batch before rides along: its effects are durable already.
        let (parts, phase, unsaved) = (
            self.parts,
            (self.phase(), self.durable_offset()),
            self.unsaved.take(),
        );
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
        let mut ready = Vec::new();
        for done in finished {
            match done {
                Ok(begun) => ready.extend(self.begun(begun)),
                Err(_) => self.step(interrupted()),
            }
        }
        let mut waiting = VecDeque::from(waiting);
        while let Some(step) = waiting.pop_front() {
            match step {
                order::Step::Park(uuid) => {
                    let of = |step: &&mut order::Step<Job>| matches!(step, order::Step::Apply(job) if job.plan.uuid == uuid);
                    let Some(order::Step::Apply(job)) = waiting.iter_mut().find(of) else {
                        continue;
                    };
                    match self.parts.local.park(&job.plan, &mut job.seen).await {
                        Ok(()) => job.plan.discarded.clear(),
                        // Whoever waits for its address is refused, and set aside with the reason.
                        Err(error) => {
                            tracing::warn!(connector = %self.parts.config.name, %uuid, %error, "cannot step aside");
                        }
                    }
                }
                order::Step::Apply(job) => {
                    let hosts = self.parts.scope.hosts().to_vec();
                    let begun = begin(self.parts.local.clone(), hosts, *job).await;
                    ready.extend(self.begun(begun));
                }
            }
        }
        ready
    }

    /// A local half is durable, or refused. What has no other half is finished.
    fn begun(&mut self, (job, outcome): Begun) -> Option<Job> {
        if outcome == Outcome::Done && !job.writes.is_empty() {
            self.engine.half_done(job.plan.uuid, self.parts.now());
            return Some(job);
        }
        if outcome == Outcome::Done && job.leaves {
            // First, for the round may be over with the last of its objects.
            self.step(Input::Noticed(Notice::Here(job.plan.uuid)));
        }
        self.applied(&job.plan, job.told(outcome));
        None
    }

    pub(super) fn applied(&mut self, plan: &Plan, outcome: Outcome) {
        if outcome.is_carried_out() {
            self.tell(plan);
        }
        self.finished(plan, outcome);
    }

    /// The log's word of a plan.
    pub(super) fn tell(&self, plan: &Plan) {
        for line in plan.lines() {
            tracing::info!(connector = %self.parts.config.name, uuid = %plan.uuid, "{line}");
        }
    }

    /// What follows from a plan that was carried out, or was not.
    pub(super) fn finished(&mut self, plan: &Plan, outcome: Outcome) {
        if outcome.is_carried_out() {
            self.parts.remotes.sessions.applied(plan);
            let renamed = plan.remote.iter().find_map(|op| match op {
                RemoteOp::Set {
                    field: Field::Address,
                    values,
                    ..
                } => values.to_addresses().next(),
                _ => None,
            });
            // The groups here that have it as a member know its former address, and no message of the feed is news.
            if let Some(address) = renamed {
                self.step(Input::Noticed(Notice::Member(plan.uuid, Some(address))));
            } else if gives_its_addresses_up(plan) {
                self.step(Input::Noticed(Notice::Member(plan.uuid, None)));
            }
        }
        // An account moves away first and alone. What addresses its entry has now is seen at the next look, which is
        // in this round: somebody may wait for the former ones. Whoever had stepped aside may still be without an entry.
        let again = |op: &Op| matches!(op, Op::MoveAway { .. }) || takes_its_address_back(op);
        let again = outcome == Outcome::Done && plan.ops.iter().any(again);
        self.step(Input::Applied(plan.uuid, outcome));
        if again {
            self.step(Input::Noticed(Notice::Here(plan.uuid)));
        }
    }
}

fn takes_its_address_back(op: &Op) -> bool {
    match op {
        Op::Set {
            field: Field::Address,
            was,
            ..
        } => was.to_addresses().any(|address| is_parked_address(&address)),
        _ => false,
    }
}

/// Whether an account that had moved away steps aside because its entry is gone.
fn gives_its_addresses_up(plan: &Plan) -> bool {
    let parks = |op: &Op| match op {
        Op::Set {
            field: Field::Address,
            values,
            ..
        } => values.to_addresses().any(|address| is_parked_address(&address)),
        _ => false,
    };
    plan.standing == Standing::MovedAway && plan.ops.iter().any(parks)
}

async fn begin(local: Local, hosts: Vec<String>, job: Job) -> Begun {
    let hosts = hosts_of(&hosts, &job.seen);
    let intent = match job.writes.is_empty() {
        true => None,
        false => local.intent(&job.plan, &job.seen, &hosts),
    };
    let outcome = local.apply(&job.plan, &job.seen, intent).await;
    (job, outcome)
}
