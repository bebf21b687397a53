//! Account and group attributes as canonical value sets, so that two sides can be compared.

use model::{Address, EntryUuid};
use serde::ser::SerializeMap;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What is kept equal between a directory entry and a local object. The order is the order of a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The primary address.
    Address,
    /// Further addresses.
    Aliases,
    /// The name that people see.
    DisplayName,
    /// Storage limit in bytes; 0 is none.
    Quota,
    /// Whether login is allowed.
    Enabled,
    /// Members of a group, by UUID.
    Members,
    /// Members that have no address yet. Only a base holds this field: it tells which groups to read again
    /// when an entry gets its address.
    PendingMembers,
    /// The home that still holds an account's mail: kept in the base as long as the mail has not come.
    AwaitedFrom,
}

impl Field {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Address,
        Self::Aliases,
        Self::DisplayName,
        Self::Quota,
        Self::Enabled,
        Self::Members,
        Self::PendingMembers,
        Self::AwaitedFrom,
    ];

    /// The name in diffs and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Aliases => "aliases",
            Self::DisplayName => "display_name",
            Self::Quota => "quota",
            Self::Enabled => "enabled",
            Self::Members => "members",
            Self::PendingMembers => "pending_members",
            Self::AwaitedFrom => "awaited_from",
        }
    }
}

impl Field {
    /// Whether the field holds a set, whose elements are merged one by one.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::Aliases | Self::Members)
    }

    /// What an entry that does not say means: login is allowed, there is no limit.
    pub(crate) fn unsaid(self) -> Values {
        match self {
            Self::Enabled => Values::switch(true),
            Self::Quota => Values::number(0),
            _ => Values::NONE,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The values of one field: canonical form (by the attribute's LDAP matching rule) to the form in which it
/// is written. Two sets are *equal* when their canonical forms agree, and *identical* when the written forms
/// agree too; without the first, a directory that changes case or spaces would look like an editor.
///
/// Never changed once made, so a clone is a reference count: a plan has an object's values many times.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Values(Option<Arc<[Value]>>);

/// One value. Sorted by `key`, each key once.
#[derive(Clone, PartialEq, Eq)]
struct Value {
    key: Box<str>,
    /// As it is written, where that is not the canonical form.
    text: Option<Box<str>>,
}

impl Value {
    fn new(key: String, text: String) -> Self {
        let text = (key != text).then(|| text.into_boxed_str());
        Self {
            key: key.into(),
            text,
        }
    }

    /// The same, where nobody has the written form yet.
    fn written(key: String, text: &str) -> Self {
        let text = (key != text).then(|| text.into());
        Self {
            key: key.into(),
            text,
        }
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or(&self.key)
    }
}

/// Whether this is ASCII, something, and without a space too many: most names are.
fn is_squeezed(text: &str) -> bool {
    let mut behind_space = true;
    for byte in text.bytes() {
        match byte {
            b' ' if behind_space => return false,
            b' ' => behind_space = true,
            0x21..=0x7e => behind_space = false,
            _ => return false,
        }
    }
    !behind_space
}

/// What [`Image::get`] lends out for a field that is not there.
static NOTHING: Values = Values::NONE;

impl Values {
    /// No value.
    pub const NONE: Self = Self(None);

    /// Of two values with one canonical form the later one stays.
    fn of(mut values: Vec<Value>) -> Self {
        if values.is_empty() {
            return Self::NONE;
        }
        if values.len() > 1 {
            values.sort_by(|one, other| one.key.cmp(&other.key));
            values.dedup_by(|later, kept| {
                let same = later.key == kept.key;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Self(Some(values.into()))
    }

    fn all(&self) -> &[Value] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Addresses, compared without case (caseIgnoreIA5Match of `mail`, RFC 4524 section 2.16).
    pub fn addresses<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Self {
        let values = addresses.into_iter();
        Self::of(
            values
                .map(|address| Value::written(address.key(), &address.written()))
                .collect(),
        )
    }

    /// A name: case and the number of spaces do not matter (caseIgnoreMatch, RFC 4518 section 2.6.1).
    #[must_use]
    pub fn text(text: &str) -> Self {
        if is_squeezed(text) {
            return Self(Some(Arc::new([Value::written(text.to_ascii_lowercase(), text)])));
        }
        let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if squeezed.is_empty() {
            Self::NONE
        } else {
            Self::one(squeezed.to_lowercase(), squeezed)
        }
    }

    /// A number (integerMatch).
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::same(number.to_string())
    }

    /// A switch (booleanMatch).
    #[must_use]
    pub fn switch(on: bool) -> Self {
        Self::same(if on { "TRUE" } else { "FALSE" }.to_owned())
    }

    /// Group members: compared by UUID, written with their address.
    pub fn members<'a>(members: impl IntoIterator<Item = (EntryUuid, &'a Address)>) -> Self {
        let values = members.into_iter();
        Self::of(
            values
                .map(|(uuid, address)| Value::new(uuid.to_string(), address.to_string()))
                .collect(),
        )
    }

    /// Entries, by UUID alone.
    pub fn entries(entries: impl IntoIterator<Item = EntryUuid>) -> Self {
        let value = |uuid: EntryUuid| Value {
            key: uuid.to_string().into(),
            text: None,
        };
        Self::of(entries.into_iter().map(value).collect())
    }

    fn one(key: String, text: String) -> Self {
        Self(Some(Arc::new([Value::new(key, text)])))
    }

    fn same(key: String) -> Self {
        let key = key.into_boxed_str();
        Self(Some(Arc::new([Value { key, text: None }])))
    }

    /// True when there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// True when both hold the same values by the matching rule.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.iter()
            .map(|(key, _)| key)
            .eq(other.iter().map(|(key, _)| key))
    }

    /// Canonical and written form of each value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().iter().map(|value| (&*value.key, value.text()))
    }

    /// The written form of the only, or first, value.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.all().first().map(Value::text)
    }

    /// Values of this set that `other` lacks.
    pub fn missing_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter(|(key, _)| !other.has(key))
    }

    /// True when `key`, a canonical form, is among the values.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let found = self.all().binary_search_by(|value| (*value.key).cmp(key));
        found.is_ok()
    }

    /// Values by canonical and written form.
    pub(crate) fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = pairs.into_iter();
        Self::of(
            values
                .map(|(key, text)| Value::new(key.to_owned(), text.to_owned()))
                .collect(),
        )
    }

    /// The values that `other` lacks.
    #[must_use]
    pub(crate) fn without(&self, other: &Self) -> Self {
        if !self.iter().any(|(key, _)| other.has(key)) {
            return self.clone();
        }
        Self::from_pairs(self.missing_in(other))
    }

    /// Says the same of two sets exactly when they are identical.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        for (key, text) in self.iter() {
            for part in [key, text] {
                hash.update(&(part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        *hash.finalize().as_bytes()
    }

    /// The values as addresses; what does not parse was never accepted, so it is skipped.
    pub fn to_addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.iter().filter_map(|(_, text)| Address::parse(text).ok())
    }

    /// The values as group members.
    pub fn to_members(&self) -> impl Iterator<Item = (EntryUuid, Address)> + '_ {
        self.iter()
            .filter_map(|(key, text)| Some((EntryUuid::parse(key).ok()?, Address::parse(text).ok()?)))
    }
}

/// `a, b`, or `-` for nothing: for diffs.
impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (index, (_, text)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{text}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl serde::Serialize for Values {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.all().len()))?;
        for (key, text) in self.iter() {
            map.serialize_entry(key, text)?;
        }
        map.end()
    }
}

impl<'de> serde::Deserialize<'de> for Values {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(Self::of(
            map.into_iter().map(|(key, text)| Value::new(key, text)).collect(),
        ))
    }
}

/// An object as a set of fields. A field that is not there has no value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Image([Values; Field::ALL.len()]);

impl Image {
    /// The values of `field`.
    #[must_use]
    pub fn get(&self, field: Field) -> &Values {
        self.0.get(field as usize).unwrap_or(&NOTHING)
    }

    /// Replaces the values of `field`.
    pub fn set(&mut self, field: Field, values: Values) {
        if let Some(place) = self.0.get_mut(field as usize) {
            *place = values;
        }
    }

    /// The same, for building.
    #[must_use]
    pub fn with(mut self, field: Field, values: Values) -> Self {
        self.set(field, values);
        self
    }

    /// The fields that have a value.
    pub fn fields(&self) -> impl Iterator<Item = (Field, &Values)> {
        let all = Field::ALL.into_iter().zip(&self.0);
        all.filter(|(_, values)| !values.is_empty())
    }

    /// Says the same of two images when they are equal by matching rule. It is what a look at an entry after a
    /// crash is compared with, so values that a server spells in its own way do not matter; nor does what only a
    /// base holds.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        let shared = |field: &Field| !matches!(field, Field::PendingMembers | Field::AwaitedFrom);
        for (field, values) in self.fields().filter(|(field, _)| shared(field)) {
            hash.update(field.name().as_bytes());
            hash.update(b"\0");
            for (key, _) in values.iter() {
                hash.update(&(key.len() as u64).to_be_bytes());
                hash.update(key.as_bytes());
            }
        }
        *hash.finalize().as_bytes()
    }

    /// The primary address.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.get(Field::Address).to_addresses().next()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.fields()).finish()
    }
}

impl serde::Serialize for Image {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields())
    }
}

impl<'de> serde::Deserialize<'de> for Image {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<Field, Values>::deserialize(deserializer)?;
        let start = Self::default();
        Ok(fields
            .into_iter()
            .fold(start, |image, (field, values)| image.with(field, values)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_follows_the_matching_rule() {
        let parse = |text| Address::parse(text).expect("an address");
        let (a, b) = (parse("Alice@Example.test"), parse("alice@example.TEST"));
        assert!(Values::addresses([&a]).equals(&Values::addresses([&b])));
        assert_ne!(Values::addresses([&a]), Values::addresses([&b]));
        assert!(Values::text(" Alice   EXAMPLE ").equals(&Values::text("alice example")));
        assert!(Values::text("  ").is_empty());
        assert!(!Values::switch(true).equals(&Values::switch(false)));
        let uuid = EntryUuid::from_bytes([7; 16]);
        assert!(Values::members([(uuid, &a)]).equals(&Values::members([(uuid, &parse("new@example.test"))])));
    }

    #[test]
    fn spaces_are_squeezed_and_most_names_need_it_not() {
        for (text, key, written) in [
            ("Alice Example", "alice example", "Alice Example"),
            (
                " Alice\u{a0} \tExample\u{1}",
                "alice example\u{1}",
                "Alice Example\u{1}",
            ),
            ("Ärger  B", "ärger b", "Ärger B"),
            ("plain", "plain", "plain"),
        ] {
            let values = Values::text(text);
            assert_eq!(values.iter().collect::<Vec<_>>(), [(key, written)], "{text:?}");
        }
        assert!(!is_squeezed("") && !is_squeezed("a ") && !is_squeezed(" a") && is_squeezed("a b"));
    }

    #[test]
    fn digests_tell_images_apart_by_matching_rule() {
        let parse = |text: &str| Address::parse(text).expect("an address");
        let image = |mail: &str, name: &str| {
            Image::default()
                .with(Field::Address, Values::addresses([&parse(mail)]))
                .with(Field::DisplayName, Values::text(name))
        };
        let one = image("alice@example.test", "Alice B");
        assert_eq!(one.digest(), image("Alice@example.test", "alice  b").digest());
        assert_ne!(one.digest(), image("alice@example.test", "Alice C").digest());
        let waiting = one.clone().with(Field::AwaitedFrom, Values::text("b.test"));
        assert_eq!(one.digest(), waiting.digest());
        let [a, b] = ["a", "A"].map(|text| Values::text(text).digest());
        assert_ne!(a, b, "a set's digest sees the spelling");
    }

    #[test]
    fn of_two_spellings_the_later_one_stays_and_json_is_a_map() {
        let parse = |text: &str| Address::parse(text).expect("an address");
        let both = [
            parse("b@example.test"),
            parse("A@example.test"),
            parse("a@Example.test"),
        ];
        let values = Values::addresses(&both);
        let told: Vec<_> = values.iter().collect();
        assert_eq!(
            told,
            [
                ("a@example.test", "a@example.test"),
                ("b@example.test", "b@example.test")
            ]
        );
        let image = Image::default()
            .with(Field::Address, Values::addresses(&both[1..2]))
            .with(Field::Enabled, Values::switch(true));
        let json = serde_json::to_string(&image).expect("writes");
        assert_eq!(
            json,
            r#"{"address":{"a@example.test":"A@example.test"},"enabled":{"TRUE":"TRUE"}}"#
        );
        assert_eq!(serde_json::from_str::<Image>(&json).expect("reads"), image);
        for (place, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, place);
        }
    }

    #[test]
    fn an_empty_field_is_no_field() {
        let mut image = Image::default().with(Field::Quota, Values::number(5));
        image.set(Field::Quota, Values::NONE);
        assert_eq!(image, Image::default());
        assert_eq!(image.get(Field::Quota).to_string(), "-");
    }
}
