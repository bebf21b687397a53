//! Moves between two homes that hear of them minutes apart.

use super::*;

fn state(home: &Home, id: model::AccountId) -> AccountState {
    home.store
        .account(id)
        .expect("reads")
        .expect("the mail is kept")
        .state
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_and_there_again() {
    let slapd = Slapd::start(&person("one", "a.test"));
    let mut a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let at_a = a.account("one").expect("here").id;
    let mut b = Home::new(&slapd, "b.test");
    b.sync_well().await;
    assert!(b.account("one").is_none());
    let one = address("one@localdomain.test");

    // A hears of the move, B does not yet: a delivery at A waits for the other home, and none is lost.
    b.end().await;
    slapd.modify(&change("one", "replace", "mailHost", "b.test"));
    a.until("it has moved", |home| {
        matches!(state(home, at_a), AccountState::MovedAway { .. })
    })
    .await;
    assert!(matches!(
        a.store.resolve_recipient(&one).expect("reads"),
        Recipient::MovedAway(_)
    ));
    assert!(!a.can_log_in("one"));
    let mut b = Home::start(&slapd, "b.test", b.store.clone());
    b.until("it arrives", |home| home.account("one").is_some()).await;
    let at_b = b.account("one").expect("here").id;
    assert_eq!(
        state(&b, at_b),
        AccountState::AwaitingMail {
            from: "a.test".into()
        }
    );
    assert!(matches!(
        b.store.resolve_recipient(&one).expect("reads"),
        Recipient::AwaitingMail(_)
    ));

    // Back again, while A is down: B lets go at once, A opens what it always had.
    a.end().await;
    slapd.modify(&change("one", "replace", "mailHost", "a.test"));
    b.until("it has gone back", |home| {
        matches!(state(home, at_b), AccountState::MovedAway { .. })
    })
    .await;
    let a = Home::start(&slapd, "a.test", a.store.clone());
    a.until("it is back", |home| home.can_log_in("one")).await;
    assert_eq!(a.account("one").expect("here").id, at_a, "with its mail");

    // And to B once more, which never had the mail.
    b.end().await;
    slapd.modify(&change("one", "replace", "mailHost", "b.test"));
    let b = Home::start(&slapd, "b.test", b.store.clone());
    b.until("it waits again", |home| {
        state(home, at_b)
            == AccountState::AwaitingMail {
                from: "a.test".into(),
            }
    })
    .await;
    a.until("gone again", |home| {
        matches!(state(home, at_a), AccountState::MovedAway { .. })
    })
    .await;
    assert!(
        !a.can_log_in("one") && !b.can_log_in("one"),
        "never two live mailboxes"
    );
}

// Somebody who moved away gives the addresses up that the entry has given up, so a successor is not blocked.
#[tokio::test(flavor = "multi_thread")]
async fn who_moved_away_does_not_block_a_namesake() {
    let slapd = Slapd::start(&(person("one", "a.test") + &person("two", "a.test")));
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let [one, two] = ["one", "two"].map(|name| a.account(name).expect("here").id);
    for name in ["one", "two"] {
        slapd.modify(&change(name, "replace", "mailHost", "b.test"));
    }
    a.until("both moved", |home| {
        [one, two]
            .iter()
            .all(|id| matches!(state(home, *id), AccountState::MovedAway { .. }))
    })
    .await;
    // One is deleted at the other home, the other one gets another address there.
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("one")));
    slapd.modify(&change("two", "replace", "mail", "elsewhere@localdomain.test"));
    slapd.modify(&change(
        "two",
        "delete",
        "mailLocalAddress",
        "two.alias@localdomain.test",
    ));
    slapd.add(&person("one", "a.test"));
    let successor = person("two", "a.test")
        .replace("uid=two,", "uid=two2,")
        .replace("uid: two\n", "uid: two2\n");
    slapd.add(&successor);
    for (name, before) in [("one", one), ("two", two)] {
        a.until(name, |home| {
            home.account(name)
                .is_some_and(|account| account.id != before && account.can_log_in())
        })
        .await;
        assert!(
            matches!(state(&a, before), AccountState::MovedAway { .. }),
            "the mail is kept"
        );
    }
    assert!(a.sync_well().await.quarantine.is_empty());
}

// Renaming a branch is one message about the branch; everybody below it is still who they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_renamed() {
    let branch = format!("dn: ou=team,ou=Users,{BASE}\nobjectClass: organizationalUnit\nou: team\n\n");
    let below = |name: &str| person(name, "a.test").replace(",ou=Users,", ",ou=team,ou=Users,");
    let slapd = Slapd::start(&(branch + &below("one") + &below("two")));
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let ids = ["one", "two"].map(|name| a.account(name).expect("here").id);
    slapd.modify(&format!(
        "dn: ou=team,ou=Users,{BASE}\nchangetype: modrdn\nnewrdn: ou=crew\ndeleteoldrdn: 1\n\n"
    ));
    a.sync_well().await;
    a.engine.sync_full().await.expect("runs");
    assert_eq!(["one", "two"].map(|name| a.account(name).expect("here").id), ids);
    assert!(a.can_log_in("one") && a.sync_well().await.quarantine.is_empty());
    // The links know the new names, or a deletion below would count as a lost right for ever.
    slapd.modify(&format!(
        "dn: uid=one,ou=crew,ou=Users,{BASE}\nchangetype: delete\n\n"
    ));
    a.until("deleted", |home| home.account("one").is_none()).await;
}

// The same without a comparison between: the links still have the former name, under which nothing can be read. The branch
// is known by its UUID, in the next process too, so nobody is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_below_a_renamed_branch_takes_nobodys_word() {
    let branch = format!("dn: ou=team,ou=Users,{BASE}\nobjectClass: organizationalUnit\nou: team\n\n");
    let below = |name: &str| person(name, "a.test").replace(",ou=Users,", ",ou=team,ou=Users,");
    let slapd = Slapd::start(&(branch + &below("one") + &below("two") + &below("three")));
    let mut a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    assert!(["one", "two", "three"].iter().all(|name| a.can_log_in(name)));
    slapd.modify(&format!(
        "dn: ou=team,ou=Users,{BASE}\nchangetype: modrdn\nnewrdn: ou=crew\ndeleteoldrdn: 1\n\n"
    ));
    let delete = |name: &str| {
        slapd.modify(&format!(
            "dn: uid={name},ou=crew,ou=Users,{BASE}\nchangetype: delete\n\n"
        ));
    };
    delete("one");
    a.until("deleted", |home| home.account("one").is_none()).await;
    a.end().await;
    delete("two");
    let a = Home::start(&slapd, "a.test", a.store.clone());
    a.until("deleted by the next process", |home| {
        home.account("two").is_none()
    })
    .await;
    let status = a.sync_well().await;
    assert!(status.quarantine.is_empty(), "{status:?}");
    assert!(a.can_log_in("three"));
}
