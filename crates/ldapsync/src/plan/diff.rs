//! From what to what a field goes, for people.

use crate::field::{Field, Values};
use std::collections::BTreeSet;
use std::fmt;

/// The right side of a line of a diff. A list may have thousands of members, so of them only those are named who come and go;
/// what is little is shown as it was and as it will be.
pub(super) struct FromTo<'v> {
    field: Field,
    was: &'v Values,
    now: &'v Values,
}

impl<'v> FromTo<'v> {
    pub(super) fn new(field: Field, was: &'v Values, now: &'v Values) -> Self {
        Self { field, was, now }
    }
}

impl fmt::Display for FromTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, was, now } = *self;
        // A member with another address is named with both.
        let (before, after): (BTreeSet<_>, BTreeSet<_>) = (was.iter().collect(), now.iter().collect());
        if field != Field::Members || before == after {
            return write!(f, "{was} -> {now}");
        }
        let mut between = "";
        for (sign, names) in [
            ("+", after.difference(&before).collect::<Vec<_>>()),
            ("-", before.difference(&after).collect()),
        ] {
            for (number, (_, name)) in names.into_iter().enumerate() {
                match number {
                    0 => write!(f, "{between}{sign} {name}")?,
                    _ => write!(f, ", {name}")?,
                }
                between = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::FromTo;
    use crate::field::{Field, Values};
    use model::{Address, EntryUuid};

    fn members(named: &[(u8, &str)]) -> Values {
        let named: Vec<(EntryUuid, Address)> = named
            .iter()
            .map(|(uuid, name)| {
                let address = Address::parse(&format!("{name}@a.test")).expect("an address");
                (EntryUuid::from_bytes([*uuid; 16]), address)
            })
            .collect();
        Values::members(named.iter().map(|(uuid, address)| (*uuid, address)))
    }

    #[test]
    fn of_a_list_only_who_comes_and_goes_is_named() {
        let was = members(&[(1, "anna"), (2, "bert"), (3, "cora")]);
        for (now, line) in [
            (members(&[(1, "anna"), (2, "bert")]), "- cora@a.test"),
            (
                members(&[(1, "anna"), (2, "bert"), (3, "cora"), (4, "dora")]),
                "+ dora@a.test",
            ),
            (
                members(&[(1, "anna"), (4, "dora"), (5, "egon")]),
                "+ dora@a.test, egon@a.test - bert@a.test, cora@a.test",
            ),
            // The same entry has another address.
            (
                members(&[(1, "anna"), (2, "bert"), (3, "clara")]),
                "+ clara@a.test - cora@a.test",
            ),
        ] {
            assert_eq!(FromTo::new(Field::Members, &was, &now).to_string(), line);
        }
        let few = FromTo::new(Field::Aliases, &was, &Values::default()).to_string();
        assert_eq!(few, "anna@a.test, bert@a.test, cora@a.test -> -");
    }
}
