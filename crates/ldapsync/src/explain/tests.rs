//! Explanations as an administrator reads them.

use super::*;
use crate::plan::{
    Arrivals, Deletions, Kind, Link, LocalId, LocalObject, Members, Passwords, RemoteObject, RemotePassword,
    Removal, Switch, plan,
};
use directory::config::Absent;
use model::{AccountId, Address, EntryUuid};

/// What is done to the situation, and what is told of it.
type Case<'a> = (&'a dyn Fn(&mut Situation), &'a str);

const UUID: EntryUuid = EntryUuid::from_bytes([1; 16]);

fn image(name: &str) -> Image {
    let address = Address::parse("al@example.test").expect("an address");
    Image::default()
        .with(Field::Address, Values::addresses([&address]))
        .with(Field::DisplayName, Values::text(name))
}

fn situation() -> Situation {
    let local = LocalId::Account(AccountId::new(7).expect("not zero"));
    Situation {
        uuid: UUID,
        name: "uid=al,dc=test".into(),
        remote: Remote::Here(RemoteObject {
            kind: Kind::Account,
            image: image("Cy"),
            members: Members::Shown,
            password: RemotePassword::default(),
            switch: Switch::Said,
            until: None,
        }),
        link: Some(Link {
            local,
            base: image("Al"),
            dn: "uid=al,dc=test".into(),
            standing: Standing::Linked,
            marks: Marks::default(),
            passwords: Passwords::default(),
            until: None,
        }),
        local: Some(LocalObject {
            id: local,
            image: image("Bo"),
            state: LocalState::Active,
            linked_to: Some(UUID),
            password: None,
            members_without_entry: vec![],
            members_by_address: vec![],
        }),
        by_address: vec![],
        by_alias: vec![],
        seen_at: None,
        removal: Removal::default(),
        rivals: vec![],
    }
}

fn policy(direction: Direction) -> Policy {
    Policy {
        direction,
        resolution: ConflictResolution::LdapWins,
        scope: ConflictScope::Attribute,
        absent: Absent::Keep,
        deletions: Deletions::Follow,
        arrivals: Arrivals::Hold,
    }
}

fn told(situation: &Situation, direction: Direction, events: Vec<Event>) -> String {
    let policy = policy(direction);
    let decision = plan(situation, &policy);
    explain(situation, &policy, &decision, events).render(|ms| format!("[{ms}]"))
}

#[test]
fn a_conflict_is_told_with_its_rule_and_its_loser() {
    let event = Event::new(Timestamp::from_millis(5), "display name, by uid:0");
    let text = told(&situation(), Direction::BothWays, vec![event]);
    assert_eq!(
        text,
        "al@example.test
  account 7 is linked to the entry uid=al,dc=test (01010101-0101-0101-0101-010101010101).
  The entry is in the directory, in scope, and of this server.
  Here it is in use.
  both-ways: what changed on one side goes to the other.
  When the same attribute changed on both sides since then, the directory's value wins (ldap-wins).
  address: al@example.test (the same)
  display_name: changed on both sides: last common Al; here Bo; in the directory Cy
Next
  here: ~ display_name: Bo -> Cy (conflict lost)
  display_name is decided by ldap-wins (here Bo, in the directory Cy); what loses is kept in the conflict journal
Last events
  [5] display name, by uid:0
"
    );
}

#[test]
fn each_state_has_its_sentence() {
    let case = |change: &dyn Fn(&mut Situation)| {
        let mut situation = situation();
        change(&mut situation);
        told(&situation, Direction::LdapToLocal, vec![])
    };
    let standing = |situation: &mut Situation, standing| {
        if let Some(link) = situation.link.as_mut() {
            link.standing = standing;
        }
    };
    let cases: [Case<'_>; 6] = [
        (
            &|s| standing(s, Standing::UnlinkedHeld),
            "waits: unlinked by an administrator",
        ),
        (&|s| s.remote = Remote::Gone, "No entry has this UUID."),
        (&|s| s.remote = Remote::NoHome, "The entry names no host."),
        (
            &|s| {
                s.remote = Remote::Elsewhere {
                    addresses: Image::default(),
                    host: "b.test".into(),
                }
            },
            "here: - moved to b.test",
        ),
        (&|s| s.link = None, "No object here is linked to the entry"),
        (&|s| s.local = None, "is gone for good"),
    ];
    for (change, expected) in cases {
        let text = case(change);
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}
