//! Broken engines are caught: a proof that finds nothing in them would prove nothing.

use super::super::fake::Faults;
use super::check::Invariant;
use super::run::run;
use super::steps::{Here, Schedule, Shape, Step, There, plain_round};
use crate::broken::{Broken, set};
use crate::engine::Wake;

/// Schedules that a defect may hide from.
const PATIENCE: u64 = 3_000;

/// The first schedule that a defect fails breaks one of these.
fn is_caught(broken: Broken, by: &[Invariant]) {
    is_caught_in((1..=PATIENCE).map(Schedule::of), broken, by);
}

fn is_caught_in(schedules: impl Iterator<Item = Schedule>, broken: Broken, by: &[Invariant]) {
    for schedule in schedules {
        set(Some(broken));
        let found = run(&schedule);
        set(None);
        let Err(violation) = found else { continue };
        if by.contains(&violation.invariant) && run(&schedule).is_ok() {
            println!("{broken:?} is caught by seed {}: {violation}", schedule.seed);
            return;
        }
    }
    panic!("{broken:?} was not caught");
}

/// A story instead of chance, where chance would need long.
fn story(shape: Shape, steps: &[Step]) -> impl Iterator<Item = Schedule> {
    std::iter::once(Schedule::told(shape, steps))
}

const ANY: &[Invariant] = &[
    Invariant::Association,
    Invariant::NoLostUpdate,
    Invariant::Convergence,
    Invariant::Isolation,
    Invariant::Guard,
];

#[test]
fn an_echo_taken_for_an_edit() {
    let listen = Step::Listen { on: 0, crash: None };
    // The second edit is there before the echo of the first is read: the two look like a conflict.
    let steps = [
        Step::Here(0, Here::New),
        plain_round(0),
        Step::Here(0, Here::Name),
        listen,
        Step::Here(0, Here::Name),
        listen,
        plain_round(0),
    ];
    is_caught_in(story(Shape::BothWays, &steps), Broken::Echo, ANY);
}

#[test]
fn a_cookie_committed_early() {
    is_caught(
        Broken::CookieEarly,
        &[Invariant::Convergence, Invariant::NoLostUpdate],
    );
}

// Somebody who was dismissed, and a list that is no more: both would go on taking mail.
#[test]
fn a_deletion_forgotten() {
    for (new, who) in [(There::New, 2), (There::NewGroup, 0)] {
        let steps = [
            Step::There(2, There::New),
            Step::There(who, new),
            plain_round(0),
            Step::There(who, There::Delete),
            plain_round(0),
        ];
        for shape in [Shape::ToLocal, Shape::BothWays, Shape::Clustered] {
            is_caught_in(
                story(shape, &steps),
                Broken::DeletionsForgotten,
                &[Invariant::Convergence],
            );
        }
    }
}

// Whom a message wrongly names as gone is looked up, and the server that is asked has just taken another one's place.
#[test]
fn another_server_believed_in_the_middle_of_a_round() {
    let lies = Step::Round {
        on: 0,
        wake: Wake::Now,
        crash: None,
        faults: Faults {
            false_deletes: true,
            ..Faults::default()
        },
    };
    // The numbers of the steps say who is named.
    let stories = (0..20).map(|later| {
        let mut steps = vec![Step::Later(1); later];
        steps.extend([
            Step::There(2, There::New),
            plain_round(0),
            Step::There(2, There::New),
            plain_round(0),
            // It is asked how far it is, the feed is read, and the next look is another one's.
            Step::FailOverIn { looks: 2, behind: 0 },
            lies,
        ]);
        Schedule::told(Shape::ToLocal, &steps)
    });
    is_caught_in(stories, Broken::AnotherServerBelieved, &[Invariant::Guard]);
}

#[test]
fn no_guard() {
    let mut steps = vec![Step::There(1, There::New); 9];
    steps.push(plain_round(0));
    steps.extend([Step::There(1, There::Delete); 8]);
    steps.push(plain_round(0));
    is_caught_in(
        story(Shape::ToLocal, &steps),
        Broken::NoGuard,
        &[Invariant::Guard],
    );
}

#[test]
fn an_entry_known_by_its_name() {
    let steps = [
        Step::There(1, There::New),
        plain_round(0),
        Step::There(1, There::Again),
        plain_round(0),
    ];
    let chance = (1..=PATIENCE).map(Schedule::of);
    is_caught_in(story(Shape::ToLocal, &steps).chain(chance), Broken::ByDn, ANY);
}

#[test]
fn a_move_taken_for_a_deletion() {
    is_caught(Broken::MoveIsDelete, &[Invariant::Guard, Invariant::Moves]);
}

#[test]
fn a_former_name_forgotten() {
    let steps = [
        Step::There(0, There::New),
        plain_round(0),
        Step::Rename(0),
        plain_round(0),
    ];
    is_caught_in(
        story(Shape::Clustered, &steps),
        Broken::FormerForgotten,
        &[Invariant::Moves],
    );
}

#[test]
fn a_former_name_that_another_server_has() {
    let steps = [
        Step::There(0, There::New),
        plain_round(0),
        Step::Rename(0),
        plain_round(0),
        plain_round(0),
        // The fifth number says the first name.
        Step::There(1, There::Host),
        plain_round(0),
    ];
    is_caught_in(
        story(Shape::Clustered, &steps),
        Broken::FormerForEver,
        &[Invariant::Moves],
    );
}

#[test]
fn a_lagging_replica_believed() {
    is_caught(Broken::LagBelieved, &[Invariant::Guard, Invariant::NoLostUpdate]);
}

#[test]
fn a_replica_that_shows_too_little_believed() {
    // Few schedules show it; the first is not far from here.
    let schedules = (650..650 + PATIENCE).map(Schedule::of);
    is_caught_in(
        schedules,
        Broken::NoProof,
        &[Invariant::Guard, Invariant::NoLostUpdate],
    );
}

#[test]
fn a_server_without_our_own_last_write_believed() {
    let listen = Step::Listen { on: 0, crash: None };
    // The feed's server shows the name before the first edit: that looks like an edit of somebody else.
    let steps = [
        Step::Here(0, Here::New),
        plain_round(0),
        Step::Apart(0),
        plain_round(0),
        Step::Here(0, Here::Name),
        listen,
        Step::Here(0, Here::Name),
        listen,
    ];
    is_caught_in(
        story(Shape::BothWays, &steps),
        Broken::LagOfWritesBelieved,
        &[Invariant::NoLostUpdate],
    );
}
