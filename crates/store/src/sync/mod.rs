//! What `ldapsync` keeps in the same store as the accounts: associations, connector checkpoints, quarantine, the
//! outbox, the conflict journal, tombstones, pending members.
//!
//! Only rows and their uniqueness; what they mean is `ldapsync`'s business. Writes are durable when the call
//! returns, so a cookie that is stored after the changes it covers never runs ahead of them. Rows that belong
//! together are one [`Store::commit_sync`](crate::Store::commit_sync), or ride with a change of an account or
//! group. Nothing here ever holds a password.

mod association;
mod change;
mod conflict;
mod connector;
mod elsewhere;
mod intent;
mod origin;
mod parents;
mod pending;
mod rows;
mod sums;
#[cfg(test)]
mod tests;
mod tombstone;
mod types;

pub use association::LinkRead;
pub(crate) use association::stage_arrival;
pub use change::SyncChange;
pub use conflict::{Conflict, ConflictId, Loser};
pub use elsewhere::Elsewhere;
pub(crate) use elsewhere::all as elsewhere_of;
pub use intent::{FieldValues, Intent, IntentKind, Precondition};
pub use origin::JournalPage;
pub use parents::Parent;
pub use pending::MemberRef;
pub(crate) use sums::{Came, Mark, Row as SumsRow, Tally};
pub use sums::{LinkSums, STATE_UNTIL};
pub(crate) use tombstone::all as tombstones_of;
pub use tombstone::{RemovedBy, Tombstone};
pub use types::{
    Association, ConnectorState, LinkData, LinkState, NewAssociation, Phase, QuarantineEntry, Shown,
};

use crate::StoreError;

/// A name that goes into keys: not empty, no NUL, at most 255 octets.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > 255 || name.contains('\0') {
        return Err(StoreError::Invalid(format!("{name:?} is not a usable name")));
    }
    Ok(())
}
