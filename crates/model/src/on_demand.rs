//! Asking the directory for a name that this server does not know yet.

use crate::{Address, BoxFuture};
use std::sync::Arc;

/// What the directory said about a name that the store does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDemandOutcome {
    /// The account or group is in the store now: look again.
    Synced,
    /// The directory is certain that nobody of that name lives on this server.
    NoSuchName,
    /// No connector serves that domain.
    NotConnected,
    /// The directory could not answer, or gave an answer that cannot be acted on: try later.
    Unavailable,
}

/// Syncs one name before a server says 550 or NO; bounded to 2 seconds by its maker.
pub type OnDemand = Arc<dyn Fn(Address) -> BoxFuture<'static, OnDemandOutcome> + Send + Sync>;
