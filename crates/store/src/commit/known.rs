//! Which addresses and entries may be there, while very many come: a look into memory in place of one into each file.
//!
//! A filter over keys, without the keys: it says "not there" or "perhaps", and only then somebody looks. It begins when
//! there are few such rows, knows all that are written from there on, and goes when nobody writes any more. Its size is
//! fixed: with millions of keys it says "perhaps" more often.

use crate::StoreError;
use crate::engine::{Snapshot, Space, after_key, after_prefix};
use std::hash::{BuildHasher, RandomState};

/// Words of the filter: 4 MiB.
const WORDS: usize = 1 << 19;
/// Rows that are read to begin with.
const FEW: usize = 16_384;
/// What the keys begin with: an address, and an entry of a directory.
const TAGS: [u8; 2] = [b'I', b'R'];

#[derive(Debug)]
pub(super) struct Known {
    words: Vec<u64>,
    hasher: RandomState,
}

impl Known {
    /// Knows what is there; none when that is much.
    pub(super) fn begin(snapshot: &Snapshot<'_>) -> Result<Option<Self>, StoreError> {
        let mut known = Self {
            words: vec![0; WORDS],
            hasher: RandomState::new(),
        };
        let mut left = FEW;
        for tag in TAGS {
            let (mut from, end) = (vec![tag], after_prefix(&[tag]));
            loop {
                let page = snapshot.page(Space::Directory, &from, &end, left.min(256))?;
                for (key, _) in &page.rows {
                    known.add(Space::Directory, key);
                }
                left = left.saturating_sub(page.rows.len());
                match page.rows.last() {
                    Some(_) if page.more && left == 0 => return Ok(None),
                    Some((key, _)) if page.more => from = after_key(key),
                    _ => break,
                }
            }
        }
        Ok(Some(known))
    }

    /// A row was written, or is about to be.
    pub(super) fn add(&mut self, space: Space, key: &[u8]) {
        if space == Space::Directory && Self::is_about(key) {
            let (word, bits) = self.place(key);
            if let Some(word) = self.words.get_mut(word) {
                *word |= bits;
            }
        }
    }

    /// The same of a row that must not be there yet. False: there was no such row.
    pub(super) fn add_new(&mut self, key: &[u8]) -> bool {
        if !Self::is_about(key) {
            return true;
        }
        let (word, bits) = self.place(key);
        let Some(word) = self.words.get_mut(word) else {
            return true;
        };
        let perhaps = *word & bits == bits;
        *word |= bits;
        perhaps
    }

    fn is_about(key: &[u8]) -> bool {
        key.first().is_some_and(|tag| TAGS.contains(tag))
    }

    /// A word, and four bits of it.
    fn place(&self, key: &[u8]) -> (usize, u64) {
        let hash = self.hasher.hash_one(key);
        let bit = |shift: u32| 1u64 << ((hash >> shift) & 63);
        // The upper half says which word: half of it would do.
        let word = usize::try_from(hash >> 40).unwrap_or_default() % WORDS;
        (word, bit(0) | bit(6) | bit(12) | bit(18))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Durability, Engine};
    use bytes::Bytes;

    fn key(tag: u8, number: u32) -> Vec<u8> {
        [&[tag], number.to_be_bytes().as_slice()].concat()
    }

    fn engine(rows: u32) -> Engine {
        let engine = Engine::memory();
        let row = |number| {
            let tag = TAGS[usize::from(number % 2 == 0)];
            (Space::Directory, key(tag, number), Some(Bytes::new()))
        };
        engine
            .write((0..rows).map(row).collect(), Durability::Kernel)
            .expect("writes");
        engine
    }

    fn may_have(known: &Known, key: &[u8]) -> bool {
        let (word, bits) = known.place(key);
        !Known::is_about(key) || known.words.get(word).is_none_or(|word| word & bits == bits)
    }

    #[test]
    fn what_must_not_be_there_is_known_from_then_on() {
        let engine = engine(1000);
        let mut known = Known::begin(&engine.snapshot()).expect("reads").expect("few");
        assert!(known.add_new(&key(b'R', 0)) && known.add_new(b"Uanybody") && known.add_new(b""));
        assert!(!known.add_new(b"Ilate"));
        assert!(known.add_new(b"Ilate"));
    }

    #[test]
    fn nothing_that_is_there_is_denied() {
        let engine = engine(1000);
        let mut known = Known::begin(&engine.snapshot()).expect("reads").expect("few");
        known.add(Space::Directory, b"Ilate");
        known.add(Space::Log, b"Iother");
        for number in 0..1000 {
            assert!(may_have(&known, &key(TAGS[usize::from(number % 2 == 0)], number)));
        }
        assert!(may_have(&known, b"Ilate"));
        // What it is not about may always be there.
        assert!(may_have(&known, b"Uanybody") && may_have(&known, b""));
        let wrong = (1000..101_000).filter(|number| may_have(&known, &key(b'I', *number)));
        assert!(wrong.count() < 100);
    }

    #[test]
    fn where_there_are_many_it_does_not_begin() {
        for (rows, begins) in [(0, true), (16_384, true), (16_385, false), (30_000, false)] {
            let known = Known::begin(&engine(rows).snapshot()).expect("reads");
            assert_eq!(known.is_some(), begins, "{rows}");
        }
    }
}
