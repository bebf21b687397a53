//! What a plan is made from: the policy, and one object as both sides have it.

use super::op::{Kind, LocalId, LocalState};
use super::password::{Digest, Passwords, RemotePassword};
use super::reason::Reason;
use crate::field::{Field, Image};
use crate::merge::Marks;
use directory::config::{Absent, ConflictResolution, ConflictScope, Direction};
use model::{Address, EntryUuid, Timestamp};

/// The policy of a connector, as far as a plan depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Which side is written.
    pub(crate) direction: Direction,
    /// Who wins a conflict.
    pub(crate) resolution: ConflictResolution,
    /// What counts as one.
    pub(crate) scope: ConflictScope,
    /// What a vanished attribute means.
    pub(crate) absent: Absent,
    /// Whether a vanished entry has any effect here.
    pub(crate) deletions: Deletions,
    /// What happens to an account that arrives from another home.
    pub(crate) arrivals: Arrivals,
}

/// The two meanings of `on_delete` that matter to a plan; how an object is removed is the applier's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletions {
    /// The local object is switched off.
    Follow,
    /// Nothing happens.
    Ignore,
}

/// `on_host_change`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// Wait for the mail.
    Hold,
    /// Open empty at once.
    StartEmpty,
}

/// What the directory has under a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    /// An entry in scope whose home is this server (or any entry, without `clustered`; or a group).
    Here(RemoteObject),
    /// An entry in scope whose home is another server.
    Elsewhere {
        /// Its host, canonical.
        host: String,
        /// What it would be here.
        image: Image,
    },
    /// An entry in scope of a `clustered` connector that names no host.
    NoHome,
    /// An entry that exists but is not selected by bases and filters.
    OutOfScope,
    /// No entry has this UUID.
    Gone,
    /// No entry of this UUID can be seen, and its parent cannot be read either: perhaps the rights are lost.
    Hidden {
        /// The parent's DN as last known.
        parent: String,
    },
    /// An entry that cannot be mapped.
    Broken(Reason),
}

/// A mapped entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteObject {
    /// Account or group.
    pub(crate) kind: Kind,
    /// Its fields. An attribute that is absent gives no value.
    pub(crate) image: Image,
    /// Whether a group's members could be seen.
    pub(crate) members: Members,
    /// What is seen of its password.
    pub(crate) password: RemotePassword,
    /// Whether the entry's own switch means anything.
    pub(crate) switch: Switch,
    /// When its state ends by itself.
    pub(crate) until: Option<Timestamp>,
    /// With `clustered`: what an account's entry says of its home.
    pub(crate) home: Option<Home>,
}

/// What an entry says of its home, which is this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// The name, canonical.
    pub(crate) shown: String,
    /// As it is written there.
    pub(crate) written: String,
    /// The name that this server has now, where the entry says a former one.
    pub(crate) becomes: Option<String>,
}

impl RemoteObject {
    /// An entry that has never had a password cannot be on, whatever was meant: the object here says.
    pub(crate) fn agree_on_the_switch(&mut self, local: &LocalObject) {
        if self.switch == Switch::Unborn {
            self.image
                .set(Field::Enabled, local.image.get(Field::Enabled).clone());
        }
    }
}

/// The switch of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Switch {
    /// It was set by somebody, or there is none.
    #[default]
    Said,
    /// Active Directory keeps a user without a password off.
    Unborn,
}

/// A group always shows a member, if only a placeholder: one that shows none withholds them, and one whose
/// members are no entries has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    Shown,
    Withheld,
}

/// The association as it was last committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The local object.
    pub(crate) local: LocalId,
    /// The last common state.
    pub(crate) base: Image,
    /// Whether that is known now and not written down yet: the entry shows what we sent, or has a newer version.
    pub(crate) rebased: bool,
    /// The entry's DN when it was last written down.
    pub(crate) dn: String,
    /// Where the link stands.
    pub(crate) standing: Standing,
    /// Fields that are not settled.
    pub(crate) marks: Marks,
    /// The passwords at the last common state.
    pub(crate) passwords: Passwords,
    /// When the entry's state ends by itself, as last seen.
    pub(crate) until: Option<Timestamp>,
    /// With `clustered`: the name of this server that the entry showed last, canonical.
    pub(crate) home: Option<String>,
}

/// Where a link stands, as far as a plan depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Both sides are there, or were when last seen.
    #[default]
    Linked,
    /// The entry and the object are gone.
    Gone,
    /// The entry is out of scope, or names no home.
    OutOfScope,
    /// The entry's home is another server.
    MovedAway,
    /// Unlinked by hand: neither side is touched until somebody links or releases them.
    UnlinkedHeld,
}

/// Who removed a local object that is deleted or gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Removal {
    /// A connector, for its entry was gone or out of scope; or nobody knows. No deletion follows from it.
    #[default]
    BySync,
    /// A person.
    ByPerson,
}

/// Somebody else's claim to an address which this object has here and would bring to the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    /// The address, canonical.
    pub(crate) address: String,
    /// Whether it is kept.
    pub(crate) claim: Claim,
}

/// What another entry has to say about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It keeps it.
    Stays {
        /// The entry's DN.
        dn: String,
    },
    /// The object here that it is linked to no longer has the address, so its own plan takes it away: two people
    /// who swap.
    Leaves,
    /// Whether there is such an entry cannot be told.
    Untold {
        /// Why.
        why: Reason,
    },
}

/// A local object as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalObject {
    /// Which.
    pub(crate) id: LocalId,
    /// Its fields.
    pub(crate) image: Image,
    /// Its state.
    pub(crate) state: LocalState,
    /// The entry it is linked to, if any.
    pub(crate) linked_to: Option<EntryUuid>,
    /// What stands for its password.
    pub(crate) password: Option<Digest>,
    /// Members of a group that have no entry (yet), by address. They are no part of the image.
    pub(crate) members_without_entry: Vec<Address>,
    /// Members that are in the image by their entry and are still kept by their address.
    pub(crate) members_by_address: Vec<Address>,
}

/// Everything that is known about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Situation {
    /// The entry's lasting identity.
    pub(crate) uuid: EntryUuid,
    /// What people know the entry by: its DN, now or when last seen; empty when it never was seen.
    pub(crate) name: String,
    /// The directory's side.
    pub(crate) remote: Remote,
    /// The association.
    pub(crate) link: Option<Link>,
    /// The linked local object; none when there is no link or the object was erased.
    pub(crate) local: Option<LocalObject>,
    /// Without a link: the local objects that have the entry's address. With one, of an object that has stepped aside:
    /// those that have the address that was common last.
    pub(crate) by_address: Vec<LocalObject>,
    /// Without a link: the local objects that have one of its aliases.
    pub(crate) by_alias: Vec<LocalObject>,
    /// Without an object of its own: the one that another connector of this directory is linked to by the same entry.
    pub(crate) beside: Option<LocalObject>,
    /// Those of them whose own entry is gone, with that entry: they get a new one, and join none that somebody else made.
    pub(crate) bereaved: Vec<(LocalId, EntryUuid)>,
    /// The other home at which this connector saw the entry before, if any.
    pub(crate) seen_at: Option<String>,
    /// Who removed the local object, where it is deleted or erased (then the link comes from its tombstone).
    pub(crate) removal: Removal,
    /// Entries that have addresses which this object would bring.
    pub(crate) rivals: Vec<Rival>,
}

impl Situation {
    /// Whether the link has another DN than the entry. A stale one would name the wrong parent later.
    pub(crate) fn is_renamed(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.dn != self.name)
    }
}
