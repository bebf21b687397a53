//! Many accounts at once: what a connector brings that nobody has yet.
//!
//! The same rows as one account after the other, in one commit. They are made before, one account at a time, so that the
//! commit has little to do; very many of them become a file of their own. Whoever asks looks first which entries are unknown
//! ([`Store::unknown`]); who came in between, or wants what another of them has, is left out, and told.

use super::changes::{batch, needs_domain, tidy_aliases};
use super::journal::{Noted, write_journals};
use super::rows::account_row;
use super::types::{Account, Hash, NewAccount, Origin, Touched};
use crate::commit::{Batch, Bulk, BulkPart, BulkRow, Op};
use crate::engine::Space;
use crate::sync::{Association, Came, Mark, Tally};
use crate::{LocalId, Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, Domain, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// About as many rows has an account with two aliases.
const ROWS: usize = 6;
/// About as many octets and rows of an account are in one part.
const PART_OCTETS: usize = 150;
const PART_ROWS: usize = 1;
/// How often those that cannot come are looked for; others may come meanwhile.
const TRIES: usize = 4;

/// Accounts whose rows are made. Nobody sees them before [`Store::create_accounts`].
#[derive(Debug)]
pub struct StagedAccounts {
    origin: Origin,
    time: Timestamp,
    /// For those that follow.
    ids: Range<u64>,
    accounts: Vec<StagedAccount>,
    /// How many are expected.
    room: usize,
    /// By what their keys begin with: what is read together, in the order of its keys, lies together.
    parts: BTreeMap<u8, Part>,
    /// Rows that few accounts have.
    more: Vec<(u32, Op)>,
    domains: BTreeSet<Domain>,
}

#[derive(Debug)]
struct Part {
    /// Keys and values.
    bytes: Vec<u8>,
    rows: Vec<StagedRow>,
}

#[derive(Debug)]
struct StagedAccount {
    id: AccountId,
    noted: Noted,
    /// By connector.
    link: Option<(String, Mark)>,
}

#[derive(Debug, Clone, Copy)]
struct StagedRow {
    row: BulkRow,
    account: u32,
}

impl StagedAccounts {
    fn new(origin: Origin, time: Timestamp, accounts: usize) -> Self {
        Self {
            origin,
            time,
            ids: 0..0,
            accounts: Vec::with_capacity(accounts),
            room: accounts,
            parts: BTreeMap::new(),
            more: Vec::new(),
            domains: BTreeSet::new(),
        }
    }

    /// How many accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Octets of keys and values of their rows.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.parts.values().map(|part| part.bytes.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// A row of the account that is made.
    fn row(&mut self, key: &[u8], value: &[u8], is_new: bool) -> Result<(), StoreError> {
        let size = |len: usize| u32::try_from(len).map_err(|_| StoreError::Limit("accounts"));
        let account = size(self.accounts.len())?;
        let tag = key.first().copied().unwrap_or_default();
        let room = self.room;
        let part = self.parts.entry(tag).or_insert_with(|| Part {
            bytes: Vec::with_capacity(room.saturating_mul(PART_OCTETS)),
            rows: Vec::with_capacity(room.saturating_mul(PART_ROWS)),
        });
        let row = BulkRow {
            at: size(part.bytes.len())?,
            key: size(key.len())?,
            value: size(value.len())?,
            is_new,
        };
        part.bytes.extend_from_slice(key);
        part.bytes.extend_from_slice(value);
        part.rows.push(StagedRow { row, account });
        Ok(())
    }

    /// Takes back what was begun for the account that would follow.
    fn undo(&mut self) {
        let number = self.accounts.len();
        let is_its = |row: &mut StagedRow| row.account as usize == number;
        for part in self.parts.values_mut() {
            while let Some(row) = part.rows.pop_if(is_its) {
                part.bytes.truncate(row.row.at as usize);
            }
        }
    }
}

impl Store {
    /// Room for about so many accounts whose rows are made, one after the other.
    #[must_use]
    pub fn staging(&self, origin: &Origin, accounts: usize) -> StagedAccounts {
        StagedAccounts::new(origin.clone(), self.clock().now(), accounts)
    }

    /// Ids for so many more accounts. Those that are not used are not given again.
    pub async fn reserve_ids(&self, staged: &mut StagedAccounts, count: usize) -> Result<(), StoreError> {
        let count = u64::try_from(count).map_err(|_| StoreError::Limit("accounts"))?;
        if staged.ids.end.saturating_sub(staged.ids.start) < count {
            let mut next = self.ids().lock().await;
            let first = *next;
            *next = first.checked_add(count).ok_or(StoreError::Limit("accounts"))?;
            staged.ids = first..*next;
        }
        Ok(())
    }

    /// Makes the rows of one more account. An account that is refused leaves nothing behind; [`StoreError::Limit`] also where
    /// no id was reserved for it.
    pub fn stage(&self, staged: &mut StagedAccounts, new: NewAccount) -> Result<(), StoreError> {
        let id = staged.ids.next().ok_or(StoreError::Limit("accounts"))?;
        let id = AccountId::new(id).map_err(|_| StoreError::Limit("accounts"))?;
        let made = self.stage_account(staged, id, new);
        if made.is_err() {
            staged.undo();
        }
        made
    }

    fn stage_account(
        &self,
        staged: &mut StagedAccounts,
        id: AccountId,
        new: NewAccount,
    ) -> Result<(), StoreError> {
        let local = LocalId::Account(id);
        let account = Account {
            id,
            aliases: tidy_aliases(&new.address, new.aliases)?,
            address: new.address,
            display_name: new.display_name,
            quota: new.quota,
            enabled: new.enabled,
            state: new.state,
            version: 1,
            created: staged.time,
            password_hash: new.password_hash.map(Hash),
        };
        let owner = local.to_bytes();
        let mut domains = Vec::new();
        for address in account.addresses() {
            if !staged.domains.contains(address.domain_str()) {
                domains.push(address.domain());
            }
            staged.row(&keys::name(address), &owner, true)?;
        }
        staged.row(&keys::account(id), account_row(&account).as_bytes(), false)?;
        let mut touched = Touched::CREATED;
        let (mut link, mut beside) = (None, batch());
        if let Some(association) = new.association {
            touched = touched.and(Touched::ASSOCIATION);
            let association = Association::new(association, local);
            let (here, there, row) = crate::sync::stage_arrival(&mut beside, &association)?;
            staged.row(&there, &owner, true)?;
            staged.row(&here, &row, false)?;
            link = Some((association.connector, Mark::of_last(association.data)));
        }
        self.stage_sync(&mut beside, Some(local), &new.sync)?;
        let number = u32::try_from(staged.accounts.len()).map_err(|_| StoreError::Limit("accounts"))?;
        // Nothing can fail any more.
        staged.domains.extend(domains);
        staged.more.extend(beside.ops.into_iter().map(|op| (number, op)));
        staged.accounts.push(StagedAccount {
            id,
            noted: Noted {
                object: Some(local),
                touched,
                note: ["account ", &account.address.written(), " created"].concat(),
            },
            link,
        });
        Ok(())
    }

    /// Creates them in one commit. In their order: the id of each; none for one that cannot be created beside the others
    /// and what is there, and is left out.
    pub async fn create_accounts(
        &self,
        mut staged: StagedAccounts,
    ) -> Result<Vec<Option<AccountId>>, StoreError> {
        let octets = staged.octets();
        let parts = std::mem::take(&mut staged.parts);
        let parts: Vec<Sealed> = parts.into_values().map(Sealed::from).collect();
        let mut out = BTreeSet::new();
        let outcome = 'tries: {
            for _ in 0..TRIES {
                match self.commit_staged(&staged, (&parts, octets), &out).await {
                    Err(StoreError::Conflict) => out.extend(self.misfits(&parts, &out)?),
                    other => break 'tries other,
                }
            }
            Err(StoreError::Conflict)
        };
        outcome?;
        let accounts = (0..).zip(&staged.accounts);
        Ok(accounts
            .map(|(number, account)| (!out.contains(&number)).then_some(account.id))
            .collect())
    }

    async fn commit_staged(
        &self,
        staged: &StagedAccounts,
        (parts, octets): (&[Sealed], usize),
        out: &BTreeSet<u32>,
    ) -> Result<(), StoreError> {
        if staged.accounts.len() == out.len() {
            return Ok(());
        }
        let mut batch = staged.batch(parts, out, self.bulk_from())?;
        // In this order, as whoever creates one account does: a lock that waits for room must not be waited for with room.
        let next = self.ids().lock().await;
        let slot = self.committer().slot(octets).await?;
        // Whatever was reserved since is behind this row too: a later batch may be queued before this one.
        let row = Bytes::copy_from_slice(&next.to_be_bytes());
        batch.put(Space::Meta, keys::NEXT_ID.to_vec(), row);
        let queued = slot.send(batch);
        drop(next);
        queued.committed().await
    }

    /// Those that want what somebody has.
    fn misfits(&self, parts: &[Sealed], out: &BTreeSet<u32>) -> Result<Vec<u32>, StoreError> {
        let snapshot = self.engine().snapshot();
        let mut misfits = Vec::new();
        for part in parts {
            for one in part.rows.iter().filter(|one| one.row.is_new) {
                let (key, _) = one.row.of(&part.bytes);
                if !out.contains(&one.account) && snapshot.get(Space::Directory, key)?.is_some() {
                    misfits.push(one.account);
                }
            }
            // Nobody has any of it by now, or two of them want the same: all but the first are left out.
            let rows = part.in_order(out);
            misfits.extend(rows.windows(2).filter_map(|pair| match pair {
                [one, other] if part.key(one) == part.key(other) => Some(other.account),
                _ => None,
            }));
        }
        Ok(misfits)
    }
}

/// A [`Part`] that does not grow any more.
#[derive(Debug)]
struct Sealed {
    bytes: Bytes,
    rows: Vec<StagedRow>,
}

impl From<Part> for Sealed {
    fn from(Part { bytes, rows, .. }: Part) -> Self {
        let bytes = bytes.into();
        Self { bytes, rows }
    }
}

impl Sealed {
    fn key(&self, row: &StagedRow) -> &[u8] {
        row.row.of(&self.bytes).0
    }

    /// The rows of all accounts that are not left out, by key; where two are the same, that of the first account first.
    fn in_order(&self, out: &BTreeSet<u32>) -> Vec<StagedRow> {
        let stays = |row: &&StagedRow| out.is_empty() || !out.contains(&row.account);
        let rows: Vec<StagedRow> = self.rows.iter().filter(stays).copied().collect();
        if rows.is_sorted_by(|one, other| self.key(one) < self.key(other)) {
            return rows;
        }
        let Some(first) = rows.first().map(|row| self.key(row)) else {
            return rows;
        };
        // They differ behind a common beginning.
        let common = rows.iter().fold(first.len(), |common, row| {
            let both = first.iter().zip(self.key(row)).take(common);
            both.take_while(|(one, other)| one == other).count()
        });
        let marked = rows.iter().map(|row| {
            let rest = self.key(row).get(common..).unwrap_or_default();
            (mark(rest), mark(rest.get(MARK..).unwrap_or_default()), row)
        });
        let mut marked: Vec<_> = marked.collect();
        marked.sort_unstable_by(|(mark, then, one), (other_mark, other_then, other)| {
            let keys = || self.key(one).cmp(self.key(other));
            mark.cmp(other_mark)
                .then(then.cmp(other_then))
                .then_with(keys)
                .then(one.account.cmp(&other.account))
        });
        marked.into_iter().map(|(_, _, row)| *row).collect()
    }

    fn bulk(&self, rows: Vec<StagedRow>) -> BulkPart {
        BulkPart {
            bytes: self.bytes.clone(),
            rows: rows.into_iter().map(|one| one.row).collect(),
        }
    }
}

impl StagedAccounts {
    fn batch(&self, parts: &[Sealed], out: &BTreeSet<u32>, bulk_from: usize) -> Result<Batch, StoreError> {
        let mut batch = batch();
        let (mut ordered, mut count) = (Vec::with_capacity(parts.len()), 0usize);
        for part in parts {
            let rows = part.in_order(out);
            let same = |pair: &[StagedRow]| matches!(pair, [one, other] if part.key(one) == part.key(other));
            if rows.windows(2).any(same) {
                return Err(StoreError::Conflict);
            }
            count = count.saturating_add(rows.len());
            ordered.push((part, rows));
        }
        for domain in &self.domains {
            needs_domain(&mut batch, domain);
        }
        let stays = |number: &u32| !out.contains(number);
        let mut sums: BTreeMap<&str, Came> = BTreeMap::new();
        let accounts = (0..).zip(&self.accounts).filter(|(number, _)| stays(number));
        for (connector, mark) in accounts.clone().filter_map(|(_, account)| account.link.as_ref()) {
            sums.entry(connector).or_default().add(mark);
        }
        for (connector, came) in sums {
            let tally = Box::new((connector.to_owned(), Tally::Came(came)));
            batch.ops.push(Op::Tally(tally));
        }
        let more = self.more.iter().filter(|(number, _)| stays(number));
        batch.ops.extend(more.map(|(_, op)| op.clone()));
        let noted: Vec<_> = accounts.map(|(_, account)| &account.noted).collect();
        batch.ops.extend(write_journals(self.time, &self.origin, &noted));
        if count >= bulk_from.saturating_mul(ROWS) {
            let parts = ordered.into_iter().map(|(part, rows)| part.bulk(rows));
            batch.bulk = Some(Bulk(parts.collect()));
            return Ok(batch);
        }
        for (part, rows) in ordered {
            for StagedRow { row, .. } in rows {
                let (key, value) = row.of(&part.bytes);
                let (key, value) = (key.to_vec(), part.bytes.slice_ref(value));
                match row.is_new {
                    true => batch.put_new(Space::Directory, key, value),
                    false => batch.put(Space::Directory, key, value),
                }
            }
        }
        Ok(batch)
    }
}

/// Octets of a number that stands for them.
const MARK: usize = size_of::<u128>();

/// What a text begins with, as a number: twice that tells most addresses of a domain apart, and costs no look at them.
fn mark(text: &[u8]) -> u128 {
    if let Some(whole) = text.first_chunk() {
        return u128::from_be_bytes(*whole);
    }
    let mut mark = [0; MARK];
    mark.iter_mut().zip(text).for_each(|(octet, of)| *octet = *of);
    u128::from_be_bytes(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_in_the_order_of_their_keys(
            keys in proptest::collection::vec("[IRU][ab]{0,3}(a{0,40}|[a-c]{0,20})[ab]?", 0..60),
        ) {
            let mut staged = StagedAccounts::new(Origin::System, Timestamp::default(), 0);
            for key in &keys {
                staged.row(key.as_bytes(), b"v", true).expect("small");
            }
            let parts: Vec<_> = staged.parts.into_values().map(Sealed::from).collect();
            let none = BTreeSet::new();
            let read = parts.iter().flat_map(|part| {
                let rows = part.in_order(&none);
                rows.into_iter().map(|row| part.key(&row).to_vec())
            });
            let read: Vec<_> = read.collect();
            let mut plain: Vec<_> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
            plain.sort_unstable();
            prop_assert_eq!(read, plain);
        }
    }
}
