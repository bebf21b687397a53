//! The entries that a comparison of everything has met: all that it keeps of each of them.
//!
//! 16 octets an entry, and at most a sixth of that beside. A hash table of the same takes up to three times as much while
//! it grows, which is tens of MiB with a million people.

use model::EntryUuid;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Entries of a bucket, on average, when the buckets are doubled; half as many after it.
const FULL: usize = 512;
/// By how many entries a bucket grows: what it may have to spare.
const STEP: usize = 16;

/// A set of entries that only grows. Each bucket is sorted.
#[derive(Debug)]
pub(super) struct Named {
    /// As many as a power of two. Which one an entry is in depends on a secret: a directory cannot fill one alone.
    buckets: Vec<Vec<EntryUuid>>,
    hash: RandomState,
    len: usize,
}

impl Default for Named {
    fn default() -> Self {
        Self {
            buckets: vec![Vec::new()],
            hash: RandomState::new(),
            len: 0,
        }
    }
}

impl Named {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn contains(&self, uuid: EntryUuid) -> bool {
        let bucket = self.buckets.get(self.bucket(uuid));
        bucket.is_some_and(|bucket| bucket.binary_search(&uuid).is_ok())
    }

    pub(super) fn insert(&mut self, uuid: EntryUuid) {
        if self.len >= self.buckets.len() * FULL {
            self.double();
        }
        let number = self.bucket(uuid);
        let Some(bucket) = self.buckets.get_mut(number) else {
            return;
        };
        let Err(at) = bucket.binary_search(&uuid) else {
            return;
        };
        if bucket.len() == bucket.capacity() {
            bucket.reserve_exact(STEP);
        }
        bucket.insert(at, uuid);
        self.len += 1;
    }

    fn bucket(&self, uuid: EntryUuid) -> usize {
        // The bits above do not matter: only as many are looked at as there are buckets.
        #[allow(clippy::cast_possible_truncation)]
        let hash = self.hash.hash_one(uuid) as usize;
        hash & (self.buckets.len() - 1)
    }

    /// Twice as many buckets. One after the other is taken apart, so no more than one is there twice.
    fn double(&mut self) {
        let before = self.buckets.len();
        self.buckets.reserve_exact(before);
        self.buckets.resize_with(before * 2, Vec::new);
        for number in 0..before {
            let Some(bucket) = self.buckets.get_mut(number).map(std::mem::take) else {
                continue;
            };
            // In their order, so both parts are sorted again.
            let (stay, go): (Vec<_>, Vec<_>) =
                bucket.into_iter().partition(|uuid| self.bucket(*uuid) == number);
            for (at, mut part) in [(number, stay), (number + before, go)] {
                part.shrink_to_fit();
                if let Some(bucket) = self.buckets.get_mut(at) {
                    *bucket = part;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn entry(number: u32) -> EntryUuid {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        EntryUuid::from_bytes(bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn says_what_was_named(some in prop::collection::vec(0u32..4000, 0..3000)) {
            let (mut named, mut known) = (Named::default(), BTreeSet::new());
            for number in some {
                named.insert(entry(number));
                known.insert(number);
                prop_assert_eq!(named.len(), known.len());
            }
            prop_assert_eq!(named.is_empty(), known.is_empty());
            for number in 0..4000 {
                prop_assert_eq!(named.contains(entry(number)), known.contains(&number));
            }
        }
    }
}
