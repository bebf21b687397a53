//! A filter with slots in its values.

use super::{Piece, Slot, Slots, TemplateError, Value, ValueBuilder};
use crate::filter::Filter;
use crate::filter::syntax::{self, Comparison, Node, RawValue};
use bytes::Bytes;

/// A filter whose values may hold `%e`, `%u`, `%d` and `%%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterTemplate {
    node: Node<Value>,
}

/// One branch of a template that only compares for equality: the attribute's value is `prefix` and then what the
/// slot stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The attribute description.
    pub attribute: String,
    /// What stands before the slot, for example `smtp:`.
    pub prefix: String,
    /// The slot.
    pub slot: Slot,
}

impl FilterTemplate {
    /// The branches, when the template is `(attribute=prefix%slot)` or an `|` of such: who knows them can find by
    /// himself what the filter finds. None for every other template.
    #[must_use]
    pub fn alternatives(&self) -> Option<Vec<Alternative>> {
        match &self.node {
            Node::Or(nodes) => nodes.iter().map(alternative).collect(),
            node => alternative(node).map(|only| vec![only]),
        }
    }

    /// Reads a filter (RFC 4515) with slots. A slot anywhere but in a value is an error.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        syntax::parse(text, decode).map(|node| Self { node })
    }

    /// The filter with every slot filled. A slot that does not apply takes its branch of an `|` with it; an
    /// `&` or `!` around it, and an `|` with no branch left, do not apply either. So a missing value can narrow a
    /// filter but never widen it.
    #[must_use]
    pub fn fill(&self, slots: &Slots<'_>) -> Option<Filter> {
        fill(&self.node, slots)
    }

    /// Whether `slot` stands anywhere in the template.
    #[must_use]
    pub fn uses(&self, slot: Slot) -> bool {
        uses(&self.node, slot)
    }
}

fn alternative(node: &Node<Value>) -> Option<Alternative> {
    let Node::Compare(Comparison::Equality(attribute), Value(pieces)) = node else {
        return None;
    };
    let (prefix, slot) = match pieces.as_slice() {
        [Piece::Slot(slot)] => (String::new(), *slot),
        [Piece::Octets(prefix), Piece::Slot(slot)] => (String::from_utf8(prefix.clone()).ok()?, *slot),
        _ => return None,
    };
    Some(Alternative {
        attribute: attribute.clone(),
        prefix,
        slot,
    })
}

fn decode(raw: RawValue<'_>) -> Result<Value, TemplateError> {
    let mut builder = ValueBuilder::default();
    syntax::decode_value(raw, |octet| builder.push(octet))?;
    builder.finish()
}

fn fill(node: &Node<Value>, slots: &Slots<'_>) -> Option<Filter> {
    let value = |value: &Value| value.fill(slots).map(Bytes::from);
    let optional = |piece: &Option<Value>| match piece {
        Some(piece) => value(piece).map(Some),
        None => Some(None),
    };
    Some(match node {
        Node::And(nodes) => Filter::And(
            nodes
                .iter()
                .map(|node| fill(node, slots))
                .collect::<Option<_>>()?,
        ),
        Node::Or(nodes) => {
            let filters: Vec<_> = nodes.iter().filter_map(|node| fill(node, slots)).collect();
            if filters.is_empty() && !nodes.is_empty() {
                return None;
            }
            Filter::Or(filters)
        }
        Node::Not(node) => Filter::Not(Box::new(fill(node, slots)?)),
        Node::Present(attribute) => Filter::Present(attribute.clone()),
        Node::Compare(comparison, asserted) => comparison.clone().with(value(asserted)?),
        Node::Substrings {
            attribute,
            initial,
            any,
            last,
        } => Filter::Substrings {
            attribute: attribute.clone(),
            initial: optional(initial)?,
            any: any.iter().map(value).collect::<Option<_>>()?,
            last: optional(last)?,
        },
    })
}

fn uses(node: &Node<Value>, slot: Slot) -> bool {
    match node {
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().any(|node| uses(node, slot)),
        Node::Not(node) => uses(node, slot),
        Node::Present(_) => false,
        Node::Compare(_, value) => value.uses(slot),
        Node::Substrings {
            initial, any, last, ..
        } => initial
            .iter()
            .chain(any)
            .chain(last)
            .any(|value| value.uses(slot)),
    }
}
