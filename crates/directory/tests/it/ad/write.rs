//! Writing to Active Directory: values compared and swapped, entries named by their GUID, accounts that begin disabled.

use super::passwords::encrypted;
use super::{config, person};
use crate::authentication::{authenticator, check};
use crate::{address, clock, connect};
use bytes::Bytes;
use directory::config::PasswordChangeMode;
use directory::export::Disabled;
use directory::write::{
    AttributeChange, MailObject, Precondition, Target, Write, WriteError, Writer, Written,
};
use directory::{ChangedBy, Connector, ConnectorConfig, EntryKind, LdapMethod, Lookup, PasswordChangeError};
use ldap::{Dn, Rdn};
use model::{Secret, SystemClock};
use std::sync::Arc;
use testkit::Samba;

const FIRST: &str = "the first of 4ll";

fn writer(config: ConnectorConfig) -> Arc<Writer> {
    let connector = Connector::new(config, Arc::new(SystemClock::new())).expect("a good configuration");
    Writer::new(connector).expect("a writer")
}

fn value(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn target(written: &Written) -> Target {
    Target {
        uuid: written.uuid,
        dn: written.dn.clone(),
    }
}

fn modify(entry: &Written, seen: Option<&Written>, change: AttributeChange) -> Write {
    Write::Modify {
        target: target(entry),
        precondition: Precondition {
            csn: seen.and_then(|seen| seen.csn.clone()),
            hosts: Vec::new(),
        },
        changes: vec![change],
    }
}

fn swap(before: &str, after: &str) -> AttributeChange {
    let values = |text: &str| match text {
        "" => Vec::new(),
        text => vec![value(text)],
    };
    AttributeChange::values("displayName", values(before), values(after))
}

/// An object as the vocabulary makes it.
async fn new(writer: &Writer, kind: EntryKind, text: &str) -> Write {
    let schema = writer.schema().await.expect("the schema");
    let object = MailObject::new(kind, address(text));
    let made = writer.vocabulary().entry(&object, &[], &schema);
    Write::Add(made.expect("an entry").entry)
}

async fn added(writer: &Writer, kind: EntryKind, text: &str) -> Written {
    let write = new(writer, kind, text).await;
    writer
        .write(&write, &names(&["sAMAccountName", "userAccountControl", "mail"]))
        .await
        .expect(text)
}

/// One attribute as the directory shows it.
fn shown(samba: &Samba, mail: &str, attribute: &str) -> Vec<String> {
    let found = samba
        .search(&samba.suffix, &format!("(mail={mail})"), &[attribute])
        .expect("a search");
    let prefix = format!("{attribute}: ");
    let lines = found.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_change_is_made_on_what_was_seen_and_on_nothing_else() {
    let samba = Samba::start("").expect("a domain controller");
    let writer = writer(config(&samba));
    let anna = added(&writer, EntryKind::Account, "anna@example.test").await;
    assert_eq!(
        shown(&samba, "anna@example.test", "uSNChanged"),
        anna.csn.clone().into_iter().collect::<Vec<_>>()
    );
    let read_back = names(&["displayName"]);
    let write = async |change: Write| writer.write(&change, &read_back).await;
    let now = write(modify(&anna, Some(&anna), swap("", "Anna")))
        .await
        .expect("changed");
    assert_eq!(now.entry.first_str("displayName"), Some("Anna"));
    assert_ne!(now.csn, anna.csn);
    // On another version, and on other values.
    for stale in [
        modify(&anna, Some(&anna), swap("Anna", "Old")),
        modify(&anna, None, swap("Somebody", "Old")),
        modify(&anna, None, swap("", "Old")),
    ] {
        let answer = write(stale).await;
        assert!(matches!(answer, Err(WriteError::Stale)), "{answer:?}");
    }
    let replaced = AttributeChange::replace("displayName", vec![value("Anna A.")]);
    let now = write(modify(&anna, Some(&now), replaced.clone()))
        .await
        .expect("replaced");
    assert_eq!(shown(&samba, "anna@example.test", "displayName"), ["Anna A."]);
    // What changes nothing is not sent, and the conditions hold all the same.
    let same = write(modify(&anna, Some(&now), replaced.clone()))
        .await
        .expect("nothing to do");
    assert_eq!(
        (&same.csn, same.entry.first_str("displayName")),
        (&now.csn, Some("Anna A."))
    );
    let answer = write(modify(&anna, Some(&anna), replaced)).await;
    assert!(matches!(answer, Err(WriteError::Stale)), "{answer:?}");
    // Somebody renames it, and the GUID still finds it.
    samba
        .modify(&format!(
            "dn: {}\nchangetype: modrdn\nnewrdn: CN=Anne\ndeleteoldrdn: 1\n",
            samba.user_dn("anna")
        ))
        .expect("renamed");
    let now = write(modify(&anna, None, swap("Anna A.", "Anne")))
        .await
        .expect("found");
    assert_eq!(now.dn, samba.user_dn("Anne"));
    samba.delete(&samba.user_dn("Anne")).expect("deleted");
    let answer = write(modify(&anna, None, swap("Anne", "Nobody"))).await;
    assert!(matches!(answer, Err(WriteError::NoSuchObject)), "{answer:?}");
}

async fn set(
    connector: &Connector,
    login: &str,
    here: Disabled,
    new: &str,
) -> Result<(), PasswordChangeError> {
    let Lookup::Found(account) = connector.lookup_address(&address(login)).await else {
        panic!("{login} is there");
    };
    let by = ChangedBy::Administrator { here };
    connector.change_password(&account, by, &Secret::from(new)).await
}

#[tokio::test]
async fn an_account_begins_disabled_and_its_first_password_enables_it() {
    let samba = Samba::start("").expect("a domain controller");
    let mut secure = encrypted(&samba);
    secure.password_change = Some(PasswordChangeMode::WriteIdentity);
    let writer = writer(secure.clone());
    let long = "a.very.long.local.part.indeed@example.test";
    let first = added(&writer, EntryKind::Account, long).await;
    assert_eq!(
        first.entry.first_str("sAMAccountName"),
        Some("a.very.long.local.pa")
    );
    assert_eq!(first.entry.first_str("userAccountControl"), Some("514"));
    let namesake = "a.very.long.local.part.too@example.test";
    let second = added(&writer, EntryKind::Account, namesake).await;
    assert_eq!(
        second.entry.first_str("sAMAccountName"),
        Some("a.very.long.local.p2")
    );
    // Whoever was interrupted here, and creates it again, is told which entry that is.
    let again = writer
        .write(&new(&writer, EntryKind::Account, long).await, &[])
        .await;
    let Err(WriteError::AlreadyExists(Some(there))) = again else {
        panic!("{again:?}");
    };
    assert_eq!(there.dn, first.dn);

    let clock = clock();
    let connector = connect(secure, &clock);
    let source = authenticator(&connector, LdapMethod::Bind, &clock);
    let control = |mail: &str| shown(&samba, mail, "userAccountControl");
    // A password that the domain's policy does not take enables nobody.
    let answer = set(&connector, long, Disabled::No, "x").await;
    assert!(
        matches!(answer, Err(PasswordChangeError::Refused(_))),
        "{answer:?}"
    );
    assert_eq!(control(long), ["514"]);
    set(&connector, long, Disabled::No, FIRST).await.expect("taken");
    assert_eq!(control(long), ["512"]);
    assert_eq!(check(&source, long, FIRST).await, long);
    // One that is switched off here gets its password and stays as it is.
    set(&connector, namesake, Disabled::Yes, FIRST)
        .await
        .expect("taken");
    assert_eq!(control(namesake), ["514"]);
    // So does one that had a password before, whoever switched it off.
    samba
        .modify(&format!(
            "dn: {}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 514\n",
            first.dn
        ))
        .expect("switched off");
    set(&connector, long, Disabled::No, "the second of 4ll")
        .await
        .expect("taken");
    assert_eq!(control(long), ["514"]);
}

#[tokio::test]
async fn renames_moves_and_members() {
    let samba = Samba::start("").expect("a domain controller");
    samba.add(&person(&samba, "zoe", "")).expect("zoe");
    let writer = writer(config(&samba));
    let anna = added(&writer, EntryKind::Account, "anna@example.test").await;
    let rename = |entry: &Written, name: &str, parent: Option<&str>| Write::Rename {
        target: target(entry),
        precondition: Precondition::default(),
        rdn: Rdn::new("CN", name).expect("an RDN"),
        new_parent: parent.map(|dn| Dn::parse(dn).expect("a DN")),
    };
    let taken = writer.write(&rename(&anna, "zoe", None), &names(&["mail"])).await;
    let Err(WriteError::AlreadyExists(Some(there))) = taken else {
        panic!("{taken:?}");
    };
    assert_eq!(there.first_str("mail"), Some("zoe@example.test"));
    let now = writer
        .write(&rename(&anna, "Anna A.", None), &[])
        .await
        .expect("renamed");
    assert_eq!(now.dn, samba.user_dn("Anna A."));
    // The place is written when it is missing; the DN that was seen is an old one.
    let place = format!("OU=Floor 1,OU=House,{}", samba.people_dn());
    let moved = writer
        .write(&rename(&anna, "Anna A.", Some(&place)), &[])
        .await
        .expect("moved");
    assert_eq!(moved.dn, format!("CN=Anna A.,{place}"));
    let same = writer
        .write(&rename(&moved, "Anna A.", Some(&place)), &[])
        .await
        .expect("nothing to do");
    assert_eq!(same.csn, moved.csn);

    let staff = added(&writer, EntryKind::Group, "staff@example.test").await;
    let member = |remove: &[&str], add: &[&str]| {
        let values = |dns: &[&str]| dns.iter().map(|dn| value(dn)).collect();
        let change = AttributeChange::values("member", values(remove), values(add));
        modify(&staff, None, change)
    };
    let zoe = samba.user_dn("zoe");
    writer
        .write(&member(&[], &[&moved.dn, &zoe]), &[])
        .await
        .expect("two members");
    writer
        .write(&member(&[&zoe], &[]), &[])
        .await
        .expect("one member");
    for stale in [member(&[&zoe], &[]), member(&[], &[&moved.dn])] {
        let answer = writer.write(&stale, &[]).await;
        assert!(matches!(answer, Err(WriteError::Stale)), "{answer:?}");
    }
    assert_eq!(shown(&samba, "staff@example.test", "member"), [moved.dn.as_str()]);
    writer
        .write(&member(&[&moved.dn], &[]), &[])
        .await
        .expect("a group needs no member here");

    let delete = |seen: Option<String>| Write::Delete {
        target: target(&anna),
        precondition: Precondition {
            csn: seen,
            hosts: Vec::new(),
        },
    };
    let answer = writer.write(&delete(anna.csn.clone()), &[]).await;
    assert!(matches!(answer, Err(WriteError::Stale)), "{answer:?}");
    writer
        .write(&delete(moved.csn.clone()), &names(&["mail"]))
        .await
        .expect("deleted");
    assert_eq!(shown(&samba, "anna@example.test", "mail"), Vec::<String>::new());
    let answer = writer.write(&delete(None), &[]).await;
    assert!(matches!(answer, Err(WriteError::NoSuchObject)), "{answer:?}");
}
