//! The local side: reading an object as fields, and carrying a plan out in the store.
//!
//! Owns what a plan needs of the store ([`read`]), and everything that one plan changes there, which is one commit
//! ([`apply`], [`change`]), or of many that bring what nobody has yet ([`arrive`]). Never decides anything: the plan does.

mod apply;
mod arrive;
mod beside;
mod change;
mod objects;
mod passwords;
mod read;

pub(crate) use apply::outcome_of;
pub(crate) use arrive::is_arrival;
pub(crate) use beside::is_gone;
#[cfg(test)]
pub(crate) use objects::account_image;

use crate::field::{Field, Image};
use crate::link;
use crate::merge::Sent;
use crate::plan::{Link, LocalId, Remote};
use crate::unresolved::Unresolved;
use directory::config::{Direction, OnDelete};
use model::{Address, Clock, EntryUuid, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::{Association, Intent, LinkData, Member, Store, StoreError};

/// One connector's view of the store.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) store: Store,
    pub(crate) connector: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retention: Duration,
    pub(crate) on_delete: OnDelete,
    pub(crate) direction: Direction,
    /// With `clustered`: the name that new entries say of their home, canonical.
    pub(crate) home: Option<String>,
    /// Names that this server had before and no other home has now, canonical: nobody's mail is to come from there.
    pub(crate) former: Vec<String>,
    /// Whether the directory's password hashes are copied.
    pub(crate) copies: Copies,
    /// The other connectors of this server.
    pub(crate) others: Vec<String>,
}

/// `copy_passwords`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    No,
    Yes,
}

/// What is remembered between looking at an object and carrying its plan out.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The entry's DN: for people.
    pub(crate) dn: String,
    /// Its entryCSN.
    pub(crate) csn: Option<String>,
    /// The version of the local object that was planned on.
    version: Option<u64>,
    /// The link as it was.
    link: Option<LinkData>,
    /// The same as a plan reads it.
    pub(crate) old: Option<Link>,
    /// The former name of this server that the entry still says.
    pub(crate) former_home: Option<String>,
    /// Whether the entry was noted at another home.
    noted_elsewhere: bool,
    /// The linked object, also when only its tombstone is left.
    pub(crate) local: Option<LocalId>,
    /// The object, where only a tombstone is left of it.
    pub(crate) entombed: Option<LocalId>,
    /// A remote write of the object that was begun and not ended.
    pub(crate) begun: Option<Box<Intent>>,
    /// What that write sent, and others before it.
    pub(crate) sent: Sent,
    /// An object here that this entry was made for by a write whose end was not known.
    adopted: Option<LocalId>,
    /// What the entry has.
    pub(crate) remote: Image,
    /// Members of a group that have no entry yet.
    unnamed: Vec<Address>,
    /// The entry itself, where it may be written.
    pub(crate) entry: Option<ldap::Entry>,
    /// Names among a group's members that lead nowhere.
    pub(crate) unresolved: Option<Unresolved>,
    /// The entry's password hash, where it is copied. In memory only, and only until the plan is carried out.
    pub(crate) hash: Option<Secret>,
}

impl Seen {
    /// What there is to remember of an entry that means nothing here.
    fn of_nobody((dn, csn): (String, Option<String>), remote: &Remote) -> Self {
        let (image, home) = match remote {
            Remote::Here(remote) => (remote.image.clone(), remote.home.as_ref()),
            _ => (Image::default(), None),
        };
        let former = home.filter(|home| home.becomes.is_some());
        Self {
            dn,
            csn,
            version: None,
            link: None,
            old: None,
            former_home: former.map(|home| home.shown.clone()),
            noted_elsewhere: false,
            local: None,
            entombed: None,
            begun: None,
            sent: Sent::default(),
            adopted: None,
            remote: image,
            unnamed: Vec::new(),
            entry: None,
            unresolved: None,
            hash: None,
        }
    }
}

impl Local {
    /// Every association of this connector, page by page.
    pub(crate) fn associations(&self, mut each: impl FnMut(&Association)) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.store.list_associations(&self.connector, after, 256)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.remote);
            page.iter().for_each(&mut each);
        }
    }

    /// Groups that have one of these entries as a member with another address, or at all when it is gone, or another entry with
    /// its address, or that waited for news of it; by the UUID of the group's entry.
    pub(crate) fn groups_with(
        &self,
        members: &BTreeMap<EntryUuid, Option<Address>>,
    ) -> Result<Vec<EntryUuid>, StoreError> {
        let differs = |now: &Option<Address>, known: &Address| {
            now.as_ref().is_none_or(|now| now.as_str() != known.as_str())
        };
        // The entry that is gone may be nobody's by now: its object has another one.
        let holders: BTreeSet<&str> = members
            .values()
            .filter_map(|now| Some(now.as_ref()?.as_str()))
            .collect();
        let has = |member: &Member| match member {
            Member::Remote { uuid, address } => match members.get(uuid) {
                Some(now) => differs(now, address),
                None => holders.contains(address.as_str()),
            },
            Member::Local(_) => false,
        };
        let arrived = |uuid: EntryUuid| members.contains_key(&uuid);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_groups(after, 256)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.id);
            for group in &page {
                let id = store::LocalId::Group(group.id);
                let Some(link) = self.store.association(&self.connector, id)? else {
                    continue;
                };
                let base = link::decode(&link.data.base);
                let mut pending = base.get(Field::PendingMembers).iter();
                let waited = pending.any(|(key, _)| EntryUuid::parse(key).is_ok_and(arrived));
                if waited || group.members.iter().any(has) {
                    found.push(link.remote);
                }
            }
        }
    }
}

/// The id as the store has it.
pub(crate) fn store_id(id: LocalId) -> store::LocalId {
    match id {
        LocalId::Account(id) => store::LocalId::Account(id),
        LocalId::Group(id) => store::LocalId::Group(id),
    }
}

pub(crate) fn own_id(id: store::LocalId) -> LocalId {
    match id {
        store::LocalId::Account(id) => LocalId::Account(id),
        store::LocalId::Group(id) => LocalId::Group(id),
    }
}
