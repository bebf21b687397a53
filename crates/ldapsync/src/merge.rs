//! The three-way merge of one object: base (the last common state), local, remote.
//!
//! Pure. A side has changed when its value differs from the base; no clock takes part. [`merge`] applies the
//! direction and, where both sides changed, the connector's conflict rule, and says what each side is to become,
//! what the next base is, and which values were discarded.
//!
//! Never discards a value in silence, never clears what was never common, and never takes another spelling of an
//! equal value for a conflict.

mod both;
mod one_way;
mod sent;
#[cfg(test)]
mod tests;

pub(crate) use sent::Sent;

use crate::field::{Field, Image, Values};
use directory::config::{Absent, ConflictResolution, ConflictScope, Direction};
use std::collections::BTreeMap;
use std::fmt;

/// Who changed a field since the last common state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Both sides agree, whatever the base was.
    None,
    /// Only the local side differs from the base.
    Local,
    /// Only the remote side differs from the base.
    Remote,
    /// Both differ from the base and from each other.
    Both,
}

/// Compares by matching rule first. Values that are equal but spelt differently are compared as written, so
/// that a corrected spelling arrives without ever counting as a conflict.
#[must_use]
pub(crate) fn compare(base: &Values, local: &Values, remote: &Values) -> Change {
    let judge = |same: fn(&Values, &Values) -> bool| {
        if same(local, remote) {
            Change::None
        } else if same(remote, base) {
            Change::Local
        } else if same(local, base) {
            Change::Remote
        } else {
            Change::Both
        }
    };
    match judge(Values::equals) {
        Change::None => judge(PartialEq::eq),
        change => change,
    }
}

/// Why a value is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The other side changed.
    Changed,
    /// The other side did not change; an edit on the side that follows is undone.
    Drift,
    /// The attribute went away and `absent = "clear"`, or the local value was removed.
    Cleared,
    /// Both sides changed and this side lost.
    Conflict,
    /// Both sides changed and both go back to the last common value.
    Reverted,
}

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Here.
    Local,
    /// In the directory.
    Remote,
}

/// The rule that discarded a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The direction: the side that follows was edited.
    OneWay,
    /// `conflict_resolution = "local-wins"`.
    LocalWins,
    /// `conflict_resolution = "ldap-wins"`.
    LdapWins,
    /// `conflict_resolution = "no-change"`.
    NoChange,
    /// The account lives on another server, whose edits count.
    MovedAway,
}

impl Rule {
    /// The rule of a resolution.
    pub(crate) const fn of(resolution: ConflictResolution) -> Self {
        match resolution {
            ConflictResolution::LocalWins => Self::LocalWins,
            ConflictResolution::LdapWins => Self::LdapWins,
            ConflictResolution::NoChange => Self::NoChange,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneWay => "one-way",
            Self::LocalWins => "local-wins",
            Self::LdapWins => "ldap-wins",
            Self::NoChange => "no-change",
            Self::MovedAway => "moved-away",
        })
    }
}

/// A value that lost, with what it lost against: one row of the conflict journal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Discarded {
    /// Which field.
    pub field: Field,
    /// Whose value is lost; both under `no-change`.
    pub losers: Vec<Side>,
    /// The last common value.
    pub base: Values,
    /// The value here.
    pub local: Values,
    /// The value in the directory.
    pub remote: Values,
    /// What decided.
    pub rule: Rule,
}

/// A new value for one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) field: Field,
    pub(crate) was: Values,
    pub(crate) values: Values,
    pub(crate) cause: Cause,
}

/// What a link remembers of fields that are not settled, besides the base.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    /// Remote values that `no-change` refused and that still wait to be written back, by digest: seen again, such
    /// a value is no new edit. Without it, a crash between the two writes would make the directory win.
    pub(crate) refused: BTreeMap<Field, [u8; 32]>,
    /// Fields that never were common and differ, by the digests of both sides, the local one first: when one of
    /// them changes, it is an edit and wins.
    pub(crate) apart: BTreeMap<Field, [[u8; 32]; 2]>,
    /// How far the first exchange of a pair has come.
    pub(crate) acquaintance: Acquaintance,
}

/// Whether two sides that existed apart have been brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Acquaintance {
    /// They have a base.
    #[default]
    Made,
    /// The directory has not acknowledged its half yet: the base is not to be believed, and a second look is
    /// another first one.
    UnderWay,
}

/// What a merge goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) direction: Direction,
    pub(crate) resolution: ConflictResolution,
    pub(crate) scope: ConflictScope,
    pub(crate) absent: Absent,
    /// Whether the entry shows its members: none at all is then the empty set, not a hidden one.
    pub(crate) members: Absent,
}

impl Rules {
    /// What a vanished attribute means.
    const fn absent(&self, field: Field) -> Absent {
        match field {
            Field::Members => self.members,
            _ => self.absent,
        }
    }
}

/// One object three times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Images<'a> {
    /// The last common state; none at the first sight of a pair that existed apart.
    pub(crate) base: Option<&'a Image>,
    pub(crate) local: &'a Image,
    pub(crate) remote: &'a Image,
    pub(crate) marks: &'a Marks,
}

/// The merge of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Merged {
    /// What to write here, in the order of the fields.
    pub(crate) local: Vec<Write>,
    /// What to write in the directory.
    pub(crate) remote: Vec<Write>,
    /// The next base, once both are written.
    pub(crate) base: Image,
    pub(crate) discarded: Vec<Discarded>,
    /// What is not settled yet. Fields that are kept apart stay so under `no-change`, for there never was a common
    /// state to go back to.
    pub(crate) marks: Marks,
}

/// Merges the fields of one object.
#[must_use]
pub(crate) fn merge(fields: &[Field], images: Images<'_>, rules: &Rules) -> Merged {
    let mut merged = Merged::default();
    let raw = images.remote;
    let local = one_address(images.local, images.base);
    let remote = one_address(images.remote, images.base);
    let images = Images {
        local: &local,
        remote: &remote,
        ..images
    };
    match rules.direction {
        Direction::LdapToLocal => {
            for field in fields {
                one_way::pull(*field, images, rules, &mut merged);
            }
        }
        Direction::LocalToLdap => {
            for field in fields {
                one_way::push(*field, images, &mut merged);
            }
        }
        Direction::BothWays => both::merge(fields, images, rules, &mut merged),
    }
    forget_the_old_address(raw, &remote, &mut merged.remote);
    // An alias that became the address on one side may still be an alias on the other.
    let address = merged.base.get(Field::Address).clone();
    let aliases = merged.base.get(Field::Aliases).without(&address);
    merged.base.set(Field::Aliases, aliases);
    for writes in [&mut merged.local, &mut merged.remote] {
        for write in writes.iter_mut().filter(|write| write.field == Field::Aliases) {
            write.values = write.values.without(&address);
        }
        writes.retain(|write| write.values != write.was);
    }
    merged
}

/// An entry that repeats its address among the aliases would keep the old one there as an alias of its own.
fn forget_the_old_address(raw: &Image, tidy: &Image, writes: &mut Vec<Write>) {
    let (raw, tidy) = (raw.get(Field::Aliases), tidy.get(Field::Aliases));
    let renamed = writes.iter().any(|write| write.field == Field::Address);
    if !renamed || raw == tidy {
        return;
    }
    match writes.iter_mut().find(|write| write.field == Field::Aliases) {
        Some(write) => write.was.clone_from(raw),
        None => writes.push(Write {
            field: Field::Aliases,
            was: raw.clone(),
            values: tidy.clone(),
            cause: Cause::Changed,
        }),
    }
}

/// The primary address is no alias as well; many entries repeat it there. It is one when the base says so: the
/// address is about to change, and stays as an alias.
fn one_address(image: &Image, base: Option<&Image>) -> Image {
    let known = base.map(|base| base.get(Field::Aliases).clone());
    let repeated = image.get(Field::Address).without(&known.unwrap_or_default());
    let aliases = image.get(Field::Aliases).without(&repeated);
    image.clone().with(Field::Aliases, aliases)
}

/// The base while `field` is not written in the directory yet, where it is `there`: what was common before is common still.
pub(crate) fn not_common_yet(base: &mut Image, known: Option<&Image>, field: Field, there: &Values) {
    let of = |field| known.map(|known| known.get(field).clone()).unwrap_or_default();
    base.set(field, of(field));
    if field == Field::Address {
        // It is the address there still. An alias that it is here already is an edit until then.
        let alone = there.without(&of(Field::Aliases));
        let aliases = base.get(Field::Aliases).without(&alone);
        base.set(Field::Aliases, aliases);
    }
}

/// Whether one side differs from the base in any of these fields.
pub(crate) fn is_edited(fields: &[Field], base: &Image, image: &Image) -> bool {
    fields
        .iter()
        .any(|field| !said(*field, image.get(*field)).equals(&said(*field, base.get(*field))))
}

/// The values with what silence means put in.
pub(crate) fn said(field: Field, values: &Values) -> Values {
    if values.is_empty() {
        field.unsaid()
    } else {
        values.clone()
    }
}
