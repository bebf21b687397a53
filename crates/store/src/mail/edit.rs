//! What a change does to messages that are there: new flags, or removal.

use super::cell::Content;
use super::chunk::{Item, Walk};
use super::expunge::write_log;
use super::message::body_of;
use super::rows::MailboxRow;
use super::txn::Txn;
use super::types::MailboxId;
use crate::commit::Op;
use crate::engine::Space;
use crate::{StoreError, keys};
use model::{Flag, Keyword, SystemFlag, Uid};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Txn<'_> {
    /// Gives the named messages new flags, where `change` says so; returns those that are different now.
    pub(super) fn change_flags(
        &mut self,
        id: MailboxId,
        uids: &[Uid],
        change: impl Fn(&Item) -> Option<(u8, Vec<u16>)>,
    ) -> Result<Vec<Uid>, StoreError> {
        let different = |item: &Item| {
            let (flags, keywords) = change(item)?;
            (flags != item.flags || keywords != item.keywords).then_some((flags, keywords))
        };
        // Nothing is touched before the first message that is different.
        let working = self.peek(id)?;
        let mut walk = Walk::default();
        let first = uids.iter().position(|uid| {
            let item = walk.item(working.chunks(), *uid);
            item.is_some_and(|(_, _, item)| different(&item).is_some())
        });
        let Some(uids) = first.and_then(|first| uids.get(first..)) else {
            return Ok(Vec::new());
        };
        let modseq = self.modseq();
        let working = self.mailbox(id)?;
        let Content::Full(chunks) = &mut working.content else {
            return Err(StoreError::Conflict);
        };
        let row = &mut working.row;
        row.highest_modseq = modseq;
        let mut changed = Vec::with_capacity(uids.len());
        let mut written: Vec<Uid> = Vec::new();
        let mut walk = Walk::default();
        for uid in uids {
            let Some((at, position, item)) = walk.item(chunks, *uid) else {
                continue;
            };
            let Some((flags, keywords)) = different(&item) else {
                continue;
            };
            let Some(chunk) = chunks.get_mut(at) else { continue };
            count_flags(row, item.flags, flags);
            Arc::make_mut(chunk).set(position, flags, &keywords, modseq);
            if written.last() != Some(&chunk.first) {
                written.push(chunk.first);
            }
            changed.push(*uid);
        }
        self.chunks.extend(written.into_iter().map(|first| (id, first)));
        Ok(changed)
    }

    /// Removes the named messages: rows, references, places; keeps their UIDs in the expunge log. `rows` gives
    /// the message rows.
    pub(super) fn expunge(&mut self, id: MailboxId, uids: &BTreeSet<Uid>) -> Result<Vec<Uid>, StoreError> {
        let mut gone = Vec::new();
        let mut walk = Walk::default();
        for uid in uids {
            let Some((_, _, item)) = walk.item(self.peek(id)?.chunks(), *uid) else {
                continue;
            };
            let key = keys::message(self.id, id, *uid);
            let Some(row) = self.store.engine().get(Space::Mail, &key)? else {
                // Not committed yet, so nobody can have asked for this one.
                continue;
            };
            self.ops.push(Op::Release(body_of(self.id, &row)?));
            self.ops.push(Op::Delete(Space::Mail, key));
            self.forget(id, &item)?;
            gone.push(*uid);
        }
        if gone.is_empty() {
            return Ok(gone);
        }
        self.make_durable();
        let modseq = self.modseq();
        let removed: BTreeSet<Uid> = gone.iter().copied().collect();
        let working = self.mailbox(id)?;
        working.row.highest_modseq = modseq;
        let mut changed = Vec::new();
        if let Content::Full(chunks) = &mut working.content {
            for chunk in chunks.iter_mut() {
                if chunk.uids.iter().any(|uid| removed.contains(uid)) {
                    Arc::make_mut(chunk).retain(|uid| !removed.contains(&uid));
                    changed.push(chunk.first);
                }
            }
            chunks.retain(|chunk| chunk.len() > 0);
            working.row.tail = chunks.last().map(|chunk| chunk.first);
        }
        self.chunks.extend(changed.into_iter().map(|first| (id, first)));
        let key = keys::expunged(self.id, id, modseq);
        self.ops.push(Op::Put(Space::Mail, key, write_log(&gone)));
        Ok(gone)
    }

    fn forget(&mut self, id: MailboxId, item: &Item) -> Result<(), StoreError> {
        self.account.bytes = self.account.bytes.saturating_sub(u64::from(item.size));
        self.account.messages = self.account.messages.saturating_sub(1);
        let row = &mut self.mailbox(id)?.row;
        row.messages = row.messages.saturating_sub(1);
        row.size = row.size.saturating_sub(u64::from(item.size));
        let seen = item.flags & SystemFlag::Seen as u8 != 0;
        row.unseen = row.unseen.saturating_sub(u32::from(!seen));
        let deleted = item.flags & SystemFlag::Deleted as u8 != 0;
        row.deleted = row.deleted.saturating_sub(u32::from(deleted));
        let recent = item.uid.get() >= row.recent_from;
        row.recent = row.recent.saturating_sub(u32::from(recent));
        Ok(())
    }
}

fn count_flags(row: &mut MailboxRow, old: u8, new: u8) {
    let was = |flag: SystemFlag| old & flag as u8 != 0;
    let is = |flag: SystemFlag| new & flag as u8 != 0;
    match (was(SystemFlag::Seen), is(SystemFlag::Seen)) {
        (false, true) => row.unseen = row.unseen.saturating_sub(1),
        (true, false) => row.unseen = row.unseen.saturating_add(1),
        _ => {}
    }
    match (was(SystemFlag::Deleted), is(SystemFlag::Deleted)) {
        (true, false) => row.deleted = row.deleted.saturating_sub(1),
        (false, true) => row.deleted = row.deleted.saturating_add(1),
        _ => {}
    }
}

/// Whether a stored item carries the flag.
pub(super) fn has(item: &Item, flag: &Flag, table: &[Keyword]) -> bool {
    match flag {
        Flag::System(flag) => item.flags & *flag as u8 != 0,
        Flag::Keyword(keyword) => item
            .keywords
            .iter()
            .filter_map(|index| table.get(usize::from(*index)))
            .any(|known| known.matches(keyword)),
    }
}
