//! A server gets another name: what the directory says under the former one is still its own, and nothing else is.

use super::push::{set, with};
use super::*;
use serde_json::{Value, json};

fn both_ways(more: &Value) -> Value {
    let mut config = with("both-ways", &json!({ "clustered": true }));
    for (key, value) in more.as_object().expect("keys and values") {
        config[key] = value.clone();
    }
    config
}

fn start(slapd: &Slapd, name: &str, store: &Store, more: &Value) -> Home {
    store.take_name(name).expect("stored");
    Home::start_with(slapd, name, store.clone(), more)
}

fn host(slapd: &Slapd, name: &str) -> Option<BTreeSet<String>> {
    slapd.values(&format!("(uid={name})"), "mailHost")
}

fn state(home: &Home, id: model::AccountId) -> AccountState {
    let account = home.store.account(id).expect("reads").expect("the mail is kept");
    account.state.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_told_the_new_name() {
    let mut slapd =
        Slapd::start(&(person("one", "a.test") + &person("two", "A.test.") + &person("other", "b.test")));
    let (store, none) = (empty_store(), json!({}));
    let mut a = start(&slapd, "a.test", &store, &both_ways(&none));
    a.sync_well().await;
    let ids = ["one", "two"].map(|name| a.account(name).expect("here").id);
    let node = store.node().expect("known");
    a.kill().await;

    // Nobody answers at first, and the first process under the new name dies.
    slapd.stop();
    let mut a = start(&slapd, "new.test", &store, &both_ways(&none));
    a.sync().await;
    assert!(a.can_log_in("one") && a.can_log_in("two"));
    a.kill().await;
    slapd.restart();
    let a = start(&slapd, "new.test", &store, &both_ways(&none));
    a.sync_after_an_outage().await;
    a.until("the new name", |_| {
        ["one", "two"]
            .iter()
            .all(|name| host(&slapd, name) == set(&["new.test"]))
    })
    .await;
    assert_eq!(host(&slapd, "other"), set(&["b.test"]));
    for (name, id) in ["one", "two"].iter().zip(ids) {
        assert_eq!(a.account(name).map(|account| account.id), Some(id));
        assert_eq!(state(&a, id), AccountState::Active);
    }
    let status = a.sync_well().await;
    assert!(
        status.quarantine.is_empty() && !status.guard.tripped,
        "{status:?}"
    );
    let now = store.node().expect("known");
    assert_eq!(
        (now.id(), now.former_names()),
        (node.id(), ["a.test".to_owned()].as_slice())
    );
    assert_eq!(now.replica_id("people"), node.replica_id("people"));
    // At rest: comparing everything writes nothing.
    let (csns, end) = (slapd.csn("(objectClass=inetOrgPerson)"), a.journal_end());
    a.engine.sync_full().await.expect("runs");
    assert_eq!(
        (slapd.csn("(objectClass=inetOrgPerson)"), a.journal_end()),
        (csns, end)
    );

    // Another server takes the former name. What it makes is its own, and so is what is moved to it.
    slapd.add(&person("stranger", "a.test"));
    slapd.modify(&change("one", "replace", "mailHost", "a.test"));
    a.until("it has moved", |home| {
        state(home, ids[0])
            == AccountState::MovedAway {
                to: "a.test".to_owned(),
            }
    })
    .await;
    a.engine.sync_full().await.expect("runs");
    assert!(a.account("stranger").is_none() && a.can_log_in("two"));
    for name in ["one", "stranger"] {
        assert_eq!(host(&slapd, name), set(&["a.test"]), "{name} is not written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_asks_before_many_entries_are_told() {
    let people: String = (0..4)
        .map(|number| person(&format!("p{number}"), "a.test"))
        .collect();
    let slapd = Slapd::start(&people);
    let store = empty_store();
    let guard = both_ways(&json!({ "guard": { "limit": 2, "floor": 1, "percent": 1 } }));
    let mut a = start(&slapd, "a.test", &store, &guard);
    a.sync_well().await;
    a.end().await;
    let a = start(&slapd, "new.test", &store, &guard);
    let status = a.sync_well().await;
    assert!(status.guard.tripped && status.guard.held > 0, "{status:?}");
    // Whoever waits for an approval is in use all the same, and everything else flows.
    slapd.modify(&change("p3", "replace", "displayName", "Renamed"));
    a.until("an edit", |home| {
        home.account("p3").expect("here").display_name.as_deref() == Some("Renamed")
    })
    .await;
    assert!((0..4).all(|number| a.can_log_in(&format!("p{number}"))));
    let row = &status.quarantine.first().expect("a row").reason;
    assert!(row.contains("host: a.test -> new.test"), "{row}");
    a.engine
        .approve(&a.engine.status().guard.hash.expect("a hash"))
        .await
        .expect("approved");
    a.until("all of them", |_| {
        (0..4).all(|number| host(&slapd, &format!("p{number}")) == set(&["new.test"]))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direction_that_does_not_write_waits_for_the_administrator() {
    let slapd = Slapd::start(&(person("one", "a.test") + &person("two", "a.test")));
    let (store, none) = (empty_store(), json!({}));
    let mut a = start(&slapd, "a.test", &store, &none);
    a.sync_well().await;
    let id = a.account("one").expect("here").id;
    a.end().await;
    let a = start(&slapd, "new.test", &store, &none);
    let status = a.sync_well().await;
    assert!(a.can_log_in("one") && a.can_log_in("two"), "{status:?}");
    let told = a
        .engine
        .explain_object(&ldapsync::Named::Local(ldapsync::LocalId::Account(id)))
        .await
        .expect("explained");
    let told = serde_json::to_string(&told).expect("JSON");
    assert!(
        told.contains("still says a.test") && told.contains("set it to new.test"),
        "{told}"
    );
    slapd.modify(&change("one", "replace", "mailHost", "new.test"));
    a.sync_well().await;
    assert!(a.can_log_in("one"));
    // It has said the new name: the former one is somebody else's from now on.
    slapd.modify(&change("one", "replace", "mailHost", "a.test"));
    a.until("it has moved", |home| {
        matches!(state(home, id), AccountState::MovedAway { .. })
    })
    .await;
    assert!(a.can_log_in("two"), "it never said anything else");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_mail_is_waited_for_from_a_former_name() {
    for (homes, expected) in [
        (vec![], AccountState::Active),
        (
            vec!["A.test.".to_owned()],
            AccountState::AwaitingMail {
                from: "a.test".to_owned(),
            },
        ),
    ] {
        let slapd = Slapd::start(&person("one", "a.test"));
        let (store, none) = (empty_store(), json!({}));
        let mut a = start(&slapd, "a.test", &store, &both_ways(&none));
        a.sync_well().await;
        a.end().await;
        store.take_name("new.test").expect("stored");
        let beside = Beside {
            connectors: Vec::new(),
            homes,
        };
        let config = Home::config(&slapd, &both_ways(&none));
        let a = Home::run_beside(config, "new.test", store.clone(), &beside);
        a.sync_well().await;
        // Somebody writes the former name all the same, and then the new one.
        slapd.add(&person("late", "a.test"));
        a.sync_well().await;
        assert!(a.account("late").is_none(), "the name may be another server's");
        slapd.modify(&change("late", "replace", "mailHost", "new.test"));
        a.until("it is here", |home| home.account("late").is_some()).await;
        assert_eq!(a.account("late").expect("here").state, expected);
    }
}

// RFC 4533 leaves the cookie to the server; slapd's begins with the replica id of whoever asks, and its log has it.
#[tokio::test(flavor = "multi_thread")]
async fn slapd_knows_each_feed_by_its_replica_id() {
    let slapd = Slapd::start(&person("one", "a.test"));
    let store = empty_store();
    let node = store.take_name("a.test").expect("stored");
    let cookie = || {
        let state = store.connector_state("people").expect("reads");
        let stored = state.cookie.expect("a cookie");
        String::from_utf8_lossy(&stored).into_owned()
    };
    for (more, id) in [
        (json!({}), node.replica_id("people")),
        (json!({ "replica_id": 7 }), 7),
    ] {
        // The first reading of everything has no cookie to send.
        for _ in 0..2 {
            let mut a = start(&slapd, "a.test", &store, &more);
            a.sync_well().await;
            slapd.modify(&change("one", "replace", "displayName", &format!("Under {id}")));
            a.sync_well().await;
            a.end().await;
        }
        assert!(cookie().contains(&format!("rid={id:03},")), "{}", cookie());
    }
}
