//! LDAP messages, both sides: what a client sends and what a server answers.
//!
//! Owns the envelope, every operation of LDAPv3, the BER form of filters, and framing ([`frame`]). Knows no
//! socket; the values of controls and extended operations are in `control` and `extended`.
//!
//! A decoded message shares the memory it came in: attribute values, unusual attribute names, control values and
//! cookies are slices of it. Decoding holds at most about twenty times the size of the message, in the worst
//! case of nothing but empty values.
//!
//! Trailing components with unknown tags are ignored (RFC 4511 section 4). Encoding gives the shortest form.
//!
//! Follows RFC 4511 section 4, RFC 4525 (modify-increment) and RFC 3909.

mod filter;
mod frame;
mod intake;
mod request;
mod response;
mod search;

pub use frame::{Frame, FrameError, frame};
pub use request::{
    Add, Authentication, Bind, Compare, Extended, Modification, Modify, ModifyDn, ModifyOperation, Request,
};
pub use response::{BindResponse, ExtendedResponse, Intermediate, Response};
pub use search::{DerefAliases, Scope, Search};

pub(crate) use filter::{decode_filter, encode_filter};
pub(crate) use intake::{Arrival, Intake, Limits, OversizedEntry};
pub(crate) use search::decode_entry_contents;

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::Text;
use crate::ber::{DecodeError, Reader, Tag, Writer};
use crate::control::Control;

const CONTROLS: Tag = Tag::context_constructed(0);

/// More controls on one message than anyone sends.
const MAX_CONTROLS: usize = 64;

/// One LDAP message: `Message<Request>` from a client, `Message<Response>` from a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<Op> {
    /// Which request this is, or answers.
    pub id: MessageId,
    /// The operation.
    pub operation: Op,
    /// The controls; usually none.
    pub controls: Vec<Control>,
}

/// Tells the requests of one connection apart (RFC 4511 section 4.1.1.1): 0 to 2^31 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u32);

impl MessageId {
    /// The first one for a request.
    pub const FIRST: Self = Self(1);
    /// Of a notification that answers no request (RFC 4511 section 4.4).
    pub const UNSOLICITED: Self = Self(0);

    /// The id with this number, if it is at most 2^31 - 1.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number <= i32::MAX as u32 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The next id for a request; after the last comes the first again.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 >= i32::MAX as u32 {
            Self::FIRST
        } else {
            Self(self.0 + 1)
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<Op> Message<Op> {
    /// A message without controls.
    #[must_use]
    pub const fn new(id: MessageId, operation: Op) -> Self {
        Self {
            id,
            operation,
            controls: Vec::new(),
        }
    }

    /// The same with these controls.
    #[must_use]
    pub fn with_controls(mut self, controls: Vec<Control>) -> Self {
        self.controls = controls;
        self
    }
}

impl Message<Request> {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        encode_request(self.id, &self.operation, &self.controls, out);
    }

    /// Reads one whole message, as [`frame`] cut it.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = open(&bytes)?;
        let id = message_id(&mut reader)?;
        let operation = Request::decode(&mut reader)?;
        Ok(Self {
            id,
            operation,
            controls: decode_controls(reader)?,
        })
    }
}

impl Message<Response> {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        envelope(self.id, &self.controls, out, |writer| {
            self.operation.encode(writer)
        });
    }

    /// Reads one whole message, as [`frame`] cut it.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = open(&bytes)?;
        let id = message_id(&mut reader)?;
        let operation = Response::decode(&mut reader)?;
        Ok(Self {
            id,
            operation,
            controls: decode_controls(reader)?,
        })
    }
}

/// Appends a request that is only borrowed, as [`Message::encode`] does.
pub(crate) fn encode_request(id: MessageId, request: &Request, controls: &[Control], out: &mut BytesMut) {
    envelope(id, controls, out, |writer| request.encode(writer));
}

fn envelope(
    id: MessageId,
    controls: &[Control],
    out: &mut BytesMut,
    operation: impl FnOnce(&mut Writer<'_>),
) {
    Writer::new(out).constructed(Tag::SEQUENCE, |writer| {
        writer.unsigned(Tag::INTEGER, id.get());
        operation(writer);
        if !controls.is_empty() {
            encode_controls(CONTROLS, controls, writer);
        }
    });
}

/// The contents of the outermost sequence, which is all there is.
fn open(bytes: &Bytes) -> Result<Reader<'_>, DecodeError> {
    let mut outer = Reader::new(bytes);
    let contents = outer.element(Tag::SEQUENCE)?;
    outer.finish()?;
    Ok(contents)
}

fn message_id(reader: &mut Reader<'_>) -> Result<MessageId, DecodeError> {
    reader.unsigned(Tag::INTEGER).map(MessageId)
}

fn encode_control(control: &Control, writer: &mut Writer<'_>) {
    writer.constructed(Tag::SEQUENCE, |writer| {
        writer.octets(Tag::OCTET_STRING, control.oid.as_bytes());
        // RFC 4511 section 5.1: a default value is left out.
        if control.critical {
            writer.boolean(Tag::BOOLEAN, true);
        }
        if let Some(value) = &control.value {
            writer.octets(Tag::OCTET_STRING, value);
        }
    });
}

fn encode_controls(tag: Tag, controls: &[Control], writer: &mut Writer<'_>) {
    writer.constructed(tag, |writer| {
        for control in controls {
            encode_control(control, writer);
        }
    });
}

/// Controls inside of a value, under the universal tag (RFC 5805 section 2.3.2).
pub(crate) fn encode_control_list(controls: &[Control], writer: &mut Writer<'_>) {
    encode_controls(Tag::SEQUENCE, controls, writer);
}

/// Reads what [`encode_control_list`] writes.
pub(crate) fn decode_control_list(reader: &mut Reader<'_>) -> Result<Vec<Control>, DecodeError> {
    control_list(reader.element(Tag::SEQUENCE)?)
}

fn decode_controls(mut reader: Reader<'_>) -> Result<Vec<Control>, DecodeError> {
    let controls = match reader.optional(CONTROLS)? {
        None => Vec::new(),
        Some(list) => control_list(list)?,
    };
    reader.skip_extensions(&[0])?;
    Ok(controls)
}

fn control_list(mut list: Reader<'_>) -> Result<Vec<Control>, DecodeError> {
    let count = list.count()?;
    if count > MAX_CONTROLS {
        return Err(DecodeError::TooMany("controls"));
    }
    let mut controls = Vec::with_capacity(count);
    while !list.is_empty() {
        controls.push(decode_control(list.element(Tag::SEQUENCE)?)?);
    }
    Ok(controls)
}

fn decode_control(mut reader: Reader<'_>) -> Result<Control, DecodeError> {
    let oid: Text = reader.text(Tag::OCTET_STRING)?;
    let critical = match reader.optional(Tag::BOOLEAN)? {
        Some(contents) => contents.to_boolean()?,
        None => false,
    };
    let value = reader
        .optional(Tag::OCTET_STRING)?
        .map(|contents| contents.bytes());
    reader.skip_extensions(&[])?;
    Ok(Control { oid, critical, value })
}

#[cfg(test)]
mod tests;
