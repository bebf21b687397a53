//! The pre-read and post-read controls (RFC 4527): the entry as it was before, or is after, this change.

use bytes::Bytes;

use super::{Control, find_value};
use crate::Entry;
use crate::ber::{DecodeError, Reader, Tag};
use crate::message::decode_entry_contents;

const SEARCH_RESULT_ENTRY: Tag = Tag::application_constructed(4);

/// The entry before a modify, modify DN or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreRead(pub Entry);

/// The entry after an add, modify or modify DN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostRead(pub Entry);

impl PreRead {
    /// The OID.
    pub const OID: &'static str = "1.3.6.1.1.13.1";

    /// Asks for these attributes of the entry before the change.
    #[must_use]
    pub fn request<S: AsRef<str>>(attributes: &[S]) -> Control {
        request(Self::OID, attributes)
    }

    /// Finds the entry in the controls of a response.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        Ok(find_value(controls, Self::OID)?
            .map(decode)
            .transpose()?
            .map(Self))
    }
}

impl PostRead {
    /// The OID.
    pub const OID: &'static str = "1.3.6.1.1.13.2";

    /// Asks for these attributes of the entry after the change.
    #[must_use]
    pub fn request<S: AsRef<str>>(attributes: &[S]) -> Control {
        request(Self::OID, attributes)
    }

    /// Finds the entry in the controls of a response.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        Ok(find_value(controls, Self::OID)?
            .map(decode)
            .transpose()?
            .map(Self))
    }
}

fn request<S: AsRef<str>>(oid: &'static str, attributes: &[S]) -> Control {
    Control::encoded(oid, |writer| {
        writer.constructed(Tag::SEQUENCE, |writer| {
            for attribute in attributes {
                writer.octets(Tag::OCTET_STRING, attribute.as_ref().as_bytes());
            }
        });
    })
}

/// Reads the value of a response control, a SearchResultEntry.
fn decode(value: &Bytes) -> Result<Entry, DecodeError> {
    let mut reader = Reader::new(value);
    let contents = reader.element(SEARCH_RESULT_ENTRY)?;
    reader.finish()?;
    decode_entry_contents(contents)
}
