//! The front end: one routing plane for every protocol. Any number of identical ones may run.
//!
//! Owns the IMAP, POP3, ManageSieve and submission proxies (authenticate, resolve, connect, replay the login,
//! relay), and the SMTP and LMTP proxies that route mail per recipient. A session has one failure kind
//! ([`Failure`]) with one fixed text per protocol.
//!
//! Never sees the store, never owns a message (250 only once a back end has it), and never answers a wrong
//! password for anything but a wrong password.
//!
//! Follows RFC 3501, RFC 1939, RFC 5321, RFC 2033, RFC 3207 section 4.2, RFC 3206, RFC 5530.

pub mod assertion;
mod config;
mod dial;
mod durable;
mod edge;
mod edge_sasl;
mod exchange;
mod failure;
mod farewell;
mod guesses;
mod health;
mod home_key;
mod home_line;
pub mod http;
pub mod imap;
mod local;
mod login;
pub mod managesieve;
mod orders;
pub mod pop3;
mod relaying;
pub mod smtp;
pub mod submission;
mod watch;

pub use config::{
    AuthenticateAt, HomeProtocol, ImapProxyConfig, LmtpProxyConfig, LoginProxyConfig, ManageSieveProxyConfig,
    MultiHome, Pop3ProxyConfig, SmtpProxyConfig, SubmissionProxyConfig,
};
pub use dial::Dialer;
pub use failure::{Failure, Rejection};
pub use health::{HomeState, HomeStatus};
pub use local::{LocalHome, LocalServer};
pub use login::ProxyContext;
