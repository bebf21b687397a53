//! The IMAP proxy: everything up to the login here, everything after it at the home.
//!
//! Owns the pre-login session (greeting, CAPABILITY, ID, NOOP, LOGOUT, STARTTLS, LOGIN, AUTHENTICATE), the
//! login at the home, and the fixed texts of failures. After the login it never writes into the stream.
//!
//! Follows RFC 3501 (and RFC 9051 where they agree) sections 6.1 and 6.2, RFC 2971 (ID), RFC 4959 (SASL-IR),
//! RFC 7888 (LITERAL+), RFC 5530 (response codes).

mod home;
mod reply;
mod session;

pub(crate) use home::{Orders, log_in};
pub use session::{ImapProxy, serve};
