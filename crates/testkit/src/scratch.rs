//! Folders and ports that nobody else uses.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

/// A temporary folder, removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// A new folder below the system's temporary one. The name is short, for a Unix socket's path holds 107 bytes.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("hm")
            .tempdir()
            .context("cannot make a temporary folder")?;
        // Servers that drop their rights (Dovecot, Postfix) must be able to pass through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { folder })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder in the folder.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file in the folder.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// Where ports are taken from: below the range from which the kernel takes them for outgoing connections, or a
/// client could hold the port of a server that is about to start.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port of the loopback address that is free, and that no other test takes while this process lives.
///
/// The reservation is the name of an abstract socket: it leaves no file and ends with the process.
pub fn free_port() -> Result<u16> {
    let count = u32::from(PORTS.end - PORTS.start);
    // Processes that start together begin at different places.
    let first = std::process::id().wrapping_mul(101);
    for step in 0..count {
        let offset = u16::try_from(first.wrapping_add(step) % count)?;
        let port = PORTS.start + offset;
        let name = SocketAddr::from_abstract_name(format!("homing-test-port-{port}"))?;
        let Ok(reservation) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            // Never dropped, so that a server may be stopped and started again on its port.
            std::mem::forget(reservation);
            return Ok(port);
        }
    }
    anyhow::bail!("no port of {PORTS:?} is free on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() -> Result<()> {
        let ports: Vec<u16> = (0..50).map(|_| free_port()).collect::<Result<_>>()?;
        let mut distinct = ports.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), ports.len());
        assert!(ports.iter().all(|port| PORTS.contains(port)));
        Ok(())
    }
}
