//! Many writes: in transactions where the server offers them (RFC 5805), else a few at a time.
//!
//! New entries are never part of a transaction. slapd (2.5.13) goes on working on an add after it has answered that
//! the transaction has it, and is killed by the commit when that comes too soon (docs/design/0007). A client cannot
//! know when it is late enough, and a directory is worth more than the time.

use super::facts::Facts;
use super::lane::Lane;
use super::openldap::renamed;
use super::request::{self, Swap};
use super::{Edit, Target, Write, WriteError, Writer, Written};
use crate::config::ServerType;
use crate::placeholder;
use ldap::control::Control;
use ldap::message::{Modify, ModifyDn};
use ldap::{Entry, LdapError, Request, TransactionError};
use model::EntryUuid;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Entries that are read back at once when a transaction is done.
const READS: usize = 16;
/// Looks, one after the other, before a transaction is ended.
const SETTLING_LOOKS: u32 = 4;
/// A rest beside them. By default a hundred commits a second are allowed, so this one costs next to nothing.
const SETTLING_TIME: Duration = Duration::from_millis(10);
/// Writes that one batch may lose before the rest of it is written one by one.
const MAX_BLAMED: usize = 4;

/// What is left to be written, with its place in the answer.
type Numbered = (usize, Write);
type Answer = Result<Written, WriteError>;

/// One write of a transaction.
struct Member {
    number: usize,
    write: Write,
    update: Update,
}

impl Member {
    fn alone(self) -> Numbered {
        (self.number, self.write)
    }
}

/// What a transaction needs to know of a write.
struct Update {
    request: Request,
    conditions: Vec<Control>,
    target: Target,
    /// Where the entry is afterwards, unless it is deleted.
    now_at: Option<String>,
}

/// The answers so far, in the order of the writes.
struct Answers(Vec<Option<Answer>>);

impl Answers {
    fn set(&mut self, number: usize, answer: Answer) {
        if let Some(place) = self.0.get_mut(number) {
            *place = Some(answer);
        }
    }
}

impl Writer {
    /// Carries out many writes, each under its own conditions and with its own answer. They share commits where
    /// the server offers transactions; one that cannot be done is taken out of its batch and written by itself,
    /// so what the answers hold is what the entries are, whatever a listener has seen of the attempt. A new entry,
    /// and what needs a look at the entry first (a replacement, a new member), is written by itself too.
    ///
    /// They may happen in any order: writes that need one another belong in separate calls.
    pub async fn write_all(self: &Arc<Self>, writes: Vec<Write>, read_back: &[String]) -> Vec<Answer> {
        let mut answers = Answers(Vec::new());
        answers.0.resize_with(writes.len(), || None);
        let size = usize::from(self.connector.config().writes.transaction);
        let transactions = size > 1 && self.server_type() == ServerType::Openldap;
        let (mut shared, mut singles) = (Vec::new(), Vec::new());
        for (number, write) in writes.into_iter().enumerate() {
            match self.update(&write).filter(|_| transactions) {
                Some(update) => shared.push(Member {
                    number,
                    write,
                    update,
                }),
                None => singles.push((number, write)),
            }
        }
        if shared.len() > 1 {
            shared = self.in_batches(shared, size, read_back, &mut answers).await;
        }
        singles.extend(shared.into_iter().map(Member::alone));
        for (number, answer) in self.side_by_side(singles, read_back).await {
            answers.set(number, answer);
        }
        let missing = || Err(self.lanes.not_done("the task ended early"));
        let answers = answers.0.into_iter();
        answers.map(|answer| answer.unwrap_or_else(missing)).collect()
    }

    /// Writes them in transactions; gives back what is to be written one by one.
    async fn in_batches(
        self: &Arc<Self>,
        writes: Vec<Member>,
        size: usize,
        read_back: &[String],
        answers: &mut Answers,
    ) -> Vec<Member> {
        let _alone = self.lanes.bulk.lock().await;
        let lane = match self.lanes.open().await {
            Ok(lane) if lane.facts.transactions => lane,
            // Whatever is the matter, the single writes will say it.
            _ => return writes,
        };
        let mut left = writes.into_iter();
        // What the batch before left behind is read while the next one is sent.
        let mut committed = Vec::new();
        loop {
            let more = if lane.client.is_closed() { 0 } else { size };
            let batch: Vec<Member> = left.by_ref().take(more).collect();
            let last = batch.is_empty();
            let before = std::mem::take(&mut committed);
            let mut attempt = Vec::new();
            let reading = self.read_all(&lane, before, read_back);
            let sending = async {
                if !last {
                    committed = self.one_batch(&lane, batch, read_back, &mut attempt).await;
                }
            };
            let (read, ()) = tokio::join!(reading, sending);
            for (number, answer) in read.into_iter().chain(attempt) {
                answers.set(number, answer);
            }
            if last {
                break;
            }
        }
        if !lane.client.is_closed() {
            lane.client.close();
        }
        left.collect()
    }

    /// One batch, without those of it that the server blames: these are written by themselves. Gives back what was
    /// committed and is still to be read.
    async fn one_batch(
        self: &Arc<Self>,
        lane: &Lane,
        mut batch: Vec<Member>,
        read_back: &[String],
        answers: &mut Vec<(usize, Answer)>,
    ) -> Vec<Member> {
        for _ in 0..=MAX_BLAMED {
            let failed = match self.transaction(lane, &batch).await {
                Ok(()) => return batch,
                Err(failed) => failed,
            };
            let blamed = match failed {
                Failed::NothingDone(Some(blamed)) if blamed < batch.len() && !lane.client.is_closed() => {
                    batch.remove(blamed)
                }
                Failed::NothingDone(_) => break,
                Failed::Unknown(error) => {
                    let lost = batch.into_iter().map(|member| {
                        let error = self.lanes.lost_write(lane, &error);
                        (member.number, Err(error))
                    });
                    answers.extend(lost);
                    return Vec::new();
                }
            };
            answers.push((blamed.number, self.write(&blamed.write, read_back).await));
            if batch.len() < 2 {
                break;
            }
        }
        let rest = batch.into_iter().map(Member::alone).collect();
        answers.extend(self.side_by_side(rest, read_back).await);
        Vec::new()
    }

    async fn transaction(&self, lane: &Lane, batch: &[Member]) -> Result<(), Failed> {
        let place = self.lanes.place().await.map_err(|_| Failed::NothingDone(None))?;
        let mut transaction = lane.client.begin().await.map_err(|_| Failed::NothingDone(None))?;
        let updates = batch
            .iter()
            .map(|member| (member.update.request.clone(), member.update.conditions.clone()))
            .collect();
        let taken = transaction.update(updates).await;
        let settled = settle(lane).await;
        if let Err(TransactionError { error, update }) = taken.and(settled.map_err(TransactionError::from)) {
            tracing::debug!(%error, ?update, "a batch is not taken");
            // Not committed, so nothing is done, even when the connection is gone.
            if transaction.abort().await.is_err() {
                lane.client.close();
            }
            place.answered(Some(&error));
            return Err(Failed::NothingDone(update));
        }
        match transaction.commit().await {
            Ok(_) => {
                lane.served();
                place.untimed();
                tracing::debug!(updates = batch.len(), "a batch is committed");
                Ok(())
            }
            Err(TransactionError { error, update }) => {
                place.answered(Some(&error));
                if error.code().is_none() {
                    return Err(Failed::Unknown(error));
                }
                lane.served();
                tracing::debug!(%error, ?update, "a batch is refused");
                Err(Failed::NothingDone(update))
            }
        }
    }

    /// The request of one write in a transaction; none when it cannot be part of one. What is replaced may be so
    /// already, and a group may have a placeholder that goes: that needs a look first. OpenLDAP refuses the pre-read
    /// and post-read controls inside of a transaction, so what is asked for is read when it is done.
    fn update(&self, write: &Write) -> Option<Update> {
        let patterns = self.connector.patterns();
        let (target, precondition, request, now_at) = match write {
            Write::Add(_) => return None,
            Write::Modify {
                target,
                precondition,
                changes,
            } => {
                let held = |attribute: &str| {
                    let groups = patterns.groups.as_ref();
                    attribute.eq_ignore_ascii_case(&patterns.map.members)
                        && groups.is_some_and(|groups| placeholder::is_needed(groups.object_class()))
                };
                if changes
                    .iter()
                    .any(|change| matches!(change.edit, Edit::Replace(_)) || held(&change.attribute))
                {
                    return None;
                }
                let changes = request::modifications(changes, &Entry::default(), Swap::Whole);
                if changes.is_empty() {
                    return None;
                }
                let dn = target.dn.clone();
                let request = Request::Modify(Modify { dn, changes });
                (target, precondition, request, Some(target.dn.clone()))
            }
            Write::Rename {
                target,
                precondition,
                rdn,
                new_parent,
            } => {
                let new = renamed(&target.dn, rdn, new_parent.as_ref())?.to_string();
                if new == target.dn {
                    return None;
                }
                let request = Request::ModifyDn(ModifyDn {
                    dn: target.dn.clone(),
                    new_rdn: rdn.to_string(),
                    delete_old_rdn: true,
                    new_superior: new_parent.as_ref().map(ToString::to_string),
                });
                (target, precondition, request, Some(new))
            }
            Write::Delete { target, precondition } => {
                (target, precondition, Request::Delete(target.dn.clone()), None)
            }
        };
        let filter = request::assertion(target.uuid, precondition, patterns.map.host.as_deref());
        Some(Update {
            request,
            conditions: request::conditions(filter),
            target: target.clone(),
            now_at,
        })
    }

    /// What the writes of a committed transaction left behind. Their versions are not known: a look after the commit
    /// may show the version that somebody else has made since.
    async fn read_all(
        self: &Arc<Self>,
        lane: &Lane,
        batch: Vec<Member>,
        read_back: &[String],
    ) -> Vec<(usize, Answer)> {
        let names: Arc<[String]> = read_back.into();
        let (mut answers, mut running) = (Vec::with_capacity(batch.len()), JoinSet::new());
        for Member { number, update, .. } in batch {
            let Target { uuid, dn } = update.target;
            let now_at = match update.now_at {
                Some(now_at) if !names.is_empty() => now_at,
                gone_or_unasked => {
                    answers.push((number, Ok(unseen(uuid, gone_or_unasked.unwrap_or(dn)))));
                    continue;
                }
            };
            if running.len() >= READS
                && let Some(Ok(answer)) = running.join_next().await
            {
                answers.push(answer);
            }
            let (writer, lane, names) = (Arc::clone(self), lane.clone(), Arc::clone(&names));
            running.spawn(async move { (number, writer.read_one(&lane, uuid, &now_at, &names).await) });
        }
        while let Some(done) = running.join_next().await {
            match done {
                Ok(answer) => answers.push(answer),
                Err(error) => tracing::error!(%error, "a look ended early"),
            }
        }
        answers
    }

    async fn read_one(&self, lane: &Lane, uuid: EntryUuid, dn: &str, names: &[String]) -> Answer {
        match self.look(lane, uuid, dn, names).await {
            Ok(Some(entry)) => Ok(Written {
                dn: entry.dn.clone(),
                entry,
                ..unseen(uuid, String::new())
            }),
            Ok(None) => Err(self.unreadable(dn)),
            Err(error) => Err(error.but_done()),
        }
    }

    /// Single writes; how many are under way is the budget's to say.
    async fn side_by_side(
        self: &Arc<Self>,
        writes: Vec<Numbered>,
        read_back: &[String],
    ) -> Vec<(usize, Answer)> {
        let mut answers = Vec::with_capacity(writes.len());
        let window = usize::from(self.connector.config().writes.window);
        let names: Arc<[String]> = read_back.into();
        let mut running = JoinSet::new();
        let mut left = writes.into_iter();
        loop {
            while running.len() < window
                && let Some((number, write)) = left.next()
            {
                let (writer, names) = (Arc::clone(self), Arc::clone(&names));
                running.spawn(async move { (number, writer.write(&write, &names).await) });
            }
            match running.join_next().await {
                None => return answers,
                Some(Ok(answer)) => answers.push(answer),
                Some(Err(error)) => tracing::error!(%error, "a write ended early"),
            }
        }
    }
}

/// Lets the server finish with the updates of a transaction before their end is sent. A thread of slapd that has sent
/// a receipt is not done with its update yet, and the end frees it under its hands: at once when it is a refusal or
/// an abort (docs/design/0007). Nothing that a client may ask says that a thread has let go. But a thread that can run
/// does so within the time in which others are woken, do their work and answer, one after the other, however busy
/// the machine; and at an idle one it takes microseconds.
async fn settle(lane: &Lane) -> Result<(), LdapError> {
    for _ in 0..SETTLING_LOOKS {
        Facts::look(&lane.client).await?;
    }
    tokio::time::sleep(SETTLING_TIME).await;
    Ok(())
}

/// An entry that was written and has not been looked at since.
fn unseen(uuid: EntryUuid, dn: String) -> Written {
    Written {
        uuid,
        csn: None,
        entry: Entry::new(dn.clone()),
        dn,
    }
}

/// What became of a batch that is not done.
enum Failed {
    /// Nothing of it; the write to blame, where the server says which.
    NothingDone(Option<usize>),
    /// The commit was sent and its answer never came.
    Unknown(LdapError),
}
