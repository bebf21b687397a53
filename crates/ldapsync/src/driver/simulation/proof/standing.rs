//! Convergence asked from the objects here: whoever is in use has an entry in scope, lists too, or it is said why not.

use super::check::{Invariant, Violation, aside, is_bereaved, is_here};
use super::server::Server;
use super::steps::{Schedule, Shape};
use super::world::{Site, World};
use crate::link::decode;
use crate::local::account_image;
use crate::merge::is_edited;
use crate::plan::{Kind, fields_of};
use directory::EntryKind;
use std::collections::BTreeSet;
use store::{AccountState, Association, LinkState, LocalId, Store};

/// What is in use here: what it is called.
fn in_use(store: &Store, local: LocalId) -> Option<String> {
    match local {
        LocalId::Account(id) => {
            let account = store.account(id).expect("reads")?;
            (account.state == AccountState::Active).then(|| account.address.to_string())
        }
        LocalId::Group(id) => Some(store.group(id).expect("reads")?.address.to_string()),
    }
}

// 1, the other way.
pub(super) fn everybody_has_an_entry(
    world: &World,
    schedule: &Schedule,
    site: &Site,
) -> Result<(), Violation> {
    let store = &world.stores[site.node];
    let aside = aside(store, site.name);
    for link in store.list_associations(site.name, None, 256).expect("reads") {
        let Some(name) = in_use(store, link.local) else {
            continue;
        };
        if is_said(world, site, &aside, &link) || is_kept(world, schedule, store, &link) {
            continue;
        }
        let found = stands(world, site, &world.server.lock(), &link);
        found.map_err(|why| {
            Invariant::Convergence.broken(format!("{name} is in use, and its entry {}: {why}", link.remote))
        })?;
    }
    for group in world.groups(site.node) {
        let local = LocalId::Group(group.id);
        let has = !store.associations_of(local).expect("reads").is_empty();
        let own = crate::local::own_id(local).to_string();
        let known = has || world.shape == Shape::ToLocal || aside.contains(&own);
        Invariant::Convergence.holds(known, || format!("the list {} has no entry", group.address))?;
    }
    Ok(())
}

/// Whether a person is asked about it.
fn is_said(world: &World, site: &Site, aside: &BTreeSet<String>, link: &Association) -> bool {
    let own = crate::local::own_id(link.local).to_string();
    aside.contains(&link.remote.to_string())
        || aside.contains(&own)
        || is_bereaved(&world.stores[site.node], site.name, link.local)
}

/// Under `no-change` what was edited here and deleted there stays as it is on both sides.
fn is_kept(world: &World, schedule: &Schedule, store: &Store, link: &Association) -> bool {
    if schedule.terms.resolution != "no-change" || matches!(world.shape, Shape::ToLocal | Shape::ToLdap) {
        return false;
    }
    let edited = match link.local {
        LocalId::Account(id) => {
            let account = store.account(id).expect("reads").expect("in use");
            let fields = fields_of(Kind::Account);
            is_edited(fields, &decode(&link.data.base), &account_image(&account))
        }
        // Its members are told apart by more than a name.
        LocalId::Group(_) => true,
    };
    let gone = !world.server.lock().live.entries.contains_key(&link.remote);
    gone && edited
}

fn stands(world: &World, site: &Site, server: &Server, link: &Association) -> Result<(), String> {
    let Some(entry) = server.live.entries.get(&link.remote) else {
        return Err(format!("is gone: {:?}", link.data.state));
    };
    // The source is here: where its entry is, is the directory's business.
    if world.shape == Shape::ToLdap {
        return Ok(());
    }
    let linked = match &link.data.state {
        LinkState::Linked => true,
        LinkState::AwaitingMail { .. } => world.clustered(),
        _ => false,
    };
    let account = entry.kind == EntryKind::Account;
    if !entry.in_scope {
        return Err(format!("is out of scope: {:?}", link.data.state));
    }
    if account && !is_here(world, site.node, entry) {
        return Err(format!("is of {:?}: {:?}", entry.host, link.data.state));
    }
    if linked {
        Ok(())
    } else {
        Err(format!("is there: {:?}", link.data.state))
    }
}

// 1, the other way: what is here has an entry.
pub(super) fn newcomers(world: &World, site: &Site) -> Result<(), Violation> {
    if world.shape == Shape::ToLocal {
        return Ok(());
    }
    let store = &world.stores[site.node];
    let aside = store.quarantine_after(site.name, None, 256).expect("reads");
    for account in world.accounts(site.node) {
        let local = LocalId::Account(account.id);
        let link = store.association(site.name, local).expect("reads");
        let row = aside
            .iter()
            .any(|row| row.object == crate::local::own_id(local).to_string());
        let row = row || is_bereaved(store, site.name, local);
        // The other connector of a ring has its entry, which this one cannot use: `convergence` looks for the reason.
        let beside = !store.associations_of(local).expect("reads").is_empty();
        let row = row || beside && world.shape == Shape::Ring;
        let has = link.is_some() || row || account.state != AccountState::Active;
        Invariant::Convergence.holds(has, || format!("{} has no entry", account.address))?;
    }
    Ok(())
}
