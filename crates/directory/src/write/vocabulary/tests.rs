//! Properties and entries by table.

use super::*;
use crate::config::SearchScope;
use ldap::Attribute;
use model::{Address, Domain};

fn config() -> ConnectorConfig {
    let uris = vec!["ldap://localhost".to_owned()];
    let mut config = ConnectorConfig::openldap("a", uris, vec!["ou=Users,dc=t".to_owned()]);
    config.groups.base_dn = vec!["ou=Groups,dc=t".to_owned()];
    config
}

fn active_directory() -> ConnectorConfig {
    let mut config = config();
    config.server_type = ServerType::ActiveDirectory;
    config
}

fn vocabulary(config: &ConnectorConfig) -> Vocabulary {
    Vocabulary::new(config).expect("a good configuration")
}

fn object(kind: EntryKind, address: &str) -> MailObject {
    MailObject::new(kind, Address::parse(address).expect(address))
}

#[test]
fn templates_that_give_two_entries_one_name() {
    let domains = ["a.test", "b.test"].map(|name| Domain::parse(name).expect(name));
    for (count, under, rdn, problem) in [
        (1, None, Some("uid=%u"), None),
        (2, None, None, None),
        (2, None, Some("uid=%e"), None),
        (2, None, Some("uid=%u+o=%d"), None),
        (2, Some("ou=%d,dc=t"), Some("uid=%u"), None),
        (2, Some("ou=Users,%D,dc=t"), Some("uid=%u"), None),
        (
            2,
            None,
            Some("uid=%u"),
            Some("a@a.test and a@b.test would be one entry"),
        ),
        (2, Some("ou=x,dc=t"), Some("uid=%u"), Some("would be one entry")),
        (
            1,
            None,
            Some("cn=person"),
            Some("every entry would have the same name"),
        ),
        (1, Some("ou=%z,dc=t"), None, Some("")),
    ] {
        let mut config = config();
        config.domains = domains.iter().take(count).cloned().collect();
        config.accounts.create_under = under.map(str::to_owned);
        if under.is_some() {
            config.accounts.base_dn = vec!["dc=t".to_owned()];
        }
        config.accounts.rdn = rdn.map(str::to_owned);
        let problems = config.check();
        match problem {
            None => assert_eq!(problems, [], "{under:?} {rdn:?}"),
            Some(part) => assert!(
                matches!(&problems[..], [one] if one.message.contains(part) && one.key.starts_with("accounts.")),
                "{under:?} {rdn:?}: {problems:?}"
            ),
        }
    }
    let mut config = config();
    config.domains = domains.to_vec();
    config.groups.rdn = Some("cn=%u".to_owned());
    let problems = config.check();
    assert!(
        matches!(&problems[..], [one] if one.key == "groups.rdn"),
        "{problems:?}"
    );
}

#[test]
fn entries_are_made_where_they_are_found_again() {
    let domains = ["a.test", "b.test"].map(|name| Domain::parse(name).expect(name));
    // Base, scope, domains, place, and whether that is right.
    for (base, scope, count, under, right) in [
        ("ou=Users,dc=t", SearchScope::Sub, 1, "ou=Users,dc=t", true),
        ("ou=Users,dc=t", SearchScope::Sub, 1, "ou=new,OU=users,DC=t", true),
        ("ou=Users,dc=t", SearchScope::Sub, 1, "ou=Groups,dc=t", false),
        ("ou=Users,dc=t", SearchScope::Sub, 1, "dc=t", false),
        ("ou=Users,dc=t", SearchScope::One, 1, "ou=Users,dc=t", true),
        (
            "ou=Users,dc=t",
            SearchScope::One,
            1,
            "ou=new,ou=Users,dc=t",
            false,
        ),
        ("dc=a,dc=test,dc=t", SearchScope::Sub, 1, "ou=Users,%D,dc=t", true),
        (
            "dc=a,dc=test,dc=t",
            SearchScope::Sub,
            2,
            "ou=Users,%D,dc=t",
            false,
        ),
        // Which domains there are, nobody says.
        ("dc=a,dc=test,dc=t", SearchScope::Sub, 0, "ou=Users,%D,dc=t", true),
        ("ou=Users,dc=t", SearchScope::Sub, 0, "ou=Groups,dc=t", false),
    ] {
        let mut config = config();
        config.domains = domains.iter().take(count).cloned().collect();
        config.accounts.base_dn = vec![base.to_owned()];
        config.accounts.scope = scope;
        config.accounts.rdn = Some("uid=%e".to_owned());
        config.accounts.create_under = Some(under.to_owned());
        let keys: Vec<String> = config.check().into_iter().map(|problem| problem.key).collect();
        let expected: &[&str] = if right { &[] } else { &["accounts.create_under"] };
        assert_eq!(keys, expected, "{under} below {base}, {scope:?}, {count} domains");
    }
    let mut config = config();
    config.groups.create_under = Some("ou=Users,dc=t".to_owned());
    assert_eq!(config.check()[0].key, "groups.create_under");
}

fn text(new: &NewObject) -> String {
    let entry = Entry {
        dn: new.entry.dn().to_string(),
        attributes: new.entry.attributes.clone(),
    };
    let mut out = Vec::new();
    ldap::ldif::write_entry(&mut out, &entry).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

fn subschema(classes: &[&str], attributes: &[&str]) -> Schema {
    let define = |names: &[&str]| -> Vec<Bytes> {
        let definitions = names.iter().map(|name| format!("( 1.2.3 NAME '{name}' )"));
        definitions.map(Bytes::from).collect()
    };
    Schema::read(
        &Entry::new("cn=Subschema")
            .with("objectClasses", define(classes))
            .with("attributeTypes", define(attributes)),
    )
}

#[test]
fn an_account_with_everything() {
    let mut alice = object(EntryKind::Account, "alice@example.test");
    alice.aliases = vec![Address::parse("al@example.test").expect("an address")];
    alice.display_name = Some("Alice B. Example".to_owned());
    (alice.quota, alice.disabled) = (5, Disabled::Yes);
    alice.host = Some("store1.test".to_owned());
    let new = vocabulary(&config())
        .entry(&alice, &[], &Schema::everything())
        .expect("an entry");
    let expected = "\
dn: uid=alice,ou=Users,dc=t
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
objectClass: homingAccount
uid: alice
cn: Alice B. Example
sn: Example
homingQuota: 5
mail: alice@example.test
displayName: Alice B. Example
mailLocalAddress: al@example.test
mailHost: store1.test
homingEnabled: FALSE

";
    assert_eq!(text(&new), expected);
    assert!(new.left_out.is_empty());
}

#[test]
fn a_server_without_our_schema() {
    let schema = subschema(
        &[
            "inetOrgPerson",
            "inetLocalMailRecipient",
            "groupOfNames",
            "extensibleObject",
        ],
        &[
            "uid",
            "cn",
            "sn",
            "mail",
            "mailLocalAddress",
            "mailHost",
            "displayName",
            "member",
        ],
    );
    let vocabulary = vocabulary(&config());
    let mut alice = object(EntryKind::Account, "alice@example.test");
    alice.quota = 5;
    let new = vocabulary.entry(&alice, &[], &schema).expect("an entry");
    assert!(!text(&new).contains("homing"), "{}", text(&new));
    assert_eq!(new.left_out, ["homingQuota"]);
    let group = vocabulary
        .entry(&object(EntryKind::Group, "staff@example.test"), &[], &schema)
        .expect("an entry");
    let expected = "\
dn: cn=staff,ou=Groups,dc=t
objectClass: groupOfNames
objectClass: inetLocalMailRecipient
objectClass: extensibleObject
cn: staff
member: cn=no-member,ou=Groups,dc=t
mail: staff@example.test

";
    assert_eq!(text(&group), expected);
}

#[test]
fn an_account_of_active_directory_begins_disabled() {
    let mut long = object(EntryKind::Account, "a.very.long.local.part@example.test");
    long.aliases = vec![Address::parse("long@example.test").expect("an address")];
    let new = vocabulary(&active_directory())
        .entry(&long, &[], &Schema::everything())
        .expect("an entry");
    let expected = "\
dn: cn=a.very.long.local.part,ou=Users,dc=t
objectClass: top
objectClass: person
objectClass: organizationalPerson
objectClass: user
cn: a.very.long.local.part
sAMAccountName: a.very.long.local.pa
userPrincipalName: a.very.long.local.part@example.test
userAccountControl: 514
mail: a.very.long.local.part@example.test
proxyAddresses: smtp:long@example.test

";
    assert_eq!(text(&new), expected);
}

#[test]
fn names_of_entries() {
    let domains: Vec<Domain> = ["a.test", "b.test"]
        .iter()
        .map(|text| Domain::parse(text).expect("a domain"))
        .collect();
    let mut own = config();
    own.accounts.rdn = Some("cn=%u of %d".to_owned());
    let mut apart = config();
    apart.accounts.create_under = Some("ou=Users,%D,dc=t".to_owned());
    apart.accounts.base_dn = vec!["dc=t".to_owned()];
    let mut special = config();
    special.accounts.base_dn = vec!["ou=100%e,dc=t".to_owned()];
    for (config, domains, dn) in [
        (config(), &domains[..1], "uid=alice,ou=Users,dc=t"),
        (config(), &domains[..], "mail=alice@a.test,ou=Users,dc=t"),
        (own, &domains[..], "cn=alice of a.test,ou=Users,dc=t"),
        (apart, &domains[..], "uid=alice,ou=Users,dc=a,dc=test,dc=t"),
        (special, &[], "uid=alice,ou=100%e,dc=t"),
        (active_directory(), &domains[..], "cn=alice@a.test,ou=Users,dc=t"),
    ] {
        let new = vocabulary(&config).entry(
            &object(EntryKind::Account, "alice@a.test"),
            domains,
            &Schema::everything(),
        );
        assert_eq!(new.expect("an entry").entry.dn().to_string(), dn);
    }
    let mut bad = config();
    bad.accounts.rdn = Some("uid=%q".to_owned());
    let problems = Vocabulary::new(&bad).expect_err("refused");
    assert_eq!(problems[0].key, "accounts.rdn");
}

#[test]
fn changes_value_by_value() {
    let before = ["a@t.test".to_owned(), "b@t.test".to_owned()];
    let after = ["b@t.test".to_owned(), "c@t.test".to_owned()];
    let change = vocabulary(&active_directory()).change(Property::Aliases, &before, &after);
    let expected = AttributeChange::values(
        "proxyAddresses",
        vec![Bytes::from_static(b"smtp:a@t.test")],
        vec![Bytes::from_static(b"smtp:c@t.test")],
    );
    assert_eq!(change, Some(expected));
    assert_eq!(
        vocabulary(&config()).change(Property::Aliases, &before, &before),
        None
    );
    assert_eq!(
        vocabulary(&active_directory()).change(Property::Quota, &[], &before),
        None
    );
}

// What would be taken away from an entry that has none would be refused each time.
#[test]
fn a_name_that_was_read_from_cn_is_written_beside_it() {
    let vocabulary = vocabulary(&config());
    let names = |text: &str| match text {
        "" => Vec::new(),
        text => vec![text.to_owned()],
    };
    let values = |text: &str| -> Vec<Bytes> { names(text).into_iter().map(Bytes::from).collect() };
    let cn = Entry::new("uid=a,dc=t").with("cn", vec![Bytes::from_static(b"Alice")]);
    let both = cn.clone().with("displayName", vec![Bytes::from_static(b"Alice")]);
    for (entry, before, after, remove, add) in [
        (Some(&cn), "Alice", "Alice A.", "", "Alice A."),
        (Some(&both), "Alice", "Alice A.", "Alice", "Alice A."),
        (Some(&both), "Alice", "", "Alice", ""),
        // Not as it was seen: the server refuses it, and it is read again.
        (Some(&both), "Al", "Alice A.", "Al", "Alice A."),
        (None, "Alice", "Alice A.", "Alice", "Alice A."),
    ] {
        let change = vocabulary.name_change(entry, &names(before), &names(after));
        let expected = AttributeChange::values("displayName", values(remove), values(add));
        assert_eq!(change, Some(expected), "{entry:?} {before} {after}");
    }
    assert_eq!(vocabulary.name_change(Some(&cn), &names("Alice"), &[]), None);
}

#[test]
fn switches_by_table() {
    use crate::config::EnabledConfig;
    let kinds = |kind, invert| EnabledConfig {
        attribute: "x".to_owned(),
        kind,
        mask: 2,
        invert,
    };
    let value = |text: Option<&str>| text.map(|text| Bytes::from(text.to_owned()));
    type Case<'a> = (
        EnabledKind,
        bool,
        Option<&'a str>,
        Disabled,
        Option<Option<&'a str>>,
    );
    let table: &[Case<'_>] = &[
        (EnabledKind::Bool, false, None, Disabled::No, None),
        (EnabledKind::Bool, false, None, Disabled::Yes, Some(Some("FALSE"))),
        (
            EnabledKind::Bool,
            false,
            Some("FALSE"),
            Disabled::No,
            Some(Some("TRUE")),
        ),
        (EnabledKind::Bool, true, None, Disabled::Yes, Some(Some("TRUE"))),
        (
            EnabledKind::Bitmask,
            false,
            Some("512"),
            Disabled::Yes,
            Some(Some("514")),
        ),
        (
            EnabledKind::Bitmask,
            false,
            Some("514"),
            Disabled::No,
            Some(Some("512")),
        ),
        (EnabledKind::Bitmask, false, Some("66048"), Disabled::No, None),
        (
            EnabledKind::GeneralizedTime,
            false,
            Some("20200101000000Z"),
            Disabled::No,
            Some(None),
        ),
        (
            EnabledKind::GeneralizedTime,
            false,
            None,
            Disabled::Yes,
            Some(Some("19700101000000Z")),
        ),
        (EnabledKind::Present, false, Some("z"), Disabled::No, Some(None)),
        (EnabledKind::Present, false, Some("z"), Disabled::Yes, None),
    ];
    for (kind, invert, present, disabled, expected) in table {
        let mut config = config();
        config.attributes.enabled = Some(kinds(*kind, *invert));
        let mut entry = Entry::new("dc=t");
        entry
            .attributes
            .extend(value(*present).map(|value| Attribute::new("x", vec![value])));
        let change = vocabulary(&config).switch(&entry, *disabled).expect("writable");
        let add = change.map(|change| match change.edit {
            Edit::Values { remove, add } => {
                assert_eq!(remove, value(*present).into_iter().collect::<Vec<_>>());
                add.first().cloned()
            }
            Edit::Replace(_) => panic!("value by value"),
        });
        assert_eq!(add, expected.map(value), "{kind:?} {present:?} {disabled:?}");
    }
    let mut config = config();
    config.attributes.enabled = Some(kinds(EnabledKind::Present, false));
    assert!(
        vocabulary(&config)
            .switch(&Entry::new("dc=t"), Disabled::Yes)
            .is_err()
    );
}

#[test]
fn an_entry_with_several_addresses() {
    let words = vocabulary(&config());
    let texts = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    // mail, mailLocalAddress; the address before and after, the aliases before and after; what is written.
    for (mail, local, address, aliases, expected) in [
        (
            "a@t",
            "",
            Some(("a@t", "b@t")),
            None,
            vec![("mail", "a@t", "b@t")],
        ),
        (
            "a@t c@t",
            "",
            Some(("a@t", "b@t")),
            None,
            vec![("mail", "*", "b@t c@t")],
        ),
        // The former address becomes an alias; the alias becomes the address.
        (
            "A@t c@t",
            "",
            Some(("a@t", "b@t")),
            Some(("c@t", "a@t c@t")),
            vec![("mail", "*", "b@t c@t"), ("mailLocalAddress", "", "a@t")],
        ),
        (
            "a@t c@t",
            "",
            Some(("a@t", "c@t")),
            Some(("c@t", "a@t")),
            vec![("mail", "*", "c@t"), ("mailLocalAddress", "", "a@t")],
        ),
        // An alias goes from where it is shown.
        (
            "a@t c@t d@t",
            "e@t",
            None,
            Some(("c@t d@t e@t", "d@t e@t")),
            vec![("mail", "c@t", "")],
        ),
        (
            "a@t c@t",
            "e@t",
            None,
            Some(("c@t e@t", "c@t")),
            vec![("mailLocalAddress", "e@t", "")],
        ),
        (
            "a@t c@t",
            "e@t",
            None,
            Some(("c@t e@t", "f@t")),
            vec![("mail", "c@t", ""), ("mailLocalAddress", "e@t", "f@t")],
        ),
        ("a@t c@t", "", None, None, vec![]),
        // What both attributes show goes from both, and so does a former address that was repeated.
        (
            "a@t c@t",
            "a@t C@t",
            None,
            Some(("c@t", "")),
            vec![("mail", "c@t", ""), ("mailLocalAddress", "c@t", "")],
        ),
        (
            "a@t c@t",
            "a@t c@t",
            Some(("a@t", "b@t")),
            Some(("a@t c@t", "c@t")),
            vec![("mail", "*", "b@t c@t"), ("mailLocalAddress", "a@t", "")],
        ),
    ] {
        let values = |text: &str| -> Vec<Bytes> { texts(text).into_iter().map(Bytes::from).collect() };
        let entry = Entry::new("uid=a,ou=Users,dc=t")
            .with("mail", values(mail))
            .with("mailLocalAddress", values(local));
        let pair = |of: Option<(&str, &str)>| of.map(|(was, now)| (texts(was), texts(now)));
        let (address, aliases) = (pair(address), pair(aliases));
        let found = words.address_changes(
            Some(&entry),
            address.as_ref().map(|(was, now)| Before { was, now }),
            aliases.as_ref().map(|(was, now)| Before { was, now }),
        );
        let expected: Vec<AttributeChange> = expected
            .into_iter()
            .map(|(name, gone, new)| match gone {
                "*" => AttributeChange::replace(name, values(new)),
                gone => AttributeChange::values(name, values(gone), values(new)),
            })
            .collect();
        assert_eq!(found, expected, "{mail:?} {local:?} {address:?} {aliases:?}");
    }
}
