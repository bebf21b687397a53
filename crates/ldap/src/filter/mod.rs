//! Search filters: the value, and (beside it) its text form.
//!
//! A [`Filter`] enters a request only as this value; the BER form is in `message::filter`. Text is parsed by
//! RFC 4515, typed templates fill values into slots, and nothing ever builds a filter by pasting strings.
//!
//! Follows RFC 4511 section 4.5.1.7 and RFC 4515.

pub(crate) mod syntax;
mod text;

pub use syntax::FilterError;

use bytes::Bytes;

/// How deep filters may nest, in text and in BER, so that no input can exhaust the stack.
pub const MAX_FILTER_DEPTH: usize = 100;

/// Which entries a search asks for (RFC 4511 section 4.5.1.7).
///
/// Attribute descriptions keep their options (`userCertificate;binary`). Values are raw bytes: escaping
/// belongs to the text form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// All of these; the empty list is true (RFC 4526).
    And(Vec<Filter>),
    /// Any of these; the empty list is false (RFC 4526).
    Or(Vec<Filter>),
    /// Not this one.
    Not(Box<Filter>),
    /// The attribute has this value, by its equality rule.
    Equality {
        /// The attribute description.
        attribute: String,
        /// The asserted value.
        value: Bytes,
    },
    /// The attribute has a value with these pieces in order. At least one piece is present.
    Substrings {
        /// The attribute description.
        attribute: String,
        /// What the value begins with.
        initial: Option<Bytes>,
        /// What it holds, in this order.
        any: Vec<Bytes>,
        /// What it ends with.
        last: Option<Bytes>,
    },
    /// The attribute has a value equal to or after this one.
    GreaterOrEqual {
        /// The attribute description.
        attribute: String,
        /// The asserted value.
        value: Bytes,
    },
    /// The attribute has a value equal to or before this one.
    LessOrEqual {
        /// The attribute description.
        attribute: String,
        /// The asserted value.
        value: Bytes,
    },
    /// The attribute is present; holds its description.
    Present(String),
    /// The attribute has a value that is about the same.
    Approx {
        /// The attribute description.
        attribute: String,
        /// The asserted value.
        value: Bytes,
    },
    /// A match by a named rule (RFC 4511 section 4.5.1.7.7). At least one of `rule` and `attribute` is there.
    Extensible {
        /// The matching rule's name or OID; without it the attribute's equality rule.
        rule: Option<String>,
        /// The attribute; without it every attribute that supports the rule.
        attribute: Option<String>,
        /// The asserted value.
        value: Bytes,
        /// Whether the attributes of the entry's DN count too.
        dn_attributes: bool,
    },
}

impl Filter {
    /// The attributes that it looks at, as they are written in it.
    #[must_use]
    pub fn attributes(&self) -> Vec<&str> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::attributes).collect(),
            Self::Not(one) => one.attributes(),
            Self::Present(attribute)
            | Self::Equality { attribute, .. }
            | Self::Substrings { attribute, .. }
            | Self::GreaterOrEqual { attribute, .. }
            | Self::LessOrEqual { attribute, .. }
            | Self::Approx { attribute, .. }
            | Self::Extensible {
                attribute: Some(attribute),
                ..
            } => vec![attribute],
            Self::Extensible { attribute: None, .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_tells_which_attributes_it_looks_at() {
        let text = "(&(a=1)(|(b=x*y)(!(c>=2)))(d<=3)(e=*)(f~=4)(g:1.2.3:=2)(:caseExactMatch:=z)(a=5))";
        let filter = Filter::parse(text).expect("a filter");
        assert_eq!(filter.attributes(), ["a", "b", "c", "d", "e", "f", "g", "a"]);
    }
}
