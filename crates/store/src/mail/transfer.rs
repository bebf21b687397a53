//! COPY and MOVE: a new place and one more reference; the body stays where it is.

use super::mailbox::Mailbox;
use super::mailboxes::EACH;
use super::message::{NewMessage, body_of};
use super::txn::Txn;
use super::types::Copied;
use crate::commit::Op;
use crate::engine::Space;
use crate::{StoreError, keys};
use model::{Flags, MailboxName, Uid};
use std::collections::BTreeSet;

impl Mailbox {
    /// Copies messages, with flags and internal date, to another mailbox of the account
    /// (RFC 9051 section 6.4.7). All or nothing; UIDs that are not there are passed over.
    pub async fn copy(&self, uids: &[Uid], to: &MailboxName) -> Result<Copied, StoreError> {
        let quota = self.quota()?;
        let wanted: BTreeSet<Uid> = uids.iter().copied().collect();
        self.mail
            .store
            .write_mail(self.mail.id, uids.len() * EACH, Some(self.id), |txn| {
                let sizes: u64 = self.sizes(txn, &wanted)?;
                txn.within_quota(quota, sizes)?;
                self.place(txn, &wanted, to)
            })
            .await
    }

    /// Moves messages to another mailbox of the account (RFC 6851): copy and expunge in one.
    pub async fn move_to(&self, uids: &[Uid], to: &MailboxName) -> Result<Copied, StoreError> {
        let wanted: BTreeSet<Uid> = uids.iter().copied().collect();
        self.mail
            .store
            .write_mail(self.mail.id, uids.len() * EACH, Some(self.id), |txn| {
                let copied = self.place(txn, &wanted, to)?;
                let gone = copied.uids.iter().map(|(old, _)| *old).collect();
                txn.expunge(self.id, &gone)?;
                Ok(copied)
            })
            .await
    }

    fn quota(&self) -> Result<Option<model::ByteSize>, StoreError> {
        let account = self.mail.store.account(self.mail.id)?;
        Ok(account.and_then(|account| account.quota))
    }

    fn sizes(&self, txn: &Txn<'_>, uids: &BTreeSet<Uid>) -> Result<u64, StoreError> {
        let items = txn.peek(self.id)?.chunks().iter().flat_map(|chunk| chunk.items());
        Ok(items
            .filter(|item| uids.contains(&item.uid))
            .map(|item| u64::from(item.size))
            .sum())
    }

    fn place(&self, txn: &mut Txn<'_>, uids: &BTreeSet<Uid>, to: &MailboxName) -> Result<Copied, StoreError> {
        let account = self.mail.id;
        let target = txn.need(to)?;
        let source = txn.peek(self.id)?;
        let table = std::sync::Arc::clone(&source.row.keywords);
        let items: Vec<_> = source
            .chunks()
            .iter()
            .flat_map(|chunk| chunk.items())
            .filter(|item| uids.contains(&item.uid))
            .collect();
        let mut placed = Vec::with_capacity(items.len());
        for item in items {
            let key = keys::message(account, self.id, item.uid);
            let Some(row) = self.mail.store.engine().get(Space::Mail, &key)? else {
                continue;
            };
            let message = NewMessage {
                body: body_of(account, &row)?,
                size: item.size,
                row,
            };
            let keywords = item.keywords.iter();
            let keywords = keywords.filter_map(|index| table.get(usize::from(*index)).cloned());
            let flags = Flags::from_parts(item.flags, keywords.collect());
            let uid = txn.append(target, &message, &flags)?;
            txn.ops.push(Op::Share(message.body, 1));
            placed.push((item.uid, uid));
        }
        Ok(Copied {
            uid_validity: txn.peek(target)?.row.uid_validity,
            uids: placed,
        })
    }
}
