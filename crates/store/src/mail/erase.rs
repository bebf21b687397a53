//! Removing mail that is no longer reachable, in bounded pieces.

use super::append::day;
use super::message::body_of;
use super::types::MailboxId;
use crate::commit::{Batch, Class, Expect, Op};
use crate::engine::{PAGE_ROWS, Space, after_key, after_prefix};
use crate::{Store, StoreError, keys};
use model::AccountId;

/// What one round of erasing did.
pub(crate) type Erased = usize;

impl Store {
    /// Removes everything of an erased account.
    pub(crate) async fn erase_mail(&self, id: AccountId) -> Result<(), StoreError> {
        self.erase_messages(id, keys::messages(id)).await?;
        self.erase_rows(Space::Mail, &keys::mail(id), &after_prefix(&keys::mail(id)))
            .await?;
        self.erase_mark(keys::erasing(id)).await
    }

    /// Removes everything of a deleted mailbox.
    pub(super) async fn erase_mailbox(&self, id: AccountId, mailbox: MailboxId) -> Result<(), StoreError> {
        self.erase_messages(id, keys::messages_of(id, mailbox)).await?;
        for prefix in [keys::chunks(id, mailbox), keys::expunged_of(id, mailbox)] {
            self.erase_rows(Space::Mail, &prefix, &after_prefix(&prefix))
                .await?;
        }
        self.erase_mark(keys::erasing_mailbox(id, mailbox)).await
    }

    async fn erase_mark(&self, key: Vec<u8>) -> Result<(), StoreError> {
        let mut batch = Batch::new(Class::Durable);
        batch.delete(Space::Directory, key);
        self.commit(batch).await
    }

    async fn erase_messages(&self, id: AccountId, prefix: Vec<u8>) -> Result<(), StoreError> {
        let end = after_prefix(&prefix);
        let mut from = prefix;
        loop {
            let page = self
                .engine()
                .snapshot()
                .page(Space::Mail, &from, &end, PAGE_ROWS)?;
            let Some((last, _)) = page.rows.last() else {
                return Ok(());
            };
            let next = after_key(last);
            let mut batch = Batch::new(Class::Durable);
            for (key, row) in page.rows {
                // Two erasers may meet; a reference must not be released twice.
                batch.expect(Space::Mail, key.to_vec(), Expect::Present, StoreError::Conflict);
                match body_of(id, &row) {
                    Ok(body) => batch.ops.push(Op::Release(body)),
                    Err(error) => tracing::warn!(%error, "a body of an erased message may stay behind"),
                }
                batch.delete(Space::Mail, key.to_vec());
            }
            match self.commit(batch).await {
                // From behind it: what was removed would be passed over again and again.
                Ok(()) => from = next,
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes all rows from `from` up to, not including, `to`. Nobody else may write there meanwhile.
    pub(crate) async fn erase_rows(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> Result<Erased, StoreError> {
        let mut count = 0;
        let mut from = from.to_vec();
        loop {
            let page = self.engine().snapshot().page(space, &from, to, PAGE_ROWS)?;
            let Some((last, _)) = page.rows.last() else {
                return Ok(count);
            };
            from = after_key(last);
            let mut batch = Batch::new(Class::Relaxed);
            count += page.rows.len();
            for (key, _) in page.rows {
                batch.delete(space, key.to_vec());
            }
            self.commit(batch).await?;
        }
    }

    /// Goes on with erasures that a stop interrupted; returns how many were finished. One that fails does not
    /// hold up the others.
    pub(crate) async fn resume_erasures(&self) -> Result<Erased, StoreError> {
        let rows = self.engine().snapshot().all(Space::Directory, keys::ERASING)?;
        let mut finished = 0;
        let mut failed = None;
        for (key, _) in rows {
            let account = key.get(1..9).and_then(|digits| digits.try_into().ok());
            let account = account.and_then(|digits| AccountId::new(u64::from_be_bytes(digits)).ok());
            let Some(account) = account else { continue };
            let result = match key.get(9..).and_then(|digits| digits.try_into().ok()) {
                Some(digits) => {
                    let mailbox = MailboxId(u32::from_be_bytes(digits));
                    self.erase_mailbox(account, mailbox).await
                }
                None => self.erase_mail(account).await,
            };
            match result {
                Ok(()) => finished += 1,
                Err(error) => failed = failed.or(Some(error.of(account))),
            }
        }
        failed.map_or(Ok(finished), Err)
    }

    /// Forgets deliveries of before yesterday.
    pub(crate) async fn expire_repeats(&self) -> Result<Erased, StoreError> {
        let yesterday = day(self.clock().now()).saturating_sub(1);
        self.erase_rows(Space::Repeat, &[], &yesterday.to_be_bytes())
            .await
    }
}
