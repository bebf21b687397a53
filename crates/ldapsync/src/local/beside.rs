//! What other connectors of the same directory know here: two of them are linked to one object by one entry.

use super::{Local, own_id};
use crate::link;
use crate::plan::{Link, LocalObject, LocalState, RemoteObject, fields_of, kind_of};
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

    /// Takes from the link of another of them what that one has seen of the same entry since: a value here that it got from
    /// there is no edit of anybody's. Without that, whoever looks later would write it back over what the directory says by
    /// then. The entry is `shown` as it was seen there, or later: a server that lags shows what was before.
    pub(super) fn learn_from_beside(
        &self,
        uuid: EntryUuid,
        link: &mut Link,
        (known, shown): (Option<&str>, Option<&str>),
        object: &LocalObject,
    ) -> Result<(), StoreError> {
        for other in self.of_the_same_directory()? {
            let theirs = self.store.association_by_uuid(other, uuid)?;
            let Some(theirs) = theirs.filter(|theirs| own_id(theirs.local) == object.id) else {
                continue;
            };
            let version = theirs.data.version.as_deref();
            if !Self::is_renewed(known, version) || shown < version {
                continue;
            }
            let base = link::decode(&theirs.data.base);
            for field in fields_of(kind_of(object.id)) {
                let (own, seen, here) = (link.base.get(*field), base.get(*field), object.image.get(*field));
                let settled =
                    !link.marks.apart.contains_key(field) && !link.marks.refused.contains_key(field);
                if settled && seen == here && seen != own {
                    link.base.set(*field, seen.clone());
                    link.rebased = true;
                }
            }
        }
        Ok(())
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
