//! A message between the client's data and the homes: in memory up to a limit, then in an unlinked file.

use bytes::Bytes;
use net::Share;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// How much of the file is read at once.
const CHUNK: usize = 128 * 1024;

/// A message that is being received.
#[derive(Debug)]
pub(super) struct MessageWriter {
    memory: Vec<u8>,
    limit: usize,
    dir: PathBuf,
    file: Option<Arc<File>>,
    in_file: u64,
    eight_bit: bool,
    share: Share,
}

/// A message that is complete. It can be read by several legs at once.
#[derive(Debug)]
pub(super) struct Message {
    memory: Bytes,
    file: Option<Arc<File>>,
    in_file: u64,
    eight_bit: bool,
    /// Its part of the space for messages, until the last leg has let go of it.
    _share: Share,
}

impl MessageWriter {
    /// An empty message that keeps `limit` octets in memory and the rest in a file in `dir`. `share` is its part
    /// of the space for all messages, wherever they are kept.
    pub(super) fn new(limit: usize, dir: &Path, share: Share) -> Self {
        Self {
            memory: Vec::new(),
            limit,
            dir: dir.to_owned(),
            file: None,
            in_file: 0,
            eight_bit: false,
            share,
        }
    }

    /// Octets so far.
    pub(super) fn len(&self) -> u64 {
        self.memory.len() as u64 + self.in_file
    }

    /// Adds a piece, and takes it out of `piece`.
    pub(super) async fn push(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        if !self.share.grow_to(self.len() + piece.len() as u64) {
            return Err(io::Error::other("all of max_buffered is in use"));
        }
        self.eight_bit |= !piece.is_ascii();
        let mut bytes = std::mem::take(piece);
        if self.file.is_none() {
            // The header must be found in memory, whatever the size of the first piece.
            let room = self.limit.saturating_sub(self.memory.len()).min(bytes.len());
            let rest = bytes.split_off(room);
            self.memory.append(&mut bytes);
            bytes = rest;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        let (file, dir, at) = (self.file.clone(), self.dir.clone(), self.in_file);
        let written = spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(unlinked(&dir)?),
            };
            file.write_all_at(&bytes, at)?;
            io::Result::Ok(file)
        });
        self.file = Some(written.await.map_err(io::Error::other)??);
        self.in_file += length;
        Ok(())
    }

    /// The message is whole.
    pub(super) fn finish(self) -> Message {
        Message {
            memory: self.memory.into(),
            file: self.file,
            in_file: self.in_file,
            eight_bit: self.eight_bit,
            _share: self.share,
        }
    }
}

impl Message {
    /// A message of our own.
    pub(super) fn small(text: String, share: Share) -> Self {
        Self {
            eight_bit: !text.is_ascii(),
            memory: text.into(),
            file: None,
            in_file: 0,
            _share: share,
        }
    }

    /// Whether an octet has its high bit set.
    pub(super) fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Octets in all.
    pub(super) fn len(&self) -> u64 {
        self.memory.len() as u64 + self.in_file
    }

    /// The beginning, which is in memory: all of the header of any sane message.
    pub(super) fn head(&self) -> &[u8] {
        &self.memory
    }

    /// The piece at `offset`; empty at the end.
    pub(super) async fn piece(&self, offset: u64) -> io::Result<Bytes> {
        let in_memory = self.memory.len() as u64;
        if offset < in_memory {
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(self.memory.len());
            return Ok(self.memory.slice(start..));
        }
        let at = offset - in_memory;
        let left = usize::try_from(self.in_file.saturating_sub(at))
            .unwrap_or(usize::MAX)
            .min(CHUNK);
        let Some(file) = self.file.clone().filter(|_| left > 0) else {
            return Ok(Bytes::new());
        };
        let read = spawn_blocking(move || {
            let mut chunk = vec![0; left];
            file.read_exact_at(&mut chunk, at)?;
            io::Result::Ok(Bytes::from(chunk))
        });
        read.await.map_err(io::Error::other)?
    }
}

/// A file without a name: it is gone with the process, whatever happens.
fn unlinked(dir: &Path) -> io::Result<File> {
    let name = format!("homing-{:016x}", getrandom::u64().map_err(io::Error::other)?);
    let path = dir.join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::Budget;

    async fn whole(message: &Message) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let piece = message.piece(all.len() as u64).await.expect("readable");
            if piece.is_empty() {
                return all;
            }
            all.extend_from_slice(&piece);
        }
    }

    #[tokio::test]
    async fn the_same_bytes_whatever_the_limit() {
        let dir = tempfile::tempdir().expect("a folder");
        let data: Vec<u8> = (0..300_000u32).map(|i| i.to_le_bytes()[0]).collect();
        for limit in [0, 1000, 299_999, 300_000, 1_000_000] {
            let mut writer = MessageWriter::new(limit, dir.path(), Budget::new(1 << 20).share());
            for piece in data.chunks(7_777) {
                writer.push(&mut piece.to_vec()).await.expect("space");
            }
            assert_eq!(writer.len(), 300_000);
            let message = writer.finish();
            assert_eq!(
                message.head().len(),
                limit.min(data.len()),
                "the header is in memory"
            );
            assert!(message.is_eight_bit());
            assert!(whole(&message).await == data, "{limit}");
            assert_eq!(
                std::fs::read_dir(dir.path()).expect("a folder").count(),
                0,
                "nothing is left behind"
            );
        }
    }

    #[tokio::test]
    async fn no_more_than_the_space_there_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let space = Budget::new(128 << 10);
        for limit in [0, 1 << 20] {
            let mut writer = MessageWriter::new(limit, dir.path(), space.share());
            writer.push(&mut vec![0; 100 << 10]).await.expect("space");
            let mut other = MessageWriter::new(limit, dir.path(), space.share());
            assert!(other.push(&mut vec![0]).await.is_err());
            let message = writer.finish();
            assert!(space.is_exhausted(), "as long as a leg reads it");
            drop(message);
            other.push(&mut vec![0]).await.expect("space again");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_an_error() {
        let mut writer = MessageWriter::new(0, Path::new("/nonexistent"), Budget::new(1 << 20).share());
        assert!(writer.push(&mut vec![1]).await.is_err());
    }
}
