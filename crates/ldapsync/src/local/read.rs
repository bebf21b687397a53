//! Everything that a plan for one object depends on here.

use super::objects::{account_image, account_state, group_image};
use super::{Local, Seen, own_id, store_id};
use crate::field::{Field, Image, Values};
use crate::link;
use crate::outbox::{is_same_name, sent};
use crate::plan::{
    Link, LocalId, LocalObject, LocalState, Reason, Remote, Removal, Situation, Standing, fields_of,
    is_parked, kind_of,
};
use directory::config::Direction;
use model::{Address, EntryUuid};
use store::{Account, AccountState, Association, Group, LinkState, Member, RemovedBy, StoreError};

/// What is known of an entry that is linked to nobody, from what was begun here.
#[derive(Default)]
struct Own {
    /// The object that it was made for, with its version.
    made: Option<(LocalObject, u64)>,
    /// What it was made with.
    base: Image,
    /// Objects with its address that it was not made for, and whose own entries are gone.
    bereaved: Vec<(LocalId, EntryUuid)>,
}

impl Local {
    /// Reads everything that a plan for this UUID depends on.
    pub(crate) fn situation(
        &self,
        uuid: EntryUuid,
        mut remote: Remote,
        (dn, csn): (String, Option<String>),
    ) -> Result<(Situation, Seen), StoreError> {
        let association = self.store.association_by_uuid(&self.connector, uuid)?;
        #[cfg(test)]
        let association = match association {
            None if crate::broken::is(crate::broken::Broken::ByDn) => self.by_name(uuid, &dn)?,
            known => known,
        };
        let elsewhere = self.store.elsewhere(&self.connector, uuid)?;
        let mut seen = Seen {
            link: association.as_ref().map(|found| found.data.clone()),
            noted_elsewhere: elsewhere.is_some(),
            local: association.as_ref().map(|found| own_id(found.local)),
            ..Seen::of_nobody((dn, csn), &remote)
        };
        if association
            .as_ref()
            .is_some_and(|found| found.data.state.is_held())
        {
            let message = "unlinked by an administrator; relink or release it".to_owned();
            remote = Remote::Broken(Reason::Unusable { message });
        }
        let (mut by_address, mut by_alias, mut local) = (Vec::new(), Vec::new(), None);
        if let Some(found) = &association {
            if let Some((object, version)) = self.object(found.local)? {
                seen.version = Some(version);
                seen.unnamed.clone_from(&object.members_without_entry);
                local = Some(object);
            }
        } else if let Remote::Here(remote) = &remote {
            by_address = self.holders(remote.image.get(Field::Address), &mut seen)?;
            by_alias = self.holders(remote.image.get(Field::Aliases), &mut seen)?;
        }
        let mut removal = Removal::default();
        let mut found = association;
        if found.is_none()
            && let Some(tombstone) = self.store.tombstone(&self.connector, uuid)?
        {
            seen.local = Some(own_id(tombstone.link.local));
            seen.entombed = seen.local;
            if tombstone.removed_by == RemovedBy::Person {
                removal = Removal::ByPerson;
            }
            found = Some(tombstone.link);
        }
        if local
            .as_ref()
            .is_some_and(|local: &LocalObject| local.state == LocalState::Deleted)
        {
            removal = self.removal(seen.local)?;
        }
        let mut own = Own::default();
        if found.is_none() {
            own = self.made_for(&by_address, &mut seen)?;
            if own.made.is_none() && matches!(remote, Remote::Here(_)) {
                own.made = self.made_under_another_address(&mut own.base, &mut seen)?;
            }
        }
        let mut beside = None;
        if let (Remote::Here(remote), None, None) = (&remote, &local, &own.made)
            && let Some((object, version)) = self.linked_beside(uuid, remote)?
        {
            seen.version = Some(version);
            beside = Some(object);
        }
        if let Some((object, version)) = own.made {
            seen.version = Some(version);
            local = Some(object);
        }
        let mut link = found.map(|found| Link {
            local: own_id(found.local),
            base: link::decode(&found.data.base),
            rebased: false,
            dn: found.data.dn,
            standing: link::standing(&found.data.state),
            marks: link::marks(&found.data.digests),
            passwords: link::passwords(&found.data.digests),
            until: link::until(&found.data.digests),
            home: link::home(&found.data.digests).map(str::to_owned),
        });
        if let Some(link) = &mut link {
            self.after_a_write(link, &mut seen)?;
            let known = seen.link.as_ref().and_then(|link| link.version.as_deref());
            if let Some(local) = &local {
                self.learn_from_beside(uuid, link, (known, seen.csn.as_deref()), local)?;
            }
            link.rebased |= seen.entombed.is_none() && Self::is_renewed(known, seen.csn.as_deref());
        } else if let Some(local) = seen.adopted {
            link = Some(Link {
                local,
                base: own.base,
                rebased: true,
                // Not written down yet.
                dn: String::new(),
                standing: Standing::Linked,
                marks: crate::merge::Marks::default(),
                passwords: crate::plan::Passwords::default(),
                until: None,
                home: None,
            });
        }
        if let (Some(link), Some(local)) = (&link, &local)
            && is_parked(&local.image)
        {
            by_address = self.holders(link.base.get(Field::Address), &mut seen)?;
        }
        seen.old.clone_from(&link);
        let name = match &link {
            Some(link) if seen.dn.is_empty() => link.dn.clone(),
            _ => seen.dn.clone(),
        };
        if let (Remote::Here(remote), Some(local)) = (&mut remote, &local) {
            remote.agree_on_the_switch(local);
        }
        let seen_at = elsewhere.map(|seen| seen.host);
        let seen_at = seen_at.filter(|host| !self.former.contains(host));
        Ok((
            Situation {
                uuid,
                name,
                remote,
                link,
                local,
                by_address,
                by_alias,
                beside,
                bereaved: own.bereaved,
                seen_at,
                removal,
                rivals: Vec::new(),
            },
            seen,
        ))
    }

    /// The link of another entry that had this name.
    #[cfg(test)]
    fn by_name(&self, uuid: EntryUuid, dn: &str) -> Result<Option<store::Association>, StoreError> {
        let links = self.store.list_associations(&self.connector, None, 256)?;
        let named = links
            .into_iter()
            .find(|link| link.data.dn == dn && !dn.is_empty());
        Ok(named.map(|link| store::Association { remote: uuid, ..link }))
    }

    /// The link of a member that has given its address up. Not of an account that was removed: its entry may stay, for out
    /// of scope nobody deletes it, but it is in no list any more.
    fn linked_and_kept(&self, uuid: &str) -> Result<Option<Association>, StoreError> {
        let Ok(uuid) = EntryUuid::parse(uuid) else {
            return Ok(None);
        };
        let link = self.store.association_by_uuid(&self.connector, uuid)?;
        let Some(store::LocalId::Account(id)) = link.as_ref().map(|link| link.local) else {
            return Ok(link);
        };
        let account = self.store.account(id)?;
        let removed = |account: &Account| matches!(account.state, AccountState::SoftDeleted { .. });
        Ok(link.filter(|_| !account.is_some_and(|account| removed(&account))))
    }

    /// Who removed an account that is deleted: its row says so, for links change by hand.
    fn removal(&self, local: Option<LocalId>) -> Result<Removal, StoreError> {
        let Some(LocalId::Account(id)) = local else {
            return Ok(Removal::BySync);
        };
        let account = self.store.account(id)?;
        let by_person = account.is_some_and(|account| {
            matches!(
                account.state,
                AccountState::SoftDeleted {
                    by: RemovedBy::Person,
                    ..
                }
            )
        });
        Ok(if by_person {
            Removal::ByPerson
        } else {
            Removal::BySync
        })
    }

    /// The object that an entry was made for, when the answer to that write never came: it has the entry's address, and
    /// the entry is what the write was to make it. Where somebody has edited it since, its name still says so, but that
    /// is not enough for an object that had another entry before: a stranger would get its mail.
    fn made_for(&self, by_address: &[LocalObject], seen: &mut Seen) -> Result<Own, StoreError> {
        let mut own = Own::default();
        for object in by_address.iter().filter(|object| object.linked_to.is_none()) {
            let intent = self.store.intent(&self.connector, store_id(object.id))?;
            let Some(intent) = intent.filter(|intent| intent.remote.is_none()) else {
                continue;
            };
            let sent = sent(&intent);
            let exact = intent.expected == seen.remote.digest();
            let named = is_same_name(&intent.dn, &seen.dn);
            let address = |image: &Image| image.get(Field::Address).clone();
            let addressed = address(&sent.brings).equals(&address(&seen.remote));
            let made = match intent.former {
                Some(_) => exact && named,
                None => exact || named && addressed,
            };
            if made {
                own.base = match exact {
                    true => sent.spelt_entry(&seen.remote),
                    false => sent.brings,
                };
                own.made = self.object(store_id(object.id))?;
                seen.local = Some(object.id);
                seen.adopted = Some(object.id);
                seen.begun = Some(Box::new(intent));
                return Ok(own);
            }
            #[cfg(test)]
            if crate::broken::is(crate::broken::Broken::FormerIgnored) {
                continue;
            }
            own.bereaved
                .extend(intent.former.map(|former| (object.id, former)));
        }
        Ok(own)
    }

    /// The same of an object that got another address here before that answer. It is known by the name that was sent and
    /// the address that the entry was made with. Whoever has that address here by now was not made an entry with it.
    fn made_under_another_address(
        &self,
        base: &mut Image,
        seen: &mut Seen,
    ) -> Result<Option<(LocalObject, u64)>, StoreError> {
        let address = seen.remote.get(Field::Address).clone();
        let made = self.unanswered_birth(|intent| {
            let made = sent(intent).brings;
            let made = made.get(Field::Address);
            is_same_name(&intent.dn, &seen.dn) && !made.is_empty() && made.equals(&address)
        })?;
        let Some(intent) = made else { return Ok(None) };
        let found = self.object(intent.local)?;
        // Of one that was deleted meanwhile nobody is asked what becomes of the entry: it is not linked.
        let free = |object: &LocalObject| object.linked_to.is_none() && object.state == LocalState::Active;
        let Some((object, version)) = found.filter(|(object, _)| free(object)) else {
            return Ok(None);
        };
        *base = match intent.expected == seen.remote.digest() {
            true => sent(&intent).spelt_entry(&seen.remote),
            false => sent(&intent).brings,
        };
        seen.local = Some(object.id);
        seen.adopted = Some(object.id);
        seen.begun = Some(Box::new(intent));
        Ok(Some((object, version)))
    }

    /// A write was begun and its end is not known here. When the entry is what the write was to make it, it took
    /// place: what it sent is common, and what changed here since is an edit of its own; so is another spelling there.
    /// When somebody has edited it since, each value that the write sent and that is there is common all the same.
    fn after_a_write(&self, link: &mut Link, seen: &mut Seen) -> Result<(), StoreError> {
        let Some(intent) = self.store.intent(&self.connector, store_id(link.local))? else {
            return Ok(());
        };
        let sent = sent(&intent);
        let expected = intent.expected;
        seen.begun = Some(Box::new(intent));
        // None of it, where nothing is seen of the entry.
        if seen.remote.get(Field::Address).is_empty() {
            seen.sent = sent;
            return Ok(());
        }
        if expected == seen.remote.digest() {
            // What was not sent is as common as it was: a field may differ, and wait for a person.
            for field in fields_of(kind_of(link.local))
                .iter()
                .filter(|field| sent.tells_of(**field))
            {
                let common = sent.spelt(*field, link.base.get(*field), seen.remote.get(*field));
                link.base.set(*field, common);
            }
            link.rebased = true;
            return Ok(());
        }
        seen.sent = sent;
        link.rebased = seen.sent.found_in(&seen.remote, &mut link.base, &mut link.marks);
        Ok(())
    }

    /// Whether the entry has a newer version than its link: a look-up on demand and a write in a transaction leave none,
    /// and an edit of what is not compared leaves an old one. Numbers of Active Directory are another for each server.
    pub(crate) fn is_renewed(link: Option<&str>, entry: Option<&str>) -> bool {
        entry.is_some_and(|entry| entry.contains('#') && link.is_none_or(|link| link < entry))
    }

    /// The objects that hold these addresses, each once.
    fn holders(&self, addresses: &Values, seen: &mut Seen) -> Result<Vec<LocalObject>, StoreError> {
        let mut found: Vec<LocalObject> = Vec::new();
        for address in addresses.to_addresses() {
            let Some(id) = self.store.local_id(&address)? else {
                continue;
            };
            if found.iter().any(|known| known.id == own_id(id)) {
                continue;
            }
            if let Some((object, version)) = self.object(id)? {
                // Only an unambiguous holder is ever linked, and then this is its version.
                seen.version = seen.version.or(Some(version));
                found.push(object);
            }
        }
        Ok(found)
    }

    pub(crate) fn object(&self, id: store::LocalId) -> Result<Option<(LocalObject, u64)>, StoreError> {
        let linked_to = self
            .store
            .association(&self.connector, id)?
            .map(|found| found.remote);
        Ok(match id {
            store::LocalId::Account(account) => self.store.account(account)?.map(|account| {
                let (image, state) = (account_image(&account), account_state(&account.state));
                let password = self.password_digest(account.password_hash());
                (
                    LocalObject {
                        id: own_id(id),
                        image,
                        state,
                        linked_to,
                        password,
                        members_without_entry: Vec::new(),
                        members_by_address: Vec::new(),
                    },
                    account.version,
                )
            }),
            store::LocalId::Group(group) => self
                .store
                .group(group)?
                .map(|group| {
                    let mut object = LocalObject {
                        id: own_id(id),
                        image: group_image(&group),
                        state: LocalState::Active,
                        linked_to,
                        password: None,
                        members_without_entry: Vec::new(),
                        members_by_address: Vec::new(),
                    };
                    if self.direction != Direction::LdapToLocal {
                        self.named_by_address(&group, &mut object)?;
                    }
                    Ok::<_, StoreError>((object, group.version))
                })
                .transpose()?,
        })
    }

    /// Members that were added by their address: those whose object here has an entry are known by it, as the
    /// directory will have them; the others wait.
    fn named_by_address(&self, group: &Group, object: &mut LocalObject) -> Result<(), StoreError> {
        let mut members: Vec<(EntryUuid, Address)> = object.image.get(Field::Members).to_members().collect();
        let own = self
            .store
            .association(&self.connector, store::LocalId::Group(group.id))?;
        let known = own.map(|own| link::decode(&own.data.base)).unwrap_or_default();
        for member in &group.members {
            let Member::Local(address) = member else { continue };
            let link = match self.store.local_id(address)? {
                Some(id) => self.store.association(&self.connector, id)?,
                // Nobody's address any more: whoever had it when the group was last synchronised has another one.
                None => match known
                    .get(Field::Members)
                    .iter()
                    .find(|(_, text)| *text == address.as_str())
                {
                    Some((uuid, _)) => self.linked_and_kept(uuid)?,
                    None => None,
                },
            };
            match link.filter(|link| has_entry(&link.data.state)) {
                Some(link) => {
                    members.push((link.remote, address.clone()));
                    object.members_by_address.push(address.clone());
                }
                None => object.members_without_entry.push(address.clone()),
            }
        }
        let members = Values::members(members.iter().map(|(uuid, address)| (*uuid, address)));
        object.image.set(Field::Members, members);
        Ok(())
    }
}

/// Whether there is an entry to be a member, of this home or of another: whose mail an account's entry names does not
/// matter to a list.
const fn has_entry(state: &LinkState) -> bool {
    matches!(
        state,
        LinkState::Linked | LinkState::AwaitingMail { .. } | LinkState::MovedAway { .. }
    )
}
