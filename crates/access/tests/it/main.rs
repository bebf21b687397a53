//! The servers of this crate, spoken to by real clients over loopback.

#![cfg(test)]

mod imap_clients;
mod imap_dovecot;
mod server;
