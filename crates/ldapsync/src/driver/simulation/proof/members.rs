//! Lists whose members cannot be found at the moment when they are written: nobody is taken out of them for that.

use super::run::{end_of, lists_after};
use super::steps::{Here, Hidden, Schedule, Shape, Step, Terms, There, plain_round};
use crate::broken::{Broken, set};

const LISTEN: Step = Step::Listen { on: 0, crash: None };

/// What the list has in the directory at the end, which is what it has here.
fn members(steps: &[Step], list: &str) -> String {
    let schedule = Schedule::told(Shape::BothWays, steps);
    let end = match end_of(&schedule) {
        Ok(end) => end,
        Err(violation) => panic!("{violation}\n{schedule}"),
    };
    let line = end
        .iter()
        .find(|line| line.starts_with(&format!("there {list}@")));
    let line = line.unwrap_or_else(|| panic!("{list} is not there:\n{}", end.join("\n")));
    let (_, members) = line.rsplit_once('[').expect("a list");
    let members = members
        .trim_end_matches(']')
        .split(", ")
        .map(|dn| dn.trim_matches('"'));
    // What stands in for members where there were none is nobody.
    let people = members.filter_map(|dn| dn.strip_suffix(",ou=people,dc=test"));
    people.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_new_list_keeps_a_member_that_cannot_be_read() {
    let steps = [
        Step::There(0, There::New),
        plain_round(0),
        Step::Hide(Hidden::Accounts),
        Step::Here(1, Here::NewGroup),
        LISTEN,
        Step::Later(5),
        LISTEN,
    ];
    assert_eq!(members(&steps, "team3"), "uid=p0");
    set(Some(Broken::MembersLeftOut));
    let left_out = members(&steps, "team3");
    set(None);
    assert_ne!(left_out, "uid=p0", "the story shows nothing");
}

#[test]
fn a_list_keeps_who_is_added_while_they_cannot_be_read() {
    let mut steps = vec![
        Step::There(0, There::New),
        Step::There(0, There::New),
        Step::There(0, There::NewGroup),
        plain_round(0),
        Step::Hide(Hidden::Accounts),
    ];
    // The number of the edit says who is added.
    steps.extend([Step::Later(1); 4]);
    steps.extend([Step::Here(0, Here::Members), LISTEN, Step::Later(5), LISTEN]);
    let want = "uid=anchor uid=p0";
    assert_eq!(members(&steps, "g2"), want);
    set(Some(Broken::MembersLeftOut));
    let left_out = members(&steps, "g2");
    set(None);
    assert_ne!(left_out, want, "the story shows nothing");
}

#[test]
fn a_list_has_who_was_made_just_now_and_is_not_at_the_replica_yet() {
    let steps = [
        Step::There(0, There::New),
        plain_round(0),
        Step::Apart(0),
        Step::Here(0, Here::New),
        Step::Here(2, Here::NewGroup),
        LISTEN,
        Step::Later(5),
        LISTEN,
        Step::CatchUp,
    ];
    assert_eq!(members(&steps, "team4"), "uid=here3");
}

// An account is deleted here while its entry is out of scope: nobody deletes the entry, and no list keeps it.
#[test]
fn who_is_deleted_here_leaves_the_lists_there() {
    let terms = Terms {
        resolution: "local-wins",
        scope: "entry",
        absent: "keep",
        guard: 1_000_000,
    };
    let steps = [
        (0, Step::There(0, There::New)),
        (1, Step::Here(0, Here::New)),
        (2, Step::There(0, There::New)),
        (3, Step::There(0, There::NewGroup)),
        (4, plain_round(0)),
        (24, Step::There(1, There::Delete)),
        (28, Step::There(0, There::Address)),
        (29, plain_round(0)),
        (15, Step::Apart(2)),
        (16, Step::Here(5, Here::NewGroup)),
        (20, Step::Here(3, Here::NewGroup)),
        (21, plain_round(0)),
        (13, Step::There(1, There::Scope)),
        (14, Step::Here(6, Here::Delete)),
    ];
    let schedule = Schedule::told_as(Shape::ToLdap, terms, &steps);
    let end = match end_of(&schedule) {
        Ok(end) => end.join("\n"),
        Err(violation) => panic!("{violation}\n{schedule}"),
    };
    let lists: Vec<&str> = end
        .lines()
        .filter(|line| line.starts_with("there team"))
        .collect();
    assert_eq!(lists.len(), 2, "{end}");
    assert!(lists.iter().all(|list| !list.contains("here1")), "{end}");
    assert!(end.contains("there here1@example.test"), "{end}");
}

// Somebody is put into a list here that had nobody, who moved to another home and is gone there. Nothing is written, so no
// message says that the list is to be looked at again.
#[test]
fn who_is_gone_stays_in_no_list_that_nothing_was_written_to() {
    let mut steps = vec![Step::There(1, There::NewGroup)];
    steps.extend([Step::There(2, There::New), Step::There(2, There::New)]);
    steps.extend([plain_round(0), plain_round(1)]);
    // The fifth number says the second server, and the tenth the first account.
    steps.push(Step::There(2, There::Host));
    steps.extend([plain_round(0), plain_round(1)]);
    steps.extend([Step::There(2, There::Delete), Step::Later(1)]);
    // The guard is no part of the story.
    let told = |steps: &[Step]| {
        let mut schedule = Schedule::told(Shape::Clustered, steps);
        schedule.terms.guard = 1_000_000;
        schedule
    };
    assert_eq!(lists_after(&told(&steps)), ["g0@example.test: "]);
    steps.push(Step::Here(0, Here::Members));
    assert_eq!(lists_after(&told(&steps)), ["g0@example.test: p1@example.test"]);
    steps.push(plain_round(0));
    let schedule = told(&steps);
    assert_eq!(lists_after(&schedule), ["g0@example.test: "]);
    if let Err(violation) = end_of(&schedule) {
        panic!("{violation}\n{schedule}");
    }
}
