//! Mail: mailboxes, messages, flags, and the shared views that sessions look at.
//!
//! A writer changes the account's *working* state under the account's lock and queues the batch; what
//! sessions see is the *published* state, which moves only when the batch is committed. A published mailbox
//! is an immutable [`Snapshot`]; a session keeps the one it last told its client about and asks the newest
//! for the difference, so it can never miss or reorder a change. Speaks no mail protocol.
//!
//! INBOX, Sent, Drafts, Trash, Junk and Archive are created, with their special uses and subscriptions
//! (RFC 6154), at the first use of an account, in the batch of that use.

mod append;
mod cell;
mod chunk;
mod edit;
mod erase;
mod expunge;
mod flags;
mod inherit;
mod mailbox;
mod mailboxes;
pub(crate) mod message;
mod read;
mod recent;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;
mod transfer;
mod txn;
mod types;

pub use mailbox::Mailbox;
pub use mailboxes::Mail;
pub use snapshot::{Changes, Entry, Lookup, Snapshot};
pub use types::{
    Appended, Copied, Delivered, Delivery, FlagChange, Inherited, MailboxId, MailboxInfo, Message, RepeatKey,
    StoreOutcome, Usage,
};

pub(crate) use cell::Cells;
pub(crate) use message::BodyId;

/// The owner's epoch of an account that has only had one. Its row comes with the first mail: until then the account's own
/// row is the fence, for most accounts of a large directory wait long for theirs.
pub(crate) fn first_epoch() -> bytes::Bytes {
    static FIRST: [u8; 8] = 1u64.to_be_bytes();
    bytes::Bytes::from_static(&FIRST)
}
