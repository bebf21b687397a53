//! The conflict journal: values that lost, so that nothing is lost in silence.

use super::change::prefix;
use super::check_name;
use crate::codec::{Decoded, Reader, Writer};
use crate::commit::{Batch, Class};
use crate::engine::{Space, after_key, after_prefix};
use crate::{LocalId, Store, StoreError};
use bytes::Bytes;
use model::{EntryUuid, Timestamp};
use std::fmt;
use std::time::Duration;

const VERSION: u8 = 1;

/// Which side's value was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loser {
    /// The value that was here.
    Local,
    /// The value that was in the directory.
    Remote,
    /// Both: they went back to the base.
    Both,
}

/// A row's name: what `homing sync restore` is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConflictId {
    /// When it was decided.
    pub time: Timestamp,
    /// The entry.
    pub remote: EntryUuid,
    /// The field.
    pub field: String,
}

impl ConflictId {
    /// Reads what `Display` wrote; none when it is no such name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let id = Self {
            time: Timestamp::from_millis(parts.next()?.parse().ok()?),
            remote: EntryUuid::parse(parts.next()?).ok()?,
            field: parts.next()?.to_owned(),
        };
        check_name(&id.field).is_ok().then_some(id)
    }
}

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.time.as_millis(), self.remote, self.field)
    }
}

/// One decision that discarded a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The connector.
    pub connector: String,
    /// Which.
    pub id: ConflictId,
    /// The object here; none: the one that is changed with this row.
    pub local: Option<LocalId>,
    /// What people know the object by.
    pub subject: String,
    /// The rule that decided.
    pub rule: String,
    /// Who lost.
    pub loser: Loser,
    /// The last common values, as `LinkData::base` has them.
    pub base: Vec<Bytes>,
    /// The values here.
    pub local_values: Vec<Bytes>,
    /// The values in the directory.
    pub remote_values: Vec<Bytes>,
}

/// The newest come first: the time in the key counts down.
fn key(connector: &str, id: &ConflictId) -> Vec<u8> {
    let mut key = from_time(connector, id.time);
    key.extend_from_slice(id.remote.as_bytes());
    key.extend_from_slice(id.field.as_bytes());
    key
}

fn from_time(connector: &str, time: Timestamp) -> Vec<u8> {
    let mut key = prefix(b'C', connector);
    key.extend_from_slice(&(u64::MAX - time.as_millis()).to_be_bytes());
    key
}

fn id_of(key: &[u8], prefix: usize) -> Option<ConflictId> {
    let (time, rest) = key.get(prefix..)?.split_at_checked(8)?;
    let (uuid, field) = rest.split_at_checked(16)?;
    Some(ConflictId {
        time: Timestamp::from_millis(u64::MAX - u64::from_be_bytes(time.try_into().ok()?)),
        remote: EntryUuid::from_bytes(uuid.try_into().ok()?),
        field: std::str::from_utf8(field).ok()?.to_owned(),
    })
}

/// A plan that is made again after a crash discards the same values again; they are kept once.
fn mark(conflict: &Conflict) -> Vec<u8> {
    let mut hash = blake3::Hasher::new();
    for values in [&conflict.base, &conflict.local_values, &conflict.remote_values] {
        hash.update(&(values.len() as u64).to_be_bytes());
        for value in values {
            hash.update(&(value.len() as u64).to_be_bytes());
            hash.update(value);
        }
    }
    let mut key = prefix(b'K', &conflict.connector);
    key.extend_from_slice(conflict.id.remote.as_bytes());
    key.extend_from_slice(conflict.id.field.as_bytes());
    key.push(0);
    key.extend_from_slice(hash.finalize().as_bytes().get(..16).unwrap_or_default());
    key
}

fn write(conflict: &Conflict, local: Option<LocalId>) -> Bytes {
    let values = |w: &mut Writer, values: &Vec<Bytes>| {
        w.list(values.iter(), |w, value| {
            w.bytes(value);
        });
    };
    let mut w = Writer::new(VERSION);
    w.option(local, |w, local| {
        w.raw(&local.to_bytes());
    })
    .text(&conflict.subject)
    .text(&conflict.rule)
    .u8(match conflict.loser {
        Loser::Local => 0,
        Loser::Remote => 1,
        Loser::Both => 2,
    });
    values(&mut w, &conflict.base);
    values(&mut w, &conflict.local_values);
    values(&mut w, &conflict.remote_values);
    w.done()
}

fn read(connector: &str, id: ConflictId, row: &[u8]) -> Decoded<Conflict> {
    let mut r = Reader::new(row, "conflict", VERSION)?;
    let owned = |r: &mut Reader<'_>| r.bytes().map(Bytes::copy_from_slice);
    let conflict = Conflict {
        connector: connector.to_owned(),
        id,
        local: r.option(|r| {
            let bytes = r.take(9)?;
            LocalId::from_bytes(bytes).ok_or_else(|| r.corrupt())
        })?,
        subject: r.text()?,
        rule: r.text()?,
        loser: match r.u8()? {
            0 => Loser::Local,
            1 => Loser::Remote,
            2 => Loser::Both,
            _ => return Err(r.corrupt()),
        },
        base: r.list(owned)?,
        local_values: r.list(owned)?,
        remote_values: r.list(owned)?,
    };
    r.end()?;
    Ok(conflict)
}

impl Store {
    /// One conflict.
    pub fn conflict(&self, connector: &str, id: &ConflictId) -> Result<Option<Conflict>, StoreError> {
        let row = self.engine().get(Space::Directory, &key(connector, id))?;
        row.map(|row| read(connector, id.clone(), &row)).transpose()
    }

    /// Conflicts of a connector, the newest first, after (older than) `after`; at most `limit` and at most 256.
    pub fn list_conflicts(
        &self,
        connector: &str,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<Vec<Conflict>, StoreError> {
        let prefix = prefix(b'C', connector);
        let from = after.map_or_else(|| prefix.clone(), |id| after_key(&key(connector, id)));
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&prefix), limit.min(256))?;
        page.rows
            .iter()
            .map(|(key, row)| {
                let id = id_of(key, prefix.len()).ok_or_else(|| StoreError::Corrupt {
                    account: None,
                    what: "conflict key".into(),
                })?;
                read(connector, id, row)
            })
            .collect()
    }

    /// Forgets conflicts from before `before`, at most 256 a call; returns how many.
    pub async fn prune_conflicts(&self, connector: &str, before: Timestamp) -> Result<usize, StoreError> {
        let prefix = prefix(b'C', connector);
        let from = from_time(connector, before);
        let rows = {
            let snapshot = self.engine().snapshot();
            snapshot
                .page(Space::Directory, &from, &after_prefix(&prefix), 256)?
                .rows
        };
        let mut batch = Batch::new(Class::Durable);
        for (key, row) in &rows {
            // A row that does not read goes as well; what is left is its mark, a few bytes.
            if let Some(conflict) = id_of(key, prefix.len()).and_then(|id| read(connector, id, row).ok()) {
                batch.delete(Space::Directory, mark(&conflict));
            }
            batch.delete(Space::Directory, key.to_vec());
        }
        if !rows.is_empty() {
            self.commit(batch).await?;
        }
        Ok(rows.len())
    }

    pub(super) fn stage_conflict(
        &self,
        batch: &mut Batch,
        own: Option<LocalId>,
        conflict: &Conflict,
    ) -> Result<(), StoreError> {
        check_name(&conflict.connector)?;
        check_name(&conflict.id.field)?;
        let mark = mark(conflict);
        if self.engine().get(Space::Directory, &mark)?.is_some() {
            return Ok(());
        }
        // Two decisions about one field within a millisecond, or after the clock was set back: the earlier one stays.
        let mut id = conflict.id.clone();
        let mut place = key(&conflict.connector, &id);
        while self.engine().get(Space::Directory, &place)?.is_some() {
            id.time = id.time.after(Duration::from_millis(1));
            place = key(&conflict.connector, &id);
        }
        batch.put(Space::Directory, mark, Bytes::from_static(&[1]));
        batch.put(Space::Directory, place, write(conflict, conflict.local.or(own)));
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::sync) fn conflict(time: u64, value: &'static str) -> Conflict {
        Conflict {
            connector: "c".into(),
            id: ConflictId {
                time: Timestamp::from_millis(time),
                remote: EntryUuid::from_bytes([9; 16]),
                field: "display_name".into(),
            },
            local: None,
            subject: "a@example.test".into(),
            rule: "ldap-wins".into(),
            loser: Loser::Local,
            base: vec![Bytes::from_static(b"A")],
            local_values: vec![Bytes::from_static(value.as_bytes())],
            remote_values: vec![],
        }
    }

    #[test]
    fn names_are_read_as_written() {
        let id = conflict(77, "B").id;
        assert_eq!(ConflictId::parse(&id.to_string()), Some(id));
        for wrong in ["", "7", "7.x.f", "x.00000000-0000-0000-0000-000000000000.f"] {
            assert_eq!(ConflictId::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn rows_round_trip_and_damage_never_panics(at in 0usize..60, x: u8) {
            let conflict = conflict(5, "B");
            let mut row = write(&conflict, None).to_vec();
            prop_assert_eq!(&read("c", conflict.id.clone(), &row).expect("reads"), &conflict);
            if let Some(byte) = row.get_mut(at) {
                *byte = x;
            }
            let _ = read("c", conflict.id, &row);
        }
    }
}
