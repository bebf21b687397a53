//! The base of an association as the store keeps it.

use crate::field::{Field, Image, Values};
use bytes::Bytes;
use model::{Address, EntryUuid};
use std::collections::BTreeMap;

const FIELDS: [Field; 8] = [
    Field::Address,
    Field::Aliases,
    Field::DisplayName,
    Field::Quota,
    Field::Enabled,
    Field::Members,
    Field::PendingMembers,
    Field::AwaitedFrom,
];

/// Field name to values. A member is written `UUID address`, everything else as itself; the canonical form is
/// worked out again when read, so that a better matching rule needs no migration.
pub(crate) fn encode(image: &Image) -> BTreeMap<String, Vec<Bytes>> {
    let text = |field: Field, key: &str, text: &str| match field {
        Field::Members => Bytes::from(format!("{key} {text}")),
        _ => Bytes::from(text.to_owned()),
    };
    image
        .fields()
        .map(|(field, values)| {
            let values = values
                .iter()
                .map(|(key, written)| text(field, key, written))
                .collect();
            (field.name().to_owned(), values)
        })
        .collect()
}

/// Reads it back. A value that does not parse is left out: the merge then sees a change and settles it.
pub(crate) fn decode(base: &BTreeMap<String, Vec<Bytes>>) -> Image {
    let mut image = Image::default();
    for field in FIELDS {
        let texts: Vec<&str> = base
            .get(field.name())
            .into_iter()
            .flatten()
            .filter_map(|value| std::str::from_utf8(value).ok())
            .collect();
        image.set(field, values(field, &texts));
    }
    image
}

fn values(field: Field, texts: &[&str]) -> Values {
    let first = texts.first().copied();
    match field {
        Field::Address | Field::Aliases => {
            let addresses: Vec<Address> = texts
                .iter()
                .filter_map(|text| Address::parse(text).ok())
                .collect();
            Values::addresses(&addresses)
        }
        Field::PendingMembers => Values::entries(texts.iter().filter_map(|text| EntryUuid::parse(text).ok())),
        Field::DisplayName | Field::AwaitedFrom => first.map(Values::text).unwrap_or_default(),
        Field::Quota => first
            .and_then(|text| text.parse().ok())
            .map(Values::number)
            .unwrap_or_default(),
        Field::Enabled => first
            .map(|text| Values::switch(text == "TRUE"))
            .unwrap_or_default(),
        Field::Members => {
            let member = |text: &&str| {
                let (uuid, address) = text.split_once(' ')?;
                Some((EntryUuid::parse(uuid).ok()?, Address::parse(address).ok()?))
            };
            let members: Vec<(EntryUuid, Address)> = texts.iter().filter_map(member).collect();
            Values::members(members.iter().map(|(uuid, address)| (*uuid, address)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let address = |text: &str| Address::parse(text).expect("an address");
        let (one, two) = (address("Alice@example.test"), address("\"a b\"@example.test"));
        let image = Image::default()
            .with(Field::Address, Values::addresses([&one]))
            .with(Field::Aliases, Values::addresses([&two]))
            .with(Field::DisplayName, Values::text("Alice  B"))
            .with(Field::Quota, Values::number(5))
            .with(Field::Enabled, Values::switch(false))
            .with(
                Field::Members,
                Values::members([(EntryUuid::from_bytes([3; 16]), &one)]),
            )
            .with(
                Field::PendingMembers,
                Values::entries([EntryUuid::from_bytes([4; 16])]),
            )
            .with(Field::AwaitedFrom, Values::text("b.test"));
        assert_eq!(decode(&encode(&image)), image);
        assert_eq!(decode(&BTreeMap::new()), Image::default());
    }
}
