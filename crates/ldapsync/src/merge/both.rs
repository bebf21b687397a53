//! Both sides are written: what changed on one side goes to the other, and conflicts are decided.

use super::{Cause, Discarded, Images, Merged, Rule, Rules, Side, Write, said};
use crate::field::{Field, Values};
use directory::config::{Absent, ConflictResolution, ConflictScope};

/// One field, with what silence means put in.
struct Sides {
    field: Field,
    base: Values,
    local: Values,
    remote: Values,
    /// What the entry really holds.
    written: Values,
    /// What the base really holds.
    known: Values,
    /// A remote value that `no-change` refused and that is still there.
    refused: Option<[u8; 32]>,
}

impl Sides {
    fn of(field: Field, images: Images<'_>, rules: &Rules) -> Self {
        let known = images
            .base
            .map(|base| base.get(field).clone())
            .unwrap_or_default();
        let written = images.remote.get(field).clone();
        let base = said(field, &known);
        let refused = images
            .marks
            .refused
            .get(&field)
            .copied()
            .filter(|digest| *digest == written.digest());
        let hidden = written.is_empty() && !known.is_empty() && stays(field, rules);
        let remote = match refused {
            // It is to be written back, so it is no edit.
            Some(_) => base.clone(),
            // Rights may have changed, not the person.
            None if hidden => base.clone(),
            None => said(field, &written),
        };
        // What only the base holds is compared with, never written.
        let written = if hidden { known.clone() } else { written };
        Self {
            field,
            local: said(field, images.local.get(field)),
            base,
            remote,
            written,
            known,
            refused,
        }
    }

    fn local_changed(&self) -> bool {
        !self.local.equals(&self.base)
    }

    fn remote_changed(&self) -> bool {
        !self.remote.equals(&self.base)
    }

    fn agree(&self) -> bool {
        self.local.equals(&self.remote)
    }

    fn discarded(&self, rule: Rule, losers: Vec<Side>) -> Discarded {
        Discarded {
            field: self.field,
            losers,
            base: self.base.clone(),
            local: self.local.clone(),
            remote: self.remote.clone(),
            rule,
        }
    }
}

/// Whether an attribute that was there and is now absent keeps its value.
fn stays(field: Field, rules: &Rules) -> bool {
    match field {
        Field::Address => true,
        // Absent has a meaning of its own: login is allowed.
        Field::Enabled => false,
        _ => rules.absent(field) == Absent::Keep,
    }
}

/// Merges all fields.
pub(super) fn merge(fields: &[Field], images: Images<'_>, rules: &Rules, merged: &mut Merged) {
    let all: Vec<Sides> = fields
        .iter()
        .map(|field| Sides::of(*field, images, rules))
        .collect();
    let is_apart = |sides: &&Sides| images.marks.apart.contains_key(&sides.field);
    let (apart, all): (Vec<&Sides>, Vec<&Sides>) = all.iter().partition(is_apart);
    let differ = || all.iter().filter(|sides| !sides.agree());
    // At the first sight there is no state since which anybody changed the whole object.
    let whole = rules.scope == ConflictScope::Entry
        && images.base.is_some()
        && differ().any(|sides| sides.local_changed())
        && differ().any(|sides| sides.remote_changed());
    for sides in &all {
        if whole {
            by_rule(sides, rules.resolution, images, merged);
        } else {
            attribute(sides, rules, images, merged);
        }
    }
    for sides in &apart {
        still_apart(sides, images, merged);
    }
}

/// A field that never was common. Whoever changes it now has edited it.
fn still_apart(sides: &Sides, images: Images<'_>, merged: &mut Merged) {
    let now = [sides.local.digest(), sides.remote.digest()];
    let known = images.marks.apart.get(&sides.field).copied().unwrap_or(now);
    let [local, remote] = [now[0] != known[0], now[1] != known[1]];
    match (local, remote) {
        _ if sides.agree() => settle(sides, &sides.remote, Cause::Changed, merged),
        (true, false) => {
            // As long as this is not written, a second look must come to the same end.
            merged.marks.apart.insert(sides.field, known);
            overwrite(sides, Side::Remote, &sides.remote, merged);
            settle(sides, &sides.local, cause_of(&sides.local), merged);
        }
        (false, true) => {
            overwrite(sides, Side::Local, &sides.local, merged);
            settle(sides, &sides.remote, cause_of(&sides.remote), merged);
        }
        _ => {
            merged.marks.apart.insert(sides.field, now);
        }
    }
}

/// A value that was kept apart goes, and whoever edited the other side may never have seen it.
fn overwrite(sides: &Sides, loser: Side, value: &Values, merged: &mut Merged) {
    if !value.is_empty() {
        merged
            .discarded
            .push(sides.discarded(Rule::NoChange, vec![loser]));
    }
}

/// One field on its own.
fn attribute(sides: &Sides, rules: &Rules, images: Images<'_>, merged: &mut Merged) {
    let spelt_alike = sides.agree();
    let (local, remote) = if spelt_alike {
        (sides.local != sides.base, sides.remote != sides.base)
    } else {
        (sides.local_changed(), sides.remote_changed())
    };
    match (local, remote) {
        _ if spelt_alike && sides.local == sides.remote => {
            settle(sides, &sides.local, Cause::Changed, merged)
        }
        (true, false) => settle(sides, &sides.local, cause_of(&sides.local), merged),
        (false, true) => settle(sides, &sides.remote, cause_of(&sides.remote), merged),
        // Neither differs from the base by matching rule; only its spelling is another.
        (false, false) => settle(sides, &sides.remote, Cause::Changed, merged),
        // Two spellings of one value: no conflict, no loss.
        (true, true) if spelt_alike => {
            let winner = match rules.resolution {
                ConflictResolution::LocalWins => &sides.local,
                ConflictResolution::LdapWins | ConflictResolution::NoChange => &sides.remote,
            };
            settle(sides, winner, Cause::Changed, merged);
        }
        (true, true) if sides.field.is_set() => settle(sides, &union(sides), Cause::Changed, merged),
        (true, true) => by_rule(sides, rules.resolution, images, merged),
    }
}

fn cause_of(winner: &Values) -> Cause {
    if winner.is_empty() {
        Cause::Cleared
    } else {
        Cause::Changed
    }
}

/// Element by element: of two sides that differ about one, one has changed it.
fn union(sides: &Sides) -> Values {
    let wanted = |key: &str| {
        let (base, local, remote) = (sides.base.has(key), sides.local.has(key), sides.remote.has(key));
        if local == remote || remote == base {
            local
        } else {
            remote
        }
    };
    // The directory's spelling, where both have one.
    let all = sides.local.iter().chain(sides.remote.iter());
    Values::from_pairs(all.filter(|(key, _)| wanted(key)))
}

/// The conflict rule: of one field, or of every field of an object.
fn by_rule(sides: &Sides, resolution: ConflictResolution, images: Images<'_>, merged: &mut Merged) {
    let rule = Rule::of(resolution);
    let (local, remote) = (sides.local_changed(), sides.remote_changed());
    if sides.agree() {
        settle(sides, &sides.remote, Cause::Changed, merged);
        return;
    }
    match resolution {
        ConflictResolution::LocalWins => {
            if remote {
                merged.discarded.push(sides.discarded(rule, vec![Side::Remote]));
            }
            settle(sides, &sides.local, Cause::Conflict, merged);
        }
        ConflictResolution::LdapWins => {
            if local {
                merged.discarded.push(sides.discarded(rule, vec![Side::Local]));
            }
            settle(sides, &sides.remote, Cause::Conflict, merged);
        }
        // There never was a common state to go back to.
        ConflictResolution::NoChange if images.base.is_none() => {
            let now = [sides.local.digest(), sides.remote.digest()];
            merged.marks.apart.insert(sides.field, now);
        }
        ConflictResolution::NoChange => {
            let losers = [(local, Side::Local), (remote, Side::Remote)];
            let losers = losers.into_iter().filter(|(lost, _)| *lost);
            let losers = losers.map(|(_, side)| side).collect();
            merged.discarded.push(sides.discarded(rule, losers));
            if remote {
                merged.marks.refused.insert(sides.field, sides.written.digest());
            }
            settle(sides, &sides.base, Cause::Reverted, merged);
        }
    }
}

/// Both sides become `target`.
fn settle(sides: &Sides, target: &Values, cause: Cause, merged: &mut Merged) {
    let field = sides.field;
    if sides.local != *target {
        merged.local.push(Write {
            field,
            was: sides.local.clone(),
            values: target.clone(),
            cause,
        });
    }
    let silent = sides.written.is_empty() && target.equals(&field.unsaid());
    // A member is written as a DN; how its address is spelt is no matter of the entry's.
    let differs = match field {
        Field::Members => !sides.written.equals(target),
        _ => sides.written != *target,
    };
    if differs && !silent {
        merged.remote.push(Write {
            field,
            was: sides.written.clone(),
            values: target.clone(),
            cause,
        });
        if let Some(digest) = sides.refused {
            merged.marks.refused.insert(field, digest);
        }
    }
    let next = if silent && sides.known.is_empty() {
        Values::NONE
    } else {
        target.clone()
    };
    merged.base.set(field, next);
}
