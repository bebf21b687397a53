//! Reading mail: the IMAP and POP3 servers over the store.
//!
//! Owns their sessions, states, commands and replies. Who may log in is a [`model::Authenticator`]'s decision;
//! what a mailbox holds is `store`'s.
//!
//! Never writes a reply while a store lock is held, and never touches mail on disk itself.

mod channel;
mod delay;
pub mod imap;
pub mod pop3;
mod registered;

pub use imap::{ImapConfig, ImapService};
pub use pop3::{Pop3Config, Pop3Parts, Pop3Service};
