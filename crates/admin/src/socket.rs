//! The Unix socket: who may speak to the API, and HTTP over it.

use crate::Admin;
use axum::Router;
use axum::extract::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use net::Shutdown;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// More callers at once than any administrator has; the rest wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// A caller that does not finish its request's header within this time is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// `sun_path` of a Unix socket holds this much, with its NUL.
const MAX_PATH: usize = 107;

/// Who is calling, as the kernel says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
}

impl Caller {
    /// The name for the journal and the audit log.
    pub(crate) fn name(self) -> String {
        format!("uid:{}", self.uid)
    }

    /// The privilege `sync.unlink`: only root and the user that the server runs as ever have it, whatever other ways
    /// to the API there come to be.
    pub(crate) fn may_unlink(self) -> bool {
        may_administer(self.uid)
    }
}

/// The bound admin socket. The file is removed when this is dropped, unless a successor has put its own in its place.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it is.
    inode: Option<(u64, u64)>,
}

impl AdminSocket {
    /// Binds the socket, mode 0600. A file left by a process that was killed is replaced; one that a living
    /// process answers on is an error.
    pub async fn bind(path: &Path) -> io::Result<Self> {
        check_length(path)?;
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another server answers on this socket",
            ));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode: inode(path),
        })
    }

    /// Binds the socket in the place of one that another process still answers on: whoever calls from now on speaks to
    /// us. For a process that runs beside the one that it replaces.
    pub fn take_over(path: &Path) -> io::Result<Self> {
        let draft = path.with_extension(format!("{}", std::process::id()));
        check_length(&draft)?;
        let listener = UnixListener::bind(&draft)?;
        std::fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
        std::fs::rename(&draft, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode: inode(path),
        })
    }

    /// Serves until stopping is asked for.
    pub async fn run(self, admin: Arc<Admin>, shutdown: Shutdown) {
        let router = crate::routes::router(admin);
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // A full house does not keep the server from stopping.
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit,
                () = shutdown.requested() => return,
            };
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.requested() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let router = router.clone();
                    tokio::spawn(async move {
                        serve(stream, router).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of descriptors: the next one may be accepted when another is closed.
                    tracing::warn!(%error, "admin socket: cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if inode(&self.path) == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn check_length(path: &Path) -> io::Result<()> {
    if path.as_os_str().len() > MAX_PATH {
        let message = format!("the path has more than {MAX_PATH} bytes; set [admin] socket to a shorter one");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Root and the user that the server runs as may administer it; the file's mode says the same.
fn may_administer(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

async fn serve(stream: UnixStream, router: Router) {
    let caller = match stream.peer_cred() {
        Ok(credentials) if may_administer(credentials.uid()) => Caller {
            uid: credentials.uid(),
        },
        Ok(credentials) => {
            tracing::warn!(uid = credentials.uid(), "admin socket: refused");
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "admin socket: who calls is not known");
            return;
        }
    };
    let service = TowerToHyperService::new(router.layer(Extension(caller)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "admin socket: connection ended");
    }
}
