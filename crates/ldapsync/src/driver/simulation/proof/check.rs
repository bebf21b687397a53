//! The invariants of the design, each by its name.

use super::super::fake::Person;
use super::server::values_of;
use super::standing::{everybody_has_an_entry, newcomers};
use super::steps::{Schedule, Shape};
use super::world::{SECRET, Site, World, account_values, postmaster};
use crate::field::Field;
use crate::link::decode;
use crate::mapping::canonical_host;
use bytes::Bytes;
use directory::EntryKind;
use model::EntryUuid;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use store::{AccountState, JournalEntry, LinkState, LocalId, Member, Origin, Store, Touched};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invariant {
    /// 1: at rest both sides say the same of everybody, or the reason why not is written down.
    Convergence,
    /// 2: what somebody wrote is visible, was written over by somebody who saw it, or is in the conflict journal.
    NoLostUpdate,
    /// 3: a replay from any stored cookie writes nothing.
    Idempotence,
    /// 4: with nobody editing, everybody comes to rest, two connectors in a ring as well.
    NoPingPong,
    /// 5: after a crash nothing is left half done.
    CrashSafety,
    /// 6: one entry, one object, for ever.
    Association,
    /// 7: nothing is removed in masses, nor because a server lags or hides what it has.
    Guard,
    /// 8: a one-way direction never writes its source; `no-change` leaves both sides at the base.
    OneWay,
    /// 10: so many differences, at most so many writes.
    WorkBound,
    /// 11: an object that cannot be synchronised delays nobody else.
    Isolation,
    /// 12: a move between homes deletes no entry, purges no mail, and leaves one live mailbox.
    Moves,
    /// 13: what was never associated is never touched.
    Strangers,
    /// 14: no password in anything durable but the account.
    Passwords,
}

#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) invariant: Invariant,
    pub(super) what: String,
}

impl Invariant {
    pub(super) fn broken(self, what: impl Into<String>) -> Violation {
        Violation {
            invariant: self,
            what: what.into(),
        }
    }

    pub(super) fn holds(self, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
        if holds { Ok(()) } else { Err(self.broken(what())) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} does not hold: {}", self.invariant, self.what)
    }
}

/// What connectors changed here, apart from links.
pub(super) fn changes(store: &Store) -> Vec<JournalEntry> {
    let by_connector = |row: &JournalEntry| {
        matches!(&row.origin, Origin::Connector(_))
            && row.touched != Touched::ASSOCIATION
            && row.object.is_some()
    };
    journal(store).into_iter().filter(by_connector).collect()
}

fn journal(store: &Store) -> Vec<JournalEntry> {
    let (mut all, mut end) = (Vec::new(), 0);
    loop {
        let page = store.journal_after(end, 256).expect("reads");
        let Some(last) = page.last() else { return all };
        end = last.seq;
        all.extend(page);
    }
}

/// What holds at every moment, whatever went wrong.
pub(super) fn always(world: &mut World, schedule: &Schedule) -> Result<(), Violation> {
    association(world)?;
    removals(world, schedule)?;
    one_way(world)?;
    strangers(world)?;
    passwords(world)
}

/// What holds once nobody has anything left to do.
pub(super) fn at_rest(world: &World, schedule: &Schedule) -> Result<(), Violation> {
    intents(world)?;
    for (index, site) in world.sites.iter().enumerate() {
        convergence(world, schedule, (index, site))?;
        newcomers(world, site)?;
        everybody_has_an_entry(world, schedule, site)?;
    }
    moves(world)?;
    renamed(world)?;
    lost_updates(world)
}

// 6.
fn association(world: &mut World) -> Result<(), Violation> {
    for (index, site) in world.sites.iter().enumerate() {
        let (mut entries, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for link in world.stores[site.node]
            .list_associations(site.name, None, 256)
            .expect("reads")
        {
            let injective = entries.insert(link.remote) && objects.insert(link.local);
            Invariant::Association.holds(injective, || format!("{:?} is linked twice", link.local))?;
            let owner = *world.owners.entry((index, link.local)).or_insert(link.remote);
            // An entry that we made again ourselves is the object's own.
            let ours = world.server.lock().made_by_us.contains(&link.remote);
            // A list has no mail that a stranger could get: once its entry is gone it may join another one.
            let gone = !world.server.lock().live.entries.contains_key(&owner);
            let joins = gone && matches!(link.local, LocalId::Group(_));
            Invariant::Association.holds(owner == link.remote || ours || joins, || {
                format!("{:?} belonged to {owner} and now to {}", link.local, link.remote)
            })?;
            world.owners.insert((index, link.local), link.remote);
        }
    }
    Ok(())
}

// 7.
fn removals(world: &mut World, schedule: &Schedule) -> Result<(), Violation> {
    let mut removed = world.server.lock().deleted_by_us.len();
    for uuid in world.server.lock().deleted_by_us.clone() {
        let wanted = world.deleted_here.contains(&uuid);
        Invariant::Guard.holds(wanted, || {
            format!("the entry {uuid} was deleted, and nobody had deleted its object")
        })?;
    }
    let there = removed;
    for node in 0..world.stores.len() {
        for account in world.accounts(node) {
            let gone = matches!(account.state, AccountState::SoftDeleted { .. });
            if !gone || world.removed_by_hand.contains(&(node, account.id)) {
                continue;
            }
            removed += 1;
            let links = world.stores[node]
                .associations_of(LocalId::Account(account.id))
                .expect("reads");
            let server = world.server.lock();
            let absent = links.iter().any(|link| {
                server.ever_absent.contains(&link.remote) || server.deleted_by_us.contains(&link.remote)
            });
            Invariant::Guard.holds(absent, || {
                format!(
                    "{} was removed here, and its entry was there all the time",
                    account.address
                )
            })?;
        }
    }
    use model::Clock as _;
    let now = world.clock.now();
    let known: usize = world.removals.iter().map(|(_, count)| count).sum();
    if removed > known {
        world.removals.push((now, removed - known));
    }
    if world.shape != Shape::Ring && world.stores.len() == 1 && schedule.terms.guard < 100 && !world.approved
    {
        let hour = world
            .removals
            .iter()
            .filter(|(time, _)| now.since(*time) < Duration::from_secs(3600));
        let count: usize = hour.map(|(_, count)| count).sum();
        let most = usize::try_from(schedule.terms.guard).expect("small") * 2;
        Invariant::Guard.holds(count < most, || {
            format!(
                "{count} removals within an hour ({there} there) with a limit of {}",
                schedule.terms.guard
            )
        })?;
    }
    Ok(())
}

// 8.
fn one_way(world: &World) -> Result<(), Violation> {
    match world.shape {
        Shape::ToLocal => {
            let writes = world.server.lock().writes;
            Invariant::OneWay.holds(writes == 0, || format!("{writes} writes to the source"))
        }
        Shape::ToLdap => {
            // Whose entry a member is, is learned when that entry is made; who is a member stays.
            let learned = Touched(Touched::MEMBERS.0 | Touched::ASSOCIATION.0);
            let mut rows = changes(&world.stores[0]);
            rows.retain(|row| row.touched.0 & !learned.0 != 0);
            Invariant::OneWay.holds(rows.is_empty(), || {
                format!("written to the source: {:?}", rows.last())
            })
        }
        _ => Ok(()),
    }
}

// 13.
fn strangers(world: &World) -> Result<(), Violation> {
    let (printer, csn) = world.printer;
    let now = world
        .server
        .lock()
        .live
        .entries
        .get(&printer)
        .map(|entry| entry.csn);
    Invariant::Strangers.holds(now == Some(csn), || {
        format!("the printer's entry: {csn}, now {now:?}")
    })?;
    for (node, version) in world.postmasters.iter().enumerate() {
        let account = world.stores[node]
            .account_by_address(&postmaster(world.shape))
            .expect("reads");
        let now = account.map(|account| account.version);
        Invariant::Strangers.holds(now == Some(*version), || {
            format!("postmaster: {version}, now {now:?}")
        })?;
    }
    Ok(())
}

// 14.
fn passwords(world: &World) -> Result<(), Violation> {
    for site in &world.sites {
        let store = &world.stores[site.node];
        let text = format!(
            "{:?} {:?} {:?} {:?}",
            store.list_intents(site.name, None, 256).expect("reads"),
            store.quarantine_after(site.name, None, 256).expect("reads"),
            store.list_conflicts(site.name, None, 256).expect("reads"),
            store.list_associations(site.name, None, 256).expect("reads"),
        );
        let bytes = SECRET.as_bytes();
        let debug: Vec<String> = bytes.iter().map(u8::to_string).collect();
        let found = text.contains(SECRET) || text.contains(&debug.join(", "));
        Invariant::Passwords.holds(!found, || "a password in a durable queue".to_owned())?;
    }
    let server = world.server.lock();
    let found = server
        .live
        .entries
        .values()
        .any(|entry| format!("{entry:?}").contains(SECRET));
    Invariant::Passwords.holds(!found, || "a password in an entry".to_owned())
}

// 5.
fn intents(world: &World) -> Result<(), Violation> {
    for site in &world.sites {
        let mut left = world.stores[site.node]
            .list_intents(site.name, None, 256)
            .expect("reads");
        // What waits in quarantine keeps it: should the write have taken place, that is how it is known.
        let aside = aside(&world.stores[site.node], site.name);
        // So does who waits for another entry than the one that is gone, while somebody else has its address.
        left.retain(|intent| match intent.remote {
            Some(uuid) => !aside.contains(&uuid.to_string()),
            None => {
                let waits = is_bereaved(&world.stores[site.node], site.name, intent.local);
                !waits && !is_kept_beside(world, site, intent)
            }
        });
        Invariant::CrashSafety.holds(left.is_empty(), || format!("begun and never ended: {left:?}"))?;
        let parked = world.accounts(site.node);
        // Who moved away, or was removed, keeps such a name once its entry is gone: a successor may have the address, and to
        // give it back would take it from a living person. It is asked that each of its entries is gone. So does
        // whoever a crash left without one that somebody else has by now; it is in quarantine, where `convergence` looks for
        // the other one.
        let for_good = |account: &store::Account| {
            let links = world.stores[site.node].associations_of(LocalId::Account(account.id));
            let server = world.server.lock();
            let links = links.expect("reads");
            let waits = links.iter().any(|link| aside.contains(&link.remote.to_string()));
            // Out of scope it is nobody's whose address counts here.
            let gone = |link: &store::Association| {
                let entry = server.live.entries.get(&link.remote);
                entry.is_none_or(|entry| !entry.in_scope)
            };
            let left = matches!(
                account.state,
                AccountState::MovedAway { .. } | AccountState::SoftDeleted { .. }
            );
            waits || left && links.iter().all(gone)
        };
        let parked = parked
            .iter()
            .find(|account| account.address.local_part().starts_with("parked-") && !for_good(account));
        Invariant::CrashSafety.holds(parked.is_none(), || format!("left aside: {parked:?}"))?;
    }
    Ok(())
}

/// Whether an object's entry is gone, and what keeps it from another one is said.
pub(super) fn is_bereaved(store: &Store, connector: &str, local: LocalId) -> bool {
    let rows = store.quarantine_after(connector, None, 256).expect("reads");
    let intent = store.intent(connector, local).expect("reads");
    let (former, own) = (
        intent.and_then(|intent| intent.former),
        crate::local::own_id(local).to_string(),
    );
    // Said of the object itself, or of the other entry.
    let said = |former: EntryUuid| {
        let (former, mut rows) = (former.to_string(), rows.iter());
        rows.any(|row| row.object == own || row.reason.contains(&former))
    };
    former.is_some_and(said)
}

/// Whether the other connector of a ring keeps the link to the entry that is gone: with `no-change` the object was edited here
/// since, so it stays as it is, and gets no entry from either.
fn is_kept_beside(world: &World, site: &Site, intent: &store::Intent) -> bool {
    world.sites.iter().any(|other| {
        let link = world.stores[other.node].association(other.name, intent.local);
        let beside = other.node == site.node && other.name != site.name;
        beside
            && link
                .expect("reads")
                .is_some_and(|link| Some(link.remote) == intent.former)
    })
}

/// The objects in quarantine.
pub(super) fn aside(store: &Store, connector: &str) -> BTreeSet<String> {
    let rows = store.quarantine_after(connector, None, 256).expect("reads");
    rows.into_iter().map(|row| row.object).collect()
}

/// Whether the entry is this server's.
pub(super) fn is_here(world: &World, node: usize, entry: &Person) -> bool {
    let host = entry.host.as_deref().map(canonical_host);
    !world.clustered() || entry.kind == EntryKind::Group || host.as_deref() == Some(world.homes.of(node))
}

/// Whether a list has somebody whose own entry is gone and stays so until a person decides: the list waits too.
fn lacks_an_entry(store: &Store, site: &Site, server: &super::server::Server, list: EntryUuid) -> bool {
    let link = store.association_by_uuid(site.name, list).expect("reads");
    let Some(LocalId::Group(id)) = link.map(|link| link.local) else {
        return false;
    };
    let group = store.group(id).expect("reads");
    let waits = |link: Option<store::Association>| {
        let gone = |link: &store::Association| !server.live.entries.contains_key(&link.remote);
        // Whoever had moved away before is the other home's: nobody waits for them.
        let over = |link: &store::Association| {
            matches!(
                link.data.state,
                LinkState::Gone { .. } | LinkState::MovedAway { .. }
            )
        };
        link.is_some_and(|link| gone(&link) && !over(&link))
    };
    let mut members = group.iter().flat_map(|group| &group.members);
    members.any(|member| match member {
        Member::Remote { uuid, .. } => waits(store.association_by_uuid(site.name, *uuid).expect("reads")),
        Member::Local(address) => {
            let local = store.local_id(address).expect("reads");
            waits(local.and_then(|local| store.association(site.name, local).expect("reads")))
        }
    })
}

// 1 and 11.
fn convergence(world: &World, schedule: &Schedule, (_, site): (usize, &Site)) -> Result<(), Violation> {
    let store = &world.stores[site.node];
    let aside = aside(store, site.name);
    let server = world.server.lock();
    for entry in server.live.entries.values().filter(|entry| entry.in_scope) {
        // Erased while it was unlinked by hand: nothing is made of the entry, whatever becomes of it.
        let stone = store.tombstone(site.name, entry.uuid).expect("reads");
        if stone.is_some_and(|stone| stone.link.data.state.is_held()) {
            continue;
        }
        let is_aside = aside.contains(&entry.uuid.to_string());
        if entry.broken {
            let harmless = is_aside || world.shape == Shape::ToLdap || !is_here(world, site.node, entry);
            Invariant::Isolation.holds(harmless, || {
                format!("{} is unusable and nobody says so", entry.dn)
            })?;
            continue;
        }
        if is_aside {
            let rows = store.quarantine_after(site.name, None, 256).expect("reads");
            let name_taken = rows
                .iter()
                .any(|row| row.reason.contains("another entry has this DN"));
            let waits_for_a_member = rows.iter().any(|row| {
                let ours = row.object == entry.uuid.to_string();
                ours && row.reason.contains("members whose entries are not found")
                    && lacks_an_entry(store, site, &server, entry.uuid)
            });
            Invariant::Isolation.holds(
                name_taken || waits_for_a_member || is_contested(world, schedule, &server, entry),
                || format!("{} is set aside for no reason: {rows:?}", entry.dn),
            )?;
            continue;
        }
        if !is_here(world, site.node, entry) {
            continue;
        }
        let link = store.association_by_uuid(site.name, entry.uuid).expect("reads");
        let Some(link) = link else {
            // Erased here and edited there: under `no-change` a person decides.
            let waits = schedule.terms.resolution == "no-change" && world.deleted_here.contains(&entry.uuid);
            let linked =
                world.shape == Shape::ToLdap || waits || is_contested(world, schedule, &server, entry);
            Invariant::Convergence.holds(linked, || format!("{} has no object here", entry.dn))?;
            continue;
        };
        same(world, schedule, (store, &server), entry, &link)?;
    }
    Ok(())
}

fn same(
    world: &World,
    schedule: &Schedule,
    (store, server): (&Store, &super::server::Server),
    entry: &Person,
    link: &store::Association,
) -> Result<(), Violation> {
    let differ = |field: &str, here: String| {
        // `no-change`: never common, and both sides keep theirs.
        let apart = link.data.digests.contains_key(&format!("apart.{field}"))
            || link.data.digests.contains_key(&format!("refused.{field}"));
        Invariant::Convergence.holds(apart, || {
            format!(
                "{field} of {} {}: here {here}, there {entry:?}; base {:?}",
                entry.dn,
                entry.uuid,
                decode(&link.data.base)
            )
        })
    };
    match link.local {
        LocalId::Account(id) => {
            let account = store.account(id).expect("reads");
            let Some(account) =
                account.filter(|account| !matches!(account.state, AccountState::SoftDeleted { .. }))
            else {
                // Deleted here and edited there under `no-change`, or removed by the other connector of the ring.
                let waits = schedule.terms.resolution == "no-change" || world.shape == Shape::Ring;
                return Invariant::Convergence.holds(waits, || format!("{} is off here: {link:?}", entry.dn));
            };
            if matches!(account.state, AccountState::MovedAway { .. }) {
                return Invariant::Convergence.broken_if(world.clustered(), &entry.dn);
            }
            if account.address != entry.address {
                differ("address", account.address.to_string())?;
            }
            let set = |list: &[model::Address]| -> BTreeSet<String> {
                list.iter()
                    .filter(|alias| **alias != entry.address)
                    .map(model::Address::key)
                    .collect()
            };
            let kept = match world.shape {
                // What never had a value at the source is not managed.
                Shape::ToLdap => account.aliases.is_empty(),
                Shape::ToLocal => entry.aliases.is_empty(),
                _ => schedule.terms.absent == "keep" && entry.aliases.is_empty(),
            };
            if set(&account.aliases) != set(&entry.aliases) && !kept {
                differ("aliases", format!("{:?}", account.aliases))?;
            }
            if account.display_name.as_deref().unwrap_or_default() != entry.name && !entry.name.is_empty() {
                differ("display_name", format!("{:?}", account.display_name))?;
            }
            if entry.enabled.unwrap_or(true) != account.enabled
                && !(entry.enabled.is_none() && world.shape == Shape::ToLocal)
            {
                differ("enabled", account.enabled.to_string())?;
            }
        }
        LocalId::Group(id) => {
            let Some(group) = store.group(id).expect("reads") else {
                return Invariant::Convergence.broken_if(true, &entry.dn);
            };
            // Whose entry cannot be used now stays a member, and nobody becomes one.
            // Whose entry is gone and cannot be made again is a member here alone.
            let aside = aside(store, &link.connector);
            let unusable = |uuid: &EntryUuid| match server.live.entries.get(uuid) {
                Some(entry) => entry.broken,
                None => aside.contains(&uuid.to_string()),
            };
            let here: BTreeSet<EntryUuid> = group
                .members
                .iter()
                .filter_map(|member| match member {
                    Member::Remote { uuid, .. } => Some(*uuid),
                    // Not what a one-way direction manages.
                    Member::Local(_) if world.shape == Shape::ToLocal => None,
                    Member::Local(address) => {
                        let local = store.local_id(address).expect("reads")?;
                        let link = store.association(&link.connector, local).expect("reads")?;
                        // Whose mail it is does not matter to a list.
                        let is_there = server.live.entries.get(&link.remote);
                        let listed = match link.data.state {
                            LinkState::Linked => true,
                            LinkState::AwaitingMail { .. } | LinkState::MovedAway { .. } => {
                                is_there.is_some_and(|entry| entry.in_scope)
                            }
                            _ => false,
                        };
                        listed.then_some(link.remote)
                    }
                })
                .filter(|uuid| !unusable(uuid))
                .collect();
            let usable = |(uuid, address): (EntryUuid, Option<model::Address>)| address.map(|_| uuid);
            let there: BTreeSet<EntryUuid> = server
                .resolve(&entry.members)
                .members
                .into_iter()
                .filter_map(usable)
                .collect();
            // What the source never had is left as it is.
            let base = crate::link::decode(&link.data.base);
            let unmanaged = match world.shape {
                Shape::ToLocal => there.is_empty(),
                Shape::ToLdap => here.is_empty() && base.get(Field::Members).is_empty(),
                _ => false,
            };
            if here != there && !unmanaged {
                differ("members", format!("{here:?} and not {there:?}"))?;
            }
            if group.address != entry.address {
                differ("address", group.address.to_string())?;
            }
            if group.display_name.as_deref().unwrap_or_default() != entry.name && !entry.name.is_empty() {
                differ("display_name", format!("{:?}", group.display_name))?;
            }
        }
    }
    Ok(())
}

impl Invariant {
    fn broken_if(self, broken: bool, what: &str) -> Result<(), Violation> {
        self.holds(!broken, || format!("{what}: the object here is not in use"))
    }
}

/// Whether somebody else has, or had and keeps, one of its addresses or its name.
fn is_contested(world: &World, schedule: &Schedule, server: &super::server::Server, entry: &Person) -> bool {
    let keys = |person: &Person| -> BTreeSet<String> {
        std::iter::once(&person.address)
            .chain(&person.aliases)
            .map(model::Address::key)
            .collect()
    };
    if world.shape == Shape::Ring && !server.made_by_us.is_empty() {
        // An entry that one connector made, or made again, is a namesake to the other, which asks a person.
        return true;
    }
    let mut mine = keys(entry);
    if schedule.terms.resolution == "no-change" {
        // It goes back to the addresses that were common last, and somebody may have taken them since.
        for site in &world.sites {
            let link = world.stores[site.node].association_by_uuid(site.name, entry.uuid);
            let base = link
                .expect("reads")
                .map(|link| decode(&link.data.base))
                .unwrap_or_default();
            let both = [Field::Address, Field::Aliases]
                .map(|field| base.get(field).to_addresses().collect::<Vec<_>>());
            mine.extend(both.iter().flatten().map(model::Address::key));
        }
    }
    let others = server
        .live
        .entries
        .values()
        .filter(|other| other.uuid != entry.uuid);
    if others.clone().any(|other| !keys(other).is_disjoint(&mine)) {
        return true;
    }
    (0..world.stores.len()).any(|node| {
        let own = |account: LocalId| {
            let links = world.stores[node].associations_of(account).expect("reads");
            links.iter().any(|link| link.remote == entry.uuid)
        };
        let accounts = world.accounts(node);
        let mut theirs = accounts
            .iter()
            .filter(|account| !own(LocalId::Account(account.id)));
        let groups = world.groups(node);
        let mut of_groups = groups.iter().filter(|group| !own(LocalId::Group(group.id)));
        theirs.any(|account| account.addresses().any(|address| mine.contains(&address.key())))
            || of_groups.any(|group| group.addresses().any(|address| mine.contains(&address.key())))
            || groups.iter().any(|group| {
                let theirs = |address: &model::Address| {
                    let mut others = others.clone();
                    others.any(|other| keys(other).contains(&address.key()))
                };
                own(LocalId::Group(group.id)) && group.addresses().any(theirs)
            })
            || accounts.iter().any(|account| {
                own(LocalId::Account(account.id))
                    && account.addresses().any(|address| {
                        let key = address.key();
                        server
                            .live
                            .entries
                            .values()
                            .any(|other| other.uuid != entry.uuid && keys(other).contains(&key))
                    })
            })
    })
}

// 12.
fn renamed(world: &World) -> Result<(), Violation> {
    let server = world.server.lock();
    let aside: Vec<BTreeSet<String>> = world.stores.iter().map(|store| aside(store, "people")).collect();
    let usable = |uuid: &EntryUuid| {
        let entry = server.live.entries.get(uuid)?;
        let waits = aside.iter().any(|aside| aside.contains(&uuid.to_string()));
        // Deleted here and edited there, under `no-change`: a person decides.
        let waits = waits || world.deleted_here.contains(uuid);
        (entry.in_scope && !entry.broken && !waits).then_some(entry)
    };
    // What was a server's under its former name is told the new one, and stays in use there.
    for (uuid, node) in &world.homes.ours {
        let (Some(entry), now) = (usable(uuid), world.homes.of(*node)) else {
            continue;
        };
        Invariant::Moves.holds(entry.host.as_deref() == Some(now), || {
            format!(
                "{} was here before the server was called {now}: {entry:?}",
                entry.dn
            )
        })?;
    }
    // A former name that somebody wrote is another server's, and nobody here writes over it.
    for (uuid, host) in &world.homes.said {
        let Some(entry) = usable(uuid) else { continue };
        Invariant::Moves.holds(entry.host.as_ref() == Some(host), || {
            format!("{} is {host}'s, and was taken: {entry:?}", entry.dn)
        })?;
    }
    Ok(())
}

// 12.
fn moves(world: &World) -> Result<(), Violation> {
    if !world.clustered() {
        return Ok(());
    }
    let server = world.server.lock();
    for entry in server
        .live
        .entries
        .values()
        .filter(|entry| entry.kind == EntryKind::Account && !entry.broken)
    {
        let mut live = 0;
        for (node, store) in world.stores.iter().enumerate() {
            let Some(link) = store.association_by_uuid("people", entry.uuid).expect("reads") else {
                continue;
            };
            let LocalId::Account(id) = link.local else {
                continue;
            };
            let Some(account) = store.account(id).expect("reads") else {
                continue;
            };
            live += usize::from(account.can_log_in());
            let kept = !matches!(account.state, AccountState::SoftDeleted { .. })
                || server.ever_absent.contains(&entry.uuid)
                || world.removed_by_hand.contains(&(node, id));
            Invariant::Moves.holds(kept, || {
                format!("{} moved, and its mail would be purged", entry.dn)
            })?;
        }
        Invariant::Moves.holds(live <= 1, || format!("{} has {live} live mailboxes", entry.dn))?;
    }
    Ok(())
}

// 2.
fn lost_updates(world: &World) -> Result<(), Violation> {
    let mut visible: BTreeSet<String> = BTreeSet::new();
    let mut journaled = String::new();
    let mut kept: BTreeSet<Bytes> = BTreeSet::new();
    let server = world.server.lock();
    visible.extend(server.live.entries.values().flat_map(values_of));
    for node in 0..world.stores.len() {
        // What is kept for another home, nobody sees.
        let mut used = world.accounts(node);
        used.retain(|account| !matches!(account.state, AccountState::MovedAway { .. }));
        visible.extend(used.iter().flat_map(|account| account_values(account)));
        for group in world.groups(node) {
            visible.extend(group.display_name.clone());
            visible.extend(group.addresses().map(ToString::to_string));
        }
    }
    for site in &world.sites {
        for row in world.stores[site.node]
            .list_conflicts(site.name, None, 256)
            .expect("reads")
        {
            kept.extend(
                row.base
                    .iter()
                    .chain(&row.local_values)
                    .chain(&row.remote_values)
                    .cloned(),
            );
            for value in row.local_values.iter().chain(&row.remote_values) {
                journaled.push_str(&String::from_utf8_lossy(value));
                journaled.push('\n');
            }
        }
    }
    let journaled: BTreeSet<&str> = journaled.lines().collect();
    let alone = world.stores.len() == 1 && !world.edited_there;
    Invariant::NoLostUpdate.holds(!alone || journaled.is_empty(), || {
        format!("nobody edited the directory, and yet these were discarded: {journaled:?}")
    })?;
    for value in world.ledger.made.iter().chain(&server.ledger.made) {
        let known = visible.contains(value)
            || world.ledger.replaced.contains(value)
            || server.ledger.replaced.contains(value)
            || journaled.contains(value.as_str());
        Invariant::NoLostUpdate.holds(known, || format!("{value:?} is nowhere"))?;
    }
    // To take something away is an update too.
    for node in 0..world.stores.len() {
        // The other connector of a ring may see the two for the first time only after that.
        let mut used = world.accounts(node);
        used.retain(|account| account.state == AccountState::Active && world.shape != Shape::Ring);
        for alias in used.iter().flat_map(|account| &account.aliases) {
            let alias = alias.to_string();
            // Of two servers that have somebody in one directory, one makes a new entry of what it knew when the old one was
            // deleted: what the other one took away since had not arrived there.
            let made_anew = world.shape == Shape::Twins && server.ledger.ended.contains(&alias);
            let back = world.dropped.contains(&alias) && !kept.contains(alias.as_bytes()) && !made_anew;
            Invariant::NoLostUpdate.holds(!back, || format!("{alias:?} was taken away, and is back"))?;
        }
    }
    Ok(())
}

/// Both sides, without what differs from run to run.
pub(super) fn picture(world: &World) -> Vec<String> {
    let server = world.server.lock();
    let mut lines: Vec<String> = server
        .live
        .entries
        .values()
        .map(|entry| {
            let (name, enabled, host) = (&entry.name, entry.enabled, &entry.host);
            let mut aliases: Vec<String> = entry.aliases.iter().map(model::Address::key).collect();
            aliases.sort();
            let mut members = entry.members.clone();
            members.sort();
            format!(
                "there {} {name:?} {aliases:?} {enabled:?} {host:?} {members:?}",
                entry.address
            )
        })
        .collect();
    for node in 0..world.stores.len() {
        for account in world.accounts(node) {
            let mut aliases: Vec<String> = account.aliases.iter().map(model::Address::key).collect();
            aliases.sort();
            let (name, enabled) = (&account.display_name, account.enabled);
            let off = account.can_log_in();
            lines.push(format!(
                "here {node} {} {name:?} {aliases:?} {enabled} {off}",
                account.address
            ));
        }
    }
    lines.sort();
    lines
}
