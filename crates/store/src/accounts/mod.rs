//! Directory operations: domains, accounts, groups, and what an address leads to.
//!
//! Every change, whoever asks (admin, ldapsync, a user), goes through here, with its journal row in the same
//! batch. Addresses are unique through an index with preconditions. Never reads or writes mail, and never
//! talks to a directory server.

mod account;
mod changes;
mod domain;
mod group;
mod journal;
mod resolve;
mod rows;
mod types;

pub use types::{
    Account, AccountChange, AccountState, DomainInfo, Expansion, Group, GroupChange, JournalEntry, LocalId,
    Member, NewAccount, NewGroup, Origin, Recipient, Touched,
};
