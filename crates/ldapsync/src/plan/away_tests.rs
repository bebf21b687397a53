//! Plans for entries that are another home's, or nobody's.

use super::both_tests::{BOTH, LDAP, LOCAL, STAY, UP, named, policy, told};
use super::tests::{address, elsewhere, here, linked};
use super::*;

use directory::config::{ConflictScope, Direction};

const DOWN: Direction = Direction::LdapToLocal;

fn away(image: Image) -> Remote {
    Remote::Elsewhere {
        host: "b".to_owned(),
        image,
    }
}

fn moved() -> LocalState {
    LocalState::MovedAway { to: "b".into() }
}

/// The situation after a plan: its base is committed, and it is carried out here.
fn after(mut situation: Situation, policy: &Policy) -> Situation {
    let Decision::Act(plan) = plan(&situation, policy) else {
        panic!("a plan");
    };
    if let (Some(link), Some(base)) = (&mut situation.link, plan.base) {
        link.base = base;
        link.standing = plan.standing;
    }
    if let Some(local) = &mut situation.local {
        for op in plan.ops {
            match op {
                Op::MoveAway { to } => local.state = LocalState::MovedAway { to },
                Op::Set { field, values, .. } => local.image.set(field, values),
                other => panic!("{other}"),
            }
        }
    }
    situation
}

#[test]
fn entries_that_are_not_ours_are_not_written() {
    for (remote, up, both) in [
        (
            Remote::NoHome,
            "waits the entry's host is not this server, so it is not written",
            "- remove: the entry has no host",
        ),
        (
            Remote::OutOfScope,
            "waits the entry is out of the connector's scope and is not written",
            "- remove: the entry is out of scope",
        ),
        // The edit is nobody's to write; whoever lives at the other home does not have it.
        (
            elsewhere("b"),
            "- moved to b | lost display_name by moved-away",
            "- moved to b | lost display_name by moved-away",
        ),
    ] {
        let situation = linked(remote, named("Al"), named("Bo"), LocalState::Active);
        assert_eq!(told(&situation, &policy(UP, LDAP)), up);
        assert_eq!(told(&situation, &policy(BOTH, LDAP)), both);
        let Decision::Act(plan) = plan(&situation, &policy(BOTH, LDAP)) else {
            panic!("a plan");
        };
        assert_eq!(plan.remote, [], "not written");
    }
    // A to B to A: the mail is here still.
    let home = linked(here(named("Al")), named("Al"), named("Al"), moved());
    assert_eq!(told(&home, &policy(UP, LDAP)), "+ revive");
    assert_eq!(told(&home, &policy(BOTH, STAY)), "+ revive");
}

// What was changed here and came to nobody stands in the journal: once, in every direction, whether the change or the
// move was first.
#[test]
fn edits_at_the_former_home_are_in_the_journal() {
    let lost = "lost display_name by moved-away";
    for direction in [DOWN, UP, BOTH] {
        for resolution in [LOCAL, LDAP, STAY] {
            for scope in [ConflictScope::Attribute, ConflictScope::Entry] {
                let mut policy = policy(direction, resolution);
                policy.scope = scope;
                let told = |situation: &Situation| told(situation, &policy);
                let before = linked(away(named("Al")), named("Al"), named("Bo"), LocalState::Active);
                assert_eq!(told(&before), format!("- moved to b | {lost}"));
                assert_eq!(told(&after(before, &policy)), "", "once");
                let later = linked(away(named("Al")), named("Al"), named("Al"), LocalState::Active);
                let mut later = after(later, &policy);
                if let Some(local) = &mut later.local {
                    local.image = named("Cy");
                }
                assert_eq!(told(&later), lost);
                assert_eq!(told(&after(later, &policy)), "", "once");
            }
        }
    }
}

#[test]
fn what_the_new_home_has_is_not_lost() {
    let policy = policy(BOTH, LDAP);
    // The write took place, and its answer never came.
    let written = linked(away(named("Bo")), named("Al"), named("Bo"), LocalState::Active);
    assert_eq!(told(&written, &policy), "- moved to b");
    // What was common, and was changed there since.
    let changed = linked(away(named("Bo")), named("Al"), named("Al"), LocalState::Active);
    assert_eq!(told(&changed, &policy), "- moved to b");
}

// It comes back: what stands in the journal is not written over what was changed there meanwhile, or was not.
#[test]
fn an_edit_that_was_lost_by_a_move_stays_lost() {
    for there in ["Al", "Cy"] {
        let policy = policy(BOTH, LOCAL);
        let left = linked(away(named("Al")), named("Al"), named("Bo"), LocalState::Active);
        let mut back = after(left, &policy);
        back.remote = here(named(there));
        let expected = format!("+ revive | ~ display_name: Bo -> {there}");
        assert_eq!(told(&back, &policy), expected);
    }
}

// Addresses follow the entry after the move, and an edit of them is journalled with the move.
#[test]
fn addresses_that_were_edited_here_give_way() {
    let policy = policy(BOTH, LDAP);
    let own = |alias: &str| named("Al").with(Field::Aliases, address(&format!("{alias}@example.test")));
    let left = linked(away(own("theirs")), own("old"), own("mine"), LocalState::Active);
    assert_eq!(told(&left, &policy), "- moved to b | lost aliases by moved-away");
    let left = after(left, &policy);
    let yields = "~ aliases: mine@example.test -> theirs@example.test";
    assert_eq!(told(&left, &policy), yields);
    assert_eq!(told(&after(left, &policy), &policy), "");
    let clear = linked(away(named("Al")), own("old"), own("old"), moved());
    let gone = "~ aliases: old@example.test -> -";
    assert_eq!(told(&clear, &policy), gone);
}
