//! Distinguished names.
//!
//! Owns [`Dn`], [`Rdn`] and [`Ava`] (one attribute type with its value): parsing, printing, and comparing them
//! in a normalised form. A value enters a name only as a value, through [`Rdn::new`] or the parser, so no
//! caller ever joins text into a DN.
//!
//! Never asks a server or a schema: every attribute is compared as if its matching rule ignored case and
//! runs of spaces, which is what naming attributes use in practice.
//!
//! Follows RFC 4514 (the string form) and RFC 4512 section 2.3 (what a name is).

mod escape;
mod key;
mod parse;

use parse::parse_rdn;
pub(crate) use parse::{RawAva, RawRdn, decode_value, is_attribute_type, parse_ava, split, split_rdn};

use std::fmt;
use std::hash::{Hash, Hasher};

/// A distinguished name: the RDNs from the entry itself up to the root. The root DSE has none.
///
/// Two names are equal when their normalised forms are: case, spaces, the order inside a multi-valued RDN,
/// the way of escaping and the spelling of well-known attribute types (`cn`, `commonName`, `2.5.4.3`) do not count.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Dn {
    rdns: Vec<Rdn>,
}

/// A relative distinguished name: one or more attribute values that tell an entry from its siblings.
#[derive(Clone)]
pub struct Rdn {
    parts: Vec<Ava>,
    /// The normalised form, made once, that equality and hashing look at.
    key: Box<[u8]>,
}

/// An attribute type and one value of it, inside an RDN.
#[derive(Debug, Clone)]
pub struct Ava {
    attribute: String,
    value: Value,
}

/// How the value was given.
#[derive(Debug, Clone)]
enum Value {
    /// As a string. The octets need not be UTF-8: a hex pair may stand for any octet.
    Text(Vec<u8>),
    /// As `#` and the hex of a BER encoding (RFC 4514 section 2.4).
    Ber(Vec<u8>),
}

/// Why a text is not a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a DN at character {}: {problem}", position + 1)]
pub struct DnError {
    /// The offset in bytes of the fault.
    pub position: usize,
    /// What is wrong there and what would be right.
    pub problem: &'static str,
}

impl Dn {
    /// The name of the root DSE, which has no RDN.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads the string form. Spaces around `,`, `+` and `=` are allowed as RFC 4514 section 2 lets a reader do;
    /// quoted values and `;` as separator (LDAPv2) are not.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        let rdns = split(text)?
            .into_iter()
            .map(parse_rdn)
            .collect::<Result<_, _>>()?;
        Ok(Self { rdns })
    }

    /// A name out of its RDNs, the entry's own first.
    #[must_use]
    pub fn from_rdns(rdns: Vec<Rdn>) -> Self {
        Self { rdns }
    }

    /// The RDNs, the entry's own first.
    #[must_use]
    pub fn rdns(&self) -> &[Rdn] {
        &self.rdns
    }

    /// The entry's own RDN; none for the root DSE.
    #[must_use]
    pub fn rdn(&self) -> Option<&Rdn> {
        self.rdns.first()
    }

    /// The name of the entry above; none for the root DSE.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.rdns.split_first()?;
        Some(Self { rdns: above.to_vec() })
    }

    /// The name of the entry `rdn` right below this one.
    #[must_use]
    pub fn child(&self, rdn: Rdn) -> Self {
        let mut rdns = Vec::with_capacity(self.rdns.len() + 1);
        rdns.push(rdn);
        rdns.extend_from_slice(&self.rdns);
        Self { rdns }
    }

    /// True when this entry lies anywhere below `ancestor`. No entry is below itself.
    #[must_use]
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.rdns.len() > ancestor.rdns.len() && self.rdns.ends_with(&ancestor.rdns)
    }

    /// True for the root DSE's name.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The normalised form as bytes, for maps and digests; equal names have equal keys and unequal names do not.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        for rdn in &self.rdns {
            if !key.is_empty() {
                key.push(b',');
            }
            key.extend_from_slice(&rdn.key);
        }
        key
    }
}

impl Rdn {
    /// An RDN of one attribute. The value is taken as it is, whatever characters it has.
    pub fn new(attribute: &str, value: impl Into<Vec<u8>>) -> Result<Self, DnError> {
        if !is_attribute_type(attribute) {
            return Err(DnError {
                position: 0,
                problem: "an attribute type is a name of letters, digits and hyphens, or a numeric OID",
            });
        }
        Ok(Self::from_parts(vec![Ava::text(attribute, value.into())]))
    }

    /// An RDN of several attributes; the caller guarantees that there is at least one.
    pub(crate) fn from_parts(parts: Vec<Ava>) -> Self {
        let key = key::of_rdn(&parts).into_boxed_slice();
        Self { parts, key }
    }

    /// The attribute values; one in nearly every RDN.
    #[must_use]
    pub fn parts(&self) -> &[Ava] {
        &self.parts
    }

    /// The value of `attribute` in this RDN, however the type is spelled. None too when it is not UTF-8.
    #[must_use]
    pub fn value(&self, attribute: &str) -> Option<&str> {
        let wanted = key::attribute(attribute);
        let part = self
            .parts
            .iter()
            .find(|part| key::attribute(&part.attribute) == wanted)?;
        std::str::from_utf8(part.value()).ok()
    }
}

impl Ava {
    pub(crate) fn text(attribute: &str, value: Vec<u8>) -> Self {
        Self {
            attribute: attribute.to_owned(),
            value: Value::Text(value),
        }
    }

    pub(crate) fn ber(attribute: &str, encoding: Vec<u8>) -> Self {
        Self {
            attribute: attribute.to_owned(),
            value: Value::Ber(encoding),
        }
    }

    /// The attribute type, as it was written.
    #[must_use]
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// The value's octets. A `#` value gives the content of a string type, else the whole encoding.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match &self.value {
            Value::Text(octets) => octets,
            Value::Ber(encoding) => key::string_content(encoding).unwrap_or(encoding),
        }
    }
}

impl PartialEq for Rdn {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Rdn {}

impl Hash for Rdn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rdn) in self.rdns.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            rdn.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str("+")?;
            }
            write!(f, "{}=", part.attribute)?;
            match &part.value {
                Value::Text(octets) => escape::value(f, octets)?,
                Value::Ber(encoding) => {
                    f.write_str("#")?;
                    encoding.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dn({self})")
    }
}

impl fmt::Debug for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rdn({self})")
    }
}

impl std::str::FromStr for Dn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
