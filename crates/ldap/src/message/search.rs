//! The search request, and the entry that answers it: the hot path of a change feed.

use super::filter::{decode_filter, encode_filter};
use crate::Filter;
use crate::ber::{DecodeError, Reader, Tag, Writer};
use crate::entry::{Attribute, Entry, Values};

/// The tag of a search result entry.
pub(super) const ENTRY: Tag = Tag::application_constructed(4);

/// What an attribute with an empty name and no values takes.
pub(super) const SMALLEST_ATTRIBUTE: usize = 6;

/// A search request (RFC 4511 section 4.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The DN of the base entry; empty for the root DSE.
    pub base: String,
    /// How far below the base to look.
    pub scope: Scope,
    /// Whether to follow alias entries.
    pub deref_aliases: DerefAliases,
    /// At most this many entries; 0 is no limit of the client's.
    pub size_limit: u32,
    /// At most this many seconds; 0 is no limit of the client's.
    pub time_limit: u32,
    /// Whether to return attribute descriptions without values.
    pub types_only: bool,
    /// Which entries.
    pub filter: Filter,
    /// Which attributes; none means all user attributes. `*`, `+` and `1.1` have their meanings.
    pub attributes: Vec<String>,
}

/// How far below the base a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The base entry only.
    Base,
    /// The entries one level below it.
    OneLevel,
    /// The base entry and all below it.
    Subtree,
}

/// When a search follows alias entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DerefAliases {
    /// Never.
    #[default]
    Never,
    /// Below the base.
    InSearching,
    /// To find the base.
    FindingBase,
    /// Always.
    Always,
}

impl Search {
    /// A search for whole entries without limits.
    #[must_use]
    pub fn new(base: impl Into<String>, scope: Scope, filter: Filter) -> Self {
        Self {
            base: base.into(),
            scope,
            deref_aliases: DerefAliases::Never,
            size_limit: 0,
            time_limit: 0,
            types_only: false,
            filter,
            attributes: Vec::new(),
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        writer.octets(Tag::OCTET_STRING, self.base.as_bytes());
        writer.integer(
            Tag::ENUMERATED,
            match self.scope {
                Scope::Base => 0,
                Scope::OneLevel => 1,
                Scope::Subtree => 2,
            },
        );
        writer.integer(
            Tag::ENUMERATED,
            match self.deref_aliases {
                DerefAliases::Never => 0,
                DerefAliases::InSearching => 1,
                DerefAliases::FindingBase => 2,
                DerefAliases::Always => 3,
            },
        );
        writer.unsigned(Tag::INTEGER, self.size_limit);
        writer.unsigned(Tag::INTEGER, self.time_limit);
        writer.boolean(Tag::BOOLEAN, self.types_only);
        encode_filter(&self.filter, writer);
        writer.constructed(Tag::SEQUENCE, |writer| {
            for attribute in &self.attributes {
                writer.octets(Tag::OCTET_STRING, attribute.as_bytes());
            }
        });
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            base: reader.string(Tag::OCTET_STRING)?,
            scope: match reader.integer(Tag::ENUMERATED)? {
                0 => Scope::Base,
                1 => Scope::OneLevel,
                2 => Scope::Subtree,
                _ => return Err(DecodeError::Invalid("an unknown search scope")),
            },
            deref_aliases: match reader.integer(Tag::ENUMERATED)? {
                0 => DerefAliases::Never,
                1 => DerefAliases::InSearching,
                2 => DerefAliases::FindingBase,
                3 => DerefAliases::Always,
                _ => return Err(DecodeError::Invalid("an unknown alias behaviour")),
            },
            size_limit: reader.unsigned(Tag::INTEGER)?,
            time_limit: reader.unsigned(Tag::INTEGER)?,
            types_only: reader.boolean(Tag::BOOLEAN)?,
            filter: decode_filter(reader)?,
            attributes: {
                let mut list = reader.element(Tag::SEQUENCE)?;
                let mut attributes = Vec::with_capacity(list.room(SMALLEST_ATTRIBUTE)?);
                while !list.is_empty() {
                    attributes.push(list.string(Tag::OCTET_STRING)?);
                }
                attributes
            },
        })
    }
}

/// Writes an entry under `tag`.
pub(crate) fn encode_entry(entry: &Entry, tag: Tag, writer: &mut Writer<'_>) {
    writer.constructed(tag, |writer| {
        writer.octets(Tag::OCTET_STRING, entry.dn.as_bytes());
        writer.constructed(Tag::SEQUENCE, |writer| {
            for attribute in &entry.attributes {
                encode_attribute(attribute, writer);
            }
        });
    });
}

/// Reads what stands inside an entry's element.
///
/// Costs one allocation for the DN, one for the list of attributes, and one for each attribute with several
/// values; all else is a slice of the message, or the usual name.
pub(crate) fn decode_entry_contents(mut reader: Reader<'_>) -> Result<Entry, DecodeError> {
    let dn = reader.string(Tag::OCTET_STRING)?;
    let mut list = reader.element(Tag::SEQUENCE)?;
    let mut attributes = Vec::with_capacity(list.room(SMALLEST_ATTRIBUTE)?);
    while !list.is_empty() {
        attributes.push(decode_attribute(&mut list)?);
    }
    reader.skip_extensions(&[])?;
    Ok(Entry { dn, attributes })
}

/// Writes a PartialAttribute (RFC 4511 section 4.1.7).
pub(super) fn encode_attribute(attribute: &Attribute, writer: &mut Writer<'_>) {
    writer.constructed(Tag::SEQUENCE, |writer| {
        writer.octets(Tag::OCTET_STRING, attribute.name.as_bytes());
        writer.constructed(Tag::SET, |writer| {
            for value in &attribute.values {
                writer.octets(Tag::OCTET_STRING, value);
            }
        });
    });
}

/// Reads a PartialAttribute (RFC 4511 section 4.1.7).
pub(super) fn decode_attribute(reader: &mut Reader<'_>) -> Result<Attribute, DecodeError> {
    let mut contents = reader.element(Tag::SEQUENCE)?;
    let name = contents.text(Tag::OCTET_STRING)?;
    let mut set = contents.element(Tag::SET)?;
    contents.skip_extensions(&[])?;
    if set.is_empty() {
        return Ok(Attribute {
            name,
            values: Values::none(),
        });
    }
    let first = set.octets(Tag::OCTET_STRING)?;
    if set.is_empty() {
        return Ok(Attribute {
            name,
            values: Values::one(first),
        });
    }
    let mut values = Vec::with_capacity(set.count()?.saturating_add(1));
    values.push(first);
    while !set.is_empty() {
        values.push(set.octets(Tag::OCTET_STRING)?);
    }
    Ok(Attribute {
        name,
        values: Values::from(values),
    })
}
