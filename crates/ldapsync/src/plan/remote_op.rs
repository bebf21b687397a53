//! What a plan asks of the directory.

use super::diff::FromTo;
use super::op::{Hazard, Kind, hazard_of};
use crate::field::{Field, Image, Values};
use crate::merge::Cause;
use std::fmt;

/// One change to an entry. All of one plan is one write where the protocol allows it; each is sent under the
/// plan's precondition only.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum RemoteOp {
    /// A new entry. Where and under which name is the configuration's to say.
    Create {
        /// Account or group.
        kind: Kind,
        /// All its fields.
        image: Image,
    },
    /// A field takes the local value. Sets are written as what comes and what goes, so that values which the
    /// mapping does not show (an alias of a foreign domain) stay.
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
    /// The host attribute takes the name that this server has now.
    Host {
        /// What it was, as it is written there.
        was: String,
        /// What it becomes.
        now: String,
    },
    /// Another RDN: the old one was made from the address that changed.
    Rename {
        /// The new one (RFC 4514).
        rdn: String,
    },
    /// Another parent: the old one was made from the address that changed.
    Move {
        /// The new one's DN.
        parent: String,
    },
    /// The entry goes.
    Delete,
}

impl RemoteOp {
    /// The danger of this operation, if any.
    #[must_use]
    pub fn hazard(&self) -> Option<Hazard> {
        match self {
            Self::Create { .. } | Self::Rename { .. } | Self::Move { .. } => None,
            Self::Delete => Some(Hazard::Delete),
            Self::Host { .. } => Some(Hazard::HostChange),
            Self::Set {
                field,
                was,
                values,
                cause,
            } => hazard_of(*field, was, values, *cause),
        }
    }

    /// The former name of this server that it replaces.
    pub(crate) fn former_host(&self) -> Option<&str> {
        match self {
            Self::Host { was, .. } => Some(was),
            _ => None,
        }
    }
}

/// One line of a diff.
impl fmt::Display for RemoteOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { kind, image } => {
                let kind = match kind {
                    Kind::Account => "account",
                    Kind::Group => "group",
                };
                write!(f, "+ create {kind}")?;
                image
                    .fields()
                    .try_for_each(|(field, values)| write!(f, " {field}={values}"))
            }
            Self::Set {
                field,
                was,
                values,
                cause,
            } => {
                let why = match cause {
                    Cause::Changed => "",
                    Cause::Drift => " (edit in the directory undone)",
                    Cause::Cleared => " (cleared)",
                    Cause::Conflict => " (conflict lost)",
                    Cause::Reverted => " (conflict, back to the last common value)",
                };
                write!(f, "~ {field}: {}{why}", FromTo::new(*field, was, values))
            }
            Self::Host { was, now } => write!(f, "~ host: {was} -> {now} (this server's name now)"),
            Self::Rename { rdn } => write!(f, "~ rename to {rdn}"),
            Self::Move { parent } => write!(f, "~ move below {parent}"),
            Self::Delete => f.write_str("- delete"),
        }
    }
}
