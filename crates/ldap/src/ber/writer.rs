//! Writing elements in their shortest form.

use bytes::{BufMut, BytesMut};

use super::Tag;

/// Appends elements to a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    #[must_use]
    pub(crate) const fn new(out: &'a mut BytesMut) -> Self {
        Self { out }
    }

    /// A constructed element with what `contents` writes.
    pub(crate) fn constructed(&mut self, tag: Tag, contents: impl FnOnce(&mut Writer<'_>)) {
        self.out.put_u8(tag.octet());
        let length_at = self.out.len();
        self.out.put_u8(0);
        let start = self.out.len();
        contents(&mut Writer { out: self.out });
        let length = self.out.len().saturating_sub(start);
        let form = LengthForm::of(length);
        if form.tail().is_empty() {
            self.patch(length_at, form.first);
            return;
        }
        // The length was not known before: make room for the long form behind its first octet.
        let grow = form.tail().len();
        self.out.put_bytes(0, grow);
        let moved = start.saturating_add(length);
        self.out.copy_within(start..moved, start.saturating_add(grow));
        self.patch(length_at, form.first);
        if let Some(place) = self.out.get_mut(start..start.saturating_add(grow)) {
            place.copy_from_slice(form.tail());
        }
    }

    /// A primitive element with these contents.
    pub(crate) fn octets(&mut self, tag: Tag, contents: &[u8]) {
        self.out.put_u8(tag.octet());
        let form = LengthForm::of(contents.len());
        self.out.put_u8(form.first);
        self.out.put_slice(form.tail());
        self.out.put_slice(contents);
    }

    /// A boolean: 0xff is true (RFC 4511 section 5.1).
    pub(crate) fn boolean(&mut self, tag: Tag, value: bool) {
        self.octets(tag, &[if value { 0xff } else { 0x00 }]);
    }

    /// An integer or enumerated value, in as few octets as it needs (X.690 section 8.3).
    pub(crate) fn integer(&mut self, tag: Tag, value: i32) {
        let octets = value.to_be_bytes();
        let contents: &[u8] = match octets {
            [0x00, 0x00, 0x00, d] if d < 0x80 => &octets[3..],
            [0x00, 0x00, c, _] if c < 0x80 => &octets[2..],
            [0x00, b, _, _] if b < 0x80 => &octets[1..],
            [0xff, 0xff, 0xff, d] if d >= 0x80 => &octets[3..],
            [0xff, 0xff, c, _] if c >= 0x80 => &octets[2..],
            [0xff, b, _, _] if b >= 0x80 => &octets[1..],
            _ => &octets,
        };
        self.octets(tag, contents);
    }

    /// An integer that is never negative. LDAP's largest is 2^31 - 1 (RFC 4511 section 4.1.1); more becomes that.
    pub(crate) fn unsigned(&mut self, tag: Tag, value: u32) {
        self.integer(tag, i32::try_from(value).unwrap_or(i32::MAX));
    }

    fn patch(&mut self, at: usize, octet: u8) {
        if let Some(place) = self.out.get_mut(at) {
            *place = octet;
        }
    }
}

/// A length in its shortest form: one octet, and more when it is 128 or above.
struct LengthForm {
    first: u8,
    octets: [u8; size_of::<usize>()],
    skipped: usize,
}

impl LengthForm {
    fn of(length: usize) -> Self {
        let octets = length.to_be_bytes();
        match u8::try_from(length) {
            Ok(short @ 0..=0x7f) => Self {
                first: short,
                octets,
                skipped: octets.len(),
            },
            _ => {
                let skipped = octets.iter().take_while(|octet| **octet == 0).count();
                // At most eight octets, so the sum fits.
                let count = u8::try_from(octets.len().saturating_sub(skipped)).unwrap_or(8);
                Self {
                    first: 0x80 | count,
                    octets,
                    skipped,
                }
            }
        }
    }

    fn tail(&self) -> &[u8] {
        self.octets.get(self.skipped..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::Reader;

    #[test]
    fn lengths_are_the_shortest() {
        for (length, header) in [
            (0usize, vec![0x04, 0x00]),
            (127, vec![0x04, 0x7f]),
            (128, vec![0x04, 0x81, 0x80]),
            (255, vec![0x04, 0x81, 0xff]),
            (256, vec![0x04, 0x82, 0x01, 0x00]),
            (65536, vec![0x04, 0x83, 0x01, 0x00, 0x00]),
        ] {
            let mut plain = BytesMut::new();
            Writer::new(&mut plain).octets(Tag::OCTET_STRING, &vec![b'x'; length]);
            assert_eq!(&plain[..header.len()], &header[..]);
            assert_eq!(plain.len(), header.len() + length);

            // A constructed element moves its contents behind the length; they must arrive whole.
            let mut nested = BytesMut::new();
            Writer::new(&mut nested).constructed(Tag::SEQUENCE, |w| {
                w.octets(Tag::OCTET_STRING, &vec![b'x'; length])
            });
            let nested = nested.freeze();
            let mut reader = Reader::new(&nested);
            let inner = reader.element(Tag::SEQUENCE).expect("a sequence");
            assert_eq!(inner.bytes(), plain.freeze());
            assert!(reader.is_empty());
        }
    }

    proptest::proptest! {
        #[test]
        fn integers_round_trip(value: i32) {
            let mut out = BytesMut::new();
            Writer::new(&mut out).integer(Tag::INTEGER, value);
            let out = out.freeze();
            proptest::prop_assert_eq!(Reader::new(&out).integer(Tag::INTEGER), Ok(value));
        }
    }
}
