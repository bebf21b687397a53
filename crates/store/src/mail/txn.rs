//! A change of one account's mail: an overlay on the working state that becomes rows, and the new working
//! state, only when it is whole.

use super::cell::{Building, Cell, Content, Working};
use super::chunk::{Chunk, Item};
use super::message::NewMessage;
use super::rows::{self, AccountRow, MailboxRow};
use super::types::MailboxId;
use crate::commit::{Batch, Class, Expect, Op};
use crate::engine::Space;
use crate::{Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, Flags, Keyword, MailboxName, SpecialUse, SystemFlag, Uid, UidValidity};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most mailboxes of an account, and most keywords of a mailbox.
const MAILBOXES: usize = 2000;
const KEYWORDS: usize = 500;
/// MODSEQs and UIDs are reserved in blocks of this size.
const MODSEQ_BLOCK: u64 = 1024;
const UID_BLOCK: u32 = 128;

/// What exists from the first use on (RFC 6154 section 2).
const DEFAULTS: [(&str, SpecialUse); 5] = [
    ("Sent", SpecialUse::Sent),
    ("Drafts", SpecialUse::Drafts),
    ("Trash", SpecialUse::Trash),
    ("Junk", SpecialUse::Junk),
    ("Archive", SpecialUse::Archive),
];

/// The overlay.
pub(super) struct Txn<'a> {
    pub(super) store: &'a Store,
    pub(super) id: AccountId,
    base: &'a Building,
    pub(super) account: AccountRow,
    /// Changed mailboxes; none: deleted.
    touched: BTreeMap<MailboxId, Option<Working>>,
    /// Chunks to write (or, when empty, to remove).
    pub(super) chunks: BTreeSet<(MailboxId, Uid)>,
    pub(super) ops: Vec<Op>,
    /// Rows of another account that this change rests on.
    needed: Vec<(Vec<u8>, Bytes)>,
    modseq: Option<u64>,
    class: Class,
}

/// A finished overlay: what replaces the working state when the batch is queued.
pub(super) struct Done {
    account: AccountRow,
    touched: BTreeMap<MailboxId, Option<Working>>,
}

impl<'a> Txn<'a> {
    pub(super) fn new(
        store: &'a Store,
        id: AccountId,
        base: &'a Building,
        class: Class,
    ) -> Result<Self, StoreError> {
        let mut txn = Self {
            store,
            id,
            base,
            account: base.account.clone(),
            touched: BTreeMap::new(),
            chunks: BTreeSet::new(),
            ops: Vec::new(),
            needed: Vec::new(),
            modseq: None,
            class,
        };
        if base.fresh {
            txn.class = Class::Durable;
            txn.create(&MailboxName::inbox(), None)?;
            for (name, special) in DEFAULTS {
                let name =
                    MailboxName::parse(name).map_err(|error| StoreError::Invalid(error.to_string()))?;
                txn.create(&name, Some(special))?;
                txn.subscribe(&name);
            }
            txn.subscribe(&MailboxName::inbox());
        }
        Ok(txn)
    }

    /// On the disk before the reply.
    pub(super) fn make_durable(&mut self) {
        self.class = Class::Durable;
    }

    pub(super) fn subscribe(&mut self, name: &MailboxName) {
        let key = keys::subscription(self.id, name.as_str());
        self.ops.push(Op::Put(Space::Mail, key, Bytes::from_static(&[1])));
    }

    /// The MODSEQ of this change, one for all it touches.
    pub(super) fn modseq(&mut self) -> u64 {
        if let Some(modseq) = self.modseq {
            return modseq;
        }
        let modseq = self.account.modseq.saturating_add(1).min(i64::MAX as u64);
        self.account.modseq = modseq;
        if modseq > self.account.modseq_ceiling {
            // Told to clients before it is on disk, it could be used twice after a power loss.
            self.class = Class::Durable;
        }
        self.modseq = Some(modseq);
        modseq
    }

    /// Fails the commit unless a row of another account is still this.
    pub(super) fn needs(&mut self, key: Vec<u8>, row: Bytes) {
        self.needed.push((key, row));
    }

    /// All mailboxes as this change sees them.
    pub(super) fn rows(&self) -> impl Iterator<Item = &MailboxRow> {
        let untouched = self
            .base
            .mailboxes
            .iter()
            .filter(|(id, _)| !self.touched.contains_key(id))
            .map(|(_, working)| &working.row);
        untouched.chain(self.touched.values().flatten().map(|working| &working.row))
    }

    pub(super) fn find(&self, name: &MailboxName) -> Option<MailboxId> {
        self.rows().find(|row| row.name == *name).map(|row| row.id)
    }

    pub(super) fn need(&self, name: &MailboxName) -> Result<MailboxId, StoreError> {
        self.find(name).ok_or(StoreError::NotFound("the mailbox"))
    }

    pub(super) fn peek(&self, id: MailboxId) -> Result<&Working, StoreError> {
        let working = match self.touched.get(&id) {
            Some(changed) => changed.as_ref(),
            None => self.base.mailboxes.get(&id).map(|working| &**working),
        };
        working.ok_or(StoreError::NotFound("the mailbox"))
    }

    /// A mailbox to change.
    pub(super) fn mailbox(&mut self, id: MailboxId) -> Result<&mut Working, StoreError> {
        let base = self.base;
        self.touched
            .entry(id)
            .or_insert_with(|| base.mailboxes.get(&id).map(|working| (**working).clone()))
            .as_mut()
            .ok_or(StoreError::NotFound("the mailbox"))
    }

    pub(super) fn create(
        &mut self,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        if self.find(name).is_some() {
            return Err(StoreError::AlreadyExists(format!("mailbox {name}")));
        }
        if self.rows().count() >= MAILBOXES {
            return Err(StoreError::Limit("mailboxes"));
        }
        let id = MailboxId(self.account.next_mailbox);
        self.account.next_mailbox = id.0.checked_add(1).ok_or(StoreError::Limit("mailboxes"))?;
        // Never below the clock, so that it grows even past a restored backup (RFC 9051 section 2.3.1.1).
        let now = u32::try_from(self.store.clock().now().as_secs()).unwrap_or(0);
        let validity = self.account.next_validity.max(now).max(1);
        self.account.next_validity = validity.saturating_add(1);
        let row = MailboxRow {
            id,
            boot: self.store.boot(),
            name: name.clone(),
            special_use,
            uid_validity: UidValidity::new(validity).map_err(|_| StoreError::Limit("mailboxes"))?,
            uid_next: 1,
            uid_ceiling: 1,
            highest_modseq: self.modseq(),
            messages: 0,
            unseen: 0,
            deleted: 0,
            recent: 0,
            recent_from: 1,
            size: 0,
            tail: None,
            keywords: Arc::default(),
        };
        let content = Content::Full(Vec::new());
        self.touched.insert(id, Some(Working { row, content }));
        Ok(id)
    }

    /// Forgets a mailbox; its messages are removed afterwards, in pieces.
    pub(super) fn delete(&mut self, id: MailboxId) -> Result<(), StoreError> {
        let row = self.mailbox(id)?.row.clone();
        self.modseq();
        self.account.bytes = self.account.bytes.saturating_sub(row.size);
        self.account.messages = self.account.messages.saturating_sub(u64::from(row.messages));
        self.ops.push(Op::Put(
            Space::Directory,
            keys::erasing_mailbox(self.id, id),
            Bytes::from_static(&[1]),
        ));
        self.touched.insert(id, None);
        Ok(())
    }

    /// The system bits and keyword numbers of these flags, with new keywords entered in the mailbox's table.
    pub(super) fn intern(&mut self, id: MailboxId, flags: &Flags) -> Result<(u8, Vec<u16>), StoreError> {
        let mut numbers = Vec::with_capacity(flags.keywords().len());
        for keyword in flags.keywords() {
            numbers.push(self.keyword(id, keyword)?);
        }
        numbers.sort_unstable();
        Ok((flags.system_bits(), numbers))
    }

    fn keyword(&mut self, id: MailboxId, keyword: &Keyword) -> Result<u16, StoreError> {
        let table = &self.peek(id)?.row.keywords;
        let known = table.iter().position(|known| known.matches(keyword));
        if let Some(position) = known {
            return u16::try_from(position).map_err(|_| StoreError::Limit("keywords"));
        }
        if table.len() >= KEYWORDS {
            return Err(StoreError::Limit("keywords"));
        }
        let row = &mut self.mailbox(id)?.row;
        let table = Arc::make_mut(&mut row.keywords);
        table.push(keyword.clone());
        u16::try_from(table.len() - 1).map_err(|_| StoreError::Limit("keywords"))
    }

    /// Puts a message at the end of a mailbox. The body's row and references are the caller's.
    pub(super) fn append(
        &mut self,
        id: MailboxId,
        message: &NewMessage,
        flags: &Flags,
    ) -> Result<Uid, StoreError> {
        let (system, keywords) = self.intern(id, flags)?;
        let modseq = self.modseq();
        self.account.bytes = self.account.bytes.saturating_add(u64::from(message.size));
        self.account.messages = self.account.messages.saturating_add(1);
        let working = self.mailbox(id)?;
        let row = &mut working.row;
        let uid = Uid::new(row.uid_next).map_err(|_| StoreError::Limit("UIDs in the mailbox"))?;
        row.uid_next = uid.next().map_or(0, Uid::get);
        row.highest_modseq = modseq;
        row.messages = row.messages.saturating_add(1);
        row.recent = row.recent.saturating_add(1);
        row.size = row.size.saturating_add(u64::from(message.size));
        let unseen = system & SystemFlag::Seen as u8 == 0;
        row.unseen = row.unseen.saturating_add(u32::from(unseen));
        let deleted = system & SystemFlag::Deleted as u8 != 0;
        row.deleted = row.deleted.saturating_add(u32::from(deleted));
        let item = Item {
            uid,
            flags: system,
            modseq,
            size: message.size,
            keywords,
        };
        let first = push(working, item);
        working.row.tail = Some(first);
        self.chunks.insert((id, first));
        let key = keys::message(self.id, id, uid);
        self.ops.push(Op::Put(Space::Mail, key, message.row.clone()));
        self.class = Class::Durable;
        Ok(uid)
    }

    /// Refuses what would go over the quota.
    pub(super) fn within_quota(&self, quota: Option<model::ByteSize>, more: u64) -> Result<(), StoreError> {
        match quota {
            Some(quota) if self.account.bytes.saturating_add(more) > quota.0 => Err(StoreError::OverQuota),
            _ => Ok(()),
        }
    }

    /// True when there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.ops.is_empty()
    }

    /// Turns the overlay into rows.
    pub(super) fn finish(mut self, cell: &Arc<Cell>, batch: &mut Batch) -> Done {
        let boot = self.store.boot();
        if self.class == Class::Durable {
            batch.class = Class::Durable;
            let account = &mut self.account;
            if account.modseq_ceiling < account.modseq.saturating_add(MODSEQ_BLOCK / 2) {
                account.modseq_ceiling = account.modseq.saturating_add(MODSEQ_BLOCK);
            }
        }
        self.account.boot = boot;
        let (owner, gone) = (keys::owner(self.id), StoreError::NotFound("the account"));
        match self.base.owner.clone() {
            Some(epoch) => batch.expect(Space::Mail, owner, Expect::Equals(epoch), gone),
            None => {
                batch.expect(Space::Directory, keys::account(self.id), Expect::Present, gone);
                batch.expect(Space::Mail, owner.clone(), Expect::Absent, StoreError::Conflict);
                batch.put(Space::Mail, owner, super::first_epoch());
            }
        }
        for (key, row) in self.needed.drain(..) {
            batch.expect(Space::Mail, key, Expect::Equals(row), StoreError::Conflict);
        }
        batch
            .fences
            .push((Arc::clone(&cell.fence), self.base.generation()));
        batch.ops.append(&mut self.ops);
        batch.put(
            Space::Mail,
            keys::mail_account(self.id),
            rows::write_account(&self.account),
        );
        for (id, working) in &mut self.touched {
            let key = keys::mailbox(self.id, *id);
            match working {
                Some(working) => {
                    working.row.boot = boot;
                    reserve_uids(&mut working.row);
                    batch.put(Space::Mail, key, rows::write_mailbox(&working.row));
                }
                None => batch.delete(Space::Mail, key),
            }
        }
        for (id, first) in &self.chunks {
            let key = keys::chunk(self.id, *id, *first);
            let working = self.touched.get(id).and_then(Option::as_ref);
            let chunk = working.and_then(|working| {
                let chunks = working.chunks();
                let at = chunks.binary_search_by_key(first, |chunk| chunk.first).ok()?;
                chunks.get(at)
            });
            match chunk {
                Some(chunk) => batch.put(Space::Mail, key, chunk.encode()),
                None => batch.delete(Space::Mail, key),
            }
        }
        for (id, working) in &mut self.touched {
            publish(self.store, cell, *id, working.as_mut(), batch);
        }
        Done {
            account: self.account,
            touched: self.touched,
        }
    }
}

impl Done {
    /// Makes the change the state that the next writer finds: exactly when the batch is queued.
    pub(super) fn apply(self, building: &mut Building) {
        building.account = self.account;
        building.fresh = false;
        building.owner.get_or_insert_with(super::first_epoch);
        for (id, working) in self.touched {
            match working {
                Some(working) => building.mailboxes.insert(id, Arc::new(working)),
                None => building.mailboxes.remove(&id),
            };
        }
    }
}

/// Has the committer move the view of a mailbox; without a view, keeps only what appending needs.
fn publish(store: &Store, cell: &Cell, id: MailboxId, working: Option<&mut Working>, batch: &mut Batch) {
    let view = cell.view(id);
    match (view, working) {
        (Some(view), Some(working)) => {
            if let Some(snapshot) = working.snapshot() {
                store.cells().resized(cell.id, id, snapshot.bytes());
                let snapshot = Arc::new(snapshot);
                batch.publish.push(Box::new(move || {
                    view.published.send_replace(snapshot);
                }));
            }
        }
        (Some(view), None) => {
            store.cells().let_go(cell.id, id);
            batch.publish.push(Box::new(move || {
                view.published
                    .send_modify(|snapshot| *snapshot = Arc::new(snapshot.deleted()));
            }));
        }
        (None, Some(working)) => working.trim(),
        (None, None) => {}
    }
}

fn reserve_uids(row: &mut MailboxRow) {
    if row.uid_next != 0 && row.uid_ceiling < row.uid_next.saturating_add(UID_BLOCK / 2) {
        row.uid_ceiling = row.uid_next.saturating_add(UID_BLOCK);
    }
}

/// Appends to the last chunk or a new one; returns the chunk's key.
fn push(working: &mut Working, item: Item) -> Uid {
    let uid = item.uid;
    let fresh = || Arc::new(Chunk::new(uid));
    let tail = match &mut working.content {
        Content::Full(chunks) => {
            if chunks.last().is_none_or(|chunk| chunk.is_full()) {
                chunks.push(fresh());
            }
            chunks.last_mut()
        }
        Content::Tail(tail) => {
            if tail.as_ref().is_none_or(|chunk| chunk.is_full()) {
                *tail = Some(fresh());
            }
            tail.as_mut()
        }
    };
    match tail {
        Some(chunk) => {
            let chunk = Arc::make_mut(chunk);
            chunk.push(item);
            chunk.first
        }
        None => uid,
    }
}
