//! The change feed: what changed in the directory since a cookie.
//!
//! Owns the cookie and its rules, [`ChangeSource`], and its sources in both forms, polled and open
//! ([`Following`]): Content Sync ([`ContentSync`]) on OpenLDAP, DirSync on Active Directory. [`open()`] picks the
//! right one for a connector. The consumers are `ldapsync` and the live user map; each keeps its own cookie.
//!
//! Never decides what a change means for an account, and never says "deleted" for what it merely did not see:
//! see [`Coverage`] and [`ChangeSource::verify`].
//!
//! Follows RFC 4533, and MS-ADTS section 3.1.1.3.4.1.

mod active_directory;
mod back_off;
mod changes;
mod content_sync;
mod cookie;
mod fingerprint;
mod following;
mod limited;
mod link;
mod open;
mod persist;
mod read;
mod round;
#[cfg(test)]
mod tests;

pub(crate) use back_off::BackOff;
pub use changes::{Changes, ChangesSender};
pub use content_sync::ContentSync;
pub(crate) use cookie::csn_vector;
pub use cookie::{Cookie, CookieDamaged};
pub use fingerprint::Fingerprint;
pub use following::{Backlog, FeedEvent, Following, Refused};
pub(crate) use open::open_for;
pub use open::{open, open_as};

use crate::account::DirectoryAccount;
use crate::{EntryKind, EntryProblem};
use ldap::Entry;
use model::{BoxFuture, EntryUuid, Unavailable};

/// One message of a feed. It only says which object to look at again: a repeated or reordered one does no harm.
#[derive(Debug, Clone)]
pub enum Change {
    /// The entry is in the content, new or changed. A refresh marks everything so, changed or not.
    Entry(Box<ChangedEntry>),
    /// The entry is in the content and did not change (state `present`).
    Present(EntryUuid),
    /// The entry left the content: deleted, moved away, or it no longer matches. Verify before acting.
    Deleted(EntryUuid),
}

/// An entry of the feed.
#[derive(Debug, Clone)]
pub struct ChangedEntry {
    /// Its lasting identity.
    pub uuid: EntryUuid,
    /// What the connector takes it for; none when its place or class is outside of the connector's scope, so
    /// that for the consumer it has left.
    pub kind: Option<EntryKind>,
    /// The entry read through the attribute mapping; a problem is for quarantine. Meaningless without `kind`.
    pub account: Result<DirectoryAccount, EntryProblem>,
    /// The entry itself.
    pub entry: Entry,
}

/// One step of reading a feed.
#[derive(Debug, Clone)]
pub enum Step {
    /// Some changes, in the server's order.
    Changes(Vec<Change>),
    /// The poll ended well; nothing follows. Only now may the cookie be stored, in or after the transaction
    /// that holds the effects of all changes before it.
    Done(PollEnd),
}

/// How a poll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollEnd {
    /// Where the next poll continues; none when the server gave none, and then the old one stays.
    pub cookie: Option<Cookie>,
    /// What the absence of an entry means.
    pub coverage: Coverage,
}

/// What it means that an entry was not mentioned in a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// It did not change: everything that left was named (`refreshDeletes` TRUE, a delete phase).
    NamedDeletes,
    /// It left the content: everything that is there was named (a present phase, or a first refresh).
    Everything,
}

/// Why a poll failed. No deletion may be concluded from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Result 4096, e-syncRefreshRequired: start again without a cookie, under the guard.
    #[error("the server asks for a full refresh (4096)")]
    RefreshRequired,
    /// Result 53 for a cookie: the server is behind what we have seen. Wait, or use another server.
    #[error("the server is behind our cookie (53): {0}")]
    CookieTooNew(String),
    /// The server cannot be asked now, or stopped in the middle.
    #[error("unavailable: {0}")]
    Unavailable(Unavailable),
    /// The server answered what it never should, or a limit cut the answer short: an administrator must look.
    #[error("{0}")]
    Protocol(String),
}

/// Where an entry is that seems to have left the content.
#[derive(Debug, Clone)]
pub enum Presence {
    /// No entry of this UUID exists, or we may not read it.
    Gone,
    /// It exists outside of the connector's scope: elsewhere, or with other attributes.
    OutOfScope(Box<Entry>),
    /// It is in scope.
    InScope(Box<ChangedEntry>),
}

/// A source of changes: Content Sync on OpenLDAP, DirSync on Active Directory. [`open()`] makes the right one.
pub trait ChangeSource: Send {
    /// Asks for what changed since `cookie`, or for everything without one. Dropping [`Changes`] ends the
    /// request.
    fn poll<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Changes, FeedError>>;

    /// Asks for what changed since `cookie` and stays, so that later changes are heard of at once. A source that
    /// cannot stay, or may not (`persist = false`), ends after the refresh: come again after a while.
    fn follow<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Following, FeedError>> {
        Box::pin(async move { Ok(Following::polled(self.poll(cookie).await?)) })
    }

    /// Looks for entries by UUID with no other filter, on the server that the last poll used. The answers are
    /// in the order of the question.
    fn verify<'a>(&'a mut self, uuids: &'a [EntryUuid]) -> BoxFuture<'a, Result<Vec<Presence>, FeedError>>;

    /// Whether the entry of this name can be read, on the same server. What is missing below an entry that cannot
    /// be read is perhaps only hidden.
    fn can_read<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>>;

    /// The UUID of the entry of this name, on the same server; none when it cannot be read, or has none that can.
    fn identity<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<Option<EntryUuid>, FeedError>>;

    /// Whether anybody whom the feed would show stands right below this name, on the same server. A branch that can be read
    /// says nothing of the rights to read what is in it.
    fn shows_below<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>>;

    /// Which server this is and how far it has come.
    fn fingerprint(&mut self) -> BoxFuture<'_, Result<Fingerprint, FeedError>>;
}
