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

/// A connector of one directory that sees one branch of it and no other.
fn of_branch(slapd: &Slapd, (name, unit): (&str, &str), store: &Store, others: &[&str]) -> Home {
    let base = |unit: &str| json!({ "base_dn": [format!("ou={unit},{BASE}")] });
    let more = json!({ "name": name, "accounts": base(unit), "groups": base(&format!("{unit}Lists")) });
    let beside = Beside {
        connectors: others.iter().map(|name| (*name).to_owned()).collect(),
        homes: Vec::new(),
    };
    let config = Home::config(slapd, &with("both-ways", &more));
    Home::run_beside(config, "a.test", store.clone(), &beside)
}

/// How many entries have an address, in all branches.
fn entries(slapd: &Slapd, name: &str) -> usize {
    let filter = format!("(mail={name}@localdomain.test)");
    slapd.in_order(&filter, "mail").unwrap_or_default().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connectors_of_one_directory_make_one_entry() {
    let unit = |name: &str| format!("dn: ou={name},{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n");
    let branches = ["Staff", "StaffLists", "UsersLists"].map(unit).concat();
    let (users, staff) = (("people", "Users"), ("staff", "Staff"));
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let both = ["people", "staff"];
    // Which of them begins, or both at once; and whether they know of each other.
    for (first, second, others, expected) in [
        (Some(users), staff, &both[..], 1),
        (Some(staff), users, &both[..], 1),
        (None, users, &both[..], 1),
        (Some(users), staff, &[][..], 2),
    ] {
        let slapd = Slapd::start(&branches);
        let store = hosted().await;
        for name in &names {
            create(&store, name).await;
        }
        let all = |_: &Home| names.iter().all(|name| entries(&slapd, name) >= 1);
        let (mut a, mut b) = if let Some(first) = first {
            let a = of_branch(&slapd, first, &store, others);
            a.until("everybody has an entry", all).await;
            a.sync_well().await;
            (a, of_branch(&slapd, second, &store, others))
        } else {
            let a = of_branch(&slapd, users, &store, others);
            (a, of_branch(&slapd, staff, &store, others))
        };
        a.until("everybody has an entry", all).await;
        let at_rest = |home: &Home| {
            let status = home.engine.status();
            status.strangers.is_empty() && status.last_success.is_some()
        };
        for home in [&a, &b] {
            home.until("nobody waits", at_rest).await;
        }
        // Somebody new, while both listen.
        create(&store, "late").await;
        a.until("a newcomer has an entry", |_| entries(&slapd, "late") >= 1)
            .await;
        for home in [&a, &b, &a, &b] {
            home.until("nobody waits", at_rest).await;
            let status = home.engine.sync_full().await.expect("runs");
            assert_eq!(status.error, None, "{status:?}");
        }
        for name in names.iter().map(String::as_str).chain(["late"]) {
            assert_eq!(entries(&slapd, name), expected, "{name}, {first:?} first");
        }
        a.end().await;
        b.end().await;
    }
}
