//! The engine that keeps nothing: for model tests and trials.

use super::{Durability, Space, Write};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

type Tree = Arc<BTreeMap<Vec<u8>, Bytes>>;

/// One tree a space. A snapshot shares the trees; a write copies a tree only while a snapshot holds it.
#[derive(Default)]
pub(crate) struct Memory {
    spaces: RwLock<BTreeMap<Space, Tree>>,
    /// What was there before each write since the last one that a disk would have: a power loss brings it back.
    unsynced: Mutex<Vec<Write>>,
    /// Whether it plays a full disk.
    pub(crate) full: AtomicBool,
}

/// The trees of one moment.
pub(crate) struct View(BTreeMap<Space, Tree>);

impl Memory {
    pub(crate) fn snapshot(&self) -> View {
        View(self.spaces.read().clone())
    }

    pub(crate) fn write(&self, batch: Vec<Write>, durability: Durability) {
        let (mut spaces, mut unsynced) = (self.spaces.write(), self.unsynced.lock());
        for (space, key, value) in batch {
            let before = put(&mut spaces, space, key.clone(), value);
            if durability == Durability::Kernel {
                unsynced.push((space, key, before));
            }
        }
        if durability == Durability::Disk {
            unsynced.clear();
        }
    }

    pub(crate) fn sync(&self) {
        self.unsynced.lock().clear();
    }

    /// What was not synced is gone, the last first.
    pub(crate) fn lose_power(&self) {
        let (mut spaces, mut unsynced) = (self.spaces.write(), self.unsynced.lock());
        while let Some((space, key, before)) = unsynced.pop() {
            put(&mut spaces, space, key, before);
        }
    }
}

/// Returns what was there.
fn put(
    spaces: &mut BTreeMap<Space, Tree>,
    space: Space,
    key: Vec<u8>,
    value: Option<Bytes>,
) -> Option<Bytes> {
    let tree = Arc::make_mut(spaces.entry(space).or_default());
    match value {
        Some(value) => tree.insert(key, value),
        None => tree.remove(&key),
    }
}

impl View {
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Option<Bytes> {
        self.0.get(&space)?.get(key).cloned()
    }

    pub(crate) fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        take: &mut dyn FnMut(Bytes, Bytes) -> bool,
    ) {
        let Some(tree) = self.0.get(&space) else { return };
        for (key, value) in tree.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if !take(Bytes::copy_from_slice(key), value.clone()) {
                return;
            }
        }
    }
}
