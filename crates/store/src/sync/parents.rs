//! What stands above the entries that a connector has linked, by UUID: a branch that gets another name is found again.

use super::change::prefix;
use super::check_name;
use crate::codec::{Reader, Writer};
use crate::commit::{Batch, Class};
use crate::engine::{Space, after_key, after_prefix};
use crate::{Store, StoreError};
use model::EntryUuid;

const VERSION: u8 = 1;

/// An entry with others below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its DN when it was last read.
    pub dn: String,
    /// Its UUID then.
    pub uuid: EntryUuid,
}

/// `dn` is what two forms of one name have in common.
fn key(connector: &str, dn: &[u8]) -> Vec<u8> {
    let mut key = prefix(b'V', connector);
    key.extend_from_slice(dn);
    key
}

fn read(row: &[u8]) -> Result<Parent, StoreError> {
    let mut r = Reader::new(row, "parent of entries", VERSION)?;
    let parent = Parent {
        uuid: EntryUuid::from_bytes(r.array::<16>()?),
        dn: r.text()?,
    };
    r.end()?;
    Ok(parent)
}

impl Store {
    /// The entry that had this name when it was last read. `dn` is the canonical form.
    pub fn parent(&self, connector: &str, dn: &[u8]) -> Result<Option<Parent>, StoreError> {
        let row = self.engine().get(Space::Directory, &key(connector, dn))?;
        row.map(|row| read(&row)).transpose()
    }

    /// Parents after the canonical form `after`, each with its own; at most `limit` and at most 256.
    pub fn list_parents(
        &self,
        connector: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Parent)>, StoreError> {
        let all = prefix(b'V', connector);
        let from = after.map_or_else(|| all.clone(), |dn| after_key(&key(connector, dn)));
        let snapshot = self.engine().snapshot();
        let page = snapshot.page(Space::Directory, &from, &after_prefix(&all), limit.min(256))?;
        let rows = page.rows.iter();
        rows.map(|(key, row)| Ok((key.get(all.len()..).unwrap_or_default().to_vec(), read(row)?)))
            .collect()
    }

    /// Notes parents by the canonical form of their names; `None` forgets. The disk has it later: what a power loss takes
    /// is read again.
    pub async fn note_parents(
        &self,
        connector: &str,
        parents: &[(Vec<u8>, Option<Parent>)],
    ) -> Result<(), StoreError> {
        if parents.is_empty() {
            return Ok(());
        }
        check_name(connector)?;
        let mut batch = Batch::new(Class::Relaxed);
        for (dn, parent) in parents {
            let key = key(connector, dn);
            match parent {
                Some(parent) => {
                    let row = Writer::new(VERSION)
                        .raw(parent.uuid.as_bytes())
                        .text(&parent.dn)
                        .done();
                    batch.put(Space::Directory, key, row);
                }
                None => batch.delete(Space::Directory, key),
            }
        }
        self.commit(batch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ManualClock;
    use std::sync::Arc;

    #[tokio::test]
    async fn parents_are_found_listed_and_forgotten() {
        let clock = Arc::new(ManualClock::new(model::Timestamp::from_millis(1)));
        let store = Store::simulated(clock).expect("a store");
        let parent = |letter: u8| Parent {
            dn: format!("OU={}", char::from(letter)),
            uuid: EntryUuid::from_bytes([letter; 16]),
        };
        let rows = |letters: &[u8]| -> Vec<(Vec<u8>, Option<Parent>)> {
            let row = |letter: &u8| (vec![*letter], Some(parent(*letter)));
            letters.iter().map(row).collect()
        };
        store.note_parents("c", &rows(b"abc")).await.expect("noted");
        store.note_parents("c2", &rows(b"z")).await.expect("noted");
        assert_eq!(store.parent("c", b"b").expect("reads"), Some(parent(b'b')));
        assert_eq!(
            store.parent("c", b"z").expect("reads"),
            None,
            "another connector's"
        );
        let listed = |after: Option<&[u8]>| -> Vec<Vec<u8>> {
            let page = store.list_parents("c", after, 2).expect("reads");
            page.into_iter().map(|(dn, _)| dn).collect()
        };
        assert_eq!(listed(None), [b"a", b"b"]);
        assert_eq!(listed(Some(b"b")), [b"c"]);
        store
            .note_parents("c", &[(b"b".to_vec(), None)])
            .await
            .expect("forgotten");
        assert_eq!(listed(None), [b"a", b"c"]);
    }

    #[test]
    fn damage_never_panics() {
        for row in [
            &b""[..],
            b"\x01",
            b"\x02aaaaaaaaaaaaaaaa\x00",
            b"\x01aaaaaaaaaaaaaaaa\xff",
        ] {
            assert!(read(row).is_err());
        }
    }
}
