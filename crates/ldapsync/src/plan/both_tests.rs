//! Plans that write the directory, by tables and properties.

use super::tests::{address, here, id, image, link, linked, object, unlinked};
use super::*;
use crate::field::Values;
use crate::merge::{Cause, Side};
use directory::config::{Absent, ConflictResolution, ConflictScope, Direction};
use proptest::prelude::*;
use store::IntentKind;

const UUID: EntryUuid = EntryUuid::from_bytes([1; 16]);
const OTHER: EntryUuid = EntryUuid::from_bytes([2; 16]);
pub(super) const UP: Direction = Direction::LocalToLdap;
pub(super) const BOTH: Direction = Direction::BothWays;
pub(super) const LOCAL: ConflictResolution = ConflictResolution::LocalWins;
pub(super) const LDAP: ConflictResolution = ConflictResolution::LdapWins;
pub(super) const STAY: ConflictResolution = ConflictResolution::NoChange;

pub(super) fn policy(direction: Direction, resolution: ConflictResolution) -> Policy {
    Policy {
        direction,
        resolution,
        scope: ConflictScope::Attribute,
        absent: Absent::Keep,
        deletions: Deletions::Follow,
        arrivals: Arrivals::Hold,
    }
}

/// Everything a plan says, in short.
pub(super) fn told(situation: &Situation, policy: &Policy) -> String {
    let plan = match plan(situation, policy) {
        Decision::SetAside(reason) => return format!("! {reason}"),
        Decision::Act(plan) => plan,
    };
    let mut out: Vec<String> = plan.ops.iter().map(ToString::to_string).collect();
    out.extend(plan.remote.iter().map(|op| format!("dir {op}")));
    out.extend(
        plan.discarded
            .iter()
            .map(|lost| format!("lost {} by {}", lost.field, lost.rule)),
    );
    out.extend(plan.waits.iter().map(|wait| format!("waits {wait}")));
    out.extend(plan.aside.iter().map(|reason| format!("aside {reason}")));
    out.join(" | ")
}

pub(super) fn named(name: &str) -> Image {
    image("alice").with(Field::DisplayName, Values::text(name))
}

fn deleted(base: Image, remote: Image, removal: Removal, standing: Standing) -> Situation {
    let mut situation = linked(here(remote), base.clone(), base, LocalState::Deleted);
    situation.removal = removal;
    if let Some(link) = situation.link.as_mut() {
        link.standing = standing;
    }
    situation
}

#[test]
fn deleted_here() {
    use Removal::{ByPerson, BySync};
    use Standing::{Gone, Linked};
    let held = "waits deleted here and edited in the directory; conflict_resolution is no-change";
    let by_sync = "waits switched off here by a connector, which deletes nothing in the directory";
    let back = "+ revive | ~ display_name: Al -> Bo";
    for (direction, resolution, remote, removal, standing, expected) in [
        (UP, LDAP, "Al", ByPerson, Linked, "dir - delete"),
        (
            UP,
            LDAP,
            "Bo",
            ByPerson,
            Linked,
            "dir - delete | lost display_name by one-way",
        ),
        (UP, LDAP, "Al", BySync, Linked, by_sync),
        // A restored backup brings the entry back, and it goes again.
        (UP, LDAP, "Al", ByPerson, Gone, "dir - delete"),
        (BOTH, LDAP, "Al", ByPerson, Linked, "dir - delete"),
        (
            BOTH,
            LOCAL,
            "Bo",
            ByPerson,
            Linked,
            "dir - delete | lost display_name by local-wins",
        ),
        (BOTH, LDAP, "Bo", ByPerson, Linked, back),
        (BOTH, STAY, "Bo", ByPerson, Linked, held),
        (BOTH, LDAP, "Al", BySync, Linked, by_sync),
        (BOTH, LDAP, "Bo", BySync, Gone, back),
    ] {
        let situation = deleted(named("Al"), named(remote), removal, standing);
        let policy = policy(direction, resolution);
        let case = format!("{direction:?} {resolution:?} {remote} {removal:?} {standing:?}");
        assert_eq!(told(&situation, &policy), expected, "{case}");
        if removal == ByPerson && standing == Linked {
            // The same for an object that is gone for good and has left a tombstone.
            let mut situation = situation.clone();
            situation.local = None;
            let erased = told(&situation, &policy);
            assert_eq!(
                erased.contains("dir - delete"),
                expected.contains("dir - delete"),
                "{case}"
            );
        }
    }
}

#[test]
fn deleted_in_the_directory() {
    let again = "dir + create account address=alice@example.test display_name=Bo";
    let held = "waits deleted in the directory and edited here; conflict_resolution is no-change";
    for (direction, resolution, local, expected) in [
        (BOTH, LDAP, "Al", "- remove: the entry is gone"),
        (
            BOTH,
            LDAP,
            "Bo",
            "- remove: the entry is gone | lost display_name by ldap-wins",
        ),
        (BOTH, LOCAL, "Bo", again),
        (BOTH, STAY, "Bo", held),
        // The directory follows: an entry that somebody deleted is made again.
        (UP, LDAP, "Bo", again),
    ] {
        let situation = linked(Remote::Gone, named("Al"), named(local), LocalState::Active);
        let policy = policy(direction, resolution);
        assert_eq!(
            told(&situation, &policy),
            expected,
            "{direction:?} {resolution:?} {local}"
        );
        let hidden = Situation {
            remote: Remote::Hidden {
                parent: "ou=x".into(),
            },
            ..situation
        };
        if !expected.starts_with("waits") {
            assert!(
                told(&hidden, &policy).starts_with('!'),
                "lost rights make and remove nothing"
            );
        }
    }
    // Taken back here after both were gone: a new object, as far as the directory goes.
    let mut revived = linked(Remote::Gone, named("Bo"), named("Bo"), LocalState::Active);
    if let Some(link) = revived.link.as_mut() {
        link.standing = Standing::Gone;
    }
    assert_eq!(told(&revived, &policy(BOTH, LDAP)), again);
}

#[test]
fn gone_on_both_sides_is_noted_and_ended() {
    for direction in [UP, BOTH] {
        let situation = linked(Remote::Gone, named("Al"), named("Al"), LocalState::Deleted);
        let Decision::Act(plan) = plan(&situation, &policy(direction, LDAP)) else {
            panic!("set aside")
        };
        assert!(plan.is_quiet());
        assert_eq!(plan.standing, Standing::Gone);
    }
}

#[test]
fn what_was_unlinked_by_hand_is_left_alone() {
    for direction in [Direction::LdapToLocal, UP, BOTH] {
        for remote in [here(named("Bo")), Remote::Gone, Remote::OutOfScope] {
            let mut situation = linked(remote, named("Al"), named("Cy"), LocalState::Active);
            if let Some(link) = situation.link.as_mut() {
                link.standing = Standing::UnlinkedHeld;
            }
            let waits = "waits unlinked by an administrator; relink or release it";
            assert_eq!(told(&situation, &policy(direction, LOCAL)), waits);
        }
    }
}

#[test]
fn at_first_sight() {
    let found = |name: &str| vec![object(5, named(name), LocalState::Active, None)];
    for (direction, resolution, locals, expected) in [
        (
            UP,
            LDAP,
            found("Bo"),
            "= link account 5 | dir ~ display_name: Al -> Bo | lost display_name by one-way",
        ),
        (
            BOTH,
            LDAP,
            found("Bo"),
            "= link account 5 | ~ display_name: Bo -> Al (conflict lost) | lost display_name by ldap-wins",
        ),
        (
            BOTH,
            LOCAL,
            found("Bo"),
            "= link account 5 | dir ~ display_name: Al -> Bo (conflict lost) | lost display_name by local-wins",
        ),
        (
            BOTH,
            STAY,
            found("Bo"),
            "= link account 5 | waits display_name differs and was never common; both sides keep theirs",
        ),
        (BOTH, STAY, found("Al"), "= link account 5"),
        (
            UP,
            LDAP,
            vec![],
            "waits nothing here belongs to this entry, and the direction is local-to-ldap",
        ),
    ] {
        let situation = unlinked(here(named("Al")), locals, vec![]);
        assert_eq!(
            told(&situation, &policy(direction, resolution)),
            expected,
            "{direction:?} {resolution:?}"
        );
    }
}

#[test]
fn a_step_aside_is_nobody_s_edit() {
    let parked = named("Al").with(Field::Address, address(&format!("parked-{UUID}@example.test")));
    let renamed = named("Al").with(Field::Address, address("new@example.test"));
    for (remote, expected) in [(named("Al"), "alice@example.test"), (renamed, "new@example.test")] {
        let situation = linked(here(remote), named("Al"), parked.clone(), LocalState::Active);
        let text = told(&situation, &policy(BOTH, LOCAL));
        let wanted = format!("~ address: parked-{UUID}@example.test -> {expected}");
        assert_eq!(text, wanted);
    }
}

#[test]
fn newcomers() {
    let found = |name: &str, aliases: &str, linked_to, kind| Found {
        uuid: OTHER,
        dn: format!("uid={name}"),
        kind,
        image: Image::default()
            .with(Field::Address, address(&format!("{name}@example.test")))
            .with(
                Field::Aliases,
                if aliases.is_empty() {
                    Values::NONE
                } else {
                    address(aliases)
                },
            ),
        linked_to,
        ours: false,
    };
    let account = Some(Kind::Account);
    let one = |found: Found| vec![found];
    for (entries, expected) in [
        (
            vec![],
            "alice@example.test directory: + create account address=alice@example.test display_name=alice",
        ),
        (one(found("alice", "", None, account)), "join"),
        (one(found("alice", "", Some(id(9)), account)), "aside"),
        (one(found("alice", "", None, None)), "aside"),
        (one(found("alice", "", None, Some(Kind::Group))), "aside"),
        (one(found("bob", "alice@example.test", None, account)), "aside"),
        (
            vec![
                found("alice", "", None, account),
                found("alice", "", None, account),
            ],
            "aside",
        ),
    ] {
        let newcomer = |local, standing| Newcomer {
            local,
            standing,
            found: entries.clone(),
            untold: None,
            former: None,
            sent: Values::NONE,
        };
        let active = object(5, image("alice"), LocalState::Active, None);
        let told = |newcomer: &Newcomer, direction| match plan_newcomer(newcomer, &policy(direction, LDAP)) {
            Birth::Leave => "leave".to_owned(),
            Birth::Join(_) => "join".to_owned(),
            Birth::SetAside(_) => "aside".to_owned(),
            Birth::Create(creation) => creation.line(),
        };
        let fresh = newcomer(active.clone(), None);
        assert_eq!(
            (told(&fresh, UP), told(&fresh, BOTH)),
            (expected.to_owned(), expected.to_owned())
        );
        // Who has the address cannot be told: it is no other newcomer's trouble.
        let untold = Newcomer {
            untold: Some(Reason::HolderUntold {
                address: "alice@example.test".to_owned(),
                message: "no entryUUID".to_owned(),
            }),
            ..fresh.clone()
        };
        assert_eq!(told(&untold, UP), "aside");
        assert_eq!(told(&untold, Direction::LdapToLocal), "leave");
        assert_eq!(
            told(&fresh, Direction::LdapToLocal),
            "leave",
            "listed as unlinked"
        );
        let held = newcomer(active, Some(Standing::UnlinkedHeld));
        assert_eq!(told(&held, UP), "leave");
        let off = newcomer(object(5, image("alice"), LocalState::Deleted, None), None);
        assert_eq!(told(&off, BOTH), "leave");
    }
}

// The answer to a new entry never came, and its object got another address meanwhile.
#[test]
fn who_was_renamed_gets_no_second_entry() {
    let made = Found {
        uuid: OTHER,
        dn: "uid=alice".to_owned(),
        kind: Some(Kind::Account),
        image: Image::default().with(Field::Address, address("alice@example.test")),
        linked_to: None,
        ours: true,
    };
    let stranger = Found {
        dn: "uid=alison".to_owned(),
        image: Image::default().with(Field::Address, address("alison@example.test")),
        ours: false,
        ..made.clone()
    };
    let newcomer = |found: Vec<Found>, sent: Values, former: Option<EntryUuid>| {
        let local = object(5, image("alison"), LocalState::Active, None);
        let newcomer = Newcomer {
            found,
            sent,
            former,
            ..Newcomer::alone(local)
        };
        match plan_newcomer(&newcomer, &policy(BOTH, LDAP)) {
            Birth::Leave => "leave",
            Birth::Join(_) => "join",
            Birth::SetAside(_) => "aside",
            Birth::Create(_) => "create",
        }
    };
    let sent = || address("alice@example.test");
    let edited = Found {
        image: Image::default().with(Field::Address, address("ali@example.test")),
        ..made.clone()
    };
    let other = |kind, linked_to| Found {
        kind,
        linked_to,
        ..made.clone()
    };
    for (found, sent, former, expected) in [
        (vec![made.clone()], sent(), None, "join"),
        // Whoever has the new address there, the entry is ours; its address waits then.
        (vec![stranger.clone(), made.clone()], sent(), None, "join"),
        // Never sent, under another name, or edited there since.
        (vec![made.clone()], Values::NONE, None, "create"),
        (
            vec![Found {
                ours: false,
                ..made.clone()
            }],
            sent(),
            None,
            "create",
        ),
        (vec![edited], sent(), None, "create"),
        // Of another home, another kind, or somebody's already.
        (vec![other(None, None)], sent(), None, "create"),
        (vec![other(Some(Kind::Group), None)], sent(), None, "create"),
        (
            vec![other(Some(Kind::Account), Some(id(9)))],
            sent(),
            None,
            "create",
        ),
        // It had an entry before: that needs more than a name.
        (vec![made], sent(), Some(OTHER), "create"),
    ] {
        let told = format!("{found:?} {sent} {former:?}");
        assert_eq!(newcomer(found, sent, former), expected, "{told}");
    }
}

#[test]
fn the_halves_of_a_plan() {
    let local = named("Bo");
    let remote = named("Al").with(Field::Quota, Values::number(5));
    let situation = linked(here(remote.clone()), named("Al"), local, LocalState::Active);
    let Decision::Act(plan) = plan(&situation, &policy(BOTH, LDAP)) else {
        panic!("set aside")
    };
    assert_eq!(plan.intent(), Some(IntentKind::Change));
    let meanwhile = plan.meanwhile(situation.link.as_ref()).base.expect("a base");
    assert_eq!(
        meanwhile.get(Field::DisplayName),
        &Values::text("Al"),
        "not acknowledged"
    );
    assert_eq!(meanwhile.get(Field::Quota), &Values::number(5), "done here");
    let settled = plan.settled().base.expect("a base");
    assert_eq!(settled.get(Field::DisplayName), &Values::text("Bo"));
    assert_eq!(
        plan.expected(&remote),
        remote.with(Field::DisplayName, Values::text("Bo")).digest()
    );
}

#[test]
fn each_side_has_its_dangers() {
    let off = named("Al").with(Field::Enabled, Values::switch(false));
    let mut situation = linked(here(named("Al")), named("Al"), off, LocalState::Active);
    let both = policy(BOTH, LDAP);
    let act = |situation: &Situation| match plan(situation, &both) {
        Decision::Act(plan) => plan,
        Decision::SetAside(reason) => panic!("{reason}"),
    };
    let plan = act(&situation);
    assert_eq!((plan.weight(Side::Local), plan.weight(Side::Remote)), (0, 1));
    assert_eq!(plan.intent(), Some(IntentKind::Disable));
    let base = situation.link.as_ref().map(|link| link.base.clone());
    assert_eq!(
        plan.without(&[Side::Local], situation.link.as_ref()),
        plan,
        "nothing endangers this side"
    );
    let held = plan.without(&[Side::Remote], situation.link.as_ref());
    assert!(held.remote.is_empty());
    assert_eq!(held.base, base, "planned again next time");
    assert_eq!(
        plan.dangerous_lines(&[Side::Remote]),
        ["alice@example.test directory: ~ enabled: TRUE -> FALSE"]
    );
    // What goes back on both sides is held together, or the side that is left would look like an editor.
    let aliases = |text: &str| named("Al").with(Field::Address, address(text));
    situation.local = Some(object(
        1,
        aliases("one@example.test"),
        LocalState::Active,
        Some(UUID),
    ));
    situation.remote = here(aliases("two@example.test"));
    let reverting = match super::plan(&situation, &policy(BOTH, STAY)) {
        Decision::Act(plan) => plan,
        Decision::SetAside(reason) => panic!("{reason}"),
    };
    assert_eq!((reverting.ops.len(), reverting.remote.len()), (1, 1));
    let held = reverting.without(&[Side::Remote], situation.link.as_ref());
    assert!(held.is_quiet(), "{held:?}");
    assert!(held.marks.refused.is_empty());
}

/// However many had to be held: what the guard holds is not turned into its opposite at the next look.
#[test]
fn what_is_held_stays_what_it_was() {
    let (base, edited) = (named("Al"), named("Alice"));
    // Deleted there and edited here; deleted here and edited there.
    let gone = linked(Remote::Gone, base.clone(), edited.clone(), LocalState::Active);
    let removed = deleted(base, edited, Removal::ByPerson, Standing::Linked);
    for (situation, policy, side) in [
        (gone, policy(BOTH, LDAP), Side::Local),
        (removed, policy(BOTH, LOCAL), Side::Remote),
    ] {
        let Decision::Act(whole) = plan(&situation, &policy) else {
            panic!("acts")
        };
        assert_eq!((whole.weight(side), whole.discarded.len()), (1, 1));
        let part = whole.without(&[side], situation.link.as_ref());
        assert!(part.is_quiet(), "nothing is lost yet: {part:?}");
        assert_eq!(part.settled().standing, Standing::Linked);
        let after = apply(&situation, &part);
        assert_eq!(plan(&after, &policy), Decision::Act(whole));
    }
}

/// To empty a list takes as many out of it as to leave one.
#[test]
fn each_member_that_goes_counts() {
    let members = |count: u8| {
        let of = |number| {
            let address = model::Address::parse(&format!("m{number}@example.test")).expect("parses");
            (EntryUuid::from_bytes([number; 16]), address)
        };
        let members: Vec<_> = (0..count).map(of).collect();
        Values::members(members.iter().map(|(uuid, address)| (*uuid, address)))
    };
    for (left, cause) in [(0, Cause::Cleared), (1, Cause::Changed)] {
        let mut plan = Plan::nothing(UUID, String::new(), None);
        let (field, was, values) = (Field::Members, members(40), members(left));
        plan.ops.push(Op::Set {
            field,
            was: was.clone(),
            values: values.clone(),
            cause,
        });
        plan.remote.push(RemoteOp::Set {
            field,
            was,
            values,
            cause,
        });
        let lost = 40 - u64::from(left);
        assert_eq!(
            (plan.weight(Side::Local), plan.weight(Side::Remote)),
            (lost, lost)
        );
    }
}

/// Carries a plan out on both sides.
fn apply(situation: &Situation, plan: &Plan) -> Situation {
    let mut next = super::tests::apply(situation, plan);
    let settled = plan.settled();
    for op in &plan.remote {
        match op {
            RemoteOp::Create { kind, image } => {
                next.remote = Remote::Here(RemoteObject {
                    kind: *kind,
                    image: image.clone(),
                    members: Members::Shown,
                    password: RemotePassword::default(),
                    switch: Switch::Said,
                    until: None,
                    home: None,
                });
            }
            RemoteOp::Set { field, values, .. } => {
                if let Remote::Here(remote) = &mut next.remote {
                    remote.image.set(*field, values.clone());
                }
            }
            RemoteOp::Delete => next.remote = Remote::Gone,
            RemoteOp::Rename { .. } | RemoteOp::Move { .. } | RemoteOp::Host { .. } => {}
        }
    }
    next.link = settled.base.map(|base| Link {
        base,
        standing: settled.standing,
        marks: settled.marks,
        ..situation.link.clone().unwrap_or_else(link)
    });
    next.link = next
        .link
        .filter(|_| situation.link.is_some() || next.local.is_some());
    next
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let direction = prop_oneof![Just(Direction::LdapToLocal), Just(UP), Just(BOTH)];
    let resolution = prop_oneof![Just(LOCAL), Just(LDAP), Just(STAY)];
    (direction, resolution, any::<[bool; 4]>()).prop_map(|(direction, resolution, [a, b, c, d])| Policy {
        scope: if a {
            ConflictScope::Entry
        } else {
            ConflictScope::Attribute
        },
        absent: if b { Absent::Clear } else { Absent::Keep },
        deletions: if c { Deletions::Follow } else { Deletions::Ignore },
        arrivals: if d { Arrivals::Hold } else { Arrivals::StartEmpty },
        ..policy(direction, resolution)
    })
}

fn any_situation() -> impl Strategy<Value = Situation> {
    let standing = prop_oneof![
        3 => Just(Standing::Linked),
        1 => Just(Standing::Gone),
        1 => Just(Standing::OutOfScope),
        1 => Just(Standing::MovedAway),
        1 => Just(Standing::UnlinkedHeld),
    ];
    (super::tests::any_situation(), standing, any::<bool>()).prop_map(|(mut situation, standing, person)| {
        if let Some(link) = situation.link.as_mut() {
            link.standing = standing;
        }
        situation.removal = if person {
            Removal::ByPerson
        } else {
            Removal::BySync
        };
        situation
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn carrying_out_twice_changes_nothing(situation in any_situation(), policy in any_policy()) {
        if let Decision::Act(first) = plan(&situation, &policy) {
            let after = apply(&situation, &first);
            match plan(&after, &policy) {
                Decision::Act(second) => prop_assert!(second.is_quiet(), "{first:?}\nthen {second:?}"),
                Decision::SetAside(reason) => prop_assert!(false, "{}", reason),
            }
        }
    }

    #[test]
    fn a_source_is_never_written(situation in any_situation(), policy in any_policy()) {
        if let Decision::Act(done) = plan(&situation, &policy) {
            match policy.direction {
                Direction::LdapToLocal => prop_assert!(done.remote.is_empty()),
                // Whose home an entry has is no attribute: it is obeyed in every direction. A link is none either.
                Direction::LocalToLdap => {
                    let placed = |op: &Op| {
                        matches!(op, Op::MoveAway { .. } | Op::Revive | Op::Await { .. } | Op::Link { .. })
                    };
                    prop_assert!(done.ops.iter().all(placed), "{:?}", done.ops);
                }
                Direction::BothWays => {}
            }
        }
    }

    #[test]
    fn nothing_in_the_directory_goes_unless_a_person_removed_it_here(
        situation in any_situation(), policy in any_policy()
    ) {
        if let Decision::Act(done) = plan(&situation, &policy)
            && done.remote.contains(&RemoteOp::Delete)
        {
            prop_assert_eq!(situation.removal, Removal::ByPerson);
            prop_assert!(situation.link.is_some());
            let here = matches!(situation.remote, Remote::Here(_));
            prop_assert!(here);
        }
    }

    #[test]
    fn what_was_never_linked_is_only_linked(situation in any_situation(), policy in any_policy()) {
        if let (Decision::Act(done), None) = (plan(&situation, &policy), &situation.link) {
            let made = |op: &Op| matches!(op, Op::Create { .. });
            let joins = done.ops.iter().any(|op| matches!(op, Op::Link { .. }));
            prop_assert!(joins || (done.ops.iter().all(made) && done.remote.is_empty()));
        }
    }

    #[test]
    fn held_dangers_leave_none(situation in any_situation(), policy in any_policy()) {
        if let Decision::Act(done) = plan(&situation, &policy) {
            let link = situation.link.as_ref();
            for side in [Side::Local, Side::Remote] {
                let part = done.without(&[side], link);
                prop_assert_eq!(part.weight(side), 0);
                prop_assert!(part.dangerous_lines(&[side]).is_empty());
            }
        }
    }

    #[test]
    fn an_end_that_is_held_leaves_the_link_as_it_stood(situation in any_situation(), policy in any_policy()) {
        let ends = |done: &Plan| {
            let here = done.ops.iter().any(|op| matches!(op, Op::Remove { .. } | Op::MoveAway { .. }));
            here || done.remote.contains(&RemoteOp::Delete)
        };
        if let (Decision::Act(done), Some(link)) = (plan(&situation, &policy), &situation.link)
            && ends(&done)
        {
            let part = done.harmless(Some(link));
            prop_assert_eq!(part.standing, link.standing);
            prop_assert_eq!(part.base.as_ref(), Some(&link.base));
            prop_assert!(part.discarded.is_empty());
            prop_assert!(part.ops.is_empty() && part.remote.is_empty(), "{:?}", part);
        }
    }
}

#[test]
fn an_entry_that_says_a_former_name_of_this_server() {
    let says = |name: &str| {
        let Remote::Here(mut remote) = here(image("alice")) else {
            unreachable!("made just now")
        };
        remote.home = Some(Home {
            shown: name.to_ascii_lowercase(),
            written: name.to_owned(),
            becomes: (name != "new.test").then(|| "new.test".to_owned()),
        });
        linked(
            Remote::Here(remote),
            image("alice"),
            image("alice"),
            LocalState::Active,
        )
    };
    let host = "~ host: A.test -> new.test (this server's name now)";
    let ask =
        "the entry still says A.test, the former name of this server; set it to new.test in the directory";
    for (name, direction, expected) in [
        ("new.test", BOTH, String::new()),
        ("A.test", BOTH, format!("dir {host}")),
        ("A.test", UP, format!("dir {host}")),
        ("A.test", Direction::LdapToLocal, format!("waits {ask}")),
    ] {
        assert_eq!(
            told(&says(name), &policy(direction, STAY)),
            expected,
            "{name} {direction:?}"
        );
    }
    let Decision::Act(whole) = plan(&says("A.test"), &policy(BOTH, STAY)) else {
        panic!("it is in order")
    };
    assert_eq!(
        (whole.weight(Side::Remote), whole.intent()),
        (1, Some(IntentKind::Change))
    );
    // Until the directory has acknowledged, and where the guard holds it, the entry says what it said.
    let link = linked(
        here(image("alice")),
        image("alice"),
        image("alice"),
        LocalState::Active,
    )
    .link;
    assert_eq!(whole.meanwhile(link.as_ref()).home.as_deref(), Some("a.test"));
    assert_eq!(whole.settled().home.as_deref(), Some("new.test"));
    let part = whole.without(&[Side::Remote], None);
    assert!(part.remote.is_empty() && part.home.as_deref() == Some("a.test"));
    // An entry of another home, or of none, has said something else: the former name is not ours any more.
    for remote in [super::tests::elsewhere("c.test"), Remote::NoHome] {
        let situation = linked(remote, image("alice"), image("alice"), LocalState::Active);
        let Decision::Act(plan) = plan(&situation, &policy(BOTH, STAY)) else {
            panic!("it is in order")
        };
        assert_eq!(plan.home.as_deref(), Some(""));
    }
}
