//! The engine that keeps nothing: for model tests and trials.

use super::{Space, Write};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

type Tree = Arc<BTreeMap<Vec<u8>, Bytes>>;

/// One tree a space. A snapshot shares the trees; a write copies a tree only while a snapshot holds it.
#[derive(Default)]
pub(crate) struct Memory(RwLock<BTreeMap<Space, Tree>>);

/// The trees of one moment.
pub(crate) struct View(BTreeMap<Space, Tree>);

impl Memory {
    pub(crate) fn snapshot(&self) -> View {
        View(self.0.read().clone())
    }

    pub(crate) fn write(&self, batch: Vec<Write>) {
        let mut spaces = self.0.write();
        for (space, key, value) in batch {
            let tree = Arc::make_mut(spaces.entry(space).or_default());
            match value {
                Some(value) => tree.insert(key, value),
                None => tree.remove(&key),
            };
        }
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
