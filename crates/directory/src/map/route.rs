//! The answer of the user maps.

use crate::{EntryKind, HomeRef};
use model::{Address, EntryUuid, Unavailable};
use std::fmt;
use std::sync::Arc;

/// Which back end is an account's home, or why there is no answer. Each kind has its own reply in the protocols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The home is known.
    Home(RoutedHome),
    /// There is definitely no such account.
    NoSuchAccount,
    /// There is an entry, and it names no home: a temporary failure.
    NoHome {
        /// What the entry is: a group may go to the service's home for groups.
        kind: EntryKind,
    },
    /// More than one entry, or more than one home; their names. A temporary failure, never the first of them.
    Ambiguous(Vec<String>),
    /// A rule refuses the address.
    Rejected,
    /// No source can answer now.
    Unavailable(Unavailable),
}

/// A home and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedHome {
    /// The home.
    pub home: HomeRef,
    /// The account's address as the source spells it: an alias leads to the address it stands for.
    pub address: Address,
    /// Account or group. A file knows only accounts.
    pub kind: EntryKind,
    /// The entry, when a directory answered.
    pub entry: Option<EntryUuid>,
    /// Where the answer came from.
    pub source: Source,
}

/// Where an answer came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name of the map. Shared: an answer of a live map allocates next to nothing.
    pub map: Arc<str>,
    /// How fresh it is.
    pub freshness: Freshness,
}

/// How fresh an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// A file, as it is now.
    File,
    /// The live map holds it, and is told of every change.
    Live,
    /// The directory answered just now.
    Server,
    /// The directory answered within `cache_ttl`.
    Cache,
    /// The directory, or its live map, said so earlier; it cannot be asked now.
    Stale,
    /// The map has no match and its `default_home` was used.
    Default,
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Live => "live",
            Self::Server => "server",
            Self::Cache => "cache",
            Self::Stale => "stale",
            Self::Default => "default",
        })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(found) => {
                write!(
                    f,
                    "home {} ({}, {})",
                    found.home, found.source.map, found.source.freshness
                )
            }
            Self::NoSuchAccount => f.write_str("no such account"),
            Self::NoHome { .. } => f.write_str("the entry names no home"),
            Self::Ambiguous(names) => write!(f, "ambiguous: {}", names.join(" | ")),
            Self::Rejected => f.write_str("rejected by a rule"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}
