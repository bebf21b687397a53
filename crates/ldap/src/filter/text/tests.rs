//! Tests of the text form of filters: tables of RFC 4515, faults, and agreement with ldap3.

use super::*;
use bytes::BytesMut;
use ldap3::asn1::ASNTag;
use proptest::prelude::*;

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn examples_of_rfc_4515_section_4() {
    for text in [
        "(cn=Babs Jensen)",
        "(!(cn=Tim Howes))",
        "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
        "(o=univ*of*mich*)",
        "(seeAlso=)",
        "(cn:caseExactMatch:=Fred Flintstone)",
        "(cn:=Betty Rubble)",
        "(sn:dn:2.4.6.8.10:=Barney Rubble)",
        "(o:dn:=Ace Industry)",
        "(:1.2.3:=Wilma Flintstone)",
        "(:dn:2.4.6.8.10:=Dino)",
        "(cn=*)",
        "(&)",
        "(|)",
        "(createTimestamp>=20260101000000Z)",
        "(cn<=m)",
        "(cn~=jon)",
        "(cn;lang-de=x)",
    ] {
        assert_eq!(filter(text).to_string(), text);
    }
    for (text, attribute, value) in [
        (
            r"(o=Parens R Us \28for all your parenthetical needs\29)",
            "o",
            &b"Parens R Us (for all your parenthetical needs)"[..],
        ),
        (r"(filename=C:\5cMyFile)", "filename", br"C:\MyFile"),
        (r"(bin=\00\00\00\04)", "bin", &[0, 0, 0, 4]),
        (r"(sn=Lu\c4\8di\c4\87)", "sn", "Lučić".as_bytes()),
        (
            r"(1.3.6.1.4.1.1466.0=\04\02\48\69)",
            "1.3.6.1.4.1.1466.0",
            &[4, 2, 0x48, 0x69],
        ),
        ("(a=b=c)", "a", b"b=c"),
        ("(a= b )", "a", b" b "),
        ("(a=&|!)", "a", b"&|!"),
    ] {
        assert_eq!(filter(text), Filter::equals(attribute, value.to_vec()), "{text}");
    }
    assert_eq!(
        filter(r"(cn=*\2A*)"),
        Filter::Substrings {
            attribute: "cn".into(),
            initial: None,
            any: vec!["*".into()],
            last: None
        }
    );
}

#[test]
fn blanks_stand_between_the_parts_of_a_set_only() {
    assert_eq!(
        filter(" ( & (a=b)\n  ( ! (c= d) )\t( | ) ) "),
        Filter::And(vec![
            Filter::equals("a", "b"),
            Filter::Not(Box::new(Filter::equals("c", " d"))),
            Filter::Or(vec![]),
        ])
    );
}

#[test]
fn faults_name_their_place() {
    for (text, position) in [
        ("", 0),
        ("cn=a", 0),
        ("(cn=a", 5),
        ("(cn=a))", 6),
        ("(cn=a)(cn=b)", 6),
        ("()", 1),
        ("(cn)", 1),
        ("(=a)", 1),
        ("(c n=a)", 1),
        ("(cn =a)", 1),
        ("(cn;=a)", 1),
        ("(cn;ü=a)", 1),
        ("(:=a)", 1),
        ("(:dn:=a)", 1),
        ("(cn:dn:x:y:=a)", 1),
        ("(!)", 2),
        ("(!(a=b)(c=d))", 7),
        ("(&a=b)", 2),
        ("(cn=a**b)", 6),
        ("(cn=**)", 5),
        (r"(cn=\2)", 4),
        (r"(cn=\zz)", 4),
        (r"(cn=ab\*c)", 6),
        ("(cn>=a*)", 6),
        ("(cn=a\0)", 5),
        ("(cn=a(b)", 5),
    ] {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!(error.position, position, "{text:?}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}(a=b){}", "(!".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(super::super::MAX_FILTER_DEPTH - 1)).is_ok());
    assert!(Filter::parse(&nested(super::super::MAX_FILTER_DEPTH)).is_err());
    assert!(Filter::parse(&"(&".repeat(1_000_000)).is_err());
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let value = || proptest::collection::vec(any::<u8>(), 0..8).prop_map(Bytes::from);
    let piece = || proptest::collection::vec(any::<u8>(), 1..8).prop_map(Bytes::from);
    let name = || "[a-z][a-z0-9-]{0,4}(;[a-z0-9]{1,3})?";
    let leaf = prop_oneof![
        (name(), value()).prop_map(|(attribute, value)| Filter::Equality { attribute, value }),
        (name(), value()).prop_map(|(attribute, value)| Filter::GreaterOrEqual { attribute, value }),
        (name(), value()).prop_map(|(attribute, value)| Filter::LessOrEqual { attribute, value }),
        (name(), value()).prop_map(|(attribute, value)| Filter::Approx { attribute, value }),
        name().prop_map(Filter::Present),
        (
            name(),
            proptest::option::of(piece()),
            proptest::collection::vec(piece(), 0..3),
            piece()
        )
            .prop_map(|(attribute, initial, any, last)| Filter::Substrings {
                attribute,
                initial,
                any,
                last: Some(last)
            }),
        (
            name(),
            proptest::option::of("[a-z]{3}|1\\.2\\.3"),
            value(),
            any::<bool>()
        )
            .prop_map(|(attribute, rule, value, dn_attributes)| Filter::Extensible {
                rule,
                attribute: Some(attribute),
                value,
                dn_attributes
            }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Printing and reading a filter of any values gives the same filter.
    #[test]
    fn text_round_trip(filter in any_filter()) {
        prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
    }

    /// Our printer agrees with ldap3's escape on what a value is, and its parser accepts what ours prints.
    #[test]
    fn ldap3_agrees(value in "\\PC{0,12}", hostile in "[()*\\\\a&|!=\0]{0,8}") {
        for value in [value, hostile] {
            let theirs = format!("(cn={})", ldap3::ldap_escape(value.as_str()));
            let ours = Filter::equals("cn", value.clone().into_bytes());
            prop_assert_eq!(Filter::parse(&theirs), Ok(ours.clone()));
            prop_assert!(ldap3::parse_filter(ours.to_string()).is_ok());
        }
    }

    /// ldap3 reads what ours prints, to the same bytes on the wire.
    #[test]
    fn ldap3_encodes_the_same(filter in any_filter()) {
        // ldap3 takes the beginning of a rule like `dna` for `:dn` (RFC 4515 section 3, `extensible`).
        let text = filter.to_string();
        prop_assume!(text.split(":dn").skip(1).all(|rest| rest.starts_with(':')));
        let theirs = ldap3::parse_filter(text).unwrap();
        let mut expected = BytesMut::new();
        ldap3::asn1::write::encode_into(&mut expected, theirs.into_structure()).unwrap();
        let ours = crate::control::encode_value(|writer| crate::message::encode_filter(&filter, writer));
        prop_assert_eq!(ours, expected.freeze(), "{}", filter);
    }

    /// Nothing panics, and what parses prints to the same filter.
    #[test]
    fn any_text(text in "[()&|!=*:<>~a1.;\\\\ é]{0,24}") {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }
}
