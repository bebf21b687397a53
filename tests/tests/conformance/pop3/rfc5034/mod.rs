//! RFC 5034, AUTH.

mod s4_auth;
