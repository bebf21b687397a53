//! The default engine: a fjall database in the data folder.

use super::buffers::{self, Shares};
use super::{Durability, Row, Space, Write};
use crate::{StoreError, keys};
use bytes::Bytes;
use fjall::config::{FilterPolicy, PartitioningPolicy};
use fjall::{
    AbstractTree, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable,
    Slice,
};
use std::path::Path;
use std::sync::Arc;

/// Values from this size live in blob files, so that compaction of keys does not rewrite bodies.
const BLOB_THRESHOLD: u32 = 1024;

/// Threads that write out what was gathered and merge what was written. fjall keeps the first of them for the former, and as
/// long as a merge waits for one of the others that one asks for it over and over, with a whole processor. Two would leave one
/// other, which a merge keeps busy for seconds in a first synchronisation.
const WORKERS: usize = 3;

/// New files of the directory before they are merged, and the size of those that are made of them.
const FILES: u8 = 16;
const FILE: u64 = 16 << 20;

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
                    match space {
                        Space::Body => options.with_kv_separation(Some(blobs())),
                        // Only ever read in its order. Its files are moved, never merged, and what fjall holds of a new file
                        // it would hold of each.
                        Space::Log => options
                            .filter_policy(FilterPolicy::disabled())
                            .index_block_partitioning_policy(PartitioningPolicy::all(true)),
                        // Files of their own come fast: the more are merged at a time, the less often each row is moved. Small
                        // ones need less memory while they are made.
                        Space::Directory => options.compaction_strategy(Arc::new(
                            fjall::compaction::Leveled::default()
                                .with_l0_threshold(FILES)
                                .with_table_target_size(FILE),
                        )),
                        _ => options,
                    }
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
                Some(value) => batch.insert(keyspace, key, value.as_ref()),
                None => batch.remove(keyspace, key),
            }
        }
        batch.commit().map_err(write_failure)?;
        buffers::bound(&self.database, &self.spaces, self.shares.part).map_err(write_failure)
    }

    /// Whether sorted rows may be written as a file now; else they go the way of all others.
    pub(crate) fn takes_a_file(&self, space: Space) -> Result<bool, StoreError> {
        buffers::has_room(self.space(space)?).map_err(write_failure)
    }

    /// Writes sorted rows as a file, behind everything that was written before, where there is room for one.
    pub(crate) fn ingest<'r>(
        &self,
        space: Space,
        rows: impl Iterator<Item = Row<'r>>,
    ) -> Result<(), StoreError> {
        let keyspace = self.space(space)?;
        let mut ingestion = keyspace.start_ingestion().map_err(write_failure)?;
        let mut last: Option<&[u8]> = None;
        for (key, value) in rows {
            // fjall would panic, on the thread that everybody waits for.
            if last.replace(key).is_some_and(|last| last >= key) {
                return Err(StoreError::ReadOnly("rows of a file are not in order".into()));
            }
            match value {
                Some(value) => ingestion.write(key, value),
                None => ingestion.write_tombstone(key),
            }
            .map_err(write_failure)?;
        }
        ingestion.finish().map_err(write_failure)
    }

    /// Has rows that wait written out, by other threads.
    pub(crate) fn write_out(&self) -> Result<(), StoreError> {
        buffers::write_out(&self.spaces, self.shares.part).map_err(write_failure)
    }

    /// Lets go of what was written out. fjall keeps it until something is written behind it and gathering ends anew in
    /// any key space: here in the one whose rows are few.
    pub(crate) fn let_go(&self) -> Result<(), StoreError> {
        if self.kept() == 0 {
            return Ok(());
        }
        let meta = self.space(Space::Meta)?;
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        batch.insert(meta, keys::RESTED, "");
        batch.commit().map_err(write_failure)?;
        meta.rotate_memtable().map(drop).map_err(write_failure)
    }

    /// Former states that are kept beside the present one.
    pub(super) fn kept(&self) -> usize {
        let large = self.spaces.iter().zip(Space::ALL);
        let large = large.filter(|(_, space)| *space != Space::Meta);
        large.map(|(space, _)| space.tree.version_free_list_len()).sum()
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
        Ok(value.map(row))
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
            if !take(row(key), row(value)) {
                break;
            }
        }
        Ok(())
    }
}

/// A key or a value. fjall gives a part of the block that it was read from, which must not stay in memory for as long as
/// somebody keeps one short row of it.
fn row(slice: Slice) -> Bytes {
    if slice.len() < BLOB_THRESHOLD as usize {
        Bytes::copy_from_slice(&slice)
    } else {
        Bytes::from_owner(slice)
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
