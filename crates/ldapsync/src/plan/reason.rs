//! Why an object is set aside.

use super::op::LocalId;
use model::EntryUuid;

/// What every reason of a hidden entry says.
pub(crate) const HIDDEN: &str = "cannot be read either, so this counts as no deletion";

/// Why an object is set aside for a person to look at. The others go on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub(crate) enum Reason {
    /// The entry and an unlinked local object share an address that is an alias on one side at least. Whoever may
    /// write an alias in the directory must not claim an account by it.
    #[error(
        "{shared} is also an address of {}, which no entry is linked to, and an alias links nothing: \
         to link the two, make the entry's mail that object's address; otherwise take {shared} from one of them",
        .locals.join(" and ")
    )]
    AliasMatch {
        /// The address that both have.
        shared: String,
        /// The addresses of the local objects.
        locals: Vec<String>,
    },
    /// An account's entry has the address of a local group, or the other way round.
    #[error(
        "{address} is the address of another kind of object here ({local}); rename or delete one of the two"
    )]
    OtherKind {
        /// The address.
        address: String,
        /// The object that has it.
        local: LocalId,
    },
    /// The local object with that address belongs to another entry.
    #[error(
        "{address} is linked to the entry {other} here; take the address from one of the two entries, or link it anew \
         (homing sync unlink, then relink)"
    )]
    AlreadyLinked {
        /// The object's address.
        address: String,
        /// The entry it is linked to.
        other: EntryUuid,
    },
    /// The entry names several homes.
    #[error("the entry names several hosts: {}", .hosts.join(", "))]
    SeveralHosts {
        /// Them.
        hosts: Vec<String>,
    },
    /// The entry cannot be mapped.
    #[error("the entry cannot be used: {message}")]
    Unusable {
        /// What is wrong with it.
        message: String,
    },
    /// The address is of a domain that this server does not hold.
    #[error(
        "{domain} is not a domain of this server: homing domain create {domain}, then homing sync run --full"
    )]
    ForeignDomain {
        /// The domain.
        domain: String,
    },
    /// The entry cannot be seen, and neither can its parent. Lost read rights look like that, so it is no deletion.
    #[error(
        "the entry is not there, but {parent} above it {hidden}: restore the read rights of the service identity, or, if \
         {parent} was removed or renamed, homing sync quarantine gone '{parent}'",
        hidden = HIDDEN
    )]
    HiddenParent {
        /// The parent's DN as last known.
        parent: String,
    },
    /// The entry is not there, in a directory or a scope that is another one than before.
    #[error(
        "the entry is not there, but the directory, or what is read of it, is another one since: nothing follows \
         before everything was compared once more (homing sync run --full)"
    )]
    Spared,
    /// An address that this object has here belongs to another entry.
    #[error(
        "{address} is an address of the entry {dn} already: take it from one of the two, or relink this object \
         to that entry"
    )]
    TakenInDirectory {
        /// The address.
        address: String,
        /// The entry that has it.
        dn: String,
    },
    /// The object's entry was deleted, and before it got another one somebody else made an entry with its address. A
    /// stranger never gets the mail of a namesake.
    #[error(
        "the entry {former} of {address} here was deleted in the directory, and {dn}, which has that address now, was made \
         by somebody else: give one of the two another address; if they are the same person, delete the object here, and \
         bring its mail to the new one (homing account undelete --into)"
    )]
    Stranger {
        /// The address that both have.
        address: String,
        /// The other entry.
        dn: String,
        /// The entry that is gone.
        former: EntryUuid,
    },
    /// The directory does not say who has an address that this object would bring there.
    #[error("whether {address} is free in the directory cannot be told: {message}")]
    HolderUntold {
        /// The address.
        address: String,
        /// What it said.
        message: String,
    },
    /// The entry of a local object's address is in quarantine itself.
    #[error("the entry with its address, {entry}, waits itself: see its row")]
    EntryWaits {
        /// It.
        entry: EntryUuid,
    },
    /// The object stepped aside while addresses changed hands, and cannot have its own back.
    #[error(
        "it gave its address up for a moment while two addresses changed hands ({address} stands for it), and cannot have \
         it back: give it another address"
    )]
    StandsAside {
        /// The name for a moment.
        address: String,
    },
    /// Several entries have the address of a local object.
    #[error("{address} is the address of several entries: {}", .dns.join(" and "))]
    SeveralEntries {
        /// The address.
        address: String,
        /// Them.
        dns: Vec<String>,
    },
    /// The store refused the change.
    #[error("the change was refused: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The directory did not answer this object's write. The others go on.
    #[error("the directory does not take the change now: {message}")]
    Unreachable {
        /// What is known.
        message: String,
    },
    /// Another connector of the same directory makes an entry of it.
    #[error("{connector} makes an entry of it in the same directory")]
    MadeBeside {
        /// The connector.
        connector: String,
    },
    /// Members of a list are linked here, and their entries are not found. The rest of the list is written.
    #[error(
        "members whose entries are not found in the directory stay as they are on both sides until they are: {members}"
    )]
    MembersNotFound {
        /// Their addresses.
        members: String,
    },
    /// The guard holds a destructive change until somebody approves it.
    #[error("held by the guard: {}", .lines.join("; "))]
    Held {
        /// The operations, as diff lines.
        lines: Vec<String>,
    },
}

impl Reason {
    /// The reason with the name of the entry, for whoever sees a UUID beside it.
    pub(crate) fn about(&self, name: &str) -> String {
        let text = self.to_string();
        if name.is_empty() || text.contains(name) {
            text
        } else {
            format!("{name}: {text}")
        }
    }
}
