//! The proxies from outside: real sockets on loopback, homes that follow a script.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // A test fails by panicking.

mod cyrus;
mod dovecot;
mod faults;
mod foreign;
mod guard;
mod home_faults;
mod http;
mod imap;
mod lmtp;
mod managesieve;
mod mutated;
mod pop3;
mod sessions;
mod smtp;
mod smtp_claims;
mod smtp_extensions;
mod smtp_faults;
mod smtp_lmtp_homes;
mod smtp_many;
mod smtp_relay;
mod smtp_servers;
mod submission;
mod support;
mod trusted;
