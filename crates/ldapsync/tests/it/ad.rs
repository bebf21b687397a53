//! The engine against a real Active Directory domain controller (Samba).

use super::push::admin;
use super::*;
use serde_json::json;
use store::{AccountChange, NewAccount};
use testkit::Samba;

const PASSWORD: &str = "secret of everybody 1";

fn config(samba: &Samba, direction: &str) -> ConnectorConfig {
    serde_json::from_value(json!({
        "name": "people",
        "uris": [samba.uri()],
        "server_type": "active-directory",
        "bind_dn": samba.administrator.dn,
        "bind_password": samba.administrator.password,
        "accounts": { "base_dn": [samba.people_dn()] },
        "groups": { "base_dn": [samba.groups_dn()] },
        "domains": ["example.test"],
        "direction": direction,
        "ask_first": false,
        "polling_interval": 1,
    }))
    .expect("a connector")
}

fn at(name: &str) -> Address {
    address(&format!("{name}@example.test"))
}

fn account(home: &Home, name: &str) -> Option<Arc<Account>> {
    home.store.account_by_address(&at(name)).expect("reads")
}

fn name_of(home: &Home, name: &str) -> Option<String> {
    account(home, name).and_then(|account| account.display_name.clone())
}

/// One attribute of the user with this address.
fn value(samba: &Samba, name: &str, attribute: &str) -> Option<String> {
    let found = samba
        .search(
            &samba.people_dn(),
            &format!("(mail={name}@example.test)"),
            &[attribute],
        )
        .expect("answers");
    let prefix = format!("{attribute}: ");
    found
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .map(str::to_owned)
}

fn modify(samba: &Samba, dn: &str, attribute: &str, value: &str) {
    let ldif = format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n");
    samba.modify(&ldif).expect("modified");
}

async fn domain_store() -> Store {
    let store = empty_store();
    let domain = Domain::parse("example.test").expect("a domain");
    store.create_domain(&domain, &admin()).await.expect("created");
    store
}

async fn new_account(store: &Store, name: &str) -> model::AccountId {
    let mut new = NewAccount::new(at(name));
    new.display_name = Some(format!("Person {name}"));
    store.create_account(new, &admin()).await.expect("created")
}

async fn rename_to(store: &Store, id: model::AccountId, name: &str) {
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
async fn ldap_to_local_through_restarts_of_the_server() {
    let mut samba = Samba::start("").expect("starts");
    for name in ["one", "two"] {
        let user = samba.user_ldif(
            name,
            &format!("{name}@example.test"),
            PASSWORD,
            "displayName: Somebody\n",
        );
        samba.add(&user).expect("added");
    }
    let mut a = Home::run(config(&samba, "ldap-to-local"), "a.test", empty_store());
    a.until("both", |home| {
        account(home, "one").is_some() && account(home, "two").is_some()
    })
    .await;
    let one = account(&a, "one").expect("here").id;
    // An edit, a rename, a switch, a deletion.
    modify(&samba, &samba.user_dn("one"), "displayName", "Another");
    a.until("an edit", |home| {
        name_of(home, "one").as_deref() == Some("Another")
    })
    .await;
    modify(&samba, &samba.user_dn("one"), "mail", "renamed@example.test");
    a.until("a rename", |home| {
        account(home, "renamed").is_some_and(|found| found.id == one)
    })
    .await;
    samba.kill().expect("killed");
    a.until("it notices", |home| home.engine.status().error.is_some())
        .await;
    samba.restart().expect("restarts");
    modify(&samba, &samba.user_dn("one"), "userAccountControl", "514");
    samba.delete(&samba.user_dn("two")).expect("deleted");
    a.until("what came after the outage", |home| {
        account(home, "two").is_none() && account(home, "renamed").is_some_and(|found| !found.can_log_in())
    })
    .await;
    a.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_become_users_and_stay_enabled_here() {
    let samba = Samba::start("").expect("starts");
    let store = domain_store().await;
    let one = new_account(&store, "one").await;
    let a = Home::run(config(&samba, "both-ways"), "a.test", store.clone());
    a.until("a user", |home| home.engine.status().linked == 1).await;
    // Made without a password, so Active Directory keeps it off; here it is in use, and stays so.
    assert_eq!(value(&samba, "one", "userAccountControl").as_deref(), Some("514"));
    a.engine.sync_full().await.expect("runs");
    assert!(account(&a, "one").expect("here").can_log_in());
    // With its first password it is on, on both sides; switched off later, on neither.
    let dn = value(&samba, "one", "distinguishedName").expect("a name");
    samba.set_password(&dn, PASSWORD).expect("set");
    modify(&samba, &dn, "userAccountControl", "512");
    a.sync_well().await;
    assert!(account(&a, "one").expect("here").can_log_in());
    modify(&samba, &dn, "userAccountControl", "514");
    a.until("switched off there", |home| {
        !account(home, "one").expect("here").can_log_in()
    })
    .await;
    let on = AccountChange {
        enabled: Some(true),
        ..AccountChange::default()
    };
    store
        .update_account(one, None, on, &admin())
        .await
        .expect("edited");
    a.until("switched on here", |_| {
        value(&samba, "one", "userAccountControl").as_deref() == Some("512")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_with_a_conflict_and_killed_in_between() {
    let mut samba = Samba::start("").expect("starts");
    let store = domain_store().await;
    let one = new_account(&store, "one").await;
    let two = new_account(&store, "two").await;
    let mut both = config(&samba, "both-ways");
    both.conflict_resolution = directory::config::ConflictResolution::LdapWins;
    let mut a = Home::run(both.clone(), "a.test", store.clone());
    a.until("both", |home| home.engine.status().linked == 2).await;
    a.kill().await;
    // Both sides edit the same while nobody looks.
    rename_to(&store, one, "Ours").await;
    let dn = value(&samba, "one", "distinguishedName").expect("a name");
    modify(&samba, &dn, "displayName", "Theirs");
    rename_to(&store, two, "Only ours").await;
    samba.kill().expect("killed");
    let a = Home::run(both, "a.test", store.clone());
    a.until("it notices", |home| home.engine.status().error.is_some())
        .await;
    samba.restart().expect("restarts");
    a.until("decided", |home| {
        name_of(home, "one").as_deref() == Some("Theirs")
            && value(&samba, "two", "displayName").as_deref() == Some("Only ours")
    })
    .await;
    let lost = store.list_conflicts("people", None, 10).expect("reads");
    assert_eq!(lost.len(), 1, "{lost:?}");
    let kept = std::time::Duration::from_secs(3600);
    store.delete_account(two, kept, &admin()).await.expect("deleted");
    a.until("deleted there", |_| value(&samba, "two", "displayName").is_none())
        .await;
}
