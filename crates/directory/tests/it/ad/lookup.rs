//! Lookups by the defaults for Active Directory, groups with many members, and TLS.

use super::{HOST, config, connector, person};
use crate::address;
use directory::config::ConnectorTls;
use directory::{Host, Lookup};
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

#[tokio::test]
async fn groups_of_many_and_groups_in_groups() {
    const MANY: usize = 1700;
    let samba = Samba::start("").expect("a domain controller");
    // A contact costs less than a user, and counts as a member all the same.
    let contact = |number: usize| format!("CN=c{number},{}", samba.people_dn());
    let mut ldif = String::new();
    for number in 0..MANY {
        let _ = write!(
            ldif,
            "dn: {}\nobjectClass: contact\nmail: c{number}@example.test\n\n",
            contact(number)
        );
    }
    samba.add(&ldif).expect("contacts");
    let members: Vec<String> = (0..MANY).map(contact).collect();
    samba
        .add(&samba.group_ldif("all", "all@example.test", &members))
        .expect("a group");
    let inner = format!("CN=inner,{}", samba.groups_dn());
    let outer = format!("CN=outer,{}", samba.groups_dn());
    let nested = format!(
        "dn: {inner}\nobjectClass: group\nsAMAccountName: inner\nmember: {}\n\n\
         dn: {outer}\nobjectClass: group\nsAMAccountName: outer\nmail: outer@example.test\nmember: {inner}\n\
         member: {}\n\n\
         dn: {inner}\nchangetype: modify\nadd: member\nmember: {outer}\n",
        contact(0),
        contact(1)
    );
    samba.add(&nested).expect("groups in groups, in a circle");
    let connector = connector(config(&samba));
    let group = async |name: &str| match connector.lookup_address(&address(name)).await {
        Lookup::Found(found) => found,
        other => panic!("{name}: {other:?}"),
    };
    let all = group("all@example.test").await;
    assert_eq!(all.members.len(), MANY);
    let resolved = connector.resolve_members(&all.members).await.expect("members");
    assert_eq!(resolved.len(), MANY);
    let outer = group("outer@example.test").await;
    let resolved = connector.resolve_members(&outer.members).await.expect("members");
    let mut addresses: Vec<String> = resolved
        .into_iter()
        .filter_map(|(_, address)| Some(address?.to_string()))
        .filter(|address| address.starts_with('c'))
        .collect();
    addresses.sort();
    assert_eq!(addresses, ["c0@example.test", "c1@example.test"]);
}
