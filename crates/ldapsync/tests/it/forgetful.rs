//! A slapd that is killed comes back with all of its entries, and has forgotten how far it was. Nobody writes for it to
//! remember.

use super::push::{admin, create, hosted, set, writes};
use super::*;
use store::AccountChange;

async fn rename(store: &Store, id: model::AccountId, name: &str) {
    let change = AccountChange {
        display_name: Some(Some(name.to_owned())),
        ..AccountChange::default()
    };
    store
        .update_account(id, None, change, &admin())
        .await
        .expect("edited");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_here_meanwhile_is_pushed() {
    let mut slapd = Slapd::start("");
    let store = hosted().await;
    let (one, two) = (create(&store, "one").await, create(&store, "two").await);
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
    a.until("linked", |home| home.engine.status().linked == 2).await;
    // Known up to here on both sides: ours and somebody else's.
    rename(&store, one, "Uno").await;
    slapd.modify(&change("two", "replace", "displayName", "Due"));
    a.until("both changes", |home| {
        let due = home
            .account("two")
            .is_some_and(|two| two.display_name.as_deref() == Some("Due"));
        due && slapd.values("(uid=one)", "displayName") == set(&["Uno"])
    })
    .await;
    for name in ["Eins", "Un"] {
        slapd.stop();
        rename(&store, one, name).await;
        slapd.restart();
        a.until("pushed", |_| {
            slapd.values("(uid=one)", "displayName") == set(&[name])
        })
        .await;
    }
    // The deletion is known, and the contextCSN of it is forgotten.
    let kept = std::time::Duration::from_secs(3600);
    store.delete_account(two, kept, &admin()).await.expect("deleted");
    a.until("deleted", |_| !slapd.has("(uid=two)")).await;
    a.sync_after_an_outage().await;
    slapd.stop();
    rename(&store, one, "Ein").await;
    slapd.restart();
    a.until("pushed", |_| {
        slapd.values("(uid=one)", "displayName") == set(&["Ein"])
    })
    .await;
    assert!(!a.can_log_in("two"));
    let conflicts = store.list_conflicts("people", None, 10).expect("reads");
    assert!(conflicts.is_empty(), "{conflicts:?}");
}

// An entry that waits for a person says how new it is as well: of two with one address the second, and one without any.
#[tokio::test(flavor = "multi_thread")]
async fn one_in_quarantine_keeps_nobody_waiting() {
    for mail in ["one@localdomain.test", "no address at all"] {
        one_waits(mail).await;
    }
}

async fn one_waits(mail: &str) {
    let mut slapd = Slapd::start("");
    let store = hosted().await;
    let one = create(&store, "one").await;
    let mut a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
    a.until("linked", |home| home.engine.status().linked == 1).await;
    // It has written down how far it is, and forgets what comes after.
    slapd.stop();
    slapd.restart();
    let another = person("two", "a.test").replace("mail: two@localdomain.test", &format!("mail: {mail}"));
    slapd.add(&another);
    a.until("set aside", |home| home.engine.status().quarantine.len() == 1)
        .await;
    slapd.modify(&change("two", "replace", "displayName", "Another"));
    rename(&store, one, "Uno").await;
    a.until("pushed", |_| {
        slapd.values("(uid=one)", "displayName") == set(&["Uno"])
    })
    .await;
    a.end().await;
    slapd.stop();
    rename(&store, one, "Eins").await;
    slapd.restart();
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
    a.until("pushed", |_| {
        slapd.values("(uid=one)", "displayName") == set(&["Eins"])
    })
    .await;
    assert_eq!(a.engine.status().quarantine.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_there_before_is_seen() {
    let mut slapd = Slapd::start(&(person("one", "a.test") + &person("two", "a.test")));
    let mut a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    slapd.modify(&change("one", "replace", "displayName", "Known"));
    a.until("known", |home| {
        home.account("one")
            .is_some_and(|one| one.display_name.as_deref() == Some("Known"))
    })
    .await;
    a.end().await;
    // Nobody is told of these, and slapd itself forgets them.
    slapd.modify(&change("two", "replace", "displayName", "News"));
    slapd.add(&person("three", "a.test"));
    slapd.stop();
    slapd.restart();
    let a = Home::start(&slapd, "a.test", a.store.clone());
    a.until("the news", |home| {
        home.can_log_in("three")
            && home
                .account("two")
                .is_some_and(|two| two.display_name.as_deref() == Some("News"))
    })
    .await;
    let status = a.sync_well().await;
    assert_eq!((status.linked, status.quarantine.len()), (3, 0), "{status:?}");
}
