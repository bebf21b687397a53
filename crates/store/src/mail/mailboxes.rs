//! One account's mailboxes: list, create, rename, delete, subscribe.

use super::mailbox::Mailbox;
use super::rows::{self, MailboxRow};
use super::txn::Txn;
use super::types::{MailboxInfo, Usage};
use crate::commit::{Batch, Class, Op};
use crate::engine::Space;
use crate::{Store, StoreError, keys};
use model::{AccountId, MailboxName, ModSeq, SpecialUse, Uid};
use std::collections::BTreeSet;
use tokio::runtime::RuntimeFlavor;

/// How often a change is built anew after a failed commit made its base void.
const TRIES: usize = 4;
/// A change of at least this many octets is built off the executor's threads.
const LARGE: usize = 256 << 10;
/// About what each message adds to a change that copies or removes it.
pub(super) const EACH: usize = 1024;

/// One account's mail. A cheap handle; nothing is in memory until it is used.
#[derive(Clone)]
pub struct Mail {
    pub(super) store: Store,
    pub(super) id: AccountId,
}

impl Store {
    /// The mail of an account.
    #[must_use]
    pub fn mail(&self, id: AccountId) -> Mail {
        Mail {
            store: self.clone(),
            id,
        }
    }

    /// Builds a change of about `bytes` under the account's lock, queues it, lets the lock go, and waits for the
    /// commit.
    pub(super) async fn write_mail<T>(
        &self,
        id: AccountId,
        bytes: usize,
        fill: Option<super::MailboxId>,
        mut change: impl FnMut(&mut Txn<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut last = StoreError::Conflict;
        for _ in 0..TRIES {
            let cell = self.cells().get(id);
            // Room first: nothing may wait between building and queueing.
            let slot = self.committer().slot(bytes).await?;
            let mut guard = cell.building.lock().await;
            self.load(&cell, &mut guard).await?;
            let Some(building) = guard.as_mut() else { continue };
            if let Some(mailbox) = fill {
                match self.fill(&cell, building, mailbox).await {
                    Err(StoreError::Conflict) => continue,
                    other => other?,
                }
            }
            let built = off_the_executor(bytes, || {
                let mut txn = Txn::new(self, id, building, Class::Relaxed)?;
                let value = change(&mut txn)?;
                if txn.is_empty() {
                    return Ok((value, None));
                }
                let mut batch = Batch::new(Class::Relaxed);
                let done = txn.finish(&cell, &mut batch);
                Ok((value, Some((batch, done))))
            });
            let (value, made) = built?;
            let Some((batch, done)) = made else {
                return Ok(value);
            };
            let queued = slot.send(batch);
            done.apply(building);
            drop(guard);
            match queued.committed().await {
                Ok(()) => return Ok(value),
                Err(StoreError::Conflict) => last = StoreError::Conflict,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

/// Runs what reads or writes much without holding up the other tasks of this thread. A runtime of one thread
/// has nobody to hand them to.
fn off_the_executor<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let many = tokio::runtime::Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if many && bytes >= LARGE {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

impl Mail {
    /// Whose mail.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.id
    }

    /// Creates the default mailboxes when this is the first use.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        let key = keys::mail_account(self.id);
        if self.store.engine().get(Space::Mail, &key)?.is_some() {
            return Ok(());
        }
        self.store.write_mail(self.id, 0, None, |_| Ok(())).await
    }

    /// All mailboxes as committed: INBOX first, then by name.
    pub async fn list_mailboxes(&self) -> Result<Vec<MailboxInfo>, StoreError> {
        self.ready().await?;
        let snapshot = self.store.engine().snapshot();
        let subscribed = subscriptions(&snapshot, self.id)?;
        let mut list: Vec<_> = self
            .store
            .mailbox_rows(&snapshot, self.id)?
            .into_iter()
            .map(|row| {
                let subscribed = subscribed.contains(&row.name);
                info(row, subscribed)
            })
            .collect();
        list.sort_by(|a, b| (!a.name.is_inbox(), &a.name).cmp(&(!b.name.is_inbox(), &b.name)));
        Ok(list)
    }

    /// One mailbox as committed.
    pub async fn status(&self, name: &MailboxName) -> Result<MailboxInfo, StoreError> {
        // Point reads when the account is in memory: a scan steps over every older version of its rows.
        let cell = self.store.cells().known(self.id);
        let building = cell.as_ref().and_then(|cell| cell.building.try_lock().ok());
        let place = building
            .as_ref()
            .and_then(|building| Some(building.as_ref()?.by_name(name)?.row.id));
        drop(building);
        let snapshot = self.store.engine().snapshot();
        if let Some(row) = self.committed(&snapshot, place, name)? {
            let key = keys::subscription(self.id, name.as_str());
            let subscribed = snapshot.get(Space::Mail, &key)?.is_some();
            return Ok(info(row, subscribed));
        }
        drop(snapshot);
        let list = self.list_mailboxes().await?;
        let found = list.into_iter().find(|info| info.name == *name);
        found.ok_or(StoreError::NotFound("the mailbox"))
    }

    /// Whether there is such a mailbox, as committed: what APPEND asks before the message is sent. Reads what
    /// the append itself needs.
    pub async fn has_mailbox(&self, name: &MailboxName) -> Result<bool, StoreError> {
        let cell = self.store.cells().get(self.id);
        let mut guard = cell.building.lock().await;
        self.store.load(&cell, &mut guard).await?;
        let building = guard.as_ref();
        let place = building.and_then(|building| Some(building.by_name(name)?.row.id));
        drop(guard);
        let row = self.committed(&self.store.engine().snapshot(), place, name)?;
        if row.is_some() {
            return Ok(true);
        }
        match self.status(name).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The mailbox that the working state has under this name, if that is what is committed.
    fn committed(
        &self,
        snapshot: &crate::engine::Snapshot<'_>,
        place: Option<super::MailboxId>,
        name: &MailboxName,
    ) -> Result<Option<MailboxRow>, StoreError> {
        let Some(place) = place else { return Ok(None) };
        let row = self.store.mailbox_row(snapshot, self.id, place)?;
        Ok(row.filter(|row| row.name == *name))
    }

    /// What the account uses, as committed.
    pub async fn usage(&self) -> Result<Usage, StoreError> {
        self.ready().await?;
        let row = self
            .store
            .engine()
            .get(Space::Mail, &keys::mail_account(self.id))?;
        let row = row.ok_or(StoreError::NotFound("the account"))?;
        let row = rows::read_account(&row).map_err(|error| error.of(self.id))?;
        Ok(Usage {
            bytes: row.bytes,
            messages: row.messages,
        })
    }

    /// Creates a mailbox and its missing superiors (RFC 9051 section 6.3.4).
    pub async fn create_mailbox(
        &self,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxInfo, StoreError> {
        self.store
            .write_mail(self.id, 0, None, |txn| {
                if let Some(wanted) = special_use
                    && txn.rows().any(|row| row.special_use == Some(wanted))
                {
                    // RFC 6154 section 3: refused rather than having two of a kind.
                    return Err(StoreError::AlreadyExists(format!(
                        "a {} mailbox",
                        wanted.as_str()
                    )));
                }
                create_superiors(txn, name)?;
                txn.make_durable();
                txn.create(name, special_use).map(drop)
            })
            .await?;
        self.status(name).await
    }

    /// Deletes a mailbox with its messages; its children and its subscription stay
    /// (RFC 9051 sections 6.3.5 and 6.3.7).
    pub async fn delete_mailbox(&self, name: &MailboxName) -> Result<(), StoreError> {
        if name.is_inbox() {
            return Err(StoreError::Invalid("INBOX cannot be deleted".into()));
        }
        let id = self
            .store
            .write_mail(self.id, 0, None, |txn| {
                let id = txn.need(name)?;
                txn.make_durable();
                txn.delete(id).map(|()| id)
            })
            .await?;
        self.store.erase_mailbox(self.id, id).await
    }

    /// Renames a mailbox and everything below it. Renaming INBOX moves its messages to a new mailbox and
    /// leaves it empty, with its children (RFC 9051 section 6.3.6).
    pub async fn rename_mailbox(&self, from: &MailboxName, to: &MailboxName) -> Result<(), StoreError> {
        if to.is_inbox() || to == from {
            return Err(StoreError::AlreadyExists(format!("mailbox {to}")));
        }
        if from.is_inbox() {
            return self.rename_inbox(to).await;
        }
        if to.is_below(from) {
            return Err(StoreError::Invalid(
                "a mailbox cannot be renamed below itself".into(),
            ));
        }
        self.store
            .write_mail(self.id, 0, None, |txn| {
                let mut moved = Vec::new();
                for row in txn.rows() {
                    if row.name == *from {
                        moved.push((row.id, to.clone()));
                    } else if row.name.is_below(from) {
                        let name = row.name.moved(from, to).ok_or_else(|| {
                            StoreError::Invalid(format!("the new name of {} is not valid", row.name))
                        })?;
                        moved.push((row.id, name));
                    }
                }
                if !moved.iter().any(|(_, name)| name == to) {
                    return Err(StoreError::NotFound("the mailbox"));
                }
                let ids: BTreeSet<_> = moved.iter().map(|(id, _)| *id).collect();
                let taken =
                    |name: &MailboxName| txn.rows().any(|row| row.name == *name && !ids.contains(&row.id));
                if let Some((_, name)) = moved.iter().find(|(_, name)| taken(name)) {
                    return Err(StoreError::AlreadyExists(format!("mailbox {name}")));
                }
                create_superiors(txn, to)?;
                txn.make_durable();
                for (id, name) in moved {
                    txn.mailbox(id)?.row.name = name;
                }
                Ok(())
            })
            .await
    }

    async fn rename_inbox(&self, to: &MailboxName) -> Result<(), StoreError> {
        self.create_mailbox(to, None).await?;
        let inbox = self.open(&MailboxName::inbox()).await?;
        let uids: Vec<Uid> = inbox.snapshot().iter().map(|entry| entry.uid).collect();
        inbox.move_to(&uids, to).await.map(drop)
    }

    /// Subscribed names, also of mailboxes that no longer exist (RFC 9051 section 6.3.7).
    pub async fn subscriptions(&self) -> Result<Vec<MailboxName>, StoreError> {
        self.ready().await?;
        let set = subscriptions(&self.store.engine().snapshot(), self.id)?;
        Ok(set.into_iter().collect())
    }

    /// Subscribes to a name, whether or not it exists.
    pub async fn subscribe(&self, name: &MailboxName) -> Result<(), StoreError> {
        if subscriptions(&self.store.engine().snapshot(), self.id)?.len() >= 10_000 {
            return Err(StoreError::Limit("subscriptions"));
        }
        self.store
            .write_mail(self.id, 0, None, |txn| {
                txn.make_durable();
                txn.subscribe(name);
                Ok(())
            })
            .await
    }

    /// Takes a name off the list.
    pub async fn unsubscribe(&self, name: &MailboxName) -> Result<(), StoreError> {
        self.store
            .write_mail(self.id, 0, None, |txn| {
                txn.make_durable();
                let key = keys::subscription(txn.id, name.as_str());
                txn.ops.push(Op::Delete(Space::Mail, key));
                Ok(())
            })
            .await
    }

    /// Opens a mailbox: reads it into memory unless another session has done so.
    pub async fn open(&self, name: &MailboxName) -> Result<Mailbox, StoreError> {
        self.ready().await?;
        for _ in 0..TRIES {
            let cell = self.store.cells().get(self.id);
            let mut guard = cell.building.lock().await;
            self.store.load(&cell, &mut guard).await?;
            let Some(building) = guard.as_mut() else { continue };
            let id = building.by_name(name).map(|working| working.row.id);
            let id = id.ok_or(StoreError::NotFound("the mailbox"))?;
            if let Some(view) = cell.view(id) {
                let gone = self.store.cells().keep(&cell, &view);
                drop(guard);
                drop(gone);
                return Ok(Mailbox::new(self.clone(), &cell, id, view));
            }
            // What is queued must not be seen before it is committed.
            self.store.settle(&cell).await?;
            if cell.fence.generation() != building.generation() {
                continue;
            }
            self.store.fill(&cell, building, id).await?;
            let working = building.mailboxes.get(&id);
            if let Some(snapshot) = working.and_then(|working| working.snapshot()) {
                let view = cell.add_view(id, snapshot);
                let gone = self.store.cells().keep(&cell, &view);
                drop(guard);
                drop(gone);
                return Ok(Mailbox::new(self.clone(), &cell, id, view));
            }
        }
        Err(StoreError::Conflict)
    }
}

fn create_superiors(txn: &mut Txn<'_>, name: &MailboxName) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    let mut parent = name.parent();
    while let Some(name) = parent {
        if txn.find(&name).is_some() {
            break;
        }
        parent = name.parent();
        missing.push(name);
    }
    for name in missing.iter().rev() {
        txn.create(name, None)?;
    }
    Ok(())
}

fn subscriptions(
    snapshot: &crate::engine::Snapshot<'_>,
    id: AccountId,
) -> Result<BTreeSet<MailboxName>, StoreError> {
    let prefix = keys::subscriptions(id);
    let rows = snapshot.all(Space::Mail, &prefix)?;
    rows.iter()
        .map(|(key, _)| {
            let name = key
                .get(prefix.len()..)
                .and_then(|name| std::str::from_utf8(name).ok());
            name.and_then(|name| MailboxName::parse(name).ok())
                .ok_or_else(|| StoreError::Corrupt {
                    account: Some(id),
                    what: "subscription".into(),
                })
        })
        .collect()
}

fn info(row: MailboxRow, subscribed: bool) -> MailboxInfo {
    MailboxInfo {
        id: row.id,
        special_use: row.special_use,
        subscribed,
        name: row.name,
        uid_validity: row.uid_validity,
        uid_next: Uid::new(row.uid_next).unwrap_or(Uid::MAX),
        highest_modseq: ModSeq::new(row.highest_modseq).unwrap_or_default(),
        messages: row.messages,
        unseen: row.unseen,
        deleted: row.deleted,
        recent: row.recent,
        size: row.size,
    }
}
