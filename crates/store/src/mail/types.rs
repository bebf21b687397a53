//! What mail operations take and return.

use model::{
    AccountId, BodyStructure, Envelope, Flags, MailboxName, ModSeq, SpecialUse, Timestamp, Uid, UidValidity,
};
use std::sync::Arc;

/// A mailbox's lasting id in its account; survives renames, never reused (RFC 8474 MAILBOXID).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub(crate) u32);

impl MailboxId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A mailbox and its counters, as of the last committed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxInfo {
    /// Its lasting id.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether its name is subscribed.
    pub subscribed: bool,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// UIDNEXT; zero is impossible, so it is a plain UID.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
    /// Messages in it.
    pub messages: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Messages that no session has been told of as `\Recent`.
    pub recent: u32,
    /// Octets of all messages.
    pub size: u64,
}

/// What one account uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Octets of all messages.
    pub bytes: u64,
    /// Number of messages.
    pub messages: u64,
}

/// Everything about a message that was computed when it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its UID.
    pub uid: Uid,
    /// Octets, as stored (RFC822.SIZE).
    pub size: u64,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Lasting id of the content, the same after COPY and MOVE (RFC 8474 EMAILID), 32 hexadecimal digits.
    pub email_id: String,
    /// ENVELOPE.
    pub envelope: Arc<Envelope>,
    /// BODYSTRUCTURE.
    pub structure: Arc<BodyStructure>,
    /// The header's length in octets, blank line included.
    pub header_len: u32,
    pub(crate) body: crate::mail::message::BodyId,
    pub(crate) digest: [u8; 32],
}

/// How STORE changes flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagChange {
    /// `FLAGS`
    Replace(Flags),
    /// `+FLAGS`
    Add(Flags),
    /// `-FLAGS`
    Remove(Flags),
}

/// What STORE did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreOutcome {
    /// The MODSEQ that the changed messages have now.
    pub modseq: ModSeq,
    /// Messages whose flags are different now.
    pub changed: Vec<Uid>,
    /// Messages left alone because they were newer than UNCHANGEDSINCE (RFC 7162 section 3.1.3).
    pub modified: Vec<Uid>,
}

/// Where an appended message went (RFC 4315 APPENDUID).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The account, which is the asked one.
    pub account: AccountId,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: UidValidity,
    /// The new UID.
    pub uid: Uid,
}

/// What COPY or MOVE did (RFC 4315 COPYUID): the sets correspond one to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: UidValidity,
    /// Source UID and new UID, ascending in both.
    pub uids: Vec<(Uid, Uid)>,
}

/// What [`Mail::copy_from`](super::Mail::copy_from) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inherited {
    /// Mailboxes that were looked through.
    pub mailboxes: u64,
    /// Messages that were copied.
    pub copied: u64,
    /// Messages that were there already.
    pub known: u64,
}

/// What happened to one recipient of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// A new message.
    Stored(Appended),
    /// The same message from the same reverse-path was stored less than a day ago: the sender retries
    /// because our answer was lost. To be answered as success.
    Repeated,
}

/// One message for one or more accounts of this server.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The whole message, trace fields included, in CRLF form.
    pub message: bytes::Bytes,
    /// Makes a repeated delivery recognisable. None: never suppressed. Compute it over what the client sent,
    /// before trace fields are added, and only for messages that carry a Message-ID: two equal messages
    /// without one may both be meant.
    pub repeat: Option<RepeatKey>,
    /// Flags of the new message, usually none.
    pub flags: Flags,
    /// Target mailbox; INBOX unless a filter chose another. A missing one falls back to INBOX.
    pub mailbox: MailboxName,
}

impl Delivery {
    /// A plain delivery to INBOX.
    #[must_use]
    pub fn new(message: bytes::Bytes) -> Self {
        Self {
            message,
            repeat: None,
            flags: Flags::EMPTY,
            mailbox: MailboxName::inbox(),
        }
    }
}

/// Digest of (message as sent, reverse-path); the recipient is added by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatKey(pub(crate) [u8; 32]);

impl RepeatKey {
    /// Over the message as the client sent it.
    #[must_use]
    pub fn new(message: &[u8], reverse_path: &model::ReversePath) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(reverse_path.to_string().to_ascii_lowercase().as_bytes());
        hasher.update(b"\n");
        hasher.update(message);
        Self(*hasher.finalize().as_bytes())
    }

    /// When the message was read in pieces: `digest` is the BLAKE3 of all of it.
    #[must_use]
    pub fn from_digest(digest: &[u8; 32], reverse_path: &model::ReversePath) -> Self {
        Self::new(digest, reverse_path)
    }
}
