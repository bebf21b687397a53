//! The home that is this very process: a connection in memory to its own servers.

use model::{Peer, Protocol};
use net::{Accepted, Connection, ListenerConfig, Network, Shutdown};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Takes a session of a server in this process, and drives it in a task of its own.
pub type LocalServer = Arc<dyn Fn(Accepted) + Send + Sync>;

/// The servers of this process, by what they speak. `homing` fills it once they are built.
#[derive(Clone, Default)]
pub struct LocalHome {
    name: Arc<str>,
    servers: Arc<RwLock<HashMap<Protocol, LocalServer>>>,
}

impl LocalHome {
    /// The home of this name (the `server_name`), without any servers yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.trim_end_matches('.').to_ascii_lowercase().into(),
            servers: Arc::default(),
        }
    }

    /// Serves this protocol from now on.
    pub fn serve(&self, protocol: Protocol, server: LocalServer) {
        self.servers.write().insert(protocol, server);
    }

    /// Its name, when it serves anything.
    pub(crate) fn name(&self) -> Option<&str> {
        (!self.servers.read().is_empty()).then_some(&*self.name)
    }

    /// Whether this process has this name, whatever it serves.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        *self.name == *name
    }

    /// Whether a home of this name is this process, for this protocol.
    pub(crate) fn is(&self, name: &str, protocol: Protocol) -> bool {
        *self.name == *name && self.servers.read().contains_key(&protocol)
    }

    /// A connection to the server; none when there is none.
    pub(crate) fn connect(&self, protocol: Protocol, peer: &Peer, shutdown: &Shutdown) -> Option<Connection> {
        let server = self.servers.read().get(&protocol).cloned()?;
        let (near, far) = Connection::pair();
        server(Accepted {
            connection: far,
            peer: Peer {
                local: loopback(),
                ..peer.clone()
            },
            connected: loopback(),
            config: Arc::new(settings()),
            tls: None,
            shutdown: shutdown.clone(),
        });
        Some(near)
    }
}

impl std::fmt::Debug for LocalHome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalHome")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A listener that nobody can connect to: what it is told about the client is the front end's own word.
fn settings() -> ListenerConfig {
    let mut config = ListenerConfig::at(loopback());
    config
        .trusted_networks
        .extend("127.0.0.1/32".parse::<Network>().ok());
    config.idle_timeout = 86_400;
    config
}
