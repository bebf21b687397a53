//! A socket before slapd that loses a write, or the answer to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// What happens to writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loses {
    Nothing = 0,
    /// The write never arrives.
    Requests = 1,
    /// The write takes place, and nobody hears of it.
    Answers = 2,
}

pub(super) struct Relay {
    folder: tempfile::TempDir,
    loses: Arc<AtomicU8>,
    lost: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub(super) fn start(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("r")).expect("a socket");
        let (loses, lost) = (Arc::new(AtomicU8::new(0)), Arc::new(Notify::new()));
        let (mode, signal) = (Arc::clone(&loses), Arc::clone(&lost));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("slapd answers");
                tokio::spawn(pass(client, server, Arc::clone(&mode), Arc::clone(&signal)));
            }
        });
        Self {
            folder,
            loses,
            lost,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        let path = self.folder.path().join("r").display().to_string();
        format!("ldapi://{}", path.replace('/', "%2F"))
    }

    pub(super) fn set(&self, loses: Loses) {
        self.loses.store(loses as u8, Ordering::SeqCst);
    }

    /// Until a write was lost, or an answer.
    pub(super) async fn lost(&self) {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(20), self.lost.notified());
        wait.await.expect("a write is sent");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: UnixStream, server: UnixStream, mode: Arc<AtomicU8>, signal: Arc<Notify>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let swallow = Arc::new(AtomicU8::new(0));
    let (deaf, told) = (Arc::clone(&swallow), Arc::clone(&signal));
    let back = tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if deaf.load(Ordering::SeqCst) == 1 {
                told.notify_one();
            } else if to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    });
    let (mut waiting, mut buffer) = (Vec::new(), vec![0; 65536]);
    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
        waiting.extend_from_slice(&buffer[..read]);
        while let Some((length, operation)) = message(&waiting) {
            let one: Vec<u8> = waiting.drain(..length).collect();
            // RFC 4511 section 4.2 and following: modify, add, delete, modify DN.
            if matches!(operation, 0x66 | 0x68 | 0x4a | 0x6c) {
                match mode.load(Ordering::SeqCst) {
                    1 => {
                        signal.notify_one();
                        continue;
                    }
                    2 => swallow.store(1, Ordering::SeqCst),
                    _ => {}
                }
            }
            if to_server.write_all(&one).await.is_err() {
                return;
            }
        }
    }
    back.abort();
}

/// The length of the first LDAPMessage, if it is whole, and the tag of its operation (RFC 4511 section 4.1.1).
fn message(bytes: &[u8]) -> Option<(usize, u8)> {
    let (length, head) = length(bytes.get(1..)?)?;
    let whole = 1 + head + length;
    let body = bytes.get(1 + head..whole)?;
    // The message ID is a short INTEGER.
    let number = usize::from(*body.get(1)?);
    Some((whole, *body.get(2 + number)?))
}

fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((usize::from(first), 1));
    }
    let count = usize::from(first & 0x7f);
    let octets = bytes.get(1..=count)?;
    let length = octets
        .iter()
        .fold(0, |sum, octet| (sum << 8) | usize::from(*octet));
    Some((length, 1 + count))
}
