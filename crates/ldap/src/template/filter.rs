//! A filter with slots in its values.

use super::{Slot, Slots, TemplateError, Value, ValueBuilder};
use crate::filter::Filter;
use crate::filter::syntax::{self, Node, RawValue};
use bytes::Bytes;

/// A filter whose values may hold `%e`, `%u`, `%d` and `%%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterTemplate {
    node: Node<Value>,
}

impl FilterTemplate {
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
