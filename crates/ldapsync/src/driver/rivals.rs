//! Other entries that have an address which an object would bring to the directory.

use super::SyncEngine;
use super::journal::holders_there;
use super::worker::store_trouble;
use crate::engine::Trouble;
use crate::field::{Field, Image, Values};
use crate::local::store_id;
use crate::plan::{Claim, Decision, Found, RemoteOp, Rival, Situation, plan};
use model::Address;
use std::collections::BTreeMap;

/// Looks for them, where the plan brings an address at all.
pub(super) async fn find(parts: &SyncEngine, situation: &mut Situation) -> Result<(), Trouble> {
    let Decision::Act(first) = plan(situation, &parts.policy) else {
        return Ok(());
    };
    let mut brought: BTreeMap<String, Address> = BTreeMap::new();
    let mut bring = |values: &Values, was: &Values| {
        let new = values.to_addresses().filter(|address| !was.has(&address.key()));
        brought.extend(new.map(|address| (address.key(), address)));
    };
    for op in &first.remote {
        match op {
            RemoteOp::Set {
                field: Field::Address | Field::Aliases,
                was,
                values,
                ..
            } => bring(values, was),
            RemoteOp::Create { image, .. } => {
                bring(image.get(Field::Address), &Values::NONE);
                bring(image.get(Field::Aliases), &Values::NONE);
            }
            _ => {}
        }
    }
    for (key, address) in brought {
        let claims = match holders_there(parts, &address).await? {
            Ok(holders) => {
                let others = holders.iter().filter(|found| found.uuid != situation.uuid);
                let claims: Result<Vec<Claim>, Trouble> =
                    others.map(|found| claim(parts, found, &key)).collect();
                claims?
            }
            Err(why) => vec![Claim::Untold { why }],
        };
        situation.rivals.extend(claims.into_iter().map(|claim| Rival {
            address: key.clone(),
            claim,
        }));
    }
    Ok(())
}

/// Whether another entry keeps the address: not when its object here has given it up.
fn claim(parts: &SyncEngine, found: &Found, key: &str) -> Result<Claim, Trouble> {
    let stays = || Claim::Stays { dn: found.dn.clone() };
    let Some(local) = found.linked_to else {
        return Ok(stays());
    };
    let object = parts.local.object(store_id(local)).map_err(store_trouble)?;
    let none = Image::default();
    let image = object.as_ref().map_or(&none, |(object, _)| &object.image);
    let keeps = image.get(Field::Address).has(key) || image.get(Field::Aliases).has(key);
    Ok(if keeps { stays() } else { Claim::Leaves })
}
