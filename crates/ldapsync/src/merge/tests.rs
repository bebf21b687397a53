//! Merges, by tables and properties.

use super::*;
use proptest::prelude::*;

fn set(letters: &str) -> Values {
    let addresses: Vec<_> = letters
        .chars()
        .map(|c| model::Address::parse(&format!("{c}@example.test")).expect("an address"))
        .collect();
    Values::addresses(&addresses)
}

fn rules(direction: Direction, resolution: ConflictResolution) -> Rules {
    Rules {
        direction,
        resolution,
        scope: ConflictScope::Attribute,
        absent: Absent::Keep,
        members: Absent::Clear,
    }
}

const DOWN: Direction = Direction::LdapToLocal;
const UP: Direction = Direction::LocalToLdap;
const BOTH: Direction = Direction::BothWays;
const LOCAL: ConflictResolution = ConflictResolution::LocalWins;
const LDAP: ConflictResolution = ConflictResolution::LdapWins;
const STAY: ConflictResolution = ConflictResolution::NoChange;

/// An object's three images; `?` is a field without a base.
struct Case {
    base: Option<Image>,
    local: Image,
    remote: Image,
    marks: Marks,
}

impl Case {
    fn one(field: Field, base: &str, local: &str, remote: &str) -> Self {
        let image = |text: &str| Image::default().with(field, value(field, text));
        Self {
            base: (base != "?").then(|| image(base)),
            local: image(local),
            remote: image(remote),
            marks: Marks::default(),
        }
    }

    fn merge(&self, fields: &[Field], rules: &Rules) -> Merged {
        let made = self.marks.acquaintance == Acquaintance::Made;
        let images = Images {
            base: self.base.as_ref().filter(|_| made),
            local: &self.local,
            remote: &self.remote,
            marks: &self.marks,
        };
        merge(fields, images, rules)
    }

    /// Carries both halves out, as the store and the directory would.
    fn after(&self, merged: &Merged) -> Self {
        let mut next = self.half(merged);
        for write in &merged.remote {
            next.remote.set(write.field, write.values.clone());
            next.marks.refused.remove(&write.field);
            next.marks.apart.remove(&write.field);
        }
        next.base = Some(merged.base.clone());
        next.marks.acquaintance = Acquaintance::Made;
        next
    }

    /// Carries the local half out and dies: what is still to be pushed keeps its old base.
    fn half(&self, merged: &Merged) -> Self {
        let mut next = Self {
            base: Some(merged.base.clone()),
            local: self.local.clone(),
            remote: self.remote.clone(),
            marks: merged.marks.clone(),
        };
        for write in &merged.local {
            next.local.set(write.field, write.values.clone());
        }
        for write in &merged.remote {
            if let Some(base) = next.base.as_mut() {
                not_common_yet(base, self.base.as_ref(), write.field, &write.was);
            }
        }
        let first = self.base.is_none() || self.marks.acquaintance == Acquaintance::UnderWay;
        if first && !merged.remote.is_empty() {
            next.marks.acquaintance = Acquaintance::UnderWay;
        }
        next
    }
}

fn value(field: Field, text: &str) -> Values {
    match field {
        Field::DisplayName => Values::text(text),
        Field::Enabled => text
            .chars()
            .next()
            .map(|c| Values::switch(c == '1'))
            .unwrap_or_default(),
        Field::Quota => text.parse().map(Values::number).unwrap_or_default(),
        _ => set(text),
    }
}

/// `l>x` is written here, `r>x` there, `b=x` the base, `-x` what was discarded.
fn told(field: Field, merged: &Merged) -> String {
    let mut out = Vec::new();
    let short = |values: &Values| values.to_string().replace("@example.test", "");
    for (side, writes) in [("l", &merged.local), ("r", &merged.remote)] {
        for write in writes {
            out.push(format!("{side}>{}", short(&write.values)));
        }
    }
    for lost in &merged.discarded {
        for loser in &lost.losers {
            let values = match loser {
                Side::Local => &lost.local,
                Side::Remote => &lost.remote,
            };
            out.push(format!("lost {}", short(values)));
        }
    }
    if !merged.marks.apart.is_empty() {
        out.push("apart".into());
    }
    out.push(format!("b={}", short(merged.base.get(field))));
    out.join(" ")
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
fn one_field() {
    use Field::{Aliases as A, DisplayName as N, Enabled as E, Quota as Q};
    for (field, direction, resolution, base, local, remote, expected) in [
        // The directory is the source.
        (A, DOWN, LDAP, "a", "a", "a", "b=a"),
        (A, DOWN, LDAP, "a", "a", "b", "l>b b=b"),
        (A, DOWN, LDAP, "a", "b", "a", "l>a lost b b=a"),
        (A, DOWN, LDAP, "a", "b", "c", "l>c lost b b=c"),
        (A, DOWN, LDAP, "", "b", "", "b=-"),
        (A, DOWN, LDAP, "a", "a", "", "b=a"),
        (N, DOWN, LDAP, "?", "Al", "Bo", "l>Bo lost Al b=Bo"),
        (N, DOWN, LDAP, "Al", "Al", "AL", "l>AL b=AL"),
        // The accounts here are the source.
        (A, UP, LDAP, "a", "a", "a", "b=a"),
        (A, UP, LDAP, "a", "b", "a", "r>b b=b"),
        (A, UP, LDAP, "a", "a", "b", "r>a lost b b=a"),
        (A, UP, LDAP, "a", "a", "", "r>a b=a"),
        (A, UP, LDAP, "a", "", "a", "r>- b=-"),
        (N, UP, LDAP, "?", "", "Bo", "b=-"),
        (N, UP, LDAP, "?", "Al", "Bo", "r>Al lost Bo b=Al"),
        (N, UP, LDAP, "Al", "AL", "Al", "r>AL b=AL"),
        // A server that spells values in its own way is no editor.
        (N, UP, LDAP, "Al", "Al", "al", "b=Al"),
        (E, UP, LDAP, "", "1", "", "b=TRUE"),
        (E, UP, LDAP, "", "0", "", "r>FALSE b=FALSE"),
        (Q, UP, LDAP, "", "0", "", "b=0"),
        (Q, UP, LDAP, "5", "0", "5", "r>0 b=0"),
        // Both are written.
        (N, BOTH, LDAP, "Al", "Al", "Al", "b=Al"),
        (N, BOTH, LDAP, "Al", "Bo", "Al", "r>Bo b=Bo"),
        (N, BOTH, LDAP, "Al", "Al", "Bo", "l>Bo b=Bo"),
        (N, BOTH, LDAP, "Al", "Bo", "Bo", "b=Bo"),
        (N, BOTH, LDAP, "Al", "Bo", "Cy", "l>Cy lost Bo b=Cy"),
        (N, BOTH, LOCAL, "Al", "Bo", "Cy", "r>Bo lost Cy b=Bo"),
        (N, BOTH, STAY, "Al", "Bo", "Cy", "l>Al r>Al lost Bo lost Cy b=Al"),
        (N, BOTH, STAY, "", "Bo", "Cy", "l>- r>- lost Bo lost Cy b=-"),
        (N, BOTH, STAY, "?", "Bo", "Cy", "apart b=-"),
        (N, BOTH, STAY, "?", "Bo", "", "r>Bo b=Bo"),
        (N, BOTH, STAY, "?", "", "Cy", "l>Cy b=Cy"),
        (N, BOTH, LDAP, "Al", "", "Al", "r>- b=-"),
        (N, BOTH, LDAP, "Al", "Al", "", "b=Al"),
        (N, BOTH, LDAP, "Al", "Bo", "", "r>Bo b=Bo"),
        (N, BOTH, LDAP, "Al", "AL", "Al", "r>AL b=AL"),
        (N, BOTH, LDAP, "Al", "AL", "al", "l>al b=al"),
        (E, BOTH, LDAP, "", "0", "", "r>FALSE b=FALSE"),
        (E, BOTH, LDAP, "0", "0", "", "l>TRUE b=TRUE"),
        (E, BOTH, STAY, "?", "1", "0", "l>FALSE b=FALSE"),
        (Q, BOTH, LDAP, "", "0", "", "b=-"),
        (Q, BOTH, LDAP, "7", "5", "6", "l>6 lost 5 b=6"),
        // Sets, element by element: never a conflict.
        (A, BOTH, STAY, "a", "ab", "ac", "l>a, b, c r>a, b, c b=a, b, c"),
        (A, BOTH, STAY, "ab", "b", "abc", "l>b, c r>b, c b=b, c"),
        (A, BOTH, STAY, "ab", "a", "b", "l>- r>- b=-"),
        (A, BOTH, LDAP, "?", "ab", "bc", "l>a, b, c r>a, b, c b=a, b, c"),
    ] {
        let merged = Case::one(field, base, local, remote).merge(&[field], &rules(direction, resolution));
        assert_eq!(
            told(field, &merged),
            expected,
            "{field} {direction:?} {resolution:?} {base:?} {local:?} {remote:?}"
        );
    }
}

#[test]
fn a_vanished_attribute_is_kept_or_cleared() {
    for (direction, local, keep, clear) in [
        (DOWN, "a", "b=a", "l>- b=-"),
        (BOTH, "a", "b=a", "l>- b=-"),
        (BOTH, "b", "r>b b=b", "l>- lost b b=-"),
        (UP, "a", "r>a b=a", "r>a b=a"),
    ] {
        for (absent, expected) in [(Absent::Keep, keep), (Absent::Clear, clear)] {
            let name = |text: &str| text.to_owned();
            let case = Case::one(Field::DisplayName, "a", &name(local), "");
            let rules = Rules {
                absent,
                ..rules(direction, LDAP)
            };
            let merged = case.merge(&[Field::DisplayName], &rules);
            assert_eq!(
                told(Field::DisplayName, &merged),
                expected,
                "{direction:?} {absent:?}"
            );
        }
    }
}

#[test]
fn an_absent_switch_is_on() {
    let merged = |base: &str| {
        let case = Case::one(Field::Enabled, base, "0", "");
        case.merge(&[Field::Enabled], &rules(DOWN, LDAP)).local
    };
    assert_eq!(merged(""), [], "never seen: unmanaged");
    let [write] = merged("0").try_into().expect("one write");
    assert_eq!(
        (write.values, write.cause),
        (Values::switch(true), Cause::Changed)
    );
}

/// A worked example of both scopes: the name edited here, the quota there.
#[test]
fn scopes() {
    use Field::{DisplayName, Quota};
    let image = |name: &str, quota: u64| {
        Image::default()
            .with(DisplayName, Values::text(name))
            .with(Quota, Values::number(quota))
    };
    let case = Case {
        base: Some(image("Al", 5)),
        local: image("Bo", 5),
        remote: image("Al", 7),
        marks: Marks::default(),
    };
    for (scope, resolution, (here, there), lost) in [
        (
            ConflictScope::Attribute,
            LOCAL,
            (image("Bo", 7), image("Bo", 7)),
            0,
        ),
        (
            ConflictScope::Attribute,
            STAY,
            (image("Bo", 7), image("Bo", 7)),
            0,
        ),
        (ConflictScope::Entry, LOCAL, (image("Bo", 5), image("Bo", 5)), 1),
        (ConflictScope::Entry, LDAP, (image("Al", 7), image("Al", 7)), 1),
        (ConflictScope::Entry, STAY, (image("Al", 5), image("Al", 5)), 2),
    ] {
        let rules = Rules {
            scope,
            ..rules(BOTH, resolution)
        };
        let merged = case.merge(&[DisplayName, Quota], &rules);
        assert_eq!(merged.discarded.len(), lost, "{scope:?} {resolution:?}");
        let after = case.after(&merged);
        assert_eq!(
            (after.local, after.remote),
            (here, there),
            "{scope:?} {resolution:?}"
        );
    }
}

#[test]
fn fields_that_never_were_common_follow_the_next_edit() {
    let field = Field::DisplayName;
    let rules = rules(BOTH, STAY);
    let mut case = Case::one(field, "?", "Bo", "Cy");
    case = case.after(&case.merge(&[field], &rules));
    let again = case.merge(&[field], &rules);
    assert_eq!(
        told(field, &again),
        "apart b=-",
        "and a second look does not clear both"
    );
    for (local, remote, expected) in [
        ("Di", "Cy", "r>Di lost Cy apart b=Di"),
        ("Bo", "Di", "l>Di lost Bo b=Di"),
        ("Di", "Di", "b=Di"),
        ("Di", "Ed", "apart b=-"),
    ] {
        let edited = Case {
            marks: case.marks.clone(),
            ..Case::one(field, "", local, remote)
        };
        assert_eq!(
            told(field, &edited.merge(&[field], &rules)),
            expected,
            "{local} {remote}"
        );
    }
}

#[test]
fn a_crash_between_the_two_halves_of_no_change_makes_nobody_win() {
    let field = Field::DisplayName;
    let rules = rules(BOTH, STAY);
    let case = Case::one(field, "Al", "Bo", "Cy");
    let half = case.half(&case.merge(&[field], &rules));
    let again = half.merge(&[field], &rules);
    assert_eq!(told(field, &again), "r>Al b=Al");
    assert!(!again.marks.refused.is_empty(), "still waiting");
    // An edit after that is an edit.
    let edited = Case {
        remote: Image::default().with(field, Values::text("Di")),
        ..half
    };
    assert_eq!(told(field, &edited.merge(&[field], &rules)), "l>Di b=Di");
}

#[test]
fn an_alias_that_becomes_the_address_is_no_alias() {
    use Field::{Address, Aliases};
    let image = |address: &str, aliases: &str| {
        Image::default()
            .with(Address, set(address))
            .with(Aliases, set(aliases))
    };
    let case = Case {
        base: Some(image("a", "b")),
        local: image("b", "a"),
        // Many entries repeat the address among the aliases.
        remote: image("a", "abc"),
        marks: Marks::default(),
    };
    let merged = case.merge(&[Address, Aliases], &rules(BOTH, LDAP));
    let after = case.after(&merged);
    assert_eq!(after.local, image("b", "ac"));
    assert_eq!(after.remote, image("b", "ac"));
    assert_eq!(merged.base, image("b", "ac"));
}

#[test]
fn an_alias_here_that_is_the_address_there_is_not_common_before_the_address_is_written() {
    use Field::{Address, Aliases};
    let image = |address: &str, aliases: &str| {
        Image::default()
            .with(Address, set(address))
            .with(Aliases, set(aliases))
    };
    let case = Case {
        base: Some(image("b", "")),
        local: image("b", "a"),
        // The entry repeats its address, so that the alias needs no write.
        remote: image("a", "a"),
        marks: Marks::default(),
    };
    for scope in [ConflictScope::Entry, ConflictScope::Attribute] {
        let rules = Rules {
            scope,
            ..rules(BOTH, LOCAL)
        };
        let whole = case.merge(&[Address, Aliases], &rules);
        let half = case.half(&whole);
        let rest = half.after(&half.merge(&[Address, Aliases], &rules));
        let whole = case.after(&whole);
        assert_eq!(
            (rest.local, rest.remote),
            (whole.local, whole.remote),
            "{scope:?}"
        );
    }
}

#[test]
fn how_a_member_s_address_is_spelt_is_never_written_to_the_directory() {
    let uuid = model::EntryUuid::from_bytes([1; 16]);
    let member = |text: &str| {
        let address = model::Address::parse(text).expect("an address");
        Image::default().with(Field::Members, Values::members([(uuid, &address)]))
    };
    for direction in [UP, BOTH] {
        let case = Case {
            base: Some(member("old@example.test")),
            local: member("new@example.test"),
            remote: member("old@example.test"),
            marks: Marks::default(),
        };
        let merged = case.merge(&[Field::Members], &rules(direction, LDAP));
        assert_eq!((merged.remote, merged.local), (vec![], vec![]), "{direction:?}");
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let direction = prop_oneof![Just(DOWN), Just(UP), Just(BOTH)];
    let resolution = prop_oneof![Just(LOCAL), Just(LDAP), Just(STAY)];
    (direction, resolution, any::<bool>(), any::<bool>()).prop_map(|(direction, resolution, entry, clear)| {
        Rules {
            scope: if entry {
                ConflictScope::Entry
            } else {
                ConflictScope::Attribute
            },
            absent: if clear { Absent::Clear } else { Absent::Keep },
            ..rules(direction, resolution)
        }
    })
}

const FIELDS: [Field; 5] = [
    Field::Address,
    Field::Aliases,
    Field::DisplayName,
    Field::Quota,
    Field::Enabled,
];

fn any_local() -> impl Strategy<Value = Image> {
    ("[abB]", "[abcC]{0,3}", "[xyX]?", "[05]", "[01]").prop_map(|(address, aliases, name, quota, enabled)| {
        Image::default()
            .with(Field::Address, set(&address))
            .with(Field::Aliases, set(&aliases).without(&set(&address)))
            .with(Field::DisplayName, Values::text(&name))
            .with(Field::Quota, value(Field::Quota, &quota))
            .with(Field::Enabled, value(Field::Enabled, &enabled))
    })
}

fn any_remote() -> impl Strategy<Value = Image> {
    ("[abB]", "[abcC]{0,3}", "[xyX]?", "[05]?", "[01]?").prop_map(
        |(address, aliases, name, quota, enabled)| {
            Image::default()
                .with(Field::Address, set(&address))
                .with(Field::Aliases, set(&aliases))
                .with(Field::DisplayName, Values::text(&name))
                .with(Field::Quota, value(Field::Quota, &quota))
                .with(Field::Enabled, value(Field::Enabled, &enabled))
        },
    )
}

fn any_case() -> impl Strategy<Value = Case> {
    (proptest::option::of(any_remote()), any_local(), any_remote()).prop_map(|(base, local, mut remote)| {
        if base.is_none() {
            // Who meets for the first time has one address.
            remote.set(Field::Address, local.get(Field::Address).clone());
        }
        Case {
            base: base.map(|base| one_address(&base, None)),
            local,
            remote,
            marks: Marks::default(),
        }
    })
}

/// A field by its matching rule, with what silence means.
fn meant(field: Field, image: &Image) -> Vec<String> {
    let image = one_address(image, None);
    let values = said(field, image.get(field));
    values.iter().map(|(key, _)| key.to_owned()).collect()
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "base {:?}\nlocal {:?}\nremote {:?}",
            self.base, self.local, self.remote
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn merging_again_changes_nothing(case in any_case(), rules in any_rules()) {
        let first = case.merge(&FIELDS, &rules);
        let after = case.after(&first);
        let second = after.merge(&FIELDS, &rules);
        prop_assert!(second.local.is_empty() && second.remote.is_empty(), "{first:?}\nthen {second:?}");
        prop_assert_eq!(&second.base, &first.base);
        prop_assert!(second.discarded.is_empty());
    }

    #[test]
    fn a_crash_between_the_halves_changes_no_outcome(case in any_case(), rules in any_rules()) {
        let whole = case.merge(&FIELDS, &rules);
        let meant_after = |case: &Case| {
            FIELDS.map(|field| (meant(field, &case.local), meant(field, &case.remote)))
        };
        let expected = meant_after(&case.after(&whole));
        let half = case.half(&whole);
        let rest = half.merge(&FIELDS, &rules);
        prop_assert_eq!(meant_after(&half.after(&rest)), expected, "{:?}\nthen {:?}", whole, rest);
    }

    #[test]
    fn both_sides_converge_in_one_exchange(case in any_case(), rules in any_rules()) {
        let rules = Rules { direction: BOTH, absent: Absent::Clear, ..rules };
        let merged = case.merge(&FIELDS, &rules);
        let after = case.after(&merged);
        for field in FIELDS {
            if !merged.marks.apart.contains_key(&field) {
                prop_assert_eq!(meant(field, &after.local), meant(field, &after.remote), "{}", field);
            }
        }
    }

    #[test]
    fn one_way_never_writes_its_source(case in any_case(), rules in any_rules()) {
        let down = case.merge(&FIELDS, &Rules { direction: DOWN, ..rules });
        prop_assert!(down.remote.is_empty());
        let up = case.merge(&FIELDS, &Rules { direction: UP, ..rules });
        prop_assert!(up.local.is_empty());
    }

    #[test]
    fn no_change_ends_at_the_base_where_both_changed(case in any_case(), entry in any::<bool>()) {
        let scope = if entry { ConflictScope::Entry } else { ConflictScope::Attribute };
        let rules = Rules { scope, absent: Absent::Clear, ..rules(BOTH, STAY) };
        let Some(base) = &case.base else { return Ok(()) };
        let merged = case.merge(&FIELDS, &rules);
        let after = case.after(&merged);
        // Where both sides took the same new address, it is no alias any more.
        let mut base = base.clone();
        let aliases = base.get(Field::Aliases).without(after.local.get(Field::Address));
        base.set(Field::Aliases, aliases);
        for lost in &merged.discarded {
            prop_assert_eq!(meant(lost.field, &after.local), meant(lost.field, &base));
            prop_assert_eq!(meant(lost.field, &after.remote), meant(lost.field, &base));
        }
    }

    /// Every edit is visible on both sides afterwards, or in the conflict journal.
    #[test]
    fn no_edit_is_lost_in_silence(case in any_case(), rules in any_rules()) {
        let merged = case.merge(&FIELDS, &rules);
        let after = case.after(&merged);
        let none = Image::default();
        let base = case.base.as_ref().unwrap_or(&none);
        for field in FIELDS {
            for (side, image) in [(Side::Local, &case.local), (Side::Remote, &case.remote)] {
                let edit = meant(field, image);
                let raw = image.get(field);
                if edit == meant(field, base) || raw.is_empty() || merged.marks.apart.contains_key(&field) {
                    continue;
                }
                let journalled = merged
                    .discarded
                    .iter()
                    .any(|lost| lost.field == field && lost.losers.contains(&side));
                let here = meant(field, &after.local);
                let there = meant(field, &after.remote);
                let visible = if field.is_set() {
                    // An element that came is there, unless the other side took it away or has it as its address.
                    let came = edit.iter().filter(|key| !base.get(field).has(key));
                    let primary = merged.base.get(Field::Address);
                    came.into_iter().all(|key| here.contains(key) || there.contains(key) || primary.has(key))
                } else {
                    here == edit || there == edit
                };
                // What follows in one direction was edited on the source: the source's word is the newest.
                prop_assert!(journalled || visible, "{} {:?} {:?}", field, side, merged);
            }
        }
    }

    #[test]
    fn the_order_of_the_fields_does_not_matter(case in any_case(), rules in any_rules()) {
        let mut backwards = FIELDS;
        backwards.reverse();
        let (one, two) = (case.merge(&FIELDS, &rules), case.merge(&backwards, &rules));
        prop_assert_eq!(one.base.clone(), two.base.clone());
        let (one, two) = (case.after(&one), case.after(&two));
        prop_assert_eq!((one.local, one.remote), (two.local, two.remote));
    }
}
