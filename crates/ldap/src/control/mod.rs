//! Controls: what a request or a response carries beside its operation.
//!
//! Owns the generic [`Control`] and the values of those that Homing uses. A control is found by its OID; a
//! value that cannot be read is an error of the peer, never a control that is not there.
//!
//! Follows RFC 4511 section 4.1.11, RFC 2696 (paged results), RFC 3296 (ManageDsaIT), RFC 4527 (pre-read and
//! post-read), RFC 4528 (assertion), RFC 4533 (Content Sync),
//! RFC 5805 (transactions) and draft-behera-ldap-password-policy; of Active Directory's (MS-ADTS section
//! 3.1.1.3.4.1) DirSync, notification and show-deleted.

mod assertion;
mod dir_sync;
mod paged;
mod password_policy;
mod read_entry;
mod sync;
mod transaction;

pub use assertion::Assertion;
pub use dir_sync::{DirSyncDone, DirSyncRequest, DirSyncRights, DirSyncValues};
pub use paged::PagedResults;
pub use password_policy::{PasswordPolicy, PasswordPolicyError, PasswordPolicyWarning};
pub use read_entry::{PostRead, PreRead};
pub use sync::{SyncDone, SyncInfo, SyncMode, SyncRequest, SyncState, SyncStateKind};
pub use transaction::TransactionSpecification;

use bytes::{Bytes, BytesMut};

use crate::Text;
use crate::ber::{DecodeError, Reader, Tag, Writer};

/// The OID of ManageDsaIT: treat referral entries as plain ones (RFC 3296 section 3).
pub const MANAGE_DSA_IT: &str = "2.16.840.1.113730.3.4.2";
/// The OID of Active Directory's change notification (MS-ADTS section 3.1.1.3.4.1.9).
pub const NOTIFICATION: &str = "1.2.840.113556.1.4.528";
/// The OID of Active Directory's show-deleted control (MS-ADTS section 3.1.1.3.4.1.14).
pub const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";

/// A control of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Which control this is.
    pub oid: Text,
    /// Whether a server that does not know it must refuse the request.
    pub critical: bool,
    /// The value, in the control's own form.
    pub value: Option<Bytes>,
}

impl Control {
    /// A control with this OID, not critical and without a value.
    #[must_use]
    pub const fn new(oid: &'static str) -> Self {
        Self {
            oid: Text::from_static(oid),
            critical: false,
            value: None,
        }
    }

    /// The same, critical: a server that does not know it answers `unavailableCriticalExtension`.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// The same with this value.
    #[must_use]
    pub fn with_value(mut self, value: Bytes) -> Self {
        self.value = Some(value);
        self
    }

    /// ManageDsaIT, critical (RFC 3296 section 3).
    #[must_use]
    pub fn manage_dsa_it() -> Self {
        Self::new(MANAGE_DSA_IT).critical()
    }

    /// Change notification, critical: the search stays open and shows each entry of its scope that changes.
    #[must_use]
    pub fn notification() -> Self {
        Self::new(NOTIFICATION).critical()
    }

    /// Show-deleted, critical: the search also finds what was deleted, where the client may see it.
    #[must_use]
    pub fn show_deleted() -> Self {
        Self::new(SHOW_DELETED).critical()
    }

    fn encoded(oid: &'static str, write: impl FnOnce(&mut Writer<'_>)) -> Self {
        Self::new(oid).with_value(encode_value(write))
    }
}

/// The control with this OID.
#[must_use]
pub fn find<'a>(controls: &'a [Control], oid: &str) -> Option<&'a Control> {
    controls.iter().find(|control| control.oid == *oid)
}

/// The value of the control with this OID. A control that is there without its value is refused.
fn find_value<'a>(controls: &'a [Control], oid: &str) -> Result<Option<&'a Bytes>, DecodeError> {
    match find(controls, oid) {
        None => Ok(None),
        Some(control) => match &control.value {
            Some(value) => Ok(Some(value)),
            None => Err(DecodeError::Invalid("a control without its value")),
        },
    }
}

/// A value that stands alone.
pub(crate) fn encode_value(write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut Writer::new(&mut out));
    out.freeze()
}

/// Reads a value that is one sequence: `read` sees its contents, trailing components are ignored, unless
/// they have one of the `known` context-specific tags.
pub(crate) fn decode_sequence<T>(
    value: &Bytes,
    known: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut outer = Reader::new(value);
    let mut contents = outer.element(Tag::SEQUENCE)?;
    outer.finish()?;
    let found = read(&mut contents)?;
    contents.skip_extensions(known)?;
    Ok(found)
}

#[cfg(test)]
mod tests;
