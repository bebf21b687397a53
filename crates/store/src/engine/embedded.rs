//! The default engine: a fjall database in the data folder.

use super::buffers::{self, Shares};
use super::{Durability, Space, Write};
use crate::StoreError;
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable};
use std::path::Path;

/// Values from this size live in blob files, so that compaction of keys does not rewrite bodies.
const BLOB_THRESHOLD: u32 = 1024;

/// Threads that write out what was gathered and merge what was written. fjall keeps the first of them for the former, and as
/// long as a merge waits for one of the others that one asks for it over and over, with a whole processor. Two would leave one
/// other, which a merge keeps busy for seconds in a first synchronisation.
const WORKERS: usize = 3;

/// A fjall database with one keyspace a [`Space`].
pub(crate) struct Embedded {
    database: Database,
    spaces: Vec<Keyspace>,
    shares: Shares,
}

/// A fjall snapshot.
pub(crate) struct View<'a> {
    engine: &'a Embedded,
    snapshot: fjall::Snapshot,
}

impl Embedded {
    /// Opens or creates the database; takes the folder's lock. `cache` is what cached blocks and rows that wait take together.
    pub(crate) fn open(folder: &Path, cache: u64) -> Result<Self, StoreError> {
        let shares = Shares::of(cache);
        let database = Database::builder(folder)
            .cache_size(shares.blocks)
            .worker_threads(WORKERS)
            .manual_journal_persist(true)
            .open()
            .map_err(failure)?;
        let spaces = Space::ALL
            .iter()
            .map(|space| {
                let options = || {
                    let options = KeyspaceCreateOptions::default();
                    let blobs = || KvSeparationOptions::default().separation_threshold(BLOB_THRESHOLD);
                    options.with_kv_separation((*space == Space::Body).then(blobs))
                };
                database.keyspace(space.name(), options).map_err(failure)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            database,
            spaces,
            shares,
        })
    }

    fn space(&self, space: Space) -> Result<&Keyspace, StoreError> {
        self.spaces
            .get(space as usize)
            .ok_or_else(|| StoreError::Engine(format!("no key space {}", space.name())))
    }

    pub(crate) fn snapshot(&self) -> View<'_> {
        View {
            engine: self,
            snapshot: self.database.snapshot(),
        }
    }

    pub(crate) fn write(&self, writes: Vec<Write>, durability: Durability) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(match durability {
            Durability::Kernel => PersistMode::Buffer,
            Durability::Disk => PersistMode::SyncData,
        }));
        for (space, key, value) in writes {
            let keyspace = self.space(space)?;
            match value {
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        batch.commit().map_err(write_failure)?;
        buffers::bound(&self.database, &self.spaces, self.shares.part).map_err(write_failure)
    }

    /// Octets of rows that wait to be written out.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.database.write_buffer_size()
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.database
            .persist(PersistMode::SyncData)
            .map_err(write_failure)
    }
}

impl View<'_> {
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let keyspace = self.engine.space(space)?;
        let value = self.snapshot.get(keyspace, key).map_err(failure)?;
        Ok(value.map(Bytes::from))
    }

    pub(crate) fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        take: &mut dyn FnMut(Bytes, Bytes) -> bool,
    ) -> Result<(), StoreError> {
        let keyspace = self.engine.space(space)?;
        for guard in self.snapshot.range(keyspace, from..to) {
            let (key, value) = guard.into_inner().map_err(failure)?;
            if !take(Bytes::from(key), Bytes::from(value)) {
                break;
            }
        }
        Ok(())
    }
}

fn failure(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Locked => StoreError::Locked,
        fjall::Error::Poisoned => StoreError::ReadOnly("an earlier write failed".into()),
        other => StoreError::Engine(other.to_string()),
    }
}

/// fjall accepts no write after a failed one, so the first failure already means read-only.
fn write_failure(error: fjall::Error) -> StoreError {
    match failure(error) {
        StoreError::Engine(cause) => StoreError::ReadOnly(cause),
        other => other,
    }
}
