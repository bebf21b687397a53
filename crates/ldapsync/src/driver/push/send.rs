//! Sending the writes of jobs, and what their answers mean.

use super::super::names::members_written;
use super::super::outlet::Outlet;
use super::super::rename;
use super::{Ended, Job};
use crate::engine::Outcome;
use crate::local::Local;
use crate::plan::{LocalId, RemoteOp};
use directory::write::{Fate, Write, WriteError, Written};
use model::EntryUuid;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// From so many on, writes share transactions.
pub(super) const BULK: usize = 8;
/// Answers that are written down in one commit.
const NOTED_TOGETHER: usize = 128;

pub(super) type Answer = Result<Written, WriteError>;

/// What is sent together: of writes that share transactions, none is before another. Groups lose their entries before the
/// accounts in them do, or the server may change them because of that, and everything else comes before.
pub(super) fn in_parts(jobs: Vec<Job>) -> [Vec<Job>; 4] {
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
pub(super) async fn in_turns(local: &Local, outlet: &Arc<dyn Outlet>, jobs: Vec<Job>) -> Vec<Option<Ended>> {
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
pub(in super::super) async fn together(
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
pub(super) async fn never_sent<'a>(
    local: &Local,
    jobs: impl IntoIterator<Item = &'a Job>,
) -> Result<(), StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Remote};
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
