//! Reading the string form of a DN, in steps that templates share: split into RDNs, split one RDN into
//! attribute and value, decode a value.

use super::{Ava, DnError, Rdn};
use crate::octet::{Octet, hex_digit};

/// One RDN as it stands in the text, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRdn<'a> {
    pub(crate) text: &'a str,
    /// Where `text` starts.
    pub(crate) at: usize,
}

/// One attribute and value as they stand in the text, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawAva<'a> {
    pub(crate) attribute: &'a str,
    pub(crate) value: &'a str,
    /// Where `value` starts.
    pub(crate) at: usize,
}

fn fault<T>(position: usize, problem: &'static str) -> Result<T, DnError> {
    Err(DnError { position, problem })
}

/// Splits `text` at each `separator` that no backslash precedes.
fn split_unescaped(text: &str, separator: u8) -> impl Iterator<Item = RawRdn<'_>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let at = next?;
        let rest = text.get(at..)?;
        let mut escaped = false;
        let end = rest.bytes().position(|byte| {
            let splits = byte == separator && !escaped;
            escaped = byte == b'\\' && !escaped;
            splits
        });
        next = end.map(|end| at + end + 1);
        Some(RawRdn {
            text: rest.get(..end.unwrap_or(rest.len()))?,
            at,
        })
    })
}

/// Splits a DN into its RDNs; none for the root DSE (RFC 4514 section 2.1).
pub(crate) fn split(text: &str) -> Result<Vec<RawRdn<'_>>, DnError> {
    if text.trim_matches(' ').is_empty() {
        return Ok(Vec::new());
    }
    let rdns: Vec<_> = split_unescaped(text, b',').collect();
    match rdns.iter().find(|rdn| rdn.text.trim_matches(' ').is_empty()) {
        Some(empty) => fault(empty.at, "an RDN such as cn=name must stand here"),
        None => Ok(rdns),
    }
}

/// Splits an RDN into its attributes and raw values (RFC 4514 section 2.2).
pub(crate) fn split_rdn(rdn: RawRdn<'_>) -> impl Iterator<Item = Result<RawAva<'_>, DnError>> {
    split_unescaped(rdn.text, b'+').map(move |part| {
        let at = rdn.at + part.at;
        let Some((attribute, value)) = part.text.split_once('=') else {
            return fault(at, "an RDN is an attribute type, '=' and a value");
        };
        let value_at = at + attribute.len() + 1;
        let attribute = attribute.trim_matches(' ');
        if !is_attribute_type(attribute) {
            return fault(
                at,
                "an attribute type is a name of letters, digits and hyphens, or a numeric OID",
            );
        }
        Ok(RawAva {
            attribute,
            value,
            at: value_at,
        })
    })
}

pub(crate) fn parse_rdn(rdn: RawRdn<'_>) -> Result<Rdn, DnError> {
    let parts = split_rdn(rdn)
        .map(|raw| raw.and_then(parse_ava))
        .collect::<Result<_, _>>()?;
    Ok(Rdn::from_parts(parts))
}

pub(crate) fn parse_ava(raw: RawAva<'_>) -> Result<Ava, DnError> {
    if let Some(hex) = raw.value.trim_matches(' ').strip_prefix('#') {
        return match decode_hex(hex) {
            Some(encoding) => Ok(Ava::ber(raw.attribute, encoding)),
            None => fault(
                raw.at,
                "'#' is followed by pairs of hex digits; a value that starts with # needs \\#",
            ),
        };
    }
    let mut octets = Vec::with_capacity(raw.value.len());
    decode_value(raw, |octet| octets.push(octet.value))?;
    Ok(Ava::text(raw.attribute, octets))
}

/// Decodes a string value, octet by octet (RFC 4514 section 3, `string`).
pub(crate) fn decode_value(raw: RawAva<'_>, mut sink: impl FnMut(Octet)) -> Result<(), DnError> {
    let start = raw.value.len() - raw.value.trim_start_matches(' ').len();
    let end = end_of_value(raw.value);
    let mut bytes = raw.value.bytes().enumerate().take(end).skip(start);
    while let Some((offset, byte)) = bytes.next() {
        let at = raw.at + offset;
        let octet = match byte {
            b'\\' => {
                let value = match bytes.next().map(|(_, next)| next) {
                    // RFC 4514 section 3: ESC ( ESC / special / hexpair ), where special has " + , ; < > space # =.
                    Some(c @ (b'\\' | b'"' | b'+' | b',' | b';' | b'<' | b'>' | b' ' | b'#' | b'=')) => c,
                    Some(high) => match (hex_digit(high), bytes.next().and_then(|(_, low)| hex_digit(low))) {
                        (Some(high), Some(low)) => high << 4 | low,
                        _ => {
                            return fault(
                                at,
                                "a backslash is followed by a special character or two hex digits",
                            );
                        }
                    },
                    None => {
                        return fault(
                            at,
                            "a backslash is followed by a special character or two hex digits",
                        );
                    }
                };
                Octet {
                    value,
                    escaped: true,
                    at,
                }
            }
            b'"' | b';' | b'<' | b'>' => return fault(at, "this character needs a backslash before it"),
            0 => return fault(at, "a NUL is written as \\00"),
            value => Octet {
                value,
                escaped: false,
                at,
            },
        };
        sink(octet);
    }
    Ok(())
}

/// Where the value ends once the spaces after it, which do not belong to it, are left out.
fn end_of_value(value: &str) -> usize {
    let trimmed = value.trim_end_matches(' ');
    let backslashes = trimmed.bytes().rev().take_while(|byte| *byte == b'\\').count();
    // An odd number of backslashes escapes the first of those spaces.
    if backslashes % 2 == 1 && trimmed.len() < value.len() {
        trimmed.len() + 1
    } else {
        trimmed.len()
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(hex_digit(*high)? << 4 | hex_digit(*low)?))
        .collect()
}

/// RFC 4512 section 1.4: `descr` or `numericoid`.
pub(crate) fn is_attribute_type(text: &str) -> bool {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(first) if first.is_ascii_alphabetic() => bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        Some(first) if first.is_ascii_digit() => {
            text.contains('.')
                && text.split('.').all(|arc| {
                    !arc.is_empty()
                        && arc.bytes().all(|b| b.is_ascii_digit())
                        && (arc == "0" || !arc.starts_with('0'))
                })
        }
        _ => false,
    }
}
