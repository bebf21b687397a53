//! One entry written by hand: identities, and referrals to the server where it belongs.

use super::slapd::{ROOT, ROOT_PASSWORD, SUFFIX, Slapd};
use super::{address, clock, config, connect};
use directory::config::Referrals;
use directory::{Lookup, OpenError, Operator, Rights};
use ldap::ldif::{ChangeRecord, LdifReader, Operation, Record};
use ldap::{LdapError, ResultCode};
use model::Secret;

fn person(uid: &str, unit: &str) -> ChangeRecord {
    let text = format!(
        "dn: uid={uid},ou={unit},{SUFFIX}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\n\
         sn: {uid}\nmail: {uid}@localdomain.test\n"
    );
    match LdifReader::new(text.as_bytes()).next() {
        Some(Ok(Record::Change(change))) => change,
        other => panic!("{other:?}"),
    }
}

fn code(result: Result<(), LdapError>) -> Option<ResultCode> {
    result.expect_err("refused").code()
}

#[tokio::test]
async fn readers_do_not_write_and_writers_do() {
    let slapd = Slapd::start();
    slapd.person("reader", "userPassword: read\n");
    let mut config = config(&[&slapd]);
    config.bind_dn = Some(format!("uid=reader,ou=Users,{SUFFIX}"));
    config.bind_password = Some(Secret::from("read"));
    let reader = Operator::open(&config, Rights::Write).await.expect("open");
    assert_eq!(
        code(reader.apply(person("anna", "Users")).await),
        Some(ResultCode::InsufficientAccessRights),
        "without an identity for writes it is the service identity"
    );
    config.write_bind_dn = Some(ROOT.to_owned());
    config.write_bind_password = Some(Secret::from(ROOT_PASSWORD));
    let writer = Operator::open(&config, Rights::Write).await.expect("open");
    writer.apply(person("anna", "Users")).await.expect("added");
    assert_eq!(
        code(writer.apply(person("anna", "Users")).await),
        Some(ResultCode::EntryAlreadyExists)
    );
    let connector = connect(config.clone(), &clock());
    let (lookup, attempts) = connector.explain_address(&address("anna@localdomain.test")).await;
    assert!(matches!(lookup, Lookup::Found(_)));
    assert!(
        attempts[0].filter.contains("(mail=anna@localdomain.test)"),
        "{attempts:?}"
    );
    assert_eq!(connector.address_pattern(), "(|(mail=%e)(mailLocalAddress=%e))");
    let delete = ChangeRecord {
        controls: Vec::new(),
        operation: Operation::Delete(format!("uid=anna,ou=Users,{SUFFIX}")),
    };
    writer.apply(delete).await.expect("deleted");
    config.write_bind_password = Some(Secret::from("wrong"));
    let refused = Operator::open(&config, Rights::Write).await.err();
    assert!(
        matches!(refused, Some(OpenError::Server { error, .. }) if error.code() == Some(ResultCode::InvalidCredentials))
    );
}

#[tokio::test]
async fn a_change_follows_a_reference_only_where_it_may() {
    let (here, there) = (Slapd::start(), Slapd::start());
    here.modify(&format!(
        "dn: ou=Moved,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\nou: Moved\n\
         ref: {}/ou=Users,{SUFFIX}\n",
        there.uri()
    ));
    let mut config = config(&[&here]);
    let apply = async |config: &directory::ConnectorConfig, uid: &str| {
        let operator = Operator::open(config, Rights::Write).await.expect("open");
        operator.apply(person(uid, "Moved")).await
    };
    assert_eq!(code(apply(&config, "anna").await), Some(ResultCode::Referral));
    config.referrals = Referrals::Writes;
    assert_eq!(
        code(apply(&config, "anna").await),
        Some(ResultCode::Referral),
        "credentials go to no server that is not listed"
    );
    config.uris.push(there.uri());
    apply(&config, "anna").await.expect("added over there");
    let mut over_there = config.clone();
    over_there.uris = vec![there.uri()];
    let found = connect(over_there, &clock())
        .lookup_address(&address("anna@localdomain.test"))
        .await;
    assert!(
        matches!(&found, Lookup::Found(account) if account.dn.starts_with("uid=anna,ou=Users")),
        "{found:?}"
    );
}

/// Two servers that send each other's clients to and fro.
#[tokio::test]
async fn references_that_go_in_a_circle_come_to_an_end() {
    let (here, there) = (Slapd::start(), Slapd::start());
    for (from, to) in [(&here, &there), (&there, &here)] {
        from.modify(&format!(
            "dn: ou=Moved,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\nou: Moved\n\
             ref: {}/ou=Moved,{SUFFIX}\n",
            to.uri()
        ));
        from.person("anna", "");
    }
    let mut config = config(&[&here, &there]);
    config.referrals = Referrals::Writes;
    let operator = Operator::open(&config, Rights::Write).await.expect("open");
    assert_eq!(
        code(operator.apply(person("bert", "Moved")).await),
        Some(ResultCode::Referral)
    );
    // Lookups pass references over: the entry that is there is found, the one that is not is not.
    config.accounts.base_dn = vec![SUFFIX.to_owned()];
    config.groups.base_dn.clear();
    let connector = connect(config, &clock());
    let anna = connector.lookup_address(&address("anna@localdomain.test")).await;
    assert!(matches!(anna, Lookup::Found(_)), "{anna:?}");
    let bert = connector.lookup_address(&address("bert@localdomain.test")).await;
    assert!(matches!(bert, Lookup::NotFound), "{bert:?}");
}
