//! Reading messages and bodies.

use super::mailbox::Mailbox;
use super::message;
use super::types::Message;
use crate::engine::{Engine, Space};
use crate::{StoreError, keys};
use bytes::Bytes;
use model::{AccountId, Uid};
use std::sync::Arc;

/// Most messages of one call: a snapshot never lives long.
const MESSAGES: usize = 256;
/// Bodies from this size are read off the executor's threads.
const LARGE: u64 = 256 << 10;

impl Mailbox {
    /// What was computed about these messages when they were stored, in the order asked; those that are gone
    /// are left out. At most 256 a call.
    pub async fn messages(&self, uids: &[Uid]) -> Result<Vec<Message>, StoreError> {
        if uids.len() > MESSAGES {
            return Err(StoreError::Limit("messages in one read"));
        }
        let account = self.account();
        let snapshot = self.mail.store.engine().snapshot();
        let mut found = Vec::with_capacity(uids.len());
        for uid in uids {
            let row = snapshot.get(Space::Mail, &keys::message(account, self.id, *uid))?;
            if let Some(row) = row {
                found.push(message::read(account, *uid, &row)?);
            }
        }
        Ok(found)
    }

    /// The whole message, exactly as stored, checked against its digest.
    /// [`StoreError::NotFound`] when it was expunged meanwhile.
    pub async fn body(&self, message: &Message) -> Result<Bytes, StoreError> {
        self.fetch(message, Check::Digest).await
    }

    /// A part of the message, cut to what is there. Not checked against the digest, which covers the whole.
    pub async fn body_range(&self, message: &Message, offset: u64, len: u64) -> Result<Bytes, StoreError> {
        let body = self.fetch(message, Check::Presence).await?;
        let total = body.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(total);
        let end = usize::try_from(offset.saturating_add(len))
            .unwrap_or(usize::MAX)
            .clamp(start, total);
        Ok(body.slice(start..end))
    }

    async fn fetch(&self, message: &Message, check: Check) -> Result<Bytes, StoreError> {
        let job = Job {
            engine: Arc::clone(self.mail.store.engine()),
            account: self.account(),
            row: keys::message(self.account(), self.id, message.uid),
            message: message.clone(),
            check,
        };
        if message.size < LARGE {
            return job.run();
        }
        tokio::task::spawn_blocking(move || job.run())
            .await
            .map_err(|error| StoreError::Engine(error.to_string()))?
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Digest,
    Presence,
}

struct Job {
    engine: Arc<Engine>,
    account: AccountId,
    row: Vec<u8>,
    message: Message,
    check: Check,
}

impl Job {
    fn run(self) -> Result<Bytes, StoreError> {
        let corrupt = || StoreError::Corrupt {
            account: Some(self.account),
            what: format!("body {}", self.message.email_id),
        };
        let Some(body) = self.engine.get(Space::Body, &self.message.body.0)? else {
            // Gone with its message, or lost.
            return match self.engine.get(Space::Mail, &self.row)? {
                Some(_) => Err(corrupt()),
                None => Err(StoreError::NotFound("the message")),
            };
        };
        let whole = body.len() as u64 == self.message.size;
        let good = self.check == Check::Presence || *blake3::hash(&body).as_bytes() == self.message.digest;
        if whole && good { Ok(body) } else { Err(corrupt()) }
    }
}
