//! A TCP relay that can go silent, as a firewall does that has forgotten a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Relays to one server. While it is silent it takes everything and passes nothing on, and closes nothing.
pub(crate) struct Proxy {
    address: SocketAddr,
    silent: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (silent, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (silenced, count) = (Arc::clone(&silent), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                let (client_read, client_write) = client.into_split();
                let (server_read, server_write) = server.into_split();
                tokio::spawn(pump(client_read, server_write, Arc::clone(&silenced)));
                tokio::spawn(pump(server_read, client_write, Arc::clone(&silenced)));
            }
        });
        Self {
            address,
            silent,
            connections,
        }
    }

    pub(crate) fn uri(&self) -> String {
        format!("ldap://{}", self.address)
    }

    pub(crate) fn go_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    pub(crate) fn speak(&self) {
        self.silent.store(false, Ordering::SeqCst);
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    silent: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    // What came while it was silent is lost, so the connection can never be used again.
    let mut lost = false;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        lost |= silent.load(Ordering::SeqCst);
        if !lost && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    if lost {
        std::future::pending::<()>().await;
    }
}
