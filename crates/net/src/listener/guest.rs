//! A client that is counted like anybody, until its certificate says that it speaks for many.

use super::admission::Counted;
use crate::{Connection, ListenerConfig};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;

/// What is counted against the address of one connection, shared by its place and by its handshake.
#[derive(Debug)]
pub(crate) struct Guest {
    config: Arc<ListenerConfig>,
    client: SocketAddr,
    counted: Arc<Mutex<Counted>>,
}

impl Guest {
    pub(super) fn new(config: Arc<ListenerConfig>, client: SocketAddr, counted: Arc<Mutex<Counted>>) -> Self {
        Self {
            config,
            client,
            counted,
        }
    }

    /// The handshake is done, and the client's certificate is not believed. One of a front end that is to be trusted is a
    /// fault in the set-up, which nothing else shows: all works, and all its clients count as one.
    pub(crate) fn is_doubted(&self, connection: &Connection, why: &rustls::Error) {
        let client = self.client;
        if connection.shows_certificate_of(&self.config.trusted_certificates) {
            let names = self.config.trusted_certificates.join(" ");
            tracing::warn!(%client, %why, names, "a certificate with a name of trusted_certificates is not believed");
        } else {
            tracing::debug!(%client, %why, "a client's certificate is of no use here, and passed over");
        }
    }

    /// The handshake is done: who holds a certificate that is trusted is no longer counted as one client.
    pub(crate) fn is_known(&self, connection: &Connection) {
        if self.config.trusts_holder(connection) {
            self.counted.lock().forget();
        }
    }
}
