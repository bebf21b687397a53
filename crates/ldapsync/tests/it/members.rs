//! Members whose DN leads nowhere for a moment: slapd rewrites groups some time after the members, and silently.

use super::push::{admin, create, hosted, set, with};
use super::*;
use store::{AccountChange, GroupChange, NewGroup};

/// A member that no feed of ours tells of: outside of every base.
fn outside(slapd: &Slapd, name: &str) {
    slapd.add(&person(name, "a.test").replace("ou=Users,", "ou=Elsewhere,"));
}

fn outside_dn(name: &str) -> String {
    format!("member: uid={name},ou=Elsewhere,{BASE}\n")
}

// No message tells that the name leads somewhere now, and nothing is asked for: the group is read again by itself, by the
// next process too.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_led_nowhere_is_looked_up_again() {
    let unit = format!("dn: ou=Elsewhere,{BASE}\nobjectClass: organizationalUnit\nou: Elsewhere\n\n");
    let team = group("team", &["here"]).replace(
        "\n\n",
        &format!("\n{}{}\n", outside_dn("first"), outside_dn("second")),
    );
    let slapd = Slapd::start(&(unit + &person("here", "a.test") + &team));
    let mut a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let team = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(a.members("team"), team(&["here"]));
    outside(&slapd, "first");
    a.until("the first", |home| {
        home.members("team") == team(&["here", "first"])
    })
    .await;
    // It dies; the next process knows from the store what it has to look at.
    a.kill().await;
    outside(&slapd, "second");
    let a = Home::start(&slapd, "a.test", a.store.clone());
    a.until("the second", |home| {
        home.members("team") == team(&["here", "first", "second"])
    })
    .await;
    let status = a.engine.status();
    assert!(status.quarantine.is_empty(), "{status:?}");
}

// The member is renamed while the group is read all the time: whatever was read in between, it ends well.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_member_stays_a_member() {
    let slapd =
        Slapd::start(&(person("p0", "a.test") + &person("p1", "a.test") + &group("g", &["p0", "p1"])));
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let mut last = "p0".to_owned();
    for round in 0..5 {
        let next = format!("renamed{round}");
        slapd.modify(&change(
            &last,
            "replace",
            "mail",
            &format!("{next}@localdomain.test"),
        ));
        slapd.modify(&format!(
            "dn: {}\nchangetype: modrdn\nnewrdn: uid={next}\ndeleteoldrdn: 1\n\n",
            dn(&last)
        ));
        let want = BTreeSet::from(["p1".to_owned(), next.clone()]);
        a.until("under the new name", |home| home.members("g") == want)
            .await;
        last = next;
    }
    // Two of them at once.
    slapd.modify(&change("p1", "replace", "mail", "one@localdomain.test"));
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn(&last)));
    let want = BTreeSet::from(["one".to_owned()]);
    a.until("one is left", |home| home.members("g") == want).await;
}

// Who was put in by an address while the directory was away is in the group under whatever address it finds.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_by_address_stays_one_when_the_address_changes_while_the_directory_is_away() {
    let mut slapd = Slapd::start("");
    let store = hosted().await;
    let one = create(&store, "one").await;
    create(&store, "two").await;
    let member = |name: &str| Member::Local(address(&format!("{name}@localdomain.test")));
    let mut new = NewGroup::new(address("team@localdomain.test"));
    new.members = vec![member("two")];
    let team = store.create_group(new, &admin()).await.expect("created");
    let none = serde_json::json!({});
    let a = Home::start_with(&slapd, "a.test", store.clone(), &with("both-ways", &none));
    a.until("the group", |_| {
        slapd.values("(cn=team)", "member") == set(&[&dn("two")])
    })
    .await;
    // Written there is not yet acknowledged here.
    a.until("its round is over", |home| home.engine.status().outbox.edits == 0)
        .await;
    slapd.stop();
    let group = store.group(team).expect("reads").expect("there");
    let mut members = group.members.clone();
    members.push(member("one"));
    let more = GroupChange {
        members: Some(members),
        ..GroupChange::default()
    };
    store
        .update_group(team, None, more, &admin())
        .await
        .expect("changed");
    let renamed = AccountChange {
        address: Some(address("uno@localdomain.test")),
        ..AccountChange::default()
    };
    store
        .update_account(one, None, renamed, &admin())
        .await
        .expect("changed");
    // What waits is shown while the directory is away.
    let waiting = a.engine.waiting_edits(None).expect("reads");
    let shown = |name: &str| {
        let edit = waiting.edits.iter().find(|edit| {
            edit.address
                .as_ref()
                .is_some_and(|address| address.local_part() == name)
        });
        edit.map(|edit| edit.changed.clone())
    };
    assert_eq!(shown("uno"), Some(vec!["address"]), "{waiting:?}");
    assert_eq!(shown("team"), Some(vec!["members"]), "{waiting:?}");
    assert!(a.engine.status().outbox.edits >= 2);
    slapd.restart();
    // A slapd that was killed has forgotten how far it was, and shows all the same what is known of it.
    a.sync_after_an_outage().await;
    a.until("under the new name", |_| {
        slapd.values("(cn=team)", "member") == set(&[&dn("two"), &dn("uno")])
    })
    .await;
    let both = BTreeSet::from(["two".to_owned(), "uno".to_owned()]);
    a.until("here too", |home| home.members("team") == both).await;
    a.until("nothing waits", |home| home.engine.status().outbox.edits == 0)
        .await;
}
