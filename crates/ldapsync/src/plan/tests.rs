//! Plans of one object, by tables and properties.

use super::*;
use crate::field::Values;
use crate::merge::Marks;
use directory::config::{Absent, ConflictResolution, ConflictScope, Direction};
use model::{AccountId, Address};
use proptest::prelude::*;

const UUID: EntryUuid = EntryUuid::from_bytes([1; 16]);
const DN: &str = "uid=alice,dc=test";
const OTHER: EntryUuid = EntryUuid::from_bytes([2; 16]);

fn policy() -> Policy {
    Policy {
        direction: Direction::LdapToLocal,
        resolution: ConflictResolution::LdapWins,
        scope: ConflictScope::Attribute,
        absent: Absent::Keep,
        deletions: Deletions::Follow,
        arrivals: Arrivals::Hold,
    }
}

pub(crate) fn address(text: &str) -> Values {
    Values::addresses([&Address::parse(text).expect("an address")])
}

pub(crate) fn image(name: &str) -> Image {
    Image::default()
        .with(Field::Address, address(&format!("{name}@example.test")))
        .with(Field::DisplayName, Values::text(name))
        .with(Field::Enabled, Values::switch(true))
}

pub(crate) fn id(number: u64) -> LocalId {
    LocalId::Account(AccountId::new(number).expect("not zero"))
}

pub(super) fn elsewhere(host: &str) -> Remote {
    Remote::Elsewhere {
        host: host.into(),
        image: Image::default(),
    }
}

pub(crate) fn here(image: Image) -> Remote {
    Remote::Here(RemoteObject {
        members: Members::Shown,
        kind: Kind::Account,
        image,
        password: RemotePassword::default(),
        switch: Switch::Said,
        until: None,
        home: None,
    })
}

pub(crate) fn object(
    number: u64,
    image: Image,
    state: LocalState,
    linked_to: Option<EntryUuid>,
) -> LocalObject {
    LocalObject {
        id: id(number),
        image,
        state,
        linked_to,
        password: None,
        members_without_entry: vec![],
        members_by_address: vec![],
    }
}

pub(crate) fn link() -> Link {
    Link {
        local: id(1),
        base: Image::default(),
        rebased: false,
        dn: DN.to_owned(),
        standing: Standing::Linked,
        marks: Marks::default(),
        passwords: Passwords::default(),
        until: None,
        home: None,
    }
}

pub(crate) fn linked(remote: Remote, base: Image, local: Image, state: LocalState) -> Situation {
    Situation {
        uuid: UUID,
        name: DN.to_owned(),
        remote,
        link: Some(Link {
            local: id(1),
            base,
            ..link()
        }),
        local: Some(object(1, local, state, Some(UUID))),
        by_address: vec![],
        by_alias: vec![],
        bereaved: Vec::new(),
        seen_at: None,
        removal: Removal::BySync,
        beside: None,
        rivals: vec![],
    }
}

pub(super) fn unlinked(
    remote: Remote,
    by_address: Vec<LocalObject>,
    by_alias: Vec<LocalObject>,
) -> Situation {
    Situation {
        uuid: UUID,
        name: DN.to_owned(),
        remote,
        link: None,
        local: None,
        by_address,
        by_alias,
        bereaved: Vec::new(),
        seen_at: None,
        removal: Removal::BySync,
        beside: None,
        rivals: vec![],
    }
}

fn lines(situation: &Situation, policy: &Policy) -> Vec<String> {
    match plan(situation, policy) {
        Decision::Act(plan) => plan.ops.iter().map(ToString::to_string).collect(),
        Decision::SetAside(reason) => vec![format!("! {reason}")],
    }
}

fn moved(to: &str) -> LocalState {
    LocalState::MovedAway { to: to.into() }
}

/// What is planned for a linked object whose base is `alice`.
fn check_linked(table: Vec<(&str, Remote, Image, LocalState, &[&str])>) {
    for (name, remote, local, state, expected) in table {
        let situation = linked(remote, image("alice"), local, state);
        assert_eq!(lines(&situation, &policy()), expected, "{name}");
    }
}

#[test]
fn linked_objects_follow_their_entry() {
    let alice = || image("alice");
    let renamed = alice().with(Field::Address, address("alicia@example.test"));
    let off = alice().with(Field::Enabled, Values::switch(false));
    let active = LocalState::Active;
    let waiting = LocalState::AwaitingMail { from: "b".into() };
    check_linked(vec![
        ("equal", here(alice()), alice(), active.clone(), &[]),
        (
            "renamed",
            here(renamed),
            alice(),
            active.clone(),
            &["~ address: alice@example.test -> alicia@example.test"],
        ),
        (
            "disabled",
            here(off.clone()),
            alice(),
            active.clone(),
            &["~ enabled: TRUE -> FALSE"],
        ),
        (
            "drift",
            here(alice()),
            off,
            active,
            &["~ enabled: FALSE -> TRUE (local edit undone)"],
        ),
        ("back", here(alice()), alice(), LocalState::Deleted, &["+ revive"]),
        ("came home", here(alice()), alice(), moved("b"), &["+ revive"]),
        ("still waiting", here(alice()), alice(), waiting, &[]),
    ]);
}

#[test]
fn linked_objects_whose_entry_is_not_here() {
    let alice = || image("alice");
    let hidden = || Remote::Hidden {
        parent: "ou=people,dc=test".to_owned(),
    };
    let to = |host: &str| Remote::Elsewhere {
        host: host.into(),
        image: Image::default(),
    };
    let active = || LocalState::Active;
    check_linked(vec![
        (
            "gone",
            Remote::Gone,
            alice(),
            active(),
            &["- remove: the entry is gone"],
        ),
        (
            "perhaps only hidden",
            hidden(),
            alice(),
            active(),
            &[
                "! the entry is not there, but ou=people,dc=test above it cannot be read either, so this counts as no \
               deletion: restore the read rights of the service identity, or, if ou=people,dc=test was removed or \
               renamed, homing sync quarantine gone 'ou=people,dc=test'",
            ],
        ),
        (
            "deleted here, then hidden",
            hidden(),
            alice(),
            LocalState::Deleted,
            &[],
        ),
        ("gone again", Remote::Gone, alice(), LocalState::Deleted, &[]),
        (
            "out of scope",
            Remote::OutOfScope,
            alice(),
            active(),
            &["- remove: the entry is out of scope"],
        ),
        (
            "no home",
            Remote::NoHome,
            alice(),
            active(),
            &["- remove: the entry has no host"],
        ),
        ("moved", to("b"), alice(), active(), &["- moved to b"]),
        ("moved again", to("b"), alice(), moved("b"), &[]),
        ("moved on", to("c"), alice(), moved("b"), &["- moved to c"]),
        (
            "moved, then gone: the mail is kept, the address is free",
            Remote::Gone,
            alice(),
            moved("b"),
            &["~ address: alice@example.test -> parked-01010101-0101-0101-0101-010101010101@example.test"],
        ),
    ]);
}

#[test]
fn first_sight() {
    let active = |number, linked_to| object(number, image("alice"), LocalState::Active, linked_to);
    let entry = image("alice").with(Field::Aliases, address("al@example.test"));
    let held = |number, name: &str, alias: &str| {
        let image = image(name).with(Field::Aliases, address(&format!("{alias}@example.test")));
        object(number, image, LocalState::Active, None)
    };
    let deleted = object(3, image("alice"), LocalState::Deleted, Some(OTHER));
    let create =
        "+ create account address=alice@example.test aliases=al@example.test display_name=alice enabled=TRUE";
    let joins = "= link account 1";
    for (name, by_address, by_alias, expected) in [
        ("nobody", vec![], vec![], create),
        ("joins by address", vec![active(1, None)], vec![], joins),
        (
            "address before alias",
            vec![active(1, None)],
            vec![active(2, None)],
            joins,
        ),
        (
            "an alias of the entry is another's address",
            vec![],
            vec![held(2, "postmaster", "al")],
            "! al@example.test is also an address of postmaster@example.test, which no entry is linked to, and an \
             alias links nothing: to link the two, make the entry's mail that object's address; otherwise take \
             al@example.test from one of them",
        ),
        (
            "the entry's mail is another's alias",
            vec![held(1, "postmaster", "alice")],
            vec![],
            "! alice@example.test is also an address of postmaster@example.test, which no entry is linked to, and \
             an alias links nothing: to link the two, make the entry's mail that object's address; otherwise take \
             alice@example.test from one of them",
        ),
        (
            "an alias that a linked object has",
            vec![],
            vec![active(2, None), active(3, Some(OTHER))],
            "! alice@example.test is linked to the entry 02020202-0202-0202-0202-020202020202 here; take the address from \
             one of the two entries, or link it anew (homing sync unlink, then relink)",
        ),
        (
            "a removed namesake keeps its mail",
            vec![deleted.clone()],
            vec![],
            create,
        ),
        (
            "linked to another",
            vec![active(1, Some(OTHER))],
            vec![],
            "! alice@example.test is linked to the entry 02020202-0202-0202-0202-020202020202 here; take the address from \
             one of the two entries, or link it anew (homing sync unlink, then relink)",
        ),
    ] {
        let situation = unlinked(here(entry.clone()), by_address, by_alias);
        assert_eq!(lines(&situation, &policy())[0], expected, "{name}");
    }
}

#[test]
fn an_arrival_waits_only_when_it_was_seen_elsewhere() {
    let mut situation = unlinked(here(image("alice")), vec![], vec![]);
    situation.seen_at = Some("b.test".into());
    let state = |policy: &Policy| match plan(&situation, policy) {
        Decision::Act(plan) => match plan.ops.as_slice() {
            [Op::Create { state, .. }] => state.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(
        state(&policy()),
        LocalState::AwaitingMail {
            from: "b.test".into()
        }
    );
    assert_eq!(
        state(&Policy {
            arrivals: Arrivals::StartEmpty,
            ..policy()
        }),
        LocalState::Active
    );
}

#[test]
fn deletions_can_be_ignored_but_moves_cannot() {
    let ignore = Policy {
        deletions: Deletions::Ignore,
        ..policy()
    };
    let situation = |remote| linked(remote, image("a"), image("a"), LocalState::Active);
    assert!(lines(&situation(Remote::Gone), &ignore).is_empty());
    assert!(lines(&situation(Remote::OutOfScope), &ignore).is_empty());
    assert_eq!(lines(&situation(elsewhere("b")), &ignore), ["- moved to b"]);
}

#[test]
fn what_is_unlinked_is_never_touched_by_an_absence() {
    for remote in [Remote::Gone, Remote::OutOfScope, Remote::NoHome, elsewhere("b")] {
        let bystander = object(1, image("alice"), LocalState::Active, None);
        assert!(lines(&unlinked(remote, vec![bystander], vec![]), &policy()).is_empty());
    }
}

#[test]
fn the_harmless_part_leaves_the_rest_to_be_planned_again() {
    let base = image("alice");
    let remote = image("alice")
        .with(Field::DisplayName, Values::text("Alice B"))
        .with(Field::Address, address("new@example.test"));
    let situation = linked(here(remote), base.clone(), base.clone(), LocalState::Active);
    let Decision::Act(whole) = plan(&situation, &policy()) else {
        panic!("acts")
    };
    assert_eq!(whole.hazards().collect::<Vec<_>>(), [Hazard::AddressChange]);
    let part = whole.harmless(situation.link.as_ref());
    assert_eq!(
        part.lines(),
        ["new@example.test ~ display_name: alice -> Alice B"]
    );
    assert_eq!(
        part.base.expect("a base").get(Field::Address),
        base.get(Field::Address)
    );
}

/// Carries a plan out on values, as the store would.
pub(super) fn apply(situation: &Situation, plan: &Plan) -> Situation {
    let mut next = situation.clone();
    for op in &plan.ops {
        match op {
            Op::Create { image, state, .. } => {
                next.local = Some(object(9, image.clone(), state.clone(), Some(UUID)))
            }
            Op::Link { local } => {
                let found = situation.by_address.iter().find(|found| found.id == *local);
                next.local = found.cloned().map(|found| LocalObject {
                    linked_to: Some(UUID),
                    ..found
                });
            }
            Op::Set { field, values, .. } => {
                next.local
                    .as_mut()
                    .expect("an object")
                    .image
                    .set(*field, values.clone());
            }
            Op::Adopt { .. } => {
                next.local.as_mut().expect("an object").members_by_address.clear();
            }
            Op::Revive => next.local.as_mut().expect("an object").state = LocalState::Active,
            Op::Await { from } => {
                next.local.as_mut().expect("an object").state =
                    LocalState::AwaitingMail { from: from.clone() };
            }
            Op::Remove { .. } => next.local.as_mut().expect("an object").state = LocalState::Deleted,
            Op::MoveAway { to } => {
                next.local.as_mut().expect("an object").state = LocalState::MovedAway { to: to.clone() };
            }
        }
    }
    next.link = next
        .local
        .as_ref()
        .zip(plan.base.clone())
        .map(|(local, base)| Link {
            local: local.id,
            base,
            ..link()
        });
    next.by_address.clear();
    next.by_alias.clear();
    next
}

fn any_image() -> impl Strategy<Value = Image> {
    (
        "[a-c]",
        "[a-c]{0,2}",
        "[xyX]?",
        proptest::option::of(0u64..3),
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(name, aliases, display, quota, enabled)| {
            let aliases: Vec<Address> = aliases
                .chars()
                .map(|c| Address::parse(&format!("al{c}@example.test")).expect("an address"))
                .collect();
            Image::default()
                .with(Field::Address, address(&format!("{name}@example.test")))
                .with(Field::Aliases, Values::addresses(&aliases))
                .with(Field::DisplayName, Values::text(&display))
                .with(Field::Quota, quota.map(Values::number).unwrap_or_default())
                .with(Field::Enabled, enabled.map(Values::switch).unwrap_or_default())
        })
}

fn any_remote() -> impl Strategy<Value = Remote> {
    prop_oneof![
        4 => any_image().prop_map(here),
        1 => "[bc]".prop_map(|host| Remote::Elsewhere {
            host,
            image: Image::default(),
        }),
        1 => Just(Remote::NoHome),
        1 => Just(Remote::OutOfScope),
        1 => Just(Remote::Gone),
    ]
}

fn any_state() -> impl Strategy<Value = LocalState> {
    prop_oneof![
        Just(LocalState::Active),
        Just(LocalState::Deleted),
        "[bc]".prop_map(|to| LocalState::MovedAway { to }),
        "[bc]".prop_map(|from| LocalState::AwaitingMail { from }),
    ]
}

pub(super) fn any_situation() -> impl Strategy<Value = Situation> {
    let linked_one = (any_remote(), any_image(), any_image(), any_state())
        .prop_map(|(remote, base, local, state)| linked(remote, base, local, state));
    let candidate = || {
        let owner = prop_oneof![Just(None), Just(Some(OTHER))];
        (any_image(), any_state(), owner).prop_map(|(image, state, owner)| object(5, image, state, owner))
    };
    let fresh = (
        any_remote(),
        proptest::collection::vec(candidate(), 0..2),
        proptest::collection::vec(candidate(), 0..3),
        proptest::option::of("[bc]"),
    )
        .prop_map(|(remote, mut by_address, mut by_alias, seen_at)| {
            for (number, found) in (10..).zip(by_address.iter_mut().chain(&mut by_alias)) {
                found.id = id(number);
            }
            Situation {
                seen_at,
                ..unlinked(remote, by_address, by_alias)
            }
        });
    prop_oneof![linked_one, fresh]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn applying_twice_changes_nothing(situation in any_situation(), clear in any::<bool>()) {
        let absent = if clear { Absent::Clear } else { Absent::Keep };
        let policy = Policy { absent, ..policy() };
        if let Decision::Act(first) = plan(&situation, &policy) {
            let after = apply(&situation, &first);
            match plan(&after, &policy) {
                Decision::Act(second) => {
                    prop_assert!(second.ops.is_empty(), "{:?} then {:?}", first.ops, second.ops);
                    prop_assert_eq!(second.base.unwrap_or_default(), first.base.unwrap_or_default());
                }
                Decision::SetAside(reason) => prop_assert!(false, "{reason}"),
            }
        }
    }

    #[test]
    fn the_local_side_ends_at_the_directory_s(situation in any_situation()) {
        if let (Decision::Act(done), Remote::Here(remote)) = (plan(&situation, &policy()), &situation.remote) {
            let after = apply(&situation, &done);
            let local = after.local.expect("an object");
            let off = matches!(local.state, LocalState::Deleted | LocalState::MovedAway { .. });
            prop_assert!(!off);
            for (field, values) in remote.image.fields() {
                prop_assert_eq!(local.image.get(field), values);
            }
        }
    }

    #[test]
    fn somebody_else_s_object_is_never_taken(situation in any_situation()) {
        if let Decision::Act(done) = plan(&situation, &policy()) {
            for op in &done.ops {
                if let Op::Link { local } = op {
                    let Remote::Here(entry) = &situation.remote else { panic!("nothing to link to") };
                    let wanted = entry.image.get(Field::Address);
                    let mut all = situation.by_address.iter();
                    prop_assert!(all.any(|found| found.id == *local
                        && found.linked_to.is_none_or(|u| u == UUID)
                        && found.image.get(Field::Address).equals(wanted)));
                }
            }
        }
    }

    #[test]
    fn harmless_parts_are_harmless(situation in any_situation()) {
        if let Decision::Act(done) = plan(&situation, &policy()) {
            prop_assert_eq!(done.harmless(situation.link.as_ref()).hazards().count(), 0);
        }
    }
}
