//! The local side: reading an object as fields, and carrying a plan out in the store.

use crate::engine::Outcome;
use crate::field::{Field, Image, Values};
use crate::link;
use crate::plan::{
    Farewell, Kind, Link, LocalId, LocalObject, LocalState, Op, Plan, Remote, Removal, Situation, Standing,
    Wait, fields_of, kind_of,
};
use directory::config::{Direction, OnDelete};
use model::{Address, ByteSize, Clock, EntryUuid, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{
    Account, AccountChange, AccountState, Association, Group, GroupChange, Intent, LinkData, LinkState,
    Member, NewAccount, NewAssociation, NewGroup, Origin, RemovedBy, Store, StoreError, SyncChange,
};

/// "Until somebody decides": what `on_delete = "disable"` and scope exits keep.
const FOREVER: Timestamp = Timestamp::from_millis(u64::MAX >> 1);

/// One connector's view of the store.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) store: Store,
    pub(crate) connector: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retention: Duration,
    pub(crate) on_delete: OnDelete,
    pub(crate) direction: Direction,
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
    old: Option<Link>,
    /// Whether the entry was noted at another home.
    noted_elsewhere: bool,
    /// The linked object, also when only its tombstone is left.
    pub(crate) local: Option<LocalId>,
    /// Whether only a tombstone is left of the object.
    pub(crate) entombed: bool,
    /// Whether a remote write of the object was begun and not ended.
    pub(crate) has_intent: bool,
    /// An object here that this entry was made for by a write whose end was not known.
    adopted: Option<LocalId>,
    /// What the entry has.
    pub(crate) remote: Image,
    /// Members of a group that have no entry yet.
    unnamed: Vec<Address>,
    /// The entry itself, where it may be written.
    pub(crate) entry: Option<ldap::Entry>,
}

/// How the number of living links changes by a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkCount {
    Same,
    More,
    Less,
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
        let elsewhere = self.store.elsewhere(&self.connector, uuid)?;
        let mut seen = Seen {
            dn,
            csn,
            version: None,
            link: association.as_ref().map(|found| found.data.clone()),
            old: None,
            noted_elsewhere: elsewhere.is_some(),
            local: association.as_ref().map(|found| own_id(found.local)),
            entombed: false,
            has_intent: false,
            adopted: None,
            remote: Image::default(),
            unnamed: Vec::new(),
            entry: None,
        };
        if let Remote::Here(remote) = &remote {
            seen.remote.clone_from(&remote.image);
        }
        if association
            .as_ref()
            .is_some_and(|found| found.data.state == LinkState::UnlinkedHeld)
        {
            let message = "unlinked by an administrator; relink or release it".to_owned();
            remote = Remote::Broken(crate::plan::Reason::Unusable { message });
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
            seen.entombed = true;
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
        let made = match found {
            None => self.made_for(&by_address, &mut seen)?,
            Some(_) => None,
        };
        if let Some((object, version)) = made {
            seen.version = Some(version);
            local = Some(object);
        }
        let mut link = found.map(|found| Link {
            local: own_id(found.local),
            base: link::decode(&found.data.base),
            dn: found.data.dn,
            standing: link::standing(&found.data.state),
            marks: link::marks(&found.data.digests),
            passwords: link::passwords(&found.data.digests),
        });
        if let Some(link) = &mut link {
            self.after_a_write(link, &mut seen)?;
        } else if let Some(local) = seen.adopted {
            link = Some(Link {
                local,
                base: seen.remote.clone(),
                // Not written down yet.
                dn: String::new(),
                standing: Standing::Linked,
                marks: crate::merge::Marks::default(),
                passwords: crate::plan::Passwords::default(),
            });
        }
        seen.old.clone_from(&link);
        let name = match &link {
            Some(link) if seen.dn.is_empty() => link.dn.clone(),
            _ => seen.dn.clone(),
        };
        let seen_at = elsewhere.map(|seen| seen.host);
        Ok((
            Situation {
                uuid,
                name,
                remote,
                link,
                local,
                by_address,
                by_alias,
                seen_at,
                removal,
                rivals: Vec::new(),
            },
            seen,
        ))
    }

    /// Who removed an object: a person, unless one of its links says that a connector did.
    fn removal(&self, local: Option<LocalId>) -> Result<Removal, StoreError> {
        let Some(local) = local else {
            return Ok(Removal::BySync);
        };
        let links = self.store.associations_of(store_id(local))?;
        let left = |link: &Association| {
            matches!(
                link.data.state,
                LinkState::Gone { .. } | LinkState::OutOfScope { .. } | LinkState::MovedAway { .. }
            )
        };
        Ok(if links.iter().any(left) {
            Removal::BySync
        } else {
            Removal::ByPerson
        })
    }

    /// The object that an entry was made for, when the answer to that write never came: it has the entry's address, and
    /// the entry is what the write was to make it.
    fn made_for(
        &self,
        by_address: &[LocalObject],
        seen: &mut Seen,
    ) -> Result<Option<(LocalObject, u64)>, StoreError> {
        for object in by_address.iter().filter(|object| object.linked_to.is_none()) {
            let intent = self.store.intent(&self.connector, store_id(object.id))?;
            let made = |intent: &Intent| intent.remote.is_none() && intent.expected == seen.remote.digest();
            if intent.as_ref().is_some_and(made) {
                seen.local = Some(object.id);
                seen.adopted = Some(object.id);
                seen.has_intent = true;
                return self.object(store_id(object.id));
            }
        }
        Ok(None)
    }

    /// A write was begun and its end is not known here. When the entry is what the write was to make it, it took
    /// place: that is the common state, and what changed here since is an edit of its own.
    fn after_a_write(&self, link: &mut Link, seen: &mut Seen) -> Result<(), StoreError> {
        let Some(intent) = self.store.intent(&self.connector, store_id(link.local))? else {
            return Ok(());
        };
        seen.has_intent = true;
        if intent.expected == seen.remote.digest() && !seen.remote.get(Field::Address).is_empty() {
            for field in fields_of(kind_of(link.local)) {
                link.base.set(*field, seen.remote.get(*field).clone());
            }
        }
        Ok(())
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
                (
                    LocalObject {
                        id: own_id(id),
                        image,
                        state,
                        linked_to,
                        password: None,
                        members_without_entry: Vec::new(),
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
        for member in &group.members {
            let Member::Local(address) = member else { continue };
            let link = match self.store.local_id(address)? {
                Some(id) => self.store.association(&self.connector, id)?,
                None => None,
            };
            match link.filter(|link| matches!(link.data.state, LinkState::Linked)) {
                Some(link) => members.push((link.remote, address.clone())),
                None => object.members_without_entry.push(address.clone()),
            }
        }
        let members = Values::members(members.iter().map(|(uuid, address)| (*uuid, address)));
        object.image.set(Field::Members, members);
        Ok(())
    }

    /// Carries a plan out. Everything of one object is one durable commit, its link included.
    /// The intent of its remote half is in it too.
    pub(crate) async fn apply(
        &self,
        plan: &Plan,
        seen: &Seen,
        intent: Option<Intent>,
    ) -> (Outcome, LinkCount) {
        let rows = self.rows(plan, seen, intent);
        let outcome = match self.try_apply(plan, seen, rows).await {
            Ok(()) => Outcome::Done,
            Err(StoreError::Conflict) => Outcome::Stale,
            // A damaged row is this object's trouble alone.
            Err(error @ StoreError::Corrupt { .. }) => Outcome::Refused(error.to_string()),
            Err(error) if error.is_temporary() => Outcome::Temporary(error.to_string()),
            Err(error) => Outcome::Refused(error.to_string()),
        };
        let first = match seen.adopted {
            Some(_) => LinkCount::More,
            None => LinkCount::Same,
        };
        let count = plan.ops.iter().fold(first, |count, op| match op {
            Op::Create { .. } | Op::Link { .. } | Op::Revive | Op::Await { .. } => LinkCount::More,
            Op::Remove { .. } => LinkCount::Less,
            _ => count,
        });
        let count = if outcome == Outcome::Done {
            count
        } else {
            LinkCount::Same
        };
        (outcome, count)
    }

    /// The rows that go with a plan's local half.
    fn rows(&self, plan: &Plan, seen: &Seen, intent: Option<Intent>) -> Vec<SyncChange> {
        let mut rows = self.conflicts(plan, seen.local);
        let creates = plan.ops.iter().any(|op| matches!(op, Op::Create { .. }));
        if seen.entombed && creates {
            rows.push(SyncChange::TombstoneDone {
                connector: self.connector.clone(),
                remote: plan.uuid,
            });
        }
        match (intent, seen.local) {
            (Some(intent), _) => rows.push(SyncChange::Intent(Box::new(intent))),
            (None, Some(local)) if seen.has_intent => rows.push(self.intent_done(local)),
            _ => {}
        }
        rows
    }

    async fn try_apply(&self, plan: &Plan, seen: &Seen, rows: Vec<SyncChange>) -> Result<(), StoreError> {
        let origin = Origin::Connector(self.connector.clone());
        if let [Op::Create { kind, image, state }] = plan.ops.as_slice() {
            let link = self.link(plan, seen, &plan.ops);
            match kind {
                Kind::Account => {
                    let mut new = new_account(image, state, link)?;
                    new.sync = rows;
                    self.store.create_account(new, &origin).await?;
                }
                Kind::Group => {
                    let mut new = new_group(image, link)?;
                    new.sync = rows;
                    self.store.create_group(new, &origin).await?;
                }
            }
            return self.forget_elsewhere(plan, seen).await;
        }
        let local = self
            .store
            .association_by_uuid(&self.connector, plan.uuid)?
            .map(|found| own_id(found.local));
        let joined = plan.ops.iter().find_map(|op| match op {
            Op::Link { local } => Some(*local),
            _ => None,
        });
        match joined.or(local).or(seen.adopted) {
            Some(LocalId::Account(id)) => {
                let mut change = self.account_change(plan, seen)?;
                change.sync = rows;
                self.store
                    .update_account(id, seen.version, change, &origin)
                    .await?;
                self.forget_elsewhere(plan, seen).await
            }
            Some(LocalId::Group(id)) if plan.ops.iter().any(|op| matches!(op, Op::Remove { .. })) => {
                self.store.commit_sync(&rows).await?;
                // A group holds no mail: all there is to it comes back with the entry.
                self.store.delete_group(id, &origin).await
            }
            Some(LocalId::Group(id)) => {
                let mut change = self.group_change(plan, seen)?;
                change.sync = rows;
                change
                    .sync
                    .extend(self.pending(LocalId::Group(id), &waiting(plan)));
                self.store
                    .update_group(id, seen.version, change, &origin)
                    .await
                    .map(drop)
            }
            None => self.store.commit_sync(&rows).await,
        }
    }

    /// An account that lives here now knows itself where its mail is; the note of another home has served.
    async fn forget_elsewhere(&self, plan: &Plan, seen: &Seen) -> Result<(), StoreError> {
        let arrives = |op: &Op| {
            matches!(
                op,
                Op::Create { .. } | Op::Link { .. } | Op::Revive | Op::Await { .. }
            )
        };
        if seen.noted_elsewhere && plan.ops.iter().any(arrives) {
            self.store
                .note_elsewhere(&self.connector, &[(plan.uuid, None)])
                .await?;
        }
        Ok(())
    }

    /// Gives an object a name that nobody wants, for as long as another one of the same round takes its own: two
    /// people who swap addresses. Should the process die here, the round is repeated, for its cookie is not
    /// committed.
    pub(crate) async fn park(&self, uuid: EntryUuid, seen: &mut Seen) -> Result<(), StoreError> {
        let origin = Origin::Connector(self.connector.clone());
        let Some(found) = self.store.association_by_uuid(&self.connector, uuid)? else {
            return Ok(());
        };
        let parked = |address: &Address| {
            Address::parse(&format!("parked-{uuid}@{}", address.domain()))
                .map_err(|error| StoreError::Invalid(error.to_string()))
        };
        match found.local {
            store::LocalId::Account(id) => {
                let Some(account) = self.store.account(id)? else {
                    return Ok(());
                };
                let change = AccountChange {
                    address: Some(parked(&account.address)?),
                    aliases: Some(Vec::new()),
                    ..AccountChange::default()
                };
                let account = self
                    .store
                    .update_account(id, seen.version, change, &origin)
                    .await?;
                seen.version = Some(account.version);
            }
            store::LocalId::Group(id) => {
                let Some(group) = self.store.group(id)? else {
                    return Ok(());
                };
                let change = GroupChange {
                    address: Some(parked(&group.address)?),
                    aliases: Some(Vec::new()),
                    ..GroupChange::default()
                };
                let group = self.store.update_group(id, seen.version, change, &origin).await?;
                seen.version = Some(group.version);
            }
        }
        Ok(())
    }

    fn account_change(&self, plan: &Plan, seen: &Seen) -> Result<AccountChange, StoreError> {
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
                    })
                }
                Op::MoveAway { to } => change.state = Some(AccountState::MovedAway { to: to.clone() }),
                Op::Create { .. } | Op::Link { .. } => {}
            }
        }
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

    fn group_change(&self, plan: &Plan, seen: &Seen) -> Result<GroupChange, StoreError> {
        let mut change = GroupChange {
            association: self.link(plan, seen, &plan.ops),
            ..GroupChange::default()
        };
        for op in &plan.ops {
            if let Op::Set { field, values, .. } = op {
                match field {
                    Field::Address => change.address = Some(address_of(values)?),
                    Field::Aliases => change.aliases = Some(values.to_addresses().collect()),
                    Field::DisplayName => change.display_name = Some(values.first().map(str::to_owned)),
                    Field::Members => {
                        let unnamed = seen.unnamed.iter().cloned().map(Member::Local);
                        change.members = Some(members_of(values).into_iter().chain(unnamed).collect());
                    }
                    Field::Quota | Field::Enabled | Field::PendingMembers | Field::AwaitedFrom => {}
                }
            }
        }
        Ok(change)
    }

    /// The link after the plan.
    fn link(&self, plan: &Plan, seen: &Seen, ops: &[Op]) -> Option<NewAssociation> {
        plan.base.as_ref()?;
        let mut data = seen
            .link
            .clone()
            .unwrap_or_else(|| LinkData::new(seen.dn.clone()));
        let values = match plan.remote.is_empty() {
            true => plan.settled(),
            false => plan.meanwhile(seen.old.as_ref()),
        };
        self.write_values(&mut data, &values);
        if !seen.dn.is_empty() {
            data.dn.clone_from(&seen.dn);
            data.version.clone_from(&seen.csn);
        }
        let since = self.clock.now();
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
                Op::Remove { why: Farewell::Gone } => data.state = LinkState::Gone { since },
                Op::Remove { .. } => data.state = LinkState::OutOfScope { since },
                Op::MoveAway { to } => data.state = LinkState::MovedAway { to: to.clone() },
                Op::Set { .. } => {}
            }
        }
        Some(NewAssociation {
            connector: self.connector.clone(),
            remote: plan.uuid,
            data,
        })
    }

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

    /// Groups that have one of these entries as a member with another address, or at all when it is gone, or
    /// that waited for news of it; by the UUID of the group's entry.
    pub(crate) fn groups_with(
        &self,
        members: &BTreeMap<EntryUuid, Option<Address>>,
    ) -> Result<Vec<EntryUuid>, StoreError> {
        let differs = |now: &Option<Address>, known: &Address| {
            now.as_ref().is_none_or(|now| now.as_str() != known.as_str())
        };
        let has = |member: &Member| match member {
            Member::Remote { uuid, address } => members.get(uuid).is_some_and(|now| differs(now, address)),
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

/// Links of objects that are in use: what an empty directory is compared with.
pub(crate) fn is_living(association: &Association) -> bool {
    !matches!(
        association.data.state,
        LinkState::Gone { .. } | LinkState::OutOfScope { .. }
    )
}

/// The id as the store has it.
pub(crate) fn store_id(id: LocalId) -> store::LocalId {
    match id {
        LocalId::Account(id) => store::LocalId::Account(id),
        LocalId::Group(id) => store::LocalId::Group(id),
    }
}

/// The members that a plan's group waits for.
fn waiting(plan: &Plan) -> Vec<String> {
    let of = |wait: &Wait| match wait {
        Wait::Members { addresses } => addresses.clone(),
        _ => Vec::new(),
    };
    plan.waits.iter().flat_map(of).collect()
}

pub(crate) fn own_id(id: store::LocalId) -> LocalId {
    match id {
        store::LocalId::Account(id) => LocalId::Account(id),
        store::LocalId::Group(id) => LocalId::Group(id),
    }
}

fn account_state(state: &AccountState) -> LocalState {
    match state {
        AccountState::Active => LocalState::Active,
        AccountState::SoftDeleted { .. } => LocalState::Deleted,
        AccountState::MovedAway { to } => LocalState::MovedAway { to: to.clone() },
        AccountState::AwaitingMail { from } => LocalState::AwaitingMail { from: from.clone() },
    }
}

fn account_image(account: &Account) -> Image {
    Image::default()
        .with(Field::Address, Values::addresses([&account.address]))
        .with(Field::Aliases, Values::addresses(&account.aliases))
        .with(
            Field::DisplayName,
            account
                .display_name
                .as_deref()
                .map(Values::text)
                .unwrap_or_default(),
        )
        // "No limit" is a value: the directory writes it as 0.
        .with(
            Field::Quota,
            Values::number(account.quota.map_or(0, |quota| quota.0)),
        )
        .with(Field::Enabled, Values::switch(account.enabled))
}

fn group_image(group: &Group) -> Image {
    let members = group.members.iter().filter_map(|member| match member {
        Member::Remote { uuid, address } => Some((*uuid, address)),
        // Added here by hand; a group that follows the directory loses it at the next change.
        Member::Local(_) => None,
    });
    Image::default()
        .with(Field::Address, Values::addresses([&group.address]))
        .with(Field::Aliases, Values::addresses(&group.aliases))
        .with(
            Field::DisplayName,
            group
                .display_name
                .as_deref()
                .map(Values::text)
                .unwrap_or_default(),
        )
        .with(Field::Members, Values::members(members))
}

fn address_of(values: &Values) -> Result<Address, StoreError> {
    let address = values.to_addresses().next();
    address.ok_or_else(|| StoreError::Invalid("an object needs an address".into()))
}

fn quota_of(values: &Values) -> Option<ByteSize> {
    let bytes = values.first().and_then(|text| text.parse().ok()).unwrap_or(0);
    (bytes > 0).then_some(ByteSize(bytes))
}

fn members_of(values: &Values) -> Vec<Member> {
    values
        .to_members()
        .map(|(uuid, address)| Member::Remote { uuid, address })
        .collect()
}

fn new_account(
    image: &Image,
    state: &LocalState,
    link: Option<NewAssociation>,
) -> Result<NewAccount, StoreError> {
    let mut new = NewAccount::new(address_of(image.get(Field::Address))?);
    new.aliases = image.get(Field::Aliases).to_addresses().collect();
    new.display_name = image.get(Field::DisplayName).first().map(str::to_owned);
    new.quota = quota_of(image.get(Field::Quota));
    new.enabled = !image.get(Field::Enabled).equals(&Values::switch(false));
    if let LocalState::AwaitingMail { from } = state {
        new.state = AccountState::AwaitingMail { from: from.clone() };
    }
    new.association = link;
    Ok(new)
}

fn new_group(image: &Image, link: Option<NewAssociation>) -> Result<NewGroup, StoreError> {
    let mut new = NewGroup::new(address_of(image.get(Field::Address))?);
    new.aliases = image.get(Field::Aliases).to_addresses().collect();
    new.display_name = image.get(Field::DisplayName).first().map(str::to_owned);
    new.members = members_of(image.get(Field::Members));
    new.association = link;
    Ok(new)
}
