//! The servers of this crate, spoken to by real clients over loopback.

mod imap_clients;
mod server;
