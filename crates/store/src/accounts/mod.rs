//! Directory operations: domains, accounts, groups, and what an address leads to.
//!
//! Every change, whoever asks (admin, ldapsync, a user), goes through here, with its journal row in the same
//! batch. Addresses are unique through an index with preconditions. Never reads or writes mail, and never
//! talks to a directory server.

mod account;
mod arrivals;
mod changes;
mod domain;
mod group;
mod journal;
mod named;
mod resolve;
mod rows;
mod staged;
mod types;

pub use arrivals::{Arrival, Names};
pub(crate) use named::build as build_index;
pub use staged::StagedAccounts;
pub use types::{
    Account, AccountChange, AccountState, DomainInfo, Expansion, Group, GroupChange, JournalEntry, LocalId,
    Member, NewAccount, NewGroup, Origin, Recipient, Touched,
};
