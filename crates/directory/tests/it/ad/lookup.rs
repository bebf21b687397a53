//! Lookups by the defaults for Active Directory, groups with many members, and TLS.

use super::feed::members_in_feed;
use super::{HOST, config, connector, person};
use crate::address;
use crate::spy::{Meddle, Spy};
use directory::config::ConnectorTls;
use directory::{Connector, ConnectorConfig, Host, Lookup};
use model::{Clock as _, SystemClock};
use std::fmt::Write as _;
use testkit::Samba;

#[tokio::test]
async fn addresses_and_logins() {
    let samba = Samba::start("").expect("a domain controller");
    let more = format!(
        "{HOST}: store1.test\nproxyAddresses: SMTP:anna@example.test\nproxyAddresses: smtp:a.b@example.test\n\
         proxyAddresses: x500:/o=x\n"
    );
    samba.add(&person(&samba, "anna", &more)).expect("anna");
    let mut config = config(&samba);
    config.uris = vec![samba.tls_uri(), samba.uri()];
    config.ca_file = Some(samba.certificate().certificate.clone());
    config.tls = Some(ConnectorTls::StartTls);
    let connector = connector(config);
    for asked in ["anna@example.test", "A.B@example.test", "anna+x@example.test"] {
        match connector.lookup_address(&address(asked)).await {
            Lookup::Found(found) => {
                assert_eq!(found.host, Host::One("store1.test".to_owned()), "{asked}");
                assert_eq!(found.aliases, [address("a.b@example.test")]);
            }
            other => panic!("{asked}: {other:?}"),
        }
    }
    for (login, found) in [
        ("anna", true),
        ("anna@example.test", true),
        ("anna@elsewhere.test", false),
        ("a*", false),
    ] {
        let answer = connector.lookup_login(login).await;
        assert_eq!(matches!(answer, Lookup::Found(_)), found, "{login}: {answer:?}");
    }
}

/// A contact costs less than a user, and counts as a member all the same.
fn contact(samba: &Samba, number: usize) -> String {
    format!("CN=c{number},{}", samba.people_dn())
}

fn contacts(samba: &Samba, count: usize) -> String {
    let mut ldif = String::new();
    for number in 0..count {
        let _ = write!(
            ldif,
            "dn: {}\nobjectClass: contact\nmail: c{number}@example.test\n\n",
            contact(samba, number)
        );
    }
    ldif
}

fn through(samba: &Samba, spy: &Spy) -> ConnectorConfig {
    ConnectorConfig {
        uris: vec![spy.uri()],
        ..config(samba)
    }
}

async fn members(connector: &Connector, name: &str) -> Vec<String> {
    match connector.lookup_address(&address(name)).await {
        Lookup::Found(found) => found.members,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn a_group_of_many_is_read_to_its_end() {
    const MANY: usize = 1700;
    let samba = Samba::start("").expect("a domain controller");
    samba.add(&contacts(&samba, MANY)).expect("contacts");
    let all: Vec<String> = (0..MANY).map(|number| contact(&samba, number)).collect();
    samba
        .add(&samba.group_ldif("all", "all@example.test", &all))
        .expect("a group");
    let parts = |spy: &Spy| {
        let asked = spy.take().into_iter();
        asked
            .filter(|search| {
                search
                    .attributes
                    .iter()
                    .any(|name| name.starts_with("member;range="))
            })
            .count()
    };
    // Windows hands out 1,500 values at once. Samba has no such limit by itself, and gives parts when it is asked.
    for (meddle, more) in [
        (Meddle::Not, 0),
        (Meddle::Parts(1500), 1),
        (Meddle::Parts(500), 3),
    ] {
        let spy = Spy::to(samba.port, meddle).await;
        let connector = connector(through(&samba, &spy));
        let found = members(&connector, "all@example.test").await;
        assert_eq!(found.len(), MANY, "{meddle:?}");
        assert_eq!(parts(&spy), more, "{meddle:?}");
        let resolved = connector.resolve_members(&found).await.expect("members");
        assert_eq!(resolved.members.len(), MANY, "{meddle:?}");
        assert_eq!(spy.take().len(), MANY.div_ceil(100), "a hundred in one search");
        let in_feed = members_in_feed(through(&samba, &spy), "all").await;
        assert_eq!((in_feed, parts(&spy)), (MANY, more), "{meddle:?}");
    }
}

/// Three levels of two groups without an address, the last of which holds the first again, and a group with an
/// address that stays what it is.
#[tokio::test]
async fn groups_in_groups_are_walked_level_by_level() {
    let samba = Samba::start("").expect("a domain controller");
    samba.add(&contacts(&samba, 300)).expect("contacts");
    let group = |name: &str| format!("CN={name},{}", samba.groups_dn());
    let bare = |name: &str, members: &[String]| {
        let lines: String = members.iter().map(|dn| format!("member: {dn}\n")).collect();
        format!(
            "dn: {}\nobjectClass: group\nsAMAccountName: {name}\n{lines}\n",
            group(name)
        )
    };
    let person = |number| contact(&samba, number);
    let mut many: Vec<String> = (10..300).map(person).collect();
    many.extend([person(5), person(0)]);
    let expected = |more: &[&str]| {
        let numbers = (0..6).chain(10..300);
        let mut names: Vec<String> = numbers.map(|number| format!("c{number}")).collect();
        names.extend(more.iter().map(|name| (*name).to_owned()));
        names.sort();
        names
    };
    let ldif = bare("c1", &[person(4)])
        + &bare("c2", &many)
        + &bare("b1", &[person(2), group("c1")])
        + &bare("b2", &[person(3), group("c2"), group("c1")])
        + &bare("a1", &[person(0), group("b1")])
        + &bare("a2", &[person(1), group("b2")])
        + &samba.group_ldif("named", "named@example.test", &[person(9)])
        + &samba.group_ldif("top", "top@example.test", &[group("a1"), group("a2")])
        + &format!(
            "dn: {}\nchangetype: modify\nadd: member\nmember: {}\n\n",
            group("c1"),
            group("a1")
        );
    samba.add(&ldif).expect("groups in groups, in a circle");
    let spy = Spy::to(samba.port, Meddle::Not).await;
    let connector = connector(through(&samba, &spy));
    let top = members(&connector, "top@example.test").await;
    spy.take();
    let walked = async || {
        let found = connector.resolve_members(&top).await.expect("members");
        let found = found.members.into_iter().filter_map(|(_, address)| address);
        let mut found: Vec<String> = found.map(|address| address.local_part().to_owned()).collect();
        found.sort();
        found
    };
    let clock = SystemClock::new();
    let began = clock.monotonic();
    assert_eq!(walked().await, expected(&[]));
    let (asked, walk) = (spy.take(), clock.monotonic().saturating_sub(began));
    // Each of three levels: its entries, a hundred in one search, and the members of all groups among them in one
    // search; then the circle closes.
    let (groups, entries): (Vec<_>, Vec<_>) =
        asked.iter().partition(|search| search.attributes == ["member"]);
    assert_eq!((groups.len(), entries.len()), (3, 3 + 3), "{asked:#?}");

    // The domain controller's own rule finds the same, as long as no group inside has an address.
    let in_chain = || {
        let rule = format!("(memberOf:1.2.840.113556.1.4.1941:={})", group("top"));
        let filter = format!("(&(objectClass=contact){rule})");
        let ldif = samba.search(&samba.suffix, &filter, &["mail"]).expect("a search");
        let mails = ldif.lines().filter_map(|line| line.strip_prefix("mail: "));
        let mut names: Vec<String> = mails
            .filter_map(|mail| Some(mail.split_once('@')?.0.to_owned()))
            .collect();
        names.sort();
        names
    };
    let began = clock.monotonic();
    assert_eq!(in_chain(), expected(&[]));
    let rule = clock.monotonic().saturating_sub(began);
    println!(
        "{} searches in {walk:?}; by the rule one in {rule:?}",
        asked.len()
    );
    // It cannot stop at a group that has an address: whoever is in there would get everything twice.
    samba
        .modify(&format!(
            "dn: {}\nchangetype: modify\nadd: member\nmember: {}\n",
            group("b1"),
            group("named")
        ))
        .expect("a change");
    assert_eq!(walked().await, expected(&["named"]));
    assert_eq!(in_chain(), expected(&["c9"]));
}
