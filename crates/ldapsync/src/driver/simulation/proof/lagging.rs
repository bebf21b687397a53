//! A feed is lost, and look-ups go to a server that has not got so far.

use super::run::end_of;
use super::steps::{Here, Schedule, Shape, Step, Terms, There, plain_round};

const TERMS: Terms = Terms {
    resolution: "ldap-wins",
    scope: "attribute",
    absent: "clear",
    guard: 1_000_000,
};

fn holds(shape: Shape, steps: &[(u16, Step)]) {
    if let Err(violation) = end_of(&Schedule::told_as(shape, TERMS, steps)) {
        panic!("{violation}");
    }
}

const fn listen(on: u8) -> Step {
    Step::Listen { on, crash: None }
}

// Its last messages were received and not read yet. A new entry is in no link, so that everything linked is there proves
// nothing of it (seed 28056).
#[test]
fn what_the_feed_told_last_is_not_forgotten_with_it() {
    let steps = [
        (4, plain_round(1)),
        (5, plain_round(0)),
        (10, Step::There(0, There::NewGroup)),
        (11, Step::There(0, There::Members)),
        (16, Step::Apart(2)),
        (22, listen(0)),
        (27, plain_round(0)),
        (28, Step::Restart(0)),
    ];
    holds(Shape::Clustered, &steps);
}

// Nor that somebody leaves the scope: no version of theirs is known that tells (seed 30139).
#[test]
fn who_left_the_scope_last_is_not_taken_for_there() {
    let steps = [
        (2, Step::There(1, There::New)),
        (3, Step::Here(0, Here::New)),
        (6, plain_round(1)),
        (7, plain_round(0)),
        (12, Step::There(2, There::Scope)),
        (13, Step::There(7, There::Scope)),
        (16, Step::Apart(2)),
        (18, listen(0)),
        (21, plain_round(0)),
        (22, Step::Restart(0)),
    ];
    holds(Shape::Twins, &steps);
}

// Two swap their names here, which the server that lists are read from has not heard of: it shows the former name of a
// member, which is the other one's by now, and the list's version says nothing (seed 37146).
#[test]
fn a_former_name_in_a_list_is_nobody_elses() {
    let steps = [
        (1, Step::There(0, There::New)),
        (2, Step::There(0, There::New)),
        (4, Step::There(0, There::NewGroup)),
        (5, plain_round(0)),
        (6, plain_round(1)),
        (13, Step::Apart(0)),
        (17, plain_round(0)),
        (18, Step::Here(0, Here::Swap)),
        (10, listen(0)),
    ];
    holds(Shape::Clustered, &steps);
}
