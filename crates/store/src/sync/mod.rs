//! What `ldapsync` keeps in the same store as the accounts: associations, connector checkpoints, quarantine.
//!
//! Only rows and their uniqueness; what they mean is `ldapsync`'s business. Writes are durable when the call
//! returns, so a cookie that is stored after the changes it covers never runs ahead of them.

mod association;
mod connector;
mod elsewhere;
mod rows;
mod types;

pub use elsewhere::Elsewhere;
pub use types::{Association, ConnectorState, LinkData, LinkState, NewAssociation, Phase, QuarantineEntry};

use crate::StoreError;

/// A name that goes into keys: not empty, no NUL, at most 255 octets.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > 255 || name.contains('\0') {
        return Err(StoreError::Invalid(format!("{name:?} is not a usable name")));
    }
    Ok(())
}
