//! From the remote half of a plan to writes in the directory's own words.

use super::outlet::Outlet;
use crate::field::{Field, Image, Values};
use crate::plan::{Kind, RemoteOp};
use directory::EntryKind;
use directory::export::Disabled;
use directory::write::{
    AttributeChange, Before, MailObject, Precondition, Property, Schema, Target, Unwritable, Write,
};
use ldap::{Dn, Entry};
use model::{Address, Domain, EntryUuid};
use std::collections::HashMap;

/// What is known of the entry that is written.
pub(super) struct Entity<'a> {
    pub(super) uuid: EntryUuid,
    pub(super) dn: &'a str,
    /// The entry itself, for values that the mapping folds together.
    pub(super) entry: Option<&'a Entry>,
    pub(super) precondition: Precondition,
}

/// What every write of a connector goes by.
pub(super) struct Terms<'a> {
    pub(super) outlet: &'a dyn Outlet,
    pub(super) schema: &'a Schema,
    /// The domains whose objects are written.
    pub(super) domains: &'a [Domain],
    /// With `clustered`: what new entries say of their home.
    pub(super) host: Option<&'a str>,
    /// The DNs of members.
    pub(super) members: &'a HashMap<EntryUuid, String>,
}

impl Terms<'_> {
    /// The writes of one existing entry, in their order. None for a plan that comes to nothing there.
    pub(super) fn writes(&self, entity: &Entity<'_>, ops: &[RemoteOp]) -> Result<Vec<Write>, Unwritable> {
        let target = || Target {
            uuid: entity.uuid,
            dn: entity.dn.to_owned(),
        };
        let (mut changes, mut writes) = (Vec::new(), Vec::new());
        // A move keeps the name that is there, and a rename the place.
        let (mut name, mut place) = (None, None);
        changes.extend(self.addresses(entity, ops));
        for op in ops {
            match op {
                RemoteOp::Set {
                    field: Field::Address | Field::Aliases,
                    ..
                } => {}
                RemoteOp::Set {
                    field, was, values, ..
                } => {
                    changes.extend(self.change(entity, *field, was, values)?);
                }
                RemoteOp::Host { was, now } => {
                    let (was, now) = ([was.clone()], [now.clone()]);
                    changes.extend(self.outlet.vocabulary().change(Property::Host, &was, &now));
                }
                RemoteOp::Rename { rdn } => {
                    name = Dn::parse(rdn).ok().and_then(|dn| dn.rdn().cloned());
                }
                RemoteOp::Move { parent } => place = Dn::parse(parent).ok(),
                RemoteOp::Delete => {
                    let (target, precondition) = (target(), entity.precondition.clone());
                    return Ok(vec![Write::Delete { target, precondition }]);
                }
                // New entries are `create`'s.
                RemoteOp::Create { .. } => {}
            }
        }
        let now = Dn::parse(entity.dn).ok().and_then(|dn| dn.rdn().cloned());
        if let (true, Some(rdn)) = (name.is_some() || place.is_some(), name.or(now)) {
            writes.push(Write::Rename {
                target: target(),
                precondition: entity.precondition.clone(),
                rdn,
                new_parent: place,
            });
        }
        // The name first: whatever ends between the two, the address still differs, and all of it is planned again.
        if !changes.is_empty() {
            writes.push(Write::Modify {
                target: target(),
                precondition: entity.precondition.clone(),
                changes,
            });
        }
        Ok(writes)
    }

    fn change(
        &self,
        entity: &Entity<'_>,
        field: Field,
        was: &Values,
        values: &Values,
    ) -> Result<Option<AttributeChange>, Unwritable> {
        let vocabulary = self.outlet.vocabulary();
        let property = match field {
            Field::DisplayName => {
                return Ok(vocabulary.name_change(entity.entry, &texts(was), &texts(values)));
            }
            Field::Quota => Property::Quota,
            Field::Members => {
                let names = |values: &Values| self.names(values);
                return Ok(vocabulary.change(Property::Members, &names(was), &names(values)));
            }
            Field::Enabled => {
                let disabled = switch(values);
                let none = Entry::new(entity.dn.to_owned());
                return vocabulary.switch(entity.entry.unwrap_or(&none), disabled);
            }
            // `addresses` has both, because one attribute may show both.
            Field::Address | Field::Aliases | Field::PendingMembers | Field::AwaitedFrom => return Ok(None),
        };
        Ok(vocabulary.change(property, &texts(was), &texts(values)))
    }

    /// What becomes of the address and the aliases.
    fn addresses(&self, entity: &Entity<'_>, ops: &[RemoteOp]) -> Vec<AttributeChange> {
        let of = |wanted: Field| {
            ops.iter().find_map(|op| match op {
                RemoteOp::Set {
                    field, was, values, ..
                } if *field == wanted => Some((texts(was), texts(values))),
                _ => None,
            })
        };
        let (address, aliases) = (of(Field::Address), of(Field::Aliases));
        self.outlet.vocabulary().address_changes(
            entity.entry,
            address.as_ref().map(|(was, now)| Before { was, now }),
            aliases.as_ref().map(|(was, now)| Before { was, now }),
        )
    }

    /// The DNs of members that are known; the others wait for theirs.
    fn names(&self, values: &Values) -> Vec<String> {
        let members = values.to_members();
        members
            .filter_map(|(uuid, _)| self.members.get(&uuid).cloned())
            .collect()
    }

    /// Where the configuration would put an object with this address.
    pub(super) fn name(&self, kind: Kind, address: &Address) -> Option<Dn> {
        let image = Image::default().with(Field::Address, Values::addresses([address]));
        let object = self.object(kind, &image)?;
        let new = self.outlet.vocabulary().entry(&object, self.domains, self.schema);
        new.ok().map(|new| new.entry.dn())
    }

    /// The write that makes a new entry; none when the object has no address.
    pub(super) fn create(&self, kind: Kind, image: &Image) -> Result<Option<Write>, Unwritable> {
        let Some(object) = self.object(kind, image) else {
            return Ok(None);
        };
        let new = self
            .outlet
            .vocabulary()
            .entry(&object, self.domains, self.schema)?;
        if !new.left_out.is_empty() {
            tracing::info!(address = %object.address, left_out = ?new.left_out, "the directory has no place for all of it");
        }
        Ok(Some(Write::Add(new.entry)))
    }

    fn object(&self, kind: Kind, image: &Image) -> Option<MailObject> {
        let entry_kind = match kind {
            Kind::Account => EntryKind::Account,
            Kind::Group => EntryKind::Group,
        };
        let mut object = MailObject::new(entry_kind, image.address()?);
        object.aliases = image.get(Field::Aliases).to_addresses().collect();
        object.display_name = image.get(Field::DisplayName).first().map(str::to_owned);
        object.quota = image
            .get(Field::Quota)
            .first()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        object.disabled = switch(image.get(Field::Enabled));
        object.members = self.names(image.get(Field::Members));
        // Groups belong to every server.
        object.host = self.host.filter(|_| kind == Kind::Account).map(str::to_owned);
        Some(object)
    }
}

fn switch(values: &Values) -> Disabled {
    if values.equals(&Values::switch(false)) {
        Disabled::Yes
    } else {
        Disabled::No
    }
}

fn texts(values: &Values) -> Vec<String> {
    values.iter().map(|(_, text)| text.to_owned()).collect()
}
