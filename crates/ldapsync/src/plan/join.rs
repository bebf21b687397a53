//! Which local object a new entry joins, if any.

use super::op::{Kind, LocalId, LocalState};
use super::situation::{LocalObject, RemoteObject, Situation};
use super::{Reason, subject_of};
use crate::field::{Field, Image};

/// The join rule of the first sight: the entry's address is the object's address, and nothing else. An alias never
/// joins, on neither side: it would let whoever may write aliases in the directory claim postmaster. An object that
/// was removed here, or whose entry was deleted there, keeps its mail for its own entry: a new UUID never receives the old mail of a namesake.
pub(super) fn join<'a>(
    situation: &'a Situation,
    remote: &RemoteObject,
) -> Result<Option<&'a LocalObject>, Reason> {
    // The same entry is the same person, whatever the addresses are by now.
    if let Some(found) = &situation.beside {
        return Ok(Some(found));
    }
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
            let lost = situation.bereaved.iter().find(|(id, _)| *id == found.id);
            return match lost {
                Some((_, former)) => Err(Reason::Stranger {
                    address: subject_of(&found.image, situation.uuid),
                    dn: situation.name.clone(),
                    former: *former,
                }),
                None => Ok(Some(found)),
            };
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
