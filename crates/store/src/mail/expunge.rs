//! EXPUNGE and the log of expunged UIDs.

use super::chunk::read_uids;
use super::mailbox::Mailbox;
use crate::StoreError;
use crate::codec::Reader;
use crate::engine::{PAGE_ROWS, Space, after_key, after_prefix};
use crate::keys;
use model::{ModSeq, SystemFlag, Uid};
use std::collections::BTreeSet;

/// More UIDs than this are never in one row of the log.
const LOGGED: usize = 1 << 24;

impl Mailbox {
    /// Removes messages with `\Deleted`: all of them, or those among `only` (UID EXPUNGE, RFC 4315 section
    /// 2.1). Returns the removed UIDs, ascending.
    pub async fn expunge(&self, only: Option<&[Uid]>) -> Result<Vec<Uid>, StoreError> {
        let (store, id) = (&self.mail.store, self.id);
        let only: Option<BTreeSet<Uid>> = only.map(|uids| uids.iter().copied().collect());
        store
            .write_mail(self.mail.id, 0, Some(id), |txn| {
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
            .write_mail(self.mail.id, 0, Some(id), |txn| txn.expunge(id, &doomed))
            .await
    }

    /// UIDs that were expunged by changes with a MODSEQ above `since`, ascending (RFC 7162 section 3.2.10).
    pub fn vanished_since(&self, since: ModSeq) -> Result<Vec<Uid>, StoreError> {
        let account = self.mail.id;
        let end = after_prefix(&keys::expunged_of(account, self.id));
        let mut from = keys::expunged(account, self.id, since.get().saturating_add(1));
        let mut gone = BTreeSet::new();
        loop {
            let snapshot = self.mail.store.engine().snapshot();
            let page = snapshot.page(Space::Mail, &from, &end, PAGE_ROWS)?;
            for (_, row) in &page.rows {
                let read = || {
                    let mut r = Reader::new(row, "expunge log", 1)?;
                    // A run of any length takes a few octets, so the count is not bounded by the row.
                    let count = usize::try_from(r.num()?).ok().filter(|count| *count <= LOGGED);
                    let count = count.ok_or_else(|| r.corrupt())?;
                    read_uids(&mut r, count)
                };
                gone.extend(read().map_err(|error: StoreError| error.of(account))?);
            }
            match page.rows.last() {
                Some((key, _)) if page.more => from = after_key(key),
                _ => return Ok(gone.into_iter().collect()),
            }
        }
    }
}
