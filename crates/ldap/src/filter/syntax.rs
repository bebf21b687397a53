//! The grammar of RFC 4515, up to but not including the values: [`Filter::parse`](super::Filter::parse) decodes
//! each value to octets, a template decodes it to octets and slots.

use super::{Filter, MAX_FILTER_DEPTH};
use crate::dn::is_attribute_type;
use crate::octet::{Octet, hex_digit};

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a filter at character {}: {problem}", position + 1)]
pub struct FilterError {
    /// The offset in bytes of the fault.
    pub position: usize,
    /// What is wrong there and what would be right.
    pub problem: &'static str,
}

/// A value as it stands in the text, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawValue<'a> {
    pub(crate) text: &'a str,
    /// Where `text` starts.
    pub(crate) at: usize,
}

/// How an item with one value compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equality(String),
    GreaterOrEqual(String),
    LessOrEqual(String),
    Approx(String),
    Extensible {
        rule: Option<String>,
        attribute: Option<String>,
        dn_attributes: bool,
    },
}

/// A filter whose values are of type `V`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node<V> {
    And(Vec<Node<V>>),
    Or(Vec<Node<V>>),
    Not(Box<Node<V>>),
    Present(String),
    Compare(Comparison, V),
    Substrings {
        attribute: String,
        initial: Option<V>,
        any: Vec<V>,
        last: Option<V>,
    },
}

impl Comparison {
    pub(crate) fn with(self, value: bytes::Bytes) -> Filter {
        match self {
            Self::Equality(attribute) => Filter::Equality { attribute, value },
            Self::GreaterOrEqual(attribute) => Filter::GreaterOrEqual { attribute, value },
            Self::LessOrEqual(attribute) => Filter::LessOrEqual { attribute, value },
            Self::Approx(attribute) => Filter::Approx { attribute, value },
            Self::Extensible {
                rule,
                attribute,
                dn_attributes,
            } => Filter::Extensible {
                rule,
                attribute,
                value,
                dn_attributes,
            },
        }
    }
}

/// Parses a whole filter. Spaces and line breaks may stand between the parts of a set, as in a configuration
/// file of several lines; inside an item every character counts.
pub(crate) fn parse<V, E: From<FilterError>>(
    text: &str,
    decode: impl Fn(RawValue<'_>) -> Result<V, E>,
) -> Result<Node<V>, E> {
    let mut parser = Parser { text, at: 0, decode };
    parser.skip_blanks();
    let node = parser.filter(0)?;
    parser.skip_blanks();
    if parser.at < text.len() {
        return Err(parser.fault("the filter ends before this"));
    }
    Ok(node)
}

struct Parser<'a, D> {
    text: &'a str,
    at: usize,
    decode: D,
}

impl<'a, D> Parser<'a, D> {
    fn fault<E: From<FilterError>>(&self, problem: &'static str) -> E {
        fault(self.at, problem)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, expected: char) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len_utf8();
        }
        found
    }

    /// `filter = "(" filtercomp ")"`.
    fn filter<V, E>(&mut self, depth: usize) -> Result<Node<V>, E>
    where
        D: Fn(RawValue<'_>) -> Result<V, E>,
        E: From<FilterError>,
    {
        if depth >= MAX_FILTER_DEPTH {
            return Err(self.fault("the filter is nested too deeply"));
        }
        if !self.take('(') {
            return Err(self.fault("a filter starts with '('"));
        }
        self.skip_blanks();
        let node = if self.take('&') {
            Node::And(self.set(depth)?)
        } else if self.take('|') {
            Node::Or(self.set(depth)?)
        } else if self.take('!') {
            self.skip_blanks();
            let inner = self.filter(depth + 1)?;
            self.skip_blanks();
            Node::Not(Box::new(inner))
        } else {
            self.item()?
        };
        if !self.take(')') {
            return Err(self.fault("')' must stand here"));
        }
        Ok(node)
    }

    /// `*filter`: RFC 4526 allows none, which is absolutely true or false.
    fn set<V, E>(&mut self, depth: usize) -> Result<Vec<Node<V>>, E>
    where
        D: Fn(RawValue<'_>) -> Result<V, E>,
        E: From<FilterError>,
    {
        let mut nodes = Vec::new();
        loop {
            self.skip_blanks();
            if !self.rest().starts_with('(') {
                return Ok(nodes);
            }
            nodes.push(self.filter(depth + 1)?);
        }
    }

    fn item<V, E>(&mut self) -> Result<Node<V>, E>
    where
        D: Fn(RawValue<'_>) -> Result<V, E>,
        E: From<FilterError>,
    {
        let rest = self.rest();
        // A value holds parentheses only escaped, so the next one ends the item.
        let item = rest
            .get(..rest.find(['(', ')']).unwrap_or(rest.len()))
            .unwrap_or_default();
        let Some((left, value)) = item.split_once('=') else {
            return Err(self.fault("an item such as (cn=name) must stand here"));
        };
        let start = self.at;
        let value_at = start + left.len() + 1;
        self.at += item.len();
        let attribute = |text: &str| match is_attribute_description(text) {
            true => Ok(text.to_owned()),
            false => Err(fault(
                start,
                "an attribute description such as cn or cn;lang-de must stand here",
            )),
        };
        let comparison = if let Some(extensible) = left.strip_suffix(':') {
            extensible_match(extensible, start)?
        } else if let Some(left) = left.strip_suffix('>') {
            Comparison::GreaterOrEqual(attribute(left)?)
        } else if let Some(left) = left.strip_suffix('<') {
            Comparison::LessOrEqual(attribute(left)?)
        } else if let Some(left) = left.strip_suffix('~') {
            Comparison::Approx(attribute(left)?)
        } else if value == "*" {
            return Ok(Node::Present(attribute(left)?));
        } else if value.contains('*') {
            return self.substrings(attribute(left)?, value, value_at);
        } else {
            Comparison::Equality(attribute(left)?)
        };
        let value = (self.decode)(RawValue {
            text: value,
            at: value_at,
        })?;
        Ok(Node::Compare(comparison, value))
    }

    /// `substring = attr EQUALS [initial] any [final]`, where `any = ASTERISK *(assertionvalue ASTERISK)`.
    fn substrings<V, E>(&self, attribute: String, text: &str, mut at: usize) -> Result<Node<V>, E>
    where
        D: Fn(RawValue<'_>) -> Result<V, E>,
        E: From<FilterError>,
    {
        let pieces: Vec<RawValue<'_>> = text
            .split('*')
            .map(|text| {
                let piece = RawValue { text, at };
                at += text.len() + 1;
                piece
            })
            .collect();
        let end = |piece: Option<&RawValue<'_>>| match piece {
            Some(piece) if !piece.text.is_empty() => (self.decode)(*piece).map(Some),
            _ => Ok(None),
        };
        let initial = end(pieces.first())?;
        let last = end(pieces.last())?;
        let middle = pieces.get(1..pieces.len().saturating_sub(1)).unwrap_or_default();
        let any = middle
            .iter()
            .map(|piece| match piece.text.is_empty() {
                true => Err(fault(piece.at, "two asterisks need a value between them")),
                false => (self.decode)(*piece),
            })
            .collect::<Result<Vec<_>, E>>()?;
        Ok(Node::Substrings {
            attribute,
            initial,
            any,
            last,
        })
    }
}

/// `extensible = ( attr [dnattrs] [matchingrule] ) / ( [dnattrs] matchingrule )`, without `:=`.
fn extensible_match<E: From<FilterError>>(text: &str, at: usize) -> Result<Comparison, E> {
    const PROBLEM: &str = "an extensible match is attribute:dn:rule:=value, where a part may be left out";
    let mut parts = text.split(':');
    let attribute = parts.next().unwrap_or_default();
    let mut parts = parts.peekable();
    let dn_attributes = parts.next_if(|part| part.eq_ignore_ascii_case("dn")).is_some();
    let rule = parts.next();
    let named = !attribute.is_empty() || rule.is_some();
    let sound =
        (attribute.is_empty() || is_attribute_description(attribute)) && rule.is_none_or(is_attribute_type);
    if !named || !sound || parts.next().is_some() {
        return Err(fault(at, PROBLEM));
    }
    Ok(Comparison::Extensible {
        rule: rule.map(str::to_owned),
        attribute: (!attribute.is_empty()).then(|| attribute.to_owned()),
        dn_attributes,
    })
}

fn fault<E: From<FilterError>>(position: usize, problem: &'static str) -> E {
    FilterError { position, problem }.into()
}

/// RFC 4512 section 2.5: `attributetype *( ";" option )`.
fn is_attribute_description(text: &str) -> bool {
    let mut parts = text.split(';');
    parts.next().is_some_and(is_attribute_type)
        && parts.all(|option| {
            !option.is_empty() && option.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Decodes an assertion value octet by octet. RFC 4515 section 3, `valueencoding`.
pub(crate) fn decode_value(raw: RawValue<'_>, mut sink: impl FnMut(Octet)) -> Result<(), FilterError> {
    let mut bytes = raw.text.bytes().enumerate();
    while let Some((offset, byte)) = bytes.next() {
        let at = raw.at + offset;
        let octet = match byte {
            b'\\' => {
                let mut digit = || bytes.next().and_then(|(_, digit)| hex_digit(digit));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(fault(
                        at,
                        "a backslash is followed by two hex digits, as in \\2a for an asterisk",
                    ));
                };
                Octet {
                    value: high << 4 | low,
                    escaped: true,
                    at,
                }
            }
            b'*' => return Err(fault(at, "an asterisk in this value is written as \\2a")),
            0 => return Err(fault(at, "a NUL is written as \\00")),
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
