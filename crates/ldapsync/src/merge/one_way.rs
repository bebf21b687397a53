//! One side is the source, the other follows. What was edited on the side that follows is undone and kept in the
//! conflict journal.

use super::{Cause, Change, Discarded, Images, Merged, Rule, Rules, Side, Write, compare, said};
use crate::field::{Field, Values};
use directory::config::Absent;

/// The directory is the source.
pub(super) fn pull(field: Field, images: Images<'_>, rules: &Rules, merged: &mut Merged) {
    let (base, local, remote) = sides(field, images);
    let (next, written) = if remote.is_empty() {
        pull_absent(field, base, local, rules.absent(field))
    } else {
        let cause = match compare(base, local, remote) {
            Change::None => None,
            Change::Local => Some(Cause::Drift),
            Change::Remote | Change::Both => Some(Cause::Changed),
        };
        (remote.clone(), cause.map(|cause| (remote.clone(), cause)))
    };
    if let Some((values, cause)) = written {
        discard(field, images, Side::Local, &values, merged);
        merged.local.push(Write {
            field,
            was: local.clone(),
            values,
            cause,
        });
    }
    merged.base.set(field, next);
}

fn pull_absent(
    field: Field,
    base: &Values,
    local: &Values,
    absent: Absent,
) -> (Values, Option<(Values, Cause)>) {
    match field {
        // Never seen on the remote side: unmanaged, whatever it is locally.
        _ if base.is_empty() => (Values::NONE, None),
        // An account cannot be without an address; the entry is quarantined before it comes here.
        Field::Address => (base.clone(), None),
        // Absent has a meaning of its own: login is allowed. The base keeps a value, so that the switch
        // stays managed.
        Field::Enabled => {
            let on = Values::switch(true);
            let wrong = !local.equals(&on);
            (on.clone(), wrong.then_some((on, Cause::Changed)))
        }
        // A group whose members cannot be read keeps them; one that has none left shows a placeholder, which
        // the mapping turns into an empty set together with a base that is empty from then on.
        _ if absent == Absent::Keep => (base.clone(), None),
        _ => {
            let cleared = !local.is_empty();
            (Values::NONE, cleared.then_some((Values::NONE, Cause::Cleared)))
        }
    }
}

/// The accounts here are the source.
pub(super) fn push(field: Field, images: Images<'_>, merged: &mut Merged) {
    let (base, local, remote) = sides(field, images);
    // Never had here: unmanaged, whatever the entry says. An account that was made without a name must not wipe
    // the directory's.
    if local.is_empty() && base.is_empty() {
        return;
    }
    merged.base.set(field, local.clone());
    let differs = !said(field, local).equals(&said(field, remote));
    // A server may spell values in its own way. Another spelling is written when it changed here, and is no drift.
    let spelt = field != Field::Members && !remote.is_empty();
    let respelt = !differs && spelt && local != remote && local != base;
    if !differs && !respelt {
        return;
    }
    let cause = if local.is_empty() {
        Cause::Cleared
    } else if local == base {
        Cause::Drift
    } else {
        Cause::Changed
    };
    discard(field, images, Side::Remote, local, merged);
    merged.remote.push(Write {
        field,
        was: remote.clone(),
        values: local.clone(),
        cause,
    });
}

/// Keeps the edit of the side that follows.
fn discard(field: Field, images: Images<'_>, loser: Side, winner: &Values, merged: &mut Merged) {
    let (base, local, remote) = sides(field, images);
    let lost = match loser {
        Side::Local => local,
        Side::Remote => remote,
    };
    let edited = !said(field, lost).equals(&said(field, base)) && !said(field, lost).equals(winner);
    // A removal has no value that could be lost.
    if edited && !lost.is_empty() {
        merged.discarded.push(Discarded {
            field,
            losers: vec![loser],
            base: base.clone(),
            local: local.clone(),
            remote: remote.clone(),
            rule: Rule::OneWay,
        });
    }
}

fn sides<'a>(field: Field, images: Images<'a>) -> (&'a Values, &'a Values, &'a Values) {
    static NONE: Values = Values::NONE;
    let base = images.base.map_or(&NONE, |base| base.get(field));
    (base, images.local.get(field), images.remote.get(field))
}
