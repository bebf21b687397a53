//! Many accounts at once: what a connector brings that nobody has yet.
//!
//! The same rows as one account after the other, in one commit that takes all of them or none. Whoever asks looks
//! first which entries are unknown ([`Store::unknown`]); what came in between is found by the commit, which says
//! [`StoreError::Conflict`] and not which of them it was: then they are created one by one.

use super::changes::{batch, needs_domain, tidy_aliases};
use super::rows::{write_account, write_journal};
use super::types::{Account, Hash, JournalEntry, NewAccount, Origin, Touched};
use crate::commit::{Batch, Op};
use crate::engine::{Snapshot, Space};
use crate::sync::{Association, Came, Tally};
use crate::{LocalId, Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, Address, Domain, EntryUuid};
use std::collections::{BTreeMap, BTreeSet};

/// About as many rows has an account with two aliases.
const ROWS: usize = 8;

/// An entry and the addresses that it wants here.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The entry.
    pub uuid: EntryUuid,
    /// Its address.
    pub address: &'a Address,
    /// Its further addresses.
    pub aliases: &'a [Address],
}

/// Whether the addresses of entries are looked up as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The commit finds out.
    Later,
    /// An entry whose address somebody has is known.
    Now,
}

impl Store {
    /// Which of these entries mean nothing here: no link of this connector, no tombstone and no note of another home
    /// has their UUID, and with [`Names::Now`] nobody has one of their addresses either. In the order of the question.
    pub fn unknown(
        &self,
        connector: &str,
        entries: &[Arrival<'_>],
        names: Names,
    ) -> Result<Vec<bool>, StoreError> {
        let snapshot = self.engine().snapshot();
        let aliases = self.domain_aliases();
        let linked = Kind::look(&snapshot, keys::remotes_of(connector), entries)?;
        let buried = Kind::look(&snapshot, crate::sync::tombstones_of(connector), entries)?;
        let away = Kind::look(&snapshot, crate::sync::elsewhere_of(connector), entries)?;
        let mut unknown = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut known = false;
            for kind in [&linked, &buried, &away] {
                known = known || kind.has(&snapshot, entry.uuid)?;
            }
            if names == Names::Now {
                for address in std::iter::once(entry.address).chain(entry.aliases) {
                    let key = keys::name(&aliases.address(address.clone()));
                    known = known || snapshot.get(Space::Directory, &key)?.is_some();
                }
            }
            unknown.push(!known);
        }
        Ok(unknown)
    }

    /// Creates accounts, all or none of them; the ids are in the order of the list. [`StoreError::Conflict`] when one
    /// of them cannot be created beside the others and what is there.
    pub async fn create_accounts(
        &self,
        new: Vec<NewAccount>,
        origin: &Origin,
    ) -> Result<Vec<AccountId>, StoreError> {
        let count = u64::try_from(new.len()).map_err(|_| StoreError::Limit("accounts"))?;
        let first = {
            let mut next = self.ids().lock().await;
            let first = *next;
            *next = first.checked_add(count).ok_or(StoreError::Limit("accounts"))?;
            first
        };
        let (mut rows, mut ids) = (Rows::default(), Vec::with_capacity(new.len()));
        rows.batch.ops.reserve(new.len().saturating_mul(ROWS));
        rows.new.reserve(new.len().saturating_mul(ROWS / 2));
        for (number, account) in (first..).zip(new) {
            let id = AccountId::new(number).map_err(|_| StoreError::Limit("accounts"))?;
            ids.push(id);
            self.arrives(&mut rows, id, account, origin)?;
        }
        let (mut batch, bytes) = rows.into_batch()?;
        // In this order, as whoever creates one account does: a lock that waits for room must not be waited for with room.
        let next = self.ids().lock().await;
        let slot = self.committer().slot(bytes).await?;
        // Whatever was reserved since is behind this row too: a later batch may be queued before this one.
        let row = Bytes::copy_from_slice(&next.to_be_bytes());
        batch.put(Space::Meta, keys::NEXT_ID.to_vec(), row);
        let queued = slot.send(batch);
        drop(next);
        queued.committed().await.map(|()| ids)
    }

    fn arrives(
        &self,
        rows: &mut Rows,
        id: AccountId,
        new: NewAccount,
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let (local, time) = (LocalId::Account(id), self.clock().now());
        let account = Account {
            id,
            aliases: tidy_aliases(&new.address, new.aliases)?,
            address: new.address,
            display_name: new.display_name,
            quota: new.quota,
            enabled: new.enabled,
            state: new.state,
            version: 1,
            created: time,
            password_hash: new.password_hash.map(Hash),
        };
        let owner = Bytes::copy_from_slice(&local.to_bytes());
        for address in account.addresses() {
            if !rows.domains.contains(address.domain_str()) {
                rows.domains.insert(address.domain());
            }
            rows.new.push((keys::name(address), owner.clone()));
        }
        rows.batch
            .put(Space::Directory, keys::account(id), write_account(&account));
        let mut touched = Touched::CREATED;
        if let Some(association) = new.association {
            touched = touched.and(Touched::ASSOCIATION);
            let link = Association::new(association, local);
            let came = rows.came.entry(link.connector.clone()).or_default();
            let (here, there, row) = crate::sync::stage_arrival(&mut rows.batch, &link, came)?;
            rows.new.push((there, owner));
            rows.batch.put(Space::Directory, here, row);
        }
        self.stage_sync(&mut rows.batch, Some(local), &new.sync)?;
        let entry = JournalEntry {
            seq: 0,
            time,
            object: Some(local),
            touched,
            origin: origin.clone(),
            note: format!("account {} created", account.address),
        };
        rows.batch.ops.push(Op::Journal(write_journal(&entry)));
        Ok(())
    }
}

/// The rows of accounts that are created together.
struct Rows {
    batch: Batch,
    /// Where nothing may be yet: addresses, and entries.
    new: Vec<(Vec<u8>, Bytes)>,
    domains: BTreeSet<Domain>,
    /// What the links mean for the sums, by connector.
    came: BTreeMap<String, Came>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            batch: batch(),
            new: Vec::new(),
            domains: BTreeSet::new(),
            came: BTreeMap::new(),
        }
    }
}

impl Rows {
    /// The batch, and about how large it is.
    fn into_batch(mut self) -> Result<(Batch, usize), StoreError> {
        self.new.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if self
            .new
            .windows(2)
            .any(|pair| matches!(pair, [(one, _), (other, _)] if one == other))
        {
            return Err(StoreError::Conflict);
        }
        for domain in &self.domains {
            needs_domain(&mut self.batch, domain);
        }
        for (connector, came) in self.came {
            let tally = Box::new((connector, Tally::Came(came)));
            self.batch.ops.push(Op::Tally(tally));
        }
        for (key, owner) in self.new {
            self.batch.put_new(Space::Directory, key, owner);
        }
        let size = |op: &Op| match op {
            Op::Put(_, key, value) | Op::New(_, key, value) => key.len() + value.len(),
            Op::Journal(row) => row.len(),
            _ => 0,
        };
        let bytes = self.batch.ops.iter().map(size).sum();
        Ok((self.batch, bytes))
    }
}

/// The keys of one kind that end with the UUID of an entry.
struct Kind {
    prefix: Vec<u8>,
    /// No key between the first and the last of those that are asked for: nothing is to be read.
    none: bool,
}

impl Kind {
    fn look(snapshot: &Snapshot<'_>, prefix: Vec<u8>, entries: &[Arrival<'_>]) -> Result<Self, StoreError> {
        let uuids = || entries.iter().map(|entry| entry.uuid);
        let (Some(first), Some(last)) = (uuids().min(), uuids().max()) else {
            return Ok(Self { prefix, none: true });
        };
        let key = |uuid: EntryUuid| [prefix.as_slice(), uuid.as_bytes()].concat();
        let behind = crate::engine::after_key(&key(last));
        let page = snapshot.page(Space::Directory, &key(first), &behind, 1)?;
        let none = page.rows.is_empty();
        Ok(Self { prefix, none })
    }

    fn has(&self, snapshot: &Snapshot<'_>, uuid: EntryUuid) -> Result<bool, StoreError> {
        if self.none {
            return Ok(false);
        }
        let key = [self.prefix.as_slice(), uuid.as_bytes()].concat();
        Ok(snapshot.get(Space::Directory, &key)?.is_some())
    }
}
