//! The maildrop: INBOX as it was at login (RFC 1939 section 4).
//!
//! Message numbers are sequence numbers of one immutable snapshot, so nothing that other sessions do moves them.
//! What another session removed meanwhile can no longer be read, and that is said.

use super::reply::MessageError;
use super::service::Hold;
use bytes::Bytes;
use model::{MailboxName, Uid, UidValidity};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use store::{Mail, Mailbox, Snapshot, StoreError};

/// One message as the listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) uid: Uid,
    pub(super) size: u64,
    validity: UidValidity,
}

impl Entry {
    /// The unique id (RFC 1939 section 7): UID and UIDVALIDITY, the form that Dovecot has by default, so that a
    /// mailbox that came from there with its UIDs is not downloaded again.
    pub(super) fn unique_id(&self) -> String {
        format!("{:08x}{:08x}", self.uid.get(), self.validity.get())
    }
}

/// The maildrop of one session.
pub(super) struct Maildrop {
    mailbox: Mailbox,
    snapshot: Arc<Snapshot>,
    /// Numbers that DELE marked.
    deleted: BTreeSet<u32>,
    /// Octets of the messages that are not marked.
    octets: u64,
    /// The claim on the maildrop, where only one session may have it; it ends with the session.
    _hold: Hold,
}

impl fmt::Debug for Maildrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maildrop")
            .field("messages", &self.snapshot.len())
            .field("deleted", &self.deleted)
            .finish_non_exhaustive()
    }
}

impl Maildrop {
    /// Opens INBOX and takes the snapshot.
    pub(super) async fn open(mail: Mail, hold: Hold) -> Result<Self, StoreError> {
        let mailbox = mail.open(&MailboxName::inbox()).await?;
        let snapshot = mailbox.snapshot();
        Ok(Self {
            octets: snapshot.size(),
            mailbox,
            snapshot,
            deleted: BTreeSet::new(),
            _hold: hold,
        })
    }

    /// Messages that are not marked, and their octets.
    pub(super) fn totals(&self) -> (usize, u64) {
        let all = usize::try_from(self.snapshot.len()).unwrap_or(usize::MAX);
        (all.saturating_sub(self.deleted.len()), self.octets)
    }

    /// The messages that are not marked, with their numbers.
    pub(super) fn present(&self) -> impl Iterator<Item = (u32, Entry)> + '_ {
        self.snapshot
            .iter()
            .filter(|message| !self.deleted.contains(&message.seq))
            .map(|message| (message.seq, self.shown(&message)))
    }

    /// One message that is not marked.
    pub(super) fn entry(&self, number: u32) -> Result<Entry, MessageError> {
        match self.snapshot.by_seq(number) {
            Some(message) if !self.deleted.contains(&number) => Ok(self.shown(&message)),
            _ => Err(MessageError::NoSuchMessage),
        }
    }

    fn shown(&self, message: &store::Entry) -> Entry {
        Entry {
            uid: message.uid,
            size: message.size,
            validity: self.snapshot.uid_validity(),
        }
    }

    /// The bytes of a message.
    pub(super) async fn read(&self, number: u32) -> Result<Bytes, MessageError> {
        let entry = self.entry(number)?;
        // Gone before the row was read, or between the row and the body.
        let message = self
            .mailbox
            .messages(&[entry.uid])
            .await?
            .pop()
            .ok_or(MessageError::Gone)?;
        match self.mailbox.body(&message).await {
            Err(StoreError::NotFound(_)) => Err(MessageError::Gone),
            other => Ok(other?),
        }
    }

    /// DELE.
    pub(super) fn mark_deleted(&mut self, number: u32) -> Result<(), MessageError> {
        let entry = self.entry(number)?;
        self.deleted.insert(number);
        self.octets = self.octets.saturating_sub(entry.size);
        Ok(())
    }

    /// RSET.
    pub(super) fn unmark_all(&mut self) {
        self.deleted.clear();
        self.octets = self.snapshot.size();
    }

    /// The UPDATE state: removes what is marked, in one commit, and says how many.
    pub(super) async fn update(&mut self) -> Result<usize, StoreError> {
        let uids: Vec<Uid> = self
            .deleted
            .iter()
            .filter_map(|number| self.snapshot.by_seq(*number))
            .map(|message| message.uid)
            .collect();
        if uids.is_empty() {
            return Ok(0);
        }
        let removed = self.mailbox.remove(&uids).await?;
        Ok(removed.len())
    }
}
