//! What a plan changes of an account or a group, and of its link.

use super::objects::{address_of, members_of, quota_of};
use super::{Local, Seen};
use crate::field::{Field, Values};
use crate::plan::{Farewell, LocalState, Op, Plan, parked};
use directory::config::OnDelete;
use model::{Address, Timestamp};
use store::{
    AccountChange, AccountState, GroupChange, LinkData, LinkState, Member, NewAssociation, Origin, RemovedBy,
    StoreError,
};

/// "Until somebody decides": what `on_delete = "disable"` and scope exits keep.
const FOREVER: Timestamp = Timestamp::from_millis(u64::MAX >> 1);

impl Local {
    /// Lets an object give up the addresses that its plan takes from it, before it takes its own: it stands in a
    /// circle, like two people who swap. In the place of its address it has a name that nobody wants. Should the
    /// process die here, the round is repeated, for its cookie is not committed; so what the plan discards is kept now.
    pub(crate) async fn park(&self, plan: &Plan, seen: &mut Seen) -> Result<(), StoreError> {
        let origin = Origin::Connector(self.connector.clone());
        let Some(found) = self.store.association_by_uuid(&self.connector, plan.uuid)? else {
            return Ok(());
        };
        let set = |wanted: Field| {
            plan.ops.iter().find_map(|op| match op {
                Op::Set { field, values, .. } if *field == wanted => Some(values),
                _ => None,
            })
        };
        let address = |now: &Address| match set(Field::Address) {
            Some(next) if !next.has(&now.key()) => parked(plan.uuid, now)
                .map(Some)
                .ok_or_else(|| StoreError::Invalid(format!("{now} cannot step aside"))),
            _ => Ok(None),
        };
        // The aliases that it keeps are no other's business, and its plan may not name them at all.
        let aliases = |now: &[Address]| {
            let next = set(Field::Aliases)?;
            let kept = now.iter().filter(|alias| next.has(&alias.key()));
            Some(kept.cloned().collect::<Vec<_>>())
        };
        let version = match found.local {
            store::LocalId::Account(id) => {
                let Some(account) = self.store.account(id)? else {
                    return Ok(());
                };
                let change = AccountChange {
                    address: address(&account.address)?,
                    aliases: aliases(&account.aliases),
                    sync: self.conflicts(plan, seen.local),
                    ..AccountChange::default()
                };
                let changed = self.store.update_account(id, seen.version, change, &origin);
                changed.await?.version
            }
            store::LocalId::Group(id) => {
                let Some(group) = self.store.group(id)? else {
                    return Ok(());
                };
                let change = GroupChange {
                    address: address(&group.address)?,
                    aliases: aliases(&group.aliases),
                    sync: self.conflicts(plan, seen.local),
                    ..GroupChange::default()
                };
                let changed = self.store.update_group(id, seen.version, change, &origin);
                changed.await?.version
            }
        };
        seen.version = Some(version);
        Ok(())
    }

    pub(super) fn account_change(&self, plan: &Plan, seen: &Seen) -> Result<AccountChange, StoreError> {
        let mut change = AccountChange {
            association: self.link(plan, seen, &plan.ops),
            ..AccountChange::default()
        };
        for op in &plan.ops {
            match op {
                Op::Set { field, values, .. } => match field {
                    Field::Address => change.address = Some(address_of(values)?),
                    Field::Aliases => change.aliases = Some(values.to_addresses().collect()),
                    Field::DisplayName => change.display_name = Some(values.first().map(str::to_owned)),
                    Field::Quota => change.quota = Some(quota_of(values)),
                    Field::Enabled => change.enabled = Some(values.equals(&Values::switch(true))),
                    Field::Members | Field::PendingMembers | Field::AwaitedFrom => {}
                },
                Op::Revive => change.state = Some(AccountState::Active),
                Op::Await { from } => change.state = Some(AccountState::AwaitingMail { from: from.clone() }),
                Op::Remove { why } => {
                    change.state = Some(AccountState::SoftDeleted {
                        until: self.until(*why),
                        by: RemovedBy::Sync,
                    })
                }
                Op::MoveAway { to } => change.state = Some(AccountState::MovedAway { to: to.clone() }),
                Op::Create { .. } | Op::Link { .. } | Op::Adopt { .. } => {}
            }
        }
        change.password_hash = self.copied(plan, seen).map(|hash| Some(hash.clone()));
        Ok(change)
    }

    /// When the mail of a removed account may be erased. Only a verified deletion under `on_delete =
    /// "delete"` sets an end; everything else waits for a person.
    fn until(&self, why: Farewell) -> Timestamp {
        match (why, self.on_delete) {
            (Farewell::Gone, OnDelete::Delete) => self.clock.now().after(self.retention),
            _ => FOREVER,
        }
    }

    pub(super) fn group_change(&self, plan: &Plan, seen: &Seen) -> Result<GroupChange, StoreError> {
        let mut change = GroupChange {
            association: self.link(plan, seen, &plan.ops),
            ..GroupChange::default()
        };
        let unnamed = || seen.unnamed.iter().cloned().map(Member::Local);
        for op in &plan.ops {
            if let Op::Adopt { members } = op {
                change.members = Some(members_of(members).into_iter().chain(unnamed()).collect());
            }
            if let Op::Set { field, values, .. } = op {
                match field {
                    Field::Address => change.address = Some(address_of(values)?),
                    Field::Aliases => change.aliases = Some(values.to_addresses().collect()),
                    Field::DisplayName => change.display_name = Some(values.first().map(str::to_owned)),
                    Field::Members => {
                        change.members = Some(members_of(values).into_iter().chain(unnamed()).collect());
                    }
                    Field::Quota | Field::Enabled | Field::PendingMembers | Field::AwaitedFrom => {}
                }
            }
        }
        Ok(change)
    }

    /// The link after the plan.
    pub(super) fn link(&self, plan: &Plan, seen: &Seen, ops: &[Op]) -> Option<NewAssociation> {
        plan.base.as_ref()?;
        let mut data = seen
            .link
            .clone()
            .unwrap_or_else(|| LinkData::new(seen.dn.clone()));
        let mut values = match plan.remote.is_empty() {
            true => plan.settled(),
            false => plan.meanwhile(seen.old.as_ref()),
        };
        values.passwords = self.passwords_after(plan, seen);
        self.write_values(&mut data, &values, seen);
        if !seen.dn.is_empty() {
            data.dn.clone_from(&seen.dn);
            data.version.clone_from(&seen.csn);
        }
        let since = || self.clock.now();
        for op in ops {
            match op {
                Op::Create {
                    state: LocalState::AwaitingMail { from },
                    ..
                } => {
                    data.state = LinkState::AwaitingMail { from: from.clone() };
                }
                Op::Await { from } => data.state = LinkState::AwaitingMail { from: from.clone() },
                Op::Create { .. } | Op::Link { .. } | Op::Revive => data.state = LinkState::Linked,
                Op::Remove { why: Farewell::Gone } => data.state = LinkState::Gone { since: since() },
                Op::Remove { .. } => data.state = LinkState::OutOfScope { since: since() },
                Op::MoveAway { to } => data.state = LinkState::MovedAway { to: to.clone() },
                Op::Set { .. } | Op::Adopt { .. } => {}
            }
        }
        Some(NewAssociation {
            connector: self.connector.clone(),
            remote: plan.uuid,
            data,
        })
    }
}
