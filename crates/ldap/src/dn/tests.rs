//! Tests of DNs: tables of RFC 4514, faults, equality, and values that survive.

use super::*;
use proptest::prelude::*;

fn dn(text: &str) -> Dn {
    Dn::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn examples_of_rfc_4514_section_4() {
    for (text, rdns) in [
        ("UID=jsmith,DC=example,DC=net", 3),
        ("OU=Sales+CN=J.  Smith,DC=example,DC=net", 3),
        (r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#, 3),
        (r"CN=Before\0dAfter,DC=example,DC=net", 3),
        ("1.3.6.1.4.1.1466.0=#04024869", 1),
        ("CN=Lu\\C4\\8Di\\C4\\87", 1),
        ("", 0),
    ] {
        let parsed = dn(text);
        assert_eq!(parsed.rdns().len(), rdns, "{text}");
        assert_eq!(dn(&parsed.to_string()), parsed, "{text}");
    }
    let jim = dn(r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#);
    assert_eq!(
        jim.to_string(),
        r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#
    );
    assert_eq!(
        jim.rdn().and_then(|rdn| rdn.value("cn")),
        Some("James \"Jim\" Smith, III")
    );
    assert_eq!(
        dn("CN=Lu\\C4\\8Di\\C4\\87").rdn().and_then(|r| r.value("CN")),
        Some("Lučić")
    );
    assert_eq!(
        dn("1.3.6.1.4.1.1466.0=#04024869")
            .rdn()
            .and_then(|r| r.parts().first())
            .map(Ava::value),
        Some(&b"Hi"[..])
    );
}

#[test]
fn spaces_belong_to_a_value_only_when_escaped() {
    for (text, value) in [
        ("cn= a ", "a"),
        (r"cn=\ a\ ", " a "),
        (r"cn=a\  ", "a "),
        (r"cn=a\\ ", r"a\"),
        (r"cn=\ ", " "),
        (r"cn=\20", " "),
        ("cn=", ""),
        ("cn = a", "a"),
        (r"cn=\#a", "#a"),
        ("cn=a#b", "a#b"),
        ("cn=a=b", "a=b"),
    ] {
        assert_eq!(
            dn(text).rdn().and_then(|r| r.value("cn")),
            Some(value),
            "{text:?}"
        );
    }
}

#[test]
fn faults_name_their_place() {
    for (text, position) in [
        ("cn", 0),
        ("cn=a,", 5),
        (",cn=a", 0),
        ("cn=a,,dc=b", 5),
        ("cn=a+", 5),
        ("c n=a", 0),
        ("1=a", 0),
        ("1..2=a", 0),
        ("01.2=a", 0),
        ("cn=a;b=c", 4),
        (r#"cn="a""#, 3),
        ("cn=a<b", 4),
        (r"cn=a\", 4),
        (r"cn=a\g0", 4),
        (r"cn=a\0", 4),
        ("cn=#0", 3),
        ("cn=#", 3),
        ("cn=#zz", 3),
        ("cn=a\0", 4),
        ("dc=x,cn=é\\é", 10),
    ] {
        let error = Dn::parse(text).expect_err(text);
        assert_eq!(error.position, position, "{text:?}: {error}");
    }
}

#[test]
fn equality_is_of_the_normalised_form() {
    for (left, right) in [
        ("cn=Alice,dc=Example", "CN=alice , DC=example"),
        ("commonName=alice", "2.5.4.3=ALICE"),
        ("ou=a+cn=b", "CN=b+OU=a"),
        ("cn=a  b", "cn=a b"),
        (r"cn=a\2cb", r"cn=A\,b"),
        ("cn=#0c0141", "cn=a"),
        ("cn=ÉLAN", "cn=élan"),
        ("0.9.2342.19200300.100.1.25=x", "domainComponent=x"),
    ] {
        assert_eq!(dn(left), dn(right), "{left} {right}");
        assert_eq!(dn(left).key(), dn(right).key(), "{left} {right}");
    }
    for (left, right) in [
        ("cn=a,cn=b", r"cn=a\,cn\=b"),
        ("cn=a+ou=b", r"cn=a\+ou\=b"),
        ("cn=a", "ou=a"),
        ("cn=a b", "cn=ab"),
        (r"cn=\#0c0141", "cn=#0c0141"),
        ("cn=#020141", r"cn=\#\02\01A"),
        (r"cn=\ff", "cn=ÿ"),
    ] {
        assert_ne!(dn(left), dn(right), "{left} {right}");
        assert_ne!(dn(left).key(), dn(right).key(), "{left} {right}");
    }
}

#[test]
fn relations() {
    let base = dn("ou=Users,dc=example,dc=test");
    let alice = base.child(Rdn::new("uid", "alice, cn=x").unwrap());
    assert_eq!(alice.to_string(), r"uid=alice\, cn=x,ou=Users,dc=example,dc=test");
    assert_eq!(alice.rdns().len(), 4);
    assert!(alice.is_below(&dn("OU=users,DC=Example,DC=TEST")));
    assert!(alice.is_below(&dn("dc=test")));
    assert!(alice.is_below(&Dn::root()));
    assert!(!alice.is_below(&alice));
    assert!(!base.is_below(&alice));
    assert!(!dn("uid=a,ou=XUsers,dc=example,dc=test").is_below(&base));
    assert_eq!(alice.parent(), Some(base));
    assert_eq!(Dn::root().parent(), None);
    assert!(Rdn::new("u id", "x").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever octets a value has, printing and reading gives exactly them, and nothing else moves.
    #[test]
    fn any_value_survives(value in proptest::collection::vec(any::<u8>(), 0..24)) {
        let name = dn("dc=a,dc=b").child(Rdn::new("cn", value.clone()).unwrap());
        let back = dn(&name.to_string());
        prop_assert_eq!(&back, &name);
        prop_assert_eq!(back.rdns().len(), 3);
        prop_assert_eq!(back.rdn().unwrap().parts().len(), 1);
        prop_assert_eq!(back.rdn().unwrap().parts()[0].value(), &value[..]);
    }

    /// The same with the characters that have a meaning in a DN.
    #[test]
    fn hostile_values_survive(value in "[ ,+=;<>#\"\\\\a0-]{0,12}") {
        let name = Dn::root().child(Rdn::new("cn", value.clone()).unwrap());
        let back = dn(&name.to_string());
        prop_assert_eq!(back.rdns().len(), 1);
        prop_assert_eq!(back.rdn().unwrap().value("cn"), Some(value.as_str()));
    }

    /// Nothing panics, and what parses prints to something equal.
    #[test]
    fn any_text(text in "[a-c0-2.=,+\\\\# \"é]{0,24}") {
        if let Ok(name) = Dn::parse(&text) {
            prop_assert_eq!(dn(&name.to_string()), name);
        }
    }
}
