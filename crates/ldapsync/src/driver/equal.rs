//! A comparison of everything, where nothing differs: nearly every entry of it.
//!
//! An account's entry, its link and its object here that say plainly the same need no situation and no plan, which would
//! come to nothing. What does not, or is not plain, goes the long way; so this may say "no" as often as it likes.

use super::worker::{Worker, store_trouble};
use crate::engine::Trouble;
use crate::field::Field;
use crate::link;
use crate::local::Local;
use crate::mapping::Scope;
use crate::plan::{Digest, Passwords};
use bytes::Bytes;
use directory::config::Direction;
use directory::feed::ChangedEntry;
use directory::{DirectoryAccount, EntryKind};
use model::Address;
use std::collections::BTreeMap;
use store::{Account, AccountState, LinkData, LinkState, LocalId};

/// More aliases than this are compared the long way.
const FEW: usize = 16;

/// Whether there may be a write whose end is not known.
#[derive(Clone, Copy)]
pub(super) enum Written {
    Nothing,
    Perhaps,
}

/// What an account says beside its entry.
pub(super) struct Beside {
    pub(super) direction: Direction,
    pub(super) passwords: Passwords,
}

impl Worker<'_> {
    /// Those that are not plainly equal, where most of those before were known here. Nobody asks of the others whether
    /// they are, and whether something was written to one of them is asked once for all.
    pub(super) fn not_equal<'e>(
        &mut self,
        mut entries: Vec<&'e ChangedEntry>,
    ) -> Result<Vec<&'e ChangedEntry>, Trouble> {
        if !self.familiar || !self.engine.compares_all() || self.under_way.is_some() {
            return Ok(entries);
        }
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        if !store
            .list_intents(name, None, 1)
            .map_err(store_trouble)?
            .is_empty()
        {
            return Ok(entries);
        }
        let mut failed = None;
        entries.retain(|entry| match self.is_equal(entry, Written::Nothing) {
            Ok(true) => {
                self.is_as_before(entry);
                false
            }
            Ok(false) => true,
            Err(trouble) => {
                failed = Some(trouble);
                true
            }
        });
        failed.map_or(Ok(entries), Err)
    }

    /// Whether an entry that was named in a comparison of everything is as its link and its object here say.
    pub(super) fn is_equal(&mut self, entry: &ChangedEntry, written: Written) -> Result<bool, Trouble> {
        let (parts, uuid) = (self.parts, entry.uuid);
        let (Ok(account), Some(EntryKind::Account)) = (&entry.account, entry.kind) else {
            return Ok(false);
        };
        if !self.engine.compares_all() || self.engine.is_aside(uuid) {
            return Ok(false);
        }
        let (store, name) = (&parts.local.store, &parts.config.name);
        let link = store.association_by_uuid(name, uuid).map_err(store_trouble)?;
        let Some(link) = link else { return Ok(false) };
        let LocalId::Account(id) = link.local else {
            return Ok(false);
        };
        let asks = matches!(written, Written::Perhaps);
        if asks && store.intent(name, link.local).map_err(store_trouble)?.is_some() {
            return Ok(false);
        }
        let Some(here) = store.account(id).map_err(store_trouble)? else {
            return Ok(false);
        };
        let stamp = (parts.remotes.passwords)(uuid, &entry.entry).stamp;
        let beside = Beside {
            direction: parts.policy.direction,
            passwords: Passwords {
                local: parts.local.password_digest(here.password_hash()),
                remote: stamp.map(Digest),
            },
        };
        // A newer version is written down, the long way.
        let (known, now) = (link.data.version.as_deref(), account.entry_csn.as_deref());
        if Local::is_renewed(known, now)
            || !says_the_same((entry, account), &link.data, &here, &parts.scope, &beside)
        {
            return Ok(false);
        }
        #[cfg(test)]
        self.assert_settled(entry);
        parts.fetched.lock().remove(&uuid);
        if let Some(csn) = &account.entry_csn {
            self.engine.note_version(csn);
        }
        let until = account.state_until.map(|end| end.at);
        self.engine.note_equal(uuid, until, parts.now());
        Ok(true)
    }

    /// The long way comes to the same.
    #[cfg(test)]
    fn assert_settled(&self, entry: &ChangedEntry) {
        use crate::plan::{Decision, Remote, plan};
        let mut remote = self.parts.remote(entry, crate::mapping::Members::default());
        if let Remote::Here(remote) = &mut remote {
            let seen = (self.parts.remotes.passwords)(entry.uuid, &entry.entry);
            remote.password = super::examine::password(&seen, self.parts.local.copies);
        }
        let origin = (entry.entry.dn.clone(), None);
        let read = self.parts.local.situation(entry.uuid, remote, origin);
        let (situation, _) = read.expect("the store reads");
        match plan(&situation, &self.parts.policy) {
            Decision::Act(plan) => assert!(
                plan.is_quiet() && crate::engine::is_settled(&plan, &situation),
                "not equal: {situation:?}\n{plan:?}"
            ),
            Decision::SetAside(reason) => panic!("not equal but set aside: {reason:?}"),
        }
    }
}

/// Whether entry, link and object say plainly the same, so that the long way would come to nothing.
fn says_the_same(
    (changed, entry): (&ChangedEntry, &DirectoryAccount),
    link: &LinkData,
    here: &Account,
    scope: &Scope,
    beside: &Beside,
) -> bool {
    let Some(home) = scope.plain_home(entry) else {
        return false;
    };
    let common = Common(&link.base);
    link.state == LinkState::Linked
        && here.state == AccountState::Active
        && link.dn == changed.entry.dn
        && common.is_plain()
        && link::is_plain(&link.digests)
        && link::home(&link.digests) == home.as_deref()
        && link::until(&link.digests) == entry.state_until.map(|end| end.at)
        && link::passwords(&link.digests) == beside.passwords
        && common.is_one(Field::Address, entry.address.as_str(), here.address.as_str())
        && common.are_aliases(&entry.address, &entry.aliases, &here.aliases)
        && common.is_name(entry.display_name.as_deref(), here.display_name.as_deref())
        && common.is_quota(
            entry.quota,
            here.quota.map_or(0, |quota| quota.0),
            beside.direction,
        )
        && common.is_switch(
            scope.has_switch(&changed.entry),
            entry.state,
            here.enabled,
            beside.direction,
        )
}

/// The base, as it is stored.
struct Common<'a>(&'a BTreeMap<String, Vec<Bytes>>);

impl Common<'_> {
    fn of(&self, field: Field) -> &[Bytes] {
        self.0.get(field.name()).map_or(&[], Vec::as_slice)
    }

    /// Whether nothing is waited for.
    fn is_plain(&self) -> bool {
        let waits = [Field::Members, Field::PendingMembers, Field::AwaitedFrom];
        waits.iter().all(|field| self.of(*field).is_empty())
    }

    fn is_one(&self, field: Field, there: &str, here: &str) -> bool {
        matches!(self.of(field), [known] if known == there.as_bytes()) && there == here
    }

    fn are_aliases(&self, address: &Address, there: &[Address], here: &[Address]) -> bool {
        let known = self.of(Field::Aliases);
        let all_of = |side: &[Address]| {
            let has = |known: &Bytes| side.iter().any(|alias| known == alias.as_str().as_bytes());
            side.len() == known.len() && known.iter().all(has)
        };
        // The address among the aliases is no alias; and of two that differ in case alone, one is.
        let plain = |known: &Bytes| !known.eq_ignore_ascii_case(address.as_str().as_bytes());
        known.len() <= FEW && known.iter().all(plain) && all_of(there) && all_of(here)
    }

    fn is_name(&self, there: Option<&str>, here: Option<&str>) -> bool {
        match there {
            Some(name) => self.is_one(Field::DisplayName, name, here.unwrap_or_default()),
            None => here.is_none() && self.of(Field::DisplayName).is_empty(),
        }
    }

    fn is_quota(&self, there: Option<u64>, here: u64, direction: Direction) -> bool {
        let known = self.of(Field::Quota);
        let says = |quota: u64| matches!(known, [known] if known == quota.to_string().as_bytes());
        match (there, direction) {
            (Some(quota), _) => quota == here && says(quota),
            (None, Direction::LocalToLdap) => here == 0 && says(0),
            (None, _) => here == 0 && known.is_empty(),
        }
    }

    /// Whoever is off, locked or expired is looked at the long way.
    fn is_switch(
        &self,
        there: bool,
        state: directory::AccountState,
        here: bool,
        direction: Direction,
    ) -> bool {
        let known = self.of(Field::Enabled);
        let on = matches!(known, [known] if known == b"TRUE".as_slice());
        let silent = known.is_empty() && !there && direction != Direction::LocalToLdap;
        state == directory::AccountState::Active && here && (on || silent)
    }
}

#[cfg(test)]
mod tests;
