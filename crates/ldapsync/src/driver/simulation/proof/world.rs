//! The servers, directories and connectors of a schedule, and the editors on both sides.

use super::super::fake::Person;
use super::super::{address, admin};
use super::clock::{Crash, Ticking};
use super::engines::{Engines, NAMES};
use super::homes::Homes;
use super::server::{AWAY, BRANCH, Ledger, NOBODY, Server, Shared, values_of};
use super::steps::{Here, Schedule, Shape, There};
use crate::driver::unlink_rows;
use directory::{ConnectorConfig, EntryKind};
use model::{AccountId, Clock, Domain, EntryUuid, ManualClock, Secret, Timestamp};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{
    Account, AccountChange, AccountState, Group, GroupChange, LinkState, LocalId, Member, NewAccount,
    NewGroup, Store,
};

/// What a password looks like here, so that it is found wherever it does not belong.
pub(super) const SECRET: &str = "SECRET";

/// One connector of one server.
pub(super) struct Site {
    pub(super) node: usize,
    pub(super) name: &'static str,
}

/// A set of values that went over to the other side, and when.
pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) server: Shared,
    pub(super) stores: Vec<Store>,
    pub(super) sites: Vec<Site>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) crash: Arc<Crash>,
    pub(super) ledger: Ledger,
    /// Which entry an object belongs to, by connector.
    pub(super) owners: BTreeMap<(usize, LocalId), EntryUuid>,
    /// The entries of objects that a person deleted here.
    pub(super) deleted_here: BTreeSet<EntryUuid>,
    pub(super) removed_by_hand: BTreeSet<(usize, AccountId)>,
    /// When a connector removed something, on either side.
    pub(super) removals: Vec<(Timestamp, usize)>,
    /// The boxes that nobody ever associated: account version by node, and the entry's CSN.
    pub(super) postmasters: Vec<u64>,
    pub(super) printer: (EntryUuid, u64),
    /// Events were lost, or nobody is told of what changed: only a comparison of everything finds it.
    pub(super) silent: bool,
    /// Whether anybody but us wrote to the directory.
    pub(super) edited_there: bool,
    /// Somebody let through what the guard held.
    pub(super) approved: bool,
    pub(super) homes: Homes,
    /// Aliases that somebody here took away.
    pub(super) dropped: BTreeSet<String>,
}

pub(super) fn config(schedule: &Schedule, name: &str) -> ConnectorConfig {
    let direction = match schedule.shape {
        Shape::ToLocal => "ldap-to-local",
        Shape::ToLdap => "local-to-ldap",
        _ => "both-ways",
    };
    let terms = schedule.terms;
    serde_json::from_value(serde_json::json!({
        "name": name,
        "uris": ["ldap://127.0.0.1:1"],
        "server_type": "openldap",
        "accounts": { "base_dn": ["ou=people,dc=test"] },
        "groups": { "base_dn": ["ou=groups,dc=test"] },
        "domains": ["example.test"],
        "direction": direction,
        "conflict_resolution": terms.resolution,
        "conflict_scope": terms.scope,
        "absent": terms.absent,
        "clustered": schedule.shape == Shape::Clustered,
        "guard": { "limit": terms.guard, "floor": terms.guard, "percent": 5 },
    }))
    .expect("a connector")
}

impl World {
    pub(super) async fn new(schedule: &Schedule) -> (Self, Engines) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
        let crash = Arc::new(Crash::default());
        crash.arm(None);
        let ticking: Arc<dyn Clock> = Arc::new(Ticking {
            clock: Arc::clone(&clock),
            crash: Arc::clone(&crash),
        });
        let server: Shared = Arc::new(Mutex::new(Server::new(schedule.seed)));
        let printer = printer(&server);
        if !matches!(schedule.shape, Shape::Clustered | Shape::ToLdap) {
            anchor(&server);
        }
        let (mut stores, mut postmasters) = (Vec::new(), Vec::new());
        for _ in 0..schedule.shape.nodes() {
            let store = Store::simulated(Arc::clone(&ticking)).expect("a store");
            for domain in ["example.test", "other.test"] {
                let domain = Domain::parse(domain).expect("a domain");
                store.create_domain(&domain, &admin()).await.expect("created");
            }
            let service = NewAccount::new(postmaster(schedule.shape));
            let id = store.create_account(service, &admin()).await.expect("created");
            if matches!(schedule.shape, Shape::Clustered | Shape::ToLdap) {
                let new = NewAccount::new(address(&format!("anchor{}@example.test", stores.len())));
                store.create_account(new, &admin()).await.expect("created");
            }
            postmasters.push(store.account(id).expect("reads").expect("there").version);
            stores.push(store);
        }
        let (mut sites, mut connected) = (Vec::new(), Vec::new());
        for site in 0..usize::from(schedule.shape.sites()) {
            let node = site % stores.len();
            let name = if schedule.shape == Shape::Ring && site == 1 {
                "staff"
            } else {
                "people"
            };
            connected.push((node, name, stores[node].clone()));
            sites.push(Site { node, name });
        }
        let parts = (Arc::clone(&server), Arc::clone(&crash), ticking);
        let engines = Engines::new(schedule, parts, connected);
        let world = Self {
            shape: schedule.shape,
            homes: Homes::default(),
            server,
            stores,
            sites,
            clock,
            crash,
            ledger: Ledger::default(),
            owners: BTreeMap::new(),
            deleted_here: BTreeSet::new(),
            removed_by_hand: BTreeSet::new(),
            removals: Vec::new(),
            postmasters,
            printer,
            silent: false,
            approved: false,
            edited_there: false,
            dropped: BTreeSet::new(),
        };
        (world, engines)
    }

    pub(super) const fn clustered(&self) -> bool {
        matches!(self.shape, Shape::Clustered)
    }

    pub(super) fn accounts(&self, node: usize) -> Vec<Arc<Account>> {
        let all = self.stores[node].list_accounts(None, 256).expect("reads");
        all.into_iter()
            .filter(|account| account.address.local_part() != "postmaster")
            .collect()
    }

    pub(super) fn groups(&self, node: usize) -> Vec<Arc<Group>> {
        self.stores[node].list_groups(None, 256).expect("reads")
    }

    /// A foreign editor in the directory.
    pub(super) fn edit_there(&mut self, number: u16, who: u8, edit: There) {
        self.edited_there = true;
        let mut server = self.server.lock();
        if matches!(edit, There::New | There::NewGroup) {
            let kind = if edit == There::New {
                EntryKind::Account
            } else {
                EntryKind::Group
            };
            let members = nth(&server, EntryKind::Account, who).map(|person| vec![person.dn]);
            let mut person = newcomer(&mut server, number, kind);
            if kind == EntryKind::Group {
                person.members = members.unwrap_or_else(|| vec![NOBODY.to_owned()]);
            } else if self.shape == Shape::Clustered {
                let node = usize::from(who) % 2;
                // Now and then somebody writes a name that the server no longer has.
                let host = if number.is_multiple_of(5) {
                    NAMES[node][0]
                } else {
                    self.homes.of(node)
                };
                self.homes.say(&self.stores, person.uuid, Some(host));
                person.host = Some(host.to_owned());
            }
            if self.shape != Shape::ToLdap {
                server.ledger.made.extend(values_of(&person));
            }
            return server.put(person);
        }
        if edit == There::Restore {
            let Some(person) = server.buried.pop() else { return };
            // The groups that lost them as members meanwhile are not told of.
            self.silent = true;
            let mut others = server.live.entries.values();
            if !others.any(|other| other.dn == person.dn) {
                server.put(person);
            }
            return;
        }
        if edit == There::Branch {
            let (from, to) = if number.is_multiple_of(2) {
                ("ou=people,dc=test", "ou=staff,ou=people,dc=test")
            } else {
                ("ou=staff,ou=people,dc=test", "ou=people,dc=test")
            };
            if !from.starts_with("ou=people")
                || !server.live.entries.values().any(|p| p.dn.contains("ou=staff"))
            {
                server.rename_branch(from, to);
                self.silent = true;
            }
            return;
        }
        if matches!(edit, There::BranchAway | There::BranchBack) {
            let (from, to) = match edit {
                There::BranchAway => (BRANCH, AWAY),
                _ => (AWAY, BRANCH),
            };
            server.move_branch(from, to, |person| {
                !stands(person.address.local_part()) && person.uuid.as_bytes()[15] % 3 != who % 3
            });
            self.silent = true;
            return;
        }
        let kind = if edit == There::Members || who.is_multiple_of(5) {
            EntryKind::Group
        } else {
            EntryKind::Account
        };
        let Some(mut person) = nth(&server, kind, who) else {
            return;
        };
        let before = values_of(&person);
        match edit {
            There::Name => person.name = format!("There {number}"),
            There::Address => person.address = address(&format!("there{number}@example.test")),
            There::Alias => {
                if number.is_multiple_of(2) {
                    person.aliases.clear();
                }
                person
                    .aliases
                    .push(address(&format!("therealias{number}@example.test")));
            }
            There::Dropped => {
                let Some(alias) = self.dropped.pop_last() else {
                    return;
                };
                person.aliases.push(address(&alias));
            }
            There::Switch if kind == EntryKind::Account => {
                person.enabled = Some(person.enabled == Some(false))
            }
            There::Scope => person.in_scope = !person.in_scope,
            There::Poison => person.broken = !person.broken,
            There::Delete | There::Again => {
                server.ledger.ended.extend(before.iter().cloned());
                server.ledger.replace(before);
                server.ever_absent.insert(person.uuid);
                server.delete(person.uuid);
                if edit == There::Delete {
                    server.buried.push(person);
                    return;
                }
                person.uuid = server.new_uuid();
                person.name = format!("Again {number}");
                person.aliases.clear();
                person.broken = false;
                person.in_scope = true;
                server
                    .ledger
                    .made
                    .extend((self.shape != Shape::ToLdap).then(|| person.name.clone()));
                return server.put(person);
            }
            There::Swap => {
                let Some(mut other) = nth(&server, kind, who.wrapping_add(1)) else {
                    return;
                };
                if other.uuid != person.uuid {
                    std::mem::swap(&mut person.address, &mut other.address);
                    server.put(other);
                }
            }
            There::Move => {
                let dn = format!("uid=moved{number},ou=people,dc=test");
                if kind == EntryKind::Account {
                    person.dn = dn;
                }
            }
            There::Host if kind == EntryKind::Account => {
                let now = self.homes.of(0);
                let homes = [Some("a.test"), Some("b.test"), Some("c.test"), None, Some(now)];
                let most = if now == "a.test" { 4 } else { 5 };
                let host = homes[usize::from(number) % most].map(str::to_owned);
                if host != person.host {
                    self.homes.say(&self.stores, person.uuid, host.as_deref());
                }
                person.host = host;
                if person.host.is_none() {
                    server.ever_absent.insert(person.uuid);
                }
            }
            There::Members => {
                let member = nth(
                    &server,
                    EntryKind::Account,
                    who.wrapping_add(number.to_le_bytes()[0]),
                );
                person.members = vec![member.map_or_else(|| NOBODY.to_owned(), |member| member.dn)];
            }
            _ => return,
        }
        let after = values_of(&person);
        server
            .ledger
            .replace(before.iter().filter(|value| !after.contains(value)).cloned());
        if self.shape != Shape::ToLdap {
            let new = after.into_iter().filter(|value| !before.contains(value));
            server.ledger.made.extend(new);
        }
        server.put(person);
    }

    /// An administrator here.
    pub(super) async fn edit_here(&mut self, number: u16, who: u8, edit: Here) {
        let node = usize::from(who) % self.stores.len();
        let store = self.stores[node].clone();
        // Drift of a one-way direction is repaired when everything is compared.
        self.silent |= self.shape == Shape::ToLocal;
        // So are the members that the directory takes out of groups by itself.
        self.silent |= matches!(edit, Here::Delete | Here::Erase | Here::Members);
        match edit {
            Here::New => {
                let mut new = NewAccount::new(address(&format!("here{number}@example.test")));
                new.display_name = Some(format!("Here {number}"));
                new.password_hash = Some(Secret::new(format!("{{SSHA}}{SECRET}{number}")));
                self.note([format!("Here {number}"), new.address.to_string()]);
                store.create_account(new, &admin()).await.expect("created");
            }
            Here::NewGroup | Here::Members => self.edit_group(node, number, who, edit).await,
            Here::Undelete => self.undelete(node, who).await,
            _ => {
                let living = |account: &Arc<Account>| {
                    account.state == AccountState::Active && !stands(account.address.local_part())
                };
                let accounts: Vec<_> = self.accounts(node).into_iter().filter(living).collect();
                if !accounts.is_empty() {
                    let at = usize::from(who) % accounts.len();
                    let other = accounts[(at + 1) % accounts.len()].clone();
                    self.edit_account(node, number, edit, (accounts[at].clone(), other))
                        .await;
                }
            }
        }
    }

    fn note(&mut self, values: impl IntoIterator<Item = String>) {
        if self.shape != Shape::ToLocal {
            self.ledger.made.extend(values);
        }
    }

    async fn edit_group(&mut self, node: usize, number: u16, who: u8, edit: Here) {
        let store = self.stores[node].clone();
        let accounts = self.accounts(node);
        let member = |at: u8| {
            let account = accounts.get(usize::from(at) % accounts.len().max(1))?;
            Some(Member::Local(account.address.clone()))
        };
        if edit == Here::NewGroup {
            let mut new = NewGroup::new(address(&format!("team{number}@example.test")));
            new.display_name = Some(format!("Team {number}"));
            new.members = member(who).into_iter().collect();
            self.note([format!("Team {number}"), new.address.to_string()]);
            store.create_group(new, &admin()).await.expect("created");
            return;
        }
        let groups = self.groups(node);
        let Some(group) = groups.get(usize::from(who) % groups.len().max(1)) else {
            return;
        };
        let mut members = group.members.clone();
        if number.is_multiple_of(2) {
            members.pop();
        }
        members.extend(member(number.to_le_bytes()[0]));
        let change = GroupChange {
            members: Some(members),
            ..GroupChange::default()
        };
        // Somebody who is a member already, by another name: the store says so, and that is all.
        let _ = store.update_group(group.id, None, change, &admin()).await;
    }

    async fn edit_account(
        &mut self,
        node: usize,
        number: u16,
        edit: Here,
        (account, other): (Arc<Account>, Arc<Account>),
    ) {
        let store = self.stores[node].clone();
        let mut change = AccountChange::default();
        let before: Vec<String> = account_values(&account);
        match edit {
            Here::Name => change.display_name = Some(Some(format!("Here {number}"))),
            Here::Address => change.address = Some(address(&format!("here{number}@example.test"))),
            Here::Alias => {
                let mut aliases = account.aliases.clone();
                if number.is_multiple_of(2) {
                    self.dropped.extend(aliases.iter().map(ToString::to_string));
                    aliases.clear();
                }
                aliases.push(address(&format!("herealias{number}@example.test")));
                change.aliases = Some(aliases);
            }
            Here::Switch => change.enabled = Some(!account.enabled),
            Here::Password => {
                change.password_hash = Some(Some(Secret::new(format!("{{SSHA}}{SECRET}{number}"))));
            }
            Here::Swap if other.id != account.id => return self.swap(node, &account, &other).await,
            Here::Delete | Here::Erase => {
                self.remove(node, &account, edit).await;
                return;
            }
            _ => return,
        }
        let updated = store
            .update_account(account.id, None, change, &admin())
            .await
            .expect("edited");
        let after = account_values(&updated);
        self.ledger
            .replace(before.iter().filter(|value| !after.contains(value)).cloned());
        self.note(after.into_iter().filter(|value| !before.contains(value)));
    }

    async fn remove(&mut self, node: usize, account: &Account, edit: Here) {
        let store = self.stores[node].clone();
        let links = store
            .associations_of(LocalId::Account(account.id))
            .expect("reads");
        self.deleted_here.extend(links.iter().map(|link| link.remote));
        self.removed_by_hand.insert((node, account.id));
        self.ledger.replace(account_values(account));
        if edit == Here::Delete {
            let month = std::time::Duration::from_secs(30 * 86_400);
            store
                .delete_account(account.id, month, &admin())
                .await
                .expect("deleted");
        } else {
            store.erase_account(account.id, &admin()).await.expect("erased");
        }
    }

    /// As the command does it.
    async fn undelete(&mut self, node: usize, who: u8) {
        let store = self.stores[node].clone();
        let gone = |account: &Arc<Account>| matches!(account.state, AccountState::SoftDeleted { .. });
        let deleted: Vec<_> = self.accounts(node).into_iter().filter(gone).collect();
        let Some(account) = deleted.get(usize::from(who) % deleted.len().max(1)) else {
            return;
        };
        let mut change = AccountChange {
            enabled: Some(true),
            state: Some(AccountState::Active),
            ..AccountChange::default()
        };
        let links = store.associations_of(LocalId::Account(account.id));
        for link in links.expect("reads") {
            if let LinkState::Gone { .. } | LinkState::OutOfScope { .. } = &link.data.state {
                change.sync.extend(unlink_rows(link));
            }
        }
        // A successor may have the address: then the store refuses, and that is all.
        let _ = store.update_account(account.id, None, change, &admin()).await;
    }

    async fn swap(&mut self, node: usize, one: &Account, two: &Account) {
        let between = address(&format!("between{}@example.test", one.id));
        let steps = [
            (one.id, between),
            (two.id, one.address.clone()),
            (one.id, two.address.clone()),
        ];
        for (id, new) in steps {
            let change = AccountChange {
                address: Some(new),
                ..AccountChange::default()
            };
            let done = self.stores[node].update_account(id, None, change, &admin()).await;
            done.expect("swapped");
        }
    }
}

pub(super) fn account_values(account: &Account) -> Vec<String> {
    let mut values: Vec<String> = account.display_name.iter().cloned().collect();
    values.extend(account.addresses().map(ToString::to_string));
    values
}

/// A direction that makes entries makes one for everybody in its domains.
pub(super) fn postmaster(shape: Shape) -> model::Address {
    address(match shape {
        Shape::ToLocal => "postmaster@example.test",
        _ => "postmaster@other.test",
    })
}

/// The entry out of scope that nobody may touch.
fn printer(server: &Shared) -> (EntryUuid, u64) {
    let mut server = server.lock();
    let mut person = newcomer(&mut server, 0, EntryKind::Account);
    person.dn = "uid=printer,ou=machines,dc=test".to_owned();
    person.address = address("printer@example.test");
    person.in_scope = false;
    let uuid = person.uuid;
    server.put(person);
    (uuid, server.live.csn)
}

/// Somebody whom nobody edits: a directory that shows nobody at all is taken for a fault.
fn anchor(server: &Shared) {
    let mut server = server.lock();
    let mut person = newcomer(&mut server, 0, EntryKind::Account);
    person.dn = "uid=anchor,ou=people,dc=test".to_owned();
    person.address = address("anchor0@example.test");
    server.put(person);
}

/// Whether nobody edits it.
pub(super) fn stands(local_part: &str) -> bool {
    local_part.starts_with("anchor") || local_part == "printer"
}

fn newcomer(server: &mut Server, number: u16, kind: EntryKind) -> Person {
    let (dn, name) = match kind {
        EntryKind::Account => (format!("uid=p{number},ou=people,dc=test"), format!("p{number}")),
        EntryKind::Group => (format!("cn=g{number},ou=groups,dc=test"), format!("g{number}")),
    };
    Person {
        uuid: server.new_uuid(),
        dn,
        kind,
        address: address(&format!("{name}@example.test")),
        aliases: Vec::new(),
        host: None,
        name: format!("Person {number}"),
        enabled: None,
        members: Vec::new(),
        in_scope: true,
        broken: false,
        csn: 0,
    }
}

fn nth(server: &Server, kind: EntryKind, who: u8) -> Option<Person> {
    let all = server.live.entries.values();
    let some: Vec<&Person> = all
        .filter(|person| person.kind == kind && !stands(person.address.local_part()))
        .collect();
    let at = usize::from(who).checked_rem(some.len())?;
    some.get(at).map(|person| (*person).clone())
}
