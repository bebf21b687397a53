//! Entries that take each other's names: two people who swap their addresses.
//!
//! A name must be free before another entry takes it, so writes go in that order; in a circle one entry steps aside for
//! a moment, under a name that is made of its UUID. Its intent is durable by then and its address still differs, so
//! after a crash the plan gives it its name.

use super::outlet::Outlet;
use crate::plan::parked_rdn;
use directory::write::{Write, WriteError};
use ldap::Dn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One turn: these writes may be sent side by side.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The writes of these objects, by their place in the list.
    Send(Vec<usize>),
    /// This object's entry steps aside.
    StepAside(usize),
}

/// The turns of several objects, each with its writes.
pub(super) fn turns(writes: &[&[Write]]) -> Vec<Turn> {
    let names: Vec<Option<(Vec<u8>, Vec<u8>)>> = writes.iter().map(|writes| names(writes)).collect();
    let holders: BTreeMap<&[u8], usize> = names
        .iter()
        .enumerate()
        .filter_map(|(index, names)| Some((names.as_ref()?.0.as_slice(), index)))
        .collect();
    // Whose name each one waits for.
    let mut waits: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, names) in names.iter().enumerate() {
        let wanted = names.as_ref().map(|(_, after)| after.as_slice());
        let holder = wanted.and_then(|wanted| holders.get(wanted)).copied();
        if let Some(holder) = holder.filter(|holder| *holder != index) {
            waits.insert(index, holder);
        }
    }
    let mut left: Vec<usize> = (0..writes.len()).collect();
    let mut turns = Vec::new();
    while !left.is_empty() {
        let (now, later): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|index| !waits.contains_key(index));
        if now.is_empty() {
            // Whoever's name is waited for steps aside. Everybody left waits, so somebody is.
            let Some(index) = later.first().and_then(|index| waits.get(index)).copied() else {
                break;
            };
            turns.push(Turn::StepAside(index));
            waits.retain(|_, holder| *holder != index);
            continue;
        }
        waits.retain(|_, holder| !now.contains(holder));
        turns.push(Turn::Send(now));
        left = later;
    }
    turns
}

/// The entry's name before and after its writes, if they rename it.
fn names(writes: &[Write]) -> Option<(Vec<u8>, Vec<u8>)> {
    writes.iter().find_map(|write| match write {
        Write::Rename {
            target,
            rdn,
            new_parent,
            ..
        } => {
            let now = Dn::parse(&target.dn).ok()?;
            let parent = new_parent.clone().or_else(|| now.parent())?;
            Some((now.key(), parent.child(rdn.clone()).key()))
        }
        _ => None,
    })
}

/// Gives the entry of these writes a name that nobody wants, and lets them begin there.
pub(super) async fn step_aside(outlet: &Arc<dyn Outlet>, writes: &mut [Write]) -> Result<(), WriteError> {
    let renames = writes.iter_mut().find_map(|write| match write {
        Write::Rename {
            target, precondition, ..
        } => Some((target, precondition)),
        _ => None,
    });
    let Some((target, precondition)) = renames else {
        return Ok(());
    };
    let now = Dn::parse(&target.dn).ok();
    let parked = now
        .as_ref()
        .and_then(Dn::rdn)
        .and_then(|rdn| parked_rdn(target.uuid, rdn));
    let Some(rdn) = parked else { return Ok(()) };
    let aside = Write::Rename {
        target: target.clone(),
        precondition: precondition.clone(),
        rdn,
        new_parent: None,
    };
    let written = outlet.write(&aside).await?;
    target.dn = written.dn;
    precondition.csn = written.csn;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::write::{Precondition, Target};
    use ldap::Rdn;
    use model::EntryUuid;

    fn rename(number: u8, from: &str, to: &str) -> Vec<Write> {
        vec![Write::Rename {
            target: Target {
                uuid: EntryUuid::from_bytes([number; 16]),
                dn: format!("uid={from},dc=test"),
            },
            precondition: Precondition::default(),
            rdn: Rdn::new("uid", to).expect("a name"),
            new_parent: None,
        }]
    }

    fn told(renames: &[(&str, &str)]) -> String {
        let writes: Vec<Vec<Write>> = renames
            .iter()
            .zip(1u8..)
            .map(|((from, to), number)| rename(number, from, to))
            .collect();
        let writes: Vec<&[Write]> = writes.iter().map(Vec::as_slice).collect();
        let text = |turn: &Turn| match turn {
            Turn::StepAside(index) => format!("aside {}", renames[*index].0),
            Turn::Send(some) => some
                .iter()
                .map(|index| renames[*index].0)
                .collect::<Vec<_>>()
                .join("+"),
        };
        turns(&writes).iter().map(text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn names_are_free_before_they_are_taken() {
        for (renames, want) in [
            (&[("a", "x"), ("b", "y")][..], "a+b"),
            (&[("a", "b"), ("b", "c")], "b, a"),
            (&[("a", "B"), ("b", "a")], "aside b, a, b"),
            (
                &[("a", "b"), ("b", "c"), ("c", "a"), ("q", "z")],
                "q, aside b, a, c, b",
            ),
            (&[("a", "a")], "a"),
        ] {
            assert_eq!(told(renames), want);
        }
        assert_eq!(turns(&[&[], &[]]), [Turn::Send(vec![0, 1])]);
    }
}
