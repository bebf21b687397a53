//! The system's log, as far as one server can tell: a socket that a server finds as `/dev/log`.

use anyhow::{Context, Result};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Takes lines until it is dropped.
#[derive(Debug)]
pub(crate) struct Syslog {
    path: PathBuf,
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Syslog {
    /// A socket at `path`.
    pub(crate) fn start(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).with_context(|| path.display().to_string())?;
        let text = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut line = vec![0; 64 * 1024];
            // An empty one is the end.
            while let Ok(length @ 1..) = socket.recv(&mut line) {
                let line = String::from_utf8_lossy(line.get(..length).unwrap_or_default()).into_owned();
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(line.trim_end_matches(['\n', '\0']));
                kept.push('\n');
            }
        });
        Ok(Self {
            path: path.to_owned(),
            text,
            reader: Some(reader),
        })
    }

    /// All lines so far.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"", &self.path));
        if let (Ok(_), Some(reader)) = (told, self.reader.take()) {
            // What it has panicked of has been printed.
            let _ = reader.join();
        }
    }
}
