//! Many writes: in transactions where the server offers them (RFC 5805), else a few at a time.

use super::lane::Lane;
use super::openldap::OURS;
use super::outcome::written;
use super::request::{self, Swap};
use super::{Edit, Target, Write, WriteError, Writer, Written};
use crate::config::ServerType;
use ldap::control::{Control, PostRead, PreRead};
use ldap::message::{Add, Modify, ModifyDn};
use ldap::{Entry, LdapError, Request, TransactionError};
use std::sync::Arc;
use tokio::task::JoinSet;

/// What is left to be written, with its place in the answer.
type Numbered = (usize, Write);
type Answers = Vec<Option<Result<Written, WriteError>>>;

impl Writer {
    /// Carries out many writes, each under its own conditions and with its own answer, in the given order. They
    /// share commits where the server offers transactions, so one that cannot be done makes its whole batch
    /// be written one by one: each is then guarded by its own conditions again, and what the answers hold is
    /// what the entries are, whatever a listener has seen of the attempt.
    ///
    /// Without transactions some run side by side: writes that need one another belong in separate calls.
    pub async fn write_all(
        self: &Arc<Self>,
        writes: Vec<Write>,
        read_back: &[String],
    ) -> Vec<Result<Written, WriteError>> {
        let mut answers: Answers = Vec::new();
        answers.resize_with(writes.len(), || None);
        let size = usize::from(self.connector.config().writes.transaction);
        let mut rest: Vec<Numbered> = writes.into_iter().enumerate().collect();
        if size > 1 && rest.len() > 1 && self.server_type() == ServerType::Openldap {
            rest = self.in_batches(rest, size, read_back, &mut answers).await;
        }
        self.side_by_side(rest, read_back, &mut answers).await;
        let missing = || Err(self.lanes.not_done("the task ended early"));
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(missing))
            .collect()
    }

    /// Writes what it can in transactions; gives back what is to be written one by one.
    async fn in_batches(
        self: &Arc<Self>,
        writes: Vec<Numbered>,
        size: usize,
        read_back: &[String],
        answers: &mut Answers,
    ) -> Vec<Numbered> {
        let names = request::read_back(read_back, &OURS);
        let _alone = self.lanes.bulk.lock().await;
        let lane = match self.lanes.open().await {
            Ok(lane) if lane.facts.transactions => lane,
            // Whatever is the matter, the single writes will say it.
            _ => return writes,
        };
        let mut left = writes.into_iter();
        let mut singles = Vec::new();
        loop {
            let batch: Vec<Numbered> = left.by_ref().take(size).collect();
            if batch.is_empty() {
                return singles;
            }
            match self.batch(&lane, &batch, &names).await {
                Ok(done) => {
                    for ((number, _), written) in batch.iter().zip(done) {
                        if let Some(place) = answers.get_mut(*number) {
                            *place = Some(written);
                        }
                    }
                }
                Err(Failed::NothingDone) => {
                    // In order: what comes later may need what is here.
                    for (number, write) in batch {
                        let answer = self.write(&write, read_back).await;
                        if let Some(place) = answers.get_mut(number) {
                            *place = Some(answer);
                        }
                    }
                }
                Err(Failed::Unknown(error)) => {
                    for (number, _) in batch {
                        if let Some(place) = answers.get_mut(number) {
                            *place = Some(Err(self.lanes.lost_write(&lane, &error)));
                        }
                    }
                }
            }
            if lane.client.is_closed() {
                singles.extend(left);
                return singles;
            }
        }
    }

    async fn batch(
        &self,
        lane: &Lane,
        batch: &[Numbered],
        names: &[String],
    ) -> Result<Vec<Result<Written, WriteError>>, Failed> {
        let updates = batch
            .iter()
            .map(|(_, write)| self.update(write))
            .collect::<Option<Vec<_>>>()
            .ok_or(Failed::NothingDone)?;
        let place = self.lanes.place().await.map_err(|_| Failed::NothingDone)?;
        let mut transaction = lane.client.begin().await.map_err(|_| Failed::NothingDone)?;
        if let Err(TransactionError { error, update }) = transaction.update(updates).await {
            tracing::debug!(%error, ?update, "a batch is not taken");
            // Not committed, so nothing is done, even when the connection is gone.
            if transaction.abort().await.is_err() {
                lane.client.close();
            }
            place.answered(Some(&error));
            return Err(Failed::NothingDone);
        }
        match transaction.commit().await {
            Ok(controls) => {
                place.untimed();
                let mut done = Vec::with_capacity(batch.len());
                for ((_, write), controls) in batch.iter().zip(controls) {
                    done.push(self.result(lane, write, &controls, names).await);
                }
                Ok(done)
            }
            Err(TransactionError { error, update }) => {
                place.answered(Some(&error));
                if error.code().is_none() {
                    return Err(Failed::Unknown(error));
                }
                tracing::debug!(%error, ?update, "a batch is refused");
                Err(Failed::NothingDone)
            }
        }
    }

    /// The request of one write, or none when it needs a look first. OpenLDAP refuses the pre-read and post-read
    /// controls inside of a transaction, so the entries are read when it is done.
    fn update(&self, write: &Write) -> Option<(Request, Vec<Control>)> {
        let host = self.connector.patterns().map.host.as_deref();
        let (target, precondition, request) = match write {
            Write::Add(new) => {
                let request = Request::Add(Add {
                    dn: new.dn().to_string(),
                    attributes: new.attributes.clone(),
                });
                return Some((request, Vec::new()));
            }
            Write::Modify {
                target,
                precondition,
                changes,
            } => {
                if changes
                    .iter()
                    .any(|change| matches!(change.edit, Edit::Replace(_)))
                {
                    return None;
                }
                let changes = request::modifications(changes, &Entry::default(), Swap::Whole);
                if changes.is_empty() {
                    return None;
                }
                let dn = target.dn.clone();
                let request = Request::Modify(Modify { dn, changes });
                (target, precondition, request)
            }
            Write::Rename {
                target,
                precondition,
                rdn,
                new_parent,
            } => {
                let request = Request::ModifyDn(ModifyDn {
                    dn: target.dn.clone(),
                    new_rdn: rdn.to_string(),
                    delete_old_rdn: true,
                    new_superior: new_parent.as_ref().map(ToString::to_string),
                });
                (target, precondition, request)
            }
            Write::Delete { target, precondition } => {
                (target, precondition, Request::Delete(target.dn.clone()))
            }
        };
        let filter = request::assertion(target.uuid, precondition, host);
        Some((request, request::conditions(filter)))
    }

    /// What one update of a committed transaction left behind.
    async fn result(
        &self,
        lane: &Lane,
        write: &Write,
        controls: &[Control],
        names: &[String],
    ) -> Result<Written, WriteError> {
        let (uuid, dn) = match write {
            Write::Delete { target, .. } => {
                let entry = match PreRead::find(controls) {
                    Ok(Some(PreRead(entry))) => entry,
                    _ => Entry::new(target.dn.clone()),
                };
                return Ok(Self::gone(target, entry));
            }
            Write::Add(new) => (None, new.dn().to_string()),
            Write::Modify { target, .. } | Write::Rename { target, .. } => {
                (Some(target.uuid), target.dn.clone())
            }
        };
        if let Ok(Some(PostRead(entry))) = PostRead::find(controls)
            && let Some(written) = written(entry, uuid)
        {
            return Ok(written);
        }
        let read = match uuid {
            Some(uuid) => self.look(lane, uuid, &dn, names).await,
            None => self.at(lane, &dn, names).await,
        };
        let entry = read.map_err(WriteError::but_done)?;
        entry
            .and_then(|entry| written(entry, uuid))
            .ok_or_else(|| self.unreadable(&dn))
    }

    fn gone(target: &Target, entry: Entry) -> Written {
        Written {
            uuid: target.uuid,
            dn: target.dn.clone(),
            csn: None,
            entry,
        }
    }

    /// Single writes; how many are under way is the budget's to say.
    async fn side_by_side(
        self: &Arc<Self>,
        writes: Vec<Numbered>,
        read_back: &[String],
        answers: &mut Answers,
    ) {
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
                None => return,
                Some(Ok((number, answer))) => {
                    if let Some(place) = answers.get_mut(number) {
                        *place = Some(answer);
                    }
                }
                Some(Err(error)) => tracing::error!(%error, "a write ended early"),
            }
        }
    }
}

/// What became of a batch that is not done.
enum Failed {
    NothingDone,
    /// The commit was sent and its answer never came.
    Unknown(LdapError),
}
