//! What the editors and the verdict of the soak speak about: edits, and what each side has.

use std::collections::BTreeSet;

/// An edit of an account, made the way an administrator's is: on what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    Name(String),
    Quota(u64),
    Enabled(bool),
    Address(String),
    AddAlias(String),
    DropAlias(String),
    /// It moves to this back end. Only the directory says so.
    Home(String),
    Delete,
}

/// Who is put into a group, or taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seating {
    Joins,
    Leaves,
}

/// How an edit ended.
#[derive(Debug)]
pub(super) enum Wrote {
    /// Done; the values that it replaced.
    Done(Vec<String>),
    /// Not done, and why.
    Refused(String),
    /// Nobody knows: the server was killed meanwhile, or somebody else was faster. The values that it would have
    /// replaced.
    Unknown(Vec<String>),
}

/// An account or an entry, as both sides can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) address: String,
    pub(super) name: Option<String>,
    pub(super) quota: Option<u64>,
    /// None: this side does not say.
    pub(super) enabled: Option<bool>,
    pub(super) aliases: BTreeSet<String>,
    /// Its back end, where there are several.
    pub(super) home: Option<String>,
}

impl Person {
    /// Whether two sides say the same, as far as both say something.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let enabled = self.enabled.and(other.enabled);
        let said = |person: &Self| Self {
            enabled: enabled.and(person.enabled),
            ..person.clone()
        };
        said(self) == said(other)
    }
}

/// A group, likewise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Team {
    pub(super) address: String,
    /// Addresses.
    pub(super) members: BTreeSet<String>,
}

/// Everything that one side has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) people: Vec<Person>,
    pub(super) teams: Vec<Team>,
}

impl Side {
    pub(super) fn sort(mut self) -> Self {
        self.people.sort_by(|a, b| a.address.cmp(&b.address));
        self.teams.sort_by(|a, b| a.address.cmp(&b.address));
        self
    }
}

/// A row of the conflict journal: the object and all values of it, as one text.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) subject: String,
    pub(super) field: String,
    pub(super) values: String,
}

/// What is looked at of the status.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    pub(super) state: String,
    pub(super) error: Option<String>,
    pub(super) outbox: u64,
    /// What waits in quarantine, with the reasons.
    pub(super) aside: Vec<String>,
}

impl Condition {
    /// The last round ended well and the next has not begun.
    pub(super) fn is_quiet(&self) -> bool {
        self.state == "following" && self.error.is_none()
    }

    /// Nothing is left to do.
    pub(super) fn is_settled(&self) -> bool {
        self.is_quiet() && self.outbox == 0 && self.aside.is_empty()
    }
}
