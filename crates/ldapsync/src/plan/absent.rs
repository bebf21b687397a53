//! The entry is not ours, or not there.

use super::op::{Farewell, LocalState, Op};
use super::outcome::{Decision, Plan, Wait};
use super::parking::{is_parked, parked};
use super::present::image_to_create;
use super::remote_op::RemoteOp;
use super::rival::taken;
use super::situation::{Deletions, Link, LocalObject, Policy, Situation, Standing};
use super::{Reason, fields_of, kind_of, subject_of};
use crate::field::{Field, Image, Values};
use crate::merge::{Cause, Discarded, Rule, Side, is_edited};
use directory::config::{ConflictResolution, Direction};

/// The entry is another home's.
pub(super) fn elsewhere(situation: &Situation, host: &str, entry: &Image, policy: &Policy) -> Decision {
    // Whose an entry is, the directory says in every direction: two homes must never both be live.
    let decided = follow(situation, &Op::MoveAway { to: host.to_owned() }, policy);
    let Decision::Act(mut plan) = decided else {
        return decided;
    };
    says_another_name(&mut plan);
    part_with_edits(situation, entry, &mut plan);
    // The move comes first, and alone: an address that somebody has must not keep a login open.
    if plan.ops.is_empty() && policy.direction != Direction::LocalToLdap {
        for field in [Field::Address, Field::Aliases] {
            if !entry.get(Field::Address).is_empty() {
                yield_to(situation, field, entry.get(field), &mut plan);
            }
        }
    }
    Decision::Act(plan)
}

/// What was changed here and never came to the directory is lost to whoever lives at the other home, so it stands in
/// the conflict journal. The kept account keeps it, as what is common from now on: should the account come back,
/// nobody's edit of long ago is written over what the other home wrote since.
fn part_with_edits(situation: &Situation, entry: &Image, plan: &mut Plan) {
    let (Some(link), Some(local)) = (&situation.link, &situation.local) else {
        return;
    };
    let Some(base) = plan
        .base
        .as_mut()
        .filter(|_| plan.standing == Standing::MovedAway)
    else {
        return;
    };
    let parked = is_parked(&local.image);
    let named = |field: &&Field| !(parked && matches!(field, Field::Address | Field::Aliases));
    for field in fields_of(kind_of(local.id)).iter().filter(named).copied() {
        let was = local.image.get(field);
        if !is_edited(&[field], &link.base, &local.image) {
            continue;
        }
        base.set(field, was.clone());
        // A write whose answer never came may have been carried out.
        if is_edited(&[field], entry, &local.image) {
            plan.discarded.push(Discarded {
                field,
                losers: vec![Side::Local],
                base: link.base.get(field).clone(),
                local: was.clone(),
                remote: entry.get(field).clone(),
                rule: Rule::MovedAway,
            });
        }
    }
}

/// Should the entry say a former name of this server later, then that is another server's.
fn says_another_name(plan: &mut Plan) {
    if plan.base.is_some() {
        plan.home = Some(String::new());
    }
}

/// An account that has moved away has the addresses of its entry and no other: what the entry gave up, a successor may
/// have.
fn yield_to(situation: &Situation, field: Field, values: &Values, plan: &mut Plan) {
    let (Some(link), Some(local)) = (&situation.link, &situation.local) else {
        return;
    };
    let was = local.image.get(field);
    if matches!(local.state, LocalState::MovedAway { .. }) && !was.equals(values) {
        plan.ops.push(Op::Set {
            field,
            was: was.clone(),
            values: values.clone(),
            cause: Cause::Changed,
        });
        let mut base = plan.base.take().unwrap_or_else(|| link.base.clone());
        base.set(field, values.clone());
        plan.base = Some(base);
    }
}

/// The same where the entry is gone. The mail stays for the other home; the base stays for an entry that comes back.
fn step_aside(situation: &Situation, plan: &mut Plan) {
    let moved = situation
        .local
        .as_ref()
        .filter(|local| matches!(local.state, LocalState::MovedAway { .. }) && !is_parked(&local.image));
    let Some(local) = moved.filter(|_| situation.link.is_some()) else {
        return;
    };
    let parked = local
        .image
        .address()
        .and_then(|address| parked(situation.uuid, &address));
    let Some(parked) = parked else { return };
    let none = (Field::Aliases, Values::NONE);
    for (field, values) in [(Field::Address, Values::addresses([&parked])), none] {
        let was = local.image.get(field);
        if !was.equals(&values) {
            plan.ops.push(Op::Set {
                field,
                was: was.clone(),
                values,
                cause: Cause::Changed,
            });
        }
    }
}

/// The entry names no home, or left the scope.
pub(super) fn left(situation: &Situation, why: Farewell, policy: &Policy) -> Decision {
    let mut decided = left_in(situation, why, policy);
    if let (Decision::Act(plan), Farewell::NoHome) = (&mut decided, why) {
        says_another_name(plan);
    }
    decided
}

fn left_in(situation: &Situation, why: Farewell, policy: &Policy) -> Decision {
    match policy.direction {
        Direction::LdapToLocal | Direction::BothWays => follow(situation, &Op::Remove { why }, policy),
        Direction::LocalToLdap => {
            let mut plan = idle(situation);
            plan.waits.push(match why {
                Farewell::NoHome => Wait::NotOurs,
                Farewell::OutOfScope | Farewell::Gone => Wait::OutOfScope,
            });
            Decision::Act(plan)
        }
    }
}

/// No entry has the UUID any more.
pub(super) fn gone(situation: &Situation, policy: &Policy) -> Decision {
    let farewell = Op::Remove { why: Farewell::Gone };
    if policy.direction == Direction::LdapToLocal {
        let mut decided = follow(situation, &farewell, policy);
        if let Decision::Act(plan) = &mut decided {
            step_aside(situation, plan);
        }
        return decided;
    }
    let living = situation
        .local
        .as_ref()
        .filter(|local| !matches!(local.state, LocalState::Deleted | LocalState::MovedAway { .. }));
    let (Some(link), Some(local)) = (&situation.link, living) else {
        // Gone on both sides, or the other home's business.
        let mut plan = idle(situation);
        let moved = |local: &LocalObject| matches!(local.state, LocalState::MovedAway { .. });
        if !situation.local.as_ref().is_some_and(moved) {
            plan.standing = Standing::Gone;
        }
        if policy.direction == Direction::BothWays {
            step_aside(situation, &mut plan);
        }
        return Decision::Act(plan);
    };
    if policy.direction == Direction::LocalToLdap {
        return again(situation, local, policy);
    }
    // Both knew it as gone, and somebody has taken it back here: a new object, as far as the directory goes.
    if link.standing == Standing::Gone {
        return again(situation, local, policy);
    }
    if policy.deletions == Deletions::Ignore {
        return Decision::Act(idle(situation));
    }
    let fields = fields_of(kind_of(local.id));
    let mut here = local.image.clone();
    if is_parked(&here) {
        // Our own name for a moment is no edit.
        here.set(Field::Address, link.base.get(Field::Address).clone());
    }
    if !is_edited(fields, &link.base, &here) {
        return follow(situation, &farewell, policy);
    }
    match policy.resolution {
        ConflictResolution::LocalWins => again(situation, local, policy),
        ConflictResolution::NoChange => {
            let mut plan = idle(situation);
            plan.waits.push(Wait::DeletedThere);
            Decision::Act(plan)
        }
        ConflictResolution::LdapWins => {
            let decided = follow(situation, &farewell, policy);
            let Decision::Act(mut plan) = decided else {
                return decided;
            };
            let none = Image::default();
            plan.discarded = lost(fields, (&link.base, &here, &none), Side::Local, policy);
            Decision::Act(plan)
        }
    }
}

/// The edits of one side against a deletion on the other.
pub(super) fn lost(
    fields: &[Field],
    (base, local, remote): (&Image, &Image, &Image),
    loser: Side,
    policy: &Policy,
) -> Vec<Discarded> {
    let rule = match policy.direction {
        Direction::BothWays => Rule::of(policy.resolution),
        Direction::LdapToLocal | Direction::LocalToLdap => Rule::OneWay,
    };
    let edited = fields.iter().filter(|field| {
        let image = match loser {
            Side::Local => local,
            Side::Remote => remote,
        };
        is_edited(&[**field], base, image)
    });
    edited
        .map(|field| Discarded {
            field: *field,
            losers: vec![loser],
            base: base.get(*field).clone(),
            local: local.get(*field).clone(),
            remote: remote.get(*field).clone(),
            rule,
        })
        .collect()
}

/// The entry is made again from what is here. It gets another UUID, and the link follows it.
fn again(situation: &Situation, local: &LocalObject, policy: &Policy) -> Decision {
    if is_parked(&local.image) {
        return take_back(situation, local);
    }
    let image = image_to_create(local);
    if let Some(reason) = taken(situation, &image) {
        return Decision::SetAside(reason);
    }
    let mut plan = idle(situation);
    plan.base = Some(image.clone());
    plan.standing = Standing::Linked;
    plan.marks = crate::merge::Marks::default();
    plan.remote.push(RemoteOp::Create {
        kind: kind_of(local.id),
        image,
    });
    if policy.direction == Direction::BothWays && local.state == LocalState::Deleted {
        plan.ops.push(Op::Revive);
    }
    Decision::Act(plan)
}

/// An object that had stepped aside when its entry went gets the address back that was common last; the next look makes the
/// entry. Where somebody here has that one by now, only a person knows which one it is to have.
fn take_back(situation: &Situation, local: &LocalObject) -> Decision {
    let was = local.image.get(Field::Address);
    let taken = situation.by_address.iter().any(|holder| holder.id != local.id);
    let Some(link) = situation.link.as_ref().filter(|_| !taken) else {
        let address = was.first().unwrap_or_default().to_owned();
        return Decision::SetAside(Reason::StandsAside { address });
    };
    let mut plan = idle(situation);
    plan.ops.push(Op::Set {
        field: Field::Address,
        was: was.clone(),
        values: link.base.get(Field::Address).clone(),
        cause: Cause::Changed,
    });
    Decision::Act(plan)
}

/// The local object goes with the entry. Only a linked one is switched off, and only once.
fn follow(situation: &Situation, farewell: &Op, policy: &Policy) -> Decision {
    let mut plan = idle(situation);
    let (Some(link), Some(local)) = (&situation.link, &situation.local) else {
        return Decision::Act(plan);
    };
    let done = match (farewell, &local.state) {
        (Op::MoveAway { to }, LocalState::MovedAway { to: known }) => to == known,
        // A removal after a move is no news: the mail is kept for the other home either way. A removal
        // of what is removed already is none.
        (Op::Remove { .. }, LocalState::MovedAway { .. } | LocalState::Deleted) => true,
        // It had moved, and somebody has said that its mail may go.
        (Op::MoveAway { .. }, LocalState::Deleted) => link.standing == Standing::MovedAway,
        _ => false,
    };
    let ignored = policy.deletions == Deletions::Ignore && matches!(farewell, Op::Remove { .. });
    if done || ignored {
        return Decision::Act(plan);
    }
    plan.standing = match farewell {
        Op::MoveAway { .. } => Standing::MovedAway,
        Op::Remove { why: Farewell::Gone } => Standing::Gone,
        _ => Standing::OutOfScope,
    };
    plan.ops.push(farewell.clone());
    Decision::Act(plan)
}

/// A plan that does nothing. The link stays: the same UUID revives the same object.
pub(super) fn idle(situation: &Situation) -> Plan {
    let subject = match &situation.local {
        Some(local) => subject_of(&local.image, situation.uuid),
        None => situation.uuid.to_string(),
    };
    Plan::nothing(situation.uuid, subject, situation.link.as_ref())
}

/// An entry that cannot be seen, and neither can its parent: whatever would follow from its end waits.
pub(super) fn hidden(situation: &Situation, parent: &str, policy: &Policy) -> Decision {
    match gone(situation, policy) {
        Decision::Act(plan) if plan.is_quiet() => {
            // Nothing is known to be gone.
            let standing = situation.link.as_ref().map(|link: &Link| link.standing);
            Decision::Act(Plan {
                standing: standing.unwrap_or_default(),
                ..plan
            })
        }
        _ => Decision::SetAside(Reason::HiddenParent {
            parent: parent.to_owned(),
        }),
    }
}
