//! Tests of templates: slots, dropped branches, and injections by the name of the attack.

use super::*;
use crate::dn::Dn;
use crate::filter::Filter;
use proptest::prelude::*;

const ALICE: Slots<'_> = Slots {
    address: Some("alice@example.test"),
    local_part: Some("alice"),
    domain: Some("example.test"),
};

fn filter(text: &str, slots: &Slots<'_>) -> Option<String> {
    let template = FilterTemplate::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    template.fill(slots).map(|filter| filter.to_string())
}

fn dn(text: &str, slots: &Slots<'_>) -> Option<String> {
    let template = DnTemplate::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    template.fill(slots).map(|dn| dn.to_string())
}

#[test]
fn alternatives_by_table() {
    let told = |text: &str| {
        let template = FilterTemplate::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let alternatives = template.alternatives()?;
        let told = |one: Alternative| format!("{}={}{:?}", one.attribute, one.prefix, one.slot);
        Some(alternatives.into_iter().map(told).collect::<Vec<_>>().join(" "))
    };
    for (template, alternatives) in [
        ("(mail=%e)", Some("mail=Address")),
        ("(|(mail=%e)(uid=%u))", Some("mail=Address uid=LocalPart")),
        ("(|(proxyAddresses=smtp:%e))", Some("proxyAddresses=smtp:Address")),
        ("(|(mail=%e)(cn=fixed))", None),
        ("(&(mail=%e)(o=x))", None),
        ("(|(mail=%e)(|(uid=%u)))", None),
        ("(mail=%e.test)", None),
        ("(mail=%u@%d)", None),
        ("(mail~=%e)", None),
        ("(mail=%e*)", None),
        ("(!(mail=%e))", None),
    ] {
        assert_eq!(told(template).as_deref(), alternatives, "{template}");
    }
}

#[test]
fn filters_are_filled() {
    for (template, filled) in [
        (
            "(|(mail=%e)(mailLocalAddress=%e))",
            "(|(mail=alice@example.test)(mailLocalAddress=alice@example.test))",
        ),
        (
            "(proxyAddresses=smtp:%e)",
            "(proxyAddresses=smtp:alice@example.test)",
        ),
        (
            "(&(objectClass=person)(!(uid=%u*x%d)))",
            "(&(objectClass=person)(!(uid=alice*xexample.test)))",
        ),
        ("(cn=100%% %u)", "(cn=100% alice)"),
        (r"(cn=\25e)", "(cn=%e)"),
        (r"(cn=%%e)", "(cn=%e)"),
        ("(cn:dn:caseExactMatch:=%u)", "(cn:dn:caseExactMatch:=alice)"),
        ("(&)", "(&)"),
        ("(|)", "(|)"),
        ("(mail=*)", "(mail=*)"),
    ] {
        assert_eq!(filter(template, &ALICE).as_deref(), Some(filled), "{template}");
    }
}

#[test]
fn a_slot_that_does_not_apply_drops_its_branch() {
    let foreign = Slots {
        local_part: None,
        ..ALICE
    };
    for (template, filled) in [
        ("(|(mail=%e)(uid=%u))", Some("(|(mail=alice@example.test))")),
        (
            "(|(mail=%e)(&(objectClass=x)(uid=%u)))",
            Some("(|(mail=alice@example.test))"),
        ),
        ("(uid=%u)", None),
        ("(|(uid=%u)(cn=%u))", None),
        ("(&(objectClass=x)(uid=%u))", None),
        // Dropping only the inside of a negation would widen the filter.
        ("(&(mail=%e)(!(uid=%u)))", None),
        ("(uid=%u*)", None),
        ("(uid=a*%u*)", None),
    ] {
        assert_eq!(filter(template, &foreign).as_deref(), filled, "{template}");
        let empty = Slots {
            local_part: Some(""),
            ..ALICE
        };
        assert_eq!(
            filter(template, &empty).as_deref(),
            filled,
            "{template} with an empty value"
        );
    }
}

#[test]
fn dns_are_filled() {
    for (template, filled) in [
        ("uid=%u,ou=Users,%D", "uid=alice,ou=Users,dc=example,dc=test"),
        (
            "mail=%e, ou=%d , %D",
            "mail=alice@example.test,ou=example.test,dc=example,dc=test",
        ),
        ("cn=%u+ou=100%%,dc=x", "cn=alice+ou=100%,dc=x"),
        (r"cn=\25u,1.2=#04024869", "cn=%u,1.2=#04024869"),
        ("", ""),
    ] {
        assert_eq!(dn(template, &ALICE).as_deref(), Some(filled), "{template}");
    }
    assert_eq!(
        dn(
            "uid=%u,%D",
            &Slots {
                domain: None,
                ..ALICE
            }
        ),
        None
    );
    assert_eq!(
        dn(
            "uid=%u,%D",
            &Slots {
                domain: Some("a..b"),
                ..ALICE
            }
        ),
        None
    );
    assert_eq!(
        dn(
            "uid=%u,dc=x",
            &Slots {
                local_part: None,
                ..ALICE
            }
        ),
        None
    );
}

#[test]
fn faults_name_their_place() {
    for (text, position) in [
        ("(mail=%x)", 6),
        ("(mail=a%)", 7),
        ("(mail=%D)", 6),
        (r"(mail=%\65)", 6),
        ("(%u=a)", 1),
        ("(mail=%*)", 6),
        ("(mail=%e", 8),
        ("%e", 0),
    ] {
        let error = FilterTemplate::parse(text).expect_err(text);
        assert_eq!(error.position, position, "{text:?}: {error}");
    }
    for (text, position) in [
        ("uid=%D", 4),
        ("uid=%u%D", 6),
        ("%u,dc=x", 0),
        ("%u=x", 0),
        ("uid=%q", 4),
        ("uid=#%u", 4),
        ("uid=%", 4),
        (r"uid=%\75", 4),
    ] {
        let error = DnTemplate::parse(text).expect_err(text);
        assert_eq!(error.position, position, "{text:?}: {error}");
    }
}

#[test]
fn slots_in_use_are_known() {
    let template = DnTemplate::parse("uid=%u,ou=Users,%D").unwrap();
    assert!(template.uses(Slot::LocalPart) && template.uses(Slot::Domain) && !template.uses(Slot::Address));
    let template = FilterTemplate::parse("(|(a=*)(!(b=x*%e)))").unwrap();
    assert!(template.uses(Slot::Address) && !template.uses(Slot::LocalPart));
}

/// Values an attacker would type, by the name of the attack.
#[test]
fn injections_stay_values() {
    for value in [
        "*",
        "*)(uid=*))(|(uid=*",
        "alice)(|(password=*",
        "\\2a",
        "%e%u%%",
        "a\0b",
        "admin,ou=Admins",
        "x+cn=admin",
        " #04 ",
        "\\",
        "\"",
    ] {
        let slots = Slots {
            address: Some(value),
            local_part: Some(value),
            domain: Some("x"),
        };
        let filled = FilterTemplate::parse("(&(objectClass=person)(|(mail=%e)(uid=a%u*)))")
            .unwrap()
            .fill(&slots)
            .unwrap();
        let expected = Filter::And(vec![
            Filter::equals("objectClass", "person"),
            Filter::Or(vec![
                Filter::equals("mail", value.as_bytes().to_vec()),
                Filter::Substrings {
                    attribute: "uid".into(),
                    initial: Some(format!("a{value}").into()),
                    any: vec![],
                    last: None,
                },
            ]),
        ]);
        assert_eq!(filled, expected);
        assert_eq!(Filter::parse(&filled.to_string()), Ok(expected));

        let name = DnTemplate::parse("uid=%u,ou=Users,dc=x")
            .unwrap()
            .fill(&slots)
            .unwrap();
        let back = Dn::parse(&name.to_string()).unwrap();
        assert_eq!(back.rdns().len(), 3);
        assert_eq!(back.parent(), Some(Dn::parse("ou=Users,dc=x").unwrap()));
        assert_eq!(back.rdn().and_then(|rdn| rdn.value("uid")), Some(value));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any value put through a filter template is, after printing and parsing, that value in that place.
    #[test]
    fn any_value_in_a_filter(value in "\\PC{1,16}|[()*\\\\&|!=%eud\0 ]{1,16}") {
        let slots = Slots { address: Some(&value), ..ALICE };
        let filled = FilterTemplate::parse("(|(mail=%e)(x>=<%e>)(y=%e*%u*%e))").unwrap().fill(&slots).unwrap();
        let bytes = bytes::Bytes::from(value.clone());
        let expected = Filter::Or(vec![
            Filter::equals("mail", bytes.clone()),
            Filter::GreaterOrEqual { attribute: "x".into(), value: format!("<{value}>").into() },
            Filter::Substrings {
                attribute: "y".into(),
                initial: Some(bytes.clone()),
                any: vec!["alice".into()],
                last: Some(bytes),
            },
        ]);
        prop_assert_eq!(Filter::parse(&filled.to_string()), Ok(expected.clone()));
        prop_assert_eq!(filled, expected);
    }

    /// The same for a DN: the value is the whole value of its RDN, and no RDN comes or goes.
    #[test]
    fn any_value_in_a_dn(value in "\\PC{1,16}|[,+=;<>#\"\\\\%eud\0 ]{1,16}") {
        let slots = Slots { local_part: Some(&value), ..ALICE };
        let name = DnTemplate::parse("uid=%u+sn=x%u,ou=Users,%D").unwrap().fill(&slots).unwrap();
        let back = Dn::parse(&name.to_string()).unwrap();
        prop_assert_eq!(back.rdns().len(), 4);
        let rdn = back.rdn().unwrap();
        prop_assert_eq!(rdn.parts().len(), 2);
        prop_assert_eq!(rdn.value("uid"), Some(value.as_str()));
        let with_prefix = format!("x{value}");
        prop_assert_eq!(rdn.value("sn"), Some(with_prefix.as_str()));
    }

    /// A domain label cannot leave its dc= RDN.
    #[test]
    fn any_domain_in_a_dn(domain in "[a-z,+=\\\\ ]{1,6}(\\.[a-z,+=\\\\ ]{1,6}){0,3}") {
        let slots = Slots { domain: Some(&domain), ..ALICE };
        let back = Dn::parse(&DnTemplate::parse("%D").unwrap().fill(&slots).unwrap().to_string()).unwrap();
        let labels: Vec<_> = back.rdns().iter().filter_map(|rdn| rdn.value("dc")).collect();
        prop_assert_eq!(labels.join("."), domain);
    }

    /// No template text panics.
    #[test]
    fn any_template(text in "[()&|!=*%eudDx\\\\,+# ]{0,24}") {
        if let Ok(template) = FilterTemplate::parse(&text) {
            let _ = template.fill(&ALICE);
        }
        if let Ok(template) = DnTemplate::parse(&text) {
            let _ = template.fill(&ALICE);
        }
    }
}
