//! What a lookup did, for `homing route explain`.

use model::Clock;
use std::time::Duration;

/// One search of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The server's URI.
    pub server: String,
    /// The base DN.
    pub base: String,
    /// The filter, as it was sent.
    pub filter: String,
    /// The DNs found.
    pub found: Vec<String>,
    /// The failure, when the search did not end well.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// Collects the attempts when somebody wants them.
#[derive(Debug, Default)]
pub(crate) enum Trace {
    #[default]
    Off,
    On(Vec<Attempt>),
}

impl Trace {
    pub(crate) fn add(&mut self, attempt: impl FnOnce() -> Attempt) {
        if let Self::On(attempts) = self {
            attempts.push(attempt());
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    pub(crate) fn take(&mut self) -> Vec<Attempt> {
        match self {
            Self::Off => Vec::new(),
            Self::On(attempts) => std::mem::take(attempts),
        }
    }
}

/// The time since `start`.
pub(crate) fn elapsed(clock: &dyn Clock, start: Duration) -> Duration {
    clock.monotonic().saturating_sub(start)
}
