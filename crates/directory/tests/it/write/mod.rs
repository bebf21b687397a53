//! Writing to a real slapd: conditions, what a write leaves behind, and what becomes of one without an answer.

mod bulk;
mod containers;
mod groups;
mod single;

use super::proxy::Proxy;
use super::slapd::{ROOT, ROOT_PASSWORD, SUFFIX, Slapd};
use super::spy::{Meddle, Spy};
use super::{address, config};
use bytes::Bytes;
use directory::write::{
    AttributeChange, MailObject, NewEntry, Precondition, Target, Write, WriteError, Writer, Written,
};
use directory::{Connector, ConnectorConfig, EntryKind};
use ldap::{Attribute, Dn, Rdn};
use model::SystemClock;
use std::sync::Arc;

/// With the machine's clock: while a clock stands still the limit of writes a second never lets go.
fn writer(config: ConnectorConfig) -> Arc<Writer> {
    let connector = Connector::new(config, Arc::new(SystemClock::new())).expect("a good configuration");
    Writer::new(connector).expect("a writer")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn value(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn person(uid: &str, more: &[(&str, &str)]) -> NewEntry {
    let mut attributes = vec![
        Attribute::new(
            "objectClass",
            vec![value("inetOrgPerson"), value("inetLocalMailRecipient")],
        ),
        Attribute::new("uid", value(uid)),
        Attribute::new("cn", value(uid)),
        Attribute::new("sn", value(uid)),
        Attribute::new("mail", value(&format!("{uid}@localdomain.test"))),
    ];
    attributes.extend(more.iter().map(|(name, text)| Attribute::new(*name, value(text))));
    NewEntry {
        parent: Dn::parse(&format!("ou=Users,{SUFFIX}")).expect("a DN"),
        rdn: Rdn::new("uid", uid).expect("an RDN"),
        attributes,
    }
}

/// Adds a person and says what it is now.
async fn added(writer: &Writer, uid: &str, more: &[(&str, &str)]) -> Written {
    let write = Write::Add(person(uid, more));
    writer.write(&write, &names(&["mail"])).await.expect("added")
}

fn target(written: &Written) -> Target {
    Target {
        uuid: written.uuid,
        dn: written.dn.clone(),
    }
}

fn seen(written: &Written) -> Precondition {
    Precondition {
        csn: written.csn.clone(),
        hosts: Vec::new(),
    }
}

fn at_host(host: &str) -> Precondition {
    Precondition {
        csn: None,
        hosts: names(&[host]),
    }
}

fn modify(written: &Written, precondition: Precondition, change: AttributeChange) -> Write {
    Write::Modify {
        target: target(written),
        precondition,
        changes: vec![change],
    }
}

fn set(attribute: &str, text: &str) -> AttributeChange {
    AttributeChange::replace(attribute, vec![value(text)])
}

fn object(kind: EntryKind, text: &str) -> MailObject {
    MailObject::new(kind, address(text))
}
