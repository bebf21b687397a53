//! Addresses that another entry has in the directory, or may have.

use super::both_tests::{BOTH, LDAP, LOCAL, STAY, UP, named, policy, told};
use super::tests::{address, here, linked};
use super::*;
use crate::field::Values;
use directory::config::ConflictScope;

fn rival(address: &str, claim: Claim) -> Rival {
    Rival {
        address: format!("{address}@example.test"),
        claim,
    }
}

fn stays() -> Claim {
    Claim::Stays {
        dn: "uid=bob".to_owned(),
    }
}

#[test]
fn an_address_of_another_entry_is_not_taken() {
    let local = named("Al").with(Field::Aliases, address("shared@example.test"));
    let mut situation = linked(here(named("Al")), named("Al"), local, LocalState::Active);
    situation.rivals = vec![rival("shared", stays())];
    let text = told(&situation, &policy(BOTH, LDAP));
    assert!(
        text.starts_with("aside shared@example.test is an address of the entry uid=bob already"),
        "{text}"
    );
    // Two who swap: the other one is about to give it up.
    situation.rivals = vec![rival("shared", Claim::Leaves)];
    assert_eq!(
        told(&situation, &policy(BOTH, LDAP)),
        "dir ~ aliases: - -> shared@example.test"
    );
    // A re-added entry with another UUID is nobody's successor by itself.
    let gone = Situation {
        remote: Remote::Gone,
        beside: None,
        rivals: vec![rival("alice", stays())],
        ..situation
    };
    assert!(told(&gone, &policy(UP, LDAP)).starts_with('!'));
}

// What the directory says of an object does not wait for an address that cannot be brought there.
#[test]
fn an_address_that_is_not_free_holds_nothing_else_up() {
    let aliases = |names: &[&str]| {
        let all: Vec<_> = names.iter().map(|name| format!("{name}@example.test")).collect();
        let all: Vec<model::Address> = all
            .iter()
            .map(|name| model::Address::parse(name).expect("an address"))
            .collect();
        Values::addresses(&all)
    };
    let account = |name: &str, others: &[&str]| {
        let name = address(&format!("{name}@example.test"));
        named("Al")
            .with(Field::Address, name)
            .with(Field::Aliases, aliases(others))
    };
    let untold = || Claim::Untold {
        why: Reason::HolderUntold {
            address: "shared@example.test".to_owned(),
            message: "too large".to_owned(),
        },
    };
    let off = |image: Image| image.with(Field::Enabled, Values::switch(false));
    let disabled = "~ enabled: TRUE -> FALSE";
    // What is there and here, of a base of alice alone; what is done; the aliases and the address of the base then.
    for (there, here_now, claim, expected, common) in [
        (
            off(account("alice", &[])),
            account("alice", &["shared"]),
            stays(),
            vec![disabled],
            ("alice", vec![]),
        ),
        (
            off(account("alice", &[])),
            account("alice", &["shared"]),
            untold(),
            vec![disabled],
            ("alice", vec![]),
        ),
        // One of two aliases comes, and one that the directory has made is taken over.
        (
            account("alice", &["theirs"]),
            account("alice", &["free", "shared"]),
            stays(),
            vec![
                "~ aliases: ",
                "dir ~ aliases: theirs@example.test -> free@example.test, theirs@example.test",
            ],
            ("alice", vec!["free", "theirs"]),
        ),
        // The address stays what it was, so the former one does not become an alias of the same entry.
        (
            off(account("alice", &[])),
            account("shared", &["alice", "free"]),
            stays(),
            vec![disabled, "dir ~ aliases: - -> free@example.test"],
            ("alice", vec!["free"]),
        ),
    ] {
        let mut situation = linked(here(there), account("alice", &[]), here_now, LocalState::Active);
        situation.rivals = vec![rival("shared", claim)];
        let text = told(&situation, &policy(BOTH, LDAP));
        let parts: Vec<&str> = text.split(" | ").collect();
        let (aside, done) = parts.split_last().expect("a plan");
        assert!(
            aside.starts_with("aside ") && aside.contains("shared@example.test"),
            "{text}"
        );
        assert_eq!(done.len(), expected.len(), "{text}");
        for (done, expected) in done.iter().zip(expected) {
            assert!(done.starts_with(expected), "{text}");
        }
        let Decision::Act(plan) = plan(&situation, &policy(BOTH, LDAP)) else {
            panic!("set aside as a whole: {text}");
        };
        let base = plan.base.expect("a base");
        assert!(
            base.get(Field::Address)
                .has(&format!("{}@example.test", common.0)),
            "{text}"
        );
        assert!(
            base.get(Field::Aliases).equals(&aliases(&common.1)),
            "{text}: {base:?}"
        );
    }
}

// Where neither side may have its own address, or the whole object here has won, there is no half of the address. The addresses
// wait as they are, and nothing else does.
#[test]
fn what_has_no_half_waits_alone() {
    let account = |name: &str, alias: &str, shown: &str| {
        let image = named(shown).with(Field::Address, address(&format!("{name}@example.test")));
        match alias {
            "" => image,
            alias => image.with(Field::Aliases, address(&format!("{alias}@example.test"))),
        }
    };
    let off = |image: Image| image.with(Field::Enabled, Values::switch(false));
    // The rule; what is there, common and here; what is done beside the row in quarantine; the same once the address is free.
    for (resolution, scope, there, common, here_now, done, freed) in [
        // Both moved away from an address that somebody has by now; a switch-off goes on.
        (
            STAY,
            ConflictScope::Attribute,
            off(account("theirs", "", "Al")),
            account("shared", "", "Al"),
            account("ours", "", "Al"),
            "~ enabled: TRUE -> FALSE",
            "~ address: ours@example.test -> shared@example.test",
        ),
        // And so does a name that was changed here: with the whole object it would go back.
        (
            STAY,
            ConflictScope::Entry,
            account("theirs", "", "Al"),
            account("shared", "", "Al"),
            account("ours", "", "Alan"),
            "dir ~ display_name: Al -> Alan",
            "~ address: ours@example.test -> shared@example.test",
        ),
        // The whole object here would win, and undo the switch-off.
        (
            LOCAL,
            ConflictScope::Entry,
            off(account("alice", "", "Al")),
            account("alice", "", "Al"),
            account("alice", "shared", "Al"),
            "~ enabled: TRUE -> FALSE",
            "dir ~ aliases: - -> shared@example.test",
        ),
        (
            LOCAL,
            ConflictScope::Entry,
            off(account("alice", "", "Al")),
            account("alice", "", "Al"),
            account("shared", "alice", "Al"),
            "~ enabled: TRUE -> FALSE",
            "dir ~ address: alice@example.test -> shared@example.test",
        ),
    ] {
        let mut rules = policy(BOTH, resolution);
        rules.scope = scope;
        let mut situation = linked(here(there), common.clone(), here_now, LocalState::Active);
        situation.rivals = vec![rival("shared", stays())];
        let text = told(&situation, &rules);
        let expected =
            format!("{done} | aside shared@example.test is an address of the entry uid=bob already");
        assert!(text.starts_with(&expected), "{text}");
        let Decision::Act(plan) = plan(&situation, &rules) else {
            panic!("set aside as a whole: {text}");
        };
        let base = plan.base.expect("a base");
        for field in [Field::Address, Field::Aliases] {
            assert!(base.get(field).equals(common.get(field)), "{text}: {base:?}");
        }
        assert!(plan.discarded.is_empty(), "{text}");
        // Nothing was decided meanwhile.
        situation.rivals.clear();
        let text = told(&situation, &rules);
        assert!(text.contains(freed), "{text}");
    }
}

// At the first sight there is no whole object that could win: each attribute is decided by itself.
#[test]
fn a_first_sight_waits_for_the_address_alone() {
    let mut rules = policy(BOTH, LOCAL);
    rules.scope = ConflictScope::Entry;
    let local = named("Alan").with(Field::Aliases, address("shared@example.test"));
    let mut situation = linked(here(named("Al")), named("Al"), local, LocalState::Active);
    if let Some(link) = situation.link.as_mut() {
        link.marks.acquaintance = crate::merge::Acquaintance::UnderWay;
    }
    situation.rivals = vec![rival("shared", stays())];
    let text = told(&situation, &rules);
    assert!(
        text.starts_with("dir ~ display_name: Al -> Alan (conflict lost)") && text.contains("aside shared@"),
        "{text}"
    );
}
