//! Sync rows that are committed together, or together with a change of an account or group.

use super::association::{LinkRead, corrupt};
use super::{
    Association, Conflict, ConnectorState, Elsewhere, Intent, LinkData, MemberRef, QuarantineEntry, Tombstone,
};
use crate::commit::{Batch, Class};
use crate::engine::Space;
use crate::{LocalId, Origin, Store, StoreError, Touched, keys};
use bytes::Bytes;
use model::EntryUuid;

/// One row that comes or goes. What belongs together is given together and becomes durable together: a base
/// with the end of its intent, an intent with the local half of its plan, a cookie with what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncChange {
    /// A link, new or changed.
    Association(Box<Association>),
    /// What becomes of a link that was read: [`StoreError::Conflict`] where it is another one by now, or none.
    Relinked(Box<LinkRead>, Box<LinkData>),
    /// A link that goes; nothing of the object changes.
    Unlink {
        /// The connector.
        connector: String,
        /// The object.
        local: LocalId,
    },
    /// A remote write that is about to be sent; it replaces the object's earlier one.
    Intent(Box<Intent>),
    /// The object has no remote write to send any more.
    IntentDone {
        /// The connector.
        connector: String,
        /// The object.
        local: LocalId,
    },
    /// A value that lost. The same one is kept once.
    Conflict(Box<Conflict>),
    /// All members of a group that are not known yet; none ends the waiting.
    Pending {
        /// The connector.
        connector: String,
        /// The group; none: the one that is created or changed with this row.
        group: Option<LocalId>,
        /// Who is missing.
        members: Vec<MemberRef>,
    },
    /// A link whose local object is gone.
    Tombstone(Box<Tombstone>),
    /// The tombstone has served.
    TombstoneDone {
        /// The connector.
        connector: String,
        /// The entry.
        remote: EntryUuid,
    },
    /// An object that waits.
    Quarantine(Box<QuarantineEntry>),
    /// An object that waits no longer.
    QuarantineDone {
        /// The connector.
        connector: String,
        /// The object, as in [`QuarantineEntry`].
        object: String,
    },
    /// Where an entry was seen; none forgets.
    Elsewhere {
        /// The connector.
        connector: String,
        /// The entry.
        remote: EntryUuid,
        /// The other home.
        seen: Option<Elsewhere>,
    },
    /// The connector's checkpoint.
    State {
        /// The connector.
        connector: String,
        /// All of it.
        state: Box<ConnectorState>,
    },
}

impl Store {
    /// Commits these rows together, durably.
    pub async fn commit_sync(&self, changes: &[SyncChange]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.commit_rows(Class::Durable, changes).await
    }

    /// Commits these rows together, and does not wait for the disk, which has them within a second or with the next commit
    /// that does. A power loss may take them back, and what came after them: so only for what a row that stays leads to again, as
    /// the intent does that ends here. These rows are all in one key space, which keeps its order. A batch over several
    /// would not: each is written out by itself, so one may have a row while another lacks what came before.
    pub async fn commit_sync_soon(&self, changes: &[SyncChange]) -> Result<(), StoreError> {
        self.commit_rows(Class::Relaxed, changes).await
    }

    async fn commit_rows(&self, class: Class, changes: &[SyncChange]) -> Result<(), StoreError> {
        let mut batch = Batch::new(class);
        self.stage_sync(&mut batch, None, changes)?;
        self.commit(batch).await
    }

    /// Commits these rows durably with a row of the audit log about one object: what an administrator did to its link.
    pub async fn commit_sync_as(
        &self,
        changes: &[SyncChange],
        (object, note): (Option<LocalId>, String),
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new(Class::Durable);
        self.stage_sync(&mut batch, None, changes)?;
        self.journal_row(&mut batch, object, Touched::ASSOCIATION, origin, note);
        self.commit(batch).await
    }

    /// Adds rows to a batch; `own` is the object that the batch creates or changes.
    pub(crate) fn stage_sync(
        &self,
        batch: &mut Batch,
        own: Option<LocalId>,
        changes: &[SyncChange],
    ) -> Result<(), StoreError> {
        for change in changes {
            match change {
                SyncChange::Association(link) => {
                    self.stage_association(batch, link)?;
                }
                SyncChange::Relinked(read, data) => super::association::stage_changed(batch, read, data),
                SyncChange::Unlink { connector, local } => self.stage_unlink(batch, connector, *local)?,
                SyncChange::Intent(intent) => self.stage_intent(batch, intent)?,
                SyncChange::IntentDone { connector, local } => {
                    self.stage_intent_done(batch, connector, *local)?;
                }
                SyncChange::Conflict(conflict) => self.stage_conflict(batch, own, conflict)?,
                SyncChange::Pending {
                    connector,
                    group,
                    members,
                } => {
                    let group = group.or(own).ok_or_else(|| {
                        StoreError::Invalid("pending members need the group that has them".into())
                    })?;
                    self.stage_pending(batch, connector, group, members)?;
                }
                SyncChange::Tombstone(tombstone) => super::tombstone::stage(batch, tombstone)?,
                SyncChange::TombstoneDone { connector, remote } => {
                    batch.delete(Space::Directory, super::tombstone::key(connector, *remote));
                }
                SyncChange::Quarantine(entry) => super::connector::stage_quarantine(batch, entry)?,
                SyncChange::QuarantineDone { connector, object } => {
                    batch.delete(Space::Directory, keys::quarantine(connector, object));
                }
                SyncChange::Elsewhere {
                    connector,
                    remote,
                    seen,
                } => super::elsewhere::stage(batch, connector, *remote, seen.as_ref())?,
                SyncChange::State { connector, state } => {
                    super::connector::stage_state(batch, connector, state)?;
                }
            }
        }
        Ok(())
    }
}

/// The local id in an index row or key.
pub(super) fn local_of(bytes: &[u8]) -> Result<LocalId, StoreError> {
    LocalId::from_bytes(bytes).ok_or_else(corrupt)
}

/// An index row that holds a local id.
pub(super) fn local_row(local: LocalId) -> Bytes {
    Bytes::copy_from_slice(&local.to_bytes())
}

/// Tag, connector, NUL: what the keys of one kind begin with.
pub(super) fn prefix(tag: u8, connector: &str) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(connector.as_bytes());
    key.push(0);
    key
}
