//! The byte form of rows: a writer, and a reader that is bounded and never panics.
//!
//! Every row starts with its own version byte. Numbers are LEB128; texts and byte strings carry their length.
//! Whatever does not decode is [`StoreError::Corrupt`], because only this store ever writes these bytes.

use crate::StoreError;
use model::{Address, EntryUuid, Timestamp};

/// Octets that a row is begun with room for.
const ROW: usize = 256;

/// Builds a row.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Starts a row of this version.
    pub(crate) fn new(version: u8) -> Self {
        // As most rows need at most: a list that begins with one octet moves six times on the way.
        let mut row = Vec::with_capacity(ROW);
        row.push(version);
        Self(row)
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn flag(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// LEB128.
    pub(crate) fn num(&mut self, mut value: u64) -> &mut Self {
        loop {
            // The mask keeps seven bits.
            #[allow(clippy::cast_possible_truncation)]
            let low = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                self.0.push(low);
                return self;
            }
            self.0.push(low | 0x80);
        }
    }

    pub(crate) fn size(&mut self, value: usize) -> &mut Self {
        self.num(value as u64)
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.size(bytes.len()).raw(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A value that may be missing.
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    /// A counted list.
    pub(crate) fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.size(values.len());
        for value in values {
            write(self, value);
        }
        self
    }

    pub(crate) fn time(&mut self, time: Timestamp) -> &mut Self {
        self.num(time.as_millis())
    }

    /// The row, to be copied by whoever keeps it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn done(&mut self) -> bytes::Bytes {
        // As long as the row: it stays in memory until it is written out, and what a growing list has to spare with it.
        bytes::Bytes::copy_from_slice(&self.0)
    }
}

/// Reads a row. `what` names the row in errors.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

/// What reading returns.
pub(crate) type Decoded<T> = Result<T, StoreError>;

impl<'a> Reader<'a> {
    /// Opens a row and checks its version byte.
    pub(crate) fn new(row: &'a [u8], what: &'static str, version: u8) -> Decoded<Self> {
        let mut reader = Self { rest: row, what };
        if reader.u8()? == version {
            Ok(reader)
        } else {
            Err(reader.corrupt())
        }
    }

    pub(crate) fn corrupt(&self) -> StoreError {
        StoreError::Corrupt {
            account: None,
            what: self.what.to_owned(),
        }
    }

    pub(crate) fn take(&mut self, len: usize) -> Decoded<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or_else(|| self.corrupt())?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        self.take(1)?.first().copied().ok_or_else(|| self.corrupt())
    }

    pub(crate) fn flag(&mut self) -> Decoded<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt()),
        }
    }

    pub(crate) fn num(&mut self) -> Decoded<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err(self.corrupt());
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.corrupt())
    }

    pub(crate) fn num32(&mut self) -> Decoded<u32> {
        u32::try_from(self.num()?).map_err(|_| self.corrupt())
    }

    /// A length or count: never more than what is left, so that no row can ask for memory it does not have.
    pub(crate) fn size(&mut self) -> Decoded<usize> {
        let value = usize::try_from(self.num()?).map_err(|_| self.corrupt())?;
        if value > self.rest.len() {
            return Err(self.corrupt());
        }
        Ok(value)
    }

    pub(crate) fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let len = self.size()?;
        self.take(len)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| self.corrupt())
    }

    pub(crate) fn str(&mut self) -> Decoded<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.corrupt())
    }

    pub(crate) fn text(&mut self) -> Decoded<String> {
        self.str().map(str::to_owned)
    }

    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Decoded<T>) -> Decoded<Option<T>> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let count = self.size()?;
        (0..count).map(|_| read(self)).collect()
    }

    pub(crate) fn time(&mut self) -> Decoded<Timestamp> {
        self.num().map(Timestamp::from_millis)
    }

    pub(crate) fn address(&mut self) -> Decoded<Address> {
        let text = self.str()?;
        Address::parse(text).map_err(|_| self.corrupt())
    }

    pub(crate) fn uuid(&mut self) -> Decoded<EntryUuid> {
        self.array().map(EntryUuid::from_bytes)
    }

    /// Nothing may be left over.
    pub(crate) fn end(&self) -> Decoded<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.corrupt())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(number: u64, text in ".*", list in proptest::collection::vec(any::<u32>(), 0..20)) {
            let row = Writer::new(3)
                .num(number)
                .text(&text)
                .list(list.iter(), |w, n| { w.num(u64::from(*n)); })
                .done();
            let mut reader = Reader::new(&row, "row", 3).expect("version");
            prop_assert_eq!(reader.num().expect("num"), number);
            prop_assert_eq!(reader.text().expect("text"), text);
            prop_assert_eq!(reader.list(Reader::num32).expect("list"), list);
            prop_assert!(reader.end().is_ok());
        }
    }

    #[test]
    fn refuses() {
        assert!(Reader::new(&[2], "row", 1).is_err());
        assert!(Reader::new(&[], "row", 1).is_err());
        let long = [1, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(Reader::new(&long, "row", 1).and_then(|mut r| r.bytes()).is_err());
        let wide = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(Reader::new(&wide, "row", 1).and_then(|mut r| r.num()).is_err());
    }
}
