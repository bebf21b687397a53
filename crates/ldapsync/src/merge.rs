//! The three-way merge of one field: base (the last common state), local, remote.
//!
//! Pure, and without a direction of its own: [`compare`] says who changed since the base, [`merge`] applies
//! the policy. No clock takes part; a side has changed when its value differs from the base.

use crate::field::{Field, Values};
use directory::config::{Absent, Direction};

/// Who changed a field since the last common state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Both sides agree, whatever the base was.
    None,
    /// Only the local side differs from the base.
    Local,
    /// Only the remote side differs from the base.
    Remote,
    /// Both differ from the base and from each other.
    Both,
}

/// Compares by matching rule first. Values that are equal but spelt differently are compared as written, so
/// that a corrected spelling arrives without ever counting as a conflict.
#[must_use]
pub(crate) fn compare(base: &Values, local: &Values, remote: &Values) -> Change {
    let judge = |same: fn(&Values, &Values) -> bool| {
        if same(local, remote) {
            Change::None
        } else if same(remote, base) {
            Change::Local
        } else if same(local, base) {
            Change::Remote
        } else {
            Change::Both
        }
    };
    match judge(Values::equals) {
        Change::None => judge(PartialEq::eq),
        change => change,
    }
}

/// Why a local value is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The directory changed.
    Changed,
    /// The directory did not change; a local edit is undone.
    Drift,
    /// The attribute went away and `absent = "clear"`.
    Cleared,
}

/// The merge of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    /// What to write locally, and why; none when the local side is right already.
    pub(crate) local: Option<(Values, Cause)>,
    /// The next base.
    pub(crate) base: Values,
}

/// Merges one field.
#[must_use]
pub(crate) fn merge(
    field: Field,
    (base, local, remote): (&Values, &Values, &Values),
    direction: Direction,
    absent: Absent,
) -> Merged {
    let Direction::LdapToLocal = direction;
    if remote.is_empty() {
        return merge_absent(field, base, local, absent);
    }
    let cause = match compare(base, local, remote) {
        Change::None => None,
        Change::Local => Some(Cause::Drift),
        Change::Remote | Change::Both => Some(Cause::Changed),
    };
    Merged {
        local: cause.map(|cause| (remote.clone(), cause)),
        base: remote.clone(),
    }
}

fn merge_absent(field: Field, base: &Values, local: &Values, absent: Absent) -> Merged {
    let untouched = Merged {
        local: None,
        base: base.clone(),
    };
    match field {
        // Never seen on the remote side: unmanaged, whatever it is locally.
        _ if base.is_empty() => untouched,
        // An account cannot be without an address; the entry is quarantined before it comes here.
        Field::Address => untouched,
        // Absent has a meaning of its own: login is allowed. The base keeps a value, so that the switch
        // stays managed.
        Field::Enabled => {
            let on = Values::switch(true);
            let wrong = !local.equals(&on);
            Merged {
                local: wrong.then(|| (on.clone(), Cause::Changed)),
                base: on,
            }
        }
        // A group whose members cannot be read keeps them; one that has none left shows a placeholder, which
        // the mapping turns into an empty set together with a base that is empty from then on.
        _ if absent == Absent::Keep => untouched,
        _ => Merged {
            local: (!local.is_empty()).then_some((Values::NONE, Cause::Cleared)),
            base: Values::NONE,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(letters: &str) -> Values {
        let addresses: Vec<_> = letters
            .chars()
            .map(|c| model::Address::parse(&format!("{c}@example.test")).expect("an address"))
            .collect();
        Values::addresses(&addresses)
    }

    #[test]
    fn who_changed() {
        for (base, local, remote, change) in [
            ("a", "a", "a", Change::None),
            ("", "a", "a", Change::None),
            ("a", "b", "a", Change::Local),
            ("a", "a", "b", Change::Remote),
            ("a", "b", "c", Change::Both),
            ("", "a", "b", Change::Both),
            // The same by the matching rule, spelt differently.
            ("a", "a", "A", Change::Remote),
            ("a", "A", "a", Change::Local),
            ("b", "a", "A", Change::Both),
        ] {
            assert_eq!(
                compare(&set(base), &set(local), &set(remote)),
                change,
                "{base} {local} {remote}"
            );
        }
    }

    #[test]
    fn the_directory_is_the_source() {
        for (base, local, remote, absent, written, next) in [
            ("a", "a", "a", Absent::Keep, None, "a"),
            ("a", "a", "b", Absent::Keep, Some(("b", Cause::Changed)), "b"),
            ("a", "b", "a", Absent::Keep, Some(("a", Cause::Drift)), "a"),
            ("a", "b", "c", Absent::Keep, Some(("c", Cause::Changed)), "c"),
            ("", "b", "", Absent::Clear, None, ""),
            ("a", "a", "", Absent::Keep, None, "a"),
            ("a", "a", "", Absent::Clear, Some(("", Cause::Cleared)), ""),
            ("a", "", "", Absent::Clear, None, ""),
        ] {
            let (b, l, r) = (set(base), set(local), set(remote));
            let merged = merge(Field::Aliases, (&b, &l, &r), Direction::LdapToLocal, absent);
            let expected = Merged {
                local: written.map(|(text, cause)| (set(text), cause)),
                base: set(next),
            };
            assert_eq!(merged, expected, "{base} {local} {remote}");
        }
    }

    #[test]
    fn an_absent_switch_is_on() {
        let merged = |base: &Values, local: bool| {
            let local = Values::switch(local);
            merge(
                Field::Enabled,
                (base, &local, &Values::NONE),
                Direction::LdapToLocal,
                Absent::Keep,
            )
        };
        assert_eq!(merged(&Values::NONE, false).local, None, "never seen: unmanaged");
        let off = Values::switch(false);
        assert_eq!(
            merged(&off, false).local,
            Some((Values::switch(true), Cause::Changed))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn merging_again_changes_nothing(
            base in "[a-cA-C]{0,3}", local in "[a-cA-C]{0,3}", remote in "[a-cA-C]{0,3}", clear in any::<bool>()
        ) {
            let absent = if clear { Absent::Clear } else { Absent::Keep };
            let (b, l, r) = (set(&base), set(&local), set(&remote));
            let first = merge(Field::Aliases, (&b, &l, &r), Direction::LdapToLocal, absent);
            let after = first.local.clone().map_or(l, |(values, _)| values);
            let second = merge(Field::Aliases, (&first.base, &after, &r), Direction::LdapToLocal, absent);
            prop_assert_eq!(second, Merged { local: None, base: first.base });
        }
    }
}
