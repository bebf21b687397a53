//! Opening after a clean and an unclean end.

use super::*;
use crate::{FlagChange, NewAccount, Origin};
use model::AccountId;
use model::{Address, Domain, Flag, Flags, MailboxName, ManualClock, Uid};

fn open(folder: &Path) -> Result<Store, StoreError> {
    let config = StoreConfig {
        free_space_reserve: model::ByteSize(0),
        ..StoreConfig::default()
    };
    Store::open(folder, &config, Arc::new(ManualClock::default()))
}

/// Changes the data folder as a crash or another program would have left it.
fn tamper(folder: &Path, key: &[u8], value: Option<&[u8]>) {
    let engine = Engine::embedded(&folder.join("store"), 1 << 20).expect("opens");
    let write = (Space::Meta, key.to_vec(), value.map(Bytes::copy_from_slice));
    engine.write(vec![write], Durability::Disk).expect("writes");
}

async fn append(store: &Store, id: AccountId) -> (u32, u64) {
    let message = Bytes::from_static(b"Subject: x\r\n\r\n");
    let inbox = MailboxName::inbox();
    let appended = store
        .mail(id)
        .append(&inbox, message, Flags::EMPTY, None)
        .await
        .expect("appends");
    let open = store.mail(id).open(&inbox).await.expect("opens");
    (appended.uid.get(), open.snapshot().highest_modseq().get())
}

async fn started(folder: &Path) -> (AccountId, u32, u64) {
    let store = open(folder).expect("opens");
    let domain = Domain::parse("example.test").expect("domain");
    store
        .create_domain(&domain, &Origin::System)
        .await
        .expect("creates");
    let address = Address::parse("a@example.test").expect("address");
    let id = store
        .create_account(NewAccount::new(address), &Origin::System)
        .await
        .expect("creates");
    let (uid, modseq) = append(&store, id).await;
    (id, uid, modseq)
}

#[tokio::test]
async fn numbers_skip_to_the_ceiling_after_an_unclean_stop_only() {
    let folder = tempfile::tempdir().expect("folder");
    let (id, uid, modseq) = started(folder.path()).await;
    assert_eq!(uid, 1);
    let (uid, next) = append(&open(folder.path()).expect("opens"), id).await;
    assert_eq!((uid, next), (2, modseq + 1));
    tamper(folder.path(), keys::CLEAN, None);
    let store = open(folder.path()).expect("opens");
    let inbox = store.mail(id).open(&MailboxName::inbox()).await.expect("opens");
    let announced = inbox.snapshot().uid_next();
    assert!(announced.get() > 100);
    assert_eq!(
        store
            .mail(id)
            .status(&MailboxName::inbox())
            .await
            .expect("status")
            .uid_next,
        announced
    );
    let seen = FlagChange::Add([Flag::parse("\\Seen").expect("flag")].into_iter().collect());
    let outcome = inbox.store_flags(&[Uid::MIN], &seen, None).await.expect("stores");
    assert!(outcome.modseq.get() > 1000);
    drop(inbox);
    let (uid, modseq) = append(&store, id).await;
    assert_eq!(uid, announced.get());
    assert_eq!(modseq, outcome.modseq.get() + 1);
    drop(store);
    // What that run wrote itself is not in doubt again.
    let (uid, _) = append(&open(folder.path()).expect("opens"), id).await;
    assert_eq!(uid, announced.get() + 1);
}

#[tokio::test]
async fn lost_commits_are_said_loudly_once() {
    let folder = tempfile::tempdir().expect("folder");
    let (id, ..) = started(folder.path()).await;
    let mark = folder.path().join("store.mark");
    std::fs::write(&mark, mark_bytes(9999)).expect("writes");
    let store = open(folder.path()).expect("opens");
    let lost = store.lost_commits().expect("reported");
    assert!(lost.made == 9999 && lost.found < 100);
    let (uid, _) = append(&store, id).await;
    assert!(uid > 100, "what is lost may have used the UIDs");
    drop(store);
    assert_eq!(open(folder.path()).expect("opens").lost_commits(), None);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    started(folder.path()).await;
    tamper(folder.path(), keys::SCHEMA, Some(&7u32.to_be_bytes()));
    let refused = open(folder.path()).err();
    assert!(
        matches!(refused, Some(StoreError::Schema { found: 7, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn whoever_waits_for_the_journal_is_woken_and_finds_the_row() {
    let store = Store::in_memory(Arc::new(ManualClock::default())).expect("opens");
    let mut told = store.journal_watch();
    let first = *told.borrow_and_update();
    let domain = Domain::parse("example.test").expect("domain");
    let (made, woken) = tokio::join!(store.create_domain(&domain, &Origin::System), told.changed());
    made.expect("created");
    woken.expect("the store is open");
    let next = *told.borrow_and_update();
    let rows = store.journal_after(first - 1, 256).expect("reads");
    assert_eq!(rows.last().map(|row| row.seq + 1), Some(next));
    // A commit without a journal row wakes nobody.
    store
        .put_connector_state("c", &crate::ConnectorState::default())
        .await
        .expect("stored");
    assert!(!told.has_changed().expect("the store is open"));
}

#[tokio::test]
async fn without_a_thread_whoever_waits_carries_out_what_is_queued() {
    let clock = Arc::new(ManualClock::new(model::Timestamp::from_millis(1))) as Arc<dyn Clock>;
    let store = Store::simulated(clock).expect("a store");
    let origin = Origin::Admin("test".to_owned());
    let domains = ["one.test", "two.test"].map(|name| Domain::parse(name).expect("a domain"));
    let (one, two) = tokio::join!(
        store.create_domain(&domains[0], &origin),
        store.create_domain(&domains[1], &origin)
    );
    one.expect("created");
    two.expect("created");
    assert_eq!(store.list_domains().expect("reads").len(), 2);
    store.close().await.expect("closed");
    let refused = store
        .create_domain(&Domain::parse("three.test").expect("a domain"), &origin)
        .await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
}
