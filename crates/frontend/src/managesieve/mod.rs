//! The ManageSieve proxy: everything up to the login here, everything after it at the home.
//!
//! Owns the session before the login (greeting, CAPABILITY, STARTTLS, AUTHENTICATE, NOOP, LOGOUT), the login at the
//! home, and the fixed texts of failures. After the login it never writes into the stream: the home itself answers
//! what it can do, and holds the scripts.
//!
//! Follows RFC 5804, and Dovecot's XCLIENT.

mod assemble;
mod home;
mod reply;
mod session;

pub(crate) use assemble::{Assembled, assemble};
pub(crate) use home::log_in;
pub use session::{ManageSieveProxy, serve};
