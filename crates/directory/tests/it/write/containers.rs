//! The tree of the layout, and entries that are built from what mail knows.

use super::*;
use crate::{clock, connect};
use directory::export::Disabled;
use directory::{DirectoryAccount, Lookup};
use model::Domain;

fn layout(slapd: &Slapd) -> ConnectorConfig {
    let mut config = config(&[slapd]);
    let place = |unit: &str| Some(format!("ou={unit},o=mail,ou=%d,{SUFFIX}"));
    config.accounts.base_dn = vec![SUFFIX.to_owned()];
    config.groups.base_dn = vec![SUFFIX.to_owned()];
    config.accounts.create_under = place("Users");
    config.groups.create_under = place("Groups");
    config
}

fn example() -> Domain {
    Domain::parse("localdomain.test").expect("a domain")
}

#[tokio::test]
async fn the_tree_is_written_once_however_many_write_it() {
    let slapd = Slapd::start();
    let writers: Vec<_> = (0..4).map(|_| writer(layout(&slapd))).collect();
    let mut running = tokio::task::JoinSet::new();
    for writer in &writers {
        let writer = Arc::clone(writer);
        running.spawn(async move { writer.ensure_tree(&example()).await });
    }
    while let Some(result) = running.join_next().await {
        result.expect("no panic").expect("the tree is there");
    }
    let top = format!("ou=localdomain.test,{SUFFIX}");
    let tree = slapd.backup();
    for dn in [
        format!("dn: {top}"),
        format!("dn: o=mail,{top}"),
        format!("dn: ou=Users,o=mail,{top}"),
        format!("dn: ou=Groups,o=mail,{top}"),
    ] {
        assert_eq!(tree.lines().filter(|line| **line == dn).count(), 1, "{dn}");
    }
    // What is there is never changed afterwards.
    slapd.modify(&format!(
        "dn: o=mail,{top}\nchangetype: modify\nadd: description\ndescription: ours\n"
    ));
    let before = slapd.backup();
    writers[0].ensure_tree(&example()).await.expect("nothing to do");
    assert_eq!(slapd.backup(), before);
}

#[tokio::test]
async fn a_tree_that_cannot_be_written_is_a_clear_no() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    for dn in [
        "ou=x,dc=elsewhere,dc=test".to_owned(),
        format!("ou=x,cn=y,{SUFFIX}"),
    ] {
        let answer = writer.ensure_parent(&Dn::parse(&dn).expect("a DN")).await;
        assert!(
            matches!(&answer, Err(WriteError::Refused { .. })),
            "{dn}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn what_is_written_is_read_back_by_the_same_mapping() {
    for (slapd, ours) in [(Slapd::with_our_schema(), true), (Slapd::start(), false)] {
        let config = layout(&slapd);
        let writer = writer(config.clone());
        let schema = writer.schema().await.expect("the schema");
        assert_eq!(schema.has_class("homingAccount"), ours);
        let mut anna = object(EntryKind::Account, "anna@localdomain.test");
        anna.aliases = vec![address("a@localdomain.test"), address("b@localdomain.test")];
        anna.display_name = Some("Anna B. Example".to_owned());
        anna.given_name = Some("Anna".to_owned());
        (anna.quota, anna.disabled) = (5000, Disabled::Yes);
        anna.host = Some("store1.test".to_owned());
        let new = writer.vocabulary().entry(&anna, &[], &schema).expect("an entry");
        let left_out = if ours {
            names(&[])
        } else {
            names(&["homingQuota", "homingEnabled"])
        };
        assert_eq!(new.left_out, left_out);
        let written = writer
            .write(&Write::Add(new.entry), &[])
            .await
            .expect("added with its parents");
        let mut staff = object(EntryKind::Group, "staff@localdomain.test");
        staff.members = vec![written.dn.clone()];
        let new = writer.vocabulary().entry(&staff, &[], &schema).expect("an entry");
        writer
            .write(&Write::Add(new.entry), &[])
            .await
            .expect("a group that has an address");
        let connector = connect(config, &clock());
        let found: DirectoryAccount = match connector.lookup_address(&anna.address).await {
            Lookup::Found(found) => *found,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (found.uuid, &found.address, &found.aliases),
            (written.uuid, &anna.address, &anna.aliases)
        );
        assert_eq!(found.display_name, anna.display_name);
        assert_eq!(found.quota, ours.then_some(5000));
        assert_eq!(found.host, directory::Host::One("store1.test".to_owned()));
        assert_eq!(found.state == directory::AccountState::Disabled, ours);
        let group = connector.lookup_address(&staff.address).await;
        assert!(
            matches!(&group, Lookup::Found(group) if group.members == [written.dn.clone()]),
            "{group:?}"
        );
    }
}

#[tokio::test]
async fn an_entry_gets_the_class_that_a_new_attribute_needs() {
    let slapd = Slapd::with_our_schema();
    let writer = writer(config(&[&slapd]));
    let mut plain = person("anna", &[]);
    plain.attributes[0] = Attribute::new("objectClass", value("inetOrgPerson"));
    let anna = writer.write(&Write::Add(plain), &[]).await.expect("added");
    let write = Write::Modify {
        target: target(&anna),
        precondition: seen(&anna),
        changes: vec![
            AttributeChange::values("mailLocalAddress", Vec::new(), vec![value("a@localdomain.test")]),
            set("homingQuota", "7"),
        ],
    };
    let now = writer
        .write(
            &write,
            &names(&["objectClass", "mailLocalAddress", "homingQuota"]),
        )
        .await;
    let now = now.expect("changed");
    assert!(
        now.entry.has_object_class("inetLocalMailRecipient") && now.entry.has_object_class("homingAccount")
    );
    assert_eq!(now.entry.first_str("homingQuota"), Some("7"));
    let refused = writer
        .write(&modify(&now, seen(&now), set("gidNumber", "7")), &[])
        .await;
    assert!(
        matches!(refused, Err(WriteError::Refused { .. })),
        "no class of ours: {refused:?}"
    );
}
