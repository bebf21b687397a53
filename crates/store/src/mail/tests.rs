//! Damage: reported with its account, and nobody else notices.

use super::*;
use crate::engine::{Durability, Space};
use crate::{NewAccount, Origin, Store, StoreError, keys};
use bytes::Bytes;
use model::{Address, Domain, Flags, MailboxName, ManualClock, Uid};
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
