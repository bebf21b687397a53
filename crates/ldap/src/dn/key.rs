//! The normalised form of an RDN, which equality and hashing look at.

use super::{Ava, Value};
use std::borrow::Cow;

/// Attribute types that have several spellings, under the one that keys use. The first nine are the table of
/// RFC 4514 section 3; the rest name people in real directories (RFC 4519, RFC 4524).
const SPELLINGS: &[(&str, &[&str])] = &[
    ("cn", &["commonname", "2.5.4.3"]),
    ("l", &["localityname", "2.5.4.7"]),
    ("st", &["stateorprovincename", "2.5.4.8"]),
    ("o", &["organizationname", "2.5.4.10"]),
    ("ou", &["organizationalunitname", "2.5.4.11"]),
    ("c", &["countryname", "2.5.4.6"]),
    ("street", &["streetaddress", "2.5.4.9"]),
    ("dc", &["domaincomponent", "0.9.2342.19200300.100.1.25"]),
    ("uid", &["userid", "0.9.2342.19200300.100.1.1"]),
    ("mail", &["rfc822mailbox", "0.9.2342.19200300.100.1.3"]),
    ("sn", &["surname", "2.5.4.4"]),
    ("serialnumber", &["2.5.4.5"]),
    ("givenname", &["gn", "2.5.4.42"]),
];

/// The spelling of an attribute type that keys use.
pub(super) fn attribute(name: &str) -> Cow<'static, str> {
    for (short, others) in SPELLINGS {
        let is = |other: &&str| other.eq_ignore_ascii_case(name);
        if is(short) || others.iter().any(is) {
            return Cow::Borrowed(short);
        }
    }
    Cow::Owned(name.to_ascii_lowercase())
}

/// The key of a whole RDN. Its parts are sorted, because an RDN is a set.
pub(super) fn of_rdn(parts: &[Ava]) -> Vec<u8> {
    if let [part] = parts {
        return of_part(part);
    }
    let mut keys: Vec<Vec<u8>> = parts.iter().map(of_part).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.join(&b'+')
}

fn of_part(part: &Ava) -> Vec<u8> {
    let value = match &part.value {
        Value::Text(octets) => Some(octets.as_slice()),
        Value::Ber(encoding) => string_content(encoding),
    };
    let length = value.map_or(0, <[u8]>::len);
    let mut key = String::with_capacity(part.attribute.len() + 1 + length);
    key.push_str(&attribute(&part.attribute));
    key.push('=');
    if let Some(octets) = value.filter(|octets| is_plain(octets)) {
        let mut key = key.into_bytes();
        key.extend(octets.iter().map(u8::to_ascii_lowercase));
        return key;
    }
    // Writing to a string cannot fail. The escaped form keeps the separators of keys unambiguous.
    let _ = match (value, &part.value) {
        (Some(octets), _) => super::escape::value(&mut key, &fold(octets)),
        (None, Value::Text(encoding) | Value::Ber(encoding)) => {
            key.push('#');
            super::escape::value(&mut key, encoding)
        }
    };
    key.into_bytes()
}

/// Whether folding is lower case and nothing needs an escape: the names of people and domains, for the most part.
fn is_plain(octets: &[u8]) -> bool {
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_' | b'@');
    octets.iter().all(plain)
}

/// A value with its case folded, no space at the ends and one space for each run of them: what
/// `caseIgnoreMatch` compares, less Unicode normalisation (RFC 4517 section 4.2.11).
fn fold(octets: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(octets) else {
        return Cow::Borrowed(octets);
    };
    let mut folded = String::with_capacity(text.len());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    Cow::Owned(folded.into_bytes())
}

/// The content of a BER encoding of a string type that is the same text as its LDAP form:
/// OCTET STRING, UTF8String, PrintableString, IA5String.
pub(super) fn string_content(encoding: &[u8]) -> Option<&[u8]> {
    let (tag, rest) = encoding.split_first()?;
    if !matches!(tag, 0x04 | 0x0c | 0x13 | 0x16) {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, content) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, content) = rest.split_at_checked(usize::from(first & 0x0f))?;
            let length = digits
                .iter()
                .fold(0usize, |sum, digit| (sum << 8) | usize::from(*digit));
            (length, content)
        }
        _ => return None,
    };
    (content.len() == length).then_some(content)
}
