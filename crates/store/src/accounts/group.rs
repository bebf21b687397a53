//! Groups.

use super::account::number_of;
use super::changes::{batch, index, tidy_aliases};
use super::journal::{from_to, gone_and_come};
use super::named;
use super::rows::{read_group, write_group};
use super::types::{Group, GroupChange, Member, NewGroup, Origin, Touched};
use crate::commit::Expect;
use crate::engine::{Space, after_key};
use crate::sync::{Association, RemovedBy, SyncChange};
use crate::{LocalId, Store, StoreError, keys};
use model::{Address, GroupId};
use std::sync::Arc;

/// Most members of one group.
const MEMBERS: usize = 50_000;
const TRIES: usize = 8;

fn tidy_members(members: &mut Vec<Member>) -> Result<(), StoreError> {
    members.sort();
    members.dedup();
    if members.len() > MEMBERS {
        return Err(StoreError::Limit("members"));
    }
    Ok(())
}

impl Store {
    /// Creates a group.
    pub async fn create_group(&self, new: NewGroup, origin: &Origin) -> Result<GroupId, StoreError> {
        let mut batch = batch();
        let mut group = Group {
            id: GroupId::new(1).map_err(|_| StoreError::Limit("groups"))?,
            aliases: tidy_aliases(&new.address, new.aliases)?,
            address: new.address,
            display_name: new.display_name,
            enabled: new.enabled,
            members: new.members,
            version: 1,
            created: self.clock().now(),
        };
        tidy_members(&mut group.members)?;
        let turn = match named::names_any(&group) {
            true => Some(self.followers().lock().await),
            false => None,
        };
        let (id, ids) = self.next_id(&mut batch).await?;
        group.id = GroupId::new(id).map_err(|_| StoreError::Limit("groups"))?;
        let local = LocalId::Group(group.id);
        index(&mut batch, local, &[], &group.addresses().collect::<Vec<_>>());
        batch.put(Space::Directory, keys::group(group.id), write_group(&group));
        named::stage(&mut batch, group.id, None, Some(&group));
        let mut touched = Touched::CREATED;
        if let Some(association) = new.association {
            touched = touched.and(Touched::ASSOCIATION);
            self.stage_association(&mut batch, &Association::new(association, local))?;
        }
        self.stage_sync(&mut batch, Some(local), &new.sync)?;
        let note = format!("group {} created", group.address);
        self.journal_row(&mut batch, Some(local), touched, origin, note);
        let queued = self.committer().slot(0).await?.send(batch);
        drop(ids);
        queued.committed().await?;
        drop(turn);
        Ok(group.id)
    }

    /// The group with this id.
    pub fn group(&self, id: GroupId) -> Result<Option<Arc<Group>>, StoreError> {
        let row = self.engine().get(Space::Directory, &keys::group(id))?;
        row.map(|row| read_group(id, &row).map(Arc::new)).transpose()
    }

    /// The group with this primary address or alias.
    pub fn group_by_address(&self, address: &Address) -> Result<Option<Arc<Group>>, StoreError> {
        match self.local_id(address)? {
            Some(LocalId::Group(id)) => self.group(id),
            _ => Ok(None),
        }
    }

    /// Changes a group, like [`Store::update_account`].
    pub async fn update_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        change: GroupChange,
        origin: &Origin,
    ) -> Result<Arc<Group>, StoreError> {
        for _ in 0..TRIES {
            match self.try_update_group(id, expected_version, &change, origin).await {
                Err(StoreError::Conflict) if self.is_still_group(id, expected_version)? => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict)
    }

    /// Whether a group is as it was expected to be.
    fn is_still_group(&self, id: GroupId, expected_version: Option<u64>) -> Result<bool, StoreError> {
        let Some(expected) = expected_version else {
            return Ok(true);
        };
        Ok(self.group(id)?.is_some_and(|group| group.version == expected))
    }

    async fn try_update_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        change: &GroupChange,
        origin: &Origin,
    ) -> Result<Arc<Group>, StoreError> {
        let key = keys::group(id);
        let row = self.engine().get(Space::Directory, &key)?;
        let row = row.ok_or(StoreError::NotFound("the group"))?;
        let old = read_group(id, &row)?;
        if expected_version.is_some_and(|version| version != old.version) {
            return Err(StoreError::Conflict);
        }
        let mut new = old.clone();
        let mut touched = apply(&mut new, change.clone())?;
        let local = LocalId::Group(id);
        let mut batch = batch();
        if let Some(association) = &change.association
            && self.stage_association(&mut batch, &Association::new(association.clone(), local))?
        {
            touched = touched.and(Touched::ASSOCIATION);
        }
        self.stage_sync(&mut batch, Some(local), &change.sync)?;
        if touched == Touched::default() {
            if !batch.ops.is_empty() {
                batch.expect(Space::Directory, key, Expect::Equals(row), StoreError::Conflict);
                self.commit(batch).await?;
            }
            return Ok(Arc::new(old));
        }
        new.version += 1;
        let (before, after): (Vec<_>, Vec<_>) = (old.addresses().collect(), new.addresses().collect());
        index(&mut batch, local, &before, &after);
        batch.expect(
            Space::Directory,
            key.clone(),
            Expect::Equals(row),
            StoreError::Conflict,
        );
        batch.put(Space::Directory, key, write_group(&new));
        named::stage(&mut batch, id, Some(&old), Some(&new));
        let renamed = (&old.address, &new.address, new.aliases.as_slice());
        let turn = match self.stage_followers(&mut batch, local, renamed, origin).await? {
            None if named::comes(&old, &new) => Some(self.followers().lock().await),
            turn => turn,
        };
        let note = describe(&old, &new, touched);
        self.journal_row(&mut batch, Some(local), touched, origin, note);
        self.commit(batch).await?;
        drop(turn);
        Ok(Arc::new(new))
    }

    /// Deletes a group with its links; a group holds no mail, so there is no retention.
    pub async fn delete_group(&self, id: GroupId, origin: &Origin) -> Result<(), StoreError> {
        self.remove_group((id, None), &[], origin).await
    }

    /// The same in the version that was read, or [`StoreError::Conflict`], with rows of a connector in the same commit.
    pub async fn remove_group(
        &self,
        (id, expected_version): (GroupId, Option<u64>),
        sync: &[SyncChange],
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let key = keys::group(id);
        let row = self.engine().get(Space::Directory, &key)?;
        let row = row.ok_or(StoreError::NotFound("the group"))?;
        let group = read_group(id, &row)?;
        if expected_version.is_some_and(|version| version != group.version) {
            return Err(StoreError::Conflict);
        }
        let local = LocalId::Group(id);
        let mut batch = batch();
        self.stage_sync(&mut batch, Some(local), sync)?;
        batch.expect(
            Space::Directory,
            key.clone(),
            Expect::Equals(row),
            StoreError::Conflict,
        );
        batch.delete(Space::Directory, key);
        named::stage(&mut batch, id, Some(&group), None);
        index(&mut batch, local, &group.addresses().collect::<Vec<_>>(), &[]);
        self.stage_unlink_all(&mut batch, local, (RemovedBy::of(origin), origin))?;
        let note = format!("group {} deleted", group.address);
        self.journal_row(&mut batch, Some(local), Touched::DELETED, origin, note);
        self.commit(batch).await
    }

    /// Groups by id, after `after`; at most `limit` and at most 256. Damaged ones are left out.
    pub fn list_groups(&self, after: Option<GroupId>, limit: usize) -> Result<Vec<Arc<Group>>, StoreError> {
        let from = after.map_or_else(|| b"G".to_vec(), |id| after_key(&keys::group(id)));
        self.sound_rows(from, b"G", limit, |key, row| {
            let id = number_of(key).and_then(|number| GroupId::new(number).ok());
            let id = id.ok_or_else(|| StoreError::Corrupt {
                account: None,
                what: "group key".into(),
            })?;
            read_group(id, row).map(Arc::new)
        })
    }
}

/// The row of the audit log, for people.
fn describe(old: &Group, new: &Group, touched: Touched) -> String {
    let mut said = Vec::new();
    if touched.has(Touched::ADDRESS) {
        said.push(from_to(
            "address",
            Some(old.address.as_str()),
            Some(new.address.as_str()),
        ));
    }
    if touched.has(Touched::ALIASES) {
        said.push(gone_and_come("aliases", &old.aliases, &new.aliases));
    }
    if touched.has(Touched::DISPLAY_NAME) {
        said.push(from_to(
            "display name",
            old.display_name.as_deref(),
            new.display_name.as_deref(),
        ));
    }
    if touched.has(Touched::ENABLED) {
        let enabled = if new.enabled { "enabled" } else { "disabled" };
        said.push(enabled.to_owned());
    }
    // A list may be long, and only who comes and goes is of interest.
    if touched.has(Touched::MEMBERS) {
        let addresses = |group: &Group| -> Vec<Address> {
            let members = group.members.iter();
            members.map(|member| member.address().clone()).collect()
        };
        said.push(gone_and_come("members", &addresses(old), &addresses(new)));
    }
    if touched.has(Touched::ASSOCIATION) {
        said.push("link".to_owned());
    }
    format!("group {}: {}", old.address, said.join(", "))
}

fn apply(group: &mut Group, change: GroupChange) -> Result<Touched, StoreError> {
    let mut touched = Touched::default();
    let mut mark = |changed: bool, bit: Touched| {
        if changed {
            touched = touched.and(bit);
        }
    };
    if let Some(address) = change.address {
        mark(address.as_str() != group.address.as_str(), Touched::ADDRESS);
        group.address = address;
    }
    let aliases = change.aliases.unwrap_or_else(|| group.aliases.clone());
    let aliases = tidy_aliases(&group.address, aliases)?;
    mark(aliases != group.aliases, Touched::ALIASES);
    group.aliases = aliases;
    if let Some(name) = change.display_name {
        mark(name != group.display_name, Touched::DISPLAY_NAME);
        group.display_name = name;
    }
    if let Some(enabled) = change.enabled {
        mark(enabled != group.enabled, Touched::ENABLED);
        group.enabled = enabled;
    }
    if let Some(mut members) = change.members {
        tidy_members(&mut members)?;
        mark(members != group.members, Touched::MEMBERS);
        group.members = members;
    }
    Ok(touched)
}
