//! What the soak and its mail server say to each other: one line of JSON each way, over the pipes of the process.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The first line: what to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) data_dir: String,
    pub(super) server_name: String,
    /// The connector, as its section of a configuration file.
    pub(super) connector: serde_json::Value,
}

/// An edit of an account or group, made the way an administrator's is: on the version that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Edit {
    Name(String),
    Quota(u64),
    Enabled(bool),
    Address(String),
    AddAlias(String),
    DropAlias(String),
    Delete,
}

/// A request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Ask {
    Create {
        address: String,
        name: String,
    },
    /// Of the account that has this address now.
    Edit {
        address: String,
        edit: Edit,
    },
    AddMember {
        group: String,
        member: String,
    },
    DropMember {
        group: String,
        member: String,
    },
    Look,
    Status,
    /// A comparison of everything, to its end.
    Compare,
    /// Whatever is set aside is tried again.
    Retry,
    Conflicts,
    Explain {
        address: String,
    },
    /// Closes the store and ends.
    End,
}

/// An account or an entry, as both sides can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    pub(super) address: String,
    pub(super) name: Option<String>,
    pub(super) quota: Option<u64>,
    pub(super) enabled: bool,
    pub(super) aliases: BTreeSet<String>,
}

/// A group, likewise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Team {
    pub(super) address: String,
    /// Addresses.
    pub(super) members: BTreeSet<String>,
}

/// Everything that one side has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) people: Vec<Person>,
    pub(super) teams: Vec<Team>,
}

/// A row of the conflict journal: the object and all values of it, as one text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lost {
    pub(super) subject: String,
    pub(super) field: String,
    pub(super) values: String,
}

/// What is looked at of the status.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Condition {
    pub(super) state: String,
    pub(super) error: Option<String>,
    pub(super) linked: u64,
    pub(super) outbox: u64,
    /// What waits in quarantine, with the reasons.
    pub(super) aside: Vec<String>,
    pub(super) held: u64,
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Said before an edit is made, for somebody who may kill the server before it has answered: the values that it
    /// is about to replace.
    About {
        replaced: Vec<String>,
    },
    /// Done; the values that the edit replaced.
    Done {
        replaced: Vec<String>,
    },
    /// Not done, and why.
    Refused(String),
    Side(Side),
    Condition(Condition),
    Conflicts(Vec<Lost>),
    Text(String),
}
