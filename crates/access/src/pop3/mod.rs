//! The POP3 server over the store.
//!
//! Owns the session (`session.rs`), what is known so far (`state.rs`), the maildrop as it was at login
//! (`maildrop.rs`), one file a command with the table of where each is legal (`commands/`), and the replies
//! (`reply.rs`, the only file that turns an error into one).
//!
//! Never removes a message before QUIT: a session that breaks off changes nothing (RFC 1939 section 6).
//!
//! Follows RFC 1939, RFC 2449 (CAPA), RFC 2595 section 4 (STLS), RFC 3206 (response codes), RFC 5034 (AUTH).

mod commands;
mod config;
mod maildrop;
mod reply;
mod service;
mod session;
mod state;
#[cfg(test)]
mod tests;

pub use config::Pop3Config;
pub use service::{Pop3Parts, Pop3Service};
pub use session::serve;
