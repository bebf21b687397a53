//! Objects whose last write the server that is read has not got yet: nothing is concluded of them until it has.
//!
//! Writes may go to another server than the one whose feed is open. Until that has them, what was just made is not there,
//! and what was just changed still is as it was. The feed tells of the write in the end, but not of what changed here
//! meanwhile; so such an object stays due.

use super::{Effect, Engine, Phase, Trouble, is_void};
use model::{EntryUuid, Timestamp};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);
/// The waits double up to this.
const LAST: Duration = Duration::from_secs(64);
/// Past so many, the server is behind as a whole.
const MOST: usize = 65_536;

/// When an object is looked at again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited {
    next: Timestamp,
    wait: Duration,
}

impl Engine {
    /// What was read of an object is older than what was written to it.
    pub(super) fn not_yet(&mut self, uuid: EntryUuid, now: Timestamp) -> Vec<Effect> {
        if !matches!(self.phase, Phase::InRound(_)) {
            return Vec::new();
        }
        if self.awaited.len() >= MOST && !self.awaited.contains_key(&uuid) {
            return self.fail(Trouble::Lagging, now);
        }
        let known = self.awaited.get(&uuid);
        let wait = known.map_or(FIRST, |known| known.wait.saturating_mul(2).min(LAST));
        let next = now.after(wait);
        self.awaited.insert(uuid, Awaited { next, wait });
        // Whatever else it is due for waits with it.
        if let Some(told) = self.told.get_mut(&uuid) {
            told.next = told.next.max(next);
        }
        if let Some(row) = self.aside.get_mut(&uuid) {
            row.next = row.next.max(next);
        }
        self.finished(uuid, now)
    }

    /// What was read of it is as new as what is known.
    pub(super) fn no_longer_awaited(&mut self, uuid: EntryUuid) {
        self.awaited.remove(&uuid);
    }

    /// Whether anything is still to be looked at that no message and no row of the journal would name again.
    pub(crate) fn awaits(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// When one of them is looked at next.
    pub(super) fn next_awaited(&self) -> Option<Timestamp> {
        self.awaited.values().map(|awaited| awaited.next).min()
    }

    /// Those whose time has come. They stay until they are read.
    pub(super) fn awaited_by_now(&self, now: Timestamp) -> impl Iterator<Item = EntryUuid> + '_ {
        let due = self
            .awaited
            .iter()
            .filter(move |(_, awaited)| awaited.next <= now);
        due.map(|(uuid, _)| *uuid)
    }

    /// Whether a version is of a past that is no more: the directory was set back, and is believed all the same.
    pub(crate) fn is_past(&self, version: &str) -> bool {
        let now = match &self.phase {
            Phase::InRound(round) => round.void.as_slice(),
            _ => &[],
        };
        is_void(&self.checkpoint.void, version) || is_void(now, version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Input;
    use super::super::tests::idle as engine;
    use super::*;

    const ONE: EntryUuid = EntryUuid::from_bytes([1; 16]);

    #[test]
    fn what_is_not_there_yet_stays_due_until_it_is_read() {
        let mut engine = engine();
        let mut now = Timestamp::from_millis(1_000_000);
        assert!(
            engine.not_yet(ONE, now).is_empty() && !engine.awaits(),
            "no round"
        );
        for wait in [2, 4, 8, 16, 32, 64, 64] {
            assert!(engine.begin_live(now));
            engine.not_yet(ONE, now);
            assert!(engine.due(now).is_empty() && engine.awaits());
            let next = engine.next_awaited().expect("waits");
            assert_eq!(next.since(now), Duration::from_secs(wait));
            now = next;
            assert!(engine.due(now).contains(&ONE));
            engine.step(Input::Committed { linked: 1 }, now);
            assert!(
                engine.due(now).contains(&ONE),
                "the end of a round forgets nobody"
            );
        }
        engine.no_longer_awaited(ONE);
        assert!(engine.due(now).is_empty() && !engine.awaits());
    }
}
