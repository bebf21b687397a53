//! Groups whose members are searches or addresses, in directories with other schemas than ours.

use super::checking::report;
use super::slapd::{SUFFIX, Slapd};
use super::{address, clock, config, connect};
use directory::check::Verdict;
use directory::{Connector, ConnectorConfig, EntryKind, Host, Lookup};

/// The addresses of the members of the group with this address, sorted; `-` for a member without one.
async fn members(connector: &Connector, group: &str) -> Vec<String> {
    let lookup = connector.lookup_address(&address(group)).await;
    let Lookup::Found(found) = lookup else {
        panic!("{group}: {lookup:?}")
    };
    assert_eq!(found.kind, EntryKind::Group, "{group}");
    let members = connector
        .resolve_members(&found.members)
        .await
        .expect("an answer");
    let mut texts: Vec<String> = members
        .members
        .into_iter()
        .map(|(_, address)| address.map_or_else(|| "-".to_owned(), |address| address.to_string()))
        .collect();
    texts.sort();
    texts
}

fn dynamic(cn: &str, urls: &[&str]) -> String {
    let urls: String = urls.iter().map(|url| format!("memberURL: {url}\n")).collect();
    format!(
        "dn: cn={cn},ou=Groups,{SUFFIX}\nobjectClass: groupOfURLs\nobjectClass: extensibleObject\ncn: {cn}\n\
         mail: {cn}@localdomain.test\n{urls}\n"
    )
}

fn with_urls(slapd: &Slapd) -> ConnectorConfig {
    let mut config = config(&[slapd]);
    config.groups.object_class = Some("groupOfURLs".to_owned());
    config.attributes.members = Some("memberURL".to_owned());
    config
}

#[tokio::test]
async fn a_search_finds_members_within_the_bases_of_the_connector_only() {
    let slapd = Slapd::start();
    slapd.person("anna", "title: red\n");
    slapd.person("bert", "title: blue\n");
    slapd.person("carl", "title: red\nemployeeType: left\n");
    slapd.modify(&format!(
        "dn: uid=out,ou=Elsewhere,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: out\ncn: out\nsn: out\ntitle: red\nmail: out@localdomain.test\n"
    ));
    for (cn, url) in [
        ("red", format!("ldap:///ou=Users,{SUFFIX}??sub?(title=red)")),
        // Wider than what is ours, in base and in filter.
        ("wide", format!("ldap:///{SUFFIX}??sub?(objectClass=*)")),
        ("elsewhere", format!("ldap:///ou=Elsewhere,{SUFFIX}??sub")),
        ("one", format!("ldap:///uid=bert,ou=Users,{SUFFIX}")),
        ("far", format!("ldap://elsewhere.test/{SUFFIX}??sub")),
        ("gone", format!("ldap:///ou=Gone,ou=Users,{SUFFIX}??sub")),
    ] {
        slapd.modify(&dynamic(cn, &[&url]));
    }
    // A member that stands in two searches counts once; one that is a group of its own is a member with its address.
    let users = format!("ldap:///ou=Users,{SUFFIX}??one?(title=red)");
    let narrower = format!("ldap:///uid=anna,ou=Users,{SUFFIX}??base?(title=red)");
    let groups = format!("ldap:///ou=Groups,{SUFFIX}??one?(cn=red)");
    slapd.modify(&dynamic("both", &[&users, &groups, &narrower]));
    let mut config = with_urls(&slapd);
    config.accounts.filter = Some("(!(employeeType=left))".to_owned());
    let connector = connect(config, &clock());
    let mail = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{name}@localdomain.test"))
            .collect()
    };
    for (group, expected) in [
        ("red", vec!["anna"]),
        ("elsewhere", vec![]),
        ("one", vec!["bert"]),
        ("far", vec![]),
        ("gone", vec![]),
        ("both", vec!["anna", "red"]),
        (
            "wide",
            vec![
                "anna",
                "bert",
                "both",
                "elsewhere",
                "far",
                "gone",
                "one",
                "red",
                "wide",
            ],
        ),
    ] {
        let found = members(&connector, &format!("{group}@localdomain.test")).await;
        assert_eq!(found, mail(&expected), "{group}");
    }
}

#[tokio::test]
async fn searches_that_hold_each_other_end() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    // Groups without an address stand for their members.
    for (cn, other) in [("ping", "pong"), ("pong", "ping")] {
        let urls = [
            format!("ldap:///cn={other},ou=Groups,{SUFFIX}"),
            format!("ldap:///uid=anna,ou=Users,{SUFFIX}"),
        ];
        let text = dynamic(cn, &[&urls[0], &urls[1]]);
        slapd.modify(&text.replace(&format!("mail: {cn}@localdomain.test\n"), ""));
    }
    slapd.modify(&dynamic(
        "start",
        &[&format!("ldap:///cn=ping,ou=Groups,{SUFFIX}")],
    ));
    let connector = connect(with_urls(&slapd), &clock());
    assert_eq!(
        members(&connector, "start@localdomain.test").await,
        ["anna@localdomain.test"]
    );
}

/// `nisMailAlias`: the name is the `cn`, members are names and addresses.
#[tokio::test]
async fn mail_aliases_by_mapping_alone() {
    let slapd = Slapd::start();
    slapd.person(
        "anna",
        "mailHost: store1.test\nmailLocalAddress: a.nna@localdomain.test\nuserPassword: secret\n",
    );
    slapd.person("bert", "mailHost: store2.test\nuserPassword: secret\n");
    let alias = |cn: &str, members: &[&str]| {
        let members: String = members
            .iter()
            .map(|name| format!("rfc822MailMember: {name}\n"))
            .collect();
        format!("dn: cn={cn},ou=Groups,{SUFFIX}\nobjectClass: nisMailAlias\ncn: {cn}\n{members}\n")
    };
    slapd.modify(&alias("staff", &["anna", "bert", "nobody", "friend@far.test"]));
    slapd.modify(&alias("all", &["staff", "a.nna@localdomain.test", "all", "*"]));
    slapd.modify(&alias("press@other.test", &["bert@localdomain.test"]));
    let mut config = config(&[&slapd]);
    config.groups.object_class = Some("nisMailAlias".to_owned());
    config.attributes.members = Some("rfc822MailMember".to_owned());
    config.attributes.group_mail = Some("cn".to_owned());
    let report = report(&config).await;
    assert_ne!(report.verdict(), Verdict::Wrong, "{:#?}", report.findings);
    let connector = connect(config, &clock());
    let (anna, bert) = ("anna@localdomain.test", "bert@localdomain.test");
    assert_eq!(
        members(&connector, "staff@localdomain.test").await,
        [anna, bert, "friend@far.test"]
    );
    assert_eq!(
        members(&connector, "all@localdomain.test").await,
        [anna, bert, "friend@far.test"]
    );
    assert_eq!(members(&connector, "press@other.test").await, [bert]);
    // A bare name is a name in one domain, and a star is no pattern.
    for unknown in ["staff@other.test", "press@localdomain.test", "*@localdomain.test"] {
        let lookup = connector.lookup_address(&address(unknown)).await;
        assert!(matches!(lookup, Lookup::NotFound), "{unknown}: {lookup:?}");
    }
    let Lookup::Found(found) = connector.lookup_address(&address("a.nna@localdomain.test")).await else {
        panic!("anna is there")
    };
    assert_eq!(found.host, Host::One("store1.test".to_owned()));
    // A stranger is the same one each time.
    let stranger = async || {
        connector
            .resolve_members(&["friend@far.test".to_owned()])
            .await
            .expect("an answer")
    };
    assert_eq!(stranger().await, stranger().await);
}
