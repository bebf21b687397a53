//! A TCP relay that can go silent, as a firewall does that has forgotten a connection, or lose answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Relays to one server. While it is silent it takes everything and passes nothing on, and closes nothing.
pub(crate) struct Proxy {
    address: SocketAddr,
    silent: Arc<AtomicBool>,
    deaf: Arc<AtomicBool>,
    no_commits: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (silent, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (silenced, count) = (Arc::clone(&silent), Arc::clone(&connections));
        let deaf = Arc::new(AtomicBool::new(false));
        let no_commits = Arc::new(AtomicBool::new(false));
        let (no_answers, commits) = (Arc::clone(&deaf), Arc::clone(&no_commits));
        let (open, most) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(usize::MAX)),
        );
        let refused = Arc::new(AtomicUsize::new(0));
        let (now_open, bound, turned_away) = (Arc::clone(&open), Arc::clone(&most), Arc::clone(&refused));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if now_open.load(Ordering::SeqCst) >= bound.load(Ordering::SeqCst) {
                    turned_away.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                let (client_read, client_write) = client.into_split();
                let (server_read, server_write) = server.into_split();
                let way = Way {
                    silent: Arc::clone(&silenced),
                    deaf: Arc::clone(&no_answers),
                    no_commits: Arc::clone(&commits),
                    _open: Arc::new(Open::one_more(&now_open)),
                };
                tokio::spawn(pump(client_read, server_write, way.clone(), Direction::Requests));
                tokio::spawn(pump(server_read, client_write, way, Direction::Answers));
            }
        });
        Self {
            address,
            silent,
            deaf,
            no_commits,
            connections,
            open,
            most,
            refused,
        }
    }

    pub(crate) fn uri(&self) -> String {
        format!("ldap://{}", self.address)
    }

    pub(crate) fn go_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Requests arrive; with the first answer to one the connection ends and the answer is lost.
    pub(crate) fn lose_answers(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// The same from the end of the next transaction on.
    pub(crate) fn lose_commits(&self) {
        self.no_commits.store(true, Ordering::SeqCst);
    }

    pub(crate) fn speak(&self) {
        self.silent.store(false, Ordering::SeqCst);
    }

    /// From now on no connection is taken while so many are open.
    pub(crate) fn take_at_most(&self, connections: usize) {
        self.most.store(connections, Ordering::SeqCst);
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Connections that were not taken.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The OID in a request that ends a transaction.
const END_TRANSACTION: &[u8] = ldap::extended::END_TRANSACTION.as_bytes();

/// What happens on the way.
#[derive(Clone)]
struct Way {
    silent: Arc<AtomicBool>,
    deaf: Arc<AtomicBool>,
    no_commits: Arc<AtomicBool>,
    _open: Arc<Open>,
}

/// Counts a connection for as long as one of its ways is open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn one_more(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Requests,
    Answers,
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    way: Way,
    direction: Direction,
) {
    let mut buffer = vec![0; 16 * 1024];
    // What came while it was silent is lost, so the connection can never be used again.
    let mut lost = false;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        match direction {
            Direction::Requests => {
                let commit = || {
                    bytes
                        .windows(END_TRANSACTION.len())
                        .any(|part| part == END_TRANSACTION)
                };
                if way.no_commits.load(Ordering::SeqCst) && commit() {
                    way.deaf.store(true, Ordering::SeqCst);
                }
            }
            Direction::Answers if way.deaf.load(Ordering::SeqCst) => return,
            Direction::Answers => {}
        }
        lost |= way.silent.load(Ordering::SeqCst);
        if !lost && to.write_all(bytes).await.is_err() {
            return;
        }
    }
    if lost {
        std::future::pending::<()>().await;
    }
}
