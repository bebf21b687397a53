//! The receiving server for SMTP and LMTP.
//!
//! Owns the session: `session.rs` reads, dispatches and writes and is the only file that touches the stream
//! but for `data.rs`, which reads one message; `state.rs` says what is known so far; `commands/` has one file
//! a command and the table of where each is legal; `reply.rs` is the only file that turns an error into a reply.
//!
//! Never relays: a recipient whose domain is not hosted here is refused.
//!
//! Follows RFC 5321, RFC 2033, RFC 3207 and Postfix's XCLIENT and XFORWARD.

mod commands;
mod data;
mod reply;
mod session;
mod state;
#[cfg(test)]
mod tests;

pub use session::serve;
