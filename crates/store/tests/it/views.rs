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
    assert_eq!(inbox.claim_recent().await.expect("claims"), 1..4);
    assert_eq!(inbox.claim_recent().await.expect("claims"), 4..4);
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

/// A session that follows by differences alone; returns what it believes at the end.
async fn follow(mut open: store::Mailbox, done: tokio::sync::watch::Receiver<bool>) -> Vec<(u32, Flags)> {
    let mut seen = open.snapshot();
    let mut told: Vec<(u32, Flags)> = seen.iter().map(|entry| (entry.uid.get(), entry.flags)).collect();
    loop {
        let last = *done.borrow();
        let now = open.snapshot();
        assert!(now.highest_modseq() >= seen.highest_modseq() && now.uid_next() >= seen.uid_next());
        let changes = now.changes_since(&seen);
        for (seq, uid) in changes.expunged.iter().rev() {
            assert_eq!(told.remove(*seq as usize - 1).0, uid.get());
        }
        for uid in &changes.added {
            assert!(told.last().is_none_or(|(last, _)| *last < uid.get()));
            told.push((uid.get(), now.by_uid(*uid).expect("there").flags));
            // What is announced can be read, unless it is about to go.
            if open.messages(&[*uid]).await.expect("reads").is_empty() {
                while open.snapshot().seq_of(*uid).is_some() {
                    open.changed().await;
                }
            }
        }
        for uid in &changes.flags {
            let slot = told
                .iter_mut()
                .find(|(known, _)| *known == uid.get())
                .expect("told");
            slot.1 = now.by_uid(*uid).expect("there").flags;
        }
        seen = now;
        if last {
            return told;
        }
        let _ = tokio::time::timeout(std::time::Duration::from_millis(5), open.changed()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_and_watchers_agree_in_the_end() {
    let folder = tempfile::tempdir().expect("folder");
    let store = embedded(folder.path(), clock());
    let inbox = fill(&store, 20).await;
    let id = inbox.account();
    let (finish, finished) = tokio::sync::watch::channel(false);
    let watchers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(follow(inbox.clone(), finished.clone())))
        .collect();
    let writers: Vec<_> = (0..6u32)
        .map(|writer| {
            let (store, inbox) = (store.clone(), inbox.clone());
            tokio::spawn(async move {
                for round in 0..40u32 {
                    let newest = inbox.snapshot().uid_next().get();
                    let some = uid((writer * 37 + round * 11) % newest + 1);
                    match (writer + round) % 6 {
                        0 | 1 => {
                            let outcome = store.deliver_many(&Delivery::new(message(round)), &[id]).await;
                            assert!(outcome[0].1.is_ok());
                        }
                        2 => {
                            let change = FlagChange::Add(flag("\\Deleted"));
                            inbox
                                .store_flags(&[some], &change, None)
                                .await
                                .map(drop)
                                .expect("stores");
                        }
                        3 => inbox.expunge(None).await.map(drop).expect("expunges"),
                        4 => inbox
                            .copy(&[some], &MailboxName::inbox())
                            .await
                            .map(drop)
                            .expect("copies"),
                        _ => inbox
                            .move_to(&[some], &name("Trash"))
                            .await
                            .map(drop)
                            .expect("moves"),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("writes");
    }
    finish.send_replace(true);
    let truth: Vec<_> = inbox
        .snapshot()
        .iter()
        .map(|entry| (entry.uid.get(), entry.flags))
        .collect();
    for watcher in watchers {
        assert_eq!(watcher.await.expect("watches"), truth);
    }
    let info = store
        .mail(id)
        .status(&MailboxName::inbox())
        .await
        .expect("status");
    assert_eq!(info.messages as usize, truth.len());
    let stats = store.stats();
    assert!(stats.groups <= stats.commits);
    drop((inbox, store));
    let store = embedded(folder.path(), clock());
    let again = store.mail(id).open(&MailboxName::inbox()).await.expect("opens");
    assert!(
        again
            .snapshot()
            .iter()
            .map(|entry| (entry.uid.get(), entry.flags))
            .eq(truth)
    );
}
