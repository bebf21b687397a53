//! An entry and its attributes, as a search returns them.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::Text;

/// A directory entry: its DN and the attributes that were asked for and may be read.
///
/// Values, and names that are not usual, are slices of the message they came in and keep it alive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The distinguished name, as the server spells it.
    pub dn: String,
    /// The attributes, in the server's order.
    pub attributes: Vec<Attribute>,
}

/// An attribute description and its values, which are a set: their order means nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The description: a name or an OID, with options (`userCertificate;binary`).
    pub name: Text,
    /// The values. None when only types were asked for.
    pub values: Values,
}

/// The values of an attribute. One value, the usual case, needs no allocation.
#[derive(Clone)]
pub struct Values(Inner);

#[derive(Clone)]
enum Inner {
    One([Bytes; 1]),
    Many(Vec<Bytes>),
}

impl Entry {
    /// An entry without attributes.
    #[must_use]
    pub fn new(dn: impl Into<String>) -> Self {
        Self {
            dn: dn.into(),
            attributes: Vec::new(),
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<Text>, values: impl Into<Values>) -> Self {
        self.attributes.push(Attribute::new(name, values));
        self
    }

    /// The attribute with this name, in any case. An attribute of exactly this description comes first, then
    /// one that differs by its options only (`member` finds `member;range=0-1499`).
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        let name = name.as_bytes();
        let mut same_type = None;
        for attribute in &self.attributes {
            // Nearly all differ in their length, or where the name would end.
            let found = attribute.name.as_bytes();
            match found.get(name.len()) {
                None if found.len() == name.len() && same(found, name) => return Some(attribute),
                Some(b';') if same_type.is_none() => {
                    let start = found.get(..name.len()).unwrap_or_default();
                    same_type = same(start, name).then_some(attribute);
                }
                _ => {}
            }
        }
        same_type
    }

    /// The values of the attribute with this name, or none at all; see [`Entry::attribute`].
    #[must_use]
    pub fn get(&self, name: &str) -> &[Bytes] {
        self.attribute(name).map_or(&[], |attribute| &attribute.values)
    }

    /// The first value of the attribute with this name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&Bytes> {
        self.get(name).first()
    }

    /// The first value that is UTF-8 of the attribute with this name.
    #[must_use]
    pub fn first_str(&self, name: &str) -> Option<&str> {
        self.strings(name).next()
    }

    /// The values that are UTF-8 of the attribute with this name.
    pub fn strings<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.get(name)
            .iter()
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Whether `objectClass` holds this class, in any case.
    #[must_use]
    pub fn has_object_class(&self, class: &str) -> bool {
        let class = class.as_bytes();
        self.get("objectClass").iter().any(|value| same(value, class))
    }
}

/// Equal in any case. Who asks mostly spells as the server does.
fn same(one: &[u8], other: &[u8]) -> bool {
    one == other || one.eq_ignore_ascii_case(other)
}

impl Attribute {
    /// An attribute with these values.
    #[must_use]
    pub fn new(name: impl Into<Text>, values: impl Into<Values>) -> Self {
        Self {
            name: name.into(),
            values: values.into(),
        }
    }

    /// The attribute type: the description without its options.
    fn base(&self) -> &[u8] {
        let name = self.name.as_bytes();
        name.split(|byte| *byte == b';').next().unwrap_or_default()
    }

    /// Whether a log must not show the values: `userPassword`, `unicodePwd`, `sambaNTPassword` and the like.
    fn is_secret(&self) -> bool {
        let base = self.base();
        [b"password".as_slice(), b"passwd", b"pwd", b"krbPrincipalKey"]
            .into_iter()
            .any(|word| {
                base.windows(word.len())
                    .any(|part| part.eq_ignore_ascii_case(word))
            })
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_secret() {
            write!(f, "{}: ({} values not shown)", self.name, self.values.len())
        } else {
            write!(f, "{}: {:?}", self.name, self.values)
        }
    }
}

impl Values {
    /// No values.
    #[must_use]
    pub const fn none() -> Self {
        Self(Inner::Many(Vec::new()))
    }

    /// One value.
    #[must_use]
    pub const fn one(value: Bytes) -> Self {
        Self(Inner::One([value]))
    }

    /// Adds a value.
    pub fn push(&mut self, value: Bytes) {
        match &mut self.0 {
            Inner::Many(values) if values.is_empty() => self.0 = Inner::One([value]),
            Inner::Many(values) => values.push(value),
            Inner::One([first]) => self.0 = Inner::Many(vec![std::mem::take(first), value]),
        }
    }
}

impl Deref for Values {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        match &self.0 {
            Inner::One(values) => values,
            Inner::Many(values) => values,
        }
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Values {}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Default for Values {
    fn default() -> Self {
        Self::none()
    }
}

impl From<Bytes> for Values {
    fn from(value: Bytes) -> Self {
        Self::one(value)
    }
}

impl From<&str> for Values {
    fn from(value: &str) -> Self {
        Self::one(Bytes::copy_from_slice(value.as_bytes()))
    }
}

impl From<String> for Values {
    fn from(value: String) -> Self {
        Self::one(Bytes::from(value))
    }
}

impl From<Vec<Bytes>> for Values {
    fn from(mut values: Vec<Bytes>) -> Self {
        match (values.pop(), values.is_empty()) {
            (None, _) => Self::none(),
            (Some(value), true) => Self::one(value),
            (Some(value), false) => {
                values.push(value);
                Self(Inner::Many(values))
            }
        }
    }
}

impl FromIterator<Bytes> for Values {
    fn from_iter<I: IntoIterator<Item = Bytes>>(values: I) -> Self {
        values.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> FromIterator<&'a str> for Values {
    fn from_iter<I: IntoIterator<Item = &'a str>>(values: I) -> Self {
        values
            .into_iter()
            .map(|value| Bytes::copy_from_slice(value.as_bytes()))
            .collect()
    }
}

impl<'a> IntoIterator for &'a Values {
    type Item = &'a Bytes;
    type IntoIter = std::slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry::new("uid=alice,ou=Users,dc=test")
            .with(
                "objectClass",
                ["top", "inetOrgPerson"].into_iter().collect::<Values>(),
            )
            .with("cn;lang-fr", "Alix")
            .with("cn", "Alice")
            .with("userCertificate;binary", Bytes::from_static(&[0x30, 0xff]))
            .with("userPassword", "hunter2")
    }

    #[test]
    fn names_have_no_case_and_options_come_second() {
        let entry = entry();
        assert_eq!(entry.first_str("CN"), Some("Alice"));
        assert_eq!(entry.first_str("cn;LANG-fr"), Some("Alix"));
        assert_eq!(entry.get("usercertificate").len(), 1);
        assert_eq!(entry.first_str("userCertificate"), None);
        assert_eq!(entry.get("cn;lang-de"), &[] as &[Bytes]);
        assert!(entry.has_object_class("INETORGPERSON"));
        assert!(!entry.has_object_class("person"));
    }

    #[test]
    fn values_grow_from_none_to_many() {
        let mut values = Values::none();
        for (count, text) in ["a", "b", "c"].into_iter().enumerate() {
            values.push(Bytes::from(text));
            assert_eq!(values.len(), count + 1);
        }
        assert_eq!(values, ["a", "b", "c"].into_iter().collect::<Values>());
        assert_eq!(Values::from(vec![Bytes::from("a")]), Values::from("a"));
    }

    #[test]
    fn a_log_shows_no_password() {
        let shown = format!("{:?}", entry());
        assert!(shown.contains("Alice") && !shown.contains("hunter2"), "{shown}");
        assert!(!format!("{:?}", Attribute::new("sambaNTPassword", "0123")).contains("0123"));
    }

    proptest! {
        /// An exact description in any case, else one with options more; the first of them.
        #[test]
        fn a_look_up_is_what_it_says(
            names in proptest::collection::vec("[aAbB]{1,2}(;[xX]){0,2}", 0..6), wanted in "[aAbB]{1,2}(;[xX])?",
        ) {
            let entry = names.iter().enumerate().fold(Entry::new("dc=test"), |entry, (index, name)| {
                entry.with(name.as_str(), index.to_string())
            });
            let (wanted, with_options) = (wanted.to_lowercase(), wanted.to_lowercase() + ";");
            let place = |is: &dyn Fn(&str) -> bool| names.iter().position(|name| is(&name.to_lowercase()));
            let expected = place(&|name| name == wanted).or_else(|| place(&|name| name.starts_with(&with_options)));
            let found = entry.first_str(&wanted).map(str::to_owned);
            prop_assert_eq!(found, expected.map(|index| index.to_string()));
            let loud = entry.first_str(&wanted.to_uppercase()).map(str::to_owned);
            prop_assert_eq!(loud, expected.map(|index| index.to_string()));
        }
    }
}
