//! Two connectors on one domain: each directory is followed and written, and neither answers the other for ever.

use super::push::{admin, create, hosted, set, with};
use super::*;
use serde_json::json;
use store::AccountChange;

#[tokio::test(flavor = "multi_thread")]
async fn two_connectors_in_a_ring_come_to_rest() {
    let (first, second) = (Slapd::start(&person("there", "a.test")), Slapd::start(""));
    let store = hosted().await;
    let here = create(&store, "here").await;
    let a = Home::start_with(&first, "a.test", store.clone(), &with("both-ways", &json!({})));
    let b = Home::start_with(
        &second,
        "a.test",
        store.clone(),
        &with("both-ways", &json!({ "name": "second" })),
    );
    a.until("everybody is everywhere", |_| {
        ["(uid=here)", "(uid=there)"]
            .iter()
            .all(|filter| first.has(filter) && second.has(filter))
    })
    .await;
    // An edit here goes to both, one in either directory to the other.
    let edit = AccountChange {
        display_name: Some(Some("From here".to_owned())),
        ..AccountChange::default()
    };
    store
        .update_account(here, None, edit, &admin())
        .await
        .expect("edited");
    first.modify(&change("there", "replace", "displayName", "From the first"));
    let name = |slapd: &Slapd, uid: &str| slapd.values(&format!("(uid={uid})"), "displayName");
    a.until("both know", |_| {
        [&first, &second].iter().all(|slapd| {
            name(slapd, "here") == set(&["From here"]) && name(slapd, "there") == set(&["From the first"])
        })
    })
    .await;
    second.modify(&change("there", "replace", "displayName", "From the second"));
    b.until("the first knows", |_| {
        name(&first, "there") == set(&["From the second"])
    })
    .await;
    // It comes to rest: comparing everything on both sides writes nothing.
    let versions = || [&first, &second].map(|slapd| slapd.csn("(objectClass=inetOrgPerson)"));
    for home in [&a, &b, &a, &b] {
        home.sync_well().await;
    }
    let (csns, end) = (versions(), a.journal_end());
    for home in [&a, &b, &a] {
        home.engine.sync_full().await.expect("runs");
    }
    assert_eq!((versions(), a.journal_end()), (csns, end));
    // What goes from one directory is switched off here and deleted nowhere else.
    first.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("there")));
    a.until("switched off", |home| home.account("there").is_none())
        .await;
    b.engine.sync_full().await.expect("runs");
    assert!(
        second.has("(uid=there)"),
        "a connector deletes nothing through another one"
    );
}
