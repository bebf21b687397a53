//! The working state of one account, the lock around it, and the views that sessions share.
//!
//! Cells are kept only while somebody works with the account, plus a bounded number of idle ones.

use super::chunk::Chunk;
use super::recent::{Kept, Recent};
use super::rows::{self, AccountRow, MailboxRow};
use super::snapshot::Snapshot;
use super::types::MailboxId;
use crate::commit::Fence;
use crate::engine::Space;
use crate::{Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, MailboxName, Uid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// Idle cells beyond this number are dropped.
const IDLE: usize = 1024;

/// The messages of a mailbox as far as they are in memory.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Only the last chunk: enough to append.
    Tail(Option<Arc<Chunk>>),
    /// All of it, while a session looks at the mailbox.
    Full(Vec<Arc<Chunk>>),
}

/// A mailbox as the next writer finds it: possibly ahead of what is committed.
#[derive(Debug, Clone)]
pub(super) struct Working {
    pub(super) row: MailboxRow,
    pub(super) content: Content,
}

impl Working {
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        match &self.content {
            Content::Full(chunks) => Some(Snapshot::new(self.row.clone(), chunks.clone())),
            Content::Tail(_) => None,
        }
    }

    /// Keeps only what appending needs.
    pub(super) fn trim(&mut self) {
        if let Content::Full(chunks) = &mut self.content {
            self.content = Content::Tail(chunks.pop());
        }
    }

    pub(super) fn chunks(&self) -> &[Arc<Chunk>] {
        match &self.content {
            Content::Full(chunks) => chunks,
            Content::Tail(tail) => tail.as_slice(),
        }
    }
}

/// An account as the next writer finds it.
pub(super) struct Building {
    generation: u64,
    /// None before the first commit.
    pub(super) owner: Option<Bytes>,
    pub(super) account: AccountRow,
    /// True before the first use: the default mailboxes do not exist yet.
    pub(super) fresh: bool,
    pub(super) mailboxes: BTreeMap<MailboxId, Arc<Working>>,
}

impl Building {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn by_name(&self, name: &MailboxName) -> Option<&Arc<Working>> {
        self.mailboxes.values().find(|working| working.row.name == *name)
    }
}

/// What sessions of one mailbox share.
pub(super) struct View {
    pub(super) published: watch::Sender<Arc<Snapshot>>,
    cell: Weak<Cell>,
    mailbox: MailboxId,
}

impl View {
    pub(super) fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.published.borrow().bytes()
    }
}

impl Drop for View {
    /// The last session is gone: the messages need not stay in memory. When somebody holds the lock right now,
    /// the next one who takes it sees to that.
    fn drop(&mut self) {
        let Some(cell) = self.cell.upgrade() else { return };
        cell.untidy.store(true, Ordering::SeqCst);
        if let Ok(mut building) = cell.building.try_lock()
            && let Some(building) = building.as_mut()
        {
            cell.tidy(building);
        }
    }
}

/// One account in memory.
pub(crate) struct Cell {
    pub(super) id: AccountId,
    pub(super) fence: Arc<Fence>,
    pub(super) building: tokio::sync::Mutex<Option<Building>>,
    views: Mutex<HashMap<MailboxId, Weak<View>>>,
    /// A view went, and its messages may still be in the working state.
    untidy: AtomicBool,
}

impl Cell {
    pub(super) fn new(id: AccountId) -> Self {
        Self {
            id,
            fence: Arc::default(),
            building: tokio::sync::Mutex::new(None),
            views: Mutex::default(),
            untidy: AtomicBool::new(false),
        }
    }

    /// Keeps only what appending needs of mailboxes that nobody looks at. Only under the lock: a session may
    /// have opened the mailbox again meanwhile.
    fn tidy(&self, building: &mut Building) {
        if !self.untidy.swap(false, Ordering::SeqCst) {
            return;
        }
        for (id, working) in &mut building.mailboxes {
            if matches!(working.content, Content::Full(_)) && self.view(*id).is_none() {
                Arc::make_mut(working).trim();
            }
        }
    }

    /// The view of a mailbox, while a session holds it.
    pub(super) fn view(&self, mailbox: MailboxId) -> Option<Arc<View>> {
        self.views.lock().get(&mailbox)?.upgrade()
    }

    fn live_views(&self) -> Vec<MailboxId> {
        let views = self.views.lock();
        let live = views.iter().filter(|(_, view)| view.strong_count() > 0);
        live.map(|(mailbox, _)| *mailbox).collect()
    }

    pub(super) fn add_view(self: &Arc<Self>, mailbox: MailboxId, snapshot: Snapshot) -> Arc<View> {
        let view = Arc::new(View {
            published: watch::Sender::new(Arc::new(snapshot)),
            cell: Arc::downgrade(self),
            mailbox,
        });
        let mut views = self.views.lock();
        views.retain(|_, view| view.strong_count() > 0);
        views.insert(mailbox, Arc::downgrade(&view));
        view
    }
}

/// All accounts in memory.
#[derive(Default)]
pub(crate) struct Cells(Mutex<Known>);

#[derive(Default)]
struct Known {
    cells: HashMap<AccountId, Arc<Cell>>,
    /// The number of cells at which the next sweep is due.
    sweep_at: usize,
    recent: Recent,
}

impl Cells {
    /// The one cell of an account. Idle cells are swept when there are too many: nobody else holds them, and
    /// whoever wants one later must come through this lock.
    pub(super) fn get(&self, id: AccountId) -> Arc<Cell> {
        let mut known = self.0.lock();
        if let Some(cell) = known.cells.get(&id) {
            return Arc::clone(cell);
        }
        if known.cells.len() >= known.sweep_at.max(IDLE) {
            known
                .cells
                .retain(|_, cell| Arc::strong_count(cell) > 1 || cell.fence.in_flight() > 0);
            // Twice what is in use, so that sweeping costs little however many accounts are.
            known.sweep_at = known.cells.len() * 2;
        }
        let cell = Arc::new(Cell::new(id));
        known.cells.insert(id, Arc::clone(&cell));
        cell
    }

    /// The cell of an account that is in memory.
    pub(super) fn known(&self, id: AccountId) -> Option<Arc<Cell>> {
        self.0.lock().cells.get(&id).map(Arc::clone)
    }

    /// Keeps a view that was opened in memory for a while. What goes for it is the caller's to drop, without
    /// the account's lock.
    #[must_use]
    pub(super) fn keep(&self, cell: &Arc<Cell>, view: &Arc<View>) -> Vec<Kept> {
        let bytes = view.bytes();
        let mut known = self.0.lock();
        let current = known.cells.get(&cell.id);
        if current.is_some_and(|current| Arc::ptr_eq(current, cell)) {
            known.recent.keep(cell, view, bytes)
        } else {
            // The account was erased meanwhile.
            Vec::new()
        }
    }

    /// Counts a view anew that a change is about to move.
    pub(super) fn resized(&self, account: AccountId, mailbox: MailboxId, bytes: usize) {
        let gone = self.0.lock().recent.resized(account, mailbox, bytes);
        drop(gone);
    }

    /// Lets go of the view of a mailbox that is deleted.
    pub(super) fn let_go(&self, account: AccountId, mailbox: MailboxId) {
        let gone = self.0.lock().recent.remove(account, mailbox);
        drop(gone);
    }

    /// Lets go of all views of an account.
    fn let_all_go(&self, account: AccountId) {
        let gone = self.0.lock().recent.forget(account);
        drop(gone);
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        self.0.lock().recent.counted()
    }
}

impl Store {
    /// Brings the working state up: when there is none, or a failed commit made it void.
    pub(super) async fn load(&self, cell: &Cell, building: &mut Option<Building>) -> Result<(), StoreError> {
        let current = cell.fence.generation();
        if let Some(known) = building.as_mut()
            && known.generation == current
        {
            cell.tidy(known);
            return Ok(());
        }
        *building = None;
        // A view that only waits to be opened again is not worth reading anew.
        self.cells().let_all_go(cell.id);
        self.settle(cell).await?;
        let generation = cell.fence.generation();
        let id = cell.id;
        let snapshot = self.engine().snapshot();
        let owner = snapshot.get(Space::Mail, &keys::owner(id))?;
        if owner.is_none() && snapshot.get(Space::Directory, &keys::account(id))?.is_none() {
            return Err(StoreError::NotFound("the account"));
        }
        let account = snapshot.get(Space::Mail, &keys::mail_account(id))?;
        let fresh = account.is_none();
        let mut account = match account {
            Some(row) => rows::read_account(&row).map_err(|error| error.of(id))?,
            None => AccountRow {
                boot: self.boot(),
                modseq: 0,
                modseq_ceiling: 0,
                next_mailbox: 1,
                next_validity: u32::try_from(self.clock().now().as_secs()).unwrap_or(1).max(1),
                bytes: 0,
                messages: 0,
            },
        };
        // An unclean stop may have lost writes that were told to clients; nothing above the ceiling was.
        if self.is_doubtful(account.boot) {
            account.modseq = account.modseq.max(account.modseq_ceiling);
        }
        let mut mailboxes = BTreeMap::new();
        for row in self.mailbox_rows(&snapshot, id)? {
            let tail = match row.tail {
                Some(first) => snapshot
                    .get(Space::Mail, &keys::chunk(id, row.id, first))?
                    .map(|bytes| Chunk::decode(first, &bytes).map(Arc::new))
                    .transpose()
                    .map_err(|error| error.of(id))?,
                None => None,
            };
            let content = Content::Tail(tail);
            mailboxes.insert(row.id, Arc::new(Working { row, content }));
        }
        // What sessions look at must be whole, or later changes could not be published.
        for mailbox in cell.live_views() {
            if let Some(working) = mailboxes.get_mut(&mailbox) {
                let chunks = self.read_chunks(id, mailbox)?;
                Arc::make_mut(working).content = Content::Full(chunks);
            }
        }
        *building = Some(Building {
            generation,
            owner,
            account,
            fresh,
            mailboxes,
        });
        Ok(())
    }

    /// The mailboxes as committed.
    pub(super) fn mailbox_rows(
        &self,
        snapshot: &crate::engine::Snapshot<'_>,
        id: AccountId,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        let rows = snapshot.all(Space::Mail, &keys::mailboxes(id))?;
        rows.iter()
            .map(|(key, row)| {
                let number = key
                    .get(9..)
                    .and_then(|digits| digits.try_into().ok())
                    .map(u32::from_be_bytes)
                    .ok_or_else(|| corrupt("mailbox key"))?;
                self.read_mailbox_row(MailboxId(number), row)
            })
            .collect::<Result<_, StoreError>>()
            .map_err(|error| error.of(id))
    }

    /// One mailbox as committed.
    pub(super) fn mailbox_row(
        &self,
        snapshot: &crate::engine::Snapshot<'_>,
        id: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<MailboxRow>, StoreError> {
        let row = snapshot.get(Space::Mail, &keys::mailbox(id, mailbox))?;
        row.map(|row| self.read_mailbox_row(mailbox, &row))
            .transpose()
            .map_err(|error| error.of(id))
    }

    fn read_mailbox_row(&self, mailbox: MailboxId, row: &[u8]) -> Result<MailboxRow, StoreError> {
        let mut row = rows::read_mailbox(mailbox, row)?;
        if self.is_doubtful(row.boot) && row.uid_next != 0 {
            row.uid_next = row.uid_next.max(row.uid_ceiling);
        }
        Ok(row)
    }

    /// Waits until what is committed is all there is of this account; the caller holds its lock.
    pub(super) async fn settle(&self, cell: &Cell) -> Result<(), StoreError> {
        if cell.fence.in_flight() > 0 {
            self.committer().barrier().await?;
        }
        Ok(())
    }

    /// Brings all chunks of a mailbox into memory.
    pub(super) async fn fill(
        &self,
        cell: &Cell,
        building: &mut Building,
        mailbox: MailboxId,
    ) -> Result<(), StoreError> {
        let Some(working) = building.mailboxes.get(&mailbox) else {
            return Err(StoreError::NotFound("the mailbox"));
        };
        if matches!(working.content, Content::Full(_)) {
            return Ok(());
        }
        self.settle(cell).await?;
        if cell.fence.generation() != building.generation {
            return Err(StoreError::Conflict);
        }
        let chunks = self.read_chunks(cell.id, mailbox)?;
        if let Some(working) = building.mailboxes.get_mut(&mailbox) {
            Arc::make_mut(working).content = Content::Full(chunks);
        }
        Ok(())
    }

    fn read_chunks(&self, id: AccountId, mailbox: MailboxId) -> Result<Vec<Arc<Chunk>>, StoreError> {
        let prefix = keys::chunks(id, mailbox);
        let rows = self.engine().snapshot().all(Space::Mail, &prefix)?;
        rows.iter()
            .map(|(key, row)| {
                let first = key
                    .get(prefix.len()..)
                    .and_then(|digits| digits.try_into().ok())
                    .and_then(|digits| Uid::new(u32::from_be_bytes(digits)).ok())
                    .ok_or_else(|| corrupt("chunk key"))?;
                Chunk::decode(first, row).map(Arc::new)
            })
            .collect::<Result<_, _>>()
            .map_err(|error: StoreError| error.of(id))
    }

    /// Drops what is in memory of an account that is erased; its sessions see their mailboxes go.
    pub(crate) fn forget_mail(&self, id: AccountId) {
        let (cell, kept) = {
            let mut known = self.cells().0.lock();
            (known.cells.remove(&id), known.recent.forget(id))
        };
        let Some(cell) = cell else { return };
        for view in cell.views.lock().values().filter_map(Weak::upgrade) {
            view.published
                .send_modify(|snapshot| *snapshot = Arc::new(snapshot.deleted()));
        }
        drop(kept);
    }
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt {
        account: None,
        what: what.into(),
    }
}
