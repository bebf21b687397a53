//! The outbox: one durable intent for each object whose directory entry is to be written.
//!
//! An intent says that something is to be written and under which precondition. What is written is planned anew from
//! both sides when it is sent, so that a crash repeats nothing. The values that were sent are kept only to know them
//! again, should the answer never come. No password is among them.

use super::change::{local_of, local_row, prefix};
use super::check_name;
use crate::codec::{Decoded, Reader, Writer};
use crate::commit::Batch;
use crate::engine::{Space, after_key, after_prefix};
use crate::{LocalId, Store, StoreError};
use bytes::Bytes;
use model::{EntryUuid, Timestamp};
use std::collections::BTreeMap;

const VERSION: u8 = 2;
/// The first form, which knows the entry by one digest.
const BY_DIGEST: u8 = 1;

/// Values by field, as the base of an association has them.
pub type FieldValues = BTreeMap<String, Vec<Bytes>>;

/// What kind of write it is, for people and for the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntentKind {
    /// A new entry.
    Create,
    /// Other values of attributes.
    Change,
    /// Another RDN or another parent, and perhaps other values.
    Rename,
    /// Login off.
    Disable,
    /// Who is in a group.
    Members,
    /// The entry goes.
    Delete,
}

/// What must hold in the directory for the write to happen; otherwise it is planned anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precondition {
    /// `entryCSN` or `uSNChanged` as seen.
    pub version: Option<String>,
    /// With `clustered`: the spellings of this server in the host attribute. None of them there means that the
    /// entry is not ours any more, and the intent is dropped.
    pub hosts: Vec<String>,
}

/// A remote write that is about to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The connector.
    pub connector: String,
    /// The object here. One object has at most one intent.
    pub local: LocalId,
    /// The entry; none when it is to be created.
    pub remote: Option<EntryUuid>,
    /// The entry's DN as last seen, or the one to create.
    pub dn: String,
    /// What kind of write.
    pub kind: IntentKind,
    /// Digest of the entry's mapped values after the write: what a look after a crash is compared with.
    pub expected: [u8; 32],
    /// Values that it, or one before it whose end is not known either, brings to the entry.
    pub brings: FieldValues,
    /// Values that they take from it.
    pub takes: FieldValues,
    /// The entry that the object had before, which is gone: only one of our own making may take its place.
    pub former: Option<EntryUuid>,
    /// What must hold.
    pub precondition: Precondition,
    /// How often it was sent.
    pub attempts: u32,
    /// Since when.
    pub since: Timestamp,
    /// Not before.
    pub next: Timestamp,
    /// What the last attempt failed with.
    pub error: Option<String>,
}

fn key(connector: &str, local: LocalId) -> Vec<u8> {
    let mut key = prefix(b'O', connector);
    key.extend_from_slice(&local.to_bytes());
    key
}

/// The index by time.
fn due_key(connector: &str, next: Timestamp, local: LocalId) -> Vec<u8> {
    let mut key = prefix(b'N', connector);
    key.extend_from_slice(&next.as_millis().to_be_bytes());
    key.extend_from_slice(&local.to_bytes());
    key
}

fn write_values(w: &mut Writer, values: &FieldValues) {
    w.list(values.iter(), |w, (field, values)| {
        w.text(field).list(values.iter(), |w, value| {
            w.bytes(value);
        });
    });
}

fn read_values(r: &mut Reader<'_>) -> Decoded<FieldValues> {
    let fields = r.list(|r| Ok((r.text()?, r.list(|r| r.bytes().map(Bytes::copy_from_slice))?)))?;
    Ok(fields.into_iter().collect())
}

fn write(intent: &Intent) -> Bytes {
    let mut row = Writer::new(VERSION);
    row.option(intent.remote, |w, uuid| {
        w.raw(uuid.as_bytes());
    })
    .text(&intent.dn)
    .u8(match intent.kind {
        IntentKind::Create => 0,
        IntentKind::Change => 1,
        IntentKind::Rename => 2,
        IntentKind::Disable => 3,
        IntentKind::Members => 4,
        IntentKind::Delete => 5,
    })
    .raw(&intent.expected)
    .option(intent.precondition.version.as_deref(), |w, version| {
        w.text(version);
    })
    .list(intent.precondition.hosts.iter(), |w, host| {
        w.text(host);
    })
    .num(u64::from(intent.attempts))
    .time(intent.since)
    .time(intent.next)
    .option(intent.error.as_deref(), |w, error| {
        w.text(error);
    })
    .option(intent.former, |w, uuid| {
        w.raw(uuid.as_bytes());
    });
    write_values(&mut row, &intent.brings);
    write_values(&mut row, &intent.takes);
    row.done()
}

fn read(connector: &str, local: LocalId, row: &[u8]) -> Decoded<Intent> {
    let version = match row.first() {
        Some(&BY_DIGEST) => BY_DIGEST,
        _ => VERSION,
    };
    let mut r = Reader::new(row, "intent", version)?;
    let mut intent = Intent {
        connector: connector.to_owned(),
        local,
        remote: r.option(Reader::uuid)?,
        dn: r.text()?,
        kind: match r.u8()? {
            0 => IntentKind::Create,
            1 => IntentKind::Change,
            2 => IntentKind::Rename,
            3 => IntentKind::Disable,
            4 => IntentKind::Members,
            5 => IntentKind::Delete,
            _ => return Err(r.corrupt()),
        },
        expected: r.array()?,
        brings: FieldValues::new(),
        takes: FieldValues::new(),
        former: None,
        precondition: Precondition {
            version: r.option(Reader::text)?,
            hosts: r.list(Reader::text)?,
        },
        attempts: r.num32()?,
        since: r.time()?,
        next: r.time()?,
        error: r.option(Reader::text)?,
    };
    if version == VERSION {
        intent.former = r.option(Reader::uuid)?;
        intent.brings = read_values(&mut r)?;
        intent.takes = read_values(&mut r)?;
    }
    r.end()?;
    Ok(intent)
}

impl Store {
    /// The intent of an object, if any.
    pub fn intent(&self, connector: &str, local: LocalId) -> Result<Option<Intent>, StoreError> {
        let row = self.engine().get(Space::Directory, &key(connector, local))?;
        row.map(|row| read(connector, local, &row)).transpose()
    }

    /// Intents by object, after `after`; at most `limit` and at most 256.
    pub fn list_intents(
        &self,
        connector: &str,
        after: Option<LocalId>,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        let prefix = prefix(b'O', connector);
        let from = after.map_or_else(|| prefix.clone(), |local| after_key(&key(connector, local)));
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        page.rows
            .iter()
            .map(|(key, row)| {
                read(
                    connector,
                    local_of(key.get(prefix.len()..).unwrap_or_default())?,
                    row,
                )
            })
            .collect()
    }

    /// Intents whose time has come, the longest due first; at most `limit` and at most 256.
    pub fn due_intents(
        &self,
        connector: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        let prefix = prefix(b'N', connector);
        let mut end = prefix.clone();
        end.extend_from_slice(&now.as_millis().saturating_add(1).to_be_bytes());
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &prefix, &end, limit.min(256))?;
        let mut due = Vec::with_capacity(page.rows.len());
        for (_, row) in &page.rows {
            let local = local_of(row)?;
            if let Some(row) = snapshot.get(Space::Directory, &key(connector, local))? {
                due.push(read(connector, local, &row)?);
            }
        }
        Ok(due)
    }

    /// When the next intent is due; none when the outbox is empty.
    pub fn next_intent(&self, connector: &str) -> Result<Option<Timestamp>, StoreError> {
        let prefix = prefix(b'N', connector);
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &prefix, &after_prefix(&prefix), 1)?;
        let time = |key: &[u8]| {
            let bytes = key.get(prefix.len()..prefix.len() + 8)?;
            Some(Timestamp::from_millis(u64::from_be_bytes(bytes.try_into().ok()?)))
        };
        Ok(page.rows.first().and_then(|(key, _)| time(key)))
    }

    pub(super) fn stage_intent(&self, batch: &mut Batch, intent: &Intent) -> Result<(), StoreError> {
        check_name(&intent.connector)?;
        self.stage_intent_done(batch, &intent.connector, intent.local)?;
        let due = due_key(&intent.connector, intent.next, intent.local);
        batch.put(
            Space::Directory,
            key(&intent.connector, intent.local),
            write(intent),
        );
        batch.put(Space::Directory, due, local_row(intent.local));
        Ok(())
    }

    pub(super) fn stage_intent_done(
        &self,
        batch: &mut Batch,
        connector: &str,
        local: LocalId,
    ) -> Result<(), StoreError> {
        let key = key(connector, local);
        if let Some(row) = self.engine().get(Space::Directory, &key)? {
            let old = read(connector, local, &row)?;
            // Whoever was faster has moved the index; its row is not to be left behind.
            batch.expect(
                Space::Directory,
                key.clone(),
                crate::commit::Expect::Equals(row),
                StoreError::Conflict,
            );
            batch.delete(Space::Directory, due_key(connector, old.next, local));
            batch.delete(Space::Directory, key);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use model::AccountId;
    use proptest::prelude::*;

    pub(in crate::sync) fn intent(number: u64, next: u64) -> Intent {
        Intent {
            connector: "c".into(),
            local: LocalId::Account(AccountId::new(number).expect("not zero")),
            remote: Some(EntryUuid::from_bytes([7; 16])),
            dn: "uid=a,dc=test".into(),
            kind: IntentKind::Change,
            expected: [3; 32],
            brings: FieldValues::from([("aliases".into(), vec![Bytes::from_static(b"a@x.test")])]),
            takes: FieldValues::from([("members".into(), vec![Bytes::new(), Bytes::from_static(b"b")])]),
            former: Some(EntryUuid::from_bytes([8; 16])),
            precondition: Precondition {
                version: Some("csn".into()),
                hosts: vec!["a.test".into()],
            },
            attempts: 2,
            since: Timestamp::from_millis(1),
            next: Timestamp::from_millis(next),
            error: Some("busy".into()),
        }
    }

    #[test]
    fn rows_of_the_first_form_are_read() {
        // What follows the error in the second form: the former entry and two lists of nothing.
        let plain = Intent {
            brings: FieldValues::new(),
            takes: FieldValues::new(),
            former: None,
            ..intent(1, 5)
        };
        let mut row = write(&plain).to_vec();
        assert_eq!(row.split_off(row.len() - 3), [0, 0, 0]);
        row[0] = BY_DIGEST;
        assert_eq!(read("c", plain.local, &row).expect("reads"), plain);
        row.push(0);
        assert!(read("c", plain.local, &row).is_err(), "longer than it says");
    }

    proptest! {
        #[test]
        fn rows_round_trip_and_damage_never_panics(kind in 0u8..6, at in 0usize..140, x: u8) {
            let kinds = [
                IntentKind::Create, IntentKind::Change, IntentKind::Rename,
                IntentKind::Disable, IntentKind::Members, IntentKind::Delete,
            ];
            let intent = Intent { kind: kinds[usize::from(kind)], ..intent(1, 5) };
            let mut row = write(&intent).to_vec();
            prop_assert_eq!(&read("c", intent.local, &row).expect("reads"), &intent);
            if let Some(byte) = row.get_mut(at) {
                *byte = x;
            }
            let _ = read("c", intent.local, &row);
        }
    }
}
