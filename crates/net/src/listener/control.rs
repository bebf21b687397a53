//! A listener that is changed or ended while its sessions go on.

use super::BindError;
use crate::{ListenerConfig, ServerTls, TlsMode};
use arc_swap::ArcSwap;
use model::Protocol;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a listener takes for its next connection.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Arc<ListenerConfig>,
    pub(super) tls: Option<ServerTls>,
}

impl Settings {
    pub(super) fn new(
        config: ListenerConfig,
        protocol: Protocol,
        tls: Option<ServerTls>,
    ) -> Result<Self, BindError> {
        let address = config.address;
        let tls = match (config.tls_mode(tls.as_ref()), tls) {
            (TlsMode::None, _) => None,
            (_, Some(tls)) => Some(tls),
            (_, None) => return Err(BindError::NoCertificate { address, protocol }),
        };
        Ok(Self {
            config: Arc::new(config),
            tls,
        })
    }
}

/// Changes a running listener. A session keeps what it began with.
#[derive(Debug, Clone)]
pub struct ListenerControl {
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) retired: CancellationToken,
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
}

impl ListenerControl {
    /// The next connections follow these settings; the address stays what was bound.
    pub fn change(&self, config: ListenerConfig, tls: Option<ServerTls>) -> Result<(), BindError> {
        let settings = Settings::new(config, self.protocol, tls)?;
        self.settings.store(Arc::new(settings));
        Ok(())
    }

    /// Closes the socket. The sessions go on until they end by themselves or the server stops.
    pub fn retire(&self) {
        self.retired.cancel();
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}
