//! What goes into the engine and what comes out of it.

use super::{Aside, Checkpoint};
use crate::plan::{Creation, LocalId, Newcomer, Plan, Situation};
use directory::feed::{Cookie, FeedError, Fingerprint, PollEnd};
use model::{Address, EntryUuid};
use std::collections::BTreeMap;

/// What a feed message was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// An account's entry, at hand.
    Account(EntryUuid),
    /// A group's entry; groups wait for the accounts.
    Group(EntryUuid),
    /// Unchanged and still there.
    Present(EntryUuid),
    /// No longer in the content, as the server says.
    Absent(EntryUuid),
    /// What address an entry has now, wherever it lives; none when it is gone. Groups that have it as a
    /// member with another address must be read again, for slapd rewrites `member` without a message.
    Member(EntryUuid, Option<Address>),
    /// The object here of this entry changed, or a write of it was begun and not ended.
    Here(EntryUuid),
    /// An object here without an entry is new or changed.
    New(LocalId),
}

/// How the store took a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Durable.
    Done,
    /// Never, as it stands: somebody has the address, the domain is not ours.
    Refused(String),
    /// The object changed while it was planned: look again.
    Stale,
    /// The store cannot write now.
    Temporary(String),
    /// The directory cannot be written now.
    Unreachable(String),
    /// As much of it as can be is durable. These members of the list are not found now, and it is looked at again.
    Waits(String),
    /// Another connector of the same directory, which this names, makes an entry of it.
    GivesWay(String),
}

impl Outcome {
    /// Whether the plan took effect, or as much of it as can.
    pub(crate) const fn is_carried_out(&self) -> bool {
        matches!(self, Self::Done | Self::Waits(_))
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The timer, or somebody who asks for a round now.
    Wake(Wake),
    /// The answer to [`Effect::AskServer`].
    Server(Result<Fingerprint, FeedError>),
    /// The answer to [`Effect::Prove`].
    Proved(bool),
    /// A message of the feed.
    Noticed(Notice),
    /// The feed that is being read stays open after this round.
    Stays,
    /// The feed, or the part of it that this round is about, ended well.
    Ended(PollEnd),
    /// The open feed ended between two rounds.
    Lost(FeedError),
    /// The feed, a look-up or the store failed.
    Failed(Trouble),
    /// The answer to [`Effect::ListLinks`]: every linked UUID of this connector that `Engine::has_named` does not know.
    Links(Vec<EntryUuid>),
    /// The answer to [`Effect::Sample`].
    Sampled {
        /// How many were looked for.
        asked: usize,
        /// How many of them are visible.
        visible: usize,
    },
    /// The answer to [`Effect::FindGroups`].
    Groups(Vec<EntryUuid>),
    /// Both sides of an object were read.
    Examined(Box<Situation>),
    /// The answer to [`Effect::ListNewcomers`]: objects without an entry.
    Newcomers(Vec<LocalId>),
    /// An object without an entry was read.
    Newcomer(Box<Newcomer>),
    /// An object without an entry is gone, or not this connector's.
    NoNewcomer(LocalId),
    /// The answer to [`Effect::Create`].
    Created(LocalId, Outcome),
    /// Plans whose remote halves are under way and meet no other object: [`Input::Applied`] follows for each, and meanwhile
    /// the next objects of the stage may be looked at.
    Sent(Vec<EntryUuid>),
    /// The answer to [`Effect::Apply`].
    Applied(EntryUuid, Outcome),
    /// Nobody had the addresses of an account when it was planned, and somebody has one now. Nothing was done, and it is
    /// looked at again in this round.
    Overtaken(EntryUuid),
    /// An object was looked up at a server that has not got what was last written to it.
    NotYet(EntryUuid),
    /// The answer to [`Effect::Commit`].
    Committed {
        /// How many objects are linked now.
        linked: u64,
    },
}

/// Why a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// It is time, perhaps.
    Timer,
    /// Somebody asks for changes now.
    Now,
    /// Somebody asks for a comparison of everything.
    Full,
}

/// Why a round did not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// The feed's own.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The server's contextCSN is older than what we have seen: a replica that lags, or a restored backup.
    #[error(
        "the server is behind what was already synchronised; waiting for it (a restored directory: sync run --full)"
    )]
    Lagging,
    /// A directory that holds nothing while objects are linked.
    #[error(
        "the directory answered without a single entry while {0} objects are linked; nothing was removed"
    )]
    Empty(u64),
    /// Entries that are known to be there cannot be seen.
    #[error(
        "none of {0} entries that should be there can be read; the service identity may have lost its rights"
    )]
    Blind(usize),
    /// The store cannot write.
    #[error("the store: {0}")]
    Store(String),
}

/// What to do. The order matters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Ask the server who it is and how far it has come.
    AskServer,
    /// The server says that it is behind: look whether it shows all the same whatever is known of it.
    Prove,
    /// Read the feed from here.
    Poll(Option<Cookie>),
    /// Read both sides of the object whose entry was just named in the feed.
    Examine(EntryUuid),
    /// Look these up in the directory, without a filter, and read both sides of each.
    LookUp(Vec<EntryUuid>),
    /// Name every linked UUID that was not named.
    ListLinks,
    /// Look up a few linked entries that are not among these.
    Sample(Vec<EntryUuid>),
    /// Find groups that have one of these members with another address than this, or at all when it is gone.
    FindGroups(BTreeMap<EntryUuid, Option<Address>>),
    /// Name every object here that has no entry.
    ListNewcomers,
    /// Read these objects, and look for entries that have their addresses.
    LookAt(Vec<LocalId>),
    /// Make an entry.
    Create(Box<Creation>),
    /// Keep a quarantine row of an object without an entry, durably.
    SetStrangerAside(LocalId, Aside),
    /// Drop it.
    ReleaseStranger(LocalId),
    /// No entry is made for this object now: what was begun for it has ended, unless it is linked.
    EndIntent(LocalId),
    /// Carry a plan out, durably.
    Apply(Box<Plan>),
    /// Keep a quarantine row, durably.
    SetAside(EntryUuid, Aside),
    /// Drop a quarantine row.
    Release(EntryUuid),
    /// Commit the checkpoint.
    Commit(Checkpoint),
    /// Stop reading the feed.
    Abandon,
}
