//! The attribute mapping read in the direction of the directory: which attribute a property of an account or a
//! group is written to, in which form, and what a whole new entry consists of.
//!
//! Pure. Never invents a value that a person would see, beyond those that the schema demands (`cn`, `sn`).

mod account_name;
mod addresses;
mod entry;
mod schema;

pub use account_name::account_names;
pub use addresses::Before;
pub use entry::{MailObject, NewObject, Unwritable};
pub use schema::Schema;

use super::{AttributeChange, Edit};
use crate::config::{AttributeMap, ConnectorConfig, EnabledKind, ServerType};
use crate::export::Disabled;
use crate::patterns::{EntryKind, Half, Patterns};
use bytes::Bytes;
use ldap::{Dn, DnTemplate, Entry, Rdn, Slot, Slots};
use model::{ConfigProblem, Domain};

/// The flag ACCOUNTDISABLE of `userAccountControl` (MS-ADTS section 2.2.16).
pub(super) const ACCOUNT_DISABLED: u32 = 2;

/// A property of an account or group, in the mail system's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Property {
    /// The address.
    Address,
    /// Further addresses.
    Aliases,
    /// The name shown to people.
    DisplayName,
    /// Given name.
    GivenName,
    /// Surname.
    Surname,
    /// Storage limit in bytes, as decimal digits; 0 is none.
    Quota,
    /// The home's host name.
    Host,
    /// Members of a group, as DNs.
    Members,
}

/// How the properties of mail are said in the directory of one connector.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    map: AttributeMap,
    server: ServerType,
    accounts: Place,
    groups: Option<Place>,
}

/// Where and as what entries of one kind are created.
#[derive(Debug, Clone)]
struct Place {
    object_class: String,
    under: DnTemplate,
    rdn: Option<DnTemplate>,
    /// The first base DN, below which the placeholder stands.
    base: Dn,
}

impl Vocabulary {
    /// Reads the mapping; keys of problems are relative to the connector.
    pub fn new(config: &ConnectorConfig) -> Result<Self, Vec<ConfigProblem>> {
        Self::of(config, &Patterns::new(config)?)
    }

    pub(crate) fn of(config: &ConnectorConfig, patterns: &Patterns) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let accounts = Place::new(
            "accounts",
            patterns.accounts.object_class(),
            &patterns.accounts.bases,
            (
                config.accounts.create_under.as_deref(),
                config.accounts.rdn.as_deref(),
            ),
            &mut problems,
        );
        let groups = patterns.groups.as_ref().and_then(|half| {
            let given = (
                config.groups.create_under.as_deref(),
                config.groups.rdn.as_deref(),
            );
            Place::new("groups", half.object_class(), &half.bases, given, &mut problems)
        });
        for (section, place) in [("accounts", &accounts), ("groups", &groups)] {
            let problem = place.as_ref().and_then(|place| place.ambiguity(&config.domains));
            problems.extend(problem.map(|text| ConfigProblem::new(format!("{section}.rdn"), text)));
        }
        let halves = [Some(&patterns.accounts), patterns.groups.as_ref()];
        for (section, place, half) in [("accounts", &accounts, halves[0]), ("groups", &groups, halves[1])] {
            let outside = place.as_ref().zip(half);
            let outside = outside.and_then(|(place, half)| place.outside(half, &config.domains));
            problems.extend(outside.map(|text| ConfigProblem::new(format!("{section}.create_under"), text)));
        }
        match accounts {
            Some(accounts) if problems.is_empty() => Ok(Self {
                map: patterns.map.clone(),
                server: patterns.server,
                accounts,
                groups,
            }),
            _ => Err(problems),
        }
    }

    fn place(&self, kind: EntryKind) -> Option<&Place> {
        match kind {
            EntryKind::Account => Some(&self.accounts),
            EntryKind::Group => self.groups.as_ref(),
        }
    }

    /// Where accounts and groups of this domain are created.
    pub(super) fn places(&self, domain: &Domain) -> Vec<Dn> {
        let name = domain.to_string();
        let slots = Slots {
            address: None,
            local_part: None,
            domain: Some(&name),
        };
        let places = std::iter::once(&self.accounts).chain(&self.groups);
        places.filter_map(|place| place.under.fill(&slots)).collect()
    }

    /// The attribute that holds a property. None: the mapping has none for it, and it stays local.
    #[must_use]
    pub fn attribute(&self, property: Property) -> Option<&str> {
        let map = &self.map;
        Some(match property {
            Property::Address => &map.mail,
            Property::Aliases => &map.aliases,
            Property::DisplayName => &map.display_name,
            Property::GivenName => &map.given_name,
            Property::Surname => &map.surname,
            Property::Quota => return map.quota.as_deref(),
            Property::Host => return map.host.as_deref(),
            Property::Members => &map.members,
        })
    }

    /// A value in the form of the directory.
    #[must_use]
    pub fn value(&self, property: Property, text: &str) -> Bytes {
        Bytes::from(match (property, self.server) {
            // Exchange's form: `SMTP:` marks the primary address, `smtp:` all others.
            (Property::Aliases, ServerType::ActiveDirectory) => format!("smtp:{text}"),
            _ => text.to_owned(),
        })
    }

    /// The change of a property from one set of values to another, value by value. None when there is none to
    /// write, or no attribute for it.
    #[must_use]
    pub fn change(&self, property: Property, before: &[String], after: &[String]) -> Option<AttributeChange> {
        let attribute = self.attribute(property)?;
        let gone = before.iter().filter(|text| !after.contains(text));
        let new = after.iter().filter(|text| !before.contains(text));
        let remove: Vec<Bytes> = gone.map(|text| self.value(property, text)).collect();
        let add: Vec<Bytes> = new.map(|text| self.value(property, text)).collect();
        if remove.is_empty() && add.is_empty() {
            return None;
        }
        Some(AttributeChange::values(attribute, remove, add))
    }

    /// The same for the name shown to people. Where the entry has no such attribute the name was read from `cn`, which has
    /// its own purpose and stays: there is nothing to take away then.
    #[must_use]
    pub fn name_change(
        &self,
        entry: Option<&Entry>,
        before: &[String],
        after: &[String],
    ) -> Option<AttributeChange> {
        let property = Property::DisplayName;
        let attribute = self.attribute(property)?;
        match entry {
            Some(entry) if entry.first(attribute).is_none() => self.change(property, &[], after),
            _ => self.change(property, before, after),
        }
    }

    /// The attribute that says whether an account may log in.
    #[must_use]
    pub fn switch_attribute(&self) -> &str {
        &self.map.enabled.attribute
    }

    /// The change that switches an account on or off. `entry` holds the present value of
    /// [`Vocabulary::switch_attribute`], if there is one. None when it is so already.
    pub fn switch(&self, entry: &Entry, disabled: Disabled) -> Result<Option<AttributeChange>, Unwritable> {
        let enabled = &self.map.enabled;
        let present = entry.first(&enabled.attribute).cloned();
        let wanted = match enabled.kind {
            EnabledKind::Bool => {
                let on = (disabled == Disabled::No) != enabled.invert;
                // Absent means enabled, and need not be written.
                if present.is_none() && disabled == Disabled::No {
                    return Ok(None);
                }
                Some(if on { "TRUE".to_owned() } else { "FALSE".to_owned() })
            }
            EnabledKind::Bitmask => {
                let text = present
                    .as_deref()
                    .and_then(|value| std::str::from_utf8(value).ok());
                let number: u32 = match text.map(str::parse) {
                    None => 0,
                    Some(Ok(number)) => number,
                    Some(Err(_)) => return Err(Unwritable::not_a_number(&enabled.attribute)),
                };
                let on = (disabled == Disabled::No) != enabled.invert;
                let bits = if on {
                    number & !enabled.mask
                } else if number & enabled.mask != 0 {
                    number
                } else {
                    number | enabled.mask
                };
                if bits == number {
                    return Ok(None);
                }
                Some(bits.to_string())
            }
            // A time long past. The way back is to take it away.
            EnabledKind::GeneralizedTime => (disabled == Disabled::Yes).then(|| "19700101000000Z".to_owned()),
            EnabledKind::Present if (disabled == Disabled::No) != enabled.invert => None,
            EnabledKind::Present if present.is_some() => return Ok(None),
            EnabledKind::Present => return Err(Unwritable::unknown_value(&enabled.attribute)),
        };
        let wanted = wanted.map(Bytes::from);
        if wanted == present {
            return Ok(None);
        }
        Ok(Some(AttributeChange {
            attribute: enabled.attribute.clone(),
            edit: Edit::Values {
                remove: present.into_iter().collect(),
                add: wanted.into_iter().collect(),
            },
        }))
    }

    /// The auxiliary class that allows this attribute on an entry, where we know one.
    pub(super) fn auxiliary_class(&self, attribute: &str, entry: &Entry) -> Option<&'static str> {
        if self.server == ServerType::ActiveDirectory {
            return None;
        }
        let group = self
            .groups
            .as_ref()
            .is_some_and(|groups| entry.has_object_class(&groups.object_class));
        let kind = if group {
            EntryKind::Group
        } else {
            EntryKind::Account
        };
        auxiliary_class(attribute, kind)
    }
}

impl Place {
    fn new(
        section: &str,
        object_class: &str,
        bases: &[Dn],
        (under, rdn): (Option<&str>, Option<&str>),
        problems: &mut Vec<ConfigProblem>,
    ) -> Option<Self> {
        let base = bases.first()?.clone();
        let text = under.map_or_else(|| escaped(&base), str::to_owned);
        let mut parse = |key: &str, text: &str| match DnTemplate::parse(text) {
            Ok(template) => Some(template),
            Err(error) => {
                problems.push(ConfigProblem::new(format!("{section}.{key}"), error.to_string()));
                None
            }
        };
        let under = parse("create_under", &text);
        let rdn = match rdn {
            Some(text) => Some(parse("rdn", text)?),
            None => None,
        };
        Some(Self {
            object_class: object_class.to_owned(),
            under: under?,
            rdn,
            base,
        })
    }
}

impl Place {
    /// Whether several domains have their entries in one place.
    fn is_shared(&self, domains: &[Domain]) -> bool {
        let told_apart = self.under.uses(Slot::Domain) || self.under.uses(Slot::Address);
        domains.len() > 1 && !told_apart
    }

    /// A place where entries would be made that nobody would find again. What the connector's domains do not settle is not
    /// judged.
    fn outside(&self, half: &Half, domains: &[Domain]) -> Option<String> {
        let anybody = |domain: &Domain| (format!("somebody@{domain}"), domain.to_string());
        let known: Vec<(String, String)> = domains.iter().map(anybody).collect();
        let slots = known.iter().map(|(address, domain)| Slots {
            address: Some(address),
            local_part: Some("somebody"),
            domain: Some(domain),
        });
        let none = Slots {
            address: None,
            local_part: Some("somebody"),
            domain: None,
        };
        let bare = domains.is_empty().then_some(none);
        slots.chain(bare).find_map(|slots| {
            let place = self.under.fill(&slots)?;
            let entry = place.child(Rdn::new("cn", "somebody").ok()?);
            (!half.spans(&entry)).then(|| {
                format!("{place} is not where base_dn and scope look, so an entry that is made there would not be found again")
            })
        })
    }

    /// How two addresses would get one DN.
    fn ambiguity(&self, domains: &[Domain]) -> Option<String> {
        let rdn = self.rdn.as_ref()?;
        if rdn.uses(Slot::Address) {
            return None;
        }
        if !rdn.uses(Slot::LocalPart) {
            return Some("every entry would have the same name: use %u or %e".to_owned());
        }
        let (true, [one, other, ..]) = (self.is_shared(domains) && !rdn.uses(Slot::Domain), domains) else {
            return None;
        };
        Some(format!(
            "a@{one} and a@{other} would be one entry: use %e here, or %d or %D in create_under"
        ))
    }
}

/// A DN as a template without slots.
fn escaped(dn: &Dn) -> String {
    dn.to_string().replace('%', "%%")
}

/// The auxiliary class that allows this attribute, where we know one.
pub(super) fn auxiliary_class(attribute: &str, kind: EntryKind) -> Option<&'static str> {
    let name = attribute.to_ascii_lowercase();
    match (name.as_str(), kind) {
        ("maillocaladdress" | "mailhost", _) => Some("inetLocalMailRecipient"),
        (name, EntryKind::Account) if name.starts_with("homing") => Some("homingAccount"),
        (name, EntryKind::Group) if name.starts_with("homing") => Some("homingGroup"),
        ("mail" | "displayname", EntryKind::Group) => Some("homingGroup"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
