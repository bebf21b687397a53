//! Where the records of a replica lie: large pieces of memory, so that a record costs its own octets and no more.

/// References count in steps of this many octets.
const UNIT: usize = 8;
/// A piece of memory; a record that is larger gets one of its own.
const CHUNK: usize = 256 * 1024;
/// Bits of a reference that name the place inside of a chunk.
const PLACE_BITS: u32 = 15;
/// Octets before each record: its length.
const HEAD: usize = 4;
/// Marks a record as gone, in its length.
const GONE: u32 = 1 << 31;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At(pub(super) u32);

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Octets of records that are not gone.
    live: usize,
}

/// All records.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The chunk that new records go to.
    open: Option<usize>,
    /// Chunks without memory, to be used again.
    free: Vec<usize>,
}

impl Arena {
    /// Keeps a record; none when all places are taken (32 GiB).
    pub(super) fn push(&mut self, record: &[u8]) -> Option<At> {
        let length = u32::try_from(record.len())
            .ok()
            .filter(|length| length & GONE == 0)?;
        let size = stride(record.len());
        let chunk = match self.open {
            Some(open) if self.chunks.get(open)?.bytes.len() + size <= CHUNK => open,
            _ => self.chunk_for(size)?,
        };
        let slot = self.chunks.get_mut(chunk)?;
        let place = u32::try_from(slot.bytes.len() / UNIT).ok()?;
        slot.bytes.extend_from_slice(&length.to_le_bytes());
        slot.bytes.extend_from_slice(record);
        slot.bytes.resize(slot.bytes.len().next_multiple_of(UNIT), 0);
        slot.live += size;
        let chunk = u32::try_from(chunk).ok()?;
        Some(At(chunk << PLACE_BITS | place))
    }

    /// The record at this place.
    pub(super) fn get(&self, at: At) -> Option<&[u8]> {
        let (chunk, start, length) = self.find(at)?;
        self.chunks.get(chunk)?.bytes.get(start..start + length)
    }

    /// The same, to be changed in place.
    pub(super) fn get_mut(&mut self, at: At) -> Option<&mut [u8]> {
        let (chunk, start, length) = self.find(at)?;
        self.chunks.get_mut(chunk)?.bytes.get_mut(start..start + length)
    }

    /// Gives a record up. Its place is used again when its chunk is empty; see [`Arena::sparse`].
    pub(super) fn remove(&mut self, at: At) {
        let Some((index, start, length)) = self.find(at) else {
            return;
        };
        let open = self.open;
        let Some(chunk) = self.chunks.get_mut(index) else {
            return;
        };
        if let (Some(head), Ok(length)) = (chunk.bytes.get_mut(start - HEAD..start), u32::try_from(length)) {
            head.copy_from_slice(&(length | GONE).to_le_bytes());
        }
        chunk.live = chunk.live.saturating_sub(stride(length));
        if chunk.live == 0 && open != Some(index) {
            *chunk = Chunk::default();
            self.free.push(index);
        }
    }

    /// A chunk that is mostly holes. Its records are to be pushed again and removed there.
    pub(super) fn sparse(&self) -> Option<usize> {
        let hole = |(index, chunk): &(usize, &Chunk)| {
            Some(*index) != self.open && chunk.live > 0 && chunk.live < chunk.bytes.len() / 2
        };
        self.chunks.iter().enumerate().find(hole).map(|(index, _)| index)
    }

    /// How many chunks there are, those without memory included.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The places of the records in a chunk.
    pub(super) fn places(&self, chunk: usize) -> Vec<At> {
        let mut places = Vec::new();
        let Some(bytes) = self.chunks.get(chunk).map(|chunk| &chunk.bytes) else {
            return places;
        };
        let mut start = 0;
        while let Some((length, gone)) = head(bytes, start) {
            let at = u32::try_from(chunk).ok().zip(u32::try_from(start / UNIT).ok());
            if let (Some((chunk, place)), false) = (at, gone) {
                places.push(At(chunk << PLACE_BITS | place));
            }
            start += stride(length);
        }
        places
    }

    /// Octets held.
    pub(super) fn memory(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum();
        chunks + self.chunks.capacity() * size_of::<Chunk>() + self.free.capacity() * size_of::<usize>()
    }

    fn chunk_for(&mut self, size: usize) -> Option<usize> {
        let chunk = Chunk {
            bytes: Vec::with_capacity(size.max(CHUNK)),
            live: 0,
        };
        let index = match self.free.pop() {
            Some(index) => {
                *self.chunks.get_mut(index)? = chunk;
                index
            }
            None if self.chunks.len() < 1 << (32 - PLACE_BITS) => {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            }
            None => return None,
        };
        if size <= CHUNK {
            let closed = self.open.replace(index);
            // Nobody else looks at a chunk that was emptied while it was open.
            if let Some(closed) = closed
                && let Some(chunk) = self.chunks.get_mut(closed)
                && chunk.live == 0
            {
                *chunk = Chunk::default();
                self.free.push(closed);
            }
        }
        Some(index)
    }

    fn find(&self, at: At) -> Option<(usize, usize, usize)> {
        let chunk = usize::try_from(at.0 >> PLACE_BITS).ok()?;
        let place = usize::try_from(at.0 & ((1 << PLACE_BITS) - 1)).ok()?;
        let start = place * UNIT;
        let (length, gone) = head(&self.chunks.get(chunk)?.bytes, start)?;
        (!gone).then_some((chunk, start + HEAD, length))
    }
}

/// The octets that a record of this length takes.
fn stride(length: usize) -> usize {
    (HEAD + length).next_multiple_of(UNIT)
}

fn head(bytes: &[u8], start: usize) -> Option<(usize, bool)> {
    let head = bytes.get(start..start + HEAD)?.try_into().ok()?;
    let length = u32::from_le_bytes(head);
    Some((usize::try_from(length & !GONE).ok()?, length & GONE != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn records_come_back_and_memory_is_used_again() {
        let mut arena = Arena::default();
        let mut model: HashMap<At, Vec<u8>> = HashMap::new();
        let mut high = 0;
        for round in 0..20_000_usize {
            let record = vec![round.to_le_bytes()[0]; round * 37 % 400];
            let at = arena.push(&record).expect("room");
            assert!(model.insert(at, record).is_none(), "a place is given once");
            if model.len() > 2000 {
                let gone: Vec<At> = model.keys().take(1500).copied().collect();
                for at in gone {
                    arena.remove(at);
                    model.remove(&at);
                    assert_eq!(arena.get(at), None);
                }
                while let Some(chunk) = arena.sparse() {
                    for at in arena.places(chunk) {
                        let record = arena.get(at).expect("a record").to_vec();
                        assert_eq!(model.remove(&at).as_deref(), Some(&*record));
                        arena.remove(at);
                        model.insert(arena.push(&record).expect("room"), record);
                    }
                }
            }
            high = high.max(arena.memory());
        }
        for (at, record) in &model {
            assert_eq!(arena.get(*at), Some(&**record));
        }
        let places: usize = (0..arena.chunks()).map(|chunk| arena.places(chunk).len()).sum();
        assert_eq!(places, model.len());
        assert!(high < 3_000_000, "{high}");
        let large = arena.push(&vec![7; 1 << 20]).expect("room");
        assert_eq!(arena.get(large).map(<[u8]>::len), Some(1 << 20));
        let before = arena.memory();
        arena.remove(large);
        assert!(arena.memory() + (1 << 20) <= before);
    }
}
