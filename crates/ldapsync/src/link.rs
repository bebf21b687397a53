//! The base of an association as the store keeps it, and what is remembered beside it.

use crate::field::{Field, Image, Values};
use crate::merge::{Acquaintance, Marks};
use crate::plan::{Digest, Passwords, Standing};
use bytes::Bytes;
use model::{Address, EntryUuid, Timestamp};
use std::collections::BTreeMap;
use store::{LinkState, STATE_UNTIL};

pub(crate) const FIELDS: [Field; 8] = Field::ALL;

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

pub(crate) fn values(field: Field, texts: &[&str]) -> Values {
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

const UNDER_WAY: &str = "acquaintance.under-way";
const HOME: &str = "home";

/// What is not settled and what stands for the passwords, as digests beside the base.
pub(crate) fn encode_digests(
    marks: &Marks,
    passwords: Passwords,
    until: Option<Timestamp>,
) -> BTreeMap<String, Bytes> {
    let mut digests = BTreeMap::new();
    for (field, digest) in &marks.refused {
        digests.insert(format!("refused.{field}"), Bytes::copy_from_slice(digest));
    }
    for (field, both) in &marks.apart {
        digests.insert(format!("apart.{field}"), Bytes::from(both.concat()));
    }
    if marks.acquaintance == Acquaintance::UnderWay {
        digests.insert(UNDER_WAY.to_owned(), Bytes::new());
    }
    let sides = [("local", passwords.local), ("remote", passwords.remote)];
    for (side, digest) in sides {
        if let Some(Digest(digest)) = digest {
            digests.insert(format!("password.{side}"), Bytes::copy_from_slice(&digest));
        }
    }
    if let Some(until) = until {
        let until = until.as_millis().to_be_bytes();
        digests.insert(STATE_UNTIL.to_owned(), Bytes::copy_from_slice(&until));
    }
    digests
}

/// Notes the name of this server that the entry shows.
pub(crate) fn note_home(digests: &mut BTreeMap<String, Bytes>, home: Option<&str>) {
    match home {
        Some(home) => drop(digests.insert(HOME.to_owned(), Bytes::copy_from_slice(home.as_bytes()))),
        None => drop(digests.remove(HOME)),
    }
}

/// The name of this server that the entry showed last; empty when it showed another one since, or none.
pub(crate) fn home(digests: &BTreeMap<String, Bytes>) -> Option<&str> {
    std::str::from_utf8(digests.get(HOME)?).ok()
}

/// When the state of the entry ends by itself.
pub(crate) fn until(digests: &BTreeMap<String, Bytes>) -> Option<Timestamp> {
    let millis = digests.get(STATE_UNTIL)?.as_ref().try_into().ok()?;
    Some(Timestamp::from_millis(u64::from_be_bytes(millis)))
}

/// Whether nothing is remembered of what is not settled.
pub(crate) fn is_plain(digests: &BTreeMap<String, Bytes>) -> bool {
    let settled = ["password.local", "password.remote", STATE_UNTIL, HOME];
    digests.keys().all(|key| settled.contains(&key.as_str()))
}

/// Reads what is not settled. What does not read is left out: the merge then sees an edit and settles it.
pub(crate) fn marks(digests: &BTreeMap<String, Bytes>) -> Marks {
    let mut marks = Marks::default();
    if digests.contains_key(UNDER_WAY) {
        marks.acquaintance = Acquaintance::UnderWay;
    }
    for field in FIELDS {
        let digest = |kind: &str| digests.get(&format!("{kind}.{field}"));
        if let Some(refused) = digest("refused").and_then(|digest| digest.as_ref().try_into().ok()) {
            marks.refused.insert(field, refused);
        }
        if let Some((local, remote)) = digest("apart").and_then(|both| both.split_at_checked(32))
            && let (Ok(local), Ok(remote)) = (local.try_into(), remote.try_into())
        {
            marks.apart.insert(field, [local, remote]);
        }
    }
    marks
}

/// Reads what stands for the passwords.
pub(crate) fn passwords(digests: &BTreeMap<String, Bytes>) -> Passwords {
    let read = |side: &str| {
        let digest = digests.get(&format!("password.{side}"))?;
        Some(Digest(digest.as_ref().try_into().ok()?))
    };
    Passwords {
        local: read("local"),
        remote: read("remote"),
    }
}

/// Where a stored link stands.
pub(crate) fn standing(state: &LinkState) -> Standing {
    match state {
        LinkState::Linked | LinkState::AwaitingMail { .. } => Standing::Linked,
        LinkState::OutOfScope { .. } => Standing::OutOfScope,
        LinkState::Gone { .. } => Standing::Gone,
        LinkState::MovedAway { .. } => Standing::MovedAway,
        LinkState::UnlinkedHeld { .. } => Standing::UnlinkedHeld,
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

    #[test]
    fn digests_that_are_written_are_read() {
        let written = Marks {
            refused: BTreeMap::from([(Field::Quota, [7; 32])]),
            apart: BTreeMap::from([(Field::DisplayName, [[1; 32], [2; 32]])]),
            acquaintance: Acquaintance::UnderWay,
        };
        let both = Passwords {
            local: Some(Digest([3; 16])),
            remote: None,
        };
        let end = Some(Timestamp::from_millis(5));
        let mut digests = encode_digests(&written, both, end);
        let read = (marks(&digests), passwords(&digests), until(&digests));
        assert_eq!(read, (written, both, end));
        digests.insert("apart.display_name".into(), Bytes::from_static(b"short"));
        assert!(marks(&digests).apart.is_empty(), "damaged");
    }
}
