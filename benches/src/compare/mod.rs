//! Several programs that do the same work, in turn, in one run.
//!
//! Owns the round-robin of sides, their medians and ratios, and the text, JSON and chart of a run. A side is
//! anything that can be started and says what it measured; a round may yield several figures at once (a rate and
//! the CPU time it took). Knows no protocol and starts no server.

mod report;

pub(crate) use report::{Setting, chart_rows, head, json, row, summary};

use crate::machine::machine_ticks;
use crate::stats::{Bar, Conditions, LEAST_PAIRS, Verdict, median};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// The name under which our side's figures go.
pub(crate) const OURS: &str = "homing";

/// One row of the table: what is taken from each round of a [`Contest`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) higher_is_better: bool,
    pub(crate) bar: Bar,
}

/// What one round of one side says: a value for each figure that the side can tell.
pub(crate) type Values = BTreeMap<&'static str, f64>;

/// One of those that are compared. The first side of a contest is ours.
pub(crate) struct Side<'a> {
    pub(crate) name: &'static str,
    pub(crate) round: Box<dyn FnMut() -> Result<Values> + 'a>,
}

impl<'a> Side<'a> {
    /// A side whose rounds are made by `round`.
    pub(crate) fn new(name: &'static str, round: impl FnMut() -> Result<Values> + 'a) -> Self {
        Self {
            name,
            round: Box::new(round),
        }
    }
}

/// Figures that come from the same rounds.
pub(crate) struct Contest<'a> {
    pub(crate) figures: Vec<Figure>,
    pub(crate) sides: Vec<Side<'a>>,
    /// A first round of each side is thrown away: caches are cold.
    pub(crate) warm_up: bool,
}

/// A peer's result beside ours.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// The median of the rounds' ratios, ours to the peer's.
    pub(crate) ratio: f64,
}

/// A figure that has been measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) figure: Figure,
    pub(crate) ours: f64,
    /// In the order of the sides; the first of them is the one that a ratio's bar is for.
    pub(crate) peers: Vec<Peer>,
    pub(crate) rounds: usize,
    pub(crate) steal_percent: f64,
    pub(crate) met: Option<Verdict>,
}

impl Contest<'_> {
    /// Runs all sides `rounds` times, each time beginning with another one.
    pub(crate) fn run(self, rounds: usize) -> Result<Vec<Measured>> {
        self.take(rounds, rounds >= LEAST_PAIRS)
    }

    /// One round, whose bars are judged all the same: memory does not depend on what else the machine does.
    pub(crate) fn run_once(self) -> Result<Vec<Measured>> {
        self.take(1, true)
    }

    fn take(mut self, rounds: usize, enough_rounds: bool) -> Result<Vec<Measured>> {
        let before = machine_ticks()?;
        if self.warm_up {
            for side in &mut self.sides {
                (side.round)().with_context(|| format!("{}, warming up", side.name))?;
            }
        }
        let count = self.sides.len();
        let mut taken: Vec<Vec<Values>> = vec![Vec::new(); count];
        for round in 0..rounds {
            for step in 0..count {
                let index = (round + step) % count;
                let (Some(side), Some(values)) = (self.sides.get_mut(index), taken.get_mut(index)) else {
                    continue;
                };
                values.push((side.round)().with_context(|| side.name.to_owned())?);
            }
        }
        let after = machine_ticks()?;
        let all = after.all.saturating_sub(before.all).max(1);
        let stolen = after.stolen.saturating_sub(before.stolen);
        let steal_percent = 100.0 * stolen as f64 / all as f64;
        let conditions = Conditions {
            steal_percent,
            enough_rounds,
        };
        let names: Vec<&'static str> = self.sides.iter().map(|side| side.name).collect();
        Ok(self
            .figures
            .iter()
            .map(|figure| conclude(*figure, &names, &taken, conditions))
            .collect())
    }
}

fn conclude(
    figure: Figure,
    names: &[&'static str],
    taken: &[Vec<Values>],
    conditions: Conditions,
) -> Measured {
    let column = |rounds: &Vec<Values>| -> Vec<f64> {
        rounds
            .iter()
            .filter_map(|values| values.get(figure.name).copied())
            .collect()
    };
    let columns: Vec<Vec<f64>> = taken.iter().map(column).collect();
    let ours = columns.first().cloned().unwrap_or_default();
    let peers: Vec<Peer> = names
        .iter()
        .zip(&columns)
        .skip(1)
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| {
            let ratios: Vec<f64> = ours.iter().zip(values).map(|(ours, peer)| ours / peer).collect();
            Peer {
                name,
                value: median(values),
                ratio: median(&ratios),
            }
        })
        .collect();
    let first = peers.first().map_or(f64::NAN, |peer| peer.ratio);
    Measured {
        met: figure.bar.judge(median(&ours), first, conditions),
        figure,
        ours: median(&ours),
        peers,
        rounds: ours.len(),
        steal_percent: conditions.steal_percent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const RATE: Figure = Figure {
        name: "rate",
        title: "a rate",
        unit: "op/s",
        higher_is_better: true,
        bar: Bar::RatioAtLeast(2.0),
    };

    #[test]
    fn sides_take_turns_and_ratios_are_of_the_same_round() -> Result<()> {
        let order = RefCell::new(String::new());
        let side = |name: &'static str, letter: char, values: [f64; 9]| {
            let (order, mut values) = (&order, values.into_iter());
            Side::new(name, move || {
                order.borrow_mut().push(letter);
                Ok(Values::from([("rate", values.next().unwrap_or(f64::NAN))]))
            })
        };
        let contest = Contest {
            figures: vec![RATE],
            sides: vec![
                side(OURS, 'o', [6.0; 9]),
                side("peer", 'p', [2.0, 3.0, 2.0, 3.0, 2.0, 3.0, 2.0, 3.0, 2.0]),
            ],
            warm_up: false,
        };
        let measured = contest.run(9)?;
        assert!(order.borrow().starts_with("oppoop"), "{}", order.borrow());
        let row = measured.first().context("a row")?;
        assert_eq!((row.ours, row.rounds), (6.0, 9));
        let peer = row.peers.first().context("a peer")?;
        assert_eq!((peer.value, peer.ratio), (2.0, 3.0));
        Ok(())
    }

    #[test]
    fn a_side_that_cannot_tell_a_figure_is_left_out() -> Result<()> {
        let contest = Contest {
            figures: vec![RATE],
            sides: vec![
                Side::new(OURS, || Ok(Values::from([("rate", 1.0)]))),
                Side::new("silent", || Ok(Values::new())),
            ],
            warm_up: true,
        };
        let measured = contest.run(1)?;
        let row = measured.first().context("a row")?;
        assert!(row.peers.is_empty());
        assert_eq!(row.met, Some(Verdict::Inconclusive));
        Ok(())
    }
}
