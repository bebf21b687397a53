//! Cutting a stream of bytes into messages.

use crate::ber::{DecodeError, Tag, long_length};

/// What the start of a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// No whole message yet: at least this many more bytes are needed. Never zero.
    Incomplete(usize),
    /// A message of this many bytes, header included.
    Complete(usize),
}

/// Why the stream cannot be read on. Nothing that follows can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The message is larger than the limit.
    #[error("a message of {length} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The announced length, header included.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// This is not the start of an LDAP message.
    #[error("not an LDAP message: {0}")]
    Malformed(#[from] DecodeError),
}

/// Says whether a whole message stands at the start of `buffer`. Looks at its header only, so a caller can
/// refuse a message that is too large before any of it is buffered.
pub fn frame(buffer: &[u8], limit: usize) -> Result<Frame, FrameError> {
    let (header, contents) = match *buffer {
        [] => return Ok(Frame::Incomplete(2)),
        [tag, ..] if tag != Tag::SEQUENCE.octet() => {
            let found = Tag::from_octet(tag);
            return Err(DecodeError::UnexpectedTag {
                expected: Tag::SEQUENCE,
                found,
            }
            .into());
        }
        [_] => return Ok(Frame::Incomplete(1)),
        [_, length @ 0..=0x7f, ..] => (2, usize::from(length)),
        [_, first, ref rest @ ..] => match long_length(first, rest)? {
            Some((length, used)) => (used.saturating_add(2), length),
            None => {
                let octets = usize::from(first & 0x7f);
                return Ok(Frame::Incomplete(octets.saturating_sub(rest.len()).max(1)));
            }
        },
    };
    let length = contents.saturating_add(header);
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    match length.checked_sub(buffer.len()) {
        None | Some(0) => Ok(Frame::Complete(length)),
        Some(missing) => Ok(Frame::Incomplete(missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_by_table() {
        let too_large = |length| Err(FrameError::TooLarge { length, limit: 300 });
        let table: &[(&[u8], Result<Frame, FrameError>)] = &[
            (&[], Ok(Frame::Incomplete(2))),
            (&[0x30], Ok(Frame::Incomplete(1))),
            (&[0x30, 0x00], Ok(Frame::Complete(2))),
            (&[0x30, 0x02, 0x02], Ok(Frame::Incomplete(1))),
            (&[0x30, 0x01, 0x02, 0x30], Ok(Frame::Complete(3))),
            (&[0x30, 0x82], Ok(Frame::Incomplete(2))),
            (&[0x30, 0x82, 0x01], Ok(Frame::Incomplete(1))),
            (&[0x30, 0x82, 0x01, 0x00], Ok(Frame::Incomplete(256))),
            (&[0x30, 0x84, 0, 0, 0, 1, 0x02], Ok(Frame::Complete(7))),
            (&[0x30, 0x82, 0x01, 0x29], too_large(301)),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], too_large(0xffff_ffff + 6)),
            (
                &[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                too_large(usize::MAX),
            ),
            (&[0x30, 0x80], Err(DecodeError::BadLength.into())),
            (&[0x30, 0x89], Err(DecodeError::BadLength.into())),
            (
                b"GET / HTTP/1.1",
                Err(DecodeError::UnexpectedTag {
                    expected: Tag::SEQUENCE,
                    found: Tag::from_octet(b'G'),
                }
                .into()),
            ),
        ];
        for (buffer, expected) in table {
            assert_eq!(frame(buffer, 300), *expected, "{buffer:02x?}");
        }
    }
}
