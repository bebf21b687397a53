//! APPEND and delivery.

use super::cell::Cell;
use super::mailboxes::Mail;
use super::message::NewMessage;
use super::txn::{Done, Txn};
use super::types::{Appended, Delivered, Delivery, RepeatKey};
use crate::commit::{Batch, Class, Expect, Op};
use crate::engine::Space;
use crate::{Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, Flags, MailboxName, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

const TRIES: usize = 4;
/// Messages from this size are parsed and digested off the executor's threads.
const LARGE: usize = 256 << 10;
const DAY: u64 = 24 * 60 * 60 * 1000;

type Outcome = Result<Delivered, StoreError>;

impl Mail {
    /// Appends one message (RFC 9051 section 6.3.12). Without a date, now.
    pub async fn append(
        &self,
        name: &MailboxName,
        message: Bytes,
        flags: Flags,
        internal_date: Option<Timestamp>,
    ) -> Result<Appended, StoreError> {
        let now = self.store.clock().now();
        let new = prepare(&message, internal_date.unwrap_or(now), now).await?;
        let account = self.store.account(self.id)?;
        let quota = account.ok_or(StoreError::NotFound("the account"))?.quota;
        self.store
            .write_mail(self.id, message.len(), None, |txn| {
                let mailbox = txn.need(name)?;
                txn.within_quota(quota, u64::from(new.size))?;
                let uid = txn.append(mailbox, &new, &flags)?;
                let key = new.body.0.to_vec();
                txn.ops.push(Op::Put(Space::Body, key, message.clone()));
                Ok(Appended {
                    account: self.id,
                    uid_validity: txn.peek(mailbox)?.row.uid_validity,
                    uid,
                })
            })
            .await
    }
}

impl Store {
    /// Delivers one message to accounts of this server in one durable commit; the body is stored once. The
    /// outcome of each recipient is its own: one that is over quota does not stop the others. Repeated
    /// recipients count once.
    pub async fn deliver_many(
        &self,
        delivery: &Delivery,
        recipients: &[AccountId],
    ) -> Vec<(AccountId, Outcome)> {
        let mut outcomes: BTreeMap<AccountId, Outcome> = BTreeMap::new();
        let now = self.clock().now();
        let new = match prepare(&delivery.message, now, now).await {
            Ok(new) => new,
            Err(error) => return fail(recipients, &error),
        };
        let mut last = StoreError::Conflict;
        for _ in 0..TRIES {
            outcomes.clear();
            match self.try_deliver(delivery, &new, recipients, &mut outcomes).await {
                Ok(()) => {
                    return outcomes.into_iter().collect();
                }
                Err(StoreError::Conflict) => last = StoreError::Conflict,
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        // What was refused for its own reason keeps that reason.
        for outcome in outcomes.values_mut() {
            if matches!(outcome, Ok(Delivered::Stored(_))) {
                *outcome = Err(last.clone());
            }
        }
        for id in recipients {
            outcomes.entry(*id).or_insert_with(|| Err(last.clone()));
        }
        outcomes.into_iter().collect()
    }

    async fn try_deliver(
        &self,
        delivery: &Delivery,
        new: &NewMessage,
        recipients: &[AccountId],
        outcomes: &mut BTreeMap<AccountId, Outcome>,
    ) -> Result<(), StoreError> {
        // In one order everywhere, so that two deliveries never wait for each other.
        let mut ids = recipients.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let cells: Vec<Arc<Cell>> = ids.iter().map(|id| self.cells().get(*id)).collect();
        let slot = self.committer().slot(delivery.message.len()).await?;
        let mut guards = Vec::with_capacity(cells.len());
        for cell in &cells {
            let mut guard = cell.building.lock().await;
            match self.load(cell, &mut guard).await {
                Ok(()) => guards.push((cell, guard)),
                Err(error) => {
                    outcomes.insert(cell.id, Err(error));
                }
            }
        }
        let mut batch = Batch::new(Class::Durable);
        let mut finished: Vec<(usize, Done)> = Vec::new();
        for (index, (cell, guard)) in guards.iter().enumerate() {
            let Some(building) = guard.as_ref() else { continue };
            let mut txn = Txn::new(self, cell.id, building, Class::Durable)?;
            let outcome = self.deliver_one(&mut txn, &mut batch, delivery, new);
            if matches!(outcome, Ok(Delivered::Stored(_))) {
                finished.push((index, txn.finish(cell, &mut batch)));
            }
            outcomes.insert(cell.id, outcome);
        }
        if finished.is_empty() {
            return Ok(());
        }
        let shared = u32::try_from(finished.len() - 1).unwrap_or(u32::MAX);
        if shared > 0 {
            batch.ops.push(Op::Share(new.body, shared));
        }
        batch.put(Space::Body, new.body.0.to_vec(), delivery.message.clone());
        let queued = slot.send(batch);
        for (index, done) in finished {
            if let Some((_, guard)) = guards.get_mut(index)
                && let Some(building) = guard.as_mut()
            {
                done.apply(building);
            }
        }
        drop(guards);
        match queued.committed().await {
            // One of the accounts was erased meanwhile. Built anew, it fails alone.
            Err(StoreError::NotFound(_)) => Err(StoreError::Conflict),
            outcome => outcome,
        }
    }

    fn deliver_one(
        &self,
        txn: &mut Txn<'_>,
        batch: &mut Batch,
        delivery: &Delivery,
        new: &NewMessage,
    ) -> Outcome {
        let id = txn.id;
        let repeat = delivery.repeat.map(|key| digest(&key, id));
        if let Some(digest) = &repeat
            && self.is_repeated(digest)?
        {
            return Ok(Delivered::Repeated);
        }
        let account = self.account(id)?.ok_or(StoreError::NotFound("the account"))?;
        txn.within_quota(account.quota, u64::from(new.size))?;
        let mailbox = match txn.find(&delivery.mailbox) {
            Some(mailbox) => mailbox,
            None => txn.need(&MailboxName::inbox())?,
        };
        let uid = txn.append(mailbox, new, &delivery.flags)?;
        if let Some(digest) = &repeat {
            let now = self.clock().now();
            let key = keys::repeat(day(now), digest);
            // The same message may be on its way over another connection: built anew, it is found.
            batch.expect(Space::Repeat, key.clone(), Expect::Absent, StoreError::Conflict);
            let time = Bytes::copy_from_slice(&now.as_millis().to_be_bytes());
            batch.put(Space::Repeat, key, time);
        }
        Ok(Delivered::Stored(Appended {
            account: id,
            uid_validity: txn.peek(mailbox)?.row.uid_validity,
            uid,
        }))
    }

    fn is_repeated(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let now = self.clock().now();
        let today = day(now);
        for day in [today, today.saturating_sub(1)] {
            let row = self.engine().get(Space::Repeat, &keys::repeat(day, digest))?;
            let time = row.and_then(|row| Some(u64::from_be_bytes(row.as_ref().try_into().ok()?)));
            if time.is_some_and(|time| now.as_millis().saturating_sub(time) < DAY) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The number of the day, for the keys of repeat suppression.
pub(super) fn day(time: Timestamp) -> u32 {
    u32::try_from(time.as_millis() / DAY).unwrap_or(u32::MAX)
}

fn digest(key: &RepeatKey, recipient: AccountId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.0);
    hasher.update(&recipient.get().to_be_bytes());
    *hasher.finalize().as_bytes()
}

fn fail(recipients: &[AccountId], error: &StoreError) -> Vec<(AccountId, Outcome)> {
    recipients.iter().map(|id| (*id, Err(error.clone()))).collect()
}

async fn prepare(message: &Bytes, date: Timestamp, now: Timestamp) -> Result<NewMessage, StoreError> {
    if message.len() < LARGE {
        return NewMessage::prepare(message, date, now);
    }
    let message = message.clone();
    tokio::task::spawn_blocking(move || NewMessage::prepare(&message, date, now))
        .await
        .map_err(|error| StoreError::Engine(error.to_string()))?
}
