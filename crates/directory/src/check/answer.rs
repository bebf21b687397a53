//! What a check found, as values.

use std::collections::BTreeMap;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing; everything works.
    Note,
    /// Something does not work, or will not.
    Wrong,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: one word that stays the same, for scripts.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What all of it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Good,
    /// Something is wrong.
    Wrong,
    /// No server answers, so nothing is known.
    NoAnswer,
}

/// Everything that was found at one connector.
#[derive(Debug, Clone)]
pub struct Report {
    /// The connector.
    pub connector: String,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
    /// The domains of the accounts and groups that were looked at closely, and how many are of each: whoever knows the
    /// server's domains sees which entries it would set aside.
    pub domains: BTreeMap<String, usize>,
    answered: bool,
}

impl Report {
    pub(super) fn new(connector: &str) -> Self {
        Self {
            connector: connector.to_owned(),
            findings: Vec::new(),
            domains: BTreeMap::new(),
            answered: false,
        }
    }

    /// What all findings come to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.answered {
            return Verdict::NoAnswer;
        }
        let worst = self.findings.iter().map(|finding| finding.level).max();
        if worst == Some(Level::Wrong) {
            Verdict::Wrong
        } else {
            Verdict::Good
        }
    }

    /// A server said something, be it "no".
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    pub(super) fn good(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Good, text.into(), None);
    }

    pub(super) fn note(&mut self, check: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Level::Note, text.into(), Some(remedy.into()));
    }

    pub(super) fn wrong(&mut self, check: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Level::Wrong, text.into(), Some(remedy.into()));
    }

    pub(super) fn add(&mut self, check: &'static str, level: Level, text: String, remedy: Option<String>) {
        self.findings.push(Finding {
            check,
            level,
            text,
            remedy,
        });
    }
}
