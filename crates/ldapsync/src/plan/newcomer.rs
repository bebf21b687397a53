//! A local object that no entry is linked to.

use super::op::{Kind, LocalId, LocalState};
use super::parking::is_parked;
use super::present::image_to_create;
use super::situation::{LocalObject, Policy, Standing};
use super::{Reason, kind_of};
use crate::field::{Field, Image, Values};
use directory::config::Direction;
use model::EntryUuid;

/// Everything that is known about a local object without an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newcomer {
    /// The object.
    pub(crate) local: LocalObject,
    /// Where its link with this connector stands, if it has one all the same.
    pub(crate) standing: Option<Standing>,
    /// The entries, in scope or not, that have one of its addresses.
    pub(crate) found: Vec<Found>,
    /// Why it cannot be told who has one of its addresses.
    pub(crate) untold: Option<Reason>,
    /// The entry that it had before, which is gone: it gets another one, and joins none that somebody else made.
    pub(crate) former: Option<EntryUuid>,
    /// The address of an entry that was to be made for it, where no answer to that came.
    pub(crate) sent: Values,
}

impl Newcomer {
    /// An object that no entry was looked for.
    pub(crate) fn alone(local: LocalObject) -> Self {
        Self {
            local,
            standing: None,
            found: Vec::new(),
            untold: None,
            former: None,
            sent: Values::NONE,
        }
    }
}

/// An entry that has an address of a newcomer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) uuid: EntryUuid,
    pub(crate) dn: String,
    /// What it is; none when it is out of scope or of another home.
    pub(crate) kind: Option<Kind>,
    /// Its addresses.
    pub(crate) image: Image,
    /// The object that it is linked to.
    pub(crate) linked_to: Option<LocalId>,
    /// Whether it is what a write of ours was to make, whose answer never came.
    pub(crate) ours: bool,
}

/// What becomes of a newcomer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Birth {
    /// Nothing: the direction makes no entries, the object is not in use, or it was unlinked by hand.
    Leave,
    /// Look at this entry: the ordinary plan joins the two.
    Join(EntryUuid),
    /// A new entry.
    Create(Creation),
    /// A person must look.
    SetAside(Reason),
}

/// A new entry for a local object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Creation {
    /// The object.
    pub(crate) local: LocalId,
    /// What people know it by.
    pub(crate) subject: String,
    /// Account or group.
    pub(crate) kind: Kind,
    /// The entry's fields, and the base of the new link.
    pub(crate) image: Image,
    /// Members of a group that wait for entries of their own.
    pub(crate) waiting: Vec<String>,
    /// The entry that the object had before, which is gone.
    #[serde(skip)]
    pub(crate) former: Option<EntryUuid>,
}

impl Creation {
    /// Its diff line.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let op = super::RemoteOp::Create {
            kind: self.kind,
            image: self.image.clone(),
        };
        format!("{} directory: {op}", self.subject)
    }
}

/// Decides about a newcomer. Pure.
#[must_use]
pub(crate) fn plan_newcomer(newcomer: &Newcomer, policy: &Policy) -> Birth {
    let local = &newcomer.local;
    let in_use = matches!(local.state, LocalState::Active);
    if policy.direction == Direction::LdapToLocal || !in_use || newcomer.standing.is_some() {
        return Birth::Leave;
    }
    if let Some(reason) = &newcomer.untold {
        return Birth::SetAside(reason.clone());
    }
    let address = local.image.get(Field::Address);
    let subject = address.first().unwrap_or_default().to_owned();
    if is_parked(&local.image) {
        return Birth::SetAside(Reason::StandsAside { address: subject });
    }
    // It was renamed here since: the entry follows, and gets no second one beside it.
    let is_made = |found: &&Found| {
        let unchanged = found.image.get(Field::Address).equals(&newcomer.sent);
        found.ours && unchanged && !newcomer.sent.is_empty() && newcomer.former.is_none()
    };
    let free = |found: &&Found| found.linked_to.is_none() && found.kind == Some(kind_of(local.id));
    if let Some(found) = newcomer.found.iter().filter(is_made).find(free) {
        return Birth::Join(found.uuid);
    }
    let owners: Vec<&Found> = newcomer
        .found
        .iter()
        .filter(|found| found.image.get(Field::Address).equals(address))
        .collect();
    match owners.as_slice() {
        [] => {}
        [found] if found.linked_to.is_none() && found.kind == Some(kind_of(local.id)) => {
            return match newcomer.former {
                Some(former) if !found.ours => Birth::SetAside(Reason::Stranger {
                    address: subject,
                    dn: found.dn.clone(),
                    former,
                }),
                _ => Birth::Join(found.uuid),
            };
        }
        // Linked to another object, out of scope, of another home or of another kind: not ours to take.
        [found] => {
            return Birth::SetAside(Reason::TakenInDirectory {
                address: subject,
                dn: found.dn.clone(),
            });
        }
        several => {
            return Birth::SetAside(Reason::SeveralEntries {
                address: subject,
                dns: several.iter().map(|found| found.dn.clone()).collect(),
            });
        }
    }
    // An alias joins nothing, and two entries with one address receive nobody's mail.
    let keys = |image: &Image| {
        let both = [Field::Address, Field::Aliases];
        both.map(|field| image.get(field).clone())
    };
    let mine = keys(&local.image);
    let shared = newcomer.found.iter().find_map(|found| {
        let theirs = keys(&found.image);
        let has = |key: &str| mine.iter().any(|values| values.has(key));
        let mut theirs = theirs.iter().flat_map(|values| values.iter());
        let (_, text) = theirs.find(|(key, _)| has(key))?;
        Some((text.to_owned(), found.dn.clone()))
    });
    if let Some((address, dn)) = shared {
        return Birth::SetAside(Reason::TakenInDirectory { address, dn });
    }
    Birth::Create(Creation {
        local: local.id,
        subject,
        kind: kind_of(local.id),
        image: image_to_create(local),
        waiting: local
            .members_without_entry
            .iter()
            .map(ToString::to_string)
            .collect(),
        former: newcomer.former,
    })
}
