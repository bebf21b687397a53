//! The address and the aliases of an entry that shows several values in its address attribute: the first one is the
//! address, the others are aliases. LDAP promises no order of values (RFC 4512 section 2.2), but servers keep the one in
//! which they were added, and everybody reads the first as the address.

use super::{Property, Vocabulary};
use crate::write::AttributeChange;
use bytes::Bytes;
use ldap::Entry;

/// What a set of values was, and what it becomes.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The values that were there when the change was planned.
    pub was: &'a [String],
    /// The values that are to be there.
    pub now: &'a [String],
}

impl Vocabulary {
    /// The changes of an entry's address and aliases. An alias goes from each attribute that shows it, and a new address takes
    /// the first place, whatever else the attribute holds.
    #[must_use]
    pub fn address_changes(
        &self,
        entry: Option<&Entry>,
        address: Option<Before<'_>>,
        aliases: Option<Before<'_>>,
    ) -> Vec<AttributeChange> {
        let mail = entry.map(|entry| entry.strings(&self.map.mail).collect::<Vec<_>>());
        let change =
            |property, of: Option<Before<'_>>| of.and_then(|of| self.change(property, of.was, of.now));
        match mail.as_deref() {
            Some(mail @ [first, _, ..]) => {
                let also = entry.map(|entry| entry.get(&self.map.aliases).to_vec());
                let shown = Shown {
                    mail,
                    first,
                    also: &also.unwrap_or_default(),
                };
                self.several(shown, address, aliases)
            }
            _ => {
                let changes = [
                    change(Property::Address, address),
                    change(Property::Aliases, aliases),
                ];
                changes.into_iter().flatten().collect()
            }
        }
    }

    fn several(
        &self,
        Shown { mail, first, also }: Shown<'_>,
        address: Option<Before<'_>>,
        aliases: Option<Before<'_>>,
    ) -> Vec<AttributeChange> {
        let (was, now): (&[String], &[String]) = aliases.map_or((&[], &[]), |of| (of.was, of.now));
        let gone: Vec<&str> = missing(was, now);
        let next = address
            .and_then(|of| of.now.first())
            .map_or(first, String::as_str);
        let renamed = !same(next, first);
        let leaves = |text: &str| same(text, next) || has(&gone, text) || (renamed && same(text, first));
        let stays = |text: &&str| !leaves(text);
        let rest: Vec<&str> = mail.iter().copied().filter(stays).collect();
        let octets = |texts: &[&str]| -> Vec<Bytes> {
            let value = |text: &&str| self.value(Property::Address, text);
            texts.iter().map(value).collect()
        };
        let mut changes = Vec::new();
        if renamed {
            // As a whole, so that the new one comes first.
            let after: Vec<&str> = std::iter::once(next).chain(rest.iter().copied()).collect();
            changes.push(AttributeChange::replace(&self.map.mail, octets(&after)));
        } else {
            let left: Vec<&str> = mail.iter().copied().filter(|text| has(&gone, text)).collect();
            if !left.is_empty() {
                changes.push(AttributeChange::values(&self.map.mail, octets(&left), Vec::new()));
            }
        }
        // Many an entry repeats in one attribute what the other one has.
        let repeated = |text: &str| {
            let value = self.value(Property::Aliases, text);
            also.iter().any(|shown| shown.eq_ignore_ascii_case(&value))
        };
        let remove: Vec<String> = gone
            .iter()
            .filter(|text| !has(mail, text) || repeated(text))
            .map(|text| (*text).to_owned())
            .collect();
        let add: Vec<String> = missing(now, was)
            .into_iter()
            .filter(|text| !has(&rest, text))
            .map(str::to_owned)
            .collect();
        changes.extend(self.change(Property::Aliases, &remove, &add));
        changes
    }
}

/// What an entry shows.
#[derive(Clone, Copy)]
struct Shown<'a> {
    /// All values of the address attribute, and the first of them.
    mail: &'a [&'a str],
    first: &'a str,
    /// The values of the alias attribute, as they are written there.
    also: &'a [Bytes],
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn has(all: &[&str], text: &str) -> bool {
    all.iter().any(|one| same(one, text))
}

/// The values of the first that are not in the second.
fn missing<'a>(of: &'a [String], not_in: &[String]) -> Vec<&'a str> {
    let absent = |text: &&String| !not_in.iter().any(|one| same(one, text));
    of.iter().filter(absent).map(String::as_str).collect()
}
