//! Mail of one account for another.

use crate::support::{account, memory, name, uid};
use ::model::{Flags, SystemFlag, Timestamp};
use bytes::Bytes;
use store::{FlagChange, Inherited, Mail, StoreError};

async fn fill(mail: &Mail, mailbox: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let message = Bytes::from(format!("Subject: n{number}\r\n\r\nbody {number}\r\n"));
        let date = Timestamp::from_millis(1_000_000 + u64::from(number) * 1000);
        let appended = mail
            .append(&name(mailbox), message, Flags::EMPTY, Some(date))
            .await;
        appended.expect("appends");
    }
}

async fn subjects(mail: &Mail, mailbox: &str) -> Vec<(Option<String>, u64, bool, Bytes)> {
    let open = mail.open(&name(mailbox)).await.expect("opens");
    let snapshot = open.snapshot();
    let mut found = Vec::new();
    for entry in snapshot.iter() {
        let message = open.messages(&[entry.uid]).await.expect("reads").remove(0);
        let seen = entry.flags.has(SystemFlag::Seen);
        let body = open.body(&message).await.expect("reads");
        let subject = message.envelope.subject.as_ref().map(|text| format!("{text:?}"));
        found.push((subject, message.internal_date.as_millis(), seen, body));
    }
    found
}

#[tokio::test]
async fn all_mail_is_copied_once_and_outlives_its_first_owner() {
    let store = memory();
    let (old, new) = (account(&store, "old").await, account(&store, "new").await);
    let (from, to) = (store.mail(old), store.mail(new));
    from.create_mailbox(&name("work/2024"), None)
        .await
        .expect("creates");
    from.subscribe(&name("work/2024")).await.expect("subscribes");
    fill(&from, "INBOX", 0..600).await;
    fill(&from, "work/2024", 0..3).await;
    fill(&to, "INBOX", 900..901).await;
    let inbox = from.open(&name("INBOX")).await.expect("opens");
    let seen = FlagChange::Add(Flags::from_parts(SystemFlag::Seen as u8, vec![]));
    inbox.store_flags(&[uid(5)], &seen, None).await.expect("flagged");
    // The same message twice in one mailbox stays twice.
    inbox.copy(&[uid(1)], &name("INBOX")).await.expect("copied");
    let mut want = subjects(&from, "INBOX").await;
    let done = to.copy_from(&from).await.expect("copied");
    assert_eq!(
        done,
        Inherited {
            mailboxes: 8,
            copied: 604,
            known: 0
        }
    );
    let again = to.copy_from(&from).await.expect("copied");
    assert_eq!((again.copied, again.known), (0, 604));
    // What arrived since follows, and only that.
    fill(&from, "work/2024", 3..4).await;
    let again = to.copy_from(&from).await.expect("copied");
    assert_eq!((again.copied, again.known), (1, 604));
    store
        .erase_account(old, &crate::support::admin())
        .await
        .expect("erased");
    let have = subjects(&to, "INBOX").await;
    assert_eq!(have.len(), want.len() + 1);
    want.insert(0, have[0].clone());
    assert_eq!(have, want);
    assert_eq!(subjects(&to, "work/2024").await.len(), 4);
    let subscribed = to.subscriptions().await.expect("reads");
    assert!(subscribed.contains(&name("work/2024")));
    assert!(matches!(to.copy_from(&to).await, Err(StoreError::Invalid(_))));
}
