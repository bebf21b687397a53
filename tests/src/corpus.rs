//! The sample messages of `tests/data/eml`.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The file's name.
    pub name: String,
    /// The message with CRLF line ends, as it goes over the wire.
    pub bytes: Vec<u8>,
}

/// All of them, in the order of their names.
pub fn corpus() -> Result<Vec<Message>> {
    let folder = folder();
    let mut messages = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            messages.push(Message {
                name,
                bytes: to_crlf(&std::fs::read(&path)?),
            });
        }
    }
    messages.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!messages.is_empty(), "{} holds no messages", folder.display());
    Ok(messages)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/eml")
}

fn to_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}
