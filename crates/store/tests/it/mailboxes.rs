//! Mailboxes, delivery, quota, erasure.

use crate::support::{account, admin, clock, embedded, memory, name, uid};
use ::model::{AccountId, ByteSize, Flags, MailboxName, ReversePath, SpecialUse};
use bytes::Bytes;
use std::time::Duration;
use store::{AccountChange, Delivered, Delivery, RepeatKey, Store, StoreError};

fn message(number: u32) -> Bytes {
    Bytes::from(format!(
        "Message-ID: <{number}@x>\r\nSubject: n{number}\r\n\r\nbody {number}\r\n"
    ))
}

async fn deliver(store: &Store, ids: &[AccountId], number: u32) -> Vec<u32> {
    let outcomes = store.deliver_many(&Delivery::new(message(number)), ids).await;
    outcomes
        .into_iter()
        .map(|(_, outcome)| match outcome.expect("delivers") {
            Delivered::Stored(appended) => appended.uid.get(),
            Delivered::Repeated => 0,
        })
        .collect()
}

#[tokio::test]
async fn the_first_use_creates_the_usual_mailboxes() {
    let store = memory();
    let mail = store.mail(account(&store, "alice").await);
    let list = mail.list_mailboxes().await.expect("lists");
    let names: Vec<_> = list
        .iter()
        .map(|info| (info.name.as_str(), info.special_use))
        .collect();
    assert_eq!(
        names,
        [
            ("INBOX", None),
            ("Archive", Some(SpecialUse::Archive)),
            ("Drafts", Some(SpecialUse::Drafts)),
            ("Junk", Some(SpecialUse::Junk)),
            ("Sent", Some(SpecialUse::Sent)),
            ("Trash", Some(SpecialUse::Trash)),
        ]
    );
    assert!(list.iter().all(|info| info.subscribed && info.messages == 0));
    let unknown = store
        .mail(AccountId::new(999).expect("id"))
        .list_mailboxes()
        .await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn create_delete_rename() {
    let store = memory();
    let mail = store.mail(account(&store, "alice").await);
    mail.create_mailbox(&name("a/b/c"), None).await.expect("creates");
    assert!(mail.status(&name("a/b")).await.is_ok());
    for (from, to) in [("nothing", "x"), ("a", "Sent"), ("a", "a/z"), ("a", "INBOX")] {
        assert!(
            mail.rename_mailbox(&name(from), &name(to)).await.is_err(),
            "{from} {to}"
        );
    }
    mail.rename_mailbox(&name("a"), &name("x/y"))
        .await
        .expect("renames");
    assert!(mail.status(&name("x/y/b/c")).await.is_ok() && mail.status(&name("x")).await.is_ok());
    let before = mail.status(&name("x/y/b")).await.expect("status").uid_validity;
    mail.delete_mailbox(&name("x/y/b")).await.expect("deletes");
    assert!(mail.status(&name("x/y/b/c")).await.is_ok());
    mail.create_mailbox(&name("x/y/b"), None)
        .await
        .expect("creates again");
    assert!(mail.status(&name("x/y/b")).await.expect("status").uid_validity > before);
    assert!(matches!(
        mail.delete_mailbox(&MailboxName::inbox()).await,
        Err(StoreError::Invalid(_))
    ));
    assert!(matches!(
        mail.create_mailbox(&name("More"), Some(SpecialUse::Sent)).await,
        Err(StoreError::AlreadyExists(_))
    ));
    mail.subscribe(&name("nowhere")).await.expect("subscribes");
    assert!(
        mail.subscriptions()
            .await
            .expect("lists")
            .contains(&name("nowhere"))
    );
    mail.unsubscribe(&name("nowhere")).await.expect("unsubscribes");
    assert!(
        !mail
            .subscriptions()
            .await
            .expect("lists")
            .contains(&name("nowhere"))
    );
}

#[tokio::test]
async fn one_delivery_to_many_shares_the_body_until_the_last_is_gone() {
    let store = memory();
    let ids = [
        account(&store, "alice").await,
        account(&store, "bob").await,
        account(&store, "carol").await,
    ];
    let commits = store.stats().commits;
    assert_eq!(
        deliver(&store, &[ids[2], ids[0], ids[1], ids[0]], 1).await,
        [1, 1, 1]
    );
    assert_eq!(store.stats().commits, commits + 1);
    for (position, id) in ids.iter().enumerate() {
        let inbox = store.mail(*id).open(&MailboxName::inbox()).await.expect("opens");
        let read = inbox.messages(&[uid(1)]).await.expect("reads").remove(0);
        assert_eq!(
            inbox.body(&read).await.expect("reads"),
            message(1),
            "reader {position}"
        );
        assert_eq!(inbox.remove(&[uid(1)]).await.expect("removes"), [uid(1)]);
        assert!(matches!(inbox.body(&read).await, Err(StoreError::NotFound(_))) || position < 2);
    }
}

#[tokio::test]
async fn a_repeated_delivery_is_stored_once_a_day() {
    let clock = clock();
    let store = Store::in_memory(clock.clone()).expect("opens");
    let alice = account(&store, "alice").await;
    let bob = account(&store, "bob").await;
    let sender = ReversePath::Address(crate::support::address("x@y.test"));
    let mut delivery = Delivery::new(message(1));
    delivery.repeat = Some(RepeatKey::new(&message(1), &sender));
    let both = async || {
        let outcomes = store.deliver_many(&delivery, &[alice, bob]).await;
        outcomes
            .into_iter()
            .map(|(_, outcome)| outcome.expect("delivers") == Delivered::Repeated)
            .collect::<Vec<_>>()
    };
    let first = store.deliver_many(&delivery, &[alice]).await;
    assert!(matches!(first[0].1, Ok(Delivered::Stored(_))));
    assert_eq!(both().await, [true, false]);
    clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(both().await, [true, true]);
    clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(both().await, [false, false]);
    clock.advance(Duration::from_secs(72 * 3600));
    assert!(store.maintain().await.expect("maintains").expired_repeats >= 4);
}

#[tokio::test]
async fn quota_stops_only_who_is_over_it() {
    let store = memory();
    let alice = account(&store, "alice").await;
    let bob = account(&store, "bob").await;
    let size = message(1).len() as u64;
    let change = AccountChange {
        quota: Some(Some(ByteSize(size + 5))),
        ..AccountChange::default()
    };
    store
        .update_account(alice, None, change, &admin())
        .await
        .expect("sets");
    deliver(&store, &[alice, bob], 1).await;
    let outcomes = store
        .deliver_many(&Delivery::new(message(2)), &[alice, bob])
        .await;
    assert!(matches!(outcomes[0].1, Err(StoreError::OverQuota)));
    assert!(matches!(outcomes[1].1, Ok(Delivered::Stored(_))));
    assert_eq!(store.mail(alice).usage().await.expect("usage").bytes, size);
    let inbox = store
        .mail(alice)
        .open(&MailboxName::inbox())
        .await
        .expect("opens");
    assert!(matches!(
        inbox.copy(&[uid(1)], &name("Sent")).await,
        Err(StoreError::OverQuota)
    ));
    inbox
        .move_to(&[uid(1)], &name("Trash"))
        .await
        .expect("a move needs no room");
}

#[tokio::test]
async fn a_missing_mailbox_falls_back_to_inbox() {
    let store = memory();
    let alice = account(&store, "alice").await;
    let mut delivery = Delivery::new(message(1));
    delivery.mailbox = name("Not/There");
    store
        .deliver_many(&delivery, &[alice])
        .await
        .remove(0)
        .1
        .expect("delivers");
    assert_eq!(
        store
            .mail(alice)
            .status(&MailboxName::inbox())
            .await
            .expect("status")
            .messages,
        1
    );
}

#[tokio::test]
async fn erasing_and_retention_leave_nothing_behind() {
    let clock = clock();
    let store = Store::in_memory(clock.clone()).expect("opens");
    let alice = account(&store, "alice").await;
    let bob = account(&store, "bob").await;
    for number in 0..600 {
        deliver(&store, &[alice], number).await;
    }
    let open = store
        .mail(alice)
        .open(&MailboxName::inbox())
        .await
        .expect("opens");
    store
        .delete_account(alice, Duration::from_secs(60), &admin())
        .await
        .expect("deletes");
    assert_eq!(store.maintain().await.expect("maintains").erased_accounts, 0);
    clock.advance(Duration::from_secs(61));
    assert_eq!(store.maintain().await.expect("maintains").erased_accounts, 1);
    assert!(store.account(alice).expect("reads").is_none());
    assert!(open.messages(&[uid(1)]).await.expect("reads").is_empty());
    let late = store.deliver_many(&Delivery::new(message(1)), &[alice]).await;
    assert!(matches!(late[0].1, Err(StoreError::NotFound(_))));
    deliver(&store, &[bob], 1).await;
}

#[tokio::test]
async fn unopened_mailboxes_take_mail_and_reopen_right() {
    let folder = tempfile::tempdir().expect("folder");
    let clock = clock();
    let store = embedded(folder.path(), clock.clone());
    let alice = account(&store, "alice").await;
    for number in 1..=300 {
        assert_eq!(deliver(&store, &[alice], number).await, [number]);
    }
    store.close().await.expect("closes");
    drop(store);
    let store = embedded(folder.path(), clock);
    assert_eq!(
        deliver(&store, &[alice], 301).await,
        [301],
        "a clean stop wastes no UIDs"
    );
    let inbox = store
        .mail(alice)
        .open(&MailboxName::inbox())
        .await
        .expect("opens");
    let snapshot = inbox.snapshot();
    assert_eq!(snapshot.len(), 301);
    assert!(snapshot.iter().map(|entry| entry.uid.get()).eq(1..=301));
    let read = inbox.messages(&[uid(300)]).await.expect("reads").remove(0);
    assert_eq!(inbox.body(&read).await.expect("reads"), message(300));
    assert_eq!(
        inbox.body_range(&read, 0, 10).await.expect("reads"),
        message(300).slice(..10)
    );
    assert_eq!(read.envelope.subject.as_deref(), Some(&b"n300"[..]));
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    let appended = store
        .mail(alice)
        .append(&name("Sent"), big.clone(), Flags::EMPTY, None)
        .await
        .expect("appends");
    let sent = store.mail(alice).open(&name("Sent")).await.expect("opens");
    let read = sent.messages(&[appended.uid]).await.expect("reads").remove(0);
    assert_eq!(sent.body(&read).await.expect("reads"), big);
}

#[tokio::test]
async fn a_start_with_a_date_of_next_year_erases_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let year = Duration::from_secs(365 * 24 * 3600);
    let right = clock();
    let store = embedded(folder.path(), right.clone());
    let id = account(&store, "a").await;
    let month = Duration::from_secs(30 * 24 * 3600);
    store.delete_account(id, month, &admin()).await.expect("deletes");
    assert_eq!(store.maintain().await.expect("maintains").erased_accounts, 0);
    store.close().await.expect("closes");
    drop(store);

    let wrong = clock();
    wrong.advance(year);
    let store = embedded(folder.path(), wrong.clone());
    assert_eq!(store.maintain().await.expect("maintains").erased_accounts, 0);
    wrong.advance(Duration::from_secs(23 * 3600));
    assert_eq!(store.maintain().await.expect("maintains").erased_accounts, 0);
    assert!(store.account(id).expect("reads").is_some());
    // Nobody objected for a day: it is next year.
    wrong.advance(Duration::from_secs(3600));
    assert_eq!(store.maintain().await.expect("maintains").erased_accounts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_messages_are_copied_and_removed_beside_other_work() {
    let store = memory();
    let id = account(&store, "a").await;
    let mail = store.mail(id);
    let inbox = ::model::MailboxName::inbox();
    for number in 0..300 {
        let appended = mail.append(&inbox, message(number), Flags::EMPTY, None).await;
        appended.expect("appends");
    }
    let open = mail.open(&inbox).await.expect("opens");
    let uids: Vec<_> = open.snapshot().iter().map(|entry| entry.uid).collect();
    let other = tokio::spawn({
        let mail = mail.clone();
        async move { mail.list_mailboxes().await }
    });
    let copied = open.copy(&uids, &name("Archive")).await.expect("copies");
    assert_eq!(copied.uids.len(), 300);
    assert_eq!(open.remove(&uids).await.expect("removes").len(), 300);
    assert_eq!(mail.status(&name("Archive")).await.expect("status").messages, 300);
    assert!(other.await.expect("ends").is_ok());
}
