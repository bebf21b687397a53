//! Many schedules, and what to do with one that fails.

use super::check::Violation;
use super::run::{end_of, run};
use super::steps::{Here, Schedule, Shape, Step, There, plain_round};
use crate::driver::LinkOrder;
use std::fmt::Write as _;

/// Schedules of the ordinary test run, over all parts.
const SEEDS: u64 = 20_000;
/// Parts, so that the runner has them side by side.
const PARTS: u64 = 32;

/// Takes steps away as long as the same invariant fails.
pub(super) fn shrink(schedule: &Schedule, violation: Violation) -> (Schedule, Violation) {
    let (mut least, mut why) = (schedule.clone(), violation);
    let mut size = least.steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < least.steps.len() {
            let mut fewer = least.clone();
            fewer.steps.drain(at..(at + size).min(fewer.steps.len()));
            match run(&fewer) {
                Err(same) if same.invariant == why.invariant => (least, why) = (fewer, same),
                _ => at += size,
            }
        }
        size /= 2;
    }
    (least, why)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn part(number: u64) {
    let (seeds, start) = (
        setting("HOMING_SIMULATE_SEEDS", SEEDS),
        setting("HOMING_SIMULATE_START", 0),
    );
    let mut held = 0u64;
    let mut failures = String::new();
    let most = setting("HOMING_SIMULATE_FAILURES", 1);
    let mut failed = 0;
    let range = start..start.saturating_add(seeds);
    for seed in range.filter(|seed| seed % PARTS == number) {
        let schedule = Schedule::of(seed);
        match run(&schedule) {
            Ok(()) => held += 1,
            Err(violation) => {
                let (least, why) = shrink(&schedule, violation);
                writeln!(failures, "{why}\n{least}").expect("writes");
                failed += 1;
                if failed >= most {
                    break;
                }
            }
        }
    }
    println!("schedules held: {held}");
    assert!(failures.is_empty(), "\n{failures}");
}

macro_rules! parts {
    ($($name:ident: $number:literal,)*) => {
        $(
            #[test]
            fn $name() {
                part($number);
            }
        )*

        #[test]
        fn every_part_is_run() {
            let numbers = [$($number,)*];
            assert!(numbers.into_iter().eq(0..PARTS), "{numbers:?}");
        }
    };
}

parts! {
    schedules_hold_00: 0,
    schedules_hold_01: 1,
    schedules_hold_02: 2,
    schedules_hold_03: 3,
    schedules_hold_04: 4,
    schedules_hold_05: 5,
    schedules_hold_06: 6,
    schedules_hold_07: 7,
    schedules_hold_08: 8,
    schedules_hold_09: 9,
    schedules_hold_10: 10,
    schedules_hold_11: 11,
    schedules_hold_12: 12,
    schedules_hold_13: 13,
    schedules_hold_14: 14,
    schedules_hold_15: 15,
    schedules_hold_16: 16,
    schedules_hold_17: 17,
    schedules_hold_18: 18,
    schedules_hold_19: 19,
    schedules_hold_20: 20,
    schedules_hold_21: 21,
    schedules_hold_22: 22,
    schedules_hold_23: 23,
    schedules_hold_24: 24,
    schedules_hold_25: 25,
    schedules_hold_26: 26,
    schedules_hold_27: 27,
    schedules_hold_28: 28,
    schedules_hold_29: 29,
    schedules_hold_30: 30,
    schedules_hold_31: 31,
}

// 6, 7, 12: links that an administrator changes while the directory loses people, and gets them back from a backup.
#[test]
fn a_restored_entry_is_never_deleted() {
    let link = |order| Step::Link { on: 0, who: 0, order };
    let (lost, back) = (
        [Step::There(1, There::Delete), plain_round(0)],
        [
            link(LinkOrder::Unlink),
            Step::There(1, There::Restore),
            link(LinkOrder::Relink),
            plain_round(0),
        ],
    );
    let homeless = [
        Step::There(1, There::Scope),
        plain_round(0),
        link(LinkOrder::Unlink),
        link(LinkOrder::Relink),
        plain_round(0),
        Step::There(1, There::Scope),
        plain_round(0),
    ];
    let revived = [
        link(LinkOrder::Unlink),
        Step::Here(0, Here::Undelete),
        link(LinkOrder::Relink),
    ];
    let released = [
        Step::There(1, There::Scope),
        plain_round(0),
        link(LinkOrder::Unlink),
        link(LinkOrder::Release),
        Step::There(1, There::Scope),
        plain_round(1),
    ];
    let list_back = [
        Step::There(0, There::NewGroup),
        plain_round(0),
        plain_round(1),
        // A list: it is every fifth one's turn.
        Step::There(0, There::Delete),
        plain_round(0),
        Step::There(0, There::Restore),
    ];
    for (shape, steps) in [
        (Shape::BothWays, [&lost[..], &back].concat()),
        (Shape::BothWays, homeless.to_vec()),
        (Shape::BothWays, [&lost[..], &revived, &back].concat()),
        (Shape::ToLocal, [&lost[..], &back].concat()),
        // Of a list that comes back one connector makes a new object, and the other one joins it.
        (Shape::Ring, list_back.to_vec()),
        // What one connector removed is nobody's deletion to the other one, whatever becomes of the first one's link.
        (Shape::Ring, released.to_vec()),
    ] {
        let mut all = vec![Step::There(1, There::New)];
        all.extend((0..shape.sites()).map(plain_round));
        all.extend(steps);
        let schedule = Schedule::told(shape, &all);
        if let Err(violation) = run(&schedule) {
            panic!("{violation}\n{schedule}");
        }
    }
}

// 1, 2: what is edited at a home while the directory moves the account away.
#[test]
fn a_move_loses_no_edit_and_no_member() {
    let rounds = || (0..2).map(plain_round);
    let mut edits = vec![Step::There(0, There::New)];
    edits.extend(rounds());
    edits.extend([
        Step::Here(0, Here::Name),
        Step::Here(0, Here::Alias),
        // The fifth number says the second server.
        Step::There(1, There::Host),
        Step::Here(0, Here::Address),
    ]);
    let mut members = vec![Step::There(1, There::New), Step::Here(0, Here::New)];
    members.extend(rounds());
    members.extend([
        // Of both homes: of the one that it leaves, and of the one where it waits for its mail.
        Step::There(2, There::Host),
        Step::Here(1, Here::NewGroup),
        plain_round(0),
        Step::Here(2, Here::NewGroup),
    ]);
    // Somebody puts a member into a list, a new one or another, who moved away and is gone there by now.
    let mut made = vec![Step::There(2, There::New), Step::There(2, There::New)];
    made.extend(rounds());
    // The fifth number says the second server.
    made.extend([Step::Later(1), Step::There(2, There::Host)]);
    made.extend(rounds());
    made.extend([Step::There(2, There::Delete), Step::Here(0, Here::NewGroup)]);
    made.extend(rounds());
    let mut changed = vec![Step::There(2, There::New), Step::There(2, There::New)];
    changed.push(Step::There(1, There::NewGroup));
    changed.extend(rounds());
    changed.push(Step::There(2, There::Host));
    changed.extend(rounds());
    // The tenth one puts the first account in.
    changed.extend([Step::There(2, There::Delete), Step::Later(1)]);
    changed.push(Step::Here(0, Here::Members));
    changed.extend(rounds());
    for steps in [edits, members, made, changed] {
        let schedule = Schedule::told(Shape::Clustered, &steps);
        if let Err(violation) = run(&schedule) {
            panic!("{violation}\n{schedule}");
        }
    }
}

// 9: the same events in another order, or twice, lead to the same end.
#[test]
fn the_order_of_events_does_not_matter() {
    for seed in 1..=setting("HOMING_SIMULATE_SEEDS", SEEDS) / 50 {
        let mut schedule = Schedule::of(seed);
        // Two connectors see each other's writes in the order in which they come to look.
        if schedule.shape.sites() > 1 {
            continue;
        }
        schedule
            .steps
            .retain(|numbered| matches!(numbered.step, Step::There(..) | Step::Round { .. }));
        let ends: Vec<Result<Vec<String>, String>> = [false, true]
            .into_iter()
            .map(|other| {
                for numbered in &mut schedule.steps {
                    if let Step::Round { faults, crash, .. } = &mut numbered.step {
                        *crash = None;
                        faults.shuffle = other;
                        faults.duplicate = other;
                        faults.lose_one = false;
                        faults.fail_after = None;
                    }
                }
                end_of(&schedule).map_err(|violation| violation.to_string())
            })
            .collect();
        assert_eq!(ends[0], ends[1], "Order does not hold:\n{schedule}");
    }
}
