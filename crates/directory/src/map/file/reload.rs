//! Keeping a table as fresh as its file.

use super::table::{Match, Table};
use arc_swap::ArcSwap;
use model::{Address, Clock, DomainAliases};
use parking_lot::Mutex;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The file is looked at this often at most.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A table and the file it came from.
pub(crate) struct FileMap {
    path: PathBuf,
    aliases: DomainAliases,
    clock: Arc<dyn Clock>,
    table: ArcSwap<Table>,
    state: Mutex<State>,
}

struct State {
    checked: Duration,
    stamp: Option<Stamp>,
    problem: Option<String>,
}

/// What tells one version of a file from another, also when it was replaced within one tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl FileMap {
    /// Reads the file; called at start, before anything is served.
    pub(crate) fn open(path: PathBuf, aliases: DomainAliases, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let (table, stamp) = load(&path, &aliases)?;
        let state = State {
            checked: clock.monotonic(),
            stamp: Some(stamp),
            problem: None,
        };
        Ok(Self {
            path,
            aliases,
            clock,
            table: ArcSwap::from_pointee(table),
            state: Mutex::new(state),
        })
    }

    /// What the file says about an address, after a look at whether it changed.
    pub(crate) async fn find(&self, address: &Address) -> Option<Match> {
        if self.is_due() {
            self.refresh().await;
        }
        self.table.load().find(&self.aliases.address(address.clone()))
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// What is wrong with the file as it is now, while an older table is in force.
    pub(crate) fn problem(&self) -> Option<String> {
        self.state.lock().problem.clone()
    }

    /// True for one caller in each interval.
    fn is_due(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let due = now.saturating_sub(state.checked) >= CHECK_EVERY;
        if due {
            state.checked = now;
        }
        due
    }

    async fn refresh(&self) {
        let before = self.state.lock().stamp;
        let (path, aliases) = (self.path.clone(), self.aliases.clone());
        // A large file takes a second to read; lookups meanwhile use the old table.
        let read = tokio::task::spawn_blocking(move || match stamp_of(&path) {
            Ok(stamp) if Some(stamp) == before => Ok(None),
            Ok(_) => load(&path, &aliases).map(Some),
            Err(error) => Err(error),
        })
        .await
        .unwrap_or_else(|error| Err(error.to_string()));
        let mut state = self.state.lock();
        match read {
            Ok(None) => {}
            Ok(Some((table, stamp))) => {
                tracing::info!(path = %self.path.display(), rules = table.len(), "user map reloaded");
                self.table.store(Arc::new(table));
                state.stamp = Some(stamp);
                state.problem = None;
            }
            Err(problem) => {
                if state.problem.as_ref() != Some(&problem) {
                    tracing::error!(path = %self.path.display(), %problem, "user map not reloaded; the old one stays");
                }
                state.problem = Some(problem);
                // The old version may come back with its old stamp; it must be read again then.
                state.stamp = None;
            }
        }
    }
}

fn load(path: &Path, aliases: &DomainAliases) -> Result<(Table, Stamp), String> {
    // The stamp is taken first: a change while we read shows at the next look.
    let stamp = stamp_of(path)?;
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = Table::parse_for(&text, aliases).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("{}: {}", path.display(), lines.join("; "))
    })?;
    Ok((table, stamp))
}

fn stamp_of(path: &Path) -> Result<Stamp, String> {
    let data = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !data.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    Ok(Stamp {
        inode: data.ino(),
        length: data.len(),
        changed: (data.mtime(), data.mtime_nsec()),
    })
}
