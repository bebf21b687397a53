//! Simple paged results (RFC 2696).

use bytes::Bytes;

use super::{Control, decode_sequence, find_value};
use crate::ber::{DecodeError, Tag};

/// Asks for a page of results, and in the last message of the page says where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagedResults {
    /// In a request the size of the page; in a response the server's estimate of the total, 0 if unknown.
    pub size: u32,
    /// Empty in the first request, and in the response with the last page.
    pub cookie: Bytes,
}

impl PagedResults {
    /// The OID.
    pub const OID: &'static str = "1.2.840.113556.1.4.319";

    /// A request for the first page.
    #[must_use]
    pub const fn first(size: u32) -> Self {
        Self {
            size,
            cookie: Bytes::new(),
        }
    }

    /// The control. Mark it critical, or a server that does not know it returns everything.
    #[must_use]
    pub fn to_control(&self) -> Control {
        Control::encoded(Self::OID, |writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                writer.unsigned(Tag::INTEGER, self.size);
                writer.octets(Tag::OCTET_STRING, &self.cookie);
            });
        })
    }

    /// Finds the control among others.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        find_value(controls, Self::OID)?.map(Self::decode).transpose()
    }

    /// Reads the control's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[], |reader| {
            Ok(Self {
                size: reader.unsigned(Tag::INTEGER)?,
                cookie: reader.octets(Tag::OCTET_STRING)?,
            })
        })
    }
}
