//! Writes that are under way while the next objects are looked up, planned and written down, so that the directory need
//! not wait for us.
//!
//! Only what meets no other object is written like that: other values of an entry that no list, no address and no name
//! depends on. Whatever else comes next waits for its end.

use super::push::{Ended, Job, interrupted, together};
use super::worker::Worker;
use crate::engine::Input;
use crate::field::Field;
use crate::plan::{Plan, RemoteOp, Standing};
use directory::write::Write;
use model::EntryUuid;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Fewer are written at once: the look-ups beside them would take longer.
const FEW: usize = if cfg!(test) { 1 } else { 8 };

/// A portion that is being written.
pub(super) struct UnderWay {
    /// Everything was answered; what is left is to write that down here. Whether all of it was done.
    answered: oneshot::Receiver<bool>,
    /// One task. Whoever drops this gives up what it has not sent.
    ended: JoinSet<Vec<Option<Ended>>>,
}

impl UnderWay {
    /// Whether the directory has done all of it. Once it has, the next one may be sent.
    async fn is_done_there(&mut self) -> bool {
        (&mut self.answered).await.unwrap_or(false)
    }
}

impl Worker<'_> {
    /// Sends a portion of which no object meets another, after the one before, and lets the next one be looked up. Gives
    /// back what is not to be sent like that.
    pub(super) async fn write_ahead(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let Some(outlet) = self.parts.remotes.outlet.clone() else {
            return jobs;
        };
        if !self.engine.writes_ahead() || jobs.len() < FEW || !jobs.iter().all(meets_nobody) {
            return jobs;
        }
        let mut before = self.under_way.take();
        if let Some(one) = &mut before
            && !one.is_done_there().await
        {
            // The round may be over with it: then these stay begun, and the next one looks at them.
            self.under_way = before.take();
            self.all_written().await;
            if self.engine.next_wake().is_some() {
                return Vec::new();
            }
        }
        let uuids: Vec<EntryUuid> = jobs.iter().map(|job| job.plan.uuid).collect();
        let local = self.parts.local.clone();
        let (tell, answered) = oneshot::channel();
        let mut ended = JoinSet::new();
        ended.spawn(async move { together(&local, &outlet, jobs, Some(tell)).await });
        self.under_way = before;
        let next = UnderWay { answered, ended };
        self.all_written().await;
        self.under_way = Some(next);
        self.step(Input::Sent(uuids));
        Vec::new()
    }

    /// Waits for what is under way, and tells the engine of it.
    pub(super) async fn all_written(&mut self) {
        let Some(mut one) = self.under_way.take() else {
            return;
        };
        while let Some(done) = one.ended.join_next().await {
            match done {
                Ok(ended) => self.written(ended),
                Err(_) => self.step(interrupted()),
            }
        }
    }
}

/// Whether a plan changes nothing but values of an entry that nothing else depends on.
pub(super) fn is_alone(plan: &Plan) -> bool {
    let value = |op: &RemoteOp| {
        matches!(
            op,
            RemoteOp::Set {
                field: Field::DisplayName | Field::Quota | Field::Enabled,
                ..
            }
        )
    };
    plan.ops.is_empty()
        && plan.joined().is_none()
        && plan.standing == Standing::Linked
        && plan.remote.iter().all(value)
}

fn meets_nobody(job: &Job) -> bool {
    is_alone(&job.plan) && matches!(job.writes.as_slice(), [Write::Modify { .. }])
}
