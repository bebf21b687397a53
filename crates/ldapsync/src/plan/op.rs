//! What a plan can ask for, and how dangerous it is.

use super::diff::FromTo;
use crate::field::{Field, Image, Values};
use crate::merge::Cause;
use model::{AccountId, GroupId};
use std::fmt;

/// A local object that can be linked to a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalId {
    /// An account.
    Account(AccountId),
    /// A group.
    Group(GroupId),
}

impl fmt::Display for LocalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account {id}"),
            Self::Group(id) => write!(f, "group {id}"),
        }
    }
}

/// Accounts hold mail, groups hold members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person or a service with mailboxes.
    Account,
    /// A distribution list.
    Group,
}

/// The part of a local object's state that sync decides on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LocalState {
    /// In use. Whether login is allowed is the field `enabled`.
    Active,
    /// The entry is gone or out of scope: login off, mail kept until retention ends or an administrator
    /// decides.
    Deleted,
    /// The entry's host is another server now: login off, mail kept until that server holds it.
    MovedAway {
        /// The new home.
        to: String,
    },
    /// The entry came from another server that still holds the mail: "try later" for everybody.
    AwaitingMail {
        /// The former home.
        from: String,
    },
}

/// Why the local object of an entry is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Farewell {
    /// No entry has this UUID any more.
    Gone,
    /// The entry exists, but the connector's bases and filters no longer select it.
    OutOfScope,
    /// The entry names no home.
    NoHome,
}

/// One change to the local side. A plan is a list of these; applying it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Op {
    /// A new local object, linked from the start.
    Create {
        /// Account or group.
        kind: Kind,
        /// All its fields.
        image: Image,
        /// `Active`, or `AwaitingMail`.
        state: LocalState,
    },
    /// An existing local object that was found by address joins the entry.
    Link {
        /// The object.
        local: LocalId,
    },
    /// Members that were added by their address are kept by their entries from now on.
    Adopt {
        /// All members that have an entry.
        members: Values,
    },
    /// A field takes the directory's value.
    Set {
        /// Which.
        field: Field,
        /// What it was.
        was: Values,
        /// What it becomes.
        values: Values,
        /// Why.
        cause: Cause,
    },
    /// The entry is back (or was never really away): the object is in use again.
    Revive,
    /// The same, and its mail is still at the home that it was to come from.
    Await {
        /// That home.
        from: String,
    },
    /// Login off, mail kept.
    Remove {
        /// Why.
        why: Farewell,
    },
    /// The home is another server now.
    MoveAway {
        /// That server.
        to: String,
    },
}

/// What an operation would cost if it were a mistake made a thousand times. The guard counts these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    /// A deletion.
    Delete,
    /// Login switched off.
    Disable,
    /// The entry left the bases, the filter, or has no home.
    ScopeExit,
    /// Another home.
    HostChange,
    /// Somebody leaves a group.
    MemberRemoval,
    /// Another primary address, or an alias less.
    AddressChange,
    /// A value is removed without a successor.
    Cleared,
}

impl Op {
    /// The danger of this operation, if any.
    #[must_use]
    pub fn hazard(&self) -> Option<Hazard> {
        match self {
            Self::Create { .. }
            | Self::Link { .. }
            | Self::Adopt { .. }
            | Self::Revive
            | Self::Await { .. } => None,
            Self::Remove { why: Farewell::Gone } => Some(Hazard::Delete),
            Self::Remove { .. } => Some(Hazard::ScopeExit),
            Self::MoveAway { .. } => Some(Hazard::HostChange),
            Self::Set {
                field,
                was,
                values,
                cause,
            } => hazard_of(*field, was, values, *cause),
        }
    }
}

/// The danger of a new value, on either side.
pub(super) fn hazard_of(field: Field, was: &Values, values: &Values, cause: Cause) -> Option<Hazard> {
    let loses = || was.missing_in(values).next().is_some();
    match field {
        _ if cause == Cause::Cleared && !field.is_set() => Some(Hazard::Cleared),
        _ if cause == Cause::Cleared && values.is_empty() => Some(Hazard::Cleared),
        Field::Address => (!was.is_empty() && !was.equals(values)).then_some(Hazard::AddressChange),
        Field::Aliases => loses().then_some(Hazard::AddressChange),
        Field::Members => loses().then_some(Hazard::MemberRemoval),
        Field::Enabled => values.equals(&Values::switch(false)).then_some(Hazard::Disable),
        _ => None,
    }
}

/// One line of a diff.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { kind, image, state } => {
                let kind = match kind {
                    Kind::Account => "account",
                    Kind::Group => "group",
                };
                write!(f, "+ create {kind}")?;
                for (field, values) in image.fields() {
                    write!(f, " {field}={values}")?;
                }
                match state {
                    LocalState::AwaitingMail { from } => write!(f, " (awaiting mail from {from})"),
                    _ => Ok(()),
                }
            }
            Self::Link { local } => write!(f, "= link {local}"),
            Self::Adopt { members } => write!(f, "= members are known by their entries: {members}"),
            Self::Set {
                field,
                was,
                values,
                cause,
            } => {
                let why = match cause {
                    Cause::Changed => "",
                    Cause::Drift => " (local edit undone)",
                    Cause::Cleared => " (cleared)",
                    Cause::Conflict => " (conflict lost)",
                    Cause::Reverted => " (conflict, back to the last common value)",
                };
                write!(f, "~ {field}: {}{why}", FromTo::new(*field, was, values))
            }
            Self::Revive => f.write_str("+ revive"),
            Self::Await { from } => write!(f, "+ revive (awaiting mail from {from})"),
            Self::Remove { why } => f.write_str(match why {
                Farewell::Gone => "- remove: the entry is gone",
                Farewell::OutOfScope => "- remove: the entry is out of scope",
                Farewell::NoHome => "- remove: the entry has no host",
            }),
            Self::MoveAway { to } => write!(f, "- moved to {to}"),
        }
    }
}
