//! Names that nobody wants, for objects and entries that step aside.
//!
//! Two people who swap their addresses stand in a circle: one takes such a name for a moment. An account that has moved
//! away and whose entry is gone takes one for good, so that a successor can have its addresses.

use super::op::LocalState;
use super::situation::{Link, LocalObject, RemoteObject};
use crate::field::{Field, Image};
use crate::merge::{Cause, Write};
use ldap::{Dn, Rdn};
use model::{Address, EntryUuid};

const PREFIX: &str = "parked-";

/// The address of an object that steps aside.
pub(crate) fn parked(uuid: EntryUuid, address: &Address) -> Option<Address> {
    Address::parse(&format!("{PREFIX}{uuid}@{}", address.domain())).ok()
}

/// The name of an entry that steps aside: with the attribute of its name of before.
pub(crate) fn parked_rdn(uuid: EntryUuid, now: &Rdn) -> Option<Rdn> {
    let attribute = now.parts().first()?.attribute();
    Rdn::new(attribute, format!("{PREFIX}{uuid}")).ok()
}

/// Whether an entry has stepped aside, now or a crash ago.
pub(crate) fn is_parked_name(uuid: EntryUuid, dn: &Dn) -> bool {
    let parked = dn.rdn().and_then(|rdn| parked_rdn(uuid, rdn));
    let key = |rdn: &Rdn| Dn::from_rdns(vec![rdn.clone()]).key();
    parked.is_some_and(|parked| dn.rdn().is_some_and(|rdn| key(rdn) == key(&parked)))
}

/// Whether an object has stepped aside, now or a crash ago. Whose UUID it is does not matter: another connector may
/// have asked it to.
pub(crate) fn is_parked(image: &Image) -> bool {
    image
        .get(Field::Address)
        .iter()
        .any(|(key, _)| stepped_aside(key))
}

/// The same of an address.
pub(crate) fn is_parked_address(address: &Address) -> bool {
    stepped_aside(&address.key())
}

fn stepped_aside(key: &str) -> bool {
    let name = key.split_once('@').map(|(name, _)| name);
    name.and_then(|name| name.strip_prefix(PREFIX))
        .is_some_and(|uuid| EntryUuid::parse(uuid).is_ok())
}

/// The object as if it had not stepped aside: our own name for a moment is no edit of anybody's, so it stands for the
/// address that was common last. When somebody here has that one by now, a crash came between the two halves of a swap,
/// and what is left is the address that the entry has. So it is where another connector has asked it to, and this one meets it
/// for the first time.
pub(super) fn as_if_not_parked(
    local: &LocalObject,
    link: Option<&Link>,
    remote: &RemoteObject,
    holders: &[LocalObject],
) -> Image {
    let taken = holders.iter().any(|holder| holder.id != local.id);
    let known = link.map_or(&remote.image, |link| &link.base);
    let from = if taken { &remote.image } else { known };
    let mut image = local.image.clone();
    image.set(Field::Address, from.get(Field::Address).clone());
    if loses_aliases(local) {
        image.set(Field::Aliases, known.get(Field::Aliases).clone());
    }
    image
}

/// Whoever steps aside for good gives all of them up; for a moment, only those that its plan takes from it.
const fn loses_aliases(local: &LocalObject) -> bool {
    matches!(local.state, LocalState::MovedAway { .. })
}

/// It takes its addresses back.
pub(super) fn unpark(local: &LocalObject, base: &Image, writes: &mut Vec<Write>) {
    let fields: &[Field] = match loses_aliases(local) {
        true => &[Field::Aliases, Field::Address],
        false => &[Field::Address],
    };
    writes.retain(|write| !fields.contains(&write.field));
    for field in fields.iter().copied() {
        let (was, values) = (local.image.get(field), base.get(field));
        if was != values {
            writes.insert(
                0,
                Write {
                    field,
                    was: was.clone(),
                    values: values.clone(),
                    cause: Cause::Changed,
                },
            );
        }
    }
}
