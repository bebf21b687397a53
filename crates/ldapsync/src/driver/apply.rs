//! Carrying plans out here, side by side, except those that take addresses from each other.

use super::order;
use super::worker::{Worker, save};
use crate::engine::{Effect, Input, Notice, Outcome, Trouble};
use crate::field::Field;
use crate::local::LinkCount;
use crate::plan::{Op, Plan, RemoteOp};
use tokio::task::JoinSet;

impl Worker<'_> {
    /// Applies this plan and all others that are queued, side by side.
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
            }
        }
        self.count(count);
        // An account moves away first and alone. What addresses its entry has now is seen at the next look, which is
        // in this round: somebody may wait for the former ones.
        let again = outcome == Outcome::Done && plan.ops.iter().any(|op| matches!(op, Op::MoveAway { .. }));
        self.step(Input::Applied(plan.uuid, outcome));
        if again {
            self.step(Input::Noticed(Notice::Here(plan.uuid)));
        }
    }

    pub(super) fn count(&mut self, count: LinkCount) {
        self.linked = match count {
            LinkCount::Same => self.linked,
            LinkCount::More => self.linked.saturating_add(1),
            LinkCount::Less => self.linked.saturating_sub(1),
        };
    }
}
