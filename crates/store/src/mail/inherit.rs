//! The mail of one account for another: each message gets a new place and one more reference; bodies stay where they are.
//!
//! For a person whose account was deleted and who came back as somebody new. Only by hand: nothing here decides who is who.

use super::mailbox::Mailbox;
use super::mailboxes::{EACH, Mail};
use super::message::{BodyId, NewMessage, body_of};
use super::types::Inherited;
use crate::commit::Op;
use crate::engine::Space;
use crate::{StoreError, keys};
use bytes::Bytes;
use model::{Flags, MailboxName, SpecialUse, Uid};
use std::collections::HashMap;

/// Messages of one commit.
const PAGE: usize = 256;

/// One message of the other account.
struct Found {
    key: Vec<u8>,
    message: NewMessage,
    flags: Flags,
}

impl Mail {
    /// Copies all mail of another account into mailboxes of the same names, with flags and dates; what is missing is
    /// made. A message that is there already is not copied again, so this may be repeated after a crash. The quota is
    /// not asked: the mail was somebody's before. The other account keeps everything.
    pub async fn copy_from(&self, other: &Self) -> Result<Inherited, StoreError> {
        if other.id == self.id {
            return Err(StoreError::Invalid(
                "an account cannot inherit from itself".into(),
            ));
        }
        let mut done = Inherited::default();
        for info in other.list_mailboxes().await? {
            self.have_mailbox(&info.name, info.special_use).await?;
            if info.subscribed {
                self.subscribe(&info.name).await?;
            }
            let source = other.open(&info.name).await?;
            self.copy_mailbox(&source, &info.name, &mut done).await?;
            done.mailboxes = done.mailboxes.saturating_add(1);
        }
        Ok(done)
    }

    async fn have_mailbox(&self, name: &MailboxName, special: Option<SpecialUse>) -> Result<(), StoreError> {
        if self.has_mailbox(name).await? {
            return Ok(());
        }
        match self.create_mailbox(name, special).await {
            // Another one is for that here.
            Err(StoreError::AlreadyExists(_)) if special.is_some() => {
                self.create_mailbox(name, None).await.map(drop)
            }
            made => made.map(drop),
        }
    }

    async fn copy_mailbox(
        &self,
        source: &Mailbox,
        name: &MailboxName,
        done: &mut Inherited,
    ) -> Result<(), StoreError> {
        let mut there = bodies(&self.open(name).await?)?;
        let snapshot = source.snapshot();
        let mut next = Some(Uid::MIN);
        while let Some(from) = next {
            let mut page = Vec::with_capacity(PAGE);
            next = None;
            for entry in snapshot.range_uids(from, Uid::MAX) {
                if page.len() == PAGE {
                    next = Some(entry.uid);
                    break;
                }
                let Some((key, row)) = message(source, entry.uid)? else {
                    continue;
                };
                let body = body_of(source.mail.id, &row)?;
                if let Some(count) = there.get_mut(&body).filter(|count| **count > 0) {
                    *count -= 1;
                    done.known = done.known.saturating_add(1);
                    continue;
                }
                let size = u32::try_from(entry.size).map_err(|_| StoreError::Limit("octets in a message"))?;
                page.push(Found {
                    key,
                    message: NewMessage { body, size, row },
                    flags: entry.flags,
                });
            }
            self.place_all(name, &page).await?;
            done.copied = done.copied.saturating_add(page.len() as u64);
        }
        Ok(())
    }

    async fn place_all(&self, name: &MailboxName, page: &[Found]) -> Result<(), StoreError> {
        if page.is_empty() {
            return Ok(());
        }
        self.store
            .write_mail(self.id, page.len() * EACH, None, |txn| {
                let target = txn.need(name)?;
                for found in page {
                    txn.append(target, &found.message, &found.flags)?;
                    txn.ops.push(Op::Share(found.message.body, 1));
                    // Erased meanwhile, its body may be gone with it.
                    txn.needs(found.key.clone(), found.message.row.clone());
                }
                Ok(())
            })
            .await
    }
}

fn message(mailbox: &Mailbox, uid: Uid) -> Result<Option<(Vec<u8>, Bytes)>, StoreError> {
    let key = keys::message(mailbox.mail.id, mailbox.id, uid);
    let row = mailbox.mail.store.engine().get(Space::Mail, &key)?;
    Ok(row.map(|row| (key, row)))
}

/// How often a mailbox has each body.
fn bodies(mailbox: &Mailbox) -> Result<HashMap<BodyId, u32>, StoreError> {
    let mut found = HashMap::new();
    for entry in mailbox.snapshot().iter() {
        if let Some((_, row)) = message(mailbox, entry.uid)? {
            *found.entry(body_of(mailbox.mail.id, &row)?).or_insert(0u32) += 1;
        }
    }
    Ok(found)
}
