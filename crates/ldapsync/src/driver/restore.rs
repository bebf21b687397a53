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
use store::{
    Account, AccountChange, Conflict, ConflictId, Group, GroupChange, LocalId, Loser, Member, Origin,
};

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
        let lost = discarded(&row, field, side)?;
        let gone = || SyncError::NotFound("the object is gone".to_owned());
        let said = match row.local {
            Some(LocalId::Account(account)) => {
                let now = store.account(account).map_err(store_error)?.ok_or_else(gone)?;
                let change = account_change(field, &lost, &now)?;
                let done = store.update_account(account, Some(now.version), change, by);
                done.await.map_err(refused)?;
                lost.said(field)
            }
            Some(LocalId::Group(group)) => {
                let now = store.group(group).map_err(store_error)?.ok_or_else(gone)?;
                let change = group_change(field, &lost, &now)?;
                let done = store.update_group(group, Some(now.version), change, by);
                done.await.map_err(refused)?;
                lost.said(field)
            }
            None => return Err(gone()),
        };
        Ok(format!("{}: {said}", row.subject))
    }
}

/// What a side lost: the values that it had, and what it had changed of those that were common before. Of a set only the
/// change comes back, for others have changed it since.
#[derive(Debug, PartialEq, Eq)]
struct Lost {
    values: Values,
    added: Values,
    removed: Values,
}

impl Lost {
    fn of(values: Values, base: &Values) -> Self {
        Self {
            added: values.without(base),
            removed: base.without(&values),
            values,
        }
    }

    /// What comes of it, for people.
    fn said(&self, field: Field) -> String {
        if !field.is_set() {
            return format!("{field} is {} again", self.values);
        }
        let some = |word: &str, values: &Values| (!values.is_empty()).then(|| format!("{word} {values}"));
        let parts = [some("with", &self.added), some("without", &self.removed)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => format!("{field} had no change that could come back"),
            false => format!("{field} is as it is now, {}", parts.join(" and ")),
        }
    }

    fn aliases(&self, now: &[Address]) -> Vec<Address> {
        let now = Values::addresses(now).without(&self.removed);
        Values::from_pairs(now.iter().chain(self.added.iter()))
            .to_addresses()
            .collect()
    }

    /// Members that wait for their entries have no part in it.
    fn members(&self, now: &[Member]) -> Vec<Member> {
        let stays = |member: &&Member| match member {
            Member::Local(_) => true,
            Member::Remote { uuid, .. } => {
                let key = uuid.to_string();
                !self.removed.has(&key) && !self.added.has(&key)
            }
        };
        let added = self.added.to_members();
        let added = added.map(|(uuid, address)| Member::Remote { uuid, address });
        now.iter().filter(stays).cloned().chain(added).collect()
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

/// A store that cannot write now, an object that changed just now, and one that is refused.
fn refused(error: store::StoreError) -> SyncError {
    if error.is_temporary() || matches!(error, store::StoreError::Conflict) {
        store_error(error)
    } else {
        SyncError::Refused(error.to_string())
    }
}

fn discarded(row: &Conflict, field: Field, side: Option<Side>) -> Result<Lost, SyncError> {
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
    let read = |raw: &[bytes::Bytes]| {
        let texts = raw.iter().filter_map(|value| std::str::from_utf8(value).ok());
        values(field, &texts.collect::<Vec<&str>>())
    };
    Ok(Lost::of(read(raw), &read(&row.base)))
}

fn account_change(field: Field, lost: &Lost, now: &Account) -> Result<AccountChange, SyncError> {
    let wanted = &lost.values;
    let mut change = AccountChange::default();
    match field {
        Field::Address => change.address = Some(address_of(wanted)?),
        Field::Aliases => change.aliases = Some(lost.aliases(&now.aliases)),
        Field::DisplayName => change.display_name = Some(wanted.first().map(str::to_owned)),
        Field::Quota => change.quota = Some(quota_of(wanted)),
        Field::Enabled => change.enabled = Some(!wanted.equals(&Values::switch(false))),
        Field::Members | Field::PendingMembers | Field::AwaitedFrom => return Err(no_such(field)),
    }
    Ok(change)
}

fn group_change(field: Field, lost: &Lost, now: &Group) -> Result<GroupChange, SyncError> {
    let wanted = &lost.values;
    let mut change = GroupChange::default();
    match field {
        Field::Address => change.address = Some(address_of(wanted)?),
        Field::Aliases => change.aliases = Some(lost.aliases(&now.aliases)),
        Field::DisplayName => change.display_name = Some(wanted.first().map(str::to_owned)),
        Field::Enabled => change.enabled = Some(!wanted.equals(&Values::switch(false))),
        Field::Members => change.members = Some(lost.members(&now.members)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::EntryUuid;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    #[test]
    fn of_a_set_the_change_comes_back_and_not_the_set() {
        let set = |names: &[&str]| {
            let all: Vec<Address> = names.iter().map(|name| address(name)).collect();
            Values::addresses(&all)
        };
        let (a, b, c, d) = ("a@x.test", "b@x.test", "c@x.test", "d@x.test");
        // Lost: b in place of a. Since then c has come, and d was there all the time.
        let lost = Lost::of(set(&[b, d]), &set(&[a, d]));
        let now = [address(a), address(c), address(d)];
        assert_eq!(lost.aliases(&now), [address(b), address(c), address(d)]);
        assert_eq!(
            lost.said(Field::Aliases),
            "aliases is as it is now, with b@x.test and without a@x.test"
        );
        assert_eq!(
            Lost::of(set(&[a]), &set(&[])).said(Field::Address),
            "address is a@x.test again"
        );
        // To be empty was the change.
        let emptied = Lost::of(set(&[]), &set(&[a]));
        assert_eq!(emptied.aliases(&now), [address(c), address(d)]);
    }

    #[test]
    fn members_without_an_entry_stay() {
        let uuid = |number| EntryUuid::from_bytes([number; 16]);
        let (a, b, c) = (address("a@x.test"), address("b@x.test"), address("c@x.test"));
        let members = |list: &[(u8, &Address)]| Values::members(list.iter().map(|(n, a)| (uuid(*n), *a)));
        let lost = Lost::of(members(&[(2, &b)]), &members(&[(1, &a)]));
        let remote = |number, address: &Address| Member::Remote {
            uuid: uuid(number),
            address: address.clone(),
        };
        let waits = Member::Local(address("waits@x.test"));
        let now = [remote(1, &a), remote(3, &c), waits.clone()];
        assert_eq!(lost.members(&now), [remote(3, &c), waits, remote(2, &b)]);
    }
}
