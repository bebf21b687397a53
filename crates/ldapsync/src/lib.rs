//! Synchronisation of accounts and groups with a directory.
//!
//! Owns the mapping of entries to fields, the three-way merge, the plan of one object, the mass-change guard,
//! the quarantine, and the engine that polls a change feed and commits its cookie only after everything
//! before it is durable in the store.
//!
//! Never touches an account that was never associated, never erases mail, never writes to the directory in
//! the direction `ldap-to-local`, and never takes an absence for a deletion before it has looked the UUID up.
//!
//! Follows RFC 4533 (through `directory::feed`), RFC 4530 (entryUUID), RFC 4518 (matching).

#[cfg(test)]
mod broken;
mod driver;
mod engine;
mod explain;
mod field;
mod guard;
mod link;
mod local;
mod mapping;
mod merge;
mod outbox;
mod plan;
mod unresolved;

pub use driver::{
    Beside, Consent, LinkOrder, Named, OutboxStatus, Pairing, PlanItem, PlanReport, PlannedEntry,
    PlannedObject, Rates, SetAsideObject, SyncEngine, SyncError, WaitingEdit, WaitingEdits, opened_rows,
    unlink_rows,
};
pub use engine::{
    AsideStatus, Counts, FeedState, GuardStatus, RoundStatus, State, StrangerStatus, SyncStatus, is_held,
};
pub use explain::{Event, Explanation, FieldView, Verdict};
pub use field::{Field, Image, Values};
pub use merge::{Cause, Discarded, Rule, Side};
pub use plan::{
    Digest, Farewell, Hazard, Kind, LocalId, LocalState, Op, PasswordMove, RemoteOp, Standing, Wait,
};
