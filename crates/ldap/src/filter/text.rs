//! The text form of a filter, both ways.

use super::Filter;
use super::syntax::{self, FilterError, Node, RawValue};
use bytes::Bytes;
use std::fmt::{self, Write};

impl Filter {
    /// Reads the text form of RFC 4515.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        syntax::parse(text, decode).map(from_node)
    }

    /// `attribute` has exactly `value`, whatever characters the value has.
    #[must_use]
    pub fn equals(attribute: &str, value: impl Into<Bytes>) -> Self {
        Self::Equality {
            attribute: attribute.to_owned(),
            value: value.into(),
        }
    }
}

fn decode(raw: RawValue<'_>) -> Result<Bytes, FilterError> {
    let mut octets = Vec::with_capacity(raw.text.len());
    syntax::decode_value(raw, |octet| octets.push(octet.value))?;
    Ok(octets.into())
}

fn from_node(node: Node<Bytes>) -> Filter {
    match node {
        Node::And(nodes) => Filter::And(nodes.into_iter().map(from_node).collect()),
        Node::Or(nodes) => Filter::Or(nodes.into_iter().map(from_node).collect()),
        Node::Not(node) => Filter::Not(Box::new(from_node(*node))),
        Node::Present(attribute) => Filter::Present(attribute),
        Node::Compare(comparison, value) => comparison.with(value),
        Node::Substrings {
            attribute,
            initial,
            any,
            last,
        } => Filter::Substrings {
            attribute,
            initial,
            any,
            last,
        },
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        match self {
            Self::And(filters) => set(f, '&', filters)?,
            Self::Or(filters) => set(f, '|', filters)?,
            Self::Not(filter) => write!(f, "!{filter}")?,
            Self::Present(attribute) => write!(f, "{attribute}=*")?,
            Self::Equality { attribute, value } => item(f, attribute, "=", value)?,
            Self::GreaterOrEqual { attribute, value } => item(f, attribute, ">=", value)?,
            Self::LessOrEqual { attribute, value } => item(f, attribute, "<=", value)?,
            Self::Approx { attribute, value } => item(f, attribute, "~=", value)?,
            Self::Substrings {
                attribute,
                initial,
                any,
                last,
            } => {
                write!(f, "{attribute}=")?;
                escape(f, initial.as_deref().unwrap_or_default())?;
                f.write_str("*")?;
                for piece in any {
                    escape(f, piece)?;
                    f.write_str("*")?;
                }
                escape(f, last.as_deref().unwrap_or_default())?;
            }
            Self::Extensible {
                rule,
                attribute,
                value,
                dn_attributes,
            } => {
                f.write_str(attribute.as_deref().unwrap_or_default())?;
                f.write_str(if *dn_attributes { ":dn" } else { "" })?;
                if let Some(rule) = rule {
                    write!(f, ":{rule}")?;
                }
                f.write_str(":=")?;
                escape(f, value)?;
            }
        }
        f.write_str(")")
    }
}

fn set(f: &mut fmt::Formatter<'_>, operator: char, filters: &[Filter]) -> fmt::Result {
    f.write_char(operator)?;
    filters.iter().try_for_each(|filter| write!(f, "{filter}"))
}

fn item(f: &mut fmt::Formatter<'_>, attribute: &str, operator: &str, value: &[u8]) -> fmt::Result {
    f.write_str(attribute)?;
    f.write_str(operator)?;
    escape(f, value)
}

/// RFC 4515 section 3: NUL, `(`, `)`, `*`, `\` and what is not UTF-8 must be escaped; the other controls are
/// too, so that a filter in a log stays one line.
fn escape(out: &mut impl Write, value: &[u8]) -> fmt::Result {
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '(' | ')' | '*' | '\\' => write!(out, "\\{:02x}", u32::from(character))?,
                c if c.is_ascii_control() => write!(out, "\\{:02x}", u32::from(c))?,
                c => out.write_char(c)?,
            }
        }
        for octet in chunk.invalid() {
            write!(out, "\\{octet:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
