//! Views that stay in memory for a while after their last session, so that who opens a mailbox again need not
//! read it again. To a writer such a view is one more session's; it is bounded for the whole store, whatever
//! the number of accounts.

use super::cell::{Cell, View};
use super::types::MailboxId;
use model::AccountId;
use std::collections::HashMap;
use std::sync::Arc;

/// Most views that are kept.
const VIEWS: usize = 256;
/// Most octets of messages in them, about 17 a message.
const BYTES: usize = 32 << 20;

/// A view that is kept. The cell goes after it, because a view that goes tidies up there.
pub(super) struct Kept {
    view: Arc<View>,
    cell: Arc<Cell>,
    bytes: usize,
    used: u64,
}

/// The views opened last. Whoever lets one go drops it outside the lock around this.
#[derive(Default)]
pub(super) struct Recent {
    views: HashMap<(AccountId, MailboxId), Kept>,
    bytes: usize,
    tick: u64,
}

impl Recent {
    /// Keeps a view, as the one used last; returns what goes for it.
    #[must_use]
    pub(super) fn keep(&mut self, cell: &Arc<Cell>, view: &Arc<View>, bytes: usize) -> Vec<Kept> {
        self.tick += 1;
        let kept = Kept {
            view: Arc::clone(view),
            cell: Arc::clone(cell),
            bytes,
            used: self.tick,
        };
        self.bytes += bytes;
        let before = self.views.insert((cell.id, view.mailbox()), kept);
        self.bytes -= before.as_ref().map_or(0, |before| before.bytes);
        let mut gone = self.shrink();
        gone.extend(before);
        gone
    }

    /// Counts a kept view anew after a change; returns what goes for it.
    #[must_use]
    pub(super) fn resized(&mut self, account: AccountId, mailbox: MailboxId, bytes: usize) -> Vec<Kept> {
        let Some(kept) = self.views.get_mut(&(account, mailbox)) else {
            return Vec::new();
        };
        self.bytes = self.bytes - kept.bytes + bytes;
        kept.bytes = bytes;
        self.shrink()
    }

    /// Lets go of one view.
    #[must_use]
    pub(super) fn remove(&mut self, account: AccountId, mailbox: MailboxId) -> Option<Kept> {
        let gone = self.views.remove(&(account, mailbox))?;
        self.bytes -= gone.bytes;
        Some(gone)
    }

    /// Lets go of all views of an account.
    #[must_use]
    pub(super) fn forget(&mut self, account: AccountId) -> Vec<Kept> {
        let mailboxes: Vec<MailboxId> = self
            .views
            .keys()
            .filter(|(id, _)| *id == account)
            .map(|(_, mailbox)| *mailbox)
            .collect();
        let gone = mailboxes.into_iter();
        gone.filter_map(|mailbox| self.remove(account, mailbox)).collect()
    }

    fn shrink(&mut self) -> Vec<Kept> {
        let mut gone = Vec::new();
        while self.views.len() > VIEWS || self.bytes > BYTES {
            // One mailbox does not push out everybody else's.
            let large = self.views.values().find(|kept| kept.bytes > BYTES / 4);
            let oldest = || self.views.values().min_by_key(|kept| kept.used);
            let Some(least) = large.or_else(oldest) else { break };
            let (account, mailbox) = (least.cell.id, least.view.mailbox());
            gone.extend(self.remove(account, mailbox));
        }
        gone
    }

    #[cfg(test)]
    pub(super) fn counted(&self) -> (usize, usize) {
        let bytes = self.views.values().map(|kept| kept.view.bytes()).sum();
        assert_eq!(self.bytes, bytes, "what is counted is what is there");
        (self.views.len(), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::rows::MailboxRow;
    use crate::mail::snapshot::Snapshot;
    use model::{MailboxName, UidValidity};

    fn view(cell: &Arc<Cell>, number: u32) -> Arc<View> {
        let row = MailboxRow {
            id: MailboxId(number),
            boot: 1,
            name: MailboxName::inbox(),
            special_use: None,
            uid_validity: UidValidity::new(1).expect("validity"),
            uid_next: 1,
            uid_ceiling: 1,
            highest_modseq: 1,
            messages: 0,
            unseen: 0,
            deleted: 0,
            recent: 0,
            recent_from: 1,
            size: 0,
            tail: None,
            keywords: Arc::default(),
        };
        cell.add_view(MailboxId(number), Snapshot::new(row, Vec::new()))
    }

    fn id(number: u64) -> AccountId {
        AccountId::new(number).expect("id")
    }

    #[test]
    fn the_number_of_views_is_bounded_and_the_oldest_goes() {
        let cell = Arc::new(Cell::new(id(1)));
        let mut recent = Recent::default();
        let first = view(&cell, 0);
        drop(recent.keep(&cell, &first, 10));
        for number in 1..1000 {
            drop(recent.keep(&cell, &view(&cell, number), 10));
            // Used again and again, so it stays.
            drop(recent.keep(&cell, &first, 10));
        }
        assert_eq!((recent.views.len(), recent.bytes), (VIEWS, VIEWS * 10));
        assert!(cell.view(MailboxId(999)).is_some() && cell.view(MailboxId(1)).is_none());
        assert!(recent.views.contains_key(&(id(1), MailboxId(0))));
        assert_eq!(recent.forget(id(2)).len(), 0);
        assert_eq!(recent.forget(id(1)).len(), VIEWS);
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn the_octets_are_bounded() {
        let cell = Arc::new(Cell::new(id(1)));
        let mut recent = Recent::default();
        for number in 0..9 {
            drop(recent.keep(&cell, &view(&cell, number), BYTES / 8));
        }
        assert_eq!(recent.views.len(), 8);
        // What grows past a quarter goes itself.
        drop(recent.resized(id(1), MailboxId(5), BYTES / 2));
        assert_eq!((recent.views.len(), recent.bytes), (7, BYTES / 8 * 7));
        assert!(cell.view(MailboxId(5)).is_none());
    }
}
