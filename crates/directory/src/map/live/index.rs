//! A hash table from 32-bit fingerprints to places. It keeps no keys: who asks compares with the record.

use super::arena::At;

/// The smallest table that holds anything.
const SMALLEST: usize = 64;
/// No record has this place.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot {
    print: u32,
    at: u32,
}

const EMPTY: Slot = Slot {
    print: 0,
    at: NOWHERE,
};

/// Open addressing with linear probing; a fingerprint may stand in it more than once.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<Slot>,
    used: usize,
}

impl Index {
    /// Adds a place under a fingerprint.
    pub(super) fn insert(&mut self, print: u32, at: At) {
        // At most four fifths full, and it grows by half: between 10 and 15 octets for each place.
        if (self.used + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.used += 1;
        place(&mut self.slots, Slot { print, at: at.0 });
    }

    /// The places under a fingerprint.
    pub(super) fn places(&self, print: u32) -> impl Iterator<Item = At> + '_ {
        self.run(print)
            .filter(move |(_, slot)| slot.print == print)
            .map(|(_, slot)| At(slot.at))
    }

    /// Removes a place.
    pub(super) fn remove(&mut self, print: u32, at: At) {
        // A record stands here under each of its texts, so the place alone does not tell.
        let is_it = |slot: &Slot| slot.print == print && slot.at == at.0;
        let found = self
            .run(print)
            .find(|(_, slot)| is_it(slot))
            .map(|(index, _)| index);
        let Some(mut hole) = found else { return };
        self.used -= 1;
        let length = self.slots.len();
        let mut next = hole;
        loop {
            next = (next + 1) % length;
            let Some(slot) = self.slots.get(next).copied().filter(|slot| slot.at != NOWHERE) else {
                break;
            };
            // What would not be found any more behind an empty slot moves into the hole.
            let from_home = (next + length - home(slot.print, length)) % length;
            let from_hole = (next + length - hole) % length;
            if from_home >= from_hole {
                if let Some(target) = self.slots.get_mut(hole) {
                    *target = slot;
                }
                hole = next;
            }
        }
        if let Some(slot) = self.slots.get_mut(hole) {
            *slot = EMPTY;
        }
    }

    /// Octets held.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// The slots from a fingerprint's home to the next empty one.
    fn run(&self, print: u32) -> impl Iterator<Item = (usize, Slot)> + '_ {
        let length = self.slots.len();
        let start = if length == 0 { 0 } else { home(print, length) };
        let (tail, front) = self.slots.split_at_checked(start).unwrap_or((&[], &[]));
        let ahead = front
            .iter()
            .enumerate()
            .map(move |(offset, slot)| (start + offset, *slot));
        let around = tail.iter().enumerate().map(|(offset, slot)| (offset, *slot));
        ahead.chain(around).take_while(|(_, slot)| slot.at != NOWHERE)
    }

    fn grow(&mut self) {
        let length = (self.slots.len() / 2 * 3).max(SMALLEST);
        let mut slots = vec![EMPTY; length];
        for slot in self.slots.iter().filter(|slot| slot.at != NOWHERE) {
            place(&mut slots, *slot);
        }
        self.slots = slots;
    }
}

fn place(slots: &mut [Slot], slot: Slot) {
    let length = slots.len();
    if length == 0 {
        return;
    }
    let mut index = home(slot.print, length);
    while let Some(found) = slots.get_mut(index) {
        if found.at == NOWHERE {
            *found = slot;
            return;
        }
        index = (index + 1) % length;
    }
}

/// Where a fingerprint would like to stand: its share of the whole range.
fn home(print: u32, length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    usize::try_from((u64::from(print) * length) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_as_a_list_of_pairs(steps in prop::collection::vec((any::<bool>(), 0_u32..40, 0_u32..200), 0..400)) {
            let mut index = Index::default();
            let mut model: Vec<(u32, At)> = Vec::new();
            for (add, print, at) in steps {
                // Fingerprints at both ends of the range, so that runs go around the end.
                let print = if print < 20 { u32::MAX - print } else { print };
                let pair = (print, At(at));
                if add && !model.contains(&pair) {
                    index.insert(print, At(at));
                    model.push(pair);
                } else if !add {
                    index.remove(print, At(at));
                    model.retain(|other| *other != pair);
                }
                let mut found: Vec<At> = index.places(print).collect();
                found.sort();
                let mut expected: Vec<At> = model.iter().filter(|pair| pair.0 == print).map(|pair| pair.1).collect();
                expected.sort();
                prop_assert_eq!(found, expected);
            }
            prop_assert_eq!(index.used, model.len());
        }
    }
}
