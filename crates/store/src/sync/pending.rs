//! Members of groups that have no link, or no address, yet. The group is looked at again when one arrives.

use super::change::{local_of, prefix};
use super::check_name;
use crate::codec::{Decoded, Reader, Writer};
use crate::commit::{Batch, Expect};
use crate::engine::{Space, after_key, after_prefix};
use crate::{LocalId, Store, StoreError};
use bytes::Bytes;
use model::{Address, EntryUuid};

const VERSION: u8 = 1;

/// A member that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberRef {
    /// An entry without an address.
    Entry(EntryUuid),
    /// An address whose object here has no entry.
    Address(Address),
}

impl MemberRef {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Entry(uuid) => [b"u", uuid.as_bytes().as_slice()].concat(),
            Self::Address(address) => [b"a", address.key().as_bytes(), b"\0"].concat(),
        }
    }
}

/// Who a group waits for.
fn of_group(connector: &str, group: LocalId) -> Vec<u8> {
    let mut key = prefix(b'P', connector);
    key.extend_from_slice(&group.to_bytes());
    key
}

/// Which groups wait for a member.
fn waiting(connector: &str, member: &MemberRef) -> Vec<u8> {
    let mut key = prefix(b'W', connector);
    key.extend_from_slice(&member.key());
    key
}

fn waiting_group(connector: &str, member: &MemberRef, group: LocalId) -> Vec<u8> {
    let mut key = waiting(connector, member);
    key.extend_from_slice(&group.to_bytes());
    key
}

fn write(members: &[MemberRef]) -> Bytes {
    Writer::new(VERSION)
        .list(members.iter(), |w, member| match member {
            MemberRef::Entry(uuid) => {
                w.u8(0).raw(uuid.as_bytes());
            }
            MemberRef::Address(address) => {
                w.u8(1).text(address.as_str());
            }
        })
        .done()
}

fn read(row: &[u8]) -> Decoded<Vec<MemberRef>> {
    let mut r = Reader::new(row, "pending members", VERSION)?;
    let members = r.list(|r| {
        Ok(match r.u8()? {
            0 => MemberRef::Entry(r.uuid()?),
            1 => MemberRef::Address(r.address()?),
            _ => return Err(r.corrupt()),
        })
    })?;
    r.end()?;
    Ok(members)
}

impl Store {
    /// The members that a group waits for.
    pub fn pending_members(&self, connector: &str, group: LocalId) -> Result<Vec<MemberRef>, StoreError> {
        let row = self.engine().get(Space::Directory, &of_group(connector, group))?;
        row.map_or_else(|| Ok(Vec::new()), |row| read(&row))
    }

    /// The groups that wait for a member, after `after`; at most `limit` and at most 256.
    pub fn groups_waiting_for(
        &self,
        connector: &str,
        member: &MemberRef,
        after: Option<LocalId>,
        limit: usize,
    ) -> Result<Vec<LocalId>, StoreError> {
        let prefix = waiting(connector, member);
        let from = after.map_or_else(
            || prefix.clone(),
            |group| after_key(&waiting_group(connector, member, group)),
        );
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        page.rows
            .iter()
            .map(|(key, _)| local_of(key.get(prefix.len()..).unwrap_or_default()))
            .collect()
    }

    /// Groups that wait, with the members that they wait for, after `after`; at most `limit` and at most 256.
    pub fn list_pending(
        &self,
        connector: &str,
        after: Option<LocalId>,
        limit: usize,
    ) -> Result<Vec<(LocalId, Vec<MemberRef>)>, StoreError> {
        let prefix = prefix(b'P', connector);
        let from = after.map_or_else(|| prefix.clone(), |group| after_key(&of_group(connector, group)));
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        page.rows
            .iter()
            .map(|(key, row)| Ok((local_of(key.get(prefix.len()..).unwrap_or_default())?, read(row)?)))
            .collect()
    }

    pub(super) fn stage_pending(
        &self,
        batch: &mut Batch,
        connector: &str,
        group: LocalId,
        members: &[MemberRef],
    ) -> Result<(), StoreError> {
        check_name(connector)?;
        let key = of_group(connector, group);
        let old = self.engine().get(Space::Directory, &key)?;
        let known = match &old {
            Some(row) => read(row)?,
            None => Vec::new(),
        };
        if known == members {
            return Ok(());
        }
        let expect = old.map_or(Expect::Absent, Expect::Equals);
        batch.expect(Space::Directory, key.clone(), expect, StoreError::Conflict);
        for member in &known {
            batch.delete(Space::Directory, waiting_group(connector, member, group));
        }
        for member in members {
            let row = Bytes::from_static(&[1]);
            batch.put(Space::Directory, waiting_group(connector, member, group), row);
        }
        if members.is_empty() {
            batch.delete(Space::Directory, key);
        } else {
            batch.put(Space::Directory, key, write(members));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_round_trip_and_damage_never_panics(at in 0usize..40, x: u8) {
            let members = vec![
                MemberRef::Entry(EntryUuid::from_bytes([1; 16])),
                MemberRef::Address(Address::parse("a@example.test").expect("an address")),
            ];
            let mut row = write(&members).to_vec();
            prop_assert_eq!(&read(&row).expect("reads"), &members);
            if let Some(byte) = row.get_mut(at) {
                *byte = x;
            }
            let _ = read(&row);
        }
    }
}
