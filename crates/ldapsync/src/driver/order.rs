//! The order of plans that take addresses from each other: a successor takes the alias of its predecessor, two
//! people swap their addresses. Everything else is applied side by side.

use crate::field::Field;
use crate::plan::{Op, Plan};
use model::EntryUuid;
use std::collections::{BTreeMap, BTreeSet};

/// One thing to do after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<T> {
    /// Let the object of this entry give up what the others wait for: it stands in a circle.
    Park(EntryUuid),
    Apply(Box<T>),
}

/// Plans that touch no other, and the rest in order.
pub(super) fn split<T: AsRef<Plan>>(plans: Vec<T>) -> (Vec<T>, Vec<Step<T>>) {
    let moves: Vec<Moves> = plans.iter().map(|plan| Moves::of(plan.as_ref())).collect();
    let givers: BTreeMap<&str, usize> = moves
        .iter()
        .enumerate()
        .flat_map(|(index, moves)| moves.gives.iter().map(move |key| (key.as_str(), index)))
        .collect();
    // Whom each one waits for.
    let mut waits: Vec<BTreeSet<usize>> = moves
        .iter()
        .enumerate()
        .map(|(index, moves)| {
            let from = moves
                .takes
                .iter()
                .filter_map(|key| givers.get(key.as_str()).copied());
            from.filter(|giver| *giver != index).collect()
        })
        .collect();
    let awaited: BTreeSet<usize> = waits.iter().flatten().copied().collect();
    let (mut free, mut left) = (Vec::new(), BTreeMap::new());
    for (index, plan) in plans.into_iter().enumerate() {
        if awaited.contains(&index) || waits.get(index).is_some_and(|waits| !waits.is_empty()) {
            left.insert(index, plan);
        } else {
            free.push(plan);
        }
    }
    let mut steps = Vec::new();
    while !left.is_empty() {
        let ready = |index: &usize| waits.get(*index).is_none_or(BTreeSet::is_empty);
        let next = left.keys().copied().find(ready);
        // A circle: whoever is waited for steps aside.
        let aside = || {
            left.keys()
                .copied()
                .find(|index| waits.iter().any(|waits| waits.contains(index)))
        };
        let Some(index) = next.or_else(aside) else { break };
        if next.is_some() {
            steps.extend(left.remove(&index).map(Box::new).map(Step::Apply));
        } else {
            steps.extend(left.get(&index).map(|plan| Step::Park(plan.as_ref().uuid)));
        }
        for waits in &mut waits {
            waits.remove(&index);
        }
    }
    steps.extend(left.into_values().map(Box::new).map(Step::Apply));
    (free, steps)
}

/// The addresses that change hands by one plan, in canonical form.
#[derive(Default)]
struct Moves {
    takes: BTreeSet<String>,
    gives: BTreeSet<String>,
}

impl Moves {
    fn of(plan: &Plan) -> Self {
        let (mut had, mut has) = (BTreeSet::new(), BTreeSet::new());
        let keys =
            |values: &crate::field::Values| values.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
        for op in &plan.ops {
            match op {
                Op::Set {
                    field: Field::Address | Field::Aliases,
                    was,
                    values,
                    ..
                } => {
                    had.extend(keys(was));
                    has.extend(keys(values));
                }
                Op::Create { image, .. } => {
                    has.extend(keys(image.get(Field::Address)));
                    has.extend(keys(image.get(Field::Aliases)));
                }
                _ => {}
            }
        }
        Self {
            takes: has.difference(&had).cloned().collect(),
            gives: had.difference(&has).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Values;
    use crate::merge::Cause;

    impl AsRef<Plan> for Plan {
        fn as_ref(&self) -> &Plan {
            self
        }
    }

    fn renames(number: u8, from: &str, to: &str) -> Plan {
        let address = |letter: &str| {
            let address = model::Address::parse(&format!("{letter}@example.test")).expect("an address");
            Values::addresses([&address])
        };
        let uuid = EntryUuid::from_bytes([number; 16]);
        Plan {
            ops: vec![Op::Set {
                field: Field::Address,
                was: address(from),
                values: address(to),
                cause: Cause::Changed,
            }],
            ..Plan::nothing(uuid, from.to_owned(), None)
        }
    }

    fn told(plans: &[(&str, &str)]) -> String {
        let plans = plans.iter().zip(1u8..);
        let (free, steps) = split(
            plans
                .map(|((from, to), number)| renames(number, from, to))
                .collect(),
        );
        let mut text: Vec<String> = free.iter().map(|plan| format!("|{}", plan.subject)).collect();
        text.extend(steps.iter().map(|step| match step {
            Step::Park(uuid) => format!("park {}", uuid.as_bytes()[0]),
            Step::Apply(plan) => plan.subject.clone(),
        }));
        text.join(" ")
    }

    #[test]
    fn orders() {
        for (plans, want) in [
            (&[("a", "x"), ("b", "y")][..], "|a |b"),
            (&[("a", "b"), ("b", "c"), ("q", "z")], "|q b a"),
            (&[("a", "b"), ("b", "a")], "park 1 b a"),
            (&[("a", "b"), ("b", "c"), ("c", "a")], "park 1 c b a"),
            (
                &[("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")],
                "park 1 b a park 3 d c",
            ),
        ] {
            assert_eq!(told(plans), want);
        }
    }
}
