//! What `ldapsync` keeps: associations, connector state, quarantine.

use crate::LocalId;
use bytes::Bytes;
use model::{EntryUuid, Timestamp};
use std::collections::BTreeMap;

/// Where a link between a local object and a directory entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Synced.
    Linked,
    /// The entry left this connector's scope.
    OutOfScope {
        /// Since when.
        since: Timestamp,
    },
    /// The entry is gone; the local object is soft-deleted.
    Gone {
        /// Since when.
        since: Timestamp,
    },
    /// The entry's host attribute names another home.
    MovedAway {
        /// The other home.
        to: String,
    },
    /// The entry's host attribute names this server, its mail is still elsewhere.
    AwaitingMail {
        /// The earlier home.
        from: String,
    },
    /// Unlinked by hand: neither side is joined or created again until relinked or released.
    UnlinkedHeld {
        /// Where it stood before, and stands again once it is relinked.
        was: Box<LinkState>,
    },
}

impl LinkState {
    /// Whether the object is in use: what an empty directory is compared with.
    #[must_use]
    pub fn is_living(&self) -> bool {
        match self {
            Self::Gone { .. } | Self::OutOfScope { .. } => false,
            Self::UnlinkedHeld { was } => was.is_living(),
            Self::Linked | Self::MovedAway { .. } | Self::AwaitingMail { .. } => true,
        }
    }

    /// Whether it was unlinked by hand.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::UnlinkedHeld { .. })
    }
}

/// What a link holds, apart from whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkData {
    /// Where it stands.
    pub state: LinkState,
    /// The last common state: mapped attribute to its canonical values.
    pub base: BTreeMap<String, Vec<Bytes>>,
    /// Opaque digests of what is not kept in clear (passwords of either side, blobs).
    pub digests: BTreeMap<String, Bytes>,
    /// `entryCSN` or `uSNChanged` as last seen.
    pub version: Option<String>,
    /// UUID of the parent entry, when known.
    pub parent: Option<EntryUuid>,
    /// The entry's RDN.
    pub rdn: String,
    /// The DN when last seen: for people and logs, never for identity.
    pub dn: String,
    /// The refresh in which it was last seen.
    pub epoch: u64,
}

impl LinkData {
    /// A fresh link without a base.
    #[must_use]
    pub fn new(dn: impl Into<String>) -> Self {
        Self {
            state: LinkState::Linked,
            base: BTreeMap::new(),
            digests: BTreeMap::new(),
            version: None,
            parent: None,
            rdn: String::new(),
            dn: dn.into(),
            epoch: 0,
        }
    }
}

/// A link to store with the creation or change of its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAssociation {
    /// The connector's name.
    pub connector: String,
    /// The entry.
    pub remote: EntryUuid,
    /// The rest.
    pub data: LinkData,
}

/// A link between a local object and a directory entry. (connector, local) and (connector, remote) are each
/// unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    /// The connector's name.
    pub connector: String,
    /// The object here.
    pub local: LocalId,
    /// The entry.
    pub remote: EntryUuid,
    /// The rest.
    pub data: LinkData,
}

/// How far a connector has come with its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing is known yet.
    #[default]
    Initial,
    /// A full refresh is under way; absences mean nothing yet.
    Refreshing,
    /// Up to date as of the cookie.
    Following,
    /// Stopped by the guard or by hand until an administrator decides.
    Held,
}

/// A connector's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectorState {
    /// How far.
    pub phase: Phase,
    /// The cookie of the last committed message. Its checksum is kept by the store: a damaged cookie reads
    /// as none, with `cookie_damaged` set.
    pub cookie: Option<Bytes>,
    /// True when a cookie was there and did not match its checksum. Not stored.
    pub cookie_damaged: bool,
    /// Number of the last started refresh.
    pub epoch: u64,
    /// What identifies the server's data (suffix entryUUID, ...).
    pub server_fingerprint: Option<Bytes>,
    /// What identifies scope and mapping.
    pub scope_fingerprint: Option<Bytes>,
    /// How far this connector has read the journal.
    pub journal_offset: u64,
    /// End of the last successful run.
    pub last_success: Option<Timestamp>,
    /// End of the last successful comparison of everything; none before the first, or in a row of an earlier
    /// release, which did not keep it.
    pub last_full: Option<Timestamp>,
    /// What the last run failed with.
    pub last_error: Option<String>,
    /// Destructive changes of the rolling hour, for the guard: moment and count.
    pub guard: Vec<(Timestamp, u32)>,
    /// The same for what was done to the directory.
    pub guard_remote: Vec<(Timestamp, u32)>,
    /// Hash of an approved plan.
    pub approved: Option<Bytes>,
    /// Whether an administrator has stopped the connector; it stays so over a restart.
    pub stopped: bool,
    /// The domains whose synchronisation has begun, by the connector's own word for them. Empty in a row of an
    /// earlier release too.
    pub begun: Vec<String>,
    /// Versions that a directory which was set back no longer knows: those after the first and up to the second say
    /// nothing of how far a server must have come. A few ranges, by the connector's own way to write them.
    pub void_versions: Vec<(String, String)>,
    /// Whether the last comparison of everything spared whatever was absent, for the directory or the scope was another
    /// one than before.
    pub spared: bool,
}

/// An object that could not be synced and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The connector's name.
    pub connector: String,
    /// The object: a UUID in text form, or a local id.
    pub object: String,
    /// Why, in one line.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again.
    pub next: Timestamp,
    /// What the directory showed of its entry then.
    pub shown: Shown,
}

/// What the directory showed of the entry of an object that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shown {
    /// There is no entry, it has no version, or the row is an earlier release's.
    #[default]
    Unknown,
    /// This version of it.
    Version(String),
    /// Nothing of it within the bases and filters.
    Nothing,
}

impl Association {
    /// The link of `new` for this local object.
    #[must_use]
    pub fn new(new: NewAssociation, local: LocalId) -> Self {
        Self {
            connector: new.connector,
            local,
            remote: new.remote,
            data: new.data,
        }
    }
}
