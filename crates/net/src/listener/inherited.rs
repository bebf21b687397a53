//! Sockets that another process has bound and handed over: systemd's, which outlive every process of ours.

use parking_lot::Mutex;
use std::net::{SocketAddr, TcpListener};

/// Listening sockets without an owner in this process yet.
#[derive(Debug, Default)]
pub struct Inherited(Mutex<Vec<TcpListener>>);

impl Inherited {
    /// What was handed over.
    #[must_use]
    pub fn new(sockets: Vec<TcpListener>) -> Self {
        Self(Mutex::new(sockets))
    }

    /// The socket that listens here, if one was handed over.
    pub(super) fn take(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.0.lock();
        let here = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| local == address);
        let index = sockets.iter().position(here)?;
        Some(sockets.swap_remove(index))
    }

    /// Whether a socket for this address was handed over and nobody has taken it.
    #[must_use]
    pub fn has(&self, address: SocketAddr) -> bool {
        let sockets = self.0.lock();
        sockets
            .iter()
            .any(|socket| socket.local_addr().is_ok_and(|local| local == address))
    }

    /// Takes those that nothing has asked for: clients would wait at them for nobody.
    pub fn close_the_rest(&self) -> Vec<SocketAddr> {
        let left = std::mem::take(&mut *self.0.lock());
        left.iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }
}
