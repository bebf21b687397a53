//! EXPUNGE and the log of expunged UIDs.

use super::chunk::{read_uids, write_uids};
use super::mailbox::Mailbox;
use super::mailboxes::EACH;
use super::types::MailboxId;
use crate::codec::{Decoded, Reader, Writer};
use crate::commit::{Batch, Class, Expect};
use crate::engine::{PAGE_ROWS, Space, after_key, after_prefix};
use crate::{Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, ModSeq, SystemFlag, Uid};
use std::collections::BTreeSet;

/// More UIDs than this are never in one row of the log.
const LOGGED: usize = 1 << 24;
/// Rows of the log of one mailbox beyond which the oldest are merged, how many then stay as they are, and how
/// many UIDs a merged row holds before the next one is begun.
const ROWS: usize = PAGE_ROWS - 1;
const NEWEST: usize = 64;
const MERGED: usize = 1 << 20;

const VERSION: u8 = 1;

pub(super) fn write_log(gone: &[Uid]) -> Bytes {
    let mut w = Writer::new(VERSION);
    w.size(gone.len());
    write_uids(&mut w, gone);
    w.done()
}

fn read_log(row: &[u8]) -> Decoded<Vec<Uid>> {
    let mut r = Reader::new(row, "expunge log", VERSION)?;
    // A run of any length takes a few octets, so the count is not bounded by the row.
    let count = usize::try_from(r.num()?).ok().filter(|count| *count <= LOGGED);
    let count = count.ok_or_else(|| r.corrupt())?;
    read_uids(&mut r, count)
}

impl Mailbox {
    /// Removes messages with `\Deleted`: all of them, or those among `only` (UID EXPUNGE, RFC 4315 section
    /// 2.1). Returns the removed UIDs, ascending.
    pub async fn expunge(&self, only: Option<&[Uid]>) -> Result<Vec<Uid>, StoreError> {
        let (store, id) = (&self.mail.store, self.id);
        let only: Option<BTreeSet<Uid>> = only.map(|uids| uids.iter().copied().collect());
        let most = self.snapshot().deleted_count();
        store
            .write_mail(self.mail.id, most as usize * EACH, Some(id), |txn| {
                let items = txn.peek(id)?.chunks().iter().flat_map(|chunk| chunk.items());
                let doomed: BTreeSet<Uid> = items
                    .filter(|item| item.flags & SystemFlag::Deleted as u8 != 0)
                    .map(|item| item.uid)
                    .filter(|uid| only.as_ref().is_none_or(|only| only.contains(uid)))
                    .collect();
                txn.expunge(id, &doomed)
            })
            .await
    }

    /// Removes these messages whatever their flags (POP3 DELE at QUIT). Returns the removed UIDs, ascending.
    pub async fn remove(&self, uids: &[Uid]) -> Result<Vec<Uid>, StoreError> {
        let (store, id) = (&self.mail.store, self.id);
        let doomed: BTreeSet<Uid> = uids.iter().copied().collect();
        store
            .write_mail(self.mail.id, uids.len() * EACH, Some(id), |txn| {
                txn.expunge(id, &doomed)
            })
            .await
    }

    /// UIDs that were expunged by changes with a MODSEQ above `since`, ascending (RFC 7162 section 3.2.10). For
    /// a `since` of long ago some that went before it are among them, which a client passes over.
    pub fn vanished_since(&self, since: ModSeq) -> Result<Vec<Uid>, StoreError> {
        let account = self.mail.id;
        let end = after_prefix(&keys::expunged_of(account, self.id));
        let mut from = keys::expunged(account, self.id, since.get().saturating_add(1));
        let mut gone = BTreeSet::new();
        loop {
            let snapshot = self.mail.store.engine().snapshot();
            let page = snapshot.page(Space::Mail, &from, &end, PAGE_ROWS)?;
            for (_, row) in &page.rows {
                gone.extend(read_log(row).map_err(|error| error.of(account))?);
            }
            match page.rows.last() {
                Some((key, _)) if page.more => from = after_key(key),
                _ => return Ok(gone.into_iter().collect()),
            }
        }
    }
}

impl Store {
    /// Merges the oldest rows of each long expunge log of an account, so that the log is as short as its UIDs
    /// are contiguous. A merged row stands at the highest of its MODSEQs: nobody who asks misses a UID. Returns
    /// how many rows went.
    pub(crate) async fn merge_expunged(&self, id: AccountId) -> Result<usize, StoreError> {
        let end = after_prefix(&keys::expunged_all(id));
        let mut from = keys::expunged_all(id);
        let mut merged = 0;
        loop {
            let next = self.engine().snapshot().page(Space::Mail, &from, &end, 1)?;
            let mailbox = next.rows.first().and_then(|(key, _)| key.get(9..13));
            let Some(mailbox) = mailbox.and_then(|digits| digits.try_into().ok()) else {
                return Ok(merged);
            };
            let prefix = keys::expunged_of(id, MailboxId(u32::from_be_bytes(mailbox)));
            merged += self.merge_log(&prefix).await.map_err(|error| error.of(id))?;
            from = after_prefix(&prefix);
        }
    }

    async fn merge_log(&self, prefix: &[u8]) -> Result<usize, StoreError> {
        let end = after_prefix(prefix);
        let mut from = prefix.to_vec();
        let mut merged = 0;
        loop {
            let page = self
                .engine()
                .snapshot()
                .page(Space::Mail, &from, &end, PAGE_ROWS)?;
            let Some((key, _)) = page.rows.last() else {
                return Ok(merged);
            };
            if page.rows.len() <= ROWS {
                if !page.more {
                    return Ok(merged);
                }
                // Few rows fill a page: these have been merged before.
                from = after_key(key);
                continue;
            }
            let old = page.rows.len().saturating_sub(NEWEST);
            let Some((last, batch)) = merge(page.rows.get(..old).unwrap_or_default())? else {
                return Ok(merged);
            };
            let gone = batch.ops.len().saturating_sub(1);
            if gone == 0 {
                // It is full.
                from = after_key(&last);
                continue;
            }
            match self.commit(batch).await {
                Ok(()) => merged += gone,
                // The mailbox was deleted meanwhile.
                Err(StoreError::Conflict) => return Ok(merged),
                Err(error) => return Err(error),
            }
            // The merged row itself takes part in the next round.
            from = last;
        }
    }
}

/// As many rows as make one: the key of the last of them, and the batch. None without rows.
fn merge(rows: &[(Bytes, Bytes)]) -> Result<Option<(Vec<u8>, Batch)>, StoreError> {
    let mut gone: Vec<Uid> = Vec::new();
    let mut batch = Batch::new(Class::Relaxed);
    let mut last: Option<&(Bytes, Bytes)> = None;
    for row in rows {
        let uids = read_log(&row.1)?;
        if last.is_some() && gone.len() + uids.len() > MERGED {
            break;
        }
        gone.extend(uids);
        if let Some((key, old)) = last.replace(row) {
            let unchanged = Expect::Equals(old.clone());
            batch.expect(Space::Mail, key.to_vec(), unchanged, StoreError::Conflict);
            batch.delete(Space::Mail, key.to_vec());
        }
    }
    let Some((key, old)) = last else { return Ok(None) };
    gone.sort_unstable();
    gone.dedup();
    let unchanged = Expect::Equals(old.clone());
    batch.expect(Space::Mail, key.to_vec(), unchanged, StoreError::Conflict);
    batch.put(Space::Mail, key.to_vec(), write_log(&gone));
    Ok(Some((key.to_vec(), batch)))
}
