//! The proof: fourteen invariants under thousands of schedules.
//!
//! A schedule is data made from a seed: edits on both sides, processes that die, answers that are lost, servers that
//! lag or hide what they have. Time is virtual. A schedule that fails is cut down to the steps that it takes to fail,
//! and printed with its seed. `HOMING_SIMULATE_SEEDS` and `HOMING_SIMULATE_START` set the range.

mod caught;
mod check;
mod clock;
mod engines;
mod homes;
mod lagging;
mod members;
mod run;
mod runs;
mod server;
mod standing;
mod steps;
mod unanswered;
mod wires;
mod world;
