//! What to do with the bytes that have come: a message, or an entry over its limit, read past in bounded memory.

use super::{FrameError, MessageId, decode_controls, frame, message_id, search::ENTRY};
use crate::ber::{DecodeError, Reader, Tag, header};
use crate::control::Control;
use crate::message::Frame;
use bytes::{Buf as _, Bytes, BytesMut};

/// Longer than the name of any entry.
const MAX_NAME: usize = 64 * 1024;
/// More than the controls of any entry take.
const MAX_CONTROL_OCTETS: usize = 64 * 1024;
/// What is announced as larger than this is no entry.
const MAX_SKIPPED: usize = u32::MAX as usize;

/// How large what a server sends may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Any message.
    pub(crate) message: usize,
    /// A search result entry, when that is another limit; a larger entry is read past.
    pub(crate) entry: Option<usize>,
}

/// A search result entry that is larger than its limit, without its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OversizedEntry {
    pub(crate) id: MessageId,
    pub(crate) dn: String,
    pub(crate) controls: Vec<Control>,
    /// The length of its message.
    pub(crate) size: usize,
}

/// What stands at the start of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Nothing whole yet: at least this many more bytes are needed. Never zero.
    Incomplete(usize),
    /// A message of this many bytes.
    Message(usize),
    /// An entry that was read past; its bytes are gone from the buffer.
    Oversized(OversizedEntry),
}

/// Reads a stream of messages. Holds what it knows of an entry that is being read past.
#[derive(Debug)]
pub(crate) struct Intake {
    limits: Limits,
    skipping: Option<Skip>,
}

impl Intake {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            skipping: None,
        }
    }

    /// Looks at the start of the buffer. `waits` tells whether a search with this id is open: an entry beyond the
    /// limit of messages is gathered only then.
    pub(crate) fn next(
        &mut self,
        buffer: &mut BytesMut,
        waits: impl FnOnce(MessageId) -> bool,
    ) -> Result<Arrival, FrameError> {
        let skip = match self.skipping.take() {
            Some(skip) => skip,
            None => match self.start(buffer, waits)? {
                Start::Arrival(arrival) => return Ok(arrival),
                Start::Skip(skip) => skip,
            },
        };
        self.pass(skip, buffer)
    }

    fn start(&self, buffer: &BytesMut, waits: impl FnOnce(MessageId) -> bool) -> Result<Start, FrameError> {
        let entry_limit = self.limits.entry.unwrap_or(self.limits.message);
        let length = match frame(buffer, self.limits.message.min(entry_limit)) {
            Ok(Frame::Incomplete(missing)) => return Ok(Start::Arrival(Arrival::Incomplete(missing))),
            Ok(Frame::Complete(length)) => return Ok(Start::Arrival(Arrival::Message(length))),
            Err(FrameError::TooLarge { length, .. }) if self.limits.entry.is_some() => length,
            Err(error) => return Err(error),
        };
        if length > MAX_SKIPPED {
            let limit = entry_limit;
            return Err(FrameError::TooLarge { length, limit });
        }
        let head = match Head::read(buffer, length) {
            Ok(head) => head,
            // The length of the whole has come, and the next bytes have not.
            Err(DecodeError::Truncated) => return Ok(Start::Arrival(Arrival::Incomplete(1))),
            Err(error) => return Err(error.into()),
        };
        let limit = match head.tag == ENTRY {
            true if length <= self.limits.message || waits(head.id) => entry_limit,
            true => self.limits.message.min(entry_limit),
            false => self.limits.message,
        };
        if length <= limit {
            return Ok(Start::Arrival(match length.checked_sub(buffer.len()) {
                None | Some(0) => Arrival::Message(length),
                Some(missing) => Arrival::Incomplete(missing),
            }));
        }
        if head.tag != ENTRY {
            return Err(FrameError::TooLarge { length, limit });
        }
        Ok(Start::Skip(Skip::new(&head, length)?))
    }

    fn pass(&mut self, mut skip: Skip, buffer: &mut BytesMut) -> Result<Arrival, FrameError> {
        match skip.take(buffer)? {
            Passed::More(missing) => {
                self.skipping = Some(skip);
                Ok(Arrival::Incomplete(missing))
            }
            Passed::Entry(entry) => Ok(Arrival::Oversized(entry)),
        }
    }
}

enum Start {
    Arrival(Arrival),
    Skip(Skip),
}

/// The start of a message: its id, and which operation it is.
struct Head {
    id: MessageId,
    tag: Tag,
    /// Where the contents of the operation begin.
    contents: usize,
    /// Where the operation ends.
    end: usize,
}

impl Head {
    /// `Truncated` when the bytes do not reach so far.
    fn read(buffer: &[u8], length: usize) -> Result<Self, DecodeError> {
        let (_, outer, _) = header(buffer)?;
        let (tag, id_header, id_length) = header(rest(buffer, outer)?)?;
        // RFC 4511 section 4.1.1.1: an integer up to 2^31 - 1.
        if tag != Tag::INTEGER || id_length > 4 {
            return Err(DecodeError::BadInteger);
        }
        let operation = outer + id_header + id_length;
        let id = buffer.get(outer..operation).ok_or(DecodeError::Truncated)?;
        let id = Bytes::copy_from_slice(id);
        let id = message_id(&mut Reader::new(&id))?;
        let (tag, op_header, op_length) = header(rest(buffer, operation)?)?;
        let contents = operation + op_header;
        let end = contents.checked_add(op_length).ok_or(DecodeError::BadLength)?;
        if end > length {
            return Err(DecodeError::BadLength);
        }
        Ok(Self {
            id,
            tag,
            contents,
            end,
        })
    }
}

fn rest(buffer: &[u8], from: usize) -> Result<&[u8], DecodeError> {
    buffer.get(from..).ok_or(DecodeError::Truncated)
}

/// An entry that is being read past: its name first, then its attributes, then its controls.
#[derive(Debug)]
struct Skip {
    id: MessageId,
    size: usize,
    dn: String,
    /// How many octets its controls take.
    controls: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The message is in the buffer from its start: the name stands here, and the operation ends there.
    Name {
        from: usize,
        end: usize,
    },
    /// So much is left of the attributes.
    Attributes(usize),
    Controls,
}

enum Passed {
    More(usize),
    Entry(OversizedEntry),
}

impl Skip {
    fn new(head: &Head, size: usize) -> Result<Self, DecodeError> {
        let controls = size.saturating_sub(head.end);
        if controls > MAX_CONTROL_OCTETS {
            return Err(DecodeError::TooMany("octets of controls"));
        }
        let (from, end) = (head.contents, head.end);
        Ok(Self {
            id: head.id,
            size,
            dn: String::new(),
            controls,
            stage: Stage::Name { from, end },
        })
    }

    /// Takes from the buffer what it can.
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Passed, DecodeError> {
        loop {
            match self.stage {
                Stage::Name { from, end } => {
                    let name = match header(rest(buffer, from).unwrap_or_default()) {
                        Err(DecodeError::Truncated) => return Ok(Passed::More(1)),
                        other => other?,
                    };
                    let (tag, name_header, length) = name;
                    if tag != Tag::OCTET_STRING {
                        let expected = Tag::OCTET_STRING;
                        return Err(DecodeError::UnexpectedTag { expected, found: tag });
                    }
                    if length > MAX_NAME {
                        return Err(DecodeError::TooMany("octets of a name"));
                    }
                    let start = from + name_header;
                    let after = start + length;
                    let left = end.checked_sub(after).ok_or(DecodeError::BadLength)?;
                    let Some(name) = buffer.get(start..after) else {
                        return Ok(Passed::More(after.saturating_sub(buffer.len()).max(1)));
                    };
                    let name = std::str::from_utf8(name).map_err(|_| DecodeError::NotUtf8)?;
                    self.dn = name.to_owned();
                    buffer.advance(after);
                    self.stage = Stage::Attributes(left);
                }
                Stage::Attributes(0) => self.stage = Stage::Controls,
                Stage::Attributes(left) => {
                    let here = left.min(buffer.len());
                    buffer.advance(here);
                    self.stage = Stage::Attributes(left - here);
                    if here < left {
                        return Ok(Passed::More(left - here));
                    }
                }
                Stage::Controls => {
                    let Some(octets) = buffer.get(..self.controls) else {
                        return Ok(Passed::More(self.controls.saturating_sub(buffer.len())));
                    };
                    // A copy: a slice would keep the buffer alive for as long as the controls are.
                    let octets = Bytes::copy_from_slice(octets);
                    let controls = decode_controls(Reader::new(&octets))?;
                    buffer.advance(self.controls);
                    return Ok(Passed::Entry(OversizedEntry {
                        id: self.id,
                        dn: std::mem::take(&mut self.dn),
                        controls,
                        size: self.size,
                    }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Response};
    use crate::result::{LdapResult, ResultCode};
    use crate::{Entry, Values};
    use proptest::prelude::*;

    /// No more than the reader takes from the stream at once.
    const CHUNK: usize = 64 * 1024;

    fn encoded(id: u32, dn: &str, octets: usize, controls: Vec<Control>) -> Vec<u8> {
        let entry = Entry::new(dn).with("jpegPhoto", Values::one(Bytes::from(vec![b'x'; octets])));
        let mut out = BytesMut::new();
        Message::new(MessageId::new(id).expect("an id"), Response::SearchEntry(entry))
            .with_controls(controls)
            .encode(&mut out);
        out.to_vec()
    }

    fn state() -> Vec<Control> {
        vec![Control::new("1.2.3").with_value(Bytes::from_static(b"state"))]
    }

    /// Everything that arrives when the bytes come in pieces of this size, and the most that was held.
    fn arrivals(bytes: &[u8], piece: usize, limits: Limits, open: bool) -> (Vec<Arrival>, usize) {
        let mut intake = Intake::new(limits);
        let (mut buffer, mut found, mut most) = (BytesMut::new(), Vec::new(), 0);
        for part in bytes.chunks(piece) {
            buffer.reserve(part.len());
            buffer.extend_from_slice(part);
            most = most.max(buffer.capacity());
            loop {
                match intake.next(&mut buffer, |_| open).expect("good bytes") {
                    Arrival::Incomplete(missing) => {
                        assert!(missing > 0);
                        break;
                    }
                    Arrival::Message(length) => {
                        assert!(length <= buffer.len());
                        buffer.advance(length);
                        found.push(Arrival::Message(length));
                    }
                    oversized @ Arrival::Oversized(_) => found.push(oversized),
                }
            }
        }
        assert!(buffer.is_empty(), "nothing is left over");
        (found, most)
    }

    #[test]
    fn a_large_entry_leaves_its_name_and_controls_and_takes_no_memory() {
        let mut bytes = encoded(7, "uid=a,dc=test", 64 << 20, state());
        let size = bytes.len();
        let small = encoded(7, "uid=b,dc=test", 10, Vec::new());
        bytes.extend_from_slice(&small);
        let limits = Limits {
            message: 1 << 20,
            entry: Some(2 << 20),
        };
        let (found, most) = arrivals(&bytes, CHUNK, limits, true);
        let oversized = OversizedEntry {
            id: MessageId::new(7).expect("an id"),
            dn: "uid=a,dc=test".to_owned(),
            controls: state(),
            size,
        };
        assert_eq!(
            found,
            [Arrival::Oversized(oversized), Arrival::Message(small.len())]
        );
        assert!(most <= 4 * CHUNK, "{most} octets were held");
    }

    /// The bytes, the two limits, whether a search waits for them, and the verdict.
    type Case<'a> = (&'a [u8], usize, Option<usize>, bool, &'a str);

    #[test]
    fn which_limit_counts_by_table() {
        let entry = encoded(7, "uid=a,dc=test", 5000, Vec::new());
        let mut out = BytesMut::new();
        let mut result = LdapResult::new(ResultCode::Success);
        result.diagnostic = "x".repeat(5000);
        Message::new(MessageId::FIRST, Response::SearchDone(result)).encode(&mut out);
        let done = out.to_vec();
        let verdict = |bytes: &[u8], message, entry, open| {
            let mut buffer = BytesMut::from(bytes);
            match Intake::new(Limits { message, entry }).next(&mut buffer, |_| open) {
                Ok(Arrival::Incomplete(_)) => "incomplete",
                Ok(Arrival::Message(_)) => "message",
                Ok(Arrival::Oversized(_)) => "oversized",
                Err(FrameError::TooLarge { .. }) => "too large",
                Err(FrameError::Malformed(_)) => "malformed",
            }
        };
        let table: &[Case<'_>] = &[
            (&entry, 6000, None, true, "message"),
            (&entry, 1000, None, true, "too large"),
            (&entry, 1000, Some(6000), true, "message"),
            // Nobody asked for it: it is not gathered.
            (&entry, 1000, Some(6000), false, "oversized"),
            (&entry, 1000, Some(2000), true, "oversized"),
            // The limit of entries may also be the smaller one.
            (&entry, 6000, Some(2000), true, "oversized"),
            (&entry, 6000, Some(2000), false, "oversized"),
            (&done, 6000, Some(2000), true, "message"),
            (&done, 2000, Some(6000), true, "too large"),
            (&entry[..2000], 6000, Some(2000), true, "incomplete"),
            (&entry[..5], 6000, Some(2000), true, "incomplete"),
            (b"\x30\x84\xff\xff\xff\xff", 6000, Some(2000), true, "too large"),
            (b"\x30\x82\x20\x00\x04\x01a", 6000, Some(2000), true, "malformed"),
            (
                b"\x30\x82\x20\x00\x02\x05abcde",
                6000,
                Some(2000),
                true,
                "malformed",
            ),
            // The entry would end after its message.
            (
                b"\x30\x82\x20\x00\x02\x01\x01\x64\x82\x20\x00",
                6000,
                Some(2000),
                true,
                "malformed",
            ),
            // Its name would end after the entry.
            (
                b"\x30\x82\x20\x00\x02\x01\x01\x64\x82\x1f\xf9\x04\x82\x20\x00",
                6000,
                Some(2000),
                true,
                "malformed",
            ),
            // A name, or controls, that would have to be held.
            (
                b"\x30\x83\x20\x00\x00\x02\x01\x01\x64\x83\x1f\xff\xf8\x04\x83\x11\x00\x00",
                6000,
                Some(2000),
                true,
                "malformed",
            ),
            (
                b"\x30\x83\x20\x00\x00\x02\x01\x01\x64\x02\x04\x00",
                6000,
                Some(2000),
                true,
                "malformed",
            ),
            // A name that is not UTF-8, and one that is no octet string.
            (
                b"\x30\x82\x20\x00\x02\x01\x01\x64\x82\x1f\xf9\x04\x01\xff",
                6000,
                Some(2000),
                true,
                "malformed",
            ),
            (
                b"\x30\x82\x20\x00\x02\x01\x01\x64\x82\x1f\xf9\x02\x01\x00",
                6000,
                Some(2000),
                true,
                "malformed",
            ),
        ];
        for (bytes, message, entry, open, expected) in table {
            let shown = &bytes[..bytes.len().min(20)];
            let found = verdict(bytes, *message, *entry, *open);
            assert_eq!(found, *expected, "{shown:02x?} {message} {entry:?} {open}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn however_the_bytes_come(
            sizes in proptest::collection::vec((0usize..3000, 0u8..3), 1..8),
            piece in 1usize..700,
        ) {
            let limits = Limits { message: 4000, entry: Some(1000) };
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (number, (octets, controls)) in (1u32..).zip(&sizes) {
                let controls: Vec<Control> = (0..*controls).flat_map(|_| state()).collect();
                let dn = format!("uid={number},dc=test");
                let one = encoded(number, &dn, *octets, controls.clone());
                expected.push(match one.len() {
                    size @ ..=1000 => Arrival::Message(size),
                    size => Arrival::Oversized(OversizedEntry {
                        id: MessageId::new(number).expect("an id"),
                        dn,
                        controls,
                        size,
                    }),
                });
                bytes.extend_from_slice(&one);
            }
            prop_assert_eq!(arrivals(&bytes, piece, limits, true).0, expected);
        }

        #[test]
        fn any_bytes_are_refused_or_wait(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut start = b"\x30\x82\x20\x00".to_vec();
            start.extend_from_slice(&bytes);
            let mut buffer = BytesMut::from(start.as_slice());
            let mut intake = Intake::new(Limits { message: 6000, entry: Some(2000) });
            if let Ok(Arrival::Incomplete(missing)) = intake.next(&mut buffer, |_| true) {
                prop_assert!(missing > 0);
            }
        }
    }
}
