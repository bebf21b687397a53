//! The HTTP reverse proxy: who sends a request is found out here, and each account's requests go to its home.
//!
//! Owns the login page and its cookie, HTTP Basic and bearer tokens at the edge, the credential for the home (an
//! assertion, or the password once more), connections to homes, bodies and WebSockets on their way, and every limit
//! on them, and the word to the other front ends about who has logged out. A request is read once and written anew, so that a home cannot read it as two.
//!
//! Never looks into a body, never decides what an account may see, and keeps nothing that another front end with the
//! same keys would miss.
//!
//! Follows RFC 9110, RFC 9112, RFC 9113, RFC 6265, RFC 6455, RFC 6750, RFC 6797, RFC 7239, RFC 7617, RFC 8441.

mod body;
mod config;
mod connection;
mod cookie;
mod credentials;
mod form;
mod forward;
mod forwarded;
mod headers;
mod keys;
mod logins;
mod logouts;
mod neighbours;
mod page;
mod pool;
mod reply;
mod request;
mod service;
mod trail;
mod websocket;

pub use config::HttpProxyConfig;
pub use connection::serve;
pub use keys::{SessionKeyError, SessionKeys};
pub use service::{HttpFiles, HttpProxy, HttpProxyError};
