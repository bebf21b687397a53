//! The verdict: whether both sides agree when they are left alone, and what is missing.

use super::Soak;
use super::chronicle::differences;
use super::side::{Condition, Lost};
use crate::clock::{now, pause};
use anyhow::Result;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long both sides may take to agree when the last edit is made.
const SETTLES: Duration = Duration::from_secs(300);
/// How long it may wait for a directory that is behind before somebody helps.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// How long what is on its way may take to arrive.
const ARRIVES: Duration = Duration::from_secs(10);
/// Objects that are explained in a report.
const EXPLAINED: usize = 10;

impl Soak {
    /// What lost a conflict on any back end.
    pub(super) fn conflicts(&mut self) -> Result<Vec<Lost>> {
        let mut all = Vec::new();
        for home in &mut self.homes {
            all.extend(home.conflicts()?);
        }
        Ok(all)
    }

    /// Waits until nothing is left to do on any back end; what is left when it takes too long.
    pub(super) fn settled(&mut self) -> Result<Option<Condition>> {
        let began = now();
        loop {
            let mut left = None;
            for home in &mut self.homes {
                let condition = home.condition()?;
                if condition.is_settled() {
                    continue;
                }
                if condition.is_quiet() && !condition.aside.is_empty() {
                    home.retry()?;
                }
                // A slapd that was killed right after a deletion has forgotten that it had come so far. On a directory
                // that nobody writes any more, an administrator ends the wait, as the status says.
                if !condition.is_quiet() && began.elapsed() > FORGOTTEN && self.directory.is_up() {
                    self.forgotten += 1;
                    home.compare()?;
                }
                left = Some(condition);
            }
            if left.is_none() || began.elapsed() > SETTLES {
                return Ok(left);
            }
            pause(Duration::from_millis(200));
        }
    }

    /// A comparison of everything on every back end, one after the other; why one was not carried out.
    fn compare(&mut self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for home in &mut self.homes {
            let refused = home.compare()?;
            problems.extend(refused.map(|why| format!("{}: no comparison of everything: {why}", home.name)));
        }
        Ok(problems)
    }

    /// Both sides are left alone until they agree; what is wrong then.
    pub(super) fn judge(&mut self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        if let Some(left) = self.settled()? {
            problems.push(format!("it does not settle within {SETTLES:?}: {left:?}"));
        }
        problems.extend(self.compare()?);
        if let Some(left) = self.settled()? {
            problems.push(format!("a comparison of everything does not settle: {left:?}"));
        }
        let began = now();
        let (there, differ) = loop {
            let there = self.directory.look()?;
            let mut here = Vec::new();
            for home in &mut self.homes {
                here.push(home.look()?);
            }
            let differ = differences(&there, &here);
            // A second look only for what was on its way.
            if differ.is_empty() || began.elapsed() > ARRIVES {
                break (there, differ);
            }
            pause(Duration::from_secs(1));
        };
        let addresses: BTreeSet<String> = differ
            .iter()
            .filter_map(|text| text.split_whitespace().next().map(str::to_owned))
            .take(EXPLAINED)
            .collect();
        problems.extend(differ);
        for address in addresses {
            for home in &mut self.homes {
                let text = home.explain(&address)?;
                problems.push(format!("{}: {text}", home.name));
            }
        }
        let lost = self.conflicts()?;
        problems.extend(self.chronicle.missing(&there, &lost));
        // Nothing is left to be written.
        let before = self.directory.version()?;
        problems.extend(self.compare()?);
        if self.directory.version()? != before {
            problems.push("a comparison of everything wrote to the directory once more".to_owned());
        }
        Ok(problems)
    }
}
