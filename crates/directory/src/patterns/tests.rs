//! The filters that patterns make of what clients type.

use super::*;
use proptest::prelude::*;

fn patterns(change: impl FnOnce(&mut ConnectorConfig)) -> Patterns {
    let mut config = ConnectorConfig::openldap(
        "main",
        vec!["ldap://127.0.0.1".to_owned()],
        vec!["ou=Users,o=x,dc=test".to_owned()],
    );
    config.groups.base_dn = vec!["ou=Groups,o=x,dc=test".to_owned()];
    config.domains = vec![Domain::parse("own.test").expect("a domain")];
    change(&mut config);
    Patterns::new(&config).expect("good patterns")
}

fn login(patterns: &Patterns, text: &str) -> String {
    patterns
        .for_login(&patterns.login(text))
        .map_or_else(|| "none".to_owned(), |filter| filter.to_string())
}

#[test]
fn filters_of_addresses() {
    let patterns = patterns(|config| config.accounts.filter = Some("(!(ou=robots))".to_owned()));
    let address = Address::parse("a.b@own.test").expect("an address");
    let filter = |kind| {
        patterns
            .for_address(kind, &address)
            .map(|filter| filter.to_string())
    };
    assert_eq!(
        filter(EntryKind::Account).as_deref(),
        Some(
            "(&(&(objectClass=inetOrgPerson)(!(ou=robots)))(|(mail=a.b@own.test)(mailLocalAddress=a.b@own.test)))"
        )
    );
    assert_eq!(
        filter(EntryKind::Group).as_deref(),
        Some("(&(objectClass=groupOfNames)(|(mail=a.b@own.test)(mailLocalAddress=a.b@own.test)))")
    );
    assert_eq!(
        patterns
            .for_catch_all("own.test")
            .map(|filter| filter.to_string())
            .as_deref(),
        Some(
            "(&(&(objectClass=inetOrgPerson)(!(ou=robots)))(|(mail=@own.test)(mailLocalAddress=@own.test)))"
        )
    );
    assert_eq!(patterns.top.to_string(), "o=x,dc=test");
    let by_name = self::patterns(|config| config.address_pattern = Some("(uid=%u)".to_owned()));
    let other = Address::parse("a@other.test").expect("an address");
    assert!(by_name.for_address(EntryKind::Account, &address).is_some());
    assert_eq!(
        by_name.for_address(EntryKind::Account, &other),
        None,
        "another domain's people are not ours"
    );
}

#[test]
fn filters_of_logins() {
    let own = patterns(|_| {});
    assert_eq!(
        login(&own, "a"),
        "(&(objectClass=inetOrgPerson)(|(mail=a@own.test)(uid=a)))"
    );
    assert_eq!(
        login(&own, "a@own.test"),
        "(&(objectClass=inetOrgPerson)(|(mail=a@own.test)(uid=a)))"
    );
    assert_eq!(
        login(&own, "a@OWN.test"),
        "(&(objectClass=inetOrgPerson)(|(mail=a@OWN.test)(uid=a)))"
    );
    assert_eq!(
        login(&own, "a@other.test"),
        "(&(objectClass=inetOrgPerson)(|(mail=a@other.test)))"
    );
    let none = patterns(|config| config.domains.clear());
    assert_eq!(login(&none, "a"), "(&(objectClass=inetOrgPerson)(|(uid=a)))");
    let by_mail = patterns(|config| {
        config.domains.clear();
        config.login_pattern = Some("(mail=%e)".to_owned());
    });
    assert_eq!(
        login(&by_mail, "a"),
        "none",
        "nobody can be meant, and no filter becomes wider"
    );
    let ad = patterns(|config| config.server_type = ServerType::ActiveDirectory);
    assert_eq!(
        login(&ad, "a"),
        "(&(objectClass=user)(|(userPrincipalName=a@own.test)(sAMAccountName=a)))"
    );
}

#[test]
fn kinds_go_by_place_and_class() {
    let patterns = patterns(|config| config.groups.scope = SearchScope::One);
    for (dn, class, kind) in [
        (
            "uid=a,ou=Users,o=x,dc=test",
            "inetOrgPerson",
            Some(EntryKind::Account),
        ),
        (
            "uid=a,ou=Deep,OU=users,o=x,dc=test",
            "INETORGPERSON",
            Some(EntryKind::Account),
        ),
        ("uid=a,ou=Users,o=x,dc=test", "device", None),
        ("uid=a,ou=Else,o=x,dc=test", "inetOrgPerson", None),
        (
            "cn=g,ou=Groups,o=x,dc=test",
            "groupOfNames",
            Some(EntryKind::Group),
        ),
        ("cn=g,ou=Deep,ou=Groups,o=x,dc=test", "groupOfNames", None),
        ("cn=g,ou=Users,o=x,dc=test", "groupOfNames", None),
        ("not a dn", "inetOrgPerson", None),
    ] {
        let entry = Entry::new(dn).with("objectClass", vec![class.as_bytes().to_vec().into()]);
        assert_eq!(patterns.kind_of(&entry), kind, "{dn} {class}");
    }
}

proptest::proptest! {
    /// Where the entries before stood changes nothing: places in scope and out of it, bases themselves, names that are escaped,
    /// quoted, of several parts or none at all.
    #[test]
    fn a_place_that_is_remembered_says_the_same(
        names in proptest::collection::vec(
            (
                "(uid=a|cn=b|ou=users|OU=Groups|uid=a\\\\,b|uid=\"a,b\"|uid=a\\+cn=b|uid=a#|uid=|=a| uid=a|u.d=a)",
                "(ou=Users|ou=users|OU=Groups|ou=Deep,ou=Users|ou=Deep,ou=Groups|ou=Else|ou=Users |)",
                "(,o=x,dc=test|, o=x,dc=test|,o=y,dc=test|)",
                "(inetOrgPerson|groupOfNames|device)",
            ),
            1..20,
        ),
        deep in proptest::bool::ANY,
    ) {
        let scope = if deep { SearchScope::Sub } else { SearchScope::One };
        let patterns = patterns(|config| config.groups.scope = scope);
        let mut place = Place::default();
        for (rdn, parent, top, class) in names {
            let dn = format!("{rdn},{parent}{top}");
            let entry = Entry::new(dn).with("objectClass", vec![class.into_bytes().into()]);
            proptest::prop_assert_eq!(patterns.kind_beside(&entry, &mut place), patterns.kind_of(&entry));
        }
    }
}

#[test]
fn common_ancestors() {
    let dn = |text: &str| Dn::parse(text).expect(text);
    for (bases, top) in [
        (&["ou=a,dc=x"][..], "ou=a,dc=x"),
        (&["ou=a,dc=x", "ou=b,dc=x"], "dc=x"),
        (&["ou=c,ou=a,dc=x", "ou=a,dc=x"], "ou=a,dc=x"),
        (&["ou=a,dc=x", "OU=A,DC=X"], "ou=a,dc=x"),
        (&["ou=a,dc=x", "ou=a,dc=y"], ""),
    ] {
        let bases: Vec<Dn> = bases.iter().map(|text| dn(text)).collect();
        assert_eq!(common_ancestor(bases.iter()), Some(dn(top)), "{bases:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever a client types stays one value: the filter keeps its shape.
    #[test]
    fn typed_text_is_never_syntax(text in "\\PC{1,40}") {
        let patterns = patterns(|_| {});
        if let Some(filter) = patterns.for_login(&patterns.login(&text)) {
            let shown = Filter::parse(&filter.to_string()).expect("a printed filter parses");
            prop_assert_eq!(&shown, &filter);
            let Filter::And(parts) = filter else { panic!("narrowed by the class") };
            prop_assert_eq!(&parts[0], &equality("objectClass", "inetOrgPerson"));
            let Filter::Or(branches) = &parts[1] else { panic!("the pattern's own shape") };
            let values = branches.iter().all(|branch| matches!(branch, Filter::Equality { .. }));
            prop_assert!(values, "a branch is no plain value");
        }
    }
}

fn with_aliases(change: impl FnOnce(&mut ConnectorConfig)) -> Patterns {
    patterns(|config| {
        let domain = |text: &str| Domain::parse(text).expect("a domain");
        config.domain_aliases = DomainAliases::new([(domain("old.test"), domain("own.test"))]);
        config.address_pattern = Some("(mail=%e)".to_owned());
        change(config);
    })
}

#[test]
fn an_alias_domain_is_asked_for_as_the_main_one() {
    let patterns = with_aliases(|_| ());
    let address = |text: &str| Address::parse(text).expect(text);
    let filter = |text: &str| patterns.for_address(EntryKind::Account, &address(text));
    assert!(filter("a@own.test").is_some());
    assert_eq!(filter("a@old.test"), filter("a@own.test"));
    assert_eq!(login(&patterns, "a@old.test"), login(&patterns, "a@own.test"));
    assert!(
        login(&patterns, "a@OLD.test").contains("(uid=a)"),
        "it is our own domain"
    );
    assert_eq!(
        patterns.for_catch_all("old.test"),
        patterns.for_catch_all("own.test")
    );
    // What stands in an entry is another address, until the key says otherwise.
    assert_eq!(patterns.read_address("a@old.test"), Ok(address("a@old.test")));
}

#[test]
fn entries_may_be_written_in_alias_domains() {
    let patterns = with_aliases(|config| config.search_domain_aliases = true);
    let address = |text: &str| Address::parse(text).expect(text);
    for asked in ["a@own.test", "a@old.test"] {
        let filter = patterns.for_address(EntryKind::Account, &address(asked));
        assert_eq!(
            filter.expect("a filter").to_string(),
            "(&(objectClass=inetOrgPerson)(|(mail=a@own.test)(mail=a@old.test)))"
        );
        assert_eq!(
            login(&patterns, asked),
            "(&(objectClass=inetOrgPerson)(|(|(mail=a@own.test)(uid=a))(|(mail=a@old.test)(uid=a))))"
        );
    }
    let catch_all = patterns.for_catch_all("own.test").expect("a filter").to_string();
    assert_eq!(
        catch_all,
        "(&(objectClass=inetOrgPerson)(|(mail=@own.test)(mail=@old.test)))"
    );
    let other = patterns.for_address(EntryKind::Account, &address("a@other.test"));
    assert_eq!(
        other.expect("a filter").to_string(),
        "(&(objectClass=inetOrgPerson)(mail=a@other.test))"
    );
    assert_eq!(patterns.read_address("a@old.test"), Ok(address("a@own.test")));
    assert_eq!(
        patterns.read_domain("old.test").expect("a domain").as_str(),
        "own.test"
    );
}
