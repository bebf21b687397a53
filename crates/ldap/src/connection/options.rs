//! How to connect, and the limits of a connection.

use crate::LdapUri;
use net::{ClientTls, Resolver};
use std::time::Duration;

/// Whether an `ldap://` or `ldapi://` connection turns to TLS before anything else is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartTls {
    /// It stays in clear text.
    #[default]
    Off,
    /// It turns to TLS or fails. There is no "if the server can": an attacker would answer that it cannot.
    Require,
}

/// How to connect, and the limits of the connection.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The server.
    pub uri: LdapUri,
    /// StartTLS for `ldap://`; `ldaps://` is TLS from the first byte whatever this says.
    pub starttls: StartTls,
    /// Whom to trust; needed for `ldaps://` and StartTLS.
    pub tls: Option<ClientTls>,
    /// Finds the host's addresses.
    pub resolver: Resolver,
    /// For the whole way to a connection that can be used: DNS, TCP, StartTLS, TLS.
    pub connect_timeout: Duration,
    /// For one operation, from the call to its answer; for a search between two results.
    pub operation_timeout: Duration,
    /// A connection that received nothing for so long is asked for a sign of life.
    pub keep_alive: Duration,
    /// The largest message that is read; the connection closes on a larger one.
    pub max_message: usize,
    /// The largest search result entry, when that is another limit than that of messages. A larger one is not kept:
    /// its search finds [`SearchItem::Oversized`](crate::SearchItem::Oversized), and goes on.
    pub max_entry: Option<usize>,
    /// How many operations may wait for their answers at once; more wait for their turn. OpenLDAP closes an
    /// anonymous connection with more than 100 requests in its queue (`conn_max_pending`).
    pub max_pending: u32,
    /// How many results of one search may wait to be taken.
    pub search_items: usize,
    /// How many bytes the results of one search may take while they wait.
    pub search_bytes: usize,
    /// How long the slow consumer of one search may hold up the other operations.
    pub stall_timeout: Duration,
}

impl ConnectOptions {
    /// The defaults for this server.
    #[must_use]
    pub fn new(uri: LdapUri) -> Self {
        Self {
            uri,
            starttls: StartTls::Off,
            tls: None,
            resolver: Resolver::system(),
            connect_timeout: Duration::from_secs(4),
            operation_timeout: Duration::from_secs(4),
            keep_alive: Duration::from_secs(60),
            max_message: 16 * 1024 * 1024,
            max_entry: None,
            max_pending: 64,
            search_items: 1024,
            search_bytes: 8 * 1024 * 1024,
            stall_timeout: Duration::from_secs(1),
        }
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConnectOptions({}, {:?})", self.uri, self.starttls)
    }
}
