//! Names that nobody wants, for objects and entries that step aside.
//!
//! Two people who swap their addresses stand in a circle: one takes such a name for a moment. An account that has moved
//! away and whose entry is gone takes one for good, so that a successor can have its addresses.

use super::situation::LocalObject;
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
pub(super) fn is_parked(image: &Image) -> bool {
    let stepped_aside = |key: &str| {
        let name = key.split_once('@').map(|(name, _)| name);
        name.and_then(|name| name.strip_prefix(PREFIX))
            .is_some_and(|uuid| EntryUuid::parse(uuid).is_ok())
    };
    image
        .get(Field::Address)
        .iter()
        .any(|(key, _)| stepped_aside(key))
}

/// It takes its addresses back.
pub(super) fn unpark(local: &LocalObject, base: &Image, writes: &mut Vec<Write>) {
    writes.retain(|write| !matches!(write.field, Field::Address | Field::Aliases));
    for field in [Field::Aliases, Field::Address] {
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
