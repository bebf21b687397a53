//! Where a session stands (RFC 3501 section 3), with what it knows there.

use super::reply::Failure;
use model::{Address, ModSeq, Uid};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use store::{Mail, Mailbox, Snapshot, StoreOutcome};
use wire::imap::write::Recency;
use wire::imap::{Numbering, SequenceSet};

/// The state of a session.
pub(super) enum State {
    /// Before login.
    NotAuthenticated,
    /// After login, no mailbox open.
    Authenticated(User),
    /// A mailbox is open.
    Selected(User, Box<Selected>),
    /// The client said goodbye.
    Logout,
}

/// Who logged in.
pub(super) struct User {
    /// For the log.
    pub(super) address: Address,
    /// The account's mail.
    pub(super) mail: Mail,
    /// When the account was last seen to be in order, on the monotonic clock.
    pub(super) checked: Duration,
}

/// Whether a mailbox can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// SELECT.
    ReadWrite,
    /// EXAMINE.
    ReadOnly,
}

/// An open mailbox, as the client knows it.
pub(super) struct Selected {
    /// The mailbox itself, which all its sessions share.
    pub(super) mailbox: Mailbox,
    /// SELECT or EXAMINE.
    pub(super) access: Access,
    /// The state that the client was told of; its positions are the client's sequence numbers.
    pub(super) told: Arc<Snapshot>,
    /// Changes behind `told` that this session made itself and has answered already.
    pub(super) own: BTreeSet<ModSeq>,
    /// How many of the mailbox's keywords the client was told of: new ones are announced before they are
    /// used (RFC 3501 section 7.2.6).
    pub(super) keywords: usize,
    /// What is `\Recent` in this session.
    pub(super) recent: Recent,
}

/// UIDs that are `\Recent` in one session, as ascending ranges: one for each time that it was the first to
/// learn of new messages.
#[derive(Debug, Default)]
pub(super) struct Recent(Vec<Range<u32>>);

impl Recent {
    /// These too. Ranges come in ascending order; what is known already is left out.
    pub(super) fn add(&mut self, uids: Range<u32>) {
        match self.0.last_mut() {
            Some(last) if uids.start <= last.end => last.end = last.end.max(uids.end),
            _ if uids.is_empty() => {}
            _ => self.0.push(uids),
        }
    }

    /// Whether this message is among them.
    pub(super) fn of(&self, uid: Uid) -> Recency {
        let at = self.0.partition_point(|range| range.end <= uid.get());
        match self.0.get(at) {
            Some(range) if range.contains(&uid.get()) => Recency::Recent,
            _ => Recency::Old,
        }
    }

    /// How many of them a snapshot has.
    pub(super) fn count(&self, snapshot: &Snapshot) -> usize {
        let ranges = self.0.iter();
        let ends = ranges.filter_map(|range| {
            Some((
                Uid::new(range.start).ok()?,
                Uid::new(range.end.checked_sub(1)?).ok()?,
            ))
        });
        ends.map(|(first, last)| snapshot.uids(first, last).count()).sum()
    }
}

impl Selected {
    /// Changing commands need SELECT.
    pub(super) fn writable(&self) -> Result<(), Failure> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Failure::ReadOnly),
        }
    }

    /// The UIDs that a set names, ascending, as the client knows the mailbox. A sequence number beyond it is
    /// an error (RFC 3501 section 9, `seq-number`), a UID that does not exist is not (section 6.4.8).
    pub(super) fn uids(&self, set: &SequenceSet, by: Numbering) -> Result<Vec<Uid>, Failure> {
        let told = &self.told;
        let mut uids = Vec::new();
        match by {
            Numbering::Sequence => {
                if !set.is_within(told.len()) {
                    return Err(Failure::NoSuchMessage);
                }
                for range in set.resolve(told.len()) {
                    uids.extend(told.uids_of_seqs(*range.start(), *range.end()));
                }
            }
            Numbering::Uid => {
                for range in set.resolve(self.largest_uid()) {
                    if let (Ok(first), Ok(last)) = (Uid::new(*range.start()), Uid::new(*range.end())) {
                        uids.extend(told.uids(first, last));
                    }
                }
            }
        }
        Ok(uids)
    }

    /// Leaves a change of this session out of the news: its command answers it. When nothing changed, the
    /// outcome's MODSEQ is that of somebody else's change.
    pub(super) fn answered(&mut self, outcome: &StoreOutcome) {
        if !outcome.changed.is_empty() {
            self.own.insert(outcome.modseq);
        }
    }

    /// What `*` means in a set of UIDs; zero in an empty mailbox.
    pub(super) fn largest_uid(&self) -> u32 {
        self.told
            .by_seq(self.told.len())
            .map_or(0, |entry| entry.uid.get())
    }
}

/// The states that a verb is legal in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legal {
    /// Any state.
    Always,
    /// Before login only.
    NotAuthenticated,
    /// After login, with or without a mailbox.
    Authenticated,
    /// With a mailbox.
    Selected,
}

impl State {
    /// Whether a verb is legal now.
    pub(super) fn allows(&self, legal: Legal) -> bool {
        match (legal, self) {
            (_, Self::Logout) => false,
            (Legal::Always, _) => true,
            (Legal::NotAuthenticated, state) => matches!(state, Self::NotAuthenticated),
            (Legal::Authenticated, state) => matches!(state, Self::Authenticated(_) | Self::Selected(..)),
            (Legal::Selected, state) => matches!(state, Self::Selected(..)),
        }
    }

    /// Who logged in.
    pub(super) fn user(&self) -> Option<&User> {
        match self {
            Self::Authenticated(user) | Self::Selected(user, _) => Some(user),
            Self::NotAuthenticated | Self::Logout => None,
        }
    }

    /// The same, to change.
    pub(super) fn user_mut(&mut self) -> Option<&mut User> {
        match self {
            Self::Authenticated(user) | Self::Selected(user, _) => Some(user),
            Self::NotAuthenticated | Self::Logout => None,
        }
    }

    /// Leaves the open mailbox.
    pub(super) fn deselect(&mut self) {
        *self = match std::mem::replace(self, Self::Logout) {
            Self::Selected(user, _) => Self::Authenticated(user),
            other => other,
        };
    }

    /// Opens a mailbox in place of what was open.
    pub(super) fn select(&mut self, selected: Selected) {
        *self = match std::mem::replace(self, Self::Logout) {
            Self::Selected(user, _) | Self::Authenticated(user) => Self::Selected(user, Box::new(selected)),
            other => other,
        };
    }
}
