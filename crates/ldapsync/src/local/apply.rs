//! Carrying a plan out here: one object, one durable commit.

use super::objects::{new_account, new_group};
use super::{Local, Seen, own_id, store_id};
use crate::engine::Outcome;
use crate::field::Image;
use crate::plan::{Kind, LocalId, LocalState, Op, Plan, Wait};
use store::{Association, Intent, LinkData, NewAccount, Origin, StoreError, SyncChange};

/// What an error of the store means for the object that was to be written.
pub(crate) fn outcome_of(error: &StoreError) -> Outcome {
    match error {
        StoreError::Conflict => Outcome::Stale,
        // A damaged row is this object's trouble alone.
        StoreError::Corrupt { .. } => Outcome::Refused(error.to_string()),
        error if error.is_temporary() => Outcome::Temporary(error.to_string()),
        error => Outcome::Refused(error.to_string()),
    }
}

impl Local {
    /// Carries a plan out. Everything of one object is one durable commit, its link included.
    /// The intent of its remote half is in it too.
    pub(crate) async fn apply(&self, plan: &Plan, seen: &Seen, intent: Option<Intent>) -> Outcome {
        let rows = self.rows(plan, seen, intent);
        match self.try_apply(plan, seen, rows).await {
            Ok(()) => Outcome::Done,
            Err(error) => outcome_of(&error),
        }
    }

    /// The rows that go with a plan's local half.
    pub(super) fn rows(&self, plan: &Plan, seen: &Seen, intent: Option<Intent>) -> Vec<SyncChange> {
        let mut rows = self.conflicts(plan, seen.local);
        let lives = |op: &Op| matches!(op, Op::Create { .. } | Op::Link { .. });
        if let Some(erased) = seen.entombed.filter(|_| plan.ops.iter().any(lives)) {
            rows.push(SyncChange::TombstoneDone {
                connector: self.connector.clone(),
                remote: plan.uuid,
            });
            // The entry is another object's from now on, which nobody would look at for what was begun for this one.
            rows.extend(seen.begun.is_some().then(|| self.intent_done(erased)));
        }
        // An object that joins an entry may have begun to make one.
        let begun = |local: &LocalId| {
            seen.begun.is_some()
                || matches!(self.store.intent(&self.connector, store_id(*local)), Ok(Some(_)))
        };
        match (intent, plan.joined().or(seen.local).filter(begun)) {
            (Some(intent), _) => rows.push(SyncChange::Intent(Box::new(intent))),
            (None, Some(local)) => rows.push(self.intent_done(local)),
            _ => {}
        }
        rows
    }

    /// The link of a plan that changes nothing but its version: the object stays as it is, and nobody has done anything.
    fn renewal(&self, plan: &Plan, seen: &Seen) -> Option<SyncChange> {
        let (known, local) = (seen.link.as_ref()?, seen.local?);
        if !plan.is_quiet() || plan.joined().is_some() || seen.adopted.is_some() || seen.entombed.is_some() {
            return None;
        }
        let data = self.link(plan, seen, &[])?.data;
        let same = LinkData {
            version: known.version.clone(),
            ..data.clone()
        };
        (same == *known).then(|| {
            SyncChange::Association(Box::new(Association {
                connector: self.connector.clone(),
                local: store_id(local),
                remote: plan.uuid,
                data,
            }))
        })
    }

    async fn try_apply(&self, plan: &Plan, seen: &Seen, mut rows: Vec<SyncChange>) -> Result<(), StoreError> {
        if let Some(renewed) = self.renewal(plan, seen) {
            rows.push(renewed);
            if let Some(group @ LocalId::Group(_)) = seen.local {
                rows.extend(self.pending(group, &waiting(plan)));
            }
            return self.store.commit_sync(&rows).await;
        }
        let origin = Origin::Connector(self.connector.clone());
        if let [Op::Create { kind, image, state }] = plan.ops.as_slice() {
            match kind {
                Kind::Account => {
                    let new = self.account_to_create((plan, seen), image, state, rows)?;
                    self.store.create_account(new, &origin).await?;
                }
                Kind::Group => {
                    let mut new = new_group(image, self.link(plan, seen, &plan.ops))?;
                    new.sync = rows;
                    self.store.create_group(new, &origin).await?;
                }
            }
            return self.forget_elsewhere(plan, seen).await;
        }
        let local = self
            .store
            .association_by_uuid(&self.connector, plan.uuid)?
            .map(|found| own_id(found.local));
        match plan.joined().or(local).or(seen.adopted) {
            Some(LocalId::Account(id)) => {
                let mut change = self.account_change(plan, seen)?;
                change.sync = rows;
                self.store
                    .update_account(id, seen.version, change, &origin)
                    .await?;
                self.forget_elsewhere(plan, seen).await
            }
            Some(LocalId::Group(id)) if plan.ops.iter().any(|op| matches!(op, Op::Remove { .. })) => {
                // A group holds no mail: all there is to it comes back with the entry. Nothing of it is to be written.
                let mut rows = rows;
                rows.retain(|row| !matches!(row, SyncChange::Intent(_)));
                self.store.remove_group((id, seen.version), &rows, &origin).await
            }
            Some(LocalId::Group(id)) => {
                let mut change = self.group_change(plan, seen)?;
                change.sync = rows;
                change
                    .sync
                    .extend(self.pending(LocalId::Group(id), &waiting(plan)));
                self.store
                    .update_group(id, seen.version, change, &origin)
                    .await
                    .map(drop)
            }
            None => self.store.commit_sync(&rows).await,
        }
    }

    /// The account of a plan, with its link and these rows.
    pub(super) fn account_to_create(
        &self,
        (plan, seen): (&Plan, &Seen),
        image: &Image,
        state: &LocalState,
        rows: Vec<SyncChange>,
    ) -> Result<NewAccount, StoreError> {
        let mut new = new_account(image, state, self.link(plan, seen, &plan.ops))?;
        new.password_hash = self.copied(plan, seen).cloned();
        new.sync = rows;
        Ok(new)
    }

    /// An account that lives here now knows itself where its mail is; the note of another home has served.
    async fn forget_elsewhere(&self, plan: &Plan, seen: &Seen) -> Result<(), StoreError> {
        let arrives = |op: &Op| {
            matches!(
                op,
                Op::Create { .. } | Op::Link { .. } | Op::Revive | Op::Await { .. }
            )
        };
        if seen.noted_elsewhere && plan.ops.iter().any(arrives) {
            self.store
                .note_elsewhere(&self.connector, &[(plan.uuid, None)])
                .await?;
        }
        Ok(())
    }
}

/// The members that a plan's group waits for.
fn waiting(plan: &Plan) -> Vec<String> {
    let of = |wait: &Wait| match wait {
        Wait::Members { addresses } => addresses.clone(),
        _ => Vec::new(),
    };
    plan.waits.iter().flat_map(of).collect()
}
