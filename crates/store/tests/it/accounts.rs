//! Directory operations: uniqueness, versions, groups, journal, links.

use crate::support::{account, address, admin, clock, domain, embedded, memory};
use ::model::{ByteSize, EntryUuid, Secret};
use bytes::Bytes;
use std::time::Duration;
use store::{
    AccountChange, AccountState, Association, ConnectorState, GroupChange, LinkData, LocalId, Member,
    NewAccount, NewAssociation, NewGroup, Origin, Phase, QuarantineEntry, Recipient, StoreError, Touched,
};

#[tokio::test]
async fn addresses_are_unique_without_regard_to_case() {
    let store = memory();
    let alice = account(&store, "alice").await;
    let mut bob = NewAccount::new(address("bob@example.test"));
    bob.aliases = vec![address("ALICE@example.test")];
    assert!(matches!(
        store.create_account(bob.clone(), &admin()).await,
        Err(StoreError::AlreadyExists(taken)) if taken == "ALICE@example.test"
    ));
    assert!(
        store
            .account_by_address(&address("bob@example.test"))
            .expect("reads")
            .is_none()
    );
    bob.aliases = vec![address("b@example.test"), address("B@example.test")];
    let bob = store.create_account(bob, &admin()).await.expect("creates");
    assert_ne!(alice, bob);
    let found = store
        .account_by_address(&address("B@EXAMPLE.test"))
        .expect("reads")
        .expect("bob");
    assert_eq!((found.id, found.aliases.len()), (bob, 1));
    let elsewhere = NewAccount::new(address("x@elsewhere.test"));
    assert!(matches!(
        store.create_account(elsewhere, &admin()).await,
        Err(StoreError::NotFound("the domain"))
    ));
}

#[tokio::test]
async fn of_two_creators_of_one_name_exactly_one_wins() {
    let store = memory();
    account(&store, "first").await;
    let create = || {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .create_account(NewAccount::new(address("same@example.test")), &admin())
                .await
        })
    };
    let (a, b) = (create(), create());
    let outcomes = [a.await.expect("joins"), b.await.expect("joins")];
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn updates_expect_their_version_and_idle_ones_write_nothing() {
    let store = memory();
    let id = account(&store, "alice").await;
    let change = AccountChange {
        display_name: Some(Some("Alice".into())),
        password_hash: Some(Some(Secret::from("{SSHA}secret"))),
        ..AccountChange::default()
    };
    let updated = store
        .update_account(id, Some(1), change.clone(), &admin())
        .await
        .expect("updates");
    assert_eq!(updated.version, 2);
    let before = store.journal_after(0, 256).expect("reads").len();
    let again = store
        .update_account(id, Some(2), change.clone(), &admin())
        .await
        .expect("updates");
    assert_eq!(again.version, 2);
    assert_eq!(store.journal_after(0, 256).expect("reads").len(), before);
    assert!(matches!(
        store.update_account(id, Some(1), change, &admin()).await,
        Err(StoreError::Conflict)
    ));
    let journal = store.journal_after(0, 256).expect("reads");
    let last = journal.last().expect("an entry");
    assert!(last.touched.has(Touched::PASSWORD) && last.touched.has(Touched::DISPLAY_NAME));
    assert_eq!(last.object, Some(LocalId::Account(id)));
    assert!(!format!("{journal:?}").contains("secret"));
    assert!(!format!("{updated:?}").contains("secret"));
    // One sequence without gaps.
    assert!(journal.iter().map(|entry| entry.seq).eq(1..=journal.len() as u64));
}

#[tokio::test]
async fn a_rename_frees_the_old_name_and_a_soft_delete_all_names() {
    let store = memory();
    let id = account(&store, "alice").await;
    let rename = AccountChange {
        address: Some(address("alicia@example.test")),
        ..AccountChange::default()
    };
    store
        .update_account(id, None, rename, &admin())
        .await
        .expect("renames");
    let namesake = account(&store, "alice").await;
    store
        .delete_account(id, Duration::from_secs(60), &admin())
        .await
        .expect("deletes");
    let deleted = store.account(id).expect("reads").expect("kept");
    assert!(matches!(deleted.state, AccountState::SoftDeleted { .. }) && !deleted.can_log_in());
    let second = account(&store, "alicia").await;
    let revive = AccountChange {
        state: Some(AccountState::Active),
        ..AccountChange::default()
    };
    assert!(matches!(
        store.update_account(id, None, revive.clone(), &admin()).await,
        Err(StoreError::AlreadyExists(_))
    ));
    store.erase_account(second, &admin()).await.expect("erases");
    store
        .update_account(id, None, revive, &admin())
        .await
        .expect("revives");
    assert_ne!(namesake, id);
}

#[tokio::test]
async fn a_domain_in_use_stays() {
    let store = memory();
    let id = account(&store, "alice").await;
    let example = domain("example.test");
    assert!(matches!(
        store.delete_domain(&example, &admin()).await,
        Err(StoreError::InUse(_))
    ));
    store.erase_account(id, &admin()).await.expect("erases");
    store.delete_domain(&example, &admin()).await.expect("deletes");
    assert!(store.list_domains().expect("reads").is_empty());
}

#[tokio::test]
async fn recipients() {
    let store = memory();
    let alice = account(&store, "alice").await;
    let bob = account(&store, "bob").await;
    let resolve = |text: &str| store.resolve_recipient(&address(text)).expect("resolves");
    assert!(matches!(resolve("alice+news@example.test"), Recipient::Account(found) if found.id == alice));
    assert!(matches!(resolve("nobody@example.test"), Recipient::NoSuchName));
    assert!(matches!(resolve("a@elsewhere.test"), Recipient::NotLocalDomain));
    let set = |state, enabled| AccountChange {
        state: Some(state),
        enabled: Some(enabled),
        ..AccountChange::default()
    };
    let away = set(AccountState::MovedAway { to: "b".into() }, true);
    store
        .update_account(bob, None, away, &admin())
        .await
        .expect("moves");
    assert!(matches!(resolve("bob@example.test"), Recipient::MovedAway(_)));
    let waiting = set(AccountState::AwaitingMail { from: "a".into() }, true);
    store
        .update_account(bob, None, waiting, &admin())
        .await
        .expect("waits");
    assert!(matches!(resolve("bob@example.test"), Recipient::AwaitingMail(_)));
    store
        .update_account(bob, None, set(AccountState::Active, false), &admin())
        .await
        .expect("disables");
    assert!(matches!(
        resolve("bob@example.test"),
        Recipient::DisabledAccount(_)
    ));
    let catch_all = Some(address("alice@example.test"));
    store
        .set_catch_all(&domain("example.test"), catch_all, &admin())
        .await
        .expect("sets");
    assert!(matches!(resolve("nobody@example.test"), Recipient::Account(found) if found.id == alice));
}

#[tokio::test]
async fn groups_expand_once_also_in_a_loop() {
    let store = memory();
    let alice = account(&store, "alice").await;
    let uuid = EntryUuid::from_bytes([1; 16]);
    let mut inner = NewGroup::new(address("inner@example.test"));
    inner.members = vec![
        Member::Local(address("outer@example.test")),
        Member::Local(address("alice@example.test")),
        Member::Remote {
            uuid,
            address: address("zoe@example.test"),
        },
        Member::Local(address("gone@example.test")),
    ];
    let inner = store.create_group(inner, &admin()).await.expect("creates");
    let mut outer = NewGroup::new(address("outer@example.test"));
    outer.members = vec![
        Member::Local(address("inner@example.test")),
        Member::Local(address("alice@example.test")),
        Member::Local(address("x@elsewhere.test")),
    ];
    store.create_group(outer, &admin()).await.expect("creates");
    let Recipient::Group(all) = store
        .resolve_recipient(&address("outer+x@example.test"))
        .expect("resolves")
    else {
        panic!("not a group");
    };
    assert_eq!(
        all.accounts.iter().map(|account| account.id).collect::<Vec<_>>(),
        [alice]
    );
    assert_eq!(
        all.elsewhere,
        [address("x@elsewhere.test"), address("zoe@example.test")]
    );
    assert_eq!(all.dead, [address("gone@example.test")]);
    let off = GroupChange {
        enabled: Some(false),
        ..GroupChange::default()
    };
    store
        .update_group(inner, None, off, &admin())
        .await
        .expect("disables");
    assert!(matches!(
        store.resolve_recipient(&address("inner@example.test")),
        Ok(Recipient::Disabled)
    ));
}

fn link(uuid: u8) -> NewAssociation {
    NewAssociation {
        connector: "ldap".into(),
        remote: EntryUuid::from_bytes([uuid; 16]),
        data: LinkData::new("uid=x,dc=test"),
    }
}

#[tokio::test]
async fn links_are_unique_on_both_sides_and_go_with_the_account() {
    let store = memory();
    let mut new = NewAccount::new(address("alice@example.test"));
    account(&store, "someone").await;
    new.association = Some(link(1));
    let alice = store.create_account(new, &admin()).await.expect("creates");
    let mut twin = NewAccount::new(address("twin@example.test"));
    twin.association = Some(link(1));
    assert!(store.create_account(twin, &admin()).await.is_err());
    assert!(
        store
            .account_by_address(&address("twin@example.test"))
            .expect("reads")
            .is_none()
    );
    let other = Association::new(link(2), LocalId::Account(alice));
    assert!(store.put_association(&other).await.is_err());
    let mut same = store
        .association_by_uuid("ldap", EntryUuid::from_bytes([1; 16]))
        .expect("reads")
        .expect("linked");
    same.data
        .base
        .insert("mail".into(), vec![Bytes::from_static(b"a")]);
    store.put_association(&same).await.expect("changes");
    assert_eq!(store.list_associations("ldap", None, 10).expect("reads"), [same]);
    store.erase_account(alice, &admin()).await.expect("erases");
    assert!(
        store
            .list_associations("ldap", None, 10)
            .expect("reads")
            .is_empty()
    );
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().expect("folder");
    let clock = clock();
    let store = embedded(folder.path(), clock.clone());
    let alice = account(&store, "alice").await;
    let quota = AccountChange {
        quota: Some(Some(ByteSize(9))),
        ..AccountChange::default()
    };
    let origin = Origin::Connector("ldap".into());
    store
        .update_account(alice, None, quota, &origin)
        .await
        .expect("updates");
    let state = ConnectorState {
        phase: Phase::Following,
        cookie: Some(Bytes::from_static(b"csn")),
        ..ConnectorState::default()
    };
    store.put_connector_state("ldap", &state).await.expect("stores");
    let held = QuarantineEntry {
        connector: "ldap".into(),
        object: "x".into(),
        reason: "two entries with one address".into(),
        attempts: 1,
        since: ::model::Timestamp::from_millis(1),
        next: ::model::Timestamp::from_millis(2),
        shown: store::Shown::Version("20260101000000.000000Z#000000#001#000000".into()),
    };
    store.put_quarantine(&held).await.expect("stores");
    let journal = store.journal_after(0, 256).expect("reads");
    drop(store);
    let store = embedded(folder.path(), clock);
    assert_eq!(
        store.account(alice).expect("reads").expect("alice").quota,
        Some(ByteSize(9))
    );
    assert_eq!(store.connector_state("ldap").expect("reads"), state);
    assert_eq!(store.quarantine("ldap", "x").expect("reads"), Some(held.clone()));
    assert_eq!(store.quarantine("ldap", "y").expect("reads"), None);
    assert_eq!(store.list_quarantine("ldap", 10).expect("reads"), [held]);
    assert_eq!(store.journal_after(0, 256).expect("reads"), journal);
    assert_eq!(journal.last().expect("entry").origin, origin);
    let bob = account(&store, "bob").await;
    assert!(bob > alice && store.lost_commits().is_none());
    store.erase_account(bob, &admin()).await.expect("erases");
    drop(store);
    let store = embedded(folder.path(), crate::support::clock());
    assert!(account(&store, "carol").await > bob, "an id was used again");
}

#[tokio::test]
async fn a_second_process_finds_the_folder_locked() {
    let folder = tempfile::tempdir().expect("folder");
    let _store = embedded(folder.path(), clock());
    let second = store::Store::open(folder.path(), &store::StoreConfig::default(), clock());
    assert!(matches!(second, Err(StoreError::Locked)), "{:?}", second.err());
}

#[tokio::test]
async fn a_full_disk_refuses_mail_as_temporary_and_goes_on_reading() {
    let folder = tempfile::tempdir().expect("folder");
    let alice = {
        let store = embedded(folder.path(), clock());
        let alice = account(&store, "alice").await;
        let inbox = ::model::MailboxName::inbox();
        let message = Bytes::from_static(b"Subject: x\r\n\r\n");
        store
            .mail(alice)
            .append(&inbox, message, ::model::Flags::EMPTY, None)
            .await
            .expect("appends");
        alice
    };
    let config = store::StoreConfig {
        free_space_reserve: ByteSize(u64::MAX),
        ..store::StoreConfig::default()
    };
    let store = store::Store::open(folder.path(), &config, clock()).expect("opens");
    let inbox = ::model::MailboxName::inbox();
    let message = Bytes::from_static(b"Subject: y\r\n\r\n");
    let refused = store
        .mail(alice)
        .append(&inbox, message, ::model::Flags::EMPTY, None)
        .await;
    assert!(matches!(&refused, Err(error @ StoreError::Full) if error.is_temporary()));
    let disk = store.disk();
    assert!(!disk.takes_mail() && !disk.is_read_only, "{disk:?}");
    assert!(disk.free.is_some_and(|free| free > 0) && memory().disk().takes_mail());
    let open = store.mail(alice).open(&inbox).await.expect("opens");
    assert_eq!(open.snapshot().len(), 1);
}

#[tokio::test]
async fn a_closed_store_answers_closed() {
    let store = memory();
    account(&store, "alice").await;
    store.close().await.expect("closes");
    let late = store
        .create_account(NewAccount::new(address("b@example.test")), &admin())
        .await;
    assert!(matches!(late, Err(StoreError::Closed)));
    assert_eq!(store.list_accounts(None, 10).expect("reads").len(), 1);
}

#[tokio::test]
async fn an_alias_domain_is_another_name_of_the_main_one() {
    let store = memory();
    let alice = account(&store, "alice").await;
    let resolve = |text: &str| store.resolve_recipient(&address(text)).expect("resolves");
    assert!(matches!(resolve("alice@old.test"), Recipient::NotLocalDomain));
    let pairs = [(domain("old.test"), domain("example.test"))];
    store.set_domain_aliases(model::DomainAliases::new(pairs));
    for name in ["alice@old.test", "Alice+x@OLD.test"] {
        assert!(
            matches!(resolve(name), Recipient::Account(found) if found.id == alice),
            "{name}"
        );
    }
    assert!(matches!(resolve("nobody@old.test"), Recipient::NoSuchName));
    let found = store
        .account_by_address(&address("alice@old.test"))
        .expect("reads");
    assert_eq!(found.map(|account| account.id), Some(alice));
    store
        .set_catch_all(
            &domain("example.test"),
            Some(address("alice@example.test")),
            &admin(),
        )
        .await
        .expect("sets");
    assert!(matches!(resolve("nobody@old.test"), Recipient::Account(found) if found.id == alice));
    // It cannot be hosted on its own: nobody there would be found.
    assert!(matches!(
        store.create_domain(&domain("old.test"), &admin()).await,
        Err(StoreError::Invalid(_))
    ));
}
