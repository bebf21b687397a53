//! A DN with slots.

use super::{Slot, Slots, TemplateError, Value, ValueBuilder};
use crate::dn::{self, Ava, Dn, RawAva, RawRdn, Rdn};

/// A DN whose values may hold `%e`, `%u`, `%d` and `%%`, and in which `%D` stands for the RDNs of a domain.
#[derive(Debug, Clone)]
pub struct DnTemplate {
    parts: Vec<Part>,
}

/// What stands between two commas.
#[derive(Debug, Clone)]
enum Part {
    /// An RDN: its attribute values.
    Rdn(Vec<Open>),
    /// `%D`.
    DomainComponents,
}

/// An attribute value of an RDN.
#[derive(Debug, Clone)]
enum Open {
    /// `#` and hex, which takes no slot.
    Ber(Ava),
    /// An attribute type, and a value that may hold slots.
    Text(String, Value),
}

impl DnTemplate {
    /// Reads a DN (RFC 4514) with slots. A slot anywhere but in a value is an error, except `%D`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let parts = dn::split(text)?.into_iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// The DN with every slot filled, or nothing when one of them does not apply.
    #[must_use]
    pub fn fill(&self, slots: &Slots<'_>) -> Option<Dn> {
        let mut rdns = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Rdn(values) => {
                    let parts = values
                        .iter()
                        .map(|value| value.fill(slots))
                        .collect::<Option<_>>()?;
                    rdns.push(Rdn::from_parts(parts));
                }
                // RFC 2247 section 2: one dc= RDN for each label.
                Part::DomainComponents => {
                    for label in slots.get(Slot::Domain)?.split('.') {
                        if label.is_empty() {
                            return None;
                        }
                        rdns.push(Rdn::from_parts(vec![Ava::text("dc", label.into())]));
                    }
                }
            }
        }
        Some(Dn::from_rdns(rdns))
    }

    /// Whether `slot` stands anywhere in the template.
    #[must_use]
    pub fn uses(&self, slot: Slot) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Rdn(values) => values
                .iter()
                .any(|value| matches!(value, Open::Text(_, value) if value.uses(slot))),
            Part::DomainComponents => slot == Slot::Domain,
        })
    }
}

fn part(raw: RawRdn<'_>) -> Result<Part, TemplateError> {
    if raw.text.trim_matches(' ') == "%D" {
        return Ok(Part::DomainComponents);
    }
    dn::split_rdn(raw)
        .map(|raw| open(raw?))
        .collect::<Result<_, _>>()
        .map(Part::Rdn)
}

fn open(raw: RawAva<'_>) -> Result<Open, TemplateError> {
    if raw.value.trim_matches(' ').starts_with('#') {
        return Ok(Open::Ber(dn::parse_ava(raw)?));
    }
    let mut builder = ValueBuilder::default();
    dn::decode_value(raw, |octet| builder.push(octet))?;
    Ok(Open::Text(raw.attribute.to_owned(), builder.finish()?))
}

impl Open {
    fn fill(&self, slots: &Slots<'_>) -> Option<Ava> {
        match self {
            Self::Ber(ava) => Some(ava.clone()),
            Self::Text(attribute, value) => Some(Ava::text(attribute, value.fill(slots)?)),
        }
    }
}
