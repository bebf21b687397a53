//! The proxies from outside: real sockets on loopback, homes that follow a script.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // A test fails by panicking.

mod cyrus;
mod dovecot;
mod foreign;
mod imap;
mod managesieve;
mod mutated;
mod pop3;
mod sessions;
mod smtp;
mod smtp_faults;
mod submission;
mod support;
