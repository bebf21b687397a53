//! The POP3 proxy: everything up to the login here, everything after it at the home.
//!
//! Owns the AUTHORIZATION state (greeting, CAPA, STLS, USER, PASS, AUTH, QUIT), the login at the home, and the
//! fixed texts of failures. After the login it never writes into the stream.
//!
//! Follows RFC 1939 section 4, RFC 2449 (CAPA), RFC 2595 section 4 (STLS), RFC 3206 (response codes),
//! RFC 5034 (AUTH).

mod home;
mod reply;
mod session;

pub(crate) use home::log_in;
pub use session::{Pop3Proxy, serve};
