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
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Entries that are read back at once when a transaction is done.
const READS: usize = 16;
/// Looks, one after the other, before a transaction is ended.
const SETTLING_LOOKS: u32 = 4;
/// A rest beside them. By default a hundred commits a second are allowed, so this one costs next to nothing.
const SETTLING_TIME: Duration = Duration::from_millis(10);
/// Of so many writes a batch may lose one before the rest of it is written one by one, and a few in any case.
const BLAMED_OF: usize = 25;
const BLAMED: usize = 4;
/// Writes that go alone at most before the others, because of attributes that nothing was known to have.
const PIONEERS: usize = 16;

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

/// Writes that wait for a transaction, of whichever connection comes first.
struct Shared {
    size: usize,
    left: Mutex<std::vec::IntoIter<Member>>,
}

impl Shared {
    fn take(&self) -> Vec<Member> {
        self.left.lock().by_ref().take(self.size).collect()
    }
}

/// Where answers go as they come, each with the number of its write.
pub type Answered = mpsc::UnboundedSender<(usize, Result<Written, WriteError>)>;

/// The same inside of this module. Bounded by the writes: each has one answer.
#[derive(Clone)]
struct Answers(Answered);

impl Answers {
    fn set(&self, number: usize, answer: Answer) {
        // Whoever asked may have gone.
        let _ = self.0.send((number, answer));
    }

    fn all(&self, answers: impl IntoIterator<Item = (usize, Answer)>) {
        for (number, answer) in answers {
            self.set(number, answer);
        }
    }
}

impl Writer {
    /// Carries out many writes, as [`Writer::write_each`] does; the answers are in the order of the writes.
    pub async fn write_all(self: &Arc<Self>, writes: Vec<Write>, read_back: &[String]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = Vec::new();
        answers.resize_with(writes.len(), || None);
        let (answered, mut coming) = mpsc::unbounded_channel();
        Box::pin(self.write_each(writes, read_back, answered)).await;
        while let Some((number, answer)) = coming.recv().await {
            if let Some(place) = answers.get_mut(number) {
                *place = Some(answer);
            }
        }
        let missing = || Err(self.lanes.not_done("the task ended early"));
        let answers = answers.into_iter();
        answers.map(|answer| answer.unwrap_or_else(missing)).collect()
    }

    /// Carries out many writes, each under its own conditions and with its own answer, which is told at once. They share
    /// commits where the server offers transactions; one that cannot be done is taken out of its batch and written by
    /// itself, so what the answers hold is what the entries are, whatever a listener has seen of the attempt. A new entry,
    /// and what needs a look at the entry first (a replacement, a new member), is written by itself too.
    ///
    /// They may happen in any order: writes that need one another belong in separate calls.
    pub async fn write_each(self: &Arc<Self>, writes: Vec<Write>, read_back: &[String], answered: Answered) {
        let answers = Answers(answered);
        let size = usize::from(self.connector.config().writes.transaction);
        let transactions = size > 1 && self.server_type() == ServerType::Openldap;
        let (mut shared, mut singles) = (Vec::new(), Vec::new());
        for (number, write) in self.pioneers(writes, read_back, &answers).await {
            let update = match transactions && self.lanes.knows_attributes(&write) {
                true => self.update(&write),
                false => None,
            };
            match update {
                Some(update) => shared.push(Member {
                    number,
                    write,
                    update,
                }),
                None => singles.push((number, write)),
            }
        }
        if shared.len() > 1 {
            shared = Box::pin(self.in_batches(shared, size, read_back, &answers)).await;
        }
        singles.extend(shared.into_iter().map(Member::alone));
        self.side_by_side(singles, read_back, &answers).await;
    }

    /// Those that are left when the first to bring each attribute has gone alone. slapd (2.5.13) forgets, until it is started
    /// anew, an attribute that an entry has for the first time in the database when another write fails beside it
    /// (docs/design/0007): then it can read none of the entries that have it.
    async fn pioneers(&self, writes: Vec<Write>, read_back: &[String], answers: &Answers) -> Vec<Numbered> {
        let mut writes: Vec<Numbered> = writes.into_iter().enumerate().collect();
        if self.server_type() != ServerType::Openldap {
            return writes;
        }
        for _ in 0..PIONEERS {
            let known = |(_, write): &Numbered| self.lanes.knows_attributes(write);
            let Some(at) = writes.iter().position(|write| !known(write)) else {
                break;
            };
            let (number, write) = writes.remove(at);
            let answer = Box::pin(self.write(&write, read_back)).await;
            if answer.is_ok() {
                self.lanes.note_attributes(&write);
            }
            answers.set(number, answer);
        }
        writes
    }

    /// Writes them in transactions; gives back what is to be written one by one. Two are under way, each on a connection
    /// of its own: while one rests before its end, or waits for the disk, the other is filled.
    async fn in_batches(
        self: &Arc<Self>,
        writes: Vec<Member>,
        size: usize,
        read_back: &[String],
        answers: &Answers,
    ) -> Vec<Member> {
        let _alone = self.lanes.bulk.lock().await;
        let batches = writes.len().div_ceil(size).max(1);
        let shared = Shared {
            size: writes.len().div_ceil(batches),
            left: Mutex::new(writes.into_iter()),
        };
        // Where there is no connection nothing is written: the single writes will say what is the matter.
        if let Ok(lane) = self.lanes.open().await {
            let server = lane.server;
            let other = async {
                if batches > 1
                    && let Some(lane) = self.lanes.beside(server).await
                {
                    self.batch_after_batch(lane, &shared, read_back, answers).await;
                }
            };
            tokio::join!(self.batch_after_batch(lane, &shared, read_back, answers), other);
        }
        shared.left.into_inner().collect()
    }

    /// One connection's part of them.
    async fn batch_after_batch(
        self: &Arc<Self>,
        lane: Lane,
        shared: &Shared,
        read_back: &[String],
        answers: &Answers,
    ) {
        if !lane.facts.transactions {
            return;
        }
        // What the batch before left behind is read while the next one is sent.
        let mut committed = Vec::new();
        while !lane.client.is_closed() {
            let batch = shared.take();
            if batch.is_empty() {
                break;
            }
            let before = std::mem::take(&mut committed);
            let reading = self.read_all(&lane, before, read_back, answers);
            let sending = self.one_batch(&lane, batch, read_back, answers);
            ((), committed) = tokio::join!(reading, sending);
        }
        self.read_all(&lane, committed, read_back, answers).await;
        if !lane.client.is_closed() {
            lane.client.close();
        }
    }

    /// One batch, without those of it that the server blames: these are written by themselves. Gives back what was
    /// committed and is still to be read.
    async fn one_batch(
        self: &Arc<Self>,
        lane: &Lane,
        mut batch: Vec<Member>,
        read_back: &[String],
        answers: &Answers,
    ) -> Vec<Member> {
        for _ in 0..=batch.len().div_ceil(BLAMED_OF).max(BLAMED) {
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
                    answers.all(batch.into_iter().map(|member| {
                        let error = self.lanes.lost_write(lane, &error);
                        (member.number, Err(error))
                    }));
                    return Vec::new();
                }
            };
            answers.set(blamed.number, self.write(&blamed.write, read_back).await);
            if batch.len() < 2 {
                break;
            }
        }
        let rest = batch.into_iter().map(Member::alone).collect();
        self.side_by_side(rest, read_back, answers).await;
        Vec::new()
    }

    async fn transaction(&self, lane: &Lane, batch: &[Member]) -> Result<(), Failed> {
        let mut transaction = lane.client.begin().await.map_err(|_| Failed::NothingDone(None))?;
        let updates = batch
            .iter()
            .map(|member| (member.update.request.clone(), member.update.conditions.clone()))
            .collect();
        let taken = transaction.update(updates).await;
        let settled = settle(lane).await;
        // What costs the server is the end: that has its turn, and not the filling before it.
        let place = self.lanes.place().await;
        let taken = taken.and(settled.map_err(TransactionError::from));
        let place = match (place, taken) {
            (Ok(place), Ok(())) => place,
            (place, taken) => {
                tracing::debug!(?taken, "a batch is not taken");
                // Not committed, so nothing is done, even when the connection is gone.
                if transaction.abort().await.is_err() {
                    lane.client.close();
                }
                let failed = taken.err();
                if let (Ok(place), Some(failed)) = (place, &failed) {
                    place.answered(Some(&failed.error));
                }
                return Err(Failed::NothingDone(failed.and_then(|failed| failed.update)));
            }
        };
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
        answers: &Answers,
    ) {
        let names: Arc<[String]> = read_back.into();
        let mut running = JoinSet::new();
        for Member { number, update, .. } in batch {
            let Target { uuid, dn } = update.target;
            let now_at = match update.now_at {
                Some(now_at) if !names.is_empty() => now_at,
                gone_or_unasked => {
                    answers.set(number, Ok(unseen(uuid, gone_or_unasked.unwrap_or(dn))));
                    continue;
                }
            };
            if running.len() >= READS {
                ended_well(running.join_next().await);
            }
            let (writer, lane, names) = (Arc::clone(self), lane.clone(), Arc::clone(&names));
            let answers = answers.clone();
            running.spawn(async move {
                answers.set(number, writer.read_one(&lane, uuid, &now_at, &names).await);
            });
        }
        while let Some(done) = running.join_next().await {
            ended_well(Some(done));
        }
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
    async fn side_by_side(self: &Arc<Self>, writes: Vec<Numbered>, read_back: &[String], answers: &Answers) {
        let window = usize::from(self.connector.config().writes.window).min(writes.len());
        let left = Arc::new(Mutex::new(writes.into_iter()));
        if window <= 1 {
            // The next one follows the answer at once: no other task is woken in between.
            return self.one_by_one(&left, read_back, answers).await;
        }
        let names: Arc<[String]> = read_back.into();
        let mut running = JoinSet::new();
        for _ in 0..window {
            let (writer, left, names) = (Arc::clone(self), Arc::clone(&left), Arc::clone(&names));
            let answers = answers.clone();
            running.spawn(async move { writer.one_by_one(&left, &names, &answers).await });
        }
        while let Some(done) = running.join_next().await {
            ended_well(Some(done));
        }
    }

    async fn one_by_one(
        &self,
        left: &Mutex<std::vec::IntoIter<Numbered>>,
        read_back: &[String],
        answers: &Answers,
    ) {
        loop {
            let next = left.lock().next();
            let Some((number, write)) = next else { return };
            answers.set(number, self.write(&write, read_back).await);
        }
    }
}

/// A task that panicked leaves a write without an answer, which whoever waits for it sees.
fn ended_well(done: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = done {
        tracing::error!(%error, "a write ended early");
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
