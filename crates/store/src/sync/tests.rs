//! Rows that are committed together, and what an erasure leaves.

use super::conflict::tests::conflict;
use super::intent::tests::intent;
use super::*;
use crate::{
    AccountChange, AccountState, GroupChange, LocalId, NewAccount, NewGroup, Origin, Store, StoreError,
};
use bytes::Bytes;
use model::{AccountId, Address, Domain, EntryUuid, GroupId, ManualClock, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const UUID: EntryUuid = EntryUuid::from_bytes([4; 16]);

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

async fn store() -> Store {
    let store = Store::in_memory(Arc::new(ManualClock::default())).expect("opens");
    let domain = Domain::parse("example.test").expect("a domain");
    store
        .create_domain(&domain, &Origin::System)
        .await
        .expect("a domain");
    store
}

fn link(connector: &str, state: LinkState) -> NewAssociation {
    let mut data = LinkData::new("uid=a,dc=test");
    data.state = state;
    NewAssociation {
        connector: connector.into(),
        remote: UUID,
        data,
    }
}

fn held(was: LinkState) -> LinkState {
    LinkState::UnlinkedHeld { was: Box::new(was) }
}

fn deleted(by: RemovedBy) -> AccountState {
    let until = Timestamp::from_millis(0);
    AccountState::SoftDeleted { until, by }
}

/// What is written of a link that was read is nothing where it went meanwhile, or is another one by now.
#[tokio::test]
async fn a_link_that_went_does_not_come_back() {
    let store = store().await;
    let id = account(&store, &[("c", LinkState::Linked)]).await;
    let local = LocalId::Account(id);
    let read = || {
        let read = store.link_to_change("c", local).expect("reads");
        read.expect("linked")
    };
    let change = |read: &LinkRead, dn: &str| {
        let mut data = read.link().data.clone();
        data.dn = dn.into();
        SyncChange::Relinked(Box::new(read.clone()), Box::new(data))
    };
    store.count_links("c", |_| true).await.expect("counted");
    let before = read();
    let sums = store.link_sums("c").expect("reads").expect("counted").links;
    store
        .commit_sync(&[change(&before, "uid=b,dc=test")])
        .await
        .expect("as it was read");
    let found = store
        .association_by_uuid("c", UUID)
        .expect("reads")
        .expect("linked");
    assert_eq!((found.local, found.data.dn.as_str()), (local, "uid=b,dc=test"));
    let other = store.commit_sync(&[change(&before, "uid=c,dc=test")]).await;
    assert!(matches!(other, Err(StoreError::Conflict)), "{other:?}");
    assert_eq!(store.link_sums("c").expect("reads").expect("counted").links, sums);
    let before = read();
    store.erase_account(id, &Origin::System).await.expect("erased");
    let gone = store.commit_sync(&[change(&before, "uid=d,dc=test")]).await;
    assert!(matches!(gone, Err(StoreError::Conflict)), "{gone:?}");
    assert_eq!(store.association("c", local).expect("reads"), None);
    assert_eq!(store.association_by_uuid("c", UUID).expect("reads"), None);
    assert_eq!(store.link_sums("c").expect("reads").expect("counted").links, 0);
}

/// Whoever sets the end of what another one removed does not become its remover.
#[tokio::test]
async fn who_removed_an_account_is_kept() {
    let person = Origin::Admin("root".into());
    let moved = AccountState::MovedAway { to: "b".into() };
    let active = AccountState::Active;
    for (before, expected) in [
        (vec![], RemovedBy::Person),
        (vec![deleted(RemovedBy::Sync)], RemovedBy::Sync),
        (vec![moved], RemovedBy::Sync),
        (vec![deleted(RemovedBy::Sync), active], RemovedBy::Person),
    ] {
        let store = store().await;
        let id = account(&store, &[]).await;
        for state in &before {
            let change = AccountChange {
                state: Some(state.clone()),
                ..AccountChange::default()
            };
            let done = store.update_account(id, None, change, &Origin::System).await;
            done.expect("changed");
        }
        let done = store.delete_account(id, Duration::from_secs(9), &person).await;
        done.expect("deleted");
        let state = store.account(id).expect("reads").expect("is kept").state.clone();
        let by = match state {
            AccountState::SoftDeleted { by, .. } => by,
            other => panic!("{other:?}"),
        };
        assert_eq!(by, expected, "{before:?}");
    }
}

async fn account(store: &Store, links: &[(&str, LinkState)]) -> AccountId {
    let new = NewAccount::new(address("a@example.test"));
    let id = store
        .create_account(new, &Origin::System)
        .await
        .expect("an account");
    for (connector, state) in links {
        let link = Association::new(link(connector, state.clone()), LocalId::Account(id));
        store.put_association(&link).await.expect("linked");
    }
    id
}

#[tokio::test]
async fn an_object_has_one_intent_and_they_come_by_time() {
    let store = store().await;
    let all: Vec<SyncChange> = [(1, 50), (2, 10), (3, 30), (1, 20)]
        .map(|(number, next)| SyncChange::Intent(Box::new(intent(number, next))))
        .into();
    for change in all {
        store.commit_sync(&[change]).await.expect("committed");
    }
    let due = |now| {
        let due = store
            .due_intents("c", Timestamp::from_millis(now), 10)
            .expect("reads");
        due.iter()
            .map(|intent| intent.local.to_bytes()[8])
            .collect::<Vec<_>>()
    };
    assert_eq!((due(9), due(20), due(99)), (vec![], vec![2, 1], vec![2, 1, 3]));
    assert_eq!(
        store.next_intent("c").expect("reads"),
        Some(Timestamp::from_millis(10))
    );
    assert_eq!(store.list_intents("c", None, 10).expect("reads").len(), 3);
    assert_eq!(store.next_intent("other").expect("reads"), None);
    let done = SyncChange::IntentDone {
        connector: "c".into(),
        local: intent(2, 0).local,
    };
    store
        .commit_sync(&[done.clone(), done])
        .await
        .expect("once or twice");
    assert_eq!(due(99), [1, 3]);
    assert_eq!(store.intent("c", intent(2, 0).local).expect("reads"), None);
}

#[tokio::test]
async fn rows_ride_with_a_change_or_not_at_all() {
    let store = store().await;
    let id = account(&store, &[]).await;
    let rows = vec![
        SyncChange::Intent(Box::new(Intent {
            local: LocalId::Account(id),
            ..intent(1, 1)
        })),
        SyncChange::Conflict(Box::new(conflict(3, "B"))),
    ];
    let change = |name: Option<&str>, version| {
        let change = AccountChange {
            display_name: name.map(|name| Some(name.to_owned())),
            sync: rows.clone(),
            ..AccountChange::default()
        };
        store.update_account(id, version, change, &Origin::System)
    };
    assert!(matches!(
        change(Some("A"), Some(9)).await,
        Err(StoreError::Conflict)
    ));
    assert_eq!(
        store.list_intents("c", None, 9).expect("reads"),
        [],
        "all or nothing"
    );
    let unchanged = change(None, Some(1)).await.expect("rows alone");
    assert_eq!(unchanged.version, 1, "rows are no change of the account");
    assert_eq!(store.list_intents("c", None, 9).expect("reads").len(), 1);
    let kept = store.list_conflicts("c", None, 9).expect("reads");
    assert_eq!(kept[0].local, Some(LocalId::Account(id)), "filled in");
    assert_eq!(change(Some("A"), Some(1)).await.expect("both").version, 2);
    assert_eq!(
        store.list_conflicts("c", None, 9).expect("reads").len(),
        1,
        "the same value is kept once"
    );
}

#[tokio::test]
async fn conflicts_are_listed_from_the_newest_and_forgotten() {
    let store = store().await;
    for (time, value) in [(1, "one"), (2, "two"), (3, "three")] {
        let row = SyncChange::Conflict(Box::new(conflict(time, value)));
        store.commit_sync(&[row]).await.expect("committed");
    }
    let values = |after: Option<&ConflictId>| -> Vec<Bytes> {
        let list = store.list_conflicts("c", after, 9).expect("reads");
        list.into_iter().flat_map(|row| row.local_values).collect()
    };
    assert_eq!(values(None), ["three", "two", "one"]);
    assert_eq!(values(Some(&conflict(2, "").id)), ["one"]);
    let found = store.conflict("c", &conflict(2, "").id).expect("reads");
    assert_eq!(found.map(|row| row.id), Some(conflict(2, "").id));
    let before = Timestamp::from_millis(2);
    assert_eq!(store.prune_conflicts("c", before).await.expect("pruned"), 2);
    assert_eq!(store.prune_conflicts("c", before).await.expect("pruned"), 0);
    assert_eq!(values(None), ["three"]);
    let again = SyncChange::Conflict(Box::new(conflict(9, "one")));
    store.commit_sync(&[again]).await.expect("committed");
    assert_eq!(values(None), ["one", "three"], "a forgotten value may come again");
}

#[tokio::test]
async fn an_erasure_leaves_a_tombstone_for_a_living_link_only() {
    let since = Timestamp::from_millis(0);
    let person = Origin::Admin("root".into());
    let other = Origin::Connector("x".into());
    let own = Origin::Connector("c".into());
    // Here: whom a connector took out of use before its retention ended.
    let removed = Origin::System;
    for (links, origin, expected) in [
        (vec![("c", LinkState::Linked)], &person, Some(RemovedBy::Person)),
        (
            vec![("c", held(LinkState::Linked))],
            &person,
            Some(RemovedBy::Person),
        ),
        (vec![("c", LinkState::Linked)], &other, Some(RemovedBy::Sync)),
        (
            vec![("c", LinkState::Linked), ("x", held(LinkState::Gone { since }))],
            &removed,
            Some(RemovedBy::Sync),
        ),
        (vec![("c", LinkState::Linked)], &own, None),
        (vec![("c", LinkState::Gone { since })], &person, None),
        (
            vec![("c", LinkState::MovedAway { to: "b".into() })],
            &person,
            None,
        ),
    ] {
        let store = store().await;
        let id = account(&store, &links).await;
        let row = Intent {
            local: LocalId::Account(id),
            ..intent(1, 1)
        };
        store
            .commit_sync(&[SyncChange::Intent(Box::new(row))])
            .await
            .expect("committed");
        if origin == &removed {
            let change = AccountChange {
                state: Some(deleted(RemovedBy::Sync)),
                ..AccountChange::default()
            };
            let done = store.update_account(id, None, change, &other).await;
            done.expect("soft-deleted");
        }
        store.erase_account(id, origin).await.expect("erased");
        let left = store.tombstone("c", UUID).expect("reads");
        assert_eq!(
            left.as_ref().map(|left| left.removed_by),
            expected,
            "{links:?} {origin:?}"
        );
        assert_eq!(
            store.list_intents("c", None, 9).expect("reads"),
            [],
            "nothing to write any more"
        );
        assert_eq!(
            store.list_tombstones("c", None, 9).expect("reads").len(),
            usize::from(expected.is_some())
        );
        if let Some(left) = left {
            assert_eq!(
                (left.link.local, &left.link.data.state),
                (LocalId::Account(id), &links[0].1)
            );
            let done = SyncChange::TombstoneDone {
                connector: "c".into(),
                remote: UUID,
            };
            store.commit_sync(&[done]).await.expect("committed");
            assert_eq!(store.tombstone("c", UUID).expect("reads"), None);
        }
    }
}

#[tokio::test]
async fn groups_are_found_by_the_members_that_they_wait_for() {
    let store = store().await;
    let (entry, named) = (
        MemberRef::Entry(UUID),
        MemberRef::Address(address("b@example.test")),
    );
    let pending = |members: &[&MemberRef], group| SyncChange::Pending {
        connector: "c".into(),
        group,
        members: members.iter().map(|member| (*member).clone()).collect(),
    };
    let mut new = NewGroup::new(address("g@example.test"));
    new.association = Some(link("c", LinkState::Linked));
    new.sync = vec![pending(&[&entry, &named], None)];
    let one = store.create_group(new, &Origin::System).await.expect("a group");
    let two = GroupId::new(99).expect("not zero");
    store
        .commit_sync(&[pending(&[&named], Some(LocalId::Group(two)))])
        .await
        .expect("committed");
    let waiting = |member| store.groups_waiting_for("c", member, None, 9).expect("reads");
    let both = [LocalId::Group(one), LocalId::Group(two)];
    assert_eq!(
        (waiting(&entry), waiting(&named)),
        (both[..1].to_vec(), both.to_vec())
    );
    let spelt = MemberRef::Address(address("B@Example.test"));
    assert_eq!(waiting(&spelt), both, "by the address, not by its spelling");
    let page = store.groups_waiting_for("c", &named, Some(both[0]), 9);
    assert_eq!(page.expect("reads"), both[1..]);
    let known = GroupChange {
        sync: vec![pending(&[&named], None)],
        ..GroupChange::default()
    };
    store
        .update_group(one, None, known, &Origin::System)
        .await
        .expect("changed");
    assert_eq!((waiting(&entry), waiting(&named)), (vec![], both.to_vec()));
    assert_eq!(
        store.pending_members("c", both[0]).expect("reads"),
        std::slice::from_ref(&named)
    );
    store.delete_group(one, &Origin::System).await.expect("deleted");
    assert_eq!(waiting(&named), both[1..]);
    let nobody = store.commit_sync(&[pending(&[&entry], None)]).await;
    assert!(matches!(nobody, Err(StoreError::Invalid(_))), "whose members?");
}

#[tokio::test]
async fn a_connector_skips_its_own_echo_and_notices_a_gap() {
    let store = store().await;
    let id = account(&store, &[]).await;
    let set = |name: &str, origin: Origin| {
        let change = AccountChange {
            display_name: Some(Some(name.to_owned())),
            ..AccountChange::default()
        };
        let store = store.clone();
        async move {
            store
                .update_account(id, None, change, &origin)
                .await
                .expect("changed")
        }
    };
    let start = store.journal_for("c", 0, 256).expect("reads");
    assert!(!start.gap && !start.more);
    set("A", Origin::Connector("c".into())).await;
    set("B", Origin::Connector("x".into())).await;
    set("C", Origin::Admin("root".into())).await;
    let origins = |connector: &str| {
        let page = store.journal_for(connector, start.offset, 256).expect("reads");
        assert_eq!(page.offset, start.offset + 3);
        page.entries.into_iter().map(|row| row.origin).collect::<Vec<_>>()
    };
    let admin = Origin::Admin("root".into());
    assert_eq!(origins("c"), [Origin::Connector("x".into()), admin.clone()]);
    assert_eq!(origins("x"), [Origin::Connector("c".into()), admin]);
    let first = store.journal_for("c", start.offset, 1).expect("reads");
    assert!(first.entries.is_empty() && first.more && first.offset == start.offset + 1);
    store.trim_journal_to(1).await.expect("trimmed");
    assert!(store.journal_for("c", start.offset, 256).expect("reads").gap);
    let end = start.offset + 3;
    assert!(!store.journal_for("c", end, 256).expect("reads").gap);
}

#[tokio::test]
async fn a_conflict_is_never_written_over_by_the_next_one() {
    let store = store().await;
    for value in ["B", "C", "B", "D"] {
        let row = SyncChange::Conflict(Box::new(conflict(3, value)));
        store.commit_sync(&[row]).await.expect("committed");
    }
    let rows = store.list_conflicts("c", None, 9).expect("reads");
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.id.time.as_millis(), row.local_values[0].as_ref()))
        .collect();
    assert_eq!(told, [(5, &b"D"[..]), (4, b"C"), (3, b"B")]);
}

#[tokio::test]
async fn unlinking_ends_what_was_to_be_written() {
    let store = store().await;
    let id = account(&store, &[("c", LinkState::Linked)]).await;
    let local = LocalId::Account(id);
    let row = Intent {
        local,
        ..intent(1, 1)
    };
    let base = SyncChange::Association(Box::new(Association::new(link("c", LinkState::Linked), local)));
    store
        .commit_sync(&[base, SyncChange::Intent(Box::new(row))])
        .await
        .expect("committed");
    store
        .delete_account(id, Duration::from_secs(1), &Origin::System)
        .await
        .expect("deleted");
    let unlink = SyncChange::Unlink {
        connector: "c".into(),
        local,
    };
    store.commit_sync(&[unlink]).await.expect("committed");
    assert_eq!(store.association("c", local).expect("reads"), None);
    assert_eq!(store.intent("c", local).expect("reads"), None);
    assert!(
        store.account(id).expect("reads").is_some(),
        "nothing of the object changes"
    );
}

#[tokio::test]
async fn what_an_administrator_did_is_in_the_audit_log() {
    let store = store().await;
    let id = account(&store, &[("c", LinkState::Linked)]).await;
    let mut link = store
        .association("c", LocalId::Account(id))
        .expect("reads")
        .expect("linked");
    link.data.state = held(LinkState::Linked);
    let rows = [SyncChange::Association(Box::new(link))];
    let who = Origin::Admin("uid:0".into());
    let note = (Some(LocalId::Account(id)), "unlinked".to_owned());
    store.commit_sync_as(&rows, note, &who).await.expect("committed");
    let newest = store.journal_before(None, 1).expect("reads");
    assert_eq!((newest[0].note.as_str(), &newest[0].origin), ("unlinked", &who));
    let all = store.journal_after(0, 256).expect("reads");
    let mut back = store.journal_before(Some(newest[0].seq), 256).expect("reads");
    back.reverse();
    let earlier: Vec<_> = all.into_iter().filter(|row| row.seq < newest[0].seq).collect();
    assert_eq!(back.iter().filter(|row| row.seq > 0).count(), earlier.len());
    assert!(store.journal_before(Some(0), 9).expect("reads").is_empty());
}

#[tokio::test]
async fn groups_that_wait_are_listed() {
    let store = store().await;
    let group = NewGroup::new(Address::parse("staff@example.test").expect("an address"));
    let group = LocalId::Group(store.create_group(group, &Origin::System).await.expect("created"));
    let members = vec![MemberRef::Entry(EntryUuid::from_bytes([5; 16]))];
    let pending = |members: Vec<MemberRef>| SyncChange::Pending {
        connector: "c".into(),
        group: Some(group),
        members,
    };
    store
        .commit_sync(&[pending(members.clone())])
        .await
        .expect("committed");
    assert_eq!(
        store.list_pending("c", None, 9).expect("reads"),
        [(group, members)]
    );
    assert!(store.list_pending("c", Some(group), 9).expect("reads").is_empty());
    assert!(store.list_pending("d", None, 9).expect("reads").is_empty());
}

/// What did not wait for the disk goes with the power, and only that.
#[tokio::test]
async fn rows_for_soon_are_lost_with_the_power_until_a_commit_waits_for_the_disk() {
    let store = Store::simulated(Arc::new(ManualClock::default())).expect("opens");
    let row = |number| SyncChange::Intent(Box::new(intent(number, 5)));
    let there = || {
        let all = store.list_intents("c", None, 256).expect("reads");
        let number = |intent: Intent| match intent.local {
            LocalId::Account(id) => id.get(),
            LocalId::Group(id) => id.get(),
        };
        all.into_iter().map(number).collect::<Vec<_>>()
    };
    let done = SyncChange::IntentDone {
        connector: "c".into(),
        local: intent(1, 5).local,
    };
    store.commit_sync(&[row(1)]).await.expect("committed");
    store
        .commit_sync_soon(std::slice::from_ref(&done))
        .await
        .expect("committed");
    store.commit_sync_soon(&[row(2)]).await.expect("committed");
    assert_eq!(there(), [2], "everybody sees it at once");
    store.lose_power().await.expect("lost");
    assert_eq!(there(), [1], "and the index by time says the same");
    let due = store.due_intents("c", Timestamp::from_millis(9), 256);
    assert_eq!(due.expect("reads").len(), 1);
    // Whoever waits for the disk waits for all that came before.
    store.commit_sync_soon(&[done]).await.expect("committed");
    store.commit_sync(&[row(3)]).await.expect("committed");
    store.lose_power().await.expect("nothing to lose");
    assert_eq!(there(), [3]);
}
