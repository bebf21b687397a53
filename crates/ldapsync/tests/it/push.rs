//! The directions that write the directory, against a real slapd.

use super::*;
use serde_json::{Value, json};
use std::process::Command;
use store::{AccountChange, GroupChange, NewAccount, NewGroup};

pub(super) fn admin() -> Origin {
    Origin::Admin("test".to_owned())
}

pub(super) fn writes(direction: &str) -> Value {
    json!({
        "direction": direction,
        "clustered": false,
        "write_bind_dn": "cn=homing-write,dc=localdomain,dc=test",
        "write_bind_password": "secret",
    })
}

pub(super) fn with(direction: &str, more: &Value) -> Value {
    let mut config = writes(direction);
    for (key, value) in more.as_object().expect("keys and values") {
        config[key] = value.clone();
    }
    config
}

pub(super) async fn hosted() -> Store {
    let store = empty_store();
    let domain = Domain::parse("localdomain.test").expect("a domain");
    store.create_domain(&domain, &admin()).await.expect("created");
    store
}

pub(super) async fn create(store: &Store, name: &str) -> model::AccountId {
    let mut new = NewAccount::new(address(&format!("{name}@localdomain.test")));
    new.display_name = Some(format!("Person {name}"));
    store.create_account(new, &admin()).await.expect("created")
}

impl Slapd {
    /// The values of an attribute of the entry with this filter; none when there is no such entry.
    pub(super) fn values(&self, filter: &str, attribute: &str) -> Option<BTreeSet<String>> {
        let found = self.in_order(filter, attribute);
        found.map(|values| values.into_iter().collect())
    }

    /// The same in the order in which slapd has them.
    pub(super) fn in_order(&self, filter: &str, attribute: &str) -> Option<Vec<String>> {
        let mut command = Command::new("ldapsearch");
        command.args(["-x", "-LLL", "-o", "ldif-wrap=no", "-H", &self.url()]);
        command.args(["-D", "cn=homing-read,dc=localdomain,dc=test", "-w", "secret"]);
        command.args(["-b", "dc=localdomain,dc=test", filter, attribute]);
        // Right behind a transaction that failed, slapd 2.5 ends a new connection now and then, unasked.
        let mut tries = (0..5).map(|_| command.output().expect("ldap-utils is installed"));
        let answered = |output: &std::process::Output| output.status.code() != Some(255);
        let output = tries.find(answered)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let prefix = format!("{attribute}: ");
        text.contains("dn:").then(|| {
            let values = text.lines().filter_map(|line| line.strip_prefix(&prefix));
            values.map(str::to_owned).collect()
        })
    }

    pub(super) fn has(&self, filter: &str) -> bool {
        self.values(filter, "1.1").is_some()
    }

    pub(super) fn csn(&self, filter: &str) -> BTreeSet<String> {
        self.values(filter, "entryCSN").unwrap_or_default()
    }
}

pub(super) fn set(values: &[&str]) -> Option<BTreeSet<String>> {
    Some(values.iter().map(|value| (*value).to_owned()).collect())
}

/// Mail for everybody goes to it, but it has nobody's address.
#[tokio::test(flavor = "multi_thread")]
async fn a_catch_all_does_not_have_the_addresses_of_others() {
    let all =
        person("stranger", "a.test").trim_end().to_owned() + "\nmailLocalAddress: @localdomain.test\n\n";
    let slapd = Slapd::start(&all);
    let store = hosted().await;
    let early = create(&store, "early").await;
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("local-to-ldap"));
    a.until("a new entry", |_| slapd.has("(uid=early)")).await;
    let change = AccountChange {
        aliases: Some(vec![
            address("desk@localdomain.test"),
            address("early+x@localdomain.test"),
        ]),
        ..AccountChange::default()
    };
    store
        .update_account(early, None, change, &admin())
        .await
        .expect("changed");
    a.until("new aliases", |_| {
        slapd.values("(uid=early)", "mailLocalAddress")
            == set(&["desk@localdomain.test", "early+x@localdomain.test"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_to_ldap_creates_changes_renames_and_deletes() {
    let slapd = Slapd::start(&person("stranger", "a.test"));
    let store = hosted().await;
    let early = create(&store, "early").await;
    let mut a = Home::start_with(&slapd, "a.test", store.clone(), &writes("local-to-ldap"));
    a.until("what was here before", |_| slapd.has("(uid=early)"))
        .await;
    assert_eq!(
        slapd.values("(uid=early)", "mail"),
        set(&["early@localdomain.test"])
    );
    // Nothing of the directory is taken over, and what was never linked is left alone.
    assert!(a.account("stranger").is_none() && slapd.has("(uid=stranger)"));

    let late = create(&store, "late").await;
    let mut team = NewGroup::new(address("team@localdomain.test"));
    create(&store, "third").await;
    team.members = ["early", "third"]
        .map(|name| Member::Local(address(&format!("{name}@localdomain.test"))))
        .to_vec();
    let team = store.create_group(team, &admin()).await.expect("created");
    let people = [dn("early"), dn("third")];
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    a.until("a group with its members", |_| {
        slapd.values("(cn=team)", "member") == set(&people)
    })
    .await;

    let change = AccountChange {
        display_name: Some(Some("Another".to_owned())),
        aliases: Some(vec![address("desk@localdomain.test")]),
        enabled: Some(false),
        quota: Some(Some(model::ByteSize(5000))),
        ..AccountChange::default()
    };
    store
        .update_account(late, None, change, &admin())
        .await
        .expect("changed");
    a.until("the change", |_| {
        slapd.values("(uid=late)", "displayName") == set(&["Another"])
    })
    .await;
    assert_eq!(slapd.values("(uid=late)", "homingQuota"), set(&["5000"]));
    assert_eq!(slapd.values("(uid=late)", "homingEnabled"), set(&["FALSE"]));
    assert_eq!(
        slapd.values("(uid=late)", "mailLocalAddress"),
        set(&["desk@localdomain.test"])
    );

    // A new address takes the name of the entry with it; the UUID stays.
    let uuid = slapd.values("(uid=late)", "entryUUID");
    let change = AccountChange {
        address: Some(address("later@localdomain.test")),
        ..AccountChange::default()
    };
    store
        .update_account(late, None, change, &admin())
        .await
        .expect("renamed");
    a.until("the new name", |_| slapd.has("(uid=later)")).await;
    // The address is a write of its own.
    a.until("the new address", |_| {
        slapd.values("(mail=later@localdomain.test)", "entryUUID") == uuid
    })
    .await;
    assert_eq!(slapd.values("(uid=later)", "entryUUID"), uuid);

    // An edit in the directory is undone when the object is looked at again.
    slapd.modify(&super::change("early", "replace", "displayName", "Meddler"));
    a.until("the repair", |_| {
        slapd.values("(uid=early)", "displayName") == set(&["Person early"])
    })
    .await;
    assert_eq!(
        a.account("early").expect("here").display_name.as_deref(),
        Some("Person early")
    );

    // Another process: nothing is written again.
    a.end().await;
    let before = (
        slapd.csn("(uid=early)"),
        slapd.csn("(uid=later)"),
        slapd.csn("(cn=team)"),
    );
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("local-to-ldap"));
    a.until("it follows", |home| {
        home.engine.status().feed == ldapsync::FeedState::Open
    })
    .await;
    a.engine.sync_full().await.expect("runs");
    let counts = a.engine.status().counts;
    assert_eq!(
        (counts.created_there, counts.updated_there, counts.deleted_there),
        (0, 0, 0)
    );
    assert_eq!(
        (
            slapd.csn("(uid=early)"),
            slapd.csn("(uid=later)"),
            slapd.csn("(cn=team)")
        ),
        before
    );

    // Deletions: a person's of an account, and a group's.
    let gone = std::time::Duration::from_secs(3600);
    store
        .delete_account(early, gone, &admin())
        .await
        .expect("deleted");
    a.until("the entry is gone", |_| !slapd.has("(uid=early)")).await;
    store.delete_group(team, &admin()).await.expect("deleted");
    a.until("the group is gone", |_| !slapd.has("(cn=team)")).await;
    assert!(slapd.has("(uid=stranger)"), "never linked, never touched");
    assert!(a.engine.status().quarantine.is_empty() && a.engine.status().strangers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_merges_and_decides() {
    for (resolution, here, there) in [
        ("ldap-wins", "There", "There"),
        ("local-wins", "Here", "Here"),
        ("no-change", "Person one", "Person one"),
    ] {
        let mut slapd = Slapd::start(&person("one", "a.test"));
        let config = with("both-ways", &json!({ "conflict_resolution": resolution }));
        let mut a = Home::start_with(&slapd, "a.test", hosted().await, &config);
        a.until("the entry comes here", |home| home.can_log_in("one"))
            .await;
        let two = create(&a.store, "two").await;
        a.until("the account goes there", |_| slapd.has("(uid=two)"))
            .await;
        // Both sides are edited while they cannot hear of each other.
        a.end().await;
        let id = a.account("one").expect("here").id;
        let edit = AccountChange {
            display_name: Some(Some("Here".to_owned())),
            quota: Some(Some(model::ByteSize(7))),
            ..AccountChange::default()
        };
        a.store
            .update_account(id, None, edit, &admin())
            .await
            .expect("edited");
        slapd.modify(&super::change("one", "replace", "displayName", "There"));
        slapd.modify(&super::change(
            "one",
            "add",
            "mailLocalAddress",
            "other@localdomain.test",
        ));
        let a = Home::start_with(&slapd, "a.test", a.store.clone(), &config);
        let settled = |home: &Home| {
            let account = home.account("one").expect("here");
            account.display_name.as_deref() == Some(here)
                && slapd.values("(uid=one)", "displayName") == set(&[there])
        };
        a.until(resolution, settled).await;
        // What only one side changed went to the other all the same.
        a.until("the quota", |_| {
            slapd.values("(uid=one)", "homingQuota") == set(&["7"])
        })
        .await;
        assert!(a.account("other").is_some(), "{resolution}");
        let lost = a.store.list_conflicts("people", None, 10).expect("reads");
        assert_eq!(lost.len(), 1, "{resolution}: {lost:?}");
        assert_eq!(
            (lost[0].id.field.as_str(), lost[0].rule.as_str()),
            ("display_name", resolution)
        );
        // A deletion there comes here, one here goes there.
        slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("one")));
        a.until("deleted there", |home| home.account("one").is_none())
            .await;
        a.store
            .delete_account(two, std::time::Duration::from_secs(3600), &admin())
            .await
            .expect("deleted");
        a.until("deleted here", |_| !slapd.has("(uid=two)")).await;
        slapd.stop();
    }
}

// The directory is away while people work here; what they did goes there when it is back, once.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_directory_is_away() {
    let mut slapd = Slapd::start("");
    let store = hosted().await;
    let config = writes("both-ways");
    let ids = [create(&store, "one").await, create(&store, "two").await];
    let mut a = Home::start_with(&slapd, "a.test", store.clone(), &config);
    a.until("both are there", |_| {
        slapd.has("(uid=one)") && slapd.has("(uid=two)")
    })
    .await;
    slapd.stop();
    for id in ids {
        let edit = AccountChange {
            display_name: Some(Some("While away".to_owned())),
            ..AccountChange::default()
        };
        store
            .update_account(id, None, edit, &admin())
            .await
            .expect("edited");
    }
    create(&store, "three").await;
    // The process dies too, somewhere in its attempts.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    a.kill().await;
    slapd.restart();
    let a = Home::start_with(&slapd, "a.test", store.clone(), &config);
    for name in ["one", "two"] {
        let filter = format!("(uid={name})");
        a.until(name, |_| {
            slapd.values(&filter, "displayName") == set(&["While away"])
        })
        .await;
    }
    a.until("three", |_| slapd.has("(uid=three)")).await;
    a.until("no write is open", |home| {
        home.store
            .list_intents("people", None, 10)
            .expect("reads")
            .is_empty()
    })
    .await;
}

// The process is killed again and again, wherever it happens to be, while there is much to write.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_writes_everything_once() {
    let slapd = Slapd::start("");
    let store = hosted().await;
    let config = writes("local-to-ldap");
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(create(&store, &format!("k{number}")).await);
    }
    for wait in [20, 45, 70, 95, 120, 150] {
        let mut home = Home::start_with(&slapd, "a.test", store.clone(), &config);
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        home.kill().await;
    }
    let a = Home::start_with(&slapd, "a.test", store.clone(), &config);
    let linked =
        |home: &Home| home.engine.status().linked == 60 && home.engine.status().last_success.is_some();
    a.until("all have their entry", linked).await;
    let entries = slapd.values("(uid=k*)", "mail").expect("entries");
    assert_eq!(entries.len(), 60);
    let mut seen = BTreeSet::new();
    for id in ids {
        let link = store
            .association("people", store::LocalId::Account(id))
            .expect("reads")
            .expect("linked");
        assert!(seen.insert(link.remote), "one account, one entry");
    }
    assert!(store.list_intents("people", None, 10).expect("reads").is_empty());
}

// Two back ends write one directory, each its own accounts.
#[tokio::test(flavor = "multi_thread")]
async fn two_homes_write_one_directory() {
    let slapd = Slapd::start("");
    let config = with("both-ways", &json!({ "clustered": true }));
    let (a, b) = (
        Home::start_with(&slapd, "a.test", hosted().await, &config),
        Home::start_with(&slapd, "b.test", hosted().await, &config),
    );
    let here = create(&a.store, "here").await;
    create(&b.store, "there").await;
    a.until("both are there", |_| {
        slapd.has("(uid=here)") && slapd.has("(uid=there)")
    })
    .await;
    assert_eq!(slapd.values("(uid=here)", "mailHost"), set(&["a.test"]));
    assert_eq!(slapd.values("(uid=there)", "mailHost"), set(&["b.test"]));
    assert!(b.account("here").is_none() && a.account("there").is_none());
    // The account moves; what its former home still wants to write of it is not its to write any more.
    slapd.modify(&super::change("here", "replace", "mailHost", "b.test"));
    a.until("it has moved", |home| {
        let account = home.store.account(here).expect("reads").expect("kept");
        matches!(account.state, AccountState::MovedAway { .. })
    })
    .await;
    b.until("it arrives", |home| home.account("here").is_some()).await;
    let edit = AccountChange {
        display_name: Some(Some("Too late".to_owned())),
        ..AccountChange::default()
    };
    a.store
        .update_account(here, None, edit, &admin())
        .await
        .expect("edited");
    let gone = std::time::Duration::from_secs(3600);
    a.store
        .delete_account(here, gone, &admin())
        .await
        .expect("deleted");
    a.engine.sync_full().await.expect("runs");
    assert_eq!(slapd.values("(uid=here)", "displayName"), set(&["Person here"]));
    assert_eq!(slapd.values("(uid=here)", "mailHost"), set(&["b.test"]));
    // A group that both have.
    let mut team = NewGroup::new(address("team@localdomain.test"));
    team.members = vec![Member::Local(address("here@localdomain.test"))];
    let team = a.store.create_group(team, &admin()).await.expect("created");
    b.until("the group", |home| home.has_group("team")).await;
    let none = GroupChange {
        members: Some(Vec::new()),
        ..GroupChange::default()
    };
    a.store
        .update_group(team, None, none, &admin())
        .await
        .expect("changed");
    b.until("nobody in it", |home| home.members("team").is_empty())
        .await;
}

/// inetOrgPerson's mail may have several values: the first is the address, the others are aliases.
#[tokio::test(flavor = "multi_thread")]
async fn renaming_an_entry_with_several_addresses() {
    let several = person("anna", "a.test").replace(
        "mail: anna@localdomain.test\n",
        "mail: anna@localdomain.test\nmail: second@localdomain.test\nmail: third@localdomain.test\n",
    );
    let slapd = Slapd::start(&several);
    let store = hosted().await;
    let a = Home::start_with(&slapd, "a.test", store.clone(), &writes("both-ways"));
    a.until("an account", |home| home.account("anna").is_some()).await;
    let id = a.account("anna").expect("there").id;
    let change = AccountChange {
        address: Some(address("hanna@localdomain.test")),
        aliases: Some(
            ["anna.alias", "third"]
                .map(|name| address(&format!("{name}@localdomain.test")))
                .to_vec(),
        ),
        ..AccountChange::default()
    };
    store
        .update_account(id, None, change, &admin())
        .await
        .expect("changed");
    a.until("the new address first, and an alias less", |_| {
        let wanted = ["hanna", "third"].map(|name| format!("{name}@localdomain.test"));
        slapd.in_order("(cn=anna)", "mail") == Some(wanted.to_vec())
    })
    .await;
    let status = a.engine.sync_full().await.expect("a comparison");
    assert_eq!(status.error, None);
    let here = a.store.account(id).expect("reads").expect("there");
    assert_eq!(here.address, address("hanna@localdomain.test"));
    assert_eq!(here.aliases.len(), 2, "{:?}", here.aliases);
    assert!(status.quarantine.is_empty(), "{status:?}");
}
