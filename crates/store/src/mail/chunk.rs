//! Chunks: what is fixed-size about 128 messages, in columns.

use crate::codec::{Decoded, Reader, Writer};
use bytes::Bytes;
use model::Uid;
use std::sync::Arc;

/// Most messages in a chunk.
pub(crate) const CHUNK: usize = 128;
const VERSION: u8 = 1;

/// Up to 128 consecutive messages of a mailbox, ascending by UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The first UID it ever held: its key, which stays when that message goes.
    pub(crate) first: Uid,
    pub(crate) uids: Vec<Uid>,
    /// Bits of `model::SystemFlag`.
    pub(crate) flags: Vec<u8>,
    pub(crate) modseqs: Vec<u64>,
    pub(crate) sizes: Vec<u32>,
    /// (position, index in the mailbox's keyword table), sorted.
    pub(crate) keywords: Vec<(u8, u16)>,
}

/// One message of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) uid: Uid,
    pub(crate) flags: u8,
    pub(crate) modseq: u64,
    pub(crate) size: u32,
    pub(crate) keywords: Vec<u16>,
}

impl Chunk {
    pub(crate) fn new(first: Uid) -> Self {
        Self {
            first,
            uids: Vec::new(),
            flags: Vec::new(),
            modseqs: Vec::new(),
            sizes: Vec::new(),
            keywords: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.uids.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= CHUNK
    }

    pub(crate) fn position(&self, uid: Uid) -> Option<usize> {
        self.uids.binary_search(&uid).ok()
    }

    pub(crate) fn item(&self, position: usize) -> Option<Item> {
        Some(Item {
            uid: *self.uids.get(position)?,
            flags: *self.flags.get(position)?,
            modseq: *self.modseqs.get(position)?,
            size: *self.sizes.get(position)?,
            keywords: self.keywords_at(position),
        })
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Item> + '_ {
        (0..self.len()).filter_map(|position| self.item(position))
    }

    fn keywords_at(&self, position: usize) -> Vec<u16> {
        let start = self
            .keywords
            .partition_point(|(at, _)| usize::from(*at) < position);
        self.keywords
            .iter()
            .skip(start)
            .take_while(|(at, _)| usize::from(*at) == position)
            .map(|(_, keyword)| *keyword)
            .collect()
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.len() * 17 + self.keywords.len() * size_of::<(u8, u16)>()
    }

    /// Appends; the UID is above all others.
    pub(crate) fn push(&mut self, item: Item) {
        let position = u8::try_from(self.len()).unwrap_or(u8::MAX);
        self.keywords
            .extend(item.keywords.iter().map(|keyword| (position, *keyword)));
        self.uids.push(item.uid);
        self.flags.push(item.flags);
        self.modseqs.push(item.modseq);
        self.sizes.push(item.size);
    }

    /// Gives one message new flags.
    pub(crate) fn set(&mut self, position: usize, flags: u8, keywords: &[u16], modseq: u64) {
        if let Some(slot) = self.flags.get_mut(position) {
            *slot = flags;
        }
        if let Some(slot) = self.modseqs.get_mut(position) {
            *slot = modseq;
        }
        if self.keywords.is_empty() && keywords.is_empty() {
            return;
        }
        let at = u8::try_from(position).unwrap_or(u8::MAX);
        self.keywords.retain(|(position, _)| *position != at);
        self.keywords
            .extend(keywords.iter().map(|keyword| (at, *keyword)));
        self.keywords.sort_unstable();
    }

    /// Keeps only what `keep` accepts.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Uid) -> bool) {
        let mut kept = Self::new(self.first);
        for item in self.items().filter(|item| keep(item.uid)) {
            kept.push(item);
        }
        *self = kept;
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut w = Writer::new(VERSION);
        w.size(self.len());
        write_uids(&mut w, &self.uids);
        w.raw(&self.flags);
        let base = self.modseqs.iter().min().copied().unwrap_or(0);
        w.num(base);
        for modseq in &self.modseqs {
            w.num(modseq - base);
        }
        for size in &self.sizes {
            w.num(u64::from(*size));
        }
        w.list(self.keywords.iter(), |w, (position, keyword)| {
            w.u8(*position).num(u64::from(*keyword));
        });
        w.done()
    }

    pub(crate) fn decode(first: Uid, row: &[u8]) -> Decoded<Self> {
        let mut r = Reader::new(row, "chunk", VERSION)?;
        let count = r.size()?;
        if count > CHUNK {
            return Err(r.corrupt());
        }
        let uids = read_uids(&mut r, count)?;
        let flags = r.take(count)?.to_vec();
        let base = r.num()?;
        let modseqs = (0..count)
            .map(|_| base.checked_add(r.num()?).ok_or_else(|| r.corrupt()))
            .collect::<Decoded<Vec<_>>>()?;
        let sizes = (0..count).map(|_| r.num32()).collect::<Decoded<Vec<_>>>()?;
        let keywords = r.list(|r| {
            let position = r.u8()?;
            let keyword = u16::try_from(r.num()?).map_err(|_| r.corrupt())?;
            if usize::from(position) >= count {
                return Err(r.corrupt());
            }
            Ok((position, keyword))
        })?;
        r.end()?;
        if uids.first().is_some_and(|uid| *uid < first) {
            return Err(r.corrupt());
        }
        Ok(Self {
            first,
            uids,
            flags,
            modseqs,
            sizes,
            keywords,
        })
    }
}

/// Finds UIDs in the chunks of a mailbox: the one behind the last found costs nothing, so whoever asks in
/// ascending order walks instead of searching each time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Walk {
    chunk: usize,
    position: usize,
}

impl Walk {
    /// The number of the chunk and the position in it.
    pub(crate) fn find(&mut self, chunks: &[Arc<Chunk>], uid: Uid) -> Option<(usize, usize)> {
        let is_at = |at: usize, position: usize| {
            let known = chunks.get(at).and_then(|chunk| chunk.uids.get(position));
            (known == Some(&uid)).then_some((at, position))
        };
        let found = is_at(self.chunk, self.position)
            .or_else(|| is_at(self.chunk.saturating_add(1), 0))
            .or_else(|| {
                let at = chunks
                    .partition_point(|chunk| chunk.first <= uid)
                    .checked_sub(1)?;
                Some((at, chunks.get(at)?.position(uid)?))
            })?;
        (self.chunk, self.position) = (found.0, found.1.saturating_add(1));
        Some(found)
    }

    /// The same with the message.
    pub(crate) fn item(&mut self, chunks: &[Arc<Chunk>], uid: Uid) -> Option<(usize, usize, Item)> {
        let (at, position) = self.find(chunks, uid)?;
        Some((at, position, chunks.get(at)?.item(position)?))
    }
}

/// Ascending UIDs as runs: the gap before the run, and its length.
pub(crate) fn write_uids(w: &mut Writer, uids: &[Uid]) {
    let mut last = 0u32;
    let mut rest = uids;
    while let Some(start) = rest.first().map(|uid| uid.get()) {
        let run = rest
            .iter()
            .zip(start..=u32::MAX)
            .take_while(|(uid, expected)| uid.get() == *expected)
            .count();
        w.num(u64::from(start - last)).size(run);
        rest = rest.get(run..).unwrap_or_default();
        // The last UID of the run: the highest one has no successor.
        last = (start - 1).saturating_add(u32::try_from(run).unwrap_or(u32::MAX));
    }
}

/// Reads exactly `count` UIDs.
pub(crate) fn read_uids(r: &mut Reader<'_>, count: usize) -> Decoded<Vec<Uid>> {
    let mut uids = Vec::with_capacity(count.min(CHUNK));
    let mut last = 0u32;
    while uids.len() < count {
        let (gap, run) = (r.num32()?, r.num()?);
        let fits = run > 0 && gap > 0 && run <= (count - uids.len()) as u64;
        let mut uid = last
            .checked_add(gap)
            .filter(|_| fits)
            .ok_or_else(|| r.corrupt())?;
        for step in 0..run {
            if step > 0 {
                uid = uid.checked_add(1).ok_or_else(|| r.corrupt())?;
            }
            uids.push(Uid::new(uid).map_err(|_| r.corrupt())?);
        }
        last = uid;
    }
    Ok(uids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(steps: &[(u8, u8, u16, u32)]) -> Chunk {
        let mut uid = 5u32;
        let mut chunk = Chunk::new(Uid::new(5).expect("uid"));
        for (step, flags, keyword, size) in steps {
            uid += u32::from(*step % 3);
            chunk.push(Item {
                uid: Uid::new(uid).expect("uid"),
                flags: *flags,
                modseq: u64::from(*size) * 7,
                size: *size,
                keywords: if keyword % 4 == 0 { vec![*keyword] } else { vec![] },
            });
            uid += 1;
        }
        chunk
    }

    proptest! {
        #[test]
        fn round_trip(steps in proptest::collection::vec(any::<(u8, u8, u16, u32)>(), 0..128)) {
            let chunk = chunk(&steps);
            prop_assert_eq!(Chunk::decode(chunk.first, &chunk.encode()).expect("decodes"), chunk);
        }

        #[test]
        fn damage_never_panics(
            steps in proptest::collection::vec(any::<(u8, u8, u16, u32)>(), 0..40),
            at in 0usize..400,
            x: u8,
            cut in 0usize..400,
        ) {
            let chunk = chunk(&steps);
            let mut row = chunk.encode().to_vec();
            if let Some(byte) = row.get_mut(at) {
                *byte = x;
            }
            row.truncate(cut);
            let _ = Chunk::decode(chunk.first, &row);
        }
    }

    #[test]
    fn the_highest_uids_round_trip() {
        let uids: Vec<Uid> = [7, u32::MAX - 1, u32::MAX]
            .into_iter()
            .map(|uid| Uid::new(uid).expect("uid"))
            .collect();
        let mut w = Writer::new(VERSION);
        write_uids(&mut w, &uids);
        let row = w.done();
        let mut r = Reader::new(&row, "uids", VERSION).expect("version");
        assert_eq!(read_uids(&mut r, uids.len()).expect("reads"), uids);
    }

    #[test]
    fn a_run_is_small() {
        let mut chunk = Chunk::new(Uid::MIN);
        for uid in 1..=128 {
            let uid = Uid::new(uid).expect("uid");
            chunk.push(Item {
                uid,
                flags: 0,
                modseq: 9,
                size: 100,
                keywords: vec![],
            });
        }
        assert!(chunk.encode().len() < 128 * 3 + 16);
    }
}
