//! Members that groups name by an address of this server, and what becomes of them when that address changes.
//!
//! Who is in a group stays in it under another address: the groups are changed in the commit that changes the address.
//! An index says which groups those are, so that nobody has to read them all. Many who are renamed together may be in one
//! group: each waits for its turn until the one before is committed, and so does whoever adds a name to that index.

use super::rows::{read_group, write_group};
use super::types::{Group, Member, Origin, Touched};
use crate::commit::{Batch, Expect};
use crate::engine::{Durability, Engine, Space, after_key, after_prefix};
use crate::{LocalId, Store, StoreError, keys};
use bytes::Bytes;
use model::{Address, GroupId};
use std::collections::BTreeSet;

/// Groups that are read at once.
const PAGE: usize = 256;

/// The addresses that a group names.
fn named(group: &Group) -> BTreeSet<String> {
    let by_address = |member: &Member| match member {
        Member::Local(address) => Some(address.key()),
        Member::Remote { .. } => None,
    };
    group.members.iter().filter_map(by_address).collect()
}

/// Whether a group names any address.
pub(super) fn names_any(group: &Group) -> bool {
    group
        .members
        .iter()
        .any(|member| matches!(member, Member::Local(_)))
}

/// Whether a group names an address that it did not name before.
pub(super) fn comes(old: &Group, new: &Group) -> bool {
    !named(new).is_subset(&named(old))
}

/// Moves the index from what a group named to what it names.
pub(super) fn stage(batch: &mut Batch, id: GroupId, old: Option<&Group>, new: Option<&Group>) {
    let (old, new) = (
        old.map(named).unwrap_or_default(),
        new.map(named).unwrap_or_default(),
    );
    for gone in old.difference(&new) {
        batch.delete(Space::Directory, keys::named(gone, id));
    }
    for comes in new.difference(&old) {
        batch.put(Space::Directory, keys::named(comes, id), Bytes::from_static(&[1]));
    }
}

/// Makes the index of a store that was written before there was one.
pub(crate) fn build(engine: &Engine) -> Result<(), StoreError> {
    if engine.get(Space::Meta, keys::NAMED)?.is_some() {
        return Ok(());
    }
    let done = (Space::Meta, keys::NAMED.to_vec(), Some(Bytes::from_static(&[1])));
    let (mut from, end) = (b"G".to_vec(), after_prefix(b"G"));
    loop {
        let page = engine.snapshot().page(Space::Directory, &from, &end, PAGE)?;
        let mut rows = Vec::new();
        for (key, row) in &page.rows {
            let id = super::account::number_of(key).and_then(|number| GroupId::new(number).ok());
            // A damaged row is reported by whoever reads the group.
            let Some(group) = id.and_then(|id| read_group(id, row).ok()) else {
                continue;
            };
            let row = |address: &String| {
                let key = keys::named(address, group.id);
                (Space::Directory, key, Some(Bytes::from_static(&[1])))
            };
            rows.extend(named(&group).iter().map(row));
        }
        let Some((last, _)) = page.rows.last() else {
            return engine.write(vec![done], Durability::Disk);
        };
        from = after_key(last);
        if !rows.is_empty() {
            engine.write(rows, Durability::Disk)?;
        }
    }
}

impl Store {
    /// The groups that name this address.
    fn groups_naming(&self, address: &Address) -> Result<Vec<GroupId>, StoreError> {
        let prefix = keys::named_in(&address.key());
        let (mut from, end) = (prefix.clone(), after_prefix(&prefix));
        let mut found = Vec::new();
        loop {
            let page = self
                .engine()
                .snapshot()
                .page(Space::Directory, &from, &end, PAGE)?;
            let Some((last, _)) = page.rows.last() else {
                return Ok(found);
            };
            from = after_key(last);
            let id = |key: &[u8]| {
                let number = key.get(prefix.len()..)?.try_into().map(u64::from_be_bytes).ok()?;
                GroupId::new(number).ok()
            };
            found.extend(page.rows.iter().filter_map(|(key, _)| id(key)));
        }
    }

    /// In the groups that name the address which an object gives up, its new one takes the place. The object itself
    /// is written by whoever asks, who keeps the turn until that is committed; none when no group names the address.
    pub(super) async fn stage_followers(
        &self,
        batch: &mut Batch,
        owner: LocalId,
        (old, new, kept): (&Address, &Address, &[Address]),
        origin: &Origin,
    ) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, StoreError> {
        // Another spelling is the same address; so is one that stays as an alias.
        if old.key() == new.key() || kept.iter().any(|alias| alias.key() == old.key()) {
            return Ok(None);
        }
        if self.groups_naming(old)?.is_empty() {
            // Who names it before this is committed is seen at the next try.
            let prefix = keys::named_in(&old.key());
            batch.expect(Space::Directory, prefix, Expect::Empty, StoreError::Conflict);
            return Ok(None);
        }
        let turn = self.followers().lock().await;
        for id in self.groups_naming(old)? {
            let key = keys::group(id);
            let Some(row) = self.engine().get(Space::Directory, &key)? else {
                continue;
            };
            let before = read_group(id, &row)?;
            if owner == LocalId::Group(id) {
                continue;
            }
            let mut after = before.clone();
            for member in &mut after.members {
                if matches!(member, Member::Local(address) if address.key() == old.key()) {
                    *member = Member::Local(new.clone());
                }
            }
            after.members.sort();
            after.members.dedup();
            if after.members == before.members {
                continue;
            }
            after.version += 1;
            batch.expect(
                Space::Directory,
                key.clone(),
                Expect::Equals(row),
                StoreError::Conflict,
            );
            batch.put(Space::Directory, key, write_group(&after));
            stage(batch, id, Some(&before), Some(&after));
            let note = format!("group {}: member {old} is {new} now", after.address);
            self.journal_row(batch, Some(LocalId::Group(id)), Touched::MEMBERS, origin, note);
        }
        Ok(Some(turn))
    }
}

#[cfg(test)]
mod tests {
    use crate::{AccountChange, GroupChange, Member, NewAccount, NewGroup, Origin, Store, StoreConfig};
    use model::{Address, Domain, ManualClock, Timestamp};
    use std::path::Path;
    use std::sync::Arc;

    fn address(name: &str) -> Address {
        Address::parse(&format!("{name}@example.test")).expect("an address")
    }

    fn admin() -> Origin {
        Origin::Admin("test".to_owned())
    }

    fn open(folder: &Path) -> Store {
        let clock = Arc::new(ManualClock::new(Timestamp::default()));
        Store::open(folder, &StoreConfig::default(), clock).expect("opens")
    }

    fn members(store: &Store, group: &str) -> Vec<String> {
        let group = store
            .group_by_address(&address(group))
            .expect("reads")
            .expect("there");
        group
            .members
            .iter()
            .map(|member| member.address().local_part().to_owned())
            .collect()
    }

    async fn rename(store: &Store, from: &str, change: AccountChange) {
        let account = store
            .account_by_address(&address(from))
            .expect("reads")
            .expect("there");
        store
            .update_account(account.id, None, change, &admin())
            .await
            .expect("changed");
    }

    #[tokio::test]
    async fn a_member_stays_one_under_another_address() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let domain = Domain::parse("example.test").expect("a domain");
        store.create_domain(&domain, &admin()).await.expect("created");
        for name in ["one", "two"] {
            store
                .create_account(NewAccount::new(address(name)), &admin())
                .await
                .expect("created");
        }
        let member = |name: &str| Member::Local(address(name));
        for (name, some) in [
            ("team", vec![member("one"), member("two")]),
            ("all", vec![member("team"), member("One")]),
        ] {
            let mut new = NewGroup::new(address(name));
            new.members = some;
            store.create_group(new, &admin()).await.expect("created");
        }
        let to = |name: &str| AccountChange {
            address: Some(address(name)),
            ..AccountChange::default()
        };
        let before = store
            .group_by_address(&address("team"))
            .expect("reads")
            .expect("there")
            .version;
        rename(&store, "one", to("uno")).await;
        assert_eq!(members(&store, "team"), ["two", "uno"]);
        assert_eq!(members(&store, "all"), ["team", "uno"]);
        let after = store
            .group_by_address(&address("team"))
            .expect("reads")
            .expect("there")
            .version;
        assert_eq!(after, before + 1, "whoever planned on the group looks again");
        // Two people who swap: who is in the group is the same person.
        rename(&store, "uno", to("between")).await;
        rename(&store, "two", to("uno")).await;
        rename(&store, "between", to("two")).await;
        assert_eq!(members(&store, "team"), ["two", "uno"]);
        assert_eq!(members(&store, "all"), ["team", "two"]);
        // The former address stays as an alias: nothing has to change.
        let kept = AccountChange {
            aliases: Some(vec![address("two")]),
            ..to("deux")
        };
        rename(&store, "two", kept).await;
        assert_eq!(members(&store, "all"), ["team", "two"]);
        // A group is a member like any other.
        let team = store
            .group_by_address(&address("team"))
            .expect("reads")
            .expect("there");
        let change = GroupChange {
            address: Some(address("crew")),
            ..GroupChange::default()
        };
        store
            .update_group(team.id, None, change, &admin())
            .await
            .expect("changed");
        assert_eq!(members(&store, "all"), ["crew", "two"]);
        // Who left is not followed.
        let change = GroupChange {
            members: Some(Vec::new()),
            ..GroupChange::default()
        };
        store
            .update_group(team.id, None, change, &admin())
            .await
            .expect("changed");
        rename(&store, "uno", to("trois")).await;
        assert!(members(&store, "crew").is_empty());
        store.close().await.expect("closes");
    }

    // Each was read before the others were written, as a connector does it with what the directory renamed together.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn members_of_one_list_are_renamed_side_by_side() {
        const ALL: usize = 64;
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let domain = Domain::parse("example.test").expect("a domain");
        store.create_domain(&domain, &admin()).await.expect("created");
        let mut ids = Vec::new();
        for number in 0..ALL {
            let new = NewAccount::new(address(&format!("one{number}")));
            ids.push(store.create_account(new, &admin()).await.expect("created"));
        }
        let mut new = NewGroup::new(address("staff"));
        new.members = (0..ALL)
            .map(|number| Member::Local(address(&format!("one{number}"))))
            .collect();
        store.create_group(new, &admin()).await.expect("created");
        let mut running = tokio::task::JoinSet::new();
        for (number, id) in ids.into_iter().enumerate() {
            let store = store.clone();
            running.spawn(async move {
                let version = store.account(id).expect("reads").expect("there").version;
                let change = AccountChange {
                    address: Some(address(&format!("two{number}"))),
                    ..AccountChange::default()
                };
                store
                    .update_account(id, Some(version), change, &admin())
                    .await
                    .map(drop)
            });
        }
        for done in running.join_all().await {
            done.expect("nobody else changed this account");
        }
        let mut want: Vec<String> = (0..ALL).map(|number| format!("two{number}")).collect();
        want.sort();
        let mut have = members(&store, "staff");
        have.sort();
        assert_eq!(have, want);
        store.close().await.expect("closes");
    }

    #[tokio::test]
    async fn who_is_added_to_a_list_while_being_renamed_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let domain = Domain::parse("example.test").expect("a domain");
        store.create_domain(&domain, &admin()).await.expect("created");
        let one = store
            .create_account(NewAccount::new(address("one")), &admin())
            .await;
        let one = crate::LocalId::Account(one.expect("created"));
        let team = store.create_group(NewGroup::new(address("team")), &admin()).await;
        // No list names it when the rename is made, and one does when it is to be committed.
        let mut batch = super::super::changes::batch();
        let renamed = (&address("one"), &address("uno"), &[][..]);
        let turn = store.stage_followers(&mut batch, one, renamed, &admin()).await;
        assert!(turn.expect("made").is_none());
        let change = GroupChange {
            members: Some(vec![Member::Local(address("one"))]),
            ..GroupChange::default()
        };
        store
            .update_group(team.expect("created"), None, change, &admin())
            .await
            .expect("added");
        let committed = store.commit(batch).await;
        assert!(
            matches!(committed, Err(crate::StoreError::Conflict)),
            "{committed:?}"
        );
        let mut batch = super::super::changes::batch();
        let turn = store.stage_followers(&mut batch, one, renamed, &admin()).await;
        let turn = turn.expect("made").expect("a turn");
        store.commit(batch).await.expect("committed");
        drop(turn);
        assert_eq!(members(&store, "team"), ["uno"]);
        store.close().await.expect("closes");
    }

    #[tokio::test]
    async fn the_index_of_an_older_store_is_made_when_it_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let domain = Domain::parse("example.test").expect("a domain");
        store.create_domain(&domain, &admin()).await.expect("created");
        store
            .create_account(NewAccount::new(address("one")), &admin())
            .await
            .expect("created");
        let mut new = NewGroup::new(address("team"));
        new.members = vec![Member::Local(address("one"))];
        let team = store.create_group(new, &admin()).await.expect("created");
        // As it was before there was an index.
        let forget = vec![
            (crate::engine::Space::Meta, crate::keys::NAMED.to_vec(), None),
            (
                crate::engine::Space::Directory,
                crate::keys::named("one@example.test", team),
                None,
            ),
        ];
        store
            .engine()
            .write(forget, crate::engine::Durability::Disk)
            .expect("written");
        store.close().await.expect("closes");
        drop(store);
        let store = open(folder.path());
        let change = AccountChange {
            address: Some(address("uno")),
            ..AccountChange::default()
        };
        rename(&store, "one", change).await;
        assert_eq!(members(&store, "team"), ["uno"]);
        store.close().await.expect("closes");
    }
}
