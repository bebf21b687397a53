//! The assertion control (RFC 4528): do this only if the entry still matches.

use bytes::Bytes;

use super::{Control, find_value};
use crate::Filter;
use crate::ber::{DecodeError, Reader};
use crate::message::{decode_filter, encode_filter};

/// The filter that the entry must match. If it does not, the result is `AssertionFailed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion(pub Filter);

impl Assertion {
    /// The OID.
    pub const OID: &'static str = "1.3.6.1.1.12";

    /// The control, critical: without the check the request must not be carried out (RFC 4528 section 3).
    #[must_use]
    pub fn to_control(&self) -> Control {
        Control::encoded(Self::OID, |writer| encode_filter(&self.0, writer)).critical()
    }

    /// Finds the control among others.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        find_value(controls, Self::OID)?.map(Self::decode).transpose()
    }

    /// Reads the control's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let filter = decode_filter(&mut reader)?;
        reader.finish()?;
        Ok(Self(filter))
    }
}
