//! Opening and closing a store.

use crate::commit::{Batch, Committer, Hands, Reserve, Start, finish_loading, mark_bytes, read_mark};
use crate::engine::{Durability, Engine, Space};
use crate::mail::Cells;
use crate::maintain::Expiry;
use crate::{CommitStats, DiskState, EngineKind, Node, StoreConfig, StoreError, keys};
use bytes::Bytes;
use model::{Clock, DomainAliases};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// The schema that this program writes and reads.
const SCHEMA: u32 = 1;

/// Accounts that are created together become a file of their own from this number on; fewer go the way of all rows.
const BULK: usize = 2048;
/// The same in a simulation, which has few.
const BULK_SIMULATED: usize = 2;

/// The store. Cloning is a reference count; the data folder is free again when the last clone is gone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// First, so that the committer thread ends before the engine goes.
    committer: Committer,
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    cells: Cells,
    /// The next id of accounts and groups.
    ids: tokio::sync::Mutex<u64>,
    /// Whose turn it is to change an address that groups may name, or what groups name.
    followers: tokio::sync::Mutex<()>,
    /// Number of this run, and of the last one that did not end cleanly.
    boot: u64,
    unclean: u64,
    lost: Option<LostCommits>,
    journal_told: tokio::sync::watch::Receiver<u64>,
    /// Where the search for expired accounts goes on, and whether it may.
    expiry: parking_lot::Mutex<Expiry>,
    /// Other names of hosted domains, from the configuration.
    aliases: parking_lot::RwLock<DomainAliases>,
    /// So many accounts in one commit become a file of their own.
    bulk_from: usize,
    /// Who this server is, once somebody has said its name.
    node: parking_lot::RwLock<Option<Arc<Node>>>,
}

/// Commits that were made in an earlier run and are not in the store any more: the file system or the disk
/// lost what it had promised to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostCommits {
    /// The last commit that is there.
    pub found: u64,
    /// The last commit that was made.
    pub made: u64,
}

impl Store {
    /// Whether a store has been made in this data folder. A folder that cannot be read has none.
    #[must_use]
    pub fn is_in(data_dir: &Path) -> bool {
        data_dir.join("store.mark").is_file()
    }

    /// Opens the store of a data folder, or creates it. Reads the journal of the last run, so it blocks: for
    /// the start only.
    pub fn open(data_dir: &Path, config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        if config.engine == EngineKind::Memory {
            return Self::in_memory(clock);
        }
        let folder = data_dir.join("store");
        std::fs::create_dir_all(&folder).map_err(|error| io(&folder, &error))?;
        let engine = Engine::embedded(&folder, config.cache.0)?;
        let path = data_dir.join("store.mark");
        let mark = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| io(&path, &error))?;
        let reserve = Reserve {
            folder,
            bytes: config.free_space_reserve.0,
        };
        Self::start((engine, Hands::Thread), clock, Some(mark), Some(reserve))
    }

    /// A store in memory, for tests and trials.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::start((Engine::memory(), Hands::Thread), clock, None, None)
    }

    /// A store in memory whose commits are carried out by whoever waits for them, in the order in which they were
    /// queued. Nothing happens beside its callers, so that a simulation is the same every time. What nobody waits for is
    /// carried out with the next one that somebody does.
    pub fn simulated(clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::start((Engine::memory(), Hands::Callers), clock, None, None)
    }

    /// A power loss, for a store in memory: what was not synced is gone, what was queued before it is not. Nobody may use
    /// mail meanwhile, of which more is kept than rows.
    pub async fn lose_power(&self) -> Result<(), StoreError> {
        self.committer().barrier().await?;
        self.engine().lose_power();
        finish_loading(self.engine())
    }

    /// A full disk, for a store in memory: as long as it is, every commit is refused with [`StoreError::Full`].
    pub fn be_full(&self, full: bool) {
        self.engine().be_full(full);
    }

    fn start(
        (engine, hands): (Engine, Hands),
        clock: Arc<dyn Clock>,
        mark: Option<File>,
        reserve: Option<Reserve>,
    ) -> Result<Self, StoreError> {
        check_schema(&engine)?;
        finish_loading(&engine)?;
        let sequence = number(&engine, keys::SEQUENCE)?.unwrap_or(0);
        let lost = mark.as_ref().and_then(|mark| lost_commits(mark, sequence));
        let last_boot = number(&engine, keys::BOOT)?.unwrap_or(0);
        let clean = last_boot == 0 || engine.get(Space::Meta, keys::CLEAN)?.is_some();
        let unclean = if clean && lost.is_none() {
            number(&engine, keys::UNCLEAN)?.unwrap_or(0)
        } else {
            tracing::info!("the last run did not end cleanly; numbers go on at their reserved ceilings");
            last_boot
        };
        let boot = last_boot + 1;
        let row = |value: u64| Some(Bytes::copy_from_slice(&value.to_be_bytes()));
        engine.write(
            vec![
                (
                    Space::Meta,
                    keys::SCHEMA.to_vec(),
                    Some(Bytes::copy_from_slice(&SCHEMA.to_be_bytes())),
                ),
                (Space::Meta, keys::BOOT.to_vec(), row(boot)),
                (Space::Meta, keys::UNCLEAN.to_vec(), row(unclean)),
                (Space::Meta, keys::CLEAN.to_vec(), None),
            ],
            Durability::Disk,
        )?;
        // A loss is reported once; from here on the mark follows what is there.
        if let Some(mark) = mark.as_ref().filter(|_| lost.is_some()) {
            mark.write_all_at(&mark_bytes(sequence), 0)
                .map_err(|error| StoreError::Engine(error.to_string()))?;
        }
        let journal = number(&engine, keys::JOURNAL)?.unwrap_or(1);
        let (tell, journal_told) = tokio::sync::watch::channel(journal);
        let start = Start {
            sequence,
            journal,
            journal_told: tell,
            mark,
            reserve,
        };
        let next_id = number(&engine, keys::NEXT_ID)?.unwrap_or(1);
        let node = crate::node::load(&engine)?;
        crate::accounts::build_index(&engine)?;
        let engine = Arc::new(engine);
        let committer = Committer::start(Arc::clone(&engine), Arc::clone(&clock), start, hands)?;
        Ok(Self(Arc::new(Inner {
            committer,
            engine,
            clock,
            cells: Cells::default(),
            ids: tokio::sync::Mutex::new(next_id),
            followers: tokio::sync::Mutex::new(()),
            boot,
            unclean,
            lost,
            journal_told,
            expiry: parking_lot::Mutex::default(),
            aliases: parking_lot::RwLock::default(),
            bulk_from: if hands == Hands::Callers {
                BULK_SIMULATED
            } else {
                BULK
            },
            node: parking_lot::RwLock::new(node),
        })))
    }

    /// Brings everything to the disk and marks the stop as clean. Later changes answer
    /// [`StoreError::Closed`]; reads go on.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.0.committer.close().await
    }

    /// Sets which domains are other names of hosted ones. They are kept by the configuration, not on disk.
    pub fn set_domain_aliases(&self, aliases: DomainAliases) {
        *self.0.aliases.write() = aliases;
    }

    /// Which domains are other names of hosted ones.
    #[must_use]
    pub fn domain_aliases(&self) -> DomainAliases {
        self.0.aliases.read().clone()
    }

    /// Whether something can be written, and how much is free.
    #[must_use]
    pub fn disk(&self) -> DiskState {
        self.0.committer.disk()
    }

    /// Figures of the commit queue.
    #[must_use]
    pub fn stats(&self) -> CommitStats {
        self.0.committer.stats()
    }

    /// What the last run had committed and this one did not find: to be told to the administrator.
    #[must_use]
    pub fn lost_commits(&self) -> Option<LostCommits> {
        self.0.lost
    }

    /// The number that the next journal row will have; it changes when rows were committed, and everything of
    /// theirs is visible by then. Whoever follows the journal waits here instead of asking again and again.
    #[must_use]
    pub fn journal_watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.journal_told.clone()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    pub(crate) fn committer(&self) -> &Committer {
        &self.0.committer
    }

    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.0.committer.commit(batch).await
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.0.cells
    }

    pub(crate) fn ids(&self) -> &tokio::sync::Mutex<u64> {
        &self.0.ids
    }

    pub(crate) fn bulk_from(&self) -> usize {
        self.0.bulk_from
    }

    pub(crate) fn followers(&self) -> &tokio::sync::Mutex<()> {
        &self.0.followers
    }

    pub(crate) fn boot(&self) -> u64 {
        self.0.boot
    }

    /// Whether a row of that run may be older than what its run had told clients.
    pub(crate) fn is_doubtful(&self, boot: u64) -> bool {
        boot <= self.0.unclean
    }

    pub(crate) fn node_slot(&self) -> &parking_lot::RwLock<Option<Arc<Node>>> {
        &self.0.node
    }

    pub(crate) fn expiry(&self) -> &parking_lot::Mutex<Expiry> {
        &self.0.expiry
    }
}

fn check_schema(engine: &Engine) -> Result<(), StoreError> {
    let Some(row) = engine.get(Space::Meta, keys::SCHEMA)? else {
        return Ok(());
    };
    let found = row.as_ref().try_into().map(u32::from_be_bytes);
    let found = found.map_err(|_| corrupt("schema version"))?;
    if found > SCHEMA {
        return Err(StoreError::Schema { found, known: SCHEMA });
    }
    Ok(())
}

fn number(engine: &Engine, key: &[u8]) -> Result<Option<u64>, StoreError> {
    let Some(row) = engine.get(Space::Meta, key)? else {
        return Ok(None);
    };
    let value = row.as_ref().try_into().map(u64::from_be_bytes);
    value.map(Some).map_err(|_| corrupt("counter"))
}

/// Compares with the side file, which repeats the number of every synced commit.
fn lost_commits(mark: &File, found: u64) -> Option<LostCommits> {
    let mut bytes = [0; 16];
    mark.read_exact_at(&mut bytes, 0).ok()?;
    let made = read_mark(bytes)?;
    (made > found).then(|| {
        tracing::error!(
            found,
            made,
            "commits of the last run are missing: the disk lost what it had synced"
        );
        LostCommits { found, made }
    })
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt {
        account: None,
        what: what.into(),
    }
}

fn io(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Engine(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
