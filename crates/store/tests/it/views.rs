//! What sessions see, and when.

use crate::support::{account, clock, embedded, memory, name, uid};
use ::model::{Flag, Flags, MailboxName, ModSeq, SystemFlag};
use bytes::Bytes;
use store::{Delivery, FlagChange, Store};

fn message(number: u32) -> Bytes {
    Bytes::from(format!("Subject: n{number}\r\n\r\nbody {number}\r\n"))
}

fn flag(text: &str) -> Flags {
    [Flag::parse(text).expect("flag")].into_iter().collect()
}

async fn fill(store: &Store, count: u32) -> store::Mailbox {
    let id = account(store, "alice").await;
    for number in 1..=count {
        store.deliver_many(&Delivery::new(message(number)), &[id]).await;
    }
    store.mail(id).open(&MailboxName::inbox()).await.expect("opens")
}

#[tokio::test]
async fn a_waiting_session_wakes_and_sees_the_difference() {
    let store = memory();
    let mut idle = fill(&store, 300).await;
    let seen = idle.snapshot();
    let other = store
        .mail(idle.account())
        .open(&MailboxName::inbox())
        .await
        .expect("opens");
    let waiting = tokio::spawn(async move {
        idle.changed().await;
        idle
    });
    let change = FlagChange::Add(flag("\\Deleted"));
    other
        .store_flags(&[uid(2), uid(200)], &change, None)
        .await
        .expect("stores");
    let idle = waiting.await.expect("wakes");
    assert_eq!(idle.snapshot().changes_since(&seen).flags, [uid(2), uid(200)]);
    other.expunge(Some(&[uid(2)])).await.expect("expunges");
    other.expunge(None).await.expect("expunges");
    store
        .deliver_many(&Delivery::new(message(301)), &[idle.account()])
        .await;
    let now = idle.snapshot();
    let changes = now.changes_since(&seen);
    assert_eq!(changes.expunged, [(2, uid(2)), (200, uid(200))]);
    assert_eq!(changes.added, [uid(301)]);
    assert!(changes.flags.is_empty());
    assert_eq!(
        (now.len(), now.seq_of(uid(301)), now.seq_of(uid(2))),
        (299, Some(299), None)
    );
    assert_eq!(now.by_seq(2).map(|entry| entry.uid), Some(uid(3)));
    assert_eq!(now.by_seq(0), None);
    assert_eq!(now.by_seq(300), None);
    let range: Vec<_> = now.range_seqs(198, 200).map(|entry| entry.uid.get()).collect();
    assert_eq!(range, [199, 201, 202]);
    let range: Vec<_> = now
        .range_uids(uid(127), uid(130))
        .map(|entry| entry.seq)
        .collect();
    assert_eq!(range, [126, 127, 128, 129]);
    assert!(now.changes_since(&now).is_empty());
    assert_eq!(
        idle.vanished_since(seen.highest_modseq()).expect("reads"),
        [uid(2), uid(200)]
    );
    assert!(
        idle.vanished_since(now.highest_modseq())
            .expect("reads")
            .is_empty()
    );
}

#[tokio::test]
async fn flags_keywords_and_unchangedsince() {
    let store = memory();
    let inbox = fill(&store, 3).await;
    let all = [uid(1), uid(2), uid(3)];
    let before = inbox.snapshot().highest_modseq();
    let add = FlagChange::Add(flag("$Work"));
    let outcome = inbox
        .store_flags(&[uid(2), uid(9)], &add, None)
        .await
        .expect("stores");
    assert_eq!(outcome.changed, [uid(2)]);
    assert!(outcome.modseq > before);
    let again = inbox.store_flags(&[uid(2)], &add, None).await.expect("stores");
    assert_eq!((again.changed.len(), again.modseq), (0, outcome.modseq));
    let change = FlagChange::Replace(flag("\\Seen"));
    let outcome = inbox
        .store_flags(&all, &change, Some(before))
        .await
        .expect("stores");
    assert_eq!(outcome.modified, [uid(2)]);
    assert_eq!(outcome.changed, [uid(1), uid(3)]);
    let snapshot = inbox.snapshot();
    let entry = snapshot.by_uid(uid(2)).expect("there");
    assert_eq!(entry.flags, flag("$Work"));
    assert_eq!((snapshot.first_unseen(), snapshot.unseen()), (Some(2), 1));
    let copied = inbox.copy(&[uid(2)], &name("Sent")).await.expect("copies");
    let sent = store
        .mail(inbox.account())
        .open(&name("Sent"))
        .await
        .expect("opens");
    assert_eq!(
        sent.snapshot().by_uid(copied.uids[0].1).expect("there").flags,
        flag("$Work")
    );
    let remove = FlagChange::Remove(flag("$WORK"));
    inbox.store_flags(&all, &remove, None).await.expect("stores");
    assert!(inbox.snapshot().by_uid(uid(2)).expect("there").flags.is_empty());
    for number in 0..600 {
        let keyword = FlagChange::Add(flag(&format!("$k{number}")));
        if let Err(error) = inbox.store_flags(&[uid(1)], &keyword, None).await {
            assert!(matches!(error, store::StoreError::Limit("keywords")) && number > 400);
            return;
        }
    }
    panic!("keywords without end");
}

#[tokio::test]
async fn recent_is_claimed_once() {
    let store = memory();
    let inbox = fill(&store, 3).await;
    let info = async || {
        store
            .mail(inbox.account())
            .status(&MailboxName::inbox())
            .await
            .expect("status")
    };
    assert_eq!(info().await.recent, 3);
    assert_eq!(inbox.claim_recent().await.expect("claims"), 1);
    assert_eq!(inbox.claim_recent().await.expect("claims"), 4);
    assert_eq!(info().await.recent, 0);
}

#[tokio::test]
async fn a_deleted_mailbox_is_gone_for_its_sessions() {
    let store = memory();
    let id = account(&store, "alice").await;
    let mail = store.mail(id);
    mail.create_mailbox(&name("x"), None).await.expect("creates");
    mail.append(&name("x"), message(1), Flags::EMPTY, None)
        .await
        .expect("appends");
    let open = mail.open(&name("x")).await.expect("opens");
    mail.delete_mailbox(&name("x")).await.expect("deletes");
    assert!(open.snapshot().gone());
    let change = FlagChange::Add(flag("\\Seen"));
    assert!(open.store_flags(&[uid(1)], &change, None).await.is_err());
    assert_eq!(mail.usage().await.expect("usage").bytes, 0);
    mail.create_mailbox(&name("x"), None).await.expect("creates");
    assert!(mail.open(&name("x")).await.expect("opens").snapshot().is_empty());
}

#[tokio::test]
async fn modseqs_rise_over_the_account_and_a_reopening() {
    let folder = tempfile::tempdir().expect("folder");
    let store = embedded(folder.path(), clock());
    let inbox = fill(&store, 2).await;
    let mut last = ModSeq::ZERO;
    for round in 0..3000u32 {
        let change = if round % 2 == 0 {
            FlagChange::Add(flag("\\Seen"))
        } else {
            FlagChange::Remove(flag("\\Seen"))
        };
        let outcome = inbox.store_flags(&[uid(1)], &change, None).await.expect("stores");
        assert!(outcome.modseq > last);
        last = outcome.modseq;
    }
    let syncs = store.stats().syncs;
    assert!(syncs < 200, "flags are not synced one by one: {syncs}");
    let id = inbox.account();
    drop((inbox, store));
    let store = embedded(folder.path(), clock());
    let inbox = store.mail(id).open(&MailboxName::inbox()).await.expect("opens");
    let change = FlagChange::Add(flag("\\Flagged"));
    assert!(
        inbox
            .store_flags(&[uid(2)], &change, None)
            .await
            .expect("stores")
            .modseq
            > last
    );
    assert!(
        !inbox
            .snapshot()
            .by_uid(uid(1))
            .expect("there")
            .flags
            .has(SystemFlag::Seen)
    );
}
