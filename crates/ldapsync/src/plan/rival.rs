//! Addresses that an object has here and that another entry has in the directory, or may have.
//!
//! Such an address is not brought there. Everything else of the plan is carried out: whoever is switched off in the
//! directory must not stay in use here because of an alias.

use super::Reason;
use super::outcome::Plan;
use super::remote_op::RemoteOp;
use super::situation::{Claim, Link, Rival, Situation};
use crate::field::{Field, Image, Values};
use crate::merge::{Cause, Images, Merged, Rules, merge, not_common_yet};
use directory::config::ConflictScope;
use std::collections::BTreeSet;

/// The first address of a new entry that is not free.
pub(super) fn taken(situation: &Situation, image: &Image) -> Option<Reason> {
    let wants = |key: &str| {
        [Field::Address, Field::Aliases]
            .iter()
            .any(|field| image.get(*field).has(key))
    };
    let mut rivals = situation.rivals.iter();
    rivals
        .find(|rival| stays(rival) && wants(&rival.address))
        .and_then(reason)
}

/// Takes out of a plan what would bring an address that is not free. The base goes on to say that it is not common, so
/// the next look plans it again, and the row in quarantine says why it waits.
pub(super) fn put_off(situation: &Situation, old: Option<&Link>, plan: &mut Plan) {
    let wanted = |rival: &&Rival| plan.remote.iter().any(|op| brings(op, &rival.address));
    let rivals: Vec<&Rival> = situation
        .rivals
        .iter()
        .filter(|rival| stays(rival))
        .filter(wanted)
        .collect();
    plan.aside = rivals.first().and_then(|rival| reason(rival));
    let mut kept: BTreeSet<String> = rivals.iter().map(|rival| rival.address.clone()).collect();
    if kept.is_empty() {
        return;
    }
    let address = plan.remote.iter().find_map(|op| match op {
        RemoteOp::Set {
            field: Field::Address,
            was,
            ..
        } if kept.iter().any(|key| brings(op, key)) => Some(was.clone()),
        _ => None,
    });
    if let Some(was) = address {
        // The entry keeps the address that it has, so that does not become an alias of it.
        kept.extend(was.iter().map(|(key, _)| key.to_owned()));
        leave_out(plan, Field::Address, &was, old);
    }
    for op in &mut plan.remote {
        let RemoteOp::Set {
            field: Field::Aliases,
            was,
            values,
            ..
        } = op
        else {
            continue;
        };
        let of = |values: &Values, other: &Values| {
            Values::from_pairs(values.missing_in(other).filter(|(key, _)| kept.contains(*key)))
        };
        let (comes, goes) = (of(values, was), of(was, values));
        *values = Values::from_pairs(values.missing_in(&comes).chain(goes.iter()));
        if let Some(base) = &mut plan.base {
            let aliases = base.get(Field::Aliases);
            let aliases = Values::from_pairs(aliases.missing_in(&comes).chain(goes.iter()));
            base.set(Field::Aliases, aliases);
        }
    }
    let says_nothing = |op: &RemoteOp| matches!(op, RemoteOp::Set { field: Field::Aliases, was, values, .. } if was.equals(values));
    if plan.remote.iter().any(says_nothing) {
        plan.discarded.retain(|lost| lost.field != Field::Aliases);
        plan.remote.retain(|op| !says_nothing(op));
    }
}

/// Leaves one field as it is there.
fn leave_out(plan: &mut Plan, field: Field, there: &Values, old: Option<&Link>) {
    plan.remote
        .retain(|op| !matches!(op, RemoteOp::Set { field: of, .. } if *of == field));
    plan.discarded.retain(|lost| lost.field != field);
    if let Some(base) = &mut plan.base {
        not_common_yet(base, old.map(|old| &old.base), field, there);
    }
}

/// What brings an address that is not free and has no half: back to both sides, because neither may have its own, or with a
/// whole object that won a conflict, which `scope` says where there was a common state. Without the address it would have won
/// nothing, and must not undo what was done there.
pub(super) fn has_no_half(
    situation: &Situation,
    merged: &Merged,
    scope: Option<ConflictScope>,
) -> Option<Reason> {
    let won = scope == Some(ConflictScope::Entry) && !merged.discarded.is_empty();
    let wins = |rival: &&Rival| {
        merged.remote.iter().any(|write| {
            let is_address = matches!(write.field, Field::Address | Field::Aliases);
            let comes = write.values.has(&rival.address) && !write.was.has(&rival.address);
            is_address && comes && (won || write.cause == Cause::Reverted)
        })
    };
    let mut rivals = situation.rivals.iter().filter(|rival| stays(rival));
    rivals.find(wins).and_then(reason)
}

/// The addresses of such an object stay what they are on both sides, and so does what was common of them, until the address is
/// free: then they are a conflict as they were. Everything else is merged as if nobody had touched them, for an edit that
/// cannot be carried out decides nothing.
pub(super) fn merge_but_for_addresses(fields: &[Field], images: Images<'_>, rules: &Rules) -> Merged {
    let of_addresses = |field: &Field| matches!(field, Field::Address | Field::Aliases);
    let (addresses, others): (Vec<Field>, Vec<Field>) = fields.iter().partition(|field| of_addresses(field));
    let mut merged = merge(&others, images, rules);
    for field in addresses {
        let known = images.base.map(|base| base.get(field).clone());
        merged.base.set(field, known.unwrap_or_default());
        if let Some(refused) = images.marks.refused.get(&field) {
            merged.marks.refused.insert(field, *refused);
        }
        if let Some(apart) = images.marks.apart.get(&field) {
            merged.marks.apart.insert(field, *apart);
        }
    }
    merged
}

fn brings(op: &RemoteOp, key: &str) -> bool {
    matches!(op, RemoteOp::Set { field: Field::Address | Field::Aliases, was, values, .. }
        if values.has(key) && !was.has(key))
}

fn stays(rival: &Rival) -> bool {
    rival.claim != Claim::Leaves
}

fn reason(rival: &Rival) -> Option<Reason> {
    let address = rival.address.clone();
    match &rival.claim {
        Claim::Stays { dn } => Some(Reason::TakenInDirectory {
            address,
            dn: dn.clone(),
        }),
        Claim::Untold { why } => Some(why.clone()),
        Claim::Leaves => None,
    }
}
