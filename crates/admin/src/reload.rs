//! What is asked of, and said by, whoever reads the configuration again.

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The file; none when the built-in defaults hold.
    pub file: Option<String>,
    /// Every key whose value is another than before.
    pub changed: Vec<Changed>,
    /// What is not in force before the server is started again.
    pub needs_restart: Vec<NeedsRestart>,
}

/// One key, or one section, that is another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its path: `connector.corp.timeout`.
    pub key: String,
    /// `added`, `removed` or `changed`.
    pub what: &'static str,
}

/// What a reload cannot put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeedsRestart {
    /// Its path.
    pub key: String,
    /// Why, and what holds until then.
    pub why: String,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadRefused {
    /// For people: each problem with its file and line.
    pub text: String,
    /// For programs: `{file, line, column, key, message}` of each problem; empty when the file is not to blame.
    pub problems: Vec<serde_json::Value>,
}

/// One request, as the place where the answer goes.
pub type ReloadRequest = oneshot::Sender<Result<Reloaded, ReloadRefused>>;

/// Where requests go. One waits at most; another caller hears that it should try later.
pub type ReloadRequests = mpsc::Sender<ReloadRequest>;
