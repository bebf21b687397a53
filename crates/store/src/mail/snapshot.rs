//! A mailbox at one moment, shared by every session that looks at it.

use super::chunk::{Chunk, Item, Walk};
use super::rows::MailboxRow;
use super::types::MailboxId;
use model::{Flags, Keyword, MailboxName, ModSeq, SystemFlag, Uid, UidValidity};
use std::cmp::Ordering;
use std::sync::Arc;

/// One message of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Sequence number in this snapshot, from 1.
    pub seq: u32,
    /// UID.
    pub uid: Uid,
    /// Flags; `\Recent` is the session's business.
    pub flags: Flags,
    /// MODSEQ.
    pub modseq: ModSeq,
    /// Octets.
    pub size: u64,
}

/// What happened between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Removed messages with their sequence number in the *old* snapshot, ascending. A session that announces
    /// them one by one does so from the last to the first, so that the numbers stay right.
    pub expunged: Vec<(u32, Uid)>,
    /// New messages, ascending.
    pub added: Vec<Uid>,
    /// Messages in both whose flags or MODSEQ changed, ascending.
    pub flags: Vec<Uid>,
}

impl Changes {
    /// True when nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expunged.is_empty() && self.added.is_empty() && self.flags.is_empty()
    }
}

/// An immutable state of a mailbox; a session's sequence numbers are positions in the one it keeps.
#[derive(Debug, Clone)]
pub struct Snapshot {
    row: MailboxRow,
    chunks: Vec<Arc<Chunk>>,
    /// Messages before each chunk.
    starts: Vec<u32>,
    len: u32,
    bytes: usize,
    gone: bool,
}

/// Looks messages of one snapshot up, best in ascending order: the next one is found without a search.
#[derive(Debug, Clone)]
pub struct Lookup<'a> {
    snapshot: &'a Snapshot,
    walk: Walk,
}

impl Lookup<'_> {
    /// The message with this UID.
    #[must_use]
    pub fn by_uid(&mut self, uid: Uid) -> Option<Entry> {
        let (at, position, item) = self.walk.item(&self.snapshot.chunks, uid)?;
        let seq = self.snapshot.seq_at(at, position)?;
        Some(self.snapshot.entry(seq, &item))
    }

    /// The sequence number of this UID.
    #[must_use]
    pub fn seq_of(&mut self, uid: Uid) -> Option<u32> {
        let (at, position) = self.walk.find(&self.snapshot.chunks, uid)?;
        self.snapshot.seq_at(at, position)
    }
}

impl Snapshot {
    pub(super) fn new(row: MailboxRow, chunks: Vec<Arc<Chunk>>) -> Self {
        let mut len = 0u32;
        let words = row.keywords.iter();
        let mut bytes: usize = words.map(|keyword| 16 + keyword.as_str().len()).sum();
        let starts = chunks
            .iter()
            .map(|chunk| {
                bytes += chunk.bytes();
                let start = len;
                len = len.saturating_add(u32::try_from(chunk.len()).unwrap_or(0));
                start
            })
            .collect();
        Self {
            row,
            chunks,
            starts,
            len,
            bytes,
            gone: false,
        }
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same state, after the mailbox was deleted.
    pub(super) fn deleted(&self) -> Self {
        Self {
            gone: true,
            ..self.clone()
        }
    }

    /// The mailbox's lasting id.
    #[must_use]
    pub fn id(&self) -> MailboxId {
        self.row.id
    }

    /// Its name at that moment.
    #[must_use]
    pub fn name(&self) -> &MailboxName {
        &self.row.name
    }

    /// UIDVALIDITY.
    #[must_use]
    pub fn uid_validity(&self) -> UidValidity {
        self.row.uid_validity
    }

    /// UIDNEXT.
    #[must_use]
    pub fn uid_next(&self) -> Uid {
        Uid::new(self.row.uid_next).unwrap_or(Uid::MAX)
    }

    /// HIGHESTMODSEQ.
    #[must_use]
    pub fn highest_modseq(&self) -> ModSeq {
        ModSeq::new(self.row.highest_modseq).unwrap_or_default()
    }

    /// True once the mailbox was deleted: the session should end its selection.
    #[must_use]
    pub fn gone(&self) -> bool {
        self.gone
    }

    /// EXISTS.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True without messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Messages without `\Seen`.
    #[must_use]
    pub fn unseen(&self) -> u32 {
        self.row.unseen
    }

    /// UIDs from this one on have not been claimed by any session as `\Recent`: see
    /// [`super::Mailbox::claim_recent`].
    #[must_use]
    pub fn recent_from(&self) -> u32 {
        self.row.recent_from
    }

    /// How many messages have not been claimed.
    #[must_use]
    pub fn recent(&self) -> u32 {
        self.row.recent
    }

    /// Messages with `\Deleted`.
    pub(super) fn deleted_count(&self) -> u32 {
        self.row.deleted
    }

    /// Octets of all messages.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.row.size
    }

    /// Sequence number of the first message without `\Seen`.
    #[must_use]
    pub fn first_unseen(&self) -> Option<u32> {
        if self.row.unseen == 0 {
            return None;
        }
        self.chunks.iter().zip(&self.starts).find_map(|(chunk, start)| {
            let position = chunk
                .flags
                .iter()
                .position(|flags| flags & SystemFlag::Seen as u8 == 0)?;
            Some(start + u32::try_from(position).ok()? + 1)
        })
    }

    /// The keywords in use in this mailbox.
    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.row.keywords
    }

    /// The message with this sequence number.
    #[must_use]
    pub fn by_seq(&self, seq: u32) -> Option<Entry> {
        let index = seq.checked_sub(1)?;
        let at = self
            .starts
            .partition_point(|start| *start <= index)
            .checked_sub(1)?;
        let position = index - self.starts.get(at)?;
        let item = self.chunks.get(at)?.item(usize::try_from(position).ok()?)?;
        Some(self.entry(seq, &item))
    }

    /// The message with this UID.
    #[must_use]
    pub fn by_uid(&self, uid: Uid) -> Option<Entry> {
        self.lookup().by_uid(uid)
    }

    /// The sequence number of this UID.
    #[must_use]
    pub fn seq_of(&self, uid: Uid) -> Option<u32> {
        self.lookup().seq_of(uid)
    }

    /// For looking up many messages.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup {
            snapshot: self,
            walk: Walk::default(),
        }
    }

    /// UIDs from `first` to `last`, both included, of messages that are there.
    pub fn uids(&self, first: Uid, last: Uid) -> impl Iterator<Item = Uid> + '_ {
        let start = self.chunks.partition_point(|chunk| chunk.first <= first);
        self.uids_from(start.saturating_sub(1))
            .skip_while(move |uid| *uid < first)
            .take_while(move |uid| *uid <= last)
    }

    /// UIDs of the messages with sequence numbers from `first` to `last`, both included.
    pub fn uids_of_seqs(&self, first: u32, last: u32) -> impl Iterator<Item = Uid> + '_ {
        let start = self.starts.partition_point(|start| *start < first);
        let start = start.saturating_sub(1);
        let before = self.starts.get(start).copied().unwrap_or(0);
        let skipped = first.saturating_sub(before).saturating_sub(1);
        let count = (last.saturating_add(1)).saturating_sub(first.max(1));
        self.uids_from(start).skip(skipped as usize).take(count as usize)
    }

    fn uids_from(&self, at: usize) -> impl Iterator<Item = Uid> + '_ {
        self.chunks
            .iter()
            .skip(at)
            .flat_map(|chunk| chunk.uids.iter().copied())
    }

    /// All messages in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.starting_at(0)
    }

    /// Messages with UIDs from `first` to `last`, both included.
    pub fn range_uids(&self, first: Uid, last: Uid) -> impl Iterator<Item = Entry> + '_ {
        let start = self.chunks.partition_point(|chunk| chunk.first <= first);
        self.starting_at(start.saturating_sub(1))
            .skip_while(move |entry| entry.uid < first)
            .take_while(move |entry| entry.uid <= last)
    }

    /// Messages with sequence numbers from `first` to `last`, both included.
    pub fn range_seqs(&self, first: u32, last: u32) -> impl Iterator<Item = Entry> + '_ {
        let start = self.starts.partition_point(|start| *start < first);
        self.starting_at(start.saturating_sub(1))
            .skip_while(move |entry| entry.seq < first)
            .take_while(move |entry| entry.seq <= last)
    }

    fn starting_at(&self, at: usize) -> impl Iterator<Item = Entry> + '_ {
        let first = self.starts.get(at).copied().unwrap_or(0) + 1;
        self.chunks
            .iter()
            .skip(at)
            .flat_map(|chunk| chunk.items())
            .zip(first..)
            .map(|(item, seq)| self.entry(seq, &item))
    }

    fn entry(&self, seq: u32, item: &Item) -> Entry {
        let keywords = item
            .keywords
            .iter()
            .filter_map(|index| self.row.keywords.get(usize::from(*index)).cloned());
        Entry {
            seq,
            uid: item.uid,
            flags: Flags::from_parts(item.flags, keywords.collect()),
            modseq: ModSeq::new(item.modseq).unwrap_or_default(),
            size: u64::from(item.size),
        }
    }

    fn seq_at(&self, chunk: usize, position: usize) -> Option<u32> {
        let start = self.starts.get(chunk)?;
        Some(start + u32::try_from(position).ok()? + 1)
    }

    /// What happened since `old`, which is an earlier state of the same mailbox. Chunks that both share cost
    /// nothing.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Changes {
        let mut changes = Changes::default();
        let mut before = old.chunks.iter().zip(&old.starts).peekable();
        let mut after = self.chunks.iter().peekable();
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((b, _)), Some(a)) => b.first.cmp(&a.first),
            };
            let was = if order == Ordering::Greater {
                None
            } else {
                before.next()
            };
            let is = if order == Ordering::Less {
                None
            } else {
                after.next()
            };
            match (was, is) {
                (Some((was, _)), Some(is)) if Arc::ptr_eq(was, is) => {}
                (was, is) => compare(
                    was.map(|(chunk, start)| (&**chunk, *start)),
                    is.map(|chunk| &**chunk),
                    &mut changes,
                ),
            }
        }
    }
}

/// Merges two states of one chunk.
fn compare(was: Option<(&Chunk, u32)>, is: Option<&Chunk>, changes: &mut Changes) {
    let (old, start) = was.map_or((&[][..], 0), |(chunk, start)| (chunk.uids.as_slice(), start));
    let new = is.map_or(&[][..], |chunk| chunk.uids.as_slice());
    for (seq, uid) in (start + 1..).zip(old) {
        if new.binary_search(uid).is_err() {
            changes.expunged.push((seq, *uid));
        }
    }
    for (position, uid) in new.iter().enumerate() {
        match old.binary_search(uid) {
            Err(_) => changes.added.push(*uid),
            Ok(at) => {
                let before = was.and_then(|(chunk, _)| chunk.modseqs.get(at));
                if before != is.and_then(|chunk| chunk.modseqs.get(position)) {
                    changes.flags.push(*uid);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::chunk::CHUNK;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A mailbox with these UIDs; some of the first of a chunk may have gone since.
    fn snapshot(there: &BTreeSet<u32>, chunk: usize) -> Snapshot {
        let row = MailboxRow {
            id: MailboxId(1),
            boot: 1,
            name: MailboxName::inbox(),
            special_use: None,
            uid_validity: UidValidity::new(1).expect("validity"),
            uid_next: 1 << 20,
            uid_ceiling: 1 << 20,
            highest_modseq: 1,
            messages: 0,
            unseen: 0,
            deleted: 0,
            recent: 0,
            recent_from: 1,
            size: 0,
            tail: None,
            keywords: Arc::new(
                ["a", "b"]
                    .map(|word| Keyword::parse(word).expect("keyword"))
                    .to_vec(),
            ),
        };
        let uids: Vec<u32> = there.iter().copied().collect();
        let chunks = uids.chunks(chunk).map(|uids| {
            let gone = uids[0] > 1 && !there.contains(&(uids[0] - 1));
            let mut chunk = Chunk::new(Uid::new(uids[0] - u32::from(gone)).expect("uid"));
            for uid in uids {
                let keywords = (0..2).filter(|word| (uid >> word) & 1 == 1).collect();
                chunk.push(Item {
                    uid: Uid::new(*uid).expect("uid"),
                    flags: u8::try_from(uid % 32).expect("small"),
                    modseq: u64::from(*uid),
                    size: *uid,
                    keywords,
                });
            }
            Arc::new(chunk)
        });
        Snapshot::new(row, chunks.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn walking_finds_what_searching_finds(
            there in proptest::collection::btree_set(1u32..600, 0..300),
            asked in proptest::collection::vec(1u32..600, 0..100),
            chunk in 1..CHUNK,
            sorted: bool,
            a in 0u32..320, b in 0u32..320,
        ) {
            let snapshot = snapshot(&there, chunk);
            let all: Vec<Entry> = snapshot.iter().collect();
            prop_assert_eq!(all.len(), there.len());
            let mut asked = asked;
            if sorted {
                asked.sort_unstable();
            }
            let mut lookup = snapshot.lookup();
            for number in asked.iter().chain(&there) {
                let uid = Uid::new(*number).expect("uid");
                let expected = all.iter().find(|entry| entry.uid == uid);
                prop_assert_eq!(lookup.by_uid(uid), expected.cloned());
                prop_assert_eq!(lookup.clone().seq_of(uid), expected.map(|entry| entry.seq));
                prop_assert_eq!(snapshot.by_uid(uid), expected.cloned());
                if let Some(entry) = expected {
                    let words: Vec<&str> = entry.flags.keywords().iter().map(Keyword::as_str).collect();
                    let known = [(1, "a"), (2, "b")].into_iter().filter(|(bit, _)| number & bit != 0);
                    prop_assert_eq!(words, known.map(|(_, word)| word).collect::<Vec<_>>());
                }
            }
            let within = |entry: &&Entry| (a..=b).contains(&entry.seq);
            let expected: Vec<Uid> = all.iter().filter(within).map(|entry| entry.uid).collect();
            prop_assert_eq!(snapshot.uids_of_seqs(a, b).collect::<Vec<_>>(), expected);
            if let (Ok(first), Ok(last)) = (Uid::new(a), Uid::new(b)) {
                let within = |uid: &Uid| (first..=last).contains(uid);
                let expected: Vec<Uid> = all.iter().map(|entry| entry.uid).filter(within).collect();
                prop_assert_eq!(snapshot.uids(first, last).collect::<Vec<_>>(), expected);
            }
        }
    }
}
