//! What is written, under which conditions, and what came of it.

use bytes::Bytes;
use ldap::{Attribute, Dn, Entry, Rdn, ResultCode};
use model::{EntryUuid, Unavailable};

/// The entry that a write is about. The UUID decides; the DN is a hint and is looked up again when it is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// entryUUID, or objectGUID.
    pub uuid: EntryUuid,
    /// Where it was last seen.
    pub dn: String,
}

/// What must still be true when the write takes place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The version that the change was planned on: entryCSN, or uSNChanged as text. None: any.
    pub csn: Option<String>,
    /// With `clustered`: the spellings of this server's name; the host attribute must be one of them. Empty: any
    /// host. Compared without case and without the trailing dot.
    pub hosts: Vec<String>,
}

/// The change of one attribute. Never two for one attribute in one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChange {
    /// The attribute.
    pub attribute: String,
    /// What happens to its values.
    pub edit: Edit,
}

/// What happens to the values of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Single values go and come. A value that should go and is not there, or should come and is there already,
    /// makes the write [`WriteError::Stale`]: the plan was made on something else.
    Values {
        /// The values that go.
        remove: Vec<Bytes>,
        /// The values that come.
        add: Vec<Bytes>,
    },
    /// These take the place of all there are. None: the attribute goes.
    Replace(Vec<Bytes>),
}

impl AttributeChange {
    /// Removes and adds single values.
    #[must_use]
    pub fn values(attribute: &str, remove: Vec<Bytes>, add: Vec<Bytes>) -> Self {
        Self {
            attribute: attribute.to_owned(),
            edit: Edit::Values { remove, add },
        }
    }

    /// Replaces all values.
    #[must_use]
    pub fn replace(attribute: &str, values: Vec<Bytes>) -> Self {
        Self {
            attribute: attribute.to_owned(),
            edit: Edit::Replace(values),
        }
    }
}

/// An entry to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The entry that it is put below. Written too when it is missing.
    pub parent: Dn,
    /// Its RDN.
    pub rdn: Rdn,
    /// All its attributes, `objectClass` and those of the RDN among them.
    pub attributes: Vec<Attribute>,
}

impl NewEntry {
    /// Its DN.
    #[must_use]
    pub fn dn(&self) -> Dn {
        self.parent.child(self.rdn.clone())
    }
}

/// One write to the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Adds an entry.
    Add(NewEntry),
    /// Changes attributes. One that changes nothing is not sent.
    Modify {
        /// The entry.
        target: Target,
        /// When it may be changed.
        precondition: Precondition,
        /// The changes.
        changes: Vec<AttributeChange>,
    },
    /// Renames or moves an entry.
    Rename {
        /// The entry.
        target: Target,
        /// When it may be renamed.
        precondition: Precondition,
        /// The new RDN; the values of the old one leave the entry.
        rdn: Rdn,
        /// The new parent, if it moves. Written too when it is missing.
        new_parent: Option<Dn>,
    },
    /// Deletes an entry.
    Delete {
        /// The entry.
        target: Target,
        /// When it may be deleted.
        precondition: Precondition,
    },
}

/// What a write left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The entry's lasting identity.
    pub uuid: EntryUuid,
    /// Its DN after the write.
    pub dn: String,
    /// Its version after the write: entryCSN, or uSNChanged as text. None after a deletion, and where it cannot be
    /// told from the version of somebody who was there right after: of a write that shared its commit with others.
    pub csn: Option<String>,
    /// The attributes that were asked for, as they are after the write; as they were before a deletion, unless it was
    /// part of a batch.
    pub entry: Entry,
}

/// Whether a write that has no answer took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It did not: the server said so, or never got it.
    NotDone,
    /// Nobody knows. The entry must be read again before anything else is decided.
    Unknown,
}

/// Why a write did not take place, or perhaps did.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The entry is not what the plan was made on: read it again and plan anew.
    #[error("the entry has changed since it was read")]
    Stale,
    /// The host attribute names somebody else now, or nobody.
    #[error("the entry belongs to another server now{}", .0.as_deref().map(|host| format!(": {host:?}")).unwrap_or_default())]
    NotMine(Option<String>),
    /// There is no entry with this UUID that we can see.
    #[error("there is no such entry")]
    NoSuchObject,
    /// The DN is taken. The entry that is there, when it can be read; whether it may be adopted is for the caller.
    #[error("another entry has this DN")]
    AlreadyExists(Option<Box<Entry>>),
    /// The directory said no, and will say so again: schema, rights, policy.
    #[error("refused with {code}: {text}")]
    Refused {
        /// The result code.
        code: ResultCode,
        /// The server's words, or ours.
        text: String,
    },
    /// No answer, or "try later".
    #[error("{why}")]
    Unavailable {
        /// What is the matter.
        why: Unavailable,
        /// What is known of the write.
        fate: Fate,
    },
}

impl WriteError {
    /// True when the same write may succeed later with nothing else changed.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
