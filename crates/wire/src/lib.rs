//! The mail protocols as values: bytes in, values out, and back again, both sides of each.
//!
//! Owns the commands, replies and data of SMTP, LMTP, IMAP, POP3 and ManageSieve, and the SASL exchanges that they carry.
//! Servers (`mta`, `access`) and the proxies (`frontend`) use the same types.
//!
//! Knows no socket, no clock and no account. Every decoder is total: it never panics, and what it keeps is
//! bounded by its input or by a stated limit.

pub mod dot;
pub mod imap;
pub mod managesieve;
pub mod pop3;
pub mod sasl;
pub mod smtp;
pub mod transport;
