//! Lists whose members cannot be found at the moment when they are written: nobody is taken out of them for that.

use super::run::end_of;
use super::steps::{Here, Hidden, Schedule, Shape, Step, There, plain_round};
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
