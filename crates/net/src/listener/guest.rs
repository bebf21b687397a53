//! A client that is counted like anybody, until its certificate says that it speaks for many.

use super::admission::Counted;
use crate::{Connection, ListenerConfig};
use parking_lot::Mutex;
use std::sync::Arc;

/// What is counted against the address of one connection, shared by its place and by its handshake.
#[derive(Debug)]
pub(crate) struct Guest {
    config: Arc<ListenerConfig>,
    counted: Arc<Mutex<Counted>>,
}

impl Guest {
    pub(super) fn new(config: Arc<ListenerConfig>, counted: Arc<Mutex<Counted>>) -> Self {
        Self { config, counted }
    }

    /// The handshake is done: who holds a certificate that is trusted is no longer counted as one client.
    pub(crate) fn is_known(&self, connection: &Connection) {
        if self.config.trusts_holder(connection) {
            self.counted.lock().forget();
        }
    }
}
