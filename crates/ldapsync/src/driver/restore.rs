//! Replaying a value that lost a conflict: it becomes an edit made here by whoever restores it, and goes the way of
//! every edit.

use super::report::store_error;
use super::{SyncEngine, SyncError};
use crate::field::{Field, Values};
use crate::link::{FIELDS, values};
use crate::merge::Side;
use directory::config::Direction;
use model::{Address, ByteSize, Timestamp};
use std::time::Duration;
use store::{AccountChange, Conflict, ConflictId, GroupChange, LocalId, Loser, Member, Origin};

impl SyncEngine {
    /// Gives the object here the discarded value of a conflict; says what was set. Where both sides lost, `side` says
    /// whose value is meant.
    pub async fn restore(
        &self,
        id: &ConflictId,
        side: Option<Side>,
        by: &Origin,
    ) -> Result<String, SyncError> {
        let (store, name) = (&self.local.store, &self.config.name);
        let row = store.conflict(name, id).map_err(store_error)?;
        let row = row.ok_or_else(|| SyncError::NotFound(format!("there is no conflict {id}")))?;
        if self.config.direction == Direction::LdapToLocal {
            return Err(SyncError::Refused(
                "the direction is ldap-to-local, so an edit here would be undone; change the entry"
                    .to_owned(),
            ));
        }
        let field = FIELDS.into_iter().find(|field| field.name() == id.field);
        let field = field.ok_or_else(|| SyncError::Refused(format!("{} cannot be restored", id.field)))?;
        let wanted = discarded(&row, field, side)?;
        let text = format!("{}: {field} is {wanted} again", row.subject);
        match row.local {
            Some(LocalId::Account(account)) => {
                let change = account_change(field, &wanted)?;
                let done = store.update_account(account, None, change, by).await;
                done.map_err(refused)?;
            }
            Some(LocalId::Group(group)) => {
                let change = group_change(field, &wanted)?;
                let done = store.update_group(group, None, change, by).await;
                done.map_err(refused)?;
            }
            None => return Err(SyncError::NotFound("the object is gone".to_owned())),
        }
        Ok(text)
    }
}

/// Pieces of housekeeping in one call.
const PIECES: usize = 16;

impl SyncEngine {
    /// Forgets conflicts that are older than `conflict_retention`, some thousands a call; says how many.
    pub async fn prune_conflicts(&self) -> Result<usize, SyncError> {
        let days = Duration::from_secs(self.config.conflict_retention.saturating_mul(86_400));
        let now = self.now().as_millis();
        let before = now.saturating_sub(u64::try_from(days.as_millis()).unwrap_or(u64::MAX));
        let before = Timestamp::from_millis(before);
        let mut pruned = 0;
        for _ in 0..PIECES {
            let some = self.local.store.prune_conflicts(&self.config.name, before).await;
            match some.map_err(store_error)? {
                0 => break,
                some => pruned += some,
            }
        }
        Ok(pruned)
    }
}

/// A store that cannot write now, and one that will not.
fn refused(error: store::StoreError) -> SyncError {
    if error.is_temporary() {
        store_error(error)
    } else {
        SyncError::Refused(error.to_string())
    }
}

fn discarded(row: &Conflict, field: Field, side: Option<Side>) -> Result<Values, SyncError> {
    let side = match (row.loser, side) {
        (Loser::Local, None | Some(Side::Local)) => Side::Local,
        (Loser::Remote, None | Some(Side::Remote)) => Side::Remote,
        (Loser::Both, Some(side)) => side,
        (Loser::Both, None) => {
            let message = "both sides lost; say whose value is to come back, here or directory";
            return Err(SyncError::Refused(message.to_owned()));
        }
        (Loser::Local | Loser::Remote, Some(_)) => {
            let message = "that side's value was not discarded";
            return Err(SyncError::Refused(message.to_owned()));
        }
    };
    let raw = match side {
        Side::Local => &row.local_values,
        Side::Remote => &row.remote_values,
    };
    let texts: Vec<&str> = raw
        .iter()
        .filter_map(|value| std::str::from_utf8(value).ok())
        .collect();
    Ok(values(field, &texts))
}

fn account_change(field: Field, wanted: &Values) -> Result<AccountChange, SyncError> {
    let mut change = AccountChange::default();
    match field {
        Field::Address => change.address = Some(address_of(wanted)?),
        Field::Aliases => change.aliases = Some(wanted.to_addresses().collect()),
        Field::DisplayName => change.display_name = Some(wanted.first().map(str::to_owned)),
        Field::Quota => change.quota = Some(quota_of(wanted)),
        Field::Enabled => change.enabled = Some(!wanted.equals(&Values::switch(false))),
        Field::Members | Field::PendingMembers | Field::AwaitedFrom => return Err(no_such(field)),
    }
    Ok(change)
}

fn group_change(field: Field, wanted: &Values) -> Result<GroupChange, SyncError> {
    let mut change = GroupChange::default();
    match field {
        Field::Address => change.address = Some(address_of(wanted)?),
        Field::Aliases => change.aliases = Some(wanted.to_addresses().collect()),
        Field::DisplayName => change.display_name = Some(wanted.first().map(str::to_owned)),
        Field::Enabled => change.enabled = Some(!wanted.equals(&Values::switch(false))),
        Field::Members => {
            let members = wanted
                .to_members()
                .map(|(uuid, address)| Member::Remote { uuid, address });
            change.members = Some(members.collect());
        }
        Field::Quota | Field::PendingMembers | Field::AwaitedFrom => return Err(no_such(field)),
    }
    Ok(change)
}

fn address_of(wanted: &Values) -> Result<Address, SyncError> {
    let address = wanted.to_addresses().next();
    address.ok_or_else(|| SyncError::Refused("an object needs an address".to_owned()))
}

/// No limit is written as 0.
fn quota_of(wanted: &Values) -> Option<ByteSize> {
    let bytes: u64 = wanted.first()?.parse().ok()?;
    (bytes > 0).then_some(ByteSize(bytes))
}

fn no_such(field: Field) -> SyncError {
    SyncError::Refused(format!("{field} is nothing that this object has"))
}
