//! The store: domains, accounts, groups, associations, mailboxes, messages, sync state and the journal.
//!
//! The only crate that touches mail on disk. It speaks no mail protocol and has no timers of its own:
//! [`Store::maintain`] is called by a driver. Every call that changes something returns when the change is
//! durable (flags: when the kernel has it), and nothing is visible to anybody before that.
//!
//! One file a concern: `engine` (key spaces), `commit` (the queue and its thread), `accounts` (directory
//! operations), `sync` (what `ldapsync` keeps), `mail` (mailboxes and messages), `structure` (ENVELOPE and
//! BODYSTRUCTURE), `auth` (local passwords).
//!
//! Follows RFC 9051 and RFC 3501 (mailboxes), RFC 4315 (UIDPLUS), RFC 6851 (MOVE), RFC 7162 (MODSEQ),
//! RFC 6154 (special uses), RFC 5322 and RFC 2045 (structure).

mod accounts;
mod auth;
mod codec;
mod commit;
mod config;
mod engine;
mod error;
mod keys;
mod mail;
mod maintain;
mod node;
mod open;
pub mod structure;
mod sync;

pub use accounts::{
    Account, AccountChange, AccountState, Arrival, DomainInfo, Expansion, Group, GroupChange, JournalEntry,
    LocalId, Member, Names, NewAccount, NewGroup, Origin, Recipient, StagedAccounts, Touched,
};
pub use auth::LocalAuthenticator;
pub use commit::{CommitStats, DiskState};
pub use config::{EngineKind, StoreConfig};
pub use error::StoreError;
pub use mail::{
    Appended, Changes, Copied, Delivered, Delivery, Entry, FlagChange, Inherited, Lookup, Mail, Mailbox,
    MailboxId, MailboxInfo, Message, RepeatKey, Snapshot, StoreOutcome, Usage,
};
pub use maintain::Maintenance;
pub use node::Node;
pub use open::{LostCommits, Store};
pub use sync::{
    Association, Conflict, ConflictId, ConnectorState, Elsewhere, FieldValues, Intent, IntentKind,
    JournalPage, LinkData, LinkRead, LinkState, LinkSums, Loser, MemberRef, NewAssociation, Parent, Phase,
    Precondition, QuarantineEntry, RemovedBy, STATE_UNTIL, Shown, SyncChange, Tombstone,
};
