//! Body ids and the message row.

use super::types::Message;
use crate::StoreError;
use crate::codec::{Decoded, Reader, Writer};
use crate::structure::{Parsed, rows};
use bytes::Bytes;
use model::{AccountId, Timestamp, Uid};
use std::fmt::Write as _;
use std::sync::Arc;

const VERSION: u8 = 1;

/// A body's id: milliseconds, then randomness, so that new bodies are neighbours and none needs a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BodyId(pub(crate) [u8; 16]);

impl BodyId {
    pub(crate) fn new(now: Timestamp) -> Result<Self, StoreError> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::Engine(error.to_string()))?;
        let time = now.as_millis().to_be_bytes();
        // 48 bits of milliseconds last for 8,900 years.
        bytes
            .iter_mut()
            .zip(time.iter().skip(2))
            .for_each(|(to, from)| *to = *from);
        Ok(Self(bytes))
    }

    fn text(self) -> String {
        self.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// A message on its way into a mailbox: everything but its place.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) body: BodyId,
    pub(crate) size: u32,
    pub(crate) row: Bytes,
}

impl NewMessage {
    /// Parses and digests the message: to be done before any lock is taken.
    pub(crate) fn prepare(message: &[u8], date: Timestamp, now: Timestamp) -> Result<Self, StoreError> {
        let size = u32::try_from(message.len()).map_err(|_| StoreError::Limit("octets in a message"))?;
        let body = BodyId::new(now)?;
        let digest = blake3::hash(message);
        let parsed = crate::structure::parse(message);
        let row = write(body, size, date, digest.as_bytes(), &parsed);
        Ok(Self { body, size, row })
    }
}

fn write(body: BodyId, size: u32, date: Timestamp, digest: &[u8; 32], parsed: &Parsed) -> Bytes {
    let mut w = Writer::new(VERSION);
    w.raw(&body.0)
        .num(u64::from(size))
        .time(date)
        .raw(digest)
        .num(u64::from(parsed.header_len));
    rows::write_envelope(&mut w, &parsed.envelope);
    rows::write_structure(&mut w, &parsed.body);
    w.done()
}

/// Decodes a message row.
pub(crate) fn read(account: AccountId, uid: Uid, row: &[u8]) -> Decoded<Message> {
    read_row(uid, row).map_err(|error| error.of(account))
}

fn read_row(uid: Uid, row: &[u8]) -> Decoded<Message> {
    let mut r = Reader::new(row, "message", VERSION)?;
    let body = BodyId(r.array()?);
    let message = Message {
        uid,
        body,
        email_id: body.text(),
        size: u64::from(r.num32()?),
        internal_date: r.time()?,
        digest: r.array()?,
        header_len: r.num32()?,
        envelope: Arc::new(rows::read_envelope(&mut r)?),
        structure: Arc::new(rows::read_structure(&mut r)?),
    };
    r.end()?;
    Ok(message)
}

/// Only the body's id, for references.
pub(crate) fn body_of(account: AccountId, row: &[u8]) -> Decoded<BodyId> {
    let read = || Ok(BodyId(Reader::new(row, "message", VERSION)?.array()?));
    read().map_err(|error: StoreError| error.of(account))
}
