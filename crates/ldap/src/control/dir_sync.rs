//! DirSync: what changed in a domain since a cookie (MS-ADTS section 3.1.1.3.4.1.3).

use bytes::Bytes;

use super::{Control, decode_sequence, find_value};
use crate::ber::{DecodeError, Tag};

/// Whoever may read an entry may hear of its changes; without it, one right covers the whole domain.
const OBJECT_SECURITY: i32 = 0x1;
/// Values of a linked attribute that came and went, rather than all of them.
const INCREMENTAL_VALUES: i32 = i32::MIN;

/// Asks a search for what changed. The base must be a naming context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirSyncRequest {
    /// Whose changes are told.
    pub rights: DirSyncRights,
    /// How changed values of linked attributes are told.
    pub values: DirSyncValues,
    /// About how many octets one answer may have; 0 leaves it to the server.
    pub max_bytes: u32,
    /// Where the client stands; empty asks for everything.
    pub cookie: Bytes,
}

/// Whose changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirSyncRights {
    /// Every object's, deleted ones among them. Needs the right "Replicating Directory Changes".
    Replication,
    /// Those of objects that the client may read.
    ObjectSecurity,
}

/// How changed values of linked attributes, such as a group's members, are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirSyncValues {
    /// All values of the attribute.
    Whole,
    /// Those that came, as `member;range=1-1`, and those that went, as `member;range=0-0`.
    Incremental,
}

/// At the end of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirSyncDone {
    /// Whether there is more to be asked for at once.
    pub more: bool,
    /// Where the client stands now.
    pub cookie: Bytes,
}

impl DirSyncRequest {
    /// The OID, also of the answer.
    pub const OID: &'static str = "1.2.840.113556.1.4.841";

    /// The control, critical: without it the search would be a plain one.
    #[must_use]
    pub fn to_control(&self) -> Control {
        let rights = match self.rights {
            DirSyncRights::Replication => 0,
            DirSyncRights::ObjectSecurity => OBJECT_SECURITY,
        };
        let values = match self.values {
            DirSyncValues::Whole => 0,
            DirSyncValues::Incremental => INCREMENTAL_VALUES,
        };
        Control::encoded(Self::OID, |writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                writer.integer(Tag::INTEGER, rights | values);
                writer.unsigned(Tag::INTEGER, self.max_bytes);
                writer.octets(Tag::OCTET_STRING, &self.cookie);
            });
        })
        .critical()
    }
}

impl DirSyncDone {
    /// The control, as a server sends it.
    #[must_use]
    pub fn to_control(&self) -> Control {
        Control::encoded(DirSyncRequest::OID, |writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                writer.integer(Tag::INTEGER, i32::from(self.more));
                writer.integer(Tag::INTEGER, 0);
                writer.octets(Tag::OCTET_STRING, &self.cookie);
            });
        })
    }

    /// Finds the control among others.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        find_value(controls, DirSyncRequest::OID)?
            .map(Self::decode)
            .transpose()
    }

    /// Reads the control's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[], |reader| {
            let more = reader.integer(Tag::INTEGER)? != 0;
            // MaxReturnBytes, which means nothing to a client.
            reader.integer(Tag::INTEGER)?;
            Ok(Self {
                more,
                cookie: reader.octets(Tag::OCTET_STRING)?,
            })
        })
    }
}
