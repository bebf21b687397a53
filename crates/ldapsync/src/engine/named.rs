//! The entries that a comparison of everything has met: all that it keeps of each of them.
//!
//! 8 octets an entry, and at most a sixth of that beside: a keyed hash of its UUID, with a key of its own for each
//! comparison. That an entry which is gone has the hash of one of a million others happens once in 10^13 such entries, and
//! then it is the next comparison that finds it gone. A hash table of the UUIDs themselves takes up to six times as much
//! while it grows, which is tens of MiB with a million people.

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
    buckets: Vec<Vec<u64>>,
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
        let hash = self.hash.hash_one(uuid);
        let bucket = self.buckets.get(self.bucket(hash));
        bucket.is_some_and(|bucket| bucket.binary_search(&hash).is_ok())
    }

    pub(super) fn insert(&mut self, uuid: EntryUuid) {
        if self.len >= self.buckets.len() * FULL {
            self.double();
        }
        let hash = self.hash.hash_one(uuid);
        let number = self.bucket(hash);
        let Some(bucket) = self.buckets.get_mut(number) else {
            return;
        };
        let Err(at) = bucket.binary_search(&hash) else {
            return;
        };
        if bucket.len() == bucket.capacity() {
            bucket.reserve_exact(STEP);
        }
        bucket.insert(at, hash);
        self.len += 1;
    }

    fn bucket(&self, hash: u64) -> usize {
        // The bits above do not matter: only as many are looked at as there are buckets.
        #[allow(clippy::cast_possible_truncation)]
        let hash = hash as usize;
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
                bucket.into_iter().partition(|hash| self.bucket(*hash) == number);
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
