//! The entry is here: in scope, and of this home.

use super::absent::{idle, lost};
use super::join::join;
use super::op::{Kind, LocalState, Op};
use super::outcome::{Decision, Plan, Wait};
use super::parking::{as_if_not_parked, is_parked, unpark};
use super::password::{Hash, PasswordMove, Passwords, after, credentials, decide};
use super::remote_op::RemoteOp;
use super::rival::{has_no_half, merge_but_for_addresses, put_off};
use super::situation::{
    Arrivals, Link, LocalObject, Members, Policy, RemoteObject, Removal, Situation, Standing,
};
use super::{Switch, fields_of, kind_of, subject_of};
use crate::field::{Field, Image, Values};
use crate::mapping::canonical_host;
use crate::merge::{Acquaintance, Images, Marks, Rules, Side, is_edited, merge};
use directory::config::{Absent, ConflictResolution, Direction};

pub(super) fn present(situation: &Situation, remote: &RemoteObject, policy: &Policy) -> Decision {
    match (&situation.link, &situation.local) {
        (Some(link), local) if policy.direction != Direction::LdapToLocal => {
            let deleted = local
                .as_ref()
                .is_none_or(|local| local.state == LocalState::Deleted);
            if deleted {
                removed_here(situation, remote, link, policy)
            } else {
                together(situation, remote, policy)
            }
        }
        (Some(_), Some(_)) => together(situation, remote, policy),
        // Linked, but the object was erased here: it is made anew, empty.
        (Some(_), None) => anew(situation, remote, policy),
        (None, _) => match join(situation, remote) {
            Err(reason) => Decision::SetAside(reason),
            Ok(Some(found)) => unite(situation, remote, Some(found), policy),
            Ok(None) if policy.direction == Direction::LocalToLdap => {
                let mut plan = Plan::nothing(situation.uuid, subject_of(&remote.image, situation.uuid), None);
                plan.waits.push(Wait::NoCounterpart);
                Decision::Act(plan)
            }
            Ok(None) => create(situation, remote, policy),
        },
    }
}

/// The object was deleted here, and the entry is there.
fn removed_here(situation: &Situation, remote: &RemoteObject, link: &Link, policy: &Policy) -> Decision {
    let was_gone = matches!(link.standing, Standing::Gone | Standing::OutOfScope);
    if policy.direction == Direction::BothWays && was_gone {
        // Gone from both sides, and the entry is back.
        return back(situation, remote, policy);
    }
    if link.standing == Standing::MovedAway && situation.local.is_some() {
        // Its mail was to go because another home had it, which is not so any more.
        return back(situation, remote, policy);
    }
    if situation.removal == Removal::BySync {
        // The entry was gone, is back, and another connector has made its object anew.
        if let (None, Some(found)) = (&situation.local, &situation.beside) {
            return unite(situation, remote, Some(found), policy);
        }
        let mut plan = idle(situation);
        plan.waits.push(Wait::RemovedBySync);
        return Decision::Act(plan);
    }
    let fields = fields_of(remote.kind);
    let none = Image::default();
    let local = situation.local.as_ref().map_or(&none, |local| &local.image);
    let edited = is_edited(fields, &link.base, &remote.image);
    if edited && policy.direction == Direction::BothWays {
        match policy.resolution {
            ConflictResolution::LocalWins => {}
            ConflictResolution::LdapWins => return back(situation, remote, policy),
            ConflictResolution::NoChange => {
                // Whoever has made it anew here, a person or another connector, has decided.
                if let (None, Ok(Some(found))) = (&situation.local, join(situation, remote)) {
                    return unite(situation, remote, Some(found), policy);
                }
                let mut plan = idle(situation);
                plan.waits.push(Wait::DeletedHere);
                return Decision::Act(plan);
            }
        }
    }
    let mut plan = idle(situation);
    plan.subject = subject_of(&remote.image, situation.uuid);
    plan.discarded = lost(fields, (&link.base, local, &remote.image), Side::Remote, policy);
    plan.standing = Standing::Gone;
    plan.remote.push(RemoteOp::Delete);
    Decision::Act(plan)
}

/// The entry brings the object back.
fn back(situation: &Situation, remote: &RemoteObject, policy: &Policy) -> Decision {
    match situation.local {
        Some(_) => together(situation, remote, policy),
        None => anew(situation, remote, policy),
    }
}

/// The object was erased here. Another connector may have made the entry's new one already.
fn anew(situation: &Situation, remote: &RemoteObject, policy: &Policy) -> Decision {
    match join(situation, remote) {
        Err(reason) => Decision::SetAside(reason),
        Ok(Some(found)) => unite(situation, remote, Some(found), policy),
        Ok(None) => create(situation, remote, policy),
    }
}

fn together(situation: &Situation, remote: &RemoteObject, policy: &Policy) -> Decision {
    unite(situation, remote, None, policy)
}

/// Merges a pair: linked, or about to be.
fn unite(
    situation: &Situation,
    remote: &RemoteObject,
    joined: Option<&LocalObject>,
    policy: &Policy,
) -> Decision {
    let Some(local) = joined.or(situation.local.as_ref()) else {
        return create(situation, remote, policy);
    };
    // What is left of an erased object says nothing of another one.
    let link = situation.link.as_ref().filter(|_| joined.is_none());
    let mut plan = Plan::nothing(situation.uuid, subject_of(&remote.image, situation.uuid), link);
    plan.standing = Standing::Linked;
    if joined.is_some() {
        plan.ops.push(Op::Link { local: local.id });
    }
    let mut next = Image::default();
    arrive(local, link, policy, &mut plan, &mut next);
    let parked = is_parked(&local.image);
    let image = match parked {
        true => as_if_not_parked(local, link, remote, &situation.by_address),
        false => local.image.clone(),
    };
    let none = Marks::default();
    let there = with_unusable_members(remote, &image, link);
    let images = Images {
        base: link.filter(|link| acquainted(link)).map(|link| &link.base),
        local: &image,
        remote: &there,
        marks: link.map_or(&none, |link| &link.marks),
    };
    let (fields, rules) = (fields_of(remote.kind), rules(remote, policy));
    let mut merged = merge(fields, images, &rules);
    let stuck = has_no_half(situation, &merged, images.base.and(Some(policy.scope)));
    if let Some(reason) = &stuck {
        if parked {
            return Decision::SetAside(reason.clone());
        }
        merged = merge_but_for_addresses(fields, images, &rules);
    }
    let mut writes = merged.local;
    if parked {
        unpark(local, &merged.base, &mut writes);
    }
    plan.ops.extend(writes.into_iter().map(|write| Op::Set {
        field: write.field,
        was: write.was,
        values: write.values,
        cause: write.cause,
    }));
    plan.remote
        .extend(merged.remote.into_iter().map(|write| RemoteOp::Set {
            field: write.field,
            was: write.was,
            values: write.values,
            cause: write.cause,
        }));
    name_home(remote, policy, &mut plan);
    for (field, values) in merged.base.fields() {
        next.set(field, values.clone());
    }
    next.set(
        Field::PendingMembers,
        remote.image.get(Field::PendingMembers).clone(),
    );
    plan.base = Some(next);
    plan.discarded = merged.discarded;
    plan.marks = merged.marks;
    put_off(situation, link, &mut plan);
    plan.aside = stuck.or(plan.aside);
    if !link.is_some_and(acquainted) && !plan.remote.is_empty() {
        plan.marks.acquaintance = Acquaintance::UnderWay;
    }
    password(local, remote, link, policy, &mut plan);
    plan.until = remote.until;
    adopt(local, policy, &mut plan);
    waits(local, policy, &mut plan);
    Decision::Act(plan)
}

/// The entry with those members that it names and whose own entries cannot be used now: who was a member stays one,
/// by the address that is known.
fn with_unusable_members(remote: &RemoteObject, local: &Image, link: Option<&Link>) -> Image {
    let pending = remote.image.get(Field::PendingMembers);
    let base = link.map(|link| link.base.get(Field::Members).clone());
    let base = base.unwrap_or_default();
    let known = base.iter().chain(local.get(Field::Members).iter());
    let kept = known.filter(|(key, _)| pending.has(key));
    let members = Values::from_pairs(remote.image.get(Field::Members).iter().chain(kept));
    remote.image.clone().with(Field::Members, members)
}

/// An entry that says a former name of this server is told the one that it has now, where the direction writes.
fn name_home(remote: &RemoteObject, policy: &Policy, plan: &mut Plan) {
    let Some(home) = &remote.home else { return };
    plan.home = Some(home.shown.clone());
    let Some(now) = &home.becomes else { return };
    if policy.direction == Direction::LdapToLocal {
        plan.waits.push(Wait::FormerName {
            host: home.written.clone(),
            now: now.clone(),
        });
        return;
    }
    plan.remote.push(RemoteOp::Host {
        was: home.written.clone(),
        now: now.clone(),
    });
    plan.home = Some(canonical_host(now));
}

fn acquainted(link: &Link) -> bool {
    link.marks.acquaintance == Acquaintance::Made
}

const fn rules(remote: &RemoteObject, policy: &Policy) -> Rules {
    Rules {
        direction: policy.direction,
        resolution: policy.resolution,
        scope: policy.scope,
        absent: policy.absent,
        members: match remote.members {
            Members::Shown => Absent::Clear,
            Members::Withheld => policy.absent,
        },
    }
}

/// What an account that is not in use becomes now that its entry is here.
fn arrive(local: &LocalObject, link: Option<&Link>, policy: &Policy, plan: &mut Plan, next: &mut Image) {
    // An account that never had its mail here still has it at the home that it was to come from, however often
    // its entry went to and fro since.
    let awaited = link.map(|link| link.base.get(Field::AwaitedFrom).clone());
    let awaited = awaited.unwrap_or_default();
    match (&local.state, awaited.first(), policy.arrivals) {
        (LocalState::AwaitingMail { .. }, ..) => next.set(Field::AwaitedFrom, awaited),
        (LocalState::Deleted | LocalState::MovedAway { .. }, Some(from), Arrivals::Hold) => {
            plan.ops.push(Op::Await {
                from: from.to_owned(),
            });
            next.set(Field::AwaitedFrom, awaited);
        }
        (LocalState::Deleted | LocalState::MovedAway { .. }, ..) => plan.ops.push(Op::Revive),
        (LocalState::Active, ..) => {}
    }
}

fn password(
    local: &LocalObject,
    remote: &RemoteObject,
    link: Option<&Link>,
    policy: &Policy,
    plan: &mut Plan,
) {
    if remote.kind == Kind::Group {
        return;
    }
    let now = Passwords {
        local: local.password,
        remote: remote.password.digest,
    };
    let base = link.map(|link| link.passwords).unwrap_or_default();
    let step = decide(base, now, policy.direction, policy.resolution);
    plan.password = copied(step, remote);
    plan.passwords = after(base, now, plan.password);
    plan.credentials = credentials(base, remote.password, plan.password);
}

/// Where no hash can be copied, that there is another one is all there is to note.
fn copied(step: PasswordMove, remote: &RemoteObject) -> PasswordMove {
    match (step, remote.password.hash) {
        (PasswordMove::TakeRemote, Hash::NotCopied) => PasswordMove::Note,
        (step, _) => step,
    }
}

/// Members that were added by their address are kept by their entry once they have one, or another address of theirs
/// would end their membership.
fn adopt(local: &LocalObject, policy: &Policy, plan: &mut Plan) {
    let sets = |op: &Op| {
        matches!(
            op,
            Op::Set {
                field: Field::Members,
                ..
            }
        )
    };
    // In the other directions this side follows, or is the source and is not written.
    if policy.direction != Direction::BothWays
        || local.members_by_address.is_empty()
        || plan.ops.iter().any(sets)
    {
        return;
    }
    plan.ops.push(Op::Adopt {
        members: local.image.get(Field::Members).clone(),
    });
}

fn waits(local: &LocalObject, policy: &Policy, plan: &mut Plan) {
    let apart: Vec<Field> = plan.marks.apart.keys().copied().collect();
    let pushed = |field: &Field| {
        let is = |op: &RemoteOp| matches!(op, RemoteOp::Set { field: of, .. } if of == field);
        plan.remote.iter().any(is)
    };
    let apart: Vec<Wait> = apart
        .into_iter()
        .filter(|field| !pushed(field))
        .map(|field| Wait::Apart { field })
        .collect();
    plan.waits.extend(apart);
    if plan.password == PasswordMove::Held {
        plan.waits.push(Wait::Password);
    }
    let pushes = policy.direction != Direction::LdapToLocal;
    if pushes && !local.members_without_entry.is_empty() {
        let addresses = local.members_without_entry.iter().map(ToString::to_string);
        plan.waits.push(Wait::Members {
            addresses: addresses.collect(),
        });
    }
}

/// What a new entry is made with: what silence means is not said.
pub(super) fn image_to_create(local: &LocalObject) -> Image {
    let mut image = Image::default();
    for field in fields_of(kind_of(local.id)) {
        let values = local.image.get(*field);
        if !values.equals(&field.unsaid()) {
            image.set(*field, values.clone());
        }
    }
    image
}

/// A new object here, linked from the start.
fn create(situation: &Situation, remote: &RemoteObject, policy: &Policy) -> Decision {
    let mut image = Image::default();
    for field in fields_of(remote.kind) {
        image.set(*field, remote.image.get(*field).clone());
    }
    let aliases = image.get(Field::Aliases).without(image.get(Field::Address));
    image.set(Field::Aliases, aliases);
    if remote.switch == Switch::Unborn {
        image.set(Field::Enabled, Values::switch(false));
    }
    let mut base = image.clone();
    base.set(
        Field::PendingMembers,
        remote.image.get(Field::PendingMembers).clone(),
    );
    if remote.kind == Kind::Account && image.get(Field::Enabled).is_empty() {
        image.set(Field::Enabled, Values::switch(true));
    }
    let state = match (&situation.seen_at, remote.kind, policy.arrivals) {
        (Some(from), Kind::Account, Arrivals::Hold) => LocalState::AwaitingMail { from: from.clone() },
        _ => LocalState::Active,
    };
    if let LocalState::AwaitingMail { from } = &state {
        base.set(Field::AwaitedFrom, Values::text(from));
    }
    let mut plan = Plan::nothing(situation.uuid, subject_of(&remote.image, situation.uuid), None);
    if remote.password.digest.is_some() || remote.password.hash == Hash::Copied {
        plan.password = copied(PasswordMove::TakeRemote, remote);
    }
    plan.passwords.remote = remote.password.digest;
    plan.until = remote.until;
    plan.home = remote.home.as_ref().map(|home| home.shown.clone());
    plan.base = Some(base);
    plan.ops.push(Op::Create {
        kind: remote.kind,
        image,
        state,
    });
    Decision::Act(plan)
}
