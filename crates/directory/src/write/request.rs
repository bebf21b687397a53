//! From a write to the requests and controls of LDAP. Pure.

use super::{AttributeChange, Edit, Precondition};
use crate::patterns::equality;
use bytes::Bytes;
use ldap::control::{Assertion, Control, PostRead, PreRead};
use ldap::{Attribute, Entry, Filter, Modification, ModifyOperation, Values};
use model::EntryUuid;

/// What must be true of the entry, as one filter (RFC 4528): that it is the one meant, the version, the host.
pub(super) fn assertion(uuid: EntryUuid, precondition: &Precondition, host: Option<&str>) -> Filter {
    let mut all = vec![equality("entryUUID", &uuid.to_string())];
    if let Some(csn) = &precondition.csn {
        all.push(equality("entryCSN", csn));
    }
    if let (Some(attribute), false) = (host, precondition.hosts.is_empty()) {
        let spellings = precondition.hosts.iter().flat_map(|host| {
            let plain = host.trim().trim_end_matches('.');
            [plain.to_owned(), format!("{plain}.")]
        });
        all.push(Filter::Or(
            spellings.map(|host| equality(attribute, &host)).collect(),
        ));
    }
    Filter::And(all)
}

/// The controls of a change to an entry that is there.
pub(super) fn conditions(filter: Filter) -> Vec<Control> {
    vec![Assertion(filter).to_control()]
}

/// Whether the host attribute still says what it must.
pub(super) fn host_holds(
    entry: &Entry,
    precondition: &Precondition,
    host: Option<&str>,
) -> Result<(), Option<String>> {
    if precondition.hosts.is_empty() {
        return Ok(());
    }
    let Some(attribute) = host else { return Err(None) };
    let hosts: Vec<&str> = entry.strings(attribute).collect();
    match hosts.as_slice() {
        [one]
            if precondition
                .hosts
                .iter()
                .any(|known| canonical(known) == canonical(one)) =>
        {
            Ok(())
        }
        [] => Err(None),
        several => Err(Some(several.join(", "))),
    }
}

/// Host names are compared without case and without the trailing dot (RFC 4343).
fn canonical(host: &str) -> String {
    host.trim().trim_end_matches('.').to_ascii_lowercase()
}

/// The attributes of an answer: what was asked for, and what names the entry and its version.
pub(super) fn read_back(asked: &[String], ours: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = ours.iter().map(|name| (*name).to_owned()).collect();
    for name in asked {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.clone());
        }
    }
    names
}

pub(super) fn post_read(names: &[String]) -> Control {
    PostRead::request(names)
}

pub(super) fn pre_read(names: &[String]) -> Control {
    PreRead::request(names)
}

/// The attributes whose present values must be known before the change can be written.
pub(super) fn replaced(changes: &[AttributeChange]) -> Vec<String> {
    changes
        .iter()
        .filter(|change| matches!(change.edit, Edit::Replace(_)))
        .map(|change| change.attribute.clone())
        .collect()
}

/// How a replacement is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swap {
    /// As a replacement: an assertion guards the entry.
    Whole,
    /// As the removal of what was seen and the addition of what is new, which fails when something else is there.
    Compare,
}

/// The modifications, without those that change nothing. `current` holds the present values of what is replaced.
pub(super) fn modifications(changes: &[AttributeChange], current: &Entry, swap: Swap) -> Vec<Modification> {
    let mut all = Vec::with_capacity(changes.len());
    for change in changes {
        let name = change.attribute.as_str();
        match &change.edit {
            Edit::Values { remove, add } => {
                let (remove, add) = (without(remove, add), without(add, remove));
                push(&mut all, ModifyOperation::Delete, name, remove);
                push(&mut all, ModifyOperation::Add, name, add);
            }
            Edit::Replace(values) => {
                let present = current.get(name);
                let (gone, new) = (without(present, values), without(values, present));
                if gone.is_empty() && new.is_empty() {
                    continue;
                }
                match swap {
                    Swap::Whole => {
                        let attribute = Attribute::new(name, Values::from(values.clone()));
                        all.push(Modification::new(ModifyOperation::Replace, attribute));
                    }
                    Swap::Compare => {
                        push(&mut all, ModifyOperation::Delete, name, gone);
                        push(&mut all, ModifyOperation::Add, name, new);
                    }
                }
            }
        }
    }
    all
}

fn push(all: &mut Vec<Modification>, operation: ModifyOperation, name: &str, values: Vec<Bytes>) {
    if !values.is_empty() {
        all.push(Modification::new(
            operation,
            Attribute::new(name, Values::from(values)),
        ));
    }
}

/// The values that are not among the others.
fn without(values: &[Bytes], others: &[Bytes]) -> Vec<Bytes> {
    // The groups of a large organisation make this worth a set.
    let others: std::collections::HashSet<&Bytes> = others.iter().collect();
    values
        .iter()
        .filter(|value| !others.contains(value))
        .cloned()
        .collect()
}

/// Whether the entry shows a value that the changes would add, or lacks one that they would remove.
pub(super) fn contradicts(changes: &[AttributeChange], current: &Entry) -> bool {
    changes.iter().any(|change| {
        let present = current.get(&change.attribute);
        let has = |value: &Bytes| present.iter().any(|known| known.eq_ignore_ascii_case(value));
        match &change.edit {
            Edit::Replace(_) => false,
            Edit::Values { remove, add } => {
                let (remove, add) = (without(remove, add), without(add, remove));
                let returns = |value: &Bytes| remove.iter().any(|gone| gone.eq_ignore_ascii_case(value));
                remove.iter().any(|value| !has(value))
                    || add.iter().any(|value| has(value) && !returns(value))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(texts: &[&str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::from((*text).to_owned())).collect()
    }

    fn shown(all: &[Modification]) -> Vec<String> {
        all.iter()
            .map(|change| {
                let values: Vec<_> = change
                    .attribute
                    .values
                    .iter()
                    .map(|v| String::from_utf8_lossy(v))
                    .collect();
                format!(
                    "{:?} {} {}",
                    change.operation,
                    change.attribute.name,
                    values.join(",")
                )
            })
            .collect()
    }

    #[test]
    fn what_changes_nothing_is_not_written() {
        let entry = Entry::new("dc=t")
            .with("mail", values(&["a", "b"]))
            .with("cn", values(&["x"]));
        let table: &[(AttributeChange, &[&str], &[&str])] = &[
            (AttributeChange::replace("mail", values(&["b", "a"])), &[], &[]),
            (
                AttributeChange::replace("mail", values(&["b", "c"])),
                &["Replace mail b,c"],
                &["Delete mail a", "Add mail c"],
            ),
            (
                AttributeChange::replace("mail", values(&[])),
                &["Replace mail "],
                &["Delete mail a,b"],
            ),
            (AttributeChange::replace("sn", values(&[])), &[], &[]),
            (
                AttributeChange::replace("sn", values(&["s"])),
                &["Replace sn s"],
                &["Add sn s"],
            ),
            (
                AttributeChange::values("mail", values(&["a"]), values(&["a"])),
                &[],
                &[],
            ),
            (
                AttributeChange::values("cn", values(&["x"]), values(&["X"])),
                &["Delete cn x", "Add cn X"],
                &["Delete cn x", "Add cn X"],
            ),
        ];
        for (change, whole, compare) in table {
            let changes = std::slice::from_ref(change);
            assert_eq!(
                shown(&modifications(changes, &entry, Swap::Whole)),
                *whole,
                "{change:?}"
            );
            assert_eq!(
                shown(&modifications(changes, &entry, Swap::Compare)),
                *compare,
                "{change:?}"
            );
        }
    }

    #[test]
    fn assertions_name_the_entry_the_version_and_the_host() {
        let uuid = EntryUuid::from_bytes([1; 16]);
        let all = Precondition {
            csn: Some("7".into()),
            hosts: vec!["store1.test.".into()],
        };
        let id = "(entryUUID=01010101-0101-0101-0101-010101010101)";
        for (precondition, filter) in [
            (Precondition::default(), format!("(&{id})")),
            (
                all,
                format!("(&{id}(entryCSN=7)(|(mailHost=store1.test)(mailHost=store1.test.)))"),
            ),
        ] {
            assert_eq!(
                assertion(uuid, &precondition, Some("mailHost")).to_string(),
                filter
            );
        }
    }

    #[test]
    fn hosts_by_table() {
        let precondition = Precondition {
            csn: None,
            hosts: vec!["Store1.test".into(), "s1".into()],
        };
        for (hosts, holds) in [
            (vec!["store1.TEST."], Ok(())),
            (vec!["S1"], Ok(())),
            (vec!["store2.test"], Err(Some("store2.test".to_owned()))),
            (vec!["s1", "s2"], Err(Some("s1, s2".to_owned()))),
            (vec![], Err(None)),
        ] {
            let entry = Entry::new("dc=t").with("mailHost", values(&hosts));
            assert_eq!(
                host_holds(&entry, &precondition, Some("mailHost")),
                holds,
                "{hosts:?}"
            );
        }
    }

    #[test]
    fn contradictions() {
        let entry = Entry::new("dc=t").with("member", values(&["A", "b"]));
        for (remove, add, contradicts_it) in [
            (vec!["a"], vec!["c"], false),
            (vec!["c"], vec![], true),
            (vec![], vec!["B"], true),
            (vec!["b"], vec!["B"], false),
            (vec![], vec!["d"], false),
        ] {
            let change = AttributeChange::values("member", values(&remove), values(&add));
            assert_eq!(
                contradicts(&[change], &entry),
                contradicts_it,
                "{remove:?} {add:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn compared_or_whole_ends_at_the_wanted_values(
            before in prop::collection::btree_set("[a-f]", 0..5),
            wanted in prop::collection::btree_set("[a-f]", 0..5),
        ) {
            let before: Vec<Bytes> = before.into_iter().map(Bytes::from).collect();
            let mut wanted: Vec<Bytes> = wanted.into_iter().map(Bytes::from).collect();
            let entry = Entry::new("dc=t").with("x", before.clone());
            let change = [AttributeChange::replace("x", wanted.clone())];
            for swap in [Swap::Whole, Swap::Compare] {
                let mut now = before.clone();
                let all = modifications(&change, &entry, swap);
                for one in &all {
                    match one.operation {
                        ModifyOperation::Delete => now.retain(|value| !one.attribute.values.contains(value)),
                        ModifyOperation::Add => now.extend(one.attribute.values.iter().cloned()),
                        _ => now = one.attribute.values.to_vec(),
                    }
                }
                now.sort();
                wanted.sort();
                prop_assert_eq!(&now, &wanted);
                prop_assert_eq!(all.is_empty(), before == wanted);
            }
        }
    }
}
