//! What an address leads to.

use super::types::{Account, AccountState, Expansion, Recipient};
use crate::{LocalId, Store, StoreError};
use model::{AccountId, Address, GroupId};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Most addresses that one expansion looks at.
const EXPANSION: usize = 50_000;

/// What one address leads to before groups are expanded.
enum Target {
    Account(Arc<Account>),
    Group(GroupId),
    NoSuchName,
    NotLocalDomain,
}

impl Store {
    /// What an address leads to: the account or group of that name, else of the name without `+detail`,
    /// else the domain's catch-all. Groups come expanded.
    pub fn resolve_recipient(&self, address: &Address) -> Result<Recipient, StoreError> {
        let address = &self.domain_aliases().address(address.clone());
        let mut target = self.target(address)?;
        if matches!(target, Target::NoSuchName)
            && let Some(catch_all) = self.domain(&address.domain())?.and_then(|info| info.catch_all)
        {
            target = self.target(&catch_all)?;
            if matches!(target, Target::NotLocalDomain) {
                return Ok(Recipient::Group(Expansion {
                    elsewhere: vec![catch_all],
                    ..Expansion::default()
                }));
            }
        }
        match target {
            Target::Account(account) => Ok(recipient(account)),
            Target::Group(id) => self.expand(id),
            Target::NoSuchName => Ok(Recipient::NoSuchName),
            Target::NotLocalDomain => Ok(Recipient::NotLocalDomain),
        }
    }

    fn target(&self, address: &Address) -> Result<Target, StoreError> {
        let mut found = self.local_id(address)?;
        if found.is_none()
            && let Some(plain) = address.without_detail()
        {
            found = self.local_id(&plain)?;
        }
        match found {
            Some(LocalId::Account(id)) => {
                // The row may have gone since the index was read.
                Ok(self.account(id)?.map_or(Target::NoSuchName, Target::Account))
            }
            Some(LocalId::Group(id)) => Ok(Target::Group(id)),
            None if self.is_local_domain(&self.domain_aliases().domain(address.domain()))? => {
                Ok(Target::NoSuchName)
            }
            None => Ok(Target::NotLocalDomain),
        }
    }

    /// All members of members, each once, so that a loop of groups ends.
    fn expand(&self, id: GroupId) -> Result<Recipient, StoreError> {
        let mut out = Expansion::default();
        let mut groups = BTreeSet::from([id]);
        let mut accounts: BTreeSet<AccountId> = BTreeSet::new();
        let mut elsewhere = BTreeSet::new();
        let mut queue = VecDeque::from([id]);
        let mut seen = 0usize;
        while let Some(next) = queue.pop_front() {
            let Some(group) = self.group(next)? else { continue };
            if !group.enabled {
                if next == id {
                    return Ok(Recipient::Disabled);
                }
                out.dead.push(group.address.clone());
                continue;
            }
            for member in &group.members {
                seen += 1;
                if seen > EXPANSION {
                    return Err(StoreError::Limit("members"));
                }
                let address = member.address();
                match self.target(address)? {
                    Target::Account(account) if !accounts.insert(account.id) => {}
                    Target::Account(account) => match recipient(account) {
                        Recipient::Account(account) => out.accounts.push(account),
                        Recipient::AwaitingMail(account) => out.awaiting.push(account),
                        Recipient::DisabledAccount(account) => out.disabled.push(account),
                        Recipient::MovedAway(_) => {
                            elsewhere.insert(address.clone());
                        }
                        _ => out.dead.push(address.clone()),
                    },
                    Target::Group(inner) => {
                        if groups.insert(inner) {
                            queue.push_back(inner);
                        }
                    }
                    // A member that is a directory entry may live on another home of the same domain.
                    Target::NoSuchName if matches!(member, super::Member::Remote { .. }) => {
                        elsewhere.insert(address.clone());
                    }
                    Target::NoSuchName => out.dead.push(address.clone()),
                    Target::NotLocalDomain => {
                        elsewhere.insert(address.clone());
                    }
                }
            }
        }
        out.elsewhere = elsewhere.into_iter().collect();
        Ok(Recipient::Group(out))
    }
}

fn recipient(account: Arc<Account>) -> Recipient {
    match account.state {
        AccountState::SoftDeleted { .. } => Recipient::NoSuchName,
        AccountState::MovedAway { .. } => Recipient::MovedAway(account),
        AccountState::AwaitingMail { .. } => Recipient::AwaitingMail(account),
        AccountState::Active if !account.enabled => Recipient::DisabledAccount(account),
        AccountState::Active => Recipient::Account(account),
    }
}
