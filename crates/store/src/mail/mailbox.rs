//! An open mailbox.

use super::cell::{Cell, View};
use super::mailboxes::Mail;
use super::snapshot::Snapshot;
use super::types::MailboxId;
use crate::StoreError;
use model::AccountId;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::watch;

/// An open mailbox. All handles of one mailbox, in whatever session, share one view in memory.
#[derive(Clone)]
pub struct Mailbox {
    pub(super) mail: Mail,
    pub(super) id: MailboxId,
    receiver: watch::Receiver<Arc<Snapshot>>,
    /// Keeps the account and the view in memory.
    _cell: Arc<Cell>,
    _view: Arc<View>,
}

impl Mailbox {
    pub(super) fn new(mail: Mail, cell: &Arc<Cell>, id: MailboxId, view: Arc<View>) -> Self {
        Self {
            mail,
            id,
            receiver: view.published.subscribe(),
            _cell: Arc::clone(cell),
            _view: view,
        }
    }

    /// Whose mailbox.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.mail.id
    }

    /// Its lasting id.
    #[must_use]
    pub fn id(&self) -> MailboxId {
        self.id
    }

    /// The newest committed state. A session keeps the one it last told its client about, and tells the
    /// difference with [`Snapshot::changes_since`].
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.receiver.borrow())
    }

    /// Returns when the state has moved since the last return of this function (or since the opening): for
    /// IDLE. May return without a difference, so compare snapshots.
    pub async fn changed(&mut self) {
        // The sender lives as long as this handle, so there is always somebody to wait for.
        let _ = self.receiver.changed().await;
    }

    /// Claims the messages that no session has been told of as `\Recent`: those with UIDs in the returned range
    /// are recent in this session, and in no later one (RFC 3501 section 2.3.2).
    pub async fn claim_recent(&self) -> Result<Range<u32>, StoreError> {
        let (store, id) = (&self.mail.store, self.id);
        store
            .write_mail(self.mail.id, 0, None, |txn| {
                let row = &txn.peek(id)?.row;
                let (from, next) = (row.recent_from, row.uid_next);
                if row.recent > 0 {
                    let row = &mut txn.mailbox(id)?.row;
                    row.recent = 0;
                    row.recent_from = next;
                }
                Ok(from..next)
            })
            .await
    }
}
