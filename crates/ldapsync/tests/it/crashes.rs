//! The process dies at each step of a write: after the intent, after the write, before the acknowledgement is stored.

use super::push::{admin, create, hosted, set, with, writes};
use super::relay::{Loses, Relay};
use super::*;
use serde_json::json;
use store::AccountChange;

/// What is done to the account `one` here.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Create,
    Change,
    Rename,
    Delete,
}

async fn edit(store: &Store, edit: Edit, one: Option<model::AccountId>) {
    let update = |change: AccountChange| async move {
        let id = one.expect("it is there");
        store
            .update_account(id, None, change, &admin())
            .await
            .expect("edited");
    };
    match edit {
        Edit::Create => {
            create(store, "one").await;
        }
        Edit::Change => {
            update(AccountChange {
                display_name: Some(Some("Changed".to_owned())),
                ..AccountChange::default()
            })
            .await;
        }
        Edit::Rename => {
            update(AccountChange {
                address: Some(address("other@localdomain.test")),
                ..AccountChange::default()
            })
            .await;
        }
        Edit::Delete => {
            let id = one.expect("it is there");
            let kept = std::time::Duration::from_secs(3600);
            store.delete_account(id, kept, &admin()).await.expect("deleted");
        }
    }
}

fn is_done(slapd: &Slapd, edit: Edit) -> bool {
    match edit {
        Edit::Create => slapd.values("(uid=one)", "mail") == set(&["one@localdomain.test"]),
        Edit::Change => slapd.values("(uid=one)", "displayName") == set(&["Changed"]),
        Edit::Rename => {
            slapd.values("(uid=other)", "mail") == set(&["other@localdomain.test"]) && !slapd.has("(uid=one)")
        }
        Edit::Delete => !slapd.has("(uid=one)"),
    }
}

async fn one_case(loses: Loses, what: Edit) {
    let name = format!("{loses:?} {what:?}");
    let slapd = Slapd::start("");
    let relay = Relay::start(slapd.socket());
    let store = hosted().await;
    let through = with("both-ways", &json!({ "uris": [relay.url()] }));
    let one = match what {
        Edit::Create => None,
        _ => Some(create(&store, "one").await),
    };
    let mut a = Home::start_with(&slapd, "a.test", store.clone(), &through);
    let linked = u64::from(one.is_some());
    a.until(&name, |home| {
        let status = home.engine.status();
        status.last_success.is_some() && status.linked == linked
    })
    .await;
    relay.set(loses);
    edit(&store, what, one).await;
    relay.lost().await;
    a.kill().await;
    let intents = store.list_intents("people", None, 10).expect("reads");
    assert_eq!(
        intents.len(),
        1,
        "{name}: the intent is durable before anything is sent"
    );
    // A fresh process, and a directory that answers.
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
    a.until(&name, |home| {
        is_done(&slapd, what)
            && home
                .store
                .list_intents("people", None, 10)
                .expect("reads")
                .is_empty()
    })
    .await;
    let status = a.sync_well().await;
    assert!(
        status.quarantine.is_empty() && status.strangers.is_empty(),
        "{name}: {status:?}"
    );
    assert!(
        store
            .list_conflicts("people", None, 10)
            .expect("reads")
            .is_empty(),
        "{name}"
    );
    let everybody = slapd
        .values("(objectClass=inetOrgPerson)", "mail")
        .unwrap_or_default();
    assert_eq!(
        everybody.len(),
        usize::from(!matches!(what, Edit::Delete)),
        "{name}: {everybody:?}"
    );
    // Nothing is left to be done.
    let csn = slapd.csn("(objectClass=inetOrgPerson)");
    a.engine.sync_full().await.expect("runs");
    assert_eq!(slapd.csn("(objectClass=inetOrgPerson)"), csn, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_never_arrived_is_made() {
    for what in [Edit::Create, Edit::Change, Edit::Rename, Edit::Delete] {
        one_case(Loses::Requests, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_an_answer_is_made_once() {
    for what in [Edit::Create, Edit::Change, Edit::Rename, Edit::Delete] {
        one_case(Loses::Answers, what).await;
    }
}

// The answer to a new entry is lost, the process ends, and the account gets another address before the next one begins.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_renamed_before_the_answer_has_one_entry() {
    let slapd = Slapd::start("");
    let relay = Relay::start(slapd.socket());
    let store = hosted().await;
    let through = with("both-ways", &json!({ "uris": [relay.url()] }));
    let mut a = Home::start_with(&slapd, "a.test", store.clone(), &through);
    a.until("a first round", |home| {
        home.engine.status().last_success.is_some()
    })
    .await;
    relay.set(Loses::Answers);
    let one = create(&store, "one").await;
    relay.lost().await;
    a.kill().await;
    edit(&store, Edit::Rename, Some(one)).await;
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
    a.until("renamed", |_| is_done(&slapd, Edit::Rename)).await;
    let status = a.sync_well().await;
    let waiting = (status.quarantine.len(), status.strangers.len());
    assert_eq!((status.linked, waiting), (1, (0, 0)), "{status:?}");
    let everybody = slapd.values("(objectClass=inetOrgPerson)", "mail");
    assert_eq!(everybody, set(&["other@localdomain.test"]));
    assert!(a.account("one").is_none());
    let intents = store.list_intents("people", None, 10).expect("reads");
    assert!(intents.is_empty(), "{intents:?}");
}

// The answer to a write is lost, the process ends, and somebody spells the address in another way before the next begins:
// the entry is still what the write was to make it, and its spelling is the directory's.
#[tokio::test(flavor = "multi_thread")]
async fn another_spelling_before_the_answer_is_kept() {
    for what in [Edit::Create, Edit::Change] {
        let slapd = Slapd::start("");
        let relay = Relay::start(slapd.socket());
        let store = hosted().await;
        let through = with("both-ways", &json!({ "uris": [relay.url()] }));
        let one = match what {
            Edit::Create => None,
            _ => Some(create(&store, "one").await),
        };
        let mut a = Home::start_with(&slapd, "a.test", store.clone(), &through);
        let linked = u64::from(one.is_some());
        a.until("a first round", |home| {
            let status = home.engine.status();
            status.last_success.is_some() && status.linked == linked
        })
        .await;
        relay.set(Loses::Answers);
        edit(&store, what, one).await;
        relay.lost().await;
        a.kill().await;
        assert!(is_done(&slapd, what), "{what:?}");
        slapd.modify(&change("one", "replace", "mail", "One@localdomain.test"));
        let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
        a.until("settled", |home| {
            home.engine.status().last_success.is_some()
                && home
                    .store
                    .list_intents("people", None, 10)
                    .expect("reads")
                    .is_empty()
        })
        .await;
        a.sync_well().await;
        a.engine.sync_full().await.expect("runs");
        assert_eq!(
            slapd.values("(uid=one)", "mail"),
            set(&["One@localdomain.test"]),
            "{what:?}"
        );
        let here = a.account("one").expect("here");
        assert_eq!(here.address.written(), "One@localdomain.test", "{what:?}");
        let lost = store.list_conflicts("people", None, 10).expect("reads");
        assert!(lost.is_empty(), "{what:?}: {lost:?}");
    }
}

// One object's write is not answered; the others are written meanwhile, and it follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_an_answer_waits_alone() {
    let slapd = Slapd::start("");
    let relay = Relay::start(slapd.socket());
    let store = hosted().await;
    let through = with("both-ways", &json!({ "uris": [relay.url()], "timeout": 1 }));
    let one = create(&store, "one").await;
    let two = create(&store, "two").await;
    let a = Home::start_with(&slapd, "a.test", store.clone(), &through);
    a.until("both are there", |home| home.engine.status().linked == 2)
        .await;
    relay.set(Loses::Requests);
    edit(&store, Edit::Change, Some(one)).await;
    relay.lost().await;
    relay.set(Loses::Nothing);
    let change = AccountChange {
        display_name: Some(Some("Not delayed".to_owned())),
        ..AccountChange::default()
    };
    store
        .update_account(two, None, change, &admin())
        .await
        .expect("edited");
    a.until("the other one", |_| {
        slapd.values("(uid=two)", "displayName") == set(&["Not delayed"])
    })
    .await;
    a.until("and the first", |_| is_done(&slapd, Edit::Change)).await;
    let status = a.engine.status();
    assert!(status.quarantine.is_empty(), "{status:?}");
}
