//! Names and addresses that change hands.

use super::push::{admin, create, hosted, set, writes};
use super::*;
use store::{AccountChange, NewGroup};

async fn rename(store: &Store, id: model::AccountId, to: &str) {
    let change = AccountChange {
        address: Some(address(&format!("{to}@localdomain.test"))),
        ..AccountChange::default()
    };
    store
        .update_account(id, None, change, &admin())
        .await
        .expect("renamed");
}

// Two people swap their addresses here: their entries swap their names, and stay the entries they were.
#[tokio::test(flavor = "multi_thread")]
async fn entries_swap_their_names() {
    let slapd = Slapd::start("");
    let store = hosted().await;
    let config = writes("both-ways");
    let (one, two) = (create(&store, "one").await, create(&store, "two").await);
    let mut a = Home::start_with(&slapd, "a.test", store.clone(), &config);
    a.until("both are there", |home| home.engine.status().linked == 2)
        .await;
    let uuid = |name: &str| slapd.values(&format!("(uid={name})"), "entryUUID");
    let (first, second) = (uuid("one"), uuid("two"));
    a.end().await;
    rename(&store, one, "between").await;
    rename(&store, two, "one").await;
    rename(&store, one, "two").await;
    let a = Home::start_with(&slapd, "a.test", store.clone(), &config);
    a.until("swapped", |_| uuid("two") == first && uuid("one") == second)
        .await;
    a.until("and their addresses", |_| {
        slapd.values("(uid=two)", "mail") == set(&["two@localdomain.test"])
            && slapd.values("(uid=one)", "mail") == set(&["one@localdomain.test"])
    })
    .await;
    assert_eq!(slapd.values("(uid=one)", "displayName"), set(&["Person two"]));
    assert!(!slapd.has("(uid=parked-*)"));
    let status = a.sync_well().await;
    assert!(status.quarantine.is_empty(), "{status:?}");
    assert_eq!(a.account("two").expect("here").id, one);
}

// Two people swap their addresses in the directory.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_swap_their_addresses() {
    let slapd = Slapd::start(&(person("one", "a.test") + &person("two", "a.test")));
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let ids = ["one", "two"].map(|name| a.account(name).expect("here").id);
    slapd.modify(
        &(change("one", "replace", "mail", "two@localdomain.test")
            + &change("two", "replace", "mail", "one@localdomain.test")),
    );
    a.until("swapped", |home| {
        let id = |name: &str| home.account(name).map(|account| account.id);
        [id("two"), id("one")] == ids.map(Some)
    })
    .await;
    assert!(a.sync_well().await.quarantine.is_empty());
}

// A member that was added by its address stays one when its address changes.
#[tokio::test(flavor = "multi_thread")]
async fn members_are_known_by_their_entry() {
    let slapd = Slapd::start("");
    let store = hosted().await;
    let one = create(&store, "one").await;
    create(&store, "two").await;
    let mut team = NewGroup::new(address("team@localdomain.test"));
    team.members = ["one", "two"]
        .map(|name| Member::Local(address(&format!("{name}@localdomain.test"))))
        .to_vec();
    store.create_group(team, &admin()).await.expect("created");
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
    a.until("all are there", |home| home.engine.status().linked == 3)
        .await;
    a.until("members by their entries", |home| {
        let team = home
            .store
            .group_by_address(&address("team@localdomain.test"))
            .expect("reads")
            .expect("here");
        let by_entry = |member: &Member| matches!(member, Member::Remote { .. });
        team.members.len() == 2 && team.members.iter().all(by_entry)
    })
    .await;
    rename(&store, one, "other").await;
    let people = [dn("other"), dn("two")];
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    a.until("the same members", |home| {
        slapd.values("(cn=team)", "member") == set(&people)
            && home.members("team") == BTreeSet::from(["other", "two"].map(str::to_owned))
    })
    .await;
}

// An entry that was deleted and made again under the same DN is another person: the old mail is not theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_entry_with_an_old_name_is_somebody_else() {
    let slapd = Slapd::start(&(person("one", "a.test") + &person("two", "a.test")));
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let before = a.account("one").expect("here").id;
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("one")));
    slapd.add(&person("one", "a.test"));
    a.until("a successor", |home| {
        home.account("one")
            .is_some_and(|account| account.id != before && account.can_log_in())
    })
    .await;
    let old = a.store.account(before).expect("reads").expect("the mail is kept");
    assert!(matches!(old.state, AccountState::SoftDeleted { .. }));
}

// The same where this side is the source: the group here is not written, and its member stays one.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_not_written_for_its_members() {
    let slapd = Slapd::start("");
    let store = hosted().await;
    let one = create(&store, "one").await;
    create(&store, "two").await;
    let mut team = NewGroup::new(address("team@localdomain.test"));
    team.members = ["one", "two"]
        .map(|name| Member::Local(address(&format!("{name}@localdomain.test"))))
        .to_vec();
    let team = store.create_group(team, &admin()).await.expect("created");
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("local-to-ldap"));
    a.until("all are there", |home| home.engine.status().linked == 3)
        .await;
    rename(&store, one, "other").await;
    // The group follows its member with the commit that renames it, which is no connector's doing.
    let members = || store.group(team).expect("reads").expect("here").members.clone();
    let before = members();
    a.until("renamed", |_| slapd.has("(uid=other)")).await;
    for _ in 0..2 {
        a.engine.sync_full().await.expect("runs");
        let people = [dn("other"), dn("two")];
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        assert_eq!(slapd.values("(cn=team)", "member"), set(&people));
    }
    assert_eq!(members(), before);
    let journal = store.journal_after(0, 256).expect("reads");
    let by_connector = |row: &&store::JournalEntry| {
        matches!(row.origin, Origin::Connector(_)) && row.touched.has(store::Touched::MEMBERS)
    };
    assert_eq!(journal.iter().find(by_connector), None);
}
