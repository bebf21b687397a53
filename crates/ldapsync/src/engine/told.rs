//! What the open feed told, looked at once more: a server may take it back without a word.
//!
//! slapd tells of the changes of a transaction (RFC 5805) while it carries it out. Where it fails in the end, its
//! values were told under versions of their own, and no message says that they never came to be. So an entry that was
//! told of is read again soon. As long as the server has an older version than it told, the entry is read again and
//! again, for the transaction may still be under way; after two minutes what is read is true.

use super::Engine;
use model::{EntryUuid, Timestamp};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);
/// The waits double: 2 s, 4 s and so on up to 64 s.
const ATTEMPTS: u8 = 6;
/// Past so many, what is told is believed until the next comparison of everything.
const MOST: usize = 65_536;

/// What a message said of an entry.
#[derive(Debug)]
pub(super) struct Told {
    /// The version that it was to have; none when it was to be gone.
    version: Option<String>,
    attempts: u8,
    pub(super) next: Timestamp,
}

impl Engine {
    /// A message of the open feed: the entry has this version now, or is gone.
    pub(crate) fn note_told(&mut self, uuid: EntryUuid, version: Option<&str>, now: Timestamp) {
        if !self.is_live() {
            return;
        }
        // A version without a server id is Active Directory's, which tells what is committed.
        let of_slapd = version.is_none_or(|version| version.contains('#'));
        let room = self.told.len() < MOST || self.told.contains_key(&uuid);
        if !of_slapd || !room {
            return;
        }
        let told = Told {
            version: version.map(str::to_owned),
            attempts: 0,
            next: now.after(FIRST),
        };
        self.told.insert(uuid, told);
    }

    /// The entry was looked up: it has this version, or is not there.
    pub(crate) fn note_found(&mut self, uuid: EntryUuid, version: Option<&str>, now: Timestamp) {
        let Some(told) = self.told.get_mut(&uuid) else {
            return;
        };
        let came = match (&told.version, version) {
            (Some(told), Some(found)) => found >= told.as_str(),
            (None, None) => true,
            _ => false,
        };
        if !came && told.next > now {
            // Looked at for another reason, before its time.
            return;
        }
        told.attempts = told.attempts.saturating_add(1);
        if came || told.attempts >= ATTEMPTS {
            self.told.remove(&uuid);
        } else {
            told.next = now.after(FIRST.saturating_mul(1 << told.attempts));
        }
    }

    /// When one of them is to be read next.
    pub(super) fn next_told(&self) -> Option<Timestamp> {
        self.told.values().map(|told| told.next).min()
    }

    /// Those whose time has come. They stay until they are read.
    pub(super) fn told_by_now(&self, now: Timestamp) -> impl Iterator<Item = EntryUuid> + '_ {
        let due = self.told.iter().filter(move |(_, told)| told.next <= now);
        due.map(|(uuid, _)| *uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::idle as engine;
    use super::*;

    const ONE: EntryUuid = EntryUuid::from_bytes([1; 16]);
    const OLD: &str = "20260101000000.000000Z#000000#001#000000";
    const NEW: &str = "20260102000000.000000Z#000000#001#000000";

    fn told(version: Option<&str>, now: Timestamp) -> Engine {
        let mut engine = engine();
        engine.note_told(ONE, version, now);
        assert!(engine.told.is_empty(), "not over the open feed");
        assert!(engine.begin_live(now));
        engine.note_told(ONE, version, now);
        engine
    }

    #[test]
    fn what_was_told_is_read_until_it_is_there_or_was_taken_back() {
        let begun = Timestamp::from_millis(1_000_000);
        for (version, before, after) in [
            (Some(NEW), Some(OLD), Some(NEW)),
            (Some(NEW), None, Some(NEW)),
            (None, Some(OLD), None),
        ] {
            let mut engine = told(version, begun);
            assert!(!engine.due(begun).contains(&ONE));
            let mut now = begun;
            for _ in 0..3 {
                // Another look before its time changes nothing.
                engine.note_found(ONE, before, now);
                now = engine.next_told().expect("waits");
                assert!(engine.due(now).contains(&ONE));
                engine.note_found(ONE, before, now);
            }
            engine.note_found(ONE, after, now);
            assert_eq!(engine.next_told(), None);

            let (mut engine, mut now) = (told(version, begun), begun);
            while let Some(next) = engine.next_told() {
                now = next;
                engine.note_found(ONE, before, now);
            }
            assert_eq!(now.since(begun), Duration::from_secs(126));
        }
    }

    #[test]
    fn numbers_of_active_directory_are_believed() {
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!(told(Some("4711"), now).next_told(), None);
    }
}
