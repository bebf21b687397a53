//! Accounts.

use super::changes::{batch, index, tidy_aliases};
use super::journal::{from_to, gone_and_come};
use super::rows::{read_account, write_account};
use super::types::{Account, AccountChange, AccountState, Hash, NewAccount, Origin, Touched};
use crate::commit::{Batch, Expect};
use crate::engine::{Space, after_key};
use crate::sync::{Association, RemovedBy};
use crate::{LocalId, Store, StoreError, keys};
use model::{AccountId, Address};
use std::sync::Arc;
use std::time::Duration;

/// How often a change without an expected version is tried again when somebody else was faster.
const TRIES: usize = 8;

/// The addresses that an account holds in the index: none once it is soft-deleted.
fn names(account: &Account) -> Vec<&Address> {
    match account.state {
        AccountState::SoftDeleted { .. } => Vec::new(),
        _ => account.addresses().collect(),
    }
}

impl Store {
    /// Creates an account; its mailboxes come with the first use.
    pub async fn create_account(&self, new: NewAccount, origin: &Origin) -> Result<AccountId, StoreError> {
        let aliases = tidy_aliases(&new.address, new.aliases)?;
        let mut batch = batch();
        let (id, ids) = self.next_id(&mut batch).await?;
        let id = AccountId::new(id).map_err(|_| StoreError::Limit("accounts"))?;
        let account = Account {
            id,
            address: new.address,
            aliases,
            display_name: new.display_name,
            quota: new.quota,
            enabled: new.enabled,
            state: new.state,
            version: 1,
            created: self.clock().now(),
            password_hash: new.password_hash.map(Hash),
        };
        index(&mut batch, LocalId::Account(id), &[], &names(&account));
        batch.put(Space::Directory, keys::account(id), write_account(&account));
        let mut touched = Touched::CREATED;
        if let Some(association) = new.association {
            touched = touched.and(Touched::ASSOCIATION);
            self.stage_association(&mut batch, &Association::new(association, LocalId::Account(id)))?;
        }
        self.stage_sync(&mut batch, Some(LocalId::Account(id)), &new.sync)?;
        let note = format!("account {} created", account.address);
        self.journal_row(&mut batch, Some(LocalId::Account(id)), touched, origin, note);
        let queued = self.committer().slot(0).await?.send(batch);
        drop(ids);
        queued.committed().await.map(|()| id)
    }

    /// The account with this id, in whatever state.
    pub fn account(&self, id: AccountId) -> Result<Option<Arc<Account>>, StoreError> {
        let row = self.engine().get(Space::Directory, &keys::account(id))?;
        row.map(|row| read_account(id, &row).map(Arc::new)).transpose()
    }

    /// The account with this primary address or alias. Takes no `+detail` off and knows no catch-all.
    pub fn account_by_address(&self, address: &Address) -> Result<Option<Arc<Account>>, StoreError> {
        match self.local_id(address)? {
            Some(LocalId::Account(id)) => self.account(id),
            _ => Ok(None),
        }
    }

    /// What holds this address, or the same one in the main domain when its domain is an alias.
    pub fn local_id(&self, address: &Address) -> Result<Option<LocalId>, StoreError> {
        let address = &self.domain_aliases().address(address.clone());
        let row = self.engine().get(Space::Directory, &keys::name(address))?;
        row.map(|row| {
            LocalId::from_bytes(&row).ok_or_else(|| StoreError::Corrupt {
                account: None,
                what: format!("address index of {address}"),
            })
        })
        .transpose()
    }

    /// Changes an account. With `expected_version`, [`StoreError::Conflict`] when it is not the current one; what
    /// others change beside it, a list that names it, is no conflict of this account.
    /// A change that changes nothing writes nothing and leaves the version.
    pub async fn update_account(
        &self,
        id: AccountId,
        expected_version: Option<u64>,
        change: AccountChange,
        origin: &Origin,
    ) -> Result<Arc<Account>, StoreError> {
        for _ in 0..TRIES {
            match self.try_update(id, expected_version, &change, origin).await {
                Err(StoreError::Conflict) if self.is_still(id, expected_version)? => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict)
    }

    /// Whether an account is as it was expected to be.
    fn is_still(&self, id: AccountId, expected_version: Option<u64>) -> Result<bool, StoreError> {
        let Some(expected) = expected_version else {
            return Ok(true);
        };
        Ok(self
            .account(id)?
            .is_some_and(|account| account.version == expected))
    }

    async fn try_update(
        &self,
        id: AccountId,
        expected_version: Option<u64>,
        change: &AccountChange,
        origin: &Origin,
    ) -> Result<Arc<Account>, StoreError> {
        let row = self.engine().get(Space::Directory, &keys::account(id))?;
        let row = row.ok_or(StoreError::NotFound("the account"))?;
        let old = read_account(id, &row)?;
        if expected_version.is_some_and(|version| version != old.version) {
            return Err(StoreError::Conflict);
        }
        let mut new = old.clone();
        let mut touched = apply(&mut new, change.clone())?;
        let mut batch = batch();
        if let Some(association) = &change.association {
            let link = Association::new(association.clone(), LocalId::Account(id));
            if self.stage_association(&mut batch, &link)? {
                touched = touched.and(Touched::ASSOCIATION);
            }
        }
        self.stage_sync(&mut batch, Some(LocalId::Account(id)), &change.sync)?;
        if touched == Touched::default() {
            if !batch.ops.is_empty() {
                batch.expect(
                    Space::Directory,
                    keys::account(id),
                    Expect::Equals(row),
                    StoreError::Conflict,
                );
                self.commit(batch).await?;
            }
            return Ok(Arc::new(old));
        }
        new.version += 1;
        index(&mut batch, LocalId::Account(id), &names(&old), &names(&new));
        let key = keys::account(id);
        batch.expect(
            Space::Directory,
            key.clone(),
            Expect::Equals(row),
            StoreError::Conflict,
        );
        batch.put(Space::Directory, key, write_account(&new));
        let renamed = (&old.address, &new.address, new.aliases.as_slice());
        let turn = self
            .stage_followers(&mut batch, LocalId::Account(id), renamed, origin)
            .await?;
        let note = describe(&old, &new, touched);
        self.journal_row(&mut batch, Some(LocalId::Account(id)), touched, origin, note);
        self.commit(batch).await?;
        drop(turn);
        Ok(Arc::new(new))
    }

    /// Deletes softly: login and delivery stop at once, the addresses are free, mail is kept for `retention`.
    pub async fn delete_account(
        &self,
        id: AccountId,
        retention: Duration,
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let change = AccountChange {
            state: Some(AccountState::SoftDeleted {
                until: self.clock().now().after(retention),
                by: RemovedBy::of(origin),
            }),
            ..AccountChange::default()
        };
        self.update_account(id, None, change, origin).await.map(drop)
    }

    /// Deletes for good: the account, its links and all its mail.
    pub async fn erase_account(&self, id: AccountId, origin: &Origin) -> Result<(), StoreError> {
        let key = keys::account(id);
        let row = self.engine().get(Space::Directory, &key)?;
        let row = row.ok_or(StoreError::NotFound("the account"))?;
        let account = read_account(id, &row)?;
        let mut batch = batch();
        batch.expect(
            Space::Directory,
            key.clone(),
            Expect::Equals(row),
            StoreError::Conflict,
        );
        batch.delete(Space::Directory, key);
        index(&mut batch, LocalId::Account(id), &names(&account), &[]);
        let by = match &account.state {
            AccountState::SoftDeleted { by, .. } => *by,
            AccountState::MovedAway { .. } => RemovedBy::Sync,
            AccountState::Active | AccountState::AwaitingMail { .. } => RemovedBy::of(origin),
        };
        self.stage_unlink_all(&mut batch, LocalId::Account(id), (by, origin))?;
        // The fence of the mail goes first: no delivery that is under way can land behind the erasure.
        batch.delete(Space::Mail, keys::owner(id));
        batch.put(
            Space::Directory,
            keys::erasing(id),
            bytes::Bytes::from_static(&[1]),
        );
        let note = format!("account {} erased", account.address);
        self.journal_row(
            &mut batch,
            Some(LocalId::Account(id)),
            Touched::DELETED,
            origin,
            note,
        );
        self.commit(batch).await?;
        self.forget_mail(id);
        self.erase_mail(id).await
    }

    /// Accounts in every state, by id, after `after`; at most `limit` and at most 256. Damaged ones are left out.
    pub fn list_accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Arc<Account>>, StoreError> {
        let from = after.map_or_else(|| b"U".to_vec(), |id| after_key(&keys::account(id)));
        self.sound_rows(from, b"U", limit, |key, row| {
            let id = number_of(key).and_then(|number| AccountId::new(number).ok());
            let id = id.ok_or_else(|| StoreError::Corrupt {
                account: None,
                what: "account key".into(),
            })?;
            read_account(id, row).map(Arc::new)
        })
    }

    /// Reserves the next id of accounts and groups. The guard keeps later ids behind this one in the queue.
    pub(super) async fn next_id(
        &self,
        batch: &mut Batch,
    ) -> Result<(u64, tokio::sync::MutexGuard<'_, u64>), StoreError> {
        let mut next = self.ids().lock().await;
        let id = *next;
        *next = id.checked_add(1).ok_or(StoreError::Limit("accounts"))?;
        let row = bytes::Bytes::copy_from_slice(&next.to_be_bytes());
        batch.put(Space::Meta, keys::NEXT_ID.to_vec(), row);
        Ok((id, next))
    }
}

/// The number in a key of one tag byte and eight digits.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

fn apply(account: &mut Account, change: AccountChange) -> Result<Touched, StoreError> {
    let mut touched = Touched::default();
    let mut mark = |changed: bool, bit: Touched| {
        if changed {
            touched = touched.and(bit);
        }
    };
    if let Some(address) = change.address {
        // Also a change of spelling only is a change.
        mark(address.as_str() != account.address.as_str(), Touched::ADDRESS);
        account.address = address;
    }
    let aliases = change.aliases.unwrap_or_else(|| account.aliases.clone());
    let aliases = tidy_aliases(&account.address, aliases)?;
    mark(aliases != account.aliases, Touched::ALIASES);
    account.aliases = aliases;
    if let Some(name) = change.display_name {
        mark(name != account.display_name, Touched::DISPLAY_NAME);
        account.display_name = name;
    }
    if let Some(hash) = change.password_hash {
        let hash = hash.map(Hash);
        mark(hash != account.password_hash, Touched::PASSWORD);
        account.password_hash = hash;
    }
    if let Some(quota) = change.quota {
        mark(quota != account.quota, Touched::QUOTA);
        account.quota = quota;
    }
    if let Some(enabled) = change.enabled {
        mark(enabled != account.enabled, Touched::ENABLED);
        account.enabled = enabled;
    }
    if let Some(state) = change.state {
        let state = removed(&account.state, state);
        mark(state != account.state, Touched::STATE);
        account.state = state;
    }
    Ok(touched)
}

/// What a connector took out of use is not a person's deletion because a person sets its end later.
fn removed(before: &AccountState, state: AccountState) -> AccountState {
    let by_sync = matches!(
        before,
        AccountState::MovedAway { .. }
            | AccountState::SoftDeleted {
                by: RemovedBy::Sync,
                ..
            }
    );
    match state {
        AccountState::SoftDeleted { until, .. } if by_sync => AccountState::SoftDeleted {
            until,
            by: RemovedBy::Sync,
        },
        state => state,
    }
}

/// The row of the audit log, for people.
fn describe(old: &Account, new: &Account, touched: Touched) -> String {
    let mut said = Vec::new();
    let mut say = |bit: Touched, text: String| {
        if touched.has(bit) {
            said.push(text);
        }
    };
    let state = match &new.state {
        AccountState::Active => "in use again".to_owned(),
        AccountState::SoftDeleted { .. } => "deleted, its mail is kept".to_owned(),
        AccountState::MovedAway { to } => format!("moved to {to}"),
        AccountState::AwaitingMail { from } => format!("waits for its mail from {from}"),
    };
    say(Touched::STATE, state);
    say(
        Touched::ADDRESS,
        from_to("address", Some(old.address.as_str()), Some(new.address.as_str())),
    );
    say(
        Touched::ALIASES,
        gone_and_come("aliases", &old.aliases, &new.aliases),
    );
    say(
        Touched::DISPLAY_NAME,
        from_to(
            "display name",
            old.display_name.as_deref(),
            new.display_name.as_deref(),
        ),
    );
    say(Touched::PASSWORD, "password".to_owned());
    let quota = |account: &Account| account.quota.map(|quota| format!("{} octets", quota.0));
    let (before, after) = (quota(old), quota(new));
    say(
        Touched::QUOTA,
        from_to("quota", before.as_deref(), after.as_deref()),
    );
    let enabled = if new.enabled { "enabled" } else { "disabled" };
    say(Touched::ENABLED, enabled.to_owned());
    say(Touched::ASSOCIATION, "link".to_owned());
    format!("account {}: {}", old.address, said.join(", "))
}
