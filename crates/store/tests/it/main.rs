//! The store from outside: against a simple model, across reopening, and across kill -9.

// Helpers of tests, outside of any `#[test]` function, may fail loudly too.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod accounts;
mod arrivals;
mod auth;
mod crash;
mod crash_files;
mod inherit;
mod mailboxes;
mod model;
mod support;
mod views;
