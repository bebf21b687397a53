//! Every administrative operation, once: HTTP and JSON over a Unix socket.
//!
//! Owns the operations on domains, accounts, groups, synchronisation, routes and services that the command line
//! and every later surface use, the socket they come through, and the check of who calls.
//!
//! Never guesses what an administrator meant: a request that does not fit is an error that says what would.
//! Works without a store (a front end holds no accounts) and says so. Every list is read in bounded pages.
//!
//! Follows RFC 9110 (HTTP semantics) and RFC 8259 (JSON).

mod error;
mod reload;
mod routes;
mod services;
mod socket;

pub use error::ApiError;
pub use reload::{Changed, NeedsRestart, ReloadRefused, ReloadRequest, ReloadRequests, Reloaded};
pub use routes::{Admin, Current, Logins};
pub use services::{Service, Session};
pub use socket::AdminSocket;
