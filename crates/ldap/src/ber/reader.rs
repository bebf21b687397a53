//! Reading elements from a message without copying them.

use bytes::Bytes;

use super::{DecodeError, Tag};
use crate::Text;

/// What is left of the element being read, and the message that it is part of.
///
/// Nested readers borrow the same message, so going into an element costs nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    source: &'a Bytes,
    /// A part of `source`.
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the elements of `source`.
    #[must_use]
    pub(crate) fn new(source: &'a Bytes) -> Self {
        let rest = source;
        Self { source, rest }
    }

    /// True when every element was read.
    #[must_use]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element, if there is one.
    #[must_use]
    pub(crate) fn peek(&self) -> Option<Tag> {
        self.rest.first().copied().map(Tag::from_octet)
    }

    /// Goes into the next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<(Tag, Self), DecodeError> {
        let (tag, header, length) = header(self.rest)?;
        let after = self.rest.get(header..).ok_or(DecodeError::Truncated)?;
        let (contents, after) = after.split_at_checked(length).ok_or(DecodeError::BadLength)?;
        self.rest = after;
        Ok((
            tag,
            Self {
                source: self.source,
                rest: contents,
            },
        ))
    }

    /// Goes into the next element, which has this tag.
    pub(crate) fn element(&mut self, expected: Tag) -> Result<Self, DecodeError> {
        match self.peek() {
            Some(found) if found == expected => self.any().map(|(_, contents)| contents),
            Some(found) => Err(DecodeError::UnexpectedTag { expected, found }),
            None => Err(DecodeError::Truncated),
        }
    }

    /// Goes into the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: Tag) -> Result<Option<Self>, DecodeError> {
        if self.peek() == Some(tag) {
            self.any().map(|(_, contents)| Some(contents))
        } else {
            Ok(None)
        }
    }

    /// The next element, an octet string with this tag.
    pub(crate) fn octets(&mut self, tag: Tag) -> Result<Bytes, DecodeError> {
        self.element(tag).map(|contents| contents.bytes())
    }

    /// The next element, a UTF-8 string with this tag, as a slice of the message unless it is a usual text.
    pub(crate) fn text(&mut self, tag: Tag) -> Result<Text, DecodeError> {
        self.element(tag)?.to_text()
    }

    /// The next element, a UTF-8 string with this tag, copied.
    pub(crate) fn string(&mut self, tag: Tag) -> Result<String, DecodeError> {
        self.element(tag)?.to_str().map(str::to_owned)
    }

    /// The next element, an integer or enumerated value with this tag.
    pub(crate) fn integer(&mut self, tag: Tag) -> Result<i32, DecodeError> {
        self.element(tag)?.to_integer()
    }

    /// The next element, an integer with this tag that is never negative.
    pub(crate) fn unsigned(&mut self, tag: Tag) -> Result<u32, DecodeError> {
        u32::try_from(self.integer(tag)?).map_err(|_| DecodeError::BadInteger)
    }

    /// The next element, a boolean with this tag.
    pub(crate) fn boolean(&mut self, tag: Tag) -> Result<bool, DecodeError> {
        self.element(tag)?.to_boolean()
    }

    /// What is left, as a slice of the message that keeps it alive.
    #[must_use]
    pub(crate) fn bytes(&self) -> Bytes {
        self.source.slice_ref(self.rest)
    }

    /// What is left, borrowed.
    #[must_use]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// What is left, as UTF-8.
    pub(crate) fn to_str(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.rest).map_err(|_| DecodeError::NotUtf8)
    }

    /// What is left, as UTF-8 and as a slice of the message unless it is a usual text.
    pub(crate) fn to_text(self) -> Result<Text, DecodeError> {
        Text::from_part(self.rest, || self.bytes())
    }

    /// The contents of an integer (X.690 section 8.3): at least one octet, no needless one, at most four.
    pub(crate) fn to_integer(self) -> Result<i32, DecodeError> {
        let octets = self.rest;
        match octets {
            [] => return Err(DecodeError::BadInteger),
            [0x00, second, ..] if *second < 0x80 => return Err(DecodeError::BadInteger),
            [0xff, second, ..] if *second >= 0x80 => return Err(DecodeError::BadInteger),
            _ if octets.len() > 4 => return Err(DecodeError::BadInteger),
            _ => {}
        }
        let negative = octets.first().is_some_and(|octet| *octet >= 0x80);
        let start = if negative { -1 } else { 0 };
        Ok(octets
            .iter()
            .fold(start, |value: i32, octet| value << 8 | i32::from(*octet)))
    }

    /// The contents of a boolean. Senders write 0xff for true (RFC 4511 section 5.1); some write another
    /// non-zero octet, which is true in BER.
    pub(crate) fn to_boolean(self) -> Result<bool, DecodeError> {
        match self.rest {
            [octet] => Ok(*octet != 0),
            _ => Err(DecodeError::BadBoolean),
        }
    }

    /// How many elements are left.
    pub(crate) fn count(mut self) -> Result<usize, DecodeError> {
        let mut count = 0;
        while !self.is_empty() {
            self.any()?;
            count += 1;
        }
        Ok(count)
    }

    /// For how many elements to make room, when each of them takes `smallest` octets at least. A list of
    /// smaller ones is refused when it is read, and must not reserve memory before.
    pub(crate) fn room(self, smallest: usize) -> Result<usize, DecodeError> {
        let possible = self.rest.len().checked_div(smallest).unwrap_or(0);
        Ok(self.count()?.min(possible))
    }

    /// Nothing is left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }

    /// What is left are whole elements from an extension we do not know. `known` are the numbers of the
    /// context-specific tags that the type has itself: one of these here is in the wrong place or form.
    // RFC 4511 section 4: trailing components with unknown tags are ignored.
    pub(crate) fn skip_extensions(mut self, known: &[u8]) -> Result<(), DecodeError> {
        while !self.is_empty() {
            let (tag, _) = self.any()?;
            if tag.context_number().is_some_and(|number| known.contains(&number)) {
                return Err(DecodeError::Misplaced(tag));
            }
        }
        Ok(())
    }
}

/// The tag, the length of the header and the length of the contents at the start of `octets`; `Truncated` when the
/// header is not all there.
pub(crate) fn header(octets: &[u8]) -> Result<(Tag, usize, usize), DecodeError> {
    match *octets {
        [tag, ..] if Tag::from_octet(tag).is_long_form() => {
            Err(DecodeError::UnknownTag(Tag::from_octet(tag)))
        }
        [tag, length @ 0..=0x7f, ..] => Ok((Tag::from_octet(tag), 2, usize::from(length))),
        [tag, first, ref rest @ ..] => {
            let (length, used) = long_length(first, rest)?.ok_or(DecodeError::Truncated)?;
            Ok((Tag::from_octet(tag), used + 2, length))
        }
        _ => Err(DecodeError::Truncated),
    }
}

/// The value of a long-form length and how many octets follow `first`; none when they are not all there.
///
/// The form need not be the shortest: Active Directory always writes four octets.
pub(crate) fn long_length(first: u8, rest: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let count = usize::from(first & 0x7f);
    // RFC 4511 section 5.1: no indefinite length (0x80). More than eight octets is never honest.
    if !(1..=8).contains(&count) {
        return Err(DecodeError::BadLength);
    }
    let Some(octets) = rest.get(..count) else {
        return Ok(None);
    };
    let length = octets
        .iter()
        .fold(0u64, |length, octet| length << 8 | u64::from(*octet));
    let length = usize::try_from(length).map_err(|_| DecodeError::BadLength)?;
    Ok(Some((length, count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(octets: &[u8]) -> Bytes {
        Bytes::copy_from_slice(octets)
    }

    #[test]
    fn integers_by_table() {
        let table: &[(&[u8], Result<i32, DecodeError>)] = &[
            (&[0x02, 0x01, 0x00], Ok(0)),
            (&[0x02, 0x01, 0x7f], Ok(127)),
            (&[0x02, 0x02, 0x00, 0x80], Ok(128)),
            (&[0x02, 0x01, 0xff], Ok(-1)),
            (&[0x02, 0x01, 0x80], Ok(-128)),
            (&[0x02, 0x04, 0x7f, 0xff, 0xff, 0xff], Ok(i32::MAX)),
            (&[0x02, 0x04, 0x80, 0x00, 0x00, 0x00], Ok(i32::MIN)),
            (&[0x02, 0x00], Err(DecodeError::BadInteger)),
            (&[0x02, 0x02, 0x00, 0x01], Err(DecodeError::BadInteger)),
            (&[0x02, 0x02, 0xff, 0x80], Err(DecodeError::BadInteger)),
            (
                &[0x02, 0x05, 0x01, 0x00, 0x00, 0x00, 0x00],
                Err(DecodeError::BadInteger),
            ),
        ];
        for (octets, expected) in table {
            let source = bytes(octets);
            assert_eq!(
                Reader::new(&source).integer(Tag::INTEGER),
                *expected,
                "{octets:02x?}"
            );
        }
    }

    #[test]
    fn lengths_by_table() {
        type Case = (&'static [u8], Result<&'static [u8], DecodeError>);
        let table: &[Case] = &[
            (&[0x04, 0x01, b'a'], Ok(b"a")),
            (&[0x04, 0x81, 0x01, b'a'], Ok(b"a")),
            (&[0x04, 0x84, 0, 0, 0, 1, b'a'], Ok(b"a")),
            (&[0x04, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, b'a'], Ok(b"a")),
            (
                &[0x04, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'a'],
                Err(DecodeError::BadLength),
            ),
            // RFC 4511 section 5.1: the indefinite form and the constructed octet string are refused.
            (&[0x04, 0x80, b'a', 0, 0], Err(DecodeError::BadLength)),
            (
                &[0x24, 0x03, 0x04, 0x01, b'a'],
                Err(DecodeError::UnexpectedTag {
                    expected: Tag::OCTET_STRING,
                    found: Tag(0x24),
                }),
            ),
            (&[0x04, 0x02, b'a'], Err(DecodeError::BadLength)),
            (
                &[0x04, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Err(DecodeError::BadLength),
            ),
            (&[0x04, 0x82, 0x01], Err(DecodeError::Truncated)),
            (&[0x04], Err(DecodeError::Truncated)),
            (&[], Err(DecodeError::Truncated)),
        ];
        for (octets, expected) in table {
            let source = bytes(octets);
            let found = Reader::new(&source).octets(Tag::OCTET_STRING);
            assert_eq!(found.as_deref().map_err(Clone::clone), *expected, "{octets:02x?}");
        }
    }

    #[test]
    fn a_slice_shares_the_message() {
        let source = bytes(&[0x04, 0x03, b'a', b'b', b'c']);
        let value = Reader::new(&source).octets(Tag::OCTET_STRING).expect("valid");
        assert_eq!(value.as_ptr(), source[2..].as_ptr());
    }

    #[test]
    fn booleans_and_ends() {
        for (octet, expected) in [(0x00, false), (0xff, true), (0x01, true)] {
            let source = bytes(&[0x01, 0x01, octet]);
            assert_eq!(Reader::new(&source).boolean(Tag::BOOLEAN), Ok(expected));
        }
        let source = bytes(&[0x01, 0x02, 0, 0]);
        assert_eq!(
            Reader::new(&source).boolean(Tag::BOOLEAN),
            Err(DecodeError::BadBoolean)
        );
        let source = bytes(&[0x05, 0x00, 0x05]);
        assert_eq!(
            Reader::new(&source).skip_extensions(&[]),
            Err(DecodeError::Truncated)
        );
        assert_eq!(Reader::new(&source).finish(), Err(DecodeError::TrailingBytes));
        // An extension is skipped, unless it has one of the type's own tags.
        let source = bytes(&[0x83, 0x00]);
        assert_eq!(Reader::new(&source).skip_extensions(&[7]), Ok(()));
        assert_eq!(
            Reader::new(&source).skip_extensions(&[7, 3]),
            Err(DecodeError::Misplaced(Tag(0x83)))
        );
        let source = bytes(&[0x1f, 0x20, 0x00]);
        assert_eq!(
            Reader::new(&source).count(),
            Err(DecodeError::UnknownTag(Tag(0x1f)))
        );
    }
}
