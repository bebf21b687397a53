//! A mailbox at one moment, shared by every session that looks at it.

use super::chunk::{Chunk, Item};
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
    gone: bool,
}

impl Snapshot {
    pub(super) fn new(row: MailboxRow, chunks: Vec<Arc<Chunk>>) -> Self {
        let mut len = 0u32;
        let starts = chunks
            .iter()
            .map(|chunk| {
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
            gone: false,
        }
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
        let (at, position) = self.find(uid)?;
        let item = self.chunks.get(at)?.item(position)?;
        Some(self.entry(self.seq_at(at, position)?, &item))
    }

    /// The sequence number of this UID.
    #[must_use]
    pub fn seq_of(&self, uid: Uid) -> Option<u32> {
        let (at, position) = self.find(uid)?;
        self.seq_at(at, position)
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

    fn find(&self, uid: Uid) -> Option<(usize, usize)> {
        let at = self
            .chunks
            .partition_point(|chunk| chunk.first <= uid)
            .checked_sub(1)?;
        Some((at, self.chunks.get(at)?.position(uid)?))
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
