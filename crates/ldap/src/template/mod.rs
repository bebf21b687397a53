//! Filters and DNs with slots, as an administrator writes them: `(mail=%e)`, `uid=%u,ou=Users,%D`.
//!
//! Owns [`FilterTemplate`], [`DnTemplate`] and [`Slots`]. A template is parsed once, into a tree whose leaves are
//! octets and slots; filling it puts each value into its leaf. The text is never built and parsed again, so
//! no value, whatever characters it has, can become anything but a value.
//!
//! | slot | stands for |
//! |---|---|
//! | `%e` | the full address |
//! | `%u` | its local-part |
//! | `%d` | its domain |
//! | `%D` | its domain as RDNs, `dc=example,dc=test`; only in a DN, in the place of RDNs |
//! | `%%` | a percent sign |

mod dn;
mod filter;

pub use dn::DnTemplate;
pub use filter::{Alternative, FilterTemplate};

use crate::dn::DnError;
use crate::filter::FilterError;
use crate::octet::Octet;

/// The values for one filling. A slot that does not apply is `None` (an empty text does not apply either): a
/// filter loses the branches of an `|` that need it, and a template that cannot do without it gives nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slots<'a> {
    /// `%e`.
    pub address: Option<&'a str>,
    /// `%u`.
    pub local_part: Option<&'a str>,
    /// `%d` and `%D`.
    pub domain: Option<&'a str>,
}

/// A slot of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `%e`, the full address.
    Address,
    /// `%u`, the local-part.
    LocalPart,
    /// `%d`, and `%D` in a DN.
    Domain,
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a template at character {}: {problem}", position + 1)]
pub struct TemplateError {
    /// The offset in bytes of the fault.
    pub position: usize,
    /// What is wrong there and what would be right.
    pub problem: &'static str,
}

impl From<FilterError> for TemplateError {
    fn from(error: FilterError) -> Self {
        Self {
            position: error.position,
            problem: error.problem,
        }
    }
}

impl From<DnError> for TemplateError {
    fn from(error: DnError) -> Self {
        Self {
            position: error.position,
            problem: error.problem,
        }
    }
}

/// A value with slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Value(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Octets(Vec<u8>),
    Slot(Slot),
}

/// Builds a [`Value`] octet by octet. An escaped octet never starts or names a slot.
#[derive(Default)]
struct ValueBuilder {
    pieces: Vec<Piece>,
    /// Where the percent sign stands that the next octet completes.
    percent: Option<usize>,
    fault: Option<TemplateError>,
}

impl ValueBuilder {
    fn push(&mut self, octet: Octet) {
        let Some(at) = self.percent.take() else {
            if octet.value == b'%' && !octet.escaped {
                self.percent = Some(octet.at);
            } else {
                self.literal(octet.value);
            }
            return;
        };
        match octet.value {
            b'e' if !octet.escaped => self.pieces.push(Piece::Slot(Slot::Address)),
            b'u' if !octet.escaped => self.pieces.push(Piece::Slot(Slot::LocalPart)),
            b'd' if !octet.escaped => self.pieces.push(Piece::Slot(Slot::Domain)),
            b'%' if !octet.escaped => self.literal(b'%'),
            b'D' if !octet.escaped => self.fail(
                at,
                "%D stands in a DN only, in the place of RDNs, as in ou=Users,%D",
            ),
            _ => self.fail(at, UNKNOWN),
        }
    }

    fn literal(&mut self, octet: u8) {
        match self.pieces.last_mut() {
            Some(Piece::Octets(octets)) => octets.push(octet),
            _ => self.pieces.push(Piece::Octets(vec![octet])),
        }
    }

    fn fail(&mut self, position: usize, problem: &'static str) {
        self.fault.get_or_insert(TemplateError { position, problem });
    }

    fn finish(mut self) -> Result<Value, TemplateError> {
        if let Some(at) = self.percent {
            self.fail(at, UNKNOWN);
        }
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Value(self.pieces)),
        }
    }
}

const UNKNOWN: &str = "the slots are %e, %u, %d and %D; a percent sign itself is written as %%";

impl Value {
    /// The value with its slots filled, or nothing when one of them does not apply.
    fn fill(&self, slots: &Slots<'_>) -> Option<Vec<u8>> {
        let mut octets = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Octets(literal) => octets.extend_from_slice(literal),
                Piece::Slot(slot) => octets.extend_from_slice(slots.get(*slot)?.as_bytes()),
            }
        }
        Some(octets)
    }

    fn uses(&self, slot: Slot) -> bool {
        self.0.contains(&Piece::Slot(slot))
    }
}

impl<'a> Slots<'a> {
    fn get(&self, slot: Slot) -> Option<&'a str> {
        let value = match slot {
            Slot::Address => self.address,
            Slot::LocalPart => self.local_part,
            Slot::Domain => self.domain,
        };
        value.filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests;
