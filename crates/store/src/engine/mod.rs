//! The engines under the store: ordered key spaces, snapshot reads, ranges, atomic batches.
//!
//! A closed set, so an enum: `embedded` (fjall) and `memory`. Only the committer thread writes
//! (fjall's back-pressure sleeps on its caller). Knows nothing of accounts or mail.

mod buffers;
mod embedded;
mod memory;

use crate::StoreError;
use bytes::Bytes;
use embedded::Embedded;
use memory::Memory;
use std::path::Path;
use std::sync::atomic::Ordering;

/// The key spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Space {
    /// Schema version, commit sequence, clean-stop mark, counters.
    Meta,
    /// Domains, accounts, groups, the address index, associations, connector state.
    Directory,
    /// Journal and audit.
    Log,
    /// Everything of an account's mail but bodies; an account is one contiguous range.
    Mail,
    /// Message bodies.
    Body,
    /// Reference counts of bodies that have more than one reference.
    Refs,
    /// Repeat suppression, by day.
    Repeat,
}

impl Space {
    pub(crate) const ALL: [Self; 7] = [
        Self::Meta,
        Self::Directory,
        Self::Log,
        Self::Mail,
        Self::Body,
        Self::Refs,
        Self::Repeat,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Directory => "directory",
            Self::Log => "log",
            Self::Mail => "mail",
            Self::Body => "body",
            Self::Refs => "refs",
            Self::Repeat => "repeat",
        }
    }
}

/// One change of a batch; `None` removes the key. A batch never names a key twice.
pub(crate) type Write = (Space, Vec<u8>, Option<Bytes>);

/// A row, or a key that is removed.
pub(crate) type Row<'r> = (&'r [u8], Option<&'r [u8]>);

/// How far a write has gone when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// In the kernel: survives the death of the process.
    Kernel,
    /// On the disk: survives power loss.
    Disk,
}

/// An engine.
pub(crate) enum Engine {
    Embedded(Embedded),
    Memory(Memory),
}

/// A consistent view; never to be held across a wait.
pub(crate) enum Snapshot<'a> {
    Embedded(embedded::View<'a>),
    Memory(memory::View),
}

/// Most rows and most octets that one range read returns.
pub(crate) const PAGE_ROWS: usize = 256;
const PAGE_BYTES: usize = 1 << 20;

/// A page of rows, and whether there are more behind it.
pub(crate) struct Page {
    pub(crate) rows: Vec<(Bytes, Bytes)>,
    pub(crate) more: bool,
}

impl Engine {
    pub(crate) fn embedded(folder: &Path, cache: u64) -> Result<Self, StoreError> {
        Embedded::open(folder, cache).map(Self::Embedded)
    }

    pub(crate) fn memory() -> Self {
        Self::Memory(Memory::default())
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        match self {
            Self::Embedded(engine) => Snapshot::Embedded(engine.snapshot()),
            Self::Memory(engine) => Snapshot::Memory(engine.snapshot()),
        }
    }

    /// Reads one row.
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.snapshot().get(space, key)
    }

    /// Writes all or nothing. For the committer thread only.
    pub(crate) fn write(&self, batch: Vec<Write>, durability: Durability) -> Result<(), StoreError> {
        match self {
            Self::Embedded(engine) => engine.write(batch, durability),
            Self::Memory(engine) => {
                engine.write(batch, durability);
                Ok(())
            }
        }
    }

    /// Whether [`Engine::ingest`] may be called now; waits a moment until it may.
    pub(crate) fn takes_a_file(&self, space: Space) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(engine) => engine.takes_a_file(space),
            Self::Memory(_) => Ok(true),
        }
    }

    /// Writes rows that are in the order of their keys, all of them or nothing, to the disk at once. For many rows only, and
    /// for the committer thread only, after [`Engine::takes_a_file`] has said so.
    pub(crate) fn ingest<'r>(
        &self,
        space: Space,
        rows: impl Iterator<Item = Row<'r>>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Embedded(engine) => engine.ingest(space, rows),
            Self::Memory(engine) => {
                let row = |(key, value): Row<'_>| (space, key.to_vec(), value.map(Bytes::copy_from_slice));
                engine.write(rows.map(row).collect(), Durability::Disk);
                Ok(())
            }
        }
    }

    /// Brings everything that is in the kernel to the disk. For the committer thread only.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(engine) => engine.sync(),
            Self::Memory(engine) => {
                engine.sync();
                Ok(())
            }
        }
    }

    /// Nobody has written for a while: rows that wait are written out. For the committer thread only.
    pub(crate) fn write_out(&self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(engine) => engine.write_out(),
            Self::Memory(_) => Ok(()),
        }
    }

    /// And nobody has since: their memory is let go. For the committer thread only.
    pub(crate) fn let_go(&self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(engine) => engine.let_go(),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Whether a store in memory plays a full disk.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Memory(engine) if engine.full.load(Ordering::Relaxed))
    }

    pub(crate) fn be_full(&self, full: bool) {
        if let Self::Memory(engine) = self {
            engine.full.store(full, Ordering::Relaxed);
        }
    }

    /// What a power loss takes from a store in memory. One on a disk waits for a real one.
    pub(crate) fn lose_power(&self) {
        if let Self::Memory(engine) = self {
            engine.lose_power();
        }
    }
}

impl Snapshot<'_> {
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Embedded(view) => view.get(space, key),
            Self::Memory(view) => Ok(view.get(space, key)),
        }
    }

    /// Rows from `from` up to, not including, `to`, at most `rows` and about 1 MiB.
    pub(crate) fn page(&self, space: Space, from: &[u8], to: &[u8], rows: usize) -> Result<Page, StoreError> {
        let mut page = Page {
            rows: Vec::new(),
            more: false,
        };
        if from >= to {
            return Ok(page);
        }
        let mut bytes = 0;
        let mut take = |key: Bytes, value: Bytes| {
            if page.rows.len() >= rows || bytes >= PAGE_BYTES {
                page.more = true;
                return false;
            }
            bytes += key.len() + value.len();
            page.rows.push((key, value));
            true
        };
        match self {
            Self::Embedded(view) => view.range(space, from, to, &mut take)?,
            Self::Memory(view) => view.range(space, from, to, &mut take),
        }
        Ok(page)
    }

    /// Every row under a prefix, page by page within this snapshot. For sets whose size is bounded elsewhere.
    pub(crate) fn all(&self, space: Space, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let end = after_prefix(prefix);
        let mut from = prefix.to_vec();
        let mut rows = Vec::new();
        loop {
            let page = self.page(space, &from, &end, PAGE_ROWS)?;
            rows.extend(page.rows);
            match rows.last() {
                Some((key, _)) if page.more => from = after_key(key),
                _ => return Ok(rows),
            }
        }
    }
}

/// The first key behind all keys with this prefix.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0xff; prefix.len() + 1]
}

/// The first key behind this one.
pub(crate) fn after_key(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
