//! Changes as they happen: the search that stays open, its end, and its cookie.

use super::*;
use ldapsync::FeedState;

fn config(slapd: &Slapd, store: Store) -> Home {
    Home::start(slapd, "a.test", store)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_seen_without_asking() {
    let mut slapd = Slapd::start(&people());
    let mut a = config(&slapd, empty_store());
    let follows = |home: &Home| home.engine.status().feed == FeedState::Open;
    a.until("it follows", follows).await;
    // The polling interval of these tests is an hour: whatever arrives comes over the open feed.
    slapd.modify(&change("p0", "replace", "displayName", "Another Name"));
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("p2")));
    slapd.add(&(person("late", "a.test") + &group("late-group", &["late", "p4"])));
    let name = |home: &Home| home.account("p0").expect("here").display_name.clone();
    a.until("a new name", |home| name(home).as_deref() == Some("Another Name"))
        .await;
    a.until("a deletion", |home| home.account("p2").is_none()).await;
    a.until("a new account", |home| home.can_log_in("late")).await;
    let members = BTreeSet::from(["late", "p4"].map(str::to_owned));
    a.until("a new group", |home| {
        home.has_group("late-group") && home.members("late-group") == members
    })
    .await;
    // slapd rewrites the group without a message; the rename of the person is one.
    slapd.modify(&change("late", "replace", "mail", "later@localdomain.test"));
    let members = BTreeSet::from(["later", "p4"].map(str::to_owned));
    a.until("a member with a new name", |home| {
        home.members("late-group") == members
    })
    .await;

    // The directory goes away and comes back; the search is opened again by itself, from the cookie.
    slapd.stop();
    a.until("it notices", |home| !follows(home)).await;
    slapd.restart();
    slapd.modify(&change("p4", "replace", "displayName", "While away"));
    a.until("it follows again", follows).await;
    a.until("what happened meanwhile", |home| {
        home.account("p4").expect("here").display_name.as_deref() == Some("While away")
    })
    .await;

    // Another process with the same store goes on from the cookie: nothing is written again.
    a.end().await;
    let end = a.journal_end();
    let cookie = a.store.connector_state("people").expect("reads").cookie;
    assert!(cookie.is_some());
    let b = config(&slapd, a.store.clone());
    b.until("it follows", follows).await;
    let counts = b.engine.status().counts;
    assert_eq!((b.journal_end(), counts.unchanged, counts.updated), (end, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_changes_arrives_and_the_cookie_with_it() {
    let slapd = Slapd::start(&people());
    let mut a = config(&slapd, empty_store());
    a.until("it follows", |home| home.engine.status().feed == FeedState::Open)
        .await;
    let mut storm = String::new();
    for round in 0..40 {
        for number in (0..100).step_by(2) {
            storm += &change(
                &format!("p{number}"),
                "replace",
                "displayName",
                &format!("Name {round}"),
            );
        }
    }
    slapd.modify(&storm);
    a.until("the last one", |home| {
        let last = |number: u32| {
            home.account(&format!("p{number}"))
                .expect("here")
                .display_name
                .clone()
        };
        (0..100)
            .step_by(2)
            .all(|number| last(number).as_deref() == Some("Name 39"))
    })
    .await;
    a.end().await;
    // The stored cookie covers all of it.
    let b = config(&slapd, a.store.clone());
    b.until("it follows", |home| home.engine.status().feed == FeedState::Open)
        .await;
    assert_eq!(b.engine.status().counts.updated, 0);
}
