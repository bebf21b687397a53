//! The plan: what has to happen locally to one object so that it agrees with its directory entry.
//!
//! Owns the decision and nothing else: [`plan`] is a pure function of what both sides look like now, and
//! applying its result twice changes nothing. Events only say which object to look at again, so a lost,
//! repeated or reordered event cannot harm.
//!
//! Never touches a local object that was not linked, except to link it by its address at first sight, and
//! never deletes: the strongest operation switches login off and keeps the mail.

mod op;
#[cfg(test)]
mod tests;

pub(crate) use op::Reason;
pub use op::{Farewell, Hazard, Kind, LocalId, LocalState, Op};

use crate::field::{Field, Image, Values};
use crate::merge::merge;
use directory::config::{Absent, Direction};
use model::EntryUuid;

/// The policy of a connector, as far as a plan depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Which side is written.
    pub(crate) direction: Direction,
    /// What a vanished attribute means.
    pub(crate) absent: Absent,
    /// Whether a vanished entry has any effect here.
    pub(crate) deletions: Deletions,
    /// What happens to an account that arrives from another home.
    pub(crate) arrivals: Arrivals,
}

/// The two meanings of `on_delete` that matter to a plan; how an object is removed is the applier's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletions {
    /// The local object is switched off.
    Follow,
    /// Nothing happens.
    Ignore,
}

/// `on_host_change`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// Wait for the mail.
    Hold,
    /// Open empty at once.
    StartEmpty,
}

/// What the directory has under a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    /// An entry in scope whose home is this server (or any entry, without `clustered`; or a group).
    Here(RemoteObject),
    /// An entry in scope whose home is another server.
    Elsewhere {
        /// Its host, canonical.
        host: String,
    },
    /// An entry in scope of a `clustered` connector that names no host.
    NoHome,
    /// An entry that exists but is not selected by bases and filters.
    OutOfScope,
    /// No entry has this UUID.
    Gone,
    /// No entry of this UUID can be seen, and its parent cannot be read either: perhaps the rights are lost.
    Hidden {
        /// The parent's DN as last known.
        parent: String,
    },
    /// An entry that cannot be mapped.
    Broken(Reason),
}

/// A mapped entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteObject {
    /// Account or group.
    pub(crate) kind: Kind,
    /// Its fields. An attribute that is absent gives no value.
    pub(crate) image: Image,
    /// Whether a group's members could be seen.
    pub(crate) members: Members,
}

/// A group always shows a member, if only a placeholder: one that shows none withholds them, and one whose
/// members are no entries has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    Shown,
    Withheld,
}

/// The association as it was last committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The local object.
    pub(crate) local: LocalId,
    /// The last common state.
    pub(crate) base: Image,
    /// The entry's DN when it was last written down.
    pub(crate) dn: String,
}

/// A local object as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalObject {
    /// Which.
    pub(crate) id: LocalId,
    /// Its fields.
    pub(crate) image: Image,
    /// Its state.
    pub(crate) state: LocalState,
    /// The entry it is linked to, if any.
    pub(crate) linked_to: Option<EntryUuid>,
}

/// Everything that is known about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Situation {
    /// The entry's lasting identity.
    pub(crate) uuid: EntryUuid,
    /// What people know the entry by: its DN, now or when last seen; empty when it never was seen.
    pub(crate) name: String,
    /// The directory's side.
    pub(crate) remote: Remote,
    /// The association.
    pub(crate) link: Option<Link>,
    /// The linked local object; none when there is no link or the object was erased.
    pub(crate) local: Option<LocalObject>,
    /// Without a link: the local objects that have the entry's address.
    pub(crate) by_address: Vec<LocalObject>,
    /// Without a link: the local objects that have one of its aliases.
    pub(crate) by_alias: Vec<LocalObject>,
    /// The other home at which this connector saw the entry before, if any.
    pub(crate) seen_at: Option<String>,
}

impl Situation {
    /// Whether the link has another DN than the entry. A stale one would name the wrong parent later.
    pub(crate) fn is_renamed(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.dn != self.name)
    }
}

/// What to do about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Carry out these operations (perhaps none) and record this base.
    Act(Plan),
    /// Set the object aside.
    SetAside(Reason),
}

/// Operations on one object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Plan {
    /// The entry.
    pub(crate) uuid: EntryUuid,
    /// What people know the object by: its address.
    pub(crate) subject: String,
    /// What to do, in this order. Empty when only the base moves, or nothing does.
    pub(crate) ops: Vec<Op>,
    /// The base after the operations; none when there is no link afterwards.
    pub(crate) base: Option<Image>,
}

impl Plan {
    /// The dangers in it.
    pub(crate) fn hazards(&self) -> impl Iterator<Item = Hazard> + '_ {
        self.ops.iter().filter_map(Op::hazard)
    }

    /// Its operations as diff lines, for people and for the hash.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.ops
            .iter()
            .map(|op| format!("{} {op}", self.subject))
            .collect()
    }

    /// The part that endangers nothing. The base keeps its old values where an operation is left out, so that
    /// the next look plans it again.
    #[must_use]
    pub(crate) fn harmless(&self, old_base: Option<&Image>) -> Self {
        let mut base = self.base.clone();
        for op in self.ops.iter().filter(|op| op.hazard().is_some()) {
            if let (Op::Set { field, .. }, Some(base)) = (op, base.as_mut()) {
                base.set(
                    *field,
                    old_base.map(|old| old.get(*field).clone()).unwrap_or_default(),
                );
            }
        }
        let ops = self
            .ops
            .iter()
            .filter(|op| op.hazard().is_none())
            .cloned()
            .collect();
        Self {
            uuid: self.uuid,
            subject: self.subject.clone(),
            ops,
            base,
        }
    }
}

/// Decides. Pure; see the module's description.
#[must_use]
pub(crate) fn plan(situation: &Situation, policy: &Policy) -> Decision {
    match &situation.remote {
        Remote::Here(remote) => present(situation, remote, policy),
        Remote::Elsewhere { host } => absent(situation, &Op::MoveAway { to: host.clone() }, policy),
        Remote::NoHome => absent(
            situation,
            &Op::Remove {
                why: Farewell::NoHome,
            },
            policy,
        ),
        Remote::OutOfScope => absent(
            situation,
            &Op::Remove {
                why: Farewell::OutOfScope,
            },
            policy,
        ),
        Remote::Gone => absent(situation, &Op::Remove { why: Farewell::Gone }, policy),
        Remote::Hidden { parent } => match absent(situation, &Op::Remove { why: Farewell::Gone }, policy) {
            Decision::Act(plan) if plan.ops.is_empty() => Decision::Act(plan),
            _ => Decision::SetAside(Reason::HiddenParent {
                parent: parent.clone(),
            }),
        },
        Remote::Broken(reason) => Decision::SetAside(reason.clone()),
    }
}

/// The entry is not ours, or not there. Only a linked object is switched off, and only once.
fn absent(situation: &Situation, farewell: &Op, policy: &Policy) -> Decision {
    let subject = match &situation.local {
        Some(local) => subject_of(&local.image, situation.uuid),
        None => situation.uuid.to_string(),
    };
    let mut ops = Vec::new();
    if let (Some(_), Some(local)) = (&situation.link, &situation.local) {
        let done = match (farewell, &local.state) {
            (Op::MoveAway { to }, LocalState::MovedAway { to: known }) => to == known,
            // A removal after a move is no news: the mail is kept for the other home either way. A removal
            // of what is removed already is none.
            (Op::Remove { .. }, LocalState::MovedAway { .. } | LocalState::Deleted) => true,
            _ => false,
        };
        let ignored = policy.deletions == Deletions::Ignore && matches!(farewell, Op::Remove { .. });
        if !done && !ignored {
            ops.push(farewell.clone());
        }
    }
    // The link stays: the same UUID revives the same object.
    let base = situation.link.as_ref().map(|link| link.base.clone());
    Decision::Act(Plan {
        uuid: situation.uuid,
        subject,
        ops,
        base,
    })
}

fn present(situation: &Situation, remote: &RemoteObject, policy: &Policy) -> Decision {
    let none = Image::default();
    let subject = subject_of(&remote.image, situation.uuid);
    let (local, base, mut ops) = match (&situation.link, &situation.local) {
        (Some(link), Some(local)) => (local, &link.base, Vec::new()),
        // Linked, but the object was erased here: it is made anew, empty.
        (Some(_), None) => return create(situation, remote, policy, subject),
        (None, _) => match join(situation, remote) {
            Err(reason) => return Decision::SetAside(reason),
            Ok(None) => return create(situation, remote, policy, subject),
            Ok(Some(found)) => (found, &none, vec![Op::Link { local: found.id }]),
        },
    };
    let mut next = Image::default();
    // An account that never had its mail here still has it at the home that it was to come from, however often
    // its entry went to and fro since.
    let awaited = base.get(Field::AwaitedFrom);
    match (&local.state, awaited.first(), policy.arrivals) {
        (LocalState::AwaitingMail { .. }, ..) => next.set(Field::AwaitedFrom, awaited.clone()),
        (LocalState::Deleted | LocalState::MovedAway { .. }, Some(from), Arrivals::Hold) => {
            next.set(Field::AwaitedFrom, awaited.clone());
            ops.push(Op::Await {
                from: from.to_owned(),
            });
        }
        (LocalState::Deleted | LocalState::MovedAway { .. }, ..) => ops.push(Op::Revive),
        (LocalState::Active, ..) => {}
    }
    for field in fields_of(remote.kind) {
        let sides = (
            base.get(*field),
            local.image.get(*field),
            remote.image.get(*field),
        );
        let absent = match (field, remote.members) {
            (Field::Members, Members::Shown) => Absent::Clear,
            _ => policy.absent,
        };
        let merged = merge(*field, sides, policy.direction, absent);
        if let Some((values, cause)) = merged.local {
            ops.push(Op::Set {
                field: *field,
                was: sides.1.clone(),
                values,
                cause,
            });
        }
        next.set(*field, merged.base);
    }
    next.set(
        Field::PendingMembers,
        remote.image.get(Field::PendingMembers).clone(),
    );
    Decision::Act(Plan {
        uuid: situation.uuid,
        subject,
        ops,
        base: Some(next),
    })
}

/// The fields that a kind of object has, in the order in which they are written: an alias that becomes the
/// address is set together with it by the applier.
const fn fields_of(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Account => &[
            Field::Address,
            Field::Aliases,
            Field::DisplayName,
            Field::Quota,
            Field::Enabled,
        ],
        Kind::Group => &[Field::Address, Field::Aliases, Field::DisplayName, Field::Members],
    }
}

fn create(situation: &Situation, remote: &RemoteObject, policy: &Policy, subject: String) -> Decision {
    let mut image = Image::default();
    for field in fields_of(remote.kind) {
        image.set(*field, remote.image.get(*field).clone());
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
    let ops = vec![Op::Create {
        kind: remote.kind,
        image,
        state,
    }];
    Decision::Act(Plan {
        uuid: situation.uuid,
        subject,
        ops,
        base: Some(base),
    })
}

/// The join rule of the first sight: the entry's address is the object's address, and nothing else. An alias never
/// joins, on neither side: it would let whoever may write aliases in the directory claim postmaster. An object that
/// was removed here keeps its mail for its own entry: a new UUID never receives the old mail of a namesake.
fn join<'a>(situation: &'a Situation, remote: &RemoteObject) -> Result<Option<&'a LocalObject>, Reason> {
    let living = |object: &&LocalObject| object.state != LocalState::Deleted;
    let others = |object: &LocalObject| match object.linked_to {
        Some(other) if other != situation.uuid => Some(Reason::AlreadyLinked {
            address: subject_of(&object.image, other),
            other,
        }),
        _ => None,
    };
    let wanted = remote.image.get(Field::Address);
    let mut by_alias = Vec::new();
    for found in situation.by_address.iter().filter(living) {
        if let Some(reason) = others(found) {
            return Err(reason);
        }
        if !found.image.get(Field::Address).equals(wanted) {
            by_alias.push(found);
        } else if same_kind(found.id, remote.kind) {
            return Ok(Some(found));
        } else {
            return Err(Reason::OtherKind {
                address: subject_of(&found.image, situation.uuid),
                local: found.id,
            });
        }
    }
    by_alias.extend(situation.by_alias.iter().filter(living));
    if let Some(reason) = by_alias.iter().find_map(|object| others(object)) {
        return Err(reason);
    }
    let Some(first) = by_alias.first() else {
        return Ok(None);
    };
    Err(Reason::AliasMatch {
        shared: shared(&remote.image, &first.image),
        locals: by_alias
            .iter()
            .map(|object| subject_of(&object.image, situation.uuid))
            .collect(),
    })
}

/// An address that both have.
fn shared(entry: &Image, local: &Image) -> String {
    let of = |image: &Image| {
        let both = [image.get(Field::Address), image.get(Field::Aliases)];
        both.into_iter()
            .flat_map(|values| values.iter().map(|(key, text)| (key.to_owned(), text.to_owned())))
            .collect::<Vec<_>>()
    };
    let local = of(local);
    let has = |key: &str| local.iter().any(|(known, _)| known == key);
    let found = of(entry).into_iter().find(|(key, _)| has(key));
    found.map_or_else(|| "an address".to_owned(), |(_, text)| text)
}

const fn same_kind(id: LocalId, kind: Kind) -> bool {
    matches!(
        (id, kind),
        (LocalId::Account(_), Kind::Account) | (LocalId::Group(_), Kind::Group)
    )
}

fn subject_of(image: &Image, uuid: EntryUuid) -> String {
    image
        .address()
        .map_or_else(|| uuid.to_string(), |address| address.as_str().to_owned())
}
