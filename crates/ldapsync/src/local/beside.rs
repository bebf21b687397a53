//! What other connectors of the same directory know here: two of them are linked to one object by one entry.

use super::{Local, own_id};
use crate::plan::{LocalObject, LocalState, RemoteObject, kind_of};
use model::EntryUuid;
use store::{LinkState, StoreError};

impl Local {
    /// Other connectors of the directory that this one was last seen to have.
    pub(crate) fn of_the_same_directory(&self) -> Result<Vec<&str>, StoreError> {
        let mut found = Vec::new();
        if self.others.is_empty() {
            return Ok(found);
        }
        let Some(own) = self.store.connector_state(&self.connector)?.server_fingerprint else {
            return Ok(found);
        };
        for other in &self.others {
            if self.store.connector_state(other)?.server_fingerprint.as_ref() == Some(&own) {
                found.push(other.as_str());
            }
        }
        Ok(found)
    }

    /// The object that another of them is linked to by this entry, with its version: the same entry is the same person,
    /// whatever address the two have by now. Not what is removed here, what this connector has another entry for, or what
    /// somebody unlinked by hand.
    pub(super) fn linked_beside(
        &self,
        uuid: EntryUuid,
        remote: &RemoteObject,
    ) -> Result<Option<(LocalObject, u64)>, StoreError> {
        for other in self.of_the_same_directory()? {
            let link = self.store.association_by_uuid(other, uuid)?;
            let Some(link) = link.filter(|link| !link.data.state.is_held() && !is_gone(&link.data.state))
            else {
                continue;
            };
            let of_its_kind = kind_of(own_id(link.local)) == remote.kind;
            let free = |object: &LocalObject| {
                of_its_kind && object.linked_to.is_none() && object.state != LocalState::Deleted
            };
            let object = self.object(link.local)?;
            if let Some(found) = object.filter(|(object, _)| free(object)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Whether a link's entry is known to be gone.
pub(crate) fn is_gone(state: &LinkState) -> bool {
    match state {
        LinkState::Gone { .. } => true,
        LinkState::UnlinkedHeld { was } => is_gone(was),
        _ => false,
    }
}
