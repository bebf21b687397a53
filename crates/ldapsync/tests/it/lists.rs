//! Members are written by the names that their entries have when they are written.

use super::push::{admin, hosted, set, with};
use super::*;
use store::{AccountChange, GroupChange};

async fn enlist(home: &Home, list: &str, names: &[&str]) {
    let list = address(&format!("{list}@localdomain.test"));
    let group = home.store.group_by_address(&list).expect("reads").expect("there");
    let mut members = group.members.clone();
    let new = names
        .iter()
        .map(|name| Member::Local(address(&format!("{name}@localdomain.test"))));
    members.extend(new);
    let change = GroupChange {
        members: Some(members),
        ..GroupChange::default()
    };
    let changed = home.store.update_group(group.id, None, change, &admin()).await;
    changed.expect("changed");
}

async fn rename(home: &Home, name: &str, new: &str) {
    let id = home.account(name).expect("there").id;
    let change = AccountChange {
        address: Some(address(&format!("{new}@localdomain.test"))),
        ..AccountChange::default()
    };
    let changed = home.store.update_account(id, None, change, &admin()).await;
    changed.expect("changed");
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

// slapd says nothing of the entries below a renamed branch, so what is known of their names is old.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_below_a_renamed_branch() {
    let branch = format!("dn: ou=staff,ou=Users,{BASE}\nobjectClass: organizationalUnit\nou: staff\n\n");
    let anna = person("anna", "a.test").replace("ou=Users,", "ou=staff,ou=Users,");
    let slapd = Slapd::start(&(person("bert", "a.test") + &branch + &anna + &group("team", &["bert"])));
    let config = with("both-ways", &serde_json::json!({}));
    let a = Home::start_with(&slapd, "a.test", hosted().await, &config);
    a.until("everybody", |home| {
        home.account("anna").is_some() && home.has_group("team")
    })
    .await;
    slapd.modify(&format!(
        "dn: ou=staff,ou=Users,{BASE}\nchangetype: modrdn\nnewrdn: ou=crew\ndeleteoldrdn: 1\n\n"
    ));
    enlist(&a, "team", &["anna"]).await;
    let crew = format!("uid=anna,ou=crew,ou=Users,{BASE}");
    a.until("her name of now", |_| {
        slapd.values("(cn=team)", "member") == set(&[&dn("bert"), &crew])
    })
    .await;
    let status = a.engine.sync_full().await.expect("a comparison");
    assert!(
        status.error.is_none() && status.quarantine.is_empty(),
        "{status:?}"
    );
    assert_eq!(a.members("team"), names(&["anna", "bert"]));
}

// Everything waits until slapd is back, and goes out together.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_renamed_together_with_their_list() {
    let people = ["anna", "bert", "carl"]
        .map(|name| person(name, "a.test"))
        .concat();
    let mut slapd = Slapd::start(&(people + &group("team", &["bert"])));
    let config = with("both-ways", &serde_json::json!({}));
    let a = Home::start_with(&slapd, "a.test", hosted().await, &config);
    a.until("everybody", |home| {
        home.account("carl").is_some() && home.has_group("team")
    })
    .await;
    slapd.stop();
    // Two swap their names, one of them joins, and so does a third who gets another name.
    rename(&a, "anna", "other").await;
    rename(&a, "bert", "anna").await;
    rename(&a, "other", "bert").await;
    rename(&a, "carl", "karl").await;
    enlist(&a, "team", &["bert", "karl"]).await;
    slapd.restart();
    let wanted = set(&[&dn("anna"), &dn("bert"), &dn("karl")]);
    a.until("the names of now", |_| {
        slapd.values("(cn=team)", "member") == wanted
    })
    .await;
    assert_eq!(
        slapd.values("(uid=bert)", "cn"),
        set(&["anna"]),
        "she is bert now"
    );
    let status = a.engine.sync_full().await.expect("a comparison");
    assert!(
        status.error.is_none() && status.quarantine.is_empty(),
        "{status:?}"
    );
    assert_eq!(a.members("team"), names(&["anna", "bert", "karl"]));
}
