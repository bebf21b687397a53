//! The submission proxy: a client logs in here, and its whole session then goes to the account's home.
//!
//! Owns the session up to the login (EHLO, STARTTLS, AUTH), the login at the home, the fixed texts of failures, and
//! the guard that stands between the client and its home afterwards (`guard`): what only a front end may say, such
//! as XCLIENT, never comes from a client.
//!
//! Never takes a message: the home judges senders and recipients, and its 250 is the client's.
//!
//! Follows RFC 6409, RFC 4954 (AUTH), RFC 5321, RFC 3207, RFC 2920, RFC 8314 (implicit TLS), and Postfix's and
//! Dovecot's XCLIENT.

mod guard;
mod home;
mod passage;
mod reply;
mod session;

pub(crate) use home::log_in;
pub use session::{SubmissionProxy, serve};
