//! What a plan is: operations for both sides, the next base, what was discarded, and why something waits.

use super::op::{Hazard, LocalId, Op};
use super::password::{Credentials, PasswordMove, Passwords};
use super::reason::Reason;
use super::remote_op::RemoteOp;
use super::situation::{Link, Standing};
use crate::field::{Field, Image, Values};
use crate::mapping::canonical_host;
use crate::merge::{Acquaintance, Cause, Discarded, Marks, Sent, Side, not_common_yet};
use model::{EntryUuid, Timestamp};
use std::collections::BTreeSet;
use std::fmt;
use store::IntentKind;

/// What to do about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // It lives for one call, and is nearly always the large one.
pub(crate) enum Decision {
    /// Carry out these operations (perhaps none) and record this base.
    Act(Plan),
    /// Set the object aside.
    SetAside(Reason),
}

/// Operations on one object. The local ones and the intent of the remote ones are one transaction; the remote ones
/// follow, and when they are acknowledged the link becomes [`Plan::settled`] in another.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Plan {
    /// The entry.
    pub(crate) uuid: EntryUuid,
    /// What people know the object by: its address.
    pub(crate) subject: String,
    /// What to do here, in this order. Empty when only the base moves, or nothing does.
    pub(crate) ops: Vec<Op>,
    /// What to do in the directory, in this order.
    pub(crate) remote: Vec<RemoteOp>,
    /// The base after the operations; none when there is no link afterwards.
    pub(crate) base: Option<Image>,
    /// Values that lose, for the conflict journal.
    pub(crate) discarded: Vec<Discarded>,
    /// Why the two sides differ and stay so for now.
    pub(crate) waits: Vec<Wait>,
    /// Why a person has to look at the object, although all of this is carried out: what was left out of it.
    #[serde(skip)]
    pub(crate) aside: Option<Reason>,
    /// What is to happen about the password.
    pub(crate) password: PasswordMove,
    /// Where the link stands afterwards.
    pub(crate) standing: Standing,
    /// What stays unsettled until the directory has acknowledged.
    #[serde(skip)]
    pub(crate) marks: Marks,
    /// What stands for the passwords afterwards.
    #[serde(skip)]
    pub(crate) passwords: Passwords,
    /// Whether another password opens the account now.
    #[serde(skip)]
    pub(crate) credentials: Credentials,
    /// When the entry's state ends by itself.
    #[serde(skip)]
    pub(crate) until: Option<Timestamp>,
    /// The name of this server that the entry shows afterwards.
    #[serde(skip)]
    pub(crate) home: Option<String>,
}

/// What is written down of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkValues {
    pub(crate) base: Option<Image>,
    pub(crate) marks: Marks,
    pub(crate) standing: Standing,
    pub(crate) passwords: Passwords,
    pub(crate) until: Option<Timestamp>,
    pub(crate) home: Option<String>,
}

/// Why two sides differ and stay so.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "wait")]
pub enum Wait {
    /// `no-change`: the object was deleted here and the entry edited.
    DeletedHere,
    /// `no-change`: the entry was deleted and the object edited here.
    DeletedThere,
    /// A connector switched the object off; that is no deletion for the others.
    RemovedBySync,
    /// An administrator unlinked the two.
    Unlinked,
    /// The entry left the bases and filters; what is out of scope is not written.
    OutOfScope,
    /// The entry is another home's, or nobody's: it is not ours to write.
    NotOurs,
    /// `no-change`, and there never was a common value: both keep theirs until one is edited.
    Apart {
        /// Which field.
        field: Field,
    },
    /// The passwords differ until one is set again; a value is never queued.
    Password,
    /// Members of a group that have no entry yet.
    Members {
        /// Their addresses.
        addresses: Vec<String>,
    },
    /// The entry has no counterpart here, and the direction makes none.
    NoCounterpart,
    /// The entry says a name that this server had before, and the direction does not write there.
    FormerName {
        /// That name.
        host: String,
        /// What it should say.
        now: String,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::DeletedHere => "deleted here and edited in the directory; conflict_resolution is no-change",
            Self::DeletedThere => {
                "deleted in the directory and edited here; conflict_resolution is no-change"
            }
            Self::RemovedBySync => "switched off here by a connector, which deletes nothing in the directory",
            Self::Unlinked => "unlinked by an administrator; relink or release it",
            Self::OutOfScope => "the entry is out of the connector's scope and is not written",
            Self::NotOurs => "the entry's host is not this server, so it is not written",
            Self::Password => "the passwords differ; set the password again",
            Self::NoCounterpart => "nothing here belongs to this entry, and the direction is local-to-ldap",
            Self::Apart { field } => {
                return write!(f, "{field} differs and was never common; both sides keep theirs");
            }
            Self::FormerName { host, now } => {
                return write!(
                    f,
                    "the entry still says {host}, the former name of this server; set it to {now} in the directory"
                );
            }
            Self::Members { addresses } => {
                return write!(f, "members without an entry: {}", addresses.join(", "));
            }
        };
        f.write_str(text)
    }
}

impl Plan {
    /// A plan that does nothing and keeps the link as it is.
    pub(crate) fn nothing(uuid: EntryUuid, subject: String, link: Option<&Link>) -> Self {
        Self {
            uuid,
            subject,
            ops: Vec::new(),
            remote: Vec::new(),
            base: link.map(|link| link.base.clone()),
            discarded: Vec::new(),
            waits: Vec::new(),
            aside: None,
            password: PasswordMove::None,
            standing: link.map(|link| link.standing).unwrap_or_default(),
            marks: link.map(|link| link.marks.clone()).unwrap_or_default(),
            passwords: link.map(|link| link.passwords).unwrap_or_default(),
            credentials: Credentials::Same,
            until: link.and_then(|link| link.until),
            home: link.and_then(|link| link.home.clone()),
        }
    }

    /// The object here that the entry joins.
    pub(crate) fn joined(&self) -> Option<LocalId> {
        self.ops.iter().find_map(|op| match op {
            Op::Link { local } => Some(*local),
            _ => None,
        })
    }

    /// The dangers to this side.
    pub(crate) fn hazards(&self) -> impl Iterator<Item = Hazard> + '_ {
        self.ops.iter().filter_map(Op::hazard)
    }

    /// The dangers to one side, weighed: each member, alias or account that goes counts.
    pub(crate) fn weight(&self, side: Side) -> u64 {
        // However the danger is called: to empty a list takes as many out of it as to leave one member.
        let lost = |hazard: Option<Hazard>, was: usize| hazard.map_or(0, |_| was.max(1));
        let gone = |was: &crate::field::Values, values| was.missing_in(values).count();
        let weight: usize = match side {
            Side::Local => self
                .ops
                .iter()
                .map(|op| match op {
                    Op::Set { was, values, .. } => lost(op.hazard(), gone(was, values)),
                    _ => lost(op.hazard(), 1),
                })
                .sum(),
            Side::Remote => self
                .remote
                .iter()
                .map(|op| match op {
                    RemoteOp::Set { was, values, .. } => lost(op.hazard(), gone(was, values)),
                    _ => lost(op.hazard(), 1),
                })
                .sum(),
        };
        u64::try_from(weight).unwrap_or(u64::MAX)
    }

    /// Its operations as diff lines, for people and for the hash.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        let here = self.ops.iter().map(|op| format!("{} {op}", self.subject));
        let there = self
            .remote
            .iter()
            .map(|op| format!("{} directory: {op}", self.subject));
        here.chain(there).collect()
    }

    /// The lines of its dangerous operations on these sides: what somebody approves.
    #[must_use]
    pub(crate) fn dangerous_lines(&self, sides: &[Side]) -> Vec<String> {
        let here = self.ops.iter().filter(|op| op.hazard().is_some());
        let here = here.filter(|_| sides.contains(&Side::Local));
        let there = self.remote.iter().filter(|op| op.hazard().is_some());
        let there = there.filter(|_| sides.contains(&Side::Remote));
        let here = here.map(|op| format!("{} {op}", self.subject));
        here.chain(there.map(|op| format!("{} directory: {op}", self.subject)))
            .collect()
    }

    /// True when neither side is written and nothing is discarded.
    #[must_use]
    pub(crate) fn is_quiet(&self) -> bool {
        self.ops.is_empty()
            && self.remote.is_empty()
            && self.discarded.is_empty()
            && self.password != PasswordMove::TakeRemote
    }

    /// The part that endangers nothing. The link keeps what it has where an operation is left out, so that the next
    /// look plans it again.
    #[must_use]
    pub(crate) fn harmless(&self, old: Option<&Link>) -> Self {
        self.without(&[Side::Local, Side::Remote], old)
    }

    /// The plan without what endangers these sides.
    #[must_use]
    pub(crate) fn without(&self, sides: &[Side], old: Option<&Link>) -> Self {
        let mut part = self.clone();
        // What goes back to the base on both sides does so together, or one side would look like an editor.
        let mut held = BTreeSet::new();
        let mut both = BTreeSet::new();
        let mut note = |field: Field, cause: Cause| {
            held.insert(field);
            if cause == Cause::Reverted {
                both.insert(field);
            }
        };
        for op in self.ops.iter().filter(|op| op.hazard().is_some()) {
            if let (Op::Set { field, cause, .. }, true) = (op, sides.contains(&Side::Local)) {
                note(*field, *cause);
            }
        }
        for op in self.remote.iter().filter(|op| op.hazard().is_some()) {
            if let (RemoteOp::Set { field, cause, .. }, true) = (op, sides.contains(&Side::Remote)) {
                note(*field, *cause);
            }
        }
        let held_here = |op: &Op| match op {
            Op::Set { field, .. } if both.contains(field) => true,
            op => sides.contains(&Side::Local) && op.hazard().is_some(),
        };
        let held_there = |op: &RemoteOp| match op {
            RemoteOp::Set { field, .. } if both.contains(field) => true,
            op => sides.contains(&Side::Remote) && op.hazard().is_some(),
        };
        // The name follows the address.
        let renames = self.remote.iter().any(|op| {
            let address = matches!(
                op,
                RemoteOp::Set {
                    field: Field::Address,
                    ..
                }
            );
            address && held_there(op)
        });
        let follows = |op: &RemoteOp| matches!(op, RemoteOp::Rename { .. } | RemoteOp::Move { .. });
        if let Some(former) = part.remote.iter().find_map(RemoteOp::former_host)
            && sides.contains(&Side::Remote)
        {
            part.home = Some(canonical_host(former));
        }
        let ends_here = |op: &Op| matches!(op, Op::Remove { .. } | Op::MoveAway { .. }) && held_here(op);
        let ends_there = |op: &RemoteOp| *op == RemoteOp::Delete && held_there(op);
        if self.ops.iter().any(ends_here) || self.remote.iter().any(ends_there) {
            part.stand_as_before(old);
        }
        part.ops.retain(|op| !held_here(op));
        part.remote
            .retain(|op| !(held_there(op) || renames && follows(op)));
        if let Some(base) = part.base.as_mut() {
            for field in &held {
                let there = self.pushed().find(|(pushed, _)| pushed == field);
                let there = there.map(|(_, was)| was.clone()).unwrap_or_default();
                not_common_yet(base, old.map(|old| &old.base), *field, &there);
            }
        }
        part.discarded.retain(|lost| !held.contains(&lost.field));
        part.marks.refused.retain(|field, _| !both.contains(field));
        part
    }

    /// An end that is held has not come: a link that said so would be read as one, and turned round, at the next look.
    /// Nor was an edit discarded for it.
    fn stand_as_before(&mut self, old: Option<&Link>) {
        if let Some(old) = old {
            self.standing = old.standing;
            self.base = Some(old.base.clone());
        }
        self.discarded.clear();
    }

    /// The link until the directory has acknowledged: what is still to be written there keeps its old base.
    #[must_use]
    pub(crate) fn meanwhile(&self, old: Option<&Link>) -> LinkValues {
        let mut base = self.base.clone();
        if let Some(base) = base.as_mut() {
            for (field, there) in self.pushed() {
                not_common_yet(base, old.map(|old| &old.base), field, there);
            }
        }
        let ends = |op: &RemoteOp| matches!(op, RemoteOp::Delete | RemoteOp::Create { .. });
        let standing = match old {
            Some(old) if self.remote.iter().any(ends) => old.standing,
            _ => self.standing,
        };
        LinkValues {
            base,
            marks: self.marks.clone(),
            standing,
            passwords: self.passwords,
            until: self.until,
            home: match self.remote.iter().find_map(RemoteOp::former_host) {
                Some(former) => Some(canonical_host(former)),
                None => self.home.clone(),
            },
        }
    }

    /// The link once the directory has acknowledged.
    #[must_use]
    pub(crate) fn settled(&self) -> LinkValues {
        let mut marks = self.marks.clone();
        for (field, _) in self.pushed() {
            marks.refused.remove(&field);
            marks.apart.remove(&field);
        }
        marks.acquaintance = Acquaintance::Made;
        LinkValues {
            base: self.base.clone(),
            marks,
            standing: self.standing,
            passwords: self.passwords,
            until: self.until,
            home: self.home.clone(),
        }
    }

    /// The fields that are written there, and what they are there now.
    fn pushed(&self) -> impl Iterator<Item = (Field, &Values)> + '_ {
        self.remote.iter().filter_map(|op| match op {
            RemoteOp::Set { field, was, .. } => Some((*field, was)),
            _ => None,
        })
    }

    /// The values that the remote operations bring and take away.
    #[must_use]
    pub(crate) fn sent(&self) -> Sent {
        let mut sent = Sent::default();
        for op in &self.remote {
            match op {
                RemoteOp::Create { image, .. } => sent = Sent::entry(image),
                RemoteOp::Set {
                    field, was, values, ..
                } => sent.note(*field, was, values),
                RemoteOp::Delete
                | RemoteOp::Rename { .. }
                | RemoteOp::Move { .. }
                | RemoteOp::Host { .. } => {}
            }
        }
        sent
    }

    /// The digest of the entry after the remote operations, from what it holds now.
    #[must_use]
    pub(crate) fn expected(&self, now: &Image) -> [u8; 32] {
        let mut image = now.clone();
        for op in &self.remote {
            match op {
                RemoteOp::Create { image: new, .. } => image.clone_from(new),
                RemoteOp::Set { field, values, .. } => image.set(*field, values.clone()),
                RemoteOp::Delete => image = Image::default(),
                RemoteOp::Rename { .. } | RemoteOp::Move { .. } | RemoteOp::Host { .. } => {}
            }
        }
        image.digest()
    }

    /// The kind of the intent; none when nothing is written in the directory.
    #[must_use]
    pub(crate) fn intent(&self) -> Option<IntentKind> {
        let disables = |op: &RemoteOp| op.hazard() == Some(Hazard::Disable);
        let kind = |op: &RemoteOp| match op {
            RemoteOp::Delete => IntentKind::Delete,
            RemoteOp::Create { .. } => IntentKind::Create,
            RemoteOp::Rename { .. } | RemoteOp::Move { .. } => IntentKind::Rename,
            op if disables(op) => IntentKind::Disable,
            RemoteOp::Set {
                field: Field::Members,
                ..
            } => IntentKind::Members,
            RemoteOp::Set { .. } | RemoteOp::Host { .. } => IntentKind::Change,
        };
        // The gravest names the intent.
        let rank = |kind: &IntentKind| match kind {
            IntentKind::Members => 0,
            IntentKind::Change => 1,
            IntentKind::Rename => 2,
            IntentKind::Disable => 3,
            IntentKind::Create => 4,
            IntentKind::Delete => 5,
        };
        self.remote.iter().map(kind).max_by_key(rank)
    }
}
