//! Explanations as an administrator reads them.

use super::*;
use crate::plan::{
    Arrivals, Deletions, Kind, Link, LocalId, LocalObject, Members, Passwords, RemoteObject, RemotePassword,
    Removal, Switch, plan,
};
use directory::config::{Absent, ConflictResolution, ConflictScope};
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
            home: None,
        }),
        link: Some(Link {
            local,
            base: image("Al"),
            rebased: false,
            dn: "uid=al,dc=test".into(),
            standing: Standing::Linked,
            marks: Marks::default(),
            passwords: Passwords::default(),
            until: None,
            home: None,
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
        bereaved: Vec::new(),
        seen_at: None,
        removal: Removal::default(),
        beside: None,
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
    let told = Told {
        events,
        ..Told::default()
    };
    explain(situation, &policy, &decision, told).render(|ms| format!("[{ms}]"))
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
  When the same attribute changed on both sides since they last agreed, the directory's value wins (ldap-wins).
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
    let gone = |s: &mut Situation, state: LocalState| {
        s.remote = Remote::Gone;
        standing(s, Standing::Gone);
        if let Some(local) = s.local.as_mut() {
            local.state = state;
        }
    };
    let cases: [Case<'_>; 9] = [
        (
            &|s| standing(s, Standing::UnlinkedHeld),
            "waits: unlinked by an administrator",
        ),
        (
            &|s| standing(s, Standing::UnlinkedHeld),
            "nothing goes from one to the other",
        ),
        (&|s| gone(s, LocalState::Deleted), "homing account undelete 7"),
        (
            &|s| {
                if let Some(local) = s.local.as_mut() {
                    local.image.set(Field::Enabled, Values::switch(false));
                }
            },
            "Here it is disabled",
        ),
        (
            &|s| s.remote = Remote::Gone,
            "No entry of the directory has this UUID any more.",
        ),
        (&|s| s.remote = Remote::NoHome, "The entry names no host."),
        (
            &|s| {
                s.remote = Remote::Elsewhere {
                    image: Image::default(),
                    host: "b.test".into(),
                }
            },
            "here: - moved to b.test",
        ),
        (
            &|s| s.link = None,
            "No account or group here is linked to the entry",
        ),
        (&|s| s.local = None, "is gone for good"),
    ];
    for (change, expected) in cases {
        let text = case(change);
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}

#[test]
fn what_the_entry_does_not_say_is_no_change() {
    let mut situation = situation();
    situation.remote = Remote::Here(RemoteObject {
        kind: Kind::Account,
        image: image("Bo"),
        members: Members::Shown,
        password: RemotePassword::default(),
        switch: Switch::Said,
        until: None,
        home: None,
    });
    if let (Some(local), Some(link)) = (situation.local.as_mut(), situation.link.as_mut()) {
        local.image.set(Field::Quota, Values::number(0));
        local.image.set(Field::Enabled, Values::switch(true));
        link.base = image("Bo");
    }
    let text = told(&situation, Direction::BothWays, vec![]);
    for line in [
        "quota: 0 (the same, for the entry says nothing)",
        "enabled: TRUE (the same, for the entry says nothing)",
        "Nothing is to be done.",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
}

#[test]
fn what_waits_is_told_with_what_to_type() {
    let situation = situation();
    let policy = policy(Direction::BothWays);
    let decision = plan(&situation, &policy);
    let with = |told: Told| explain(&situation, &policy, &decision, told).render(|ms| ms.to_string());
    let held = with(Told {
        held: Some("h4sh".into()),
        ..Told::default()
    });
    assert!(held.contains("homing sync approve h4sh"), "{held}");
    let aside = with(Told {
        aside: Some("no schema".into()),
        ..Told::default()
    });
    assert!(
        aside.contains("It is in quarantine: no schema.") && aside.contains("quarantine retry 01010101-"),
        "{aside}"
    );
    let stopped = with(Told {
        rests: Some("The connector is stopped; after homing sync start:".into()),
        ..Told::default()
    });
    assert!(stopped.contains("stopped"), "{stopped}");
}

#[test]
fn an_object_without_an_entry_is_told_what_becomes_of_it() {
    let local = situation().local.map(|local| LocalObject {
        linked_to: None,
        ..local
    });
    let found = Newcomer::alone(local.expect("a local object"));
    for (direction, expected) in [
        (Direction::BothWays, "al@example.test directory: + create account"),
        (
            Direction::LdapToLocal,
            "It is left alone: the direction makes no entries",
        ),
    ] {
        let policy = policy(direction);
        let birth = crate::plan::plan_newcomer(&found, &policy);
        let text = explain_newcomer(&found, &policy, &birth, Told::default()).render(|ms| ms.to_string());
        assert!(text.contains("account 7 is linked to no entry."), "{text}");
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}
