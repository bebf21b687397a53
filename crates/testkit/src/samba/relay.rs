//! A port of 127.0.0.1 whose connections come out in another network name space.

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Relays until it is dropped; then nobody answers on its port, and its connections are cut.
#[derive(Debug)]
pub(super) struct Relay {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name_space: File,
    target: u16,
    stopping: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// From `port` here to `target` on the loopback address of the name space.
    pub(super) fn start(port: u16, name_space: &File, target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot listen on port {port}"))?;
        let shared = Arc::new(Shared {
            name_space: name_space.try_clone()?,
            target,
            stopping: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let mine = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming() {
                if mine.stopping.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(client) = client else { continue };
                let shared = Arc::clone(&mine);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Ok(Self {
            port,
            shared,
            accepting: Some(accepting),
        })
    }
}

impl Shared {
    /// One connection. The client sees a server that cannot be reached as one that hangs up.
    fn serve(&self, client: TcpStream) {
        // Only this thread moves, and it ends with the connection.
        if move_into_link_name_space(self.name_space.as_fd(), Some(LinkNameSpaceType::Network)).is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)) else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let Ok(mut kept) = [&client, &server]
            .into_iter()
            .map(TcpStream::try_clone)
            .collect::<Result<Vec<_>, _>>()
        else {
            return;
        };
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut kept);
        if self.stopping.load(Ordering::SeqCst) {
            return;
        }
        std::thread::scope(|scope| {
            scope.spawn(|| copy(&client, &server));
            copy(&server, &client);
        });
    }
}

/// Bytes one way until their end, which is passed on.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the one who accepts; it sees that it is to stop.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        let open = std::mem::take(&mut *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner));
        for stream in open {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
