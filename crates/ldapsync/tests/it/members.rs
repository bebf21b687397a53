//! Members whose DN leads nowhere for a moment: slapd rewrites groups some time after the members, and silently.

use super::*;

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
