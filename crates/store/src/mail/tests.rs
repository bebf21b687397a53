//! Damage: reported with its account, and nobody else notices.

use super::*;
use crate::engine::{Durability, Space};
use crate::{NewAccount, Origin, Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, Address, Domain, Flags, MailboxName, ManualClock, Uid};
use std::sync::Arc;

async fn two_accounts() -> (Store, AccountId, AccountId) {
    let store = Store::in_memory(Arc::new(ManualClock::default())).expect("opens");
    let domain = Domain::parse("example.test").expect("domain");
    store
        .create_domain(&domain, &Origin::System)
        .await
        .expect("creates");
    let mut ids = Vec::new();
    for local in ["a", "b"] {
        let address = Address::parse(&format!("{local}@example.test")).expect("address");
        let id = store
            .create_account(NewAccount::new(address), &Origin::System)
            .await
            .expect("creates");
        let message = Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n");
        let inbox = MailboxName::inbox();
        store
            .mail(id)
            .append(&inbox, message, Flags::EMPTY, None)
            .await
            .expect("appends");
        ids.push(id);
    }
    (store, ids[0], ids[1])
}

fn overwrite(store: &Store, space: Space, key: Vec<u8>, value: &'static [u8]) {
    let write = vec![(space, key, Some(Bytes::from_static(value)))];
    store.engine().write(write, Durability::Disk).expect("writes");
}

fn is_corrupt_of<T>(result: Result<T, StoreError>, id: AccountId) -> bool {
    matches!(&result, Err(error @ StoreError::Corrupt { account: Some(found), .. })
        if *found == id && error.is_temporary())
}

async fn works(store: &Store, id: AccountId) {
    let inbox = store.mail(id).open(&MailboxName::inbox()).await.expect("opens");
    let read = inbox.messages(&[Uid::MIN]).await.expect("reads");
    assert!(inbox.body(&read[0]).await.expect("reads").ends_with(b"hello\r\n"));
}

#[tokio::test]
async fn a_damaged_chunk_or_mailbox_is_one_accounts_trouble() {
    let inbox = MailboxId(1);
    for key in [
        keys::chunk as fn(_, _, _) -> _,
        |id, mailbox, _| keys::mailbox(id, mailbox),
        |id, _, _| keys::mail_account(id),
    ] {
        let (store, broken, sound) = two_accounts().await;
        overwrite(&store, Space::Mail, key(broken, inbox, Uid::MIN), b"\x01\xff\xff");
        store.forget_mail(broken);
        let result = store.mail(broken).open(&MailboxName::inbox()).await;
        assert!(is_corrupt_of(result, broken));
        let message = Delivery::new(Bytes::from_static(b"Subject: y\r\n\r\n"));
        let outcomes = store.deliver_many(&message, &[broken, sound]).await;
        for (id, outcome) in outcomes {
            assert_eq!(outcome.is_ok(), id == sound);
            assert!(id == sound || is_corrupt_of(outcome, broken));
        }
        works(&store, sound).await;
    }
}

#[tokio::test]
async fn a_damaged_or_lost_body_is_reported_with_its_account() {
    let (store, broken, sound) = two_accounts().await;
    let inbox = store
        .mail(broken)
        .open(&MailboxName::inbox())
        .await
        .expect("opens");
    let read = inbox.messages(&[Uid::MIN]).await.expect("reads").remove(0);
    overwrite(
        &store,
        Space::Body,
        read.body.0.to_vec(),
        b"Subject: x\r\n\r\nhellO\r\n",
    );
    assert!(is_corrupt_of(inbox.body(&read).await, broken));
    let lost = vec![(Space::Body, read.body.0.to_vec(), None)];
    store.engine().write(lost, Durability::Disk).expect("writes");
    assert!(is_corrupt_of(inbox.body(&read).await, broken));
    assert!(is_corrupt_of(inbox.body_range(&read, 0, 4).await, broken));
    overwrite(
        &store,
        Space::Mail,
        keys::message(broken, inbox.id(), Uid::MIN),
        b"\x01short",
    );
    assert!(is_corrupt_of(inbox.messages(&[Uid::MIN]).await, broken));
    works(&store, sound).await;
}

#[tokio::test]
async fn nothing_stays_behind_when_everything_is_erased() {
    let (store, a, b) = two_accounts().await;
    let message = Delivery::new(Bytes::from_static(b"Subject: shared\r\n\r\n"));
    store.deliver_many(&message, &[a, b]).await;
    let inbox = store.mail(a).open(&MailboxName::inbox()).await.expect("opens");
    let sent = MailboxName::parse("Sent").expect("name");
    inbox.copy(&[Uid::MIN], &sent).await.expect("copies");
    let before = store
        .engine()
        .snapshot()
        .all(Space::Body, &[])
        .expect("reads")
        .len();
    assert_eq!(before, 3);
    store.mail(a).delete_mailbox(&sent).await.expect("deletes");
    for id in [a, b] {
        store.erase_account(id, &Origin::System).await.expect("erases");
    }
    assert!(inbox.snapshot().gone());
    let snapshot = store.engine().snapshot();
    for space in [Space::Body, Space::Refs, Space::Mail] {
        assert_eq!(snapshot.all(space, &[]).expect("reads").len(), 0, "{space:?}");
    }
    assert!(
        snapshot
            .all(Space::Directory, keys::ERASING)
            .expect("reads")
            .is_empty()
    );
}

#[tokio::test]
async fn an_interrupted_erasure_is_finished_later() {
    let (store, a, b) = two_accounts().await;
    overwrite(&store, Space::Directory, keys::erasing(a), b"\x01");
    store.forget_mail(a);
    assert_eq!(store.maintain().await.expect("maintains").resumed_erasures, 1);
    let left = store
        .engine()
        .snapshot()
        .all(Space::Mail, &keys::mail(a))
        .expect("reads");
    assert!(left.is_empty());
    works(&store, b).await;
}

#[tokio::test]
async fn an_account_that_is_erased_under_a_delivery_fails_alone() {
    let (store, gone, sound) = two_accounts().await;
    // As an erasure that is committed after the delivery was built finds it: the cell is still in memory.
    let mut erasure = crate::commit::Batch::new(crate::commit::Class::Durable);
    erasure.delete(Space::Mail, keys::owner(gone));
    erasure.delete(Space::Directory, keys::account(gone));
    store.commit(erasure).await.expect("commits");
    let message = Delivery::new(Bytes::from_static(b"Subject: y\r\n\r\n"));
    for (id, outcome) in store.deliver_many(&message, &[gone, sound]).await {
        if id == sound {
            assert!(matches!(outcome, Ok(Delivered::Stored(_))), "{outcome:?}");
        } else {
            assert!(matches!(outcome, Err(StoreError::NotFound(_))), "{outcome:?}");
        }
    }
}

// Its own row is the fence until it has mail.
#[tokio::test]
async fn an_account_without_mail_is_erased_under_its_first_delivery() {
    let (store, sound, _) = two_accounts().await;
    let mut ids = vec![sound];
    for local in ["gone", "new"] {
        let address = Address::parse(&format!("{local}@example.test")).expect("address");
        let new = NewAccount::new(address);
        let id = store.create_account(new, &Origin::System).await.expect("creates");
        let cell = store.cells().get(id);
        let mut building = cell.building.lock().await;
        store.load(&cell, &mut building).await.expect("loads");
        ids.push(id);
    }
    let rows = store.engine().snapshot().all(Space::Mail, &keys::mail(ids[2]));
    assert!(
        rows.expect("reads").is_empty(),
        "mail costs nothing before there is some"
    );
    let mut erasure = crate::commit::Batch::new(crate::commit::Class::Durable);
    erasure.delete(Space::Directory, keys::account(ids[1]));
    store.commit(erasure).await.expect("commits");
    let message = Delivery::new(Bytes::from_static(b"Subject: y\r\n\r\n"));
    for _ in 0..2 {
        for (id, outcome) in store.deliver_many(&message, &ids).await {
            let gone = matches!(outcome, Err(StoreError::NotFound(_)));
            assert_eq!(gone, id == ids[1], "{outcome:?}");
            assert!(gone || matches!(outcome, Ok(Delivered::Stored(_))), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn housekeeping_goes_past_what_is_damaged() {
    let (store, broken, sound) = two_accounts().await;
    let until = crate::AccountState::SoftDeleted {
        until: model::Timestamp::from_millis(0),
        by: crate::RemovedBy::Person,
    };
    let change = crate::AccountChange {
        state: Some(until),
        ..crate::AccountChange::default()
    };
    let changed = store.update_account(sound, None, change, &Origin::System).await;
    changed.expect("changes");
    // An erasure that can never end, and an account that can never be read.
    let body = store.engine().snapshot();
    let body = body.all(Space::Body, &[]).expect("reads").remove(0).0;
    overwrite(&store, Space::Refs, body.to_vec(), b"x");
    overwrite(
        &store,
        Space::Directory,
        keys::erasing_mailbox(broken, MailboxId(1)),
        b"\x01",
    );
    overwrite(&store, Space::Directory, keys::account(broken), b"\x01\xff");
    assert!(matches!(store.maintain().await, Err(StoreError::Corrupt { .. })));
    assert!(store.account(sound).expect("reads").is_none(), "it was erased");
    let listed = store.list_accounts(None, 256).expect("reads");
    assert!(listed.is_empty(), "the damaged one is left out");
}

#[tokio::test]
async fn the_journal_keeps_its_newest_entries() {
    let (store, ..) = two_accounts().await;
    let before = store.journal_after(0, 256).expect("reads");
    assert_eq!(store.trim_journal().await.expect("trims"), 0);
    assert_eq!(store.trim_journal_to(2).await.expect("trims"), before.len() - 2);
    let after = store.journal_after(0, 256).expect("reads");
    assert_eq!(after, before[before.len() - 2..]);
}

#[tokio::test]
async fn a_long_expunge_log_is_merged_and_nobody_misses_a_uid() {
    let (store, id, _) = two_accounts().await;
    let mut inbox = store.mail(id).open(&MailboxName::inbox()).await.expect("opens");
    let message = Bytes::from_static(b"Subject: x\r\n\r\n");
    let name = MailboxName::inbox();
    let mut history = Vec::new();
    for _ in 0..300 {
        let appended = store
            .mail(id)
            .append(&name, message.clone(), Flags::EMPTY, None)
            .await;
        let uid = appended.expect("appends").uid;
        inbox.changed().await;
        history.push((inbox.snapshot().highest_modseq(), uid));
        assert_eq!(inbox.remove(&[uid]).await.expect("removes"), [uid]);
    }
    let rows = || {
        let snapshot = store.engine().snapshot();
        let prefix = keys::expunged_of(id, inbox.id());
        snapshot.all(Space::Mail, &prefix).expect("reads").len()
    };
    assert_eq!(rows(), 300);
    let merged = store.maintain().await.expect("maintains").merged_expunges;
    assert_eq!(rows() + merged, 300);
    assert!(rows() < 256, "{}", rows());
    for (position, (since, _)) in history.iter().enumerate() {
        let gone = inbox.vanished_since(*since).expect("reads");
        for (_, uid) in &history[position..] {
            assert!(gone.contains(uid), "{uid:?} since {since:?}");
        }
    }
    let newest = history.last().expect("some").0;
    assert_eq!(inbox.vanished_since(newest).expect("reads").len(), 1);
    assert_eq!(store.maintain().await.expect("maintains").merged_expunges, 0);
}

/// A commit of this account that fails.
async fn fail_a_commit(store: &Store, id: AccountId) {
    let cell = store.cells().get(id);
    let mut batch = crate::commit::Batch::new(crate::commit::Class::Durable);
    let absent = crate::commit::Expect::Absent;
    batch.expect(Space::Directory, keys::account(id), absent, StoreError::Conflict);
    let generation = cell.fence.generation();
    batch.fences.push((Arc::clone(&cell.fence), generation));
    batch.delete(Space::Directory, keys::account(id));
    assert!(matches!(store.commit(batch).await, Err(StoreError::Conflict)));
    assert_ne!(cell.fence.generation(), generation);
}

#[tokio::test]
async fn a_mailbox_opened_again_is_not_read_again_until_a_commit_fails() {
    let (store, id, _) = two_accounts().await;
    let inbox = MailboxName::inbox();
    drop(store.mail(id).open(&inbox).await.expect("opens"));
    let (views, bytes) = store.cells().kept();
    assert_eq!(views, 1);
    let message = Bytes::from_static(b"Subject: y\r\n\r\n");
    let appended = store.mail(id).append(&inbox, message, Flags::EMPTY, None).await;
    let second = appended.expect("appends").uid;
    assert!(store.cells().kept().1 > bytes, "it grows with what arrives");
    // Whoever reads it from now on fails.
    let chunk = keys::chunk(id, MailboxId(1), Uid::MIN);
    overwrite(&store, Space::Mail, chunk, b"\x01\xff\xff");
    let open = store.mail(id).open(&inbox).await.expect("opens");
    assert!(open.snapshot().seq_of(second).is_some());
    drop(open);
    fail_a_commit(&store, id).await;
    assert!(is_corrupt_of(store.mail(id).open(&inbox).await, id));
    assert_eq!(store.cells().kept(), (0, 0));
}

#[tokio::test]
async fn no_view_outlives_its_mailbox_or_account() {
    let (store, a, b) = two_accounts().await;
    let archive = MailboxName::parse("Archive").expect("name");
    for id in [a, b] {
        for name in [&MailboxName::inbox(), &archive] {
            drop(store.mail(id).open(name).await.expect("opens"));
        }
    }
    assert_eq!(store.cells().kept().0, 4);
    store.mail(a).delete_mailbox(&archive).await.expect("deletes");
    assert_eq!(store.cells().kept().0, 3);
    let opened = store.mail(a).open(&archive).await;
    assert!(matches!(opened, Err(StoreError::NotFound(_))));
    store.erase_account(b, &Origin::System).await.expect("erases");
    assert_eq!(store.cells().kept().0, 1);
    works(&store, a).await;
}

#[tokio::test]
async fn messages_leave_memory_when_nobody_looks_and_no_view_is_kept() {
    let (store, id, _) = two_accounts().await;
    let inbox = MailboxName::inbox();
    let open = store.mail(id).open(&inbox).await.expect("opens");
    let cell = store.cells().get(id);
    let is_full = |building: &Option<cell::Building>| {
        let working = building.as_ref().and_then(|building| building.by_name(&inbox));
        matches!(working.expect("there").content, cell::Content::Full(_))
    };
    // The last one goes while somebody holds the lock.
    let guard = cell.building.lock().await;
    store.cells().let_go(id, MailboxId(1));
    drop(open);
    assert!(is_full(&guard));
    drop(guard);
    assert!(store.mail(id).has_mailbox(&inbox).await.expect("reads"));
    assert!(!is_full(&*cell.building.lock().await));
    works(&store, id).await;
}

#[tokio::test]
async fn one_mailbox_is_asked_for_without_reading_all() {
    let (store, id, _) = two_accounts().await;
    let (mail, inbox) = (store.mail(id), MailboxName::inbox());
    let archive = MailboxName::parse("Archive").expect("name");
    let old = MailboxName::parse("Old").expect("name");
    mail.rename_mailbox(&archive, &old).await.expect("renames");
    for name in [&archive, &MailboxName::parse("None").expect("name")] {
        assert!(!mail.has_mailbox(name).await.expect("reads"));
        assert!(matches!(mail.status(name).await, Err(StoreError::NotFound(_))));
    }
    for info in mail.list_mailboxes().await.expect("lists") {
        assert!(mail.has_mailbox(&info.name).await.expect("reads"));
        assert_eq!(mail.status(&info.name).await.expect("reads"), info);
    }
    // A scan fails.
    overwrite(&store, Space::Mail, keys::mailbox(id, MailboxId(6)), b"\x01\xff");
    assert!(is_corrupt_of(mail.list_mailboxes().await, id));
    assert_eq!(mail.status(&inbox).await.expect("reads").messages, 1);
    assert!(mail.has_mailbox(&inbox).await.expect("reads"));
}

#[tokio::test]
async fn what_is_only_queued_is_not_there_yet() {
    let (store, id, _) = two_accounts().await;
    let (mail, inbox) = (store.mail(id), MailboxName::inbox());
    let draft = MailboxName::parse("Drafts").expect("name");
    assert!(mail.has_mailbox(&draft).await.expect("reads"));
    // The working state is ahead: Drafts has another name.
    let cell = store.cells().get(id);
    let mut guard = cell.building.lock().await;
    let building = guard.as_mut().expect("loaded");
    let place = building.by_name(&draft).expect("there").row.id;
    let ahead = MailboxName::parse("Ahead").expect("name");
    let working = building.mailboxes.get_mut(&place).expect("there");
    Arc::make_mut(working).row.name = ahead.clone();
    drop(guard);
    assert!(!mail.has_mailbox(&ahead).await.expect("reads"));
    assert!(mail.has_mailbox(&draft).await.expect("reads"));
    assert_eq!(mail.status(&draft).await.expect("reads").name, draft);
    assert!(matches!(mail.status(&ahead).await, Err(StoreError::NotFound(_))));
    assert!(mail.has_mailbox(&inbox).await.expect("reads"));
}
