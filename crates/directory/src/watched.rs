//! A file of rules that is read again when it changes.
//!
//! Owns the look at the file and what follows a bad one: it is refused as a whole, and what was read before stays in
//! force. What the lines mean is the reader's business.

use crate::map::LineError;
use arc_swap::{ArcSwap, Guard};
use model::Clock;
use parking_lot::Mutex;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The file is looked at this often at most.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Makes something of a file's text, or says which lines are wrong.
pub(crate) type Parse<T> = Box<dyn Fn(&[u8]) -> Result<T, Vec<LineError>> + Send + Sync>;

/// How a file is read, and how log lines call it.
pub(crate) struct Reader<T> {
    pub(crate) what: &'static str,
    pub(crate) parse: Parse<T>,
    pub(crate) count: fn(&T) -> usize,
}

/// What a file says, as fresh as the file.
pub(crate) struct Watched<T> {
    path: PathBuf,
    reader: Arc<Reader<T>>,
    clock: Arc<dyn Clock>,
    value: ArcSwap<T>,
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

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads the file; called at start, before anything is served.
    pub(crate) fn open(path: PathBuf, reader: Reader<T>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let (value, stamp) = load(&path, &reader)?;
        let state = State {
            checked: clock.monotonic(),
            stamp: Some(stamp),
            problem: None,
        };
        Ok(Self {
            path,
            reader: Arc::new(reader),
            clock,
            value: ArcSwap::from_pointee(value),
            state: Mutex::new(state),
        })
    }

    /// What is in force, after a look at whether the file changed.
    pub(crate) async fn fresh(&self) -> Guard<Arc<T>> {
        if self.is_due() {
            self.refresh().await;
        }
        self.value.load()
    }

    /// What is in force.
    pub(crate) fn now(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// What is wrong with the file as it is now, while what was read before is in force.
    pub(crate) fn problem(&self) -> Option<String> {
        self.state.lock().problem.clone()
    }

    /// Reads the file now, because somebody has asked for it.
    pub(crate) fn read_again(&self) -> Result<(), String> {
        let read = load(&self.path, &self.reader).map(Some);
        let outcome = read.as_ref().map(|_| ()).map_err(String::clone);
        self.learn(read);
        outcome
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
        let (path, reader) = (self.path.clone(), Arc::clone(&self.reader));
        // A large file takes a second to read; lookups meanwhile use what was read before.
        let read = tokio::task::spawn_blocking(move || match stamp_of(&path) {
            Ok(stamp) if Some(stamp) == before => Ok(None),
            Ok(_) => load(&path, &reader).map(Some),
            Err(error) => Err(error),
        })
        .await
        .unwrap_or_else(|error| Err(error.to_string()));
        self.learn(read);
    }

    fn learn(&self, read: Result<Option<(T, Stamp)>, String>) {
        let what = self.reader.what;
        let mut state = self.state.lock();
        match read {
            Ok(None) => {}
            Ok(Some((value, stamp))) => {
                let count = (self.reader.count)(&value);
                if state.stamp != Some(stamp) {
                    tracing::info!(path = %self.path.display(), lines = count, "{what} read again");
                }
                self.value.store(Arc::new(value));
                state.stamp = Some(stamp);
                state.problem = None;
            }
            Err(problem) => {
                if state.problem.as_ref() != Some(&problem) {
                    tracing::error!(path = %self.path.display(), %problem, "{what} not read again; the old one stays");
                }
                state.problem = Some(problem);
                // The old version may come back with its old stamp; it must be read again then.
                state.stamp = None;
            }
        }
    }
}

fn load<T>(path: &Path, reader: &Reader<T>) -> Result<(T, Stamp), String> {
    // The stamp is taken first: a change while we read shows at the next look.
    let stamp = stamp_of(path)?;
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let value = (reader.parse)(&text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("{}: {}", path.display(), lines.join("; "))
    })?;
    Ok((value, stamp))
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
