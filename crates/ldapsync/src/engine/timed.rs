//! States that end by themselves: an account that expires is looked at when it does, for no message tells of it.

use super::{AUDIT, Engine};
use crate::plan::{Remote, Situation};
use model::{EntryUuid, Timestamp};

impl Engine {
    /// What ends later is seen by the daily comparison first: memory does not grow with the directory.
    pub(crate) fn remembers_until(now: Timestamp) -> Timestamp {
        now.after(AUDIT.saturating_mul(2))
    }

    /// What was written down of an entry before this process began.
    pub(crate) fn remember_end(&mut self, uuid: EntryUuid, end: Timestamp, now: Timestamp) {
        if end <= Self::remembers_until(now) {
            self.timed.insert(uuid, end);
        }
    }

    /// The object was read: what was known of its end is replaced.
    pub(super) fn note_end(&mut self, situation: &Situation, now: Timestamp) {
        self.timed.remove(&situation.uuid);
        if let Remote::Here(remote) = &situation.remote
            && let Some(end) = remote.until
        {
            self.remember_end(situation.uuid, end, now);
        }
    }

    /// The object was compared, and is as it was.
    pub(crate) fn note_equal(&mut self, uuid: EntryUuid, until: Option<Timestamp>, now: Timestamp) {
        self.counts.unchanged += 1;
        self.timed.remove(&uuid);
        if let Some(end) = until {
            self.remember_end(uuid, end, now);
        }
    }

    /// Whether the state of this entry was to end by now.
    pub(crate) fn is_over(&self, uuid: EntryUuid, now: Timestamp) -> bool {
        self.timed.get(&uuid).is_some_and(|end| *end <= now)
    }

    /// Those whose end has come. They stay until they are read again, so that a round that fails forgets nobody.
    pub(super) fn ended_by_now(&self, now: Timestamp) -> impl Iterator<Item = EntryUuid> + '_ {
        let over = self.timed.iter().filter(move |(_, end)| **end <= now);
        over.map(|(uuid, _)| *uuid)
    }

    /// The next end.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.timed.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::idle as engine;
    use super::*;

    #[test]
    fn who_ends_is_due_then_and_stays_due_until_read() {
        let (mut engine, now) = (engine(), Timestamp::from_millis(1_000_000));
        let [soon, late] = [1, 2].map(|number| EntryUuid::from_bytes([number; 16]));
        engine.remember_end(soon, now.after(std::time::Duration::from_secs(60)), now);
        engine.remember_end(late, now.after(AUDIT.saturating_mul(3)), now);
        assert!(engine.due(now).is_empty());
        let then = now.after(std::time::Duration::from_secs(60));
        assert_eq!(engine.next_end(), Some(then), "the late one is not kept");
        for _ in 0..2 {
            assert_eq!(engine.due(then).into_iter().collect::<Vec<_>>(), [soon]);
        }
        assert!(engine.is_over(soon, then) && !engine.is_over(late, then));
    }
}
