//! The BER form of filters (RFC 4511 section 4.5.1.7).

use bytes::Bytes;

use crate::ber::{DecodeError, Reader, Tag, Writer};
use crate::{Filter, MAX_FILTER_DEPTH};

const AND: Tag = Tag::context_constructed(0);
const OR: Tag = Tag::context_constructed(1);
const NOT: Tag = Tag::context_constructed(2);
const EQUALITY: Tag = Tag::context_constructed(3);
const SUBSTRINGS: Tag = Tag::context_constructed(4);
const GREATER_OR_EQUAL: Tag = Tag::context_constructed(5);
const LESS_OR_EQUAL: Tag = Tag::context_constructed(6);
const PRESENT: Tag = Tag::context(7);
const APPROX: Tag = Tag::context_constructed(8);
const EXTENSIBLE: Tag = Tag::context_constructed(9);

const INITIAL: Tag = Tag::context(0);
const ANY: Tag = Tag::context(1);
const FINAL: Tag = Tag::context(2);

const RULE: Tag = Tag::context(1);
const TYPE: Tag = Tag::context(2);
const MATCH_VALUE: Tag = Tag::context(3);
const DN_ATTRIBUTES: Tag = Tag::context(4);

/// More parts than any filter has, counted over the whole of it: two octets of input make one part in memory.
const MAX_PARTS: usize = 16 * 1024;

pub(crate) fn encode_filter(filter: &Filter, writer: &mut Writer<'_>) {
    match filter {
        Filter::And(filters) => encode_list(AND, filters, writer),
        Filter::Or(filters) => encode_list(OR, filters, writer),
        Filter::Not(filter) => writer.constructed(NOT, |writer| encode_filter(filter, writer)),
        Filter::Equality { attribute, value } => encode_assertion(EQUALITY, attribute, value, writer),
        Filter::GreaterOrEqual { attribute, value } => {
            encode_assertion(GREATER_OR_EQUAL, attribute, value, writer);
        }
        Filter::LessOrEqual { attribute, value } => encode_assertion(LESS_OR_EQUAL, attribute, value, writer),
        Filter::Approx { attribute, value } => encode_assertion(APPROX, attribute, value, writer),
        Filter::Present(attribute) => writer.octets(PRESENT, attribute.as_bytes()),
        Filter::Substrings {
            attribute,
            initial,
            any,
            last,
        } => {
            writer.constructed(SUBSTRINGS, |writer| {
                writer.octets(Tag::OCTET_STRING, attribute.as_bytes());
                writer.constructed(Tag::SEQUENCE, |writer| {
                    initial.iter().for_each(|piece| writer.octets(INITIAL, piece));
                    any.iter().for_each(|piece| writer.octets(ANY, piece));
                    last.iter().for_each(|piece| writer.octets(FINAL, piece));
                });
            });
        }
        Filter::Extensible {
            rule,
            attribute,
            value,
            dn_attributes,
        } => {
            writer.constructed(EXTENSIBLE, |writer| {
                rule.iter().for_each(|rule| writer.octets(RULE, rule.as_bytes()));
                attribute
                    .iter()
                    .for_each(|attribute| writer.octets(TYPE, attribute.as_bytes()));
                writer.octets(MATCH_VALUE, value);
                if *dn_attributes {
                    writer.boolean(DN_ATTRIBUTES, true);
                }
            });
        }
    }
}

fn encode_list(tag: Tag, filters: &[Filter], writer: &mut Writer<'_>) {
    writer.constructed(tag, |writer| {
        for filter in filters {
            encode_filter(filter, writer);
        }
    });
}

fn encode_assertion(tag: Tag, attribute: &str, value: &Bytes, writer: &mut Writer<'_>) {
    writer.constructed(tag, |writer| {
        writer.octets(Tag::OCTET_STRING, attribute.as_bytes());
        writer.octets(Tag::OCTET_STRING, value);
    });
}

/// Reads the next element, a filter, bounded in depth and in parts.
pub(crate) fn decode_filter(reader: &mut Reader<'_>) -> Result<Filter, DecodeError> {
    let mut parts = MAX_PARTS;
    decode_nested(reader, MAX_FILTER_DEPTH, &mut parts)
}

fn decode_nested(reader: &mut Reader<'_>, depth: usize, parts: &mut usize) -> Result<Filter, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    let (tag, mut contents) = reader.any()?;
    let filter = match tag {
        AND => return decode_list(contents, depth, parts).map(Filter::And),
        OR => return decode_list(contents, depth, parts).map(Filter::Or),
        NOT => {
            let inner = decode_nested(&mut contents, depth, parts)?;
            contents.finish()?;
            return Ok(Filter::Not(Box::new(inner)));
        }
        PRESENT => {
            return contents
                .to_str()
                .map(|attribute| Filter::Present(attribute.to_owned()));
        }
        EQUALITY => {
            let (attribute, value) = decode_assertion(&mut contents)?;
            Filter::Equality { attribute, value }
        }
        GREATER_OR_EQUAL => {
            let (attribute, value) = decode_assertion(&mut contents)?;
            Filter::GreaterOrEqual { attribute, value }
        }
        LESS_OR_EQUAL => {
            let (attribute, value) = decode_assertion(&mut contents)?;
            Filter::LessOrEqual { attribute, value }
        }
        APPROX => {
            let (attribute, value) = decode_assertion(&mut contents)?;
            Filter::Approx { attribute, value }
        }
        SUBSTRINGS => decode_substrings(&mut contents, parts)?,
        EXTENSIBLE => decode_extensible(&mut contents)?,
        tag => return Err(DecodeError::UnknownTag(tag)),
    };
    // An extensible match has tags 1 to 4 of its own.
    contents.skip_extensions(if tag == EXTENSIBLE { &[1, 2, 3, 4] } else { &[] })?;
    Ok(filter)
}

fn spend(parts: &mut usize, count: usize) -> Result<(), DecodeError> {
    *parts = parts
        .checked_sub(count)
        .ok_or(DecodeError::TooMany("parts of a filter"))?;
    Ok(())
}

fn decode_list(mut list: Reader<'_>, depth: usize, parts: &mut usize) -> Result<Vec<Filter>, DecodeError> {
    // RFC 4526 section 2: the empty list is allowed.
    let count = list.count()?;
    // Spent before room is made, so that nested lists cannot reserve more than the limit together.
    spend(parts, count)?;
    let mut filters = Vec::with_capacity(count);
    while !list.is_empty() {
        filters.push(decode_nested(&mut list, depth, parts)?);
    }
    Ok(filters)
}

fn decode_assertion(contents: &mut Reader<'_>) -> Result<(String, Bytes), DecodeError> {
    Ok((
        contents.string(Tag::OCTET_STRING)?,
        contents.octets(Tag::OCTET_STRING)?,
    ))
}

fn decode_substrings(contents: &mut Reader<'_>, parts: &mut usize) -> Result<Filter, DecodeError> {
    let attribute = contents.string(Tag::OCTET_STRING)?;
    let mut pieces = contents.element(Tag::SEQUENCE)?;
    let count = pieces.count()?;
    spend(parts, count)?;
    if count == 0 {
        return Err(DecodeError::Invalid("a substring filter without a piece"));
    }
    let initial = pieces.optional(INITIAL)?.map(|piece| piece.bytes());
    let mut any = Vec::new();
    while let Some(piece) = pieces.optional(ANY)? {
        any.push(piece.bytes());
    }
    let last = pieces.optional(FINAL)?.map(|piece| piece.bytes());
    // RFC 4511 section 4.5.1.7.2: at most one initial, which is first, and at most one final, which is last.
    if let Some(tag) = pieces.peek() {
        return Err(DecodeError::UnknownTag(tag));
    }
    Ok(Filter::Substrings {
        attribute,
        initial,
        any,
        last,
    })
}

fn decode_extensible(contents: &mut Reader<'_>) -> Result<Filter, DecodeError> {
    let rule = optional_string(contents, RULE)?;
    let attribute = optional_string(contents, TYPE)?;
    // RFC 4511 section 4.5.1.7.7: without a rule the type must be there.
    if rule.is_none() && attribute.is_none() {
        return Err(DecodeError::Invalid(
            "an extensible match without a rule and without a type",
        ));
    }
    let value = contents.octets(MATCH_VALUE)?;
    let dn_attributes = match contents.optional(DN_ATTRIBUTES)? {
        Some(contents) => contents.to_boolean()?,
        None => false,
    };
    Ok(Filter::Extensible {
        rule,
        attribute,
        value,
        dn_attributes,
    })
}

fn optional_string(contents: &mut Reader<'_>, tag: Tag) -> Result<Option<String>, DecodeError> {
    match contents.optional(tag)? {
        Some(text) => text.to_str().map(|text| Some(text.to_owned())),
        None => Ok(None),
    }
}
