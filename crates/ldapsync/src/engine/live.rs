//! Between rounds: a feed that stays open, and rounds of their own for what comes over it.
//!
//! What the feed shows is believed: the search goes on at the server that was asked when it began. What is looked up
//! beside it may be looked up at another one, so that one is asked how far it has come. Everything else is as in any
//! round: accounts first, absences verified, groups last, the cookie after it all.

use super::{Effect, Engine, FeedState, Phase, Round, Stage, Trouble, Wake};
use directory::feed::{FeedError, Fingerprint};
use model::{EntryUuid, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often a server that says less of itself than what was seen is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// The longest time between two looks at what is due while nothing comes over the feed.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

impl Engine {
    /// A round for what comes over the open feed. False when none can begin now.
    pub(crate) fn begin_live(&mut self, now: Timestamp) -> bool {
        let (Phase::Idle { .. }, Some(server)) = (&self.phase, self.checkpoint.server) else {
            return false;
        };
        let due = self.due(now);
        let mut round = Round::new(server, false, false, due);
        round.live = true;
        self.phase = Phase::InRound(Box::new(round));
        true
    }

    /// The timer fired while the feed is open: only what is due is looked at.
    pub(super) fn wake_beside_feed(&mut self, now: Timestamp) -> Vec<Effect> {
        if !self.begin_live(now) {
            return Vec::new();
        }
        if let Phase::InRound(round) = &mut self.phase {
            round.stage = Stage::Streamed;
        }
        self.next_stage(now)
    }

    /// The server that answers look-ups has said how far it has come. One that is behind what the feed has told does
    /// not have what was made since, and still has what was deleted.
    pub(super) fn judged(&mut self, answer: Result<Fingerprint, FeedError>, now: Timestamp) -> Vec<Effect> {
        let Phase::InRound(round) = &self.phase else {
            return Vec::new();
        };
        if round.stage != Stage::Judging {
            return Vec::new();
        }
        let server = match answer {
            Ok(server) => server,
            Err(error) => return self.fail(error.into(), now),
        };
        // An entry's own version may be newer than what the server reports as complete; the cookie never is. What was
        // written since is asked object by object, where it is looked up (`Input::NotYet`).
        let cookie = round.cookie.as_ref().or(self.checkpoint.cookie.as_ref());
        let behind = cookie.is_some_and(|cookie| !server.has_caught_up(cookie));
        #[cfg(test)]
        let (behind, _) = crate::broken::believe_lag(behind, None);
        match (behind, round.cookie.is_some()) {
            (false, _) => self.next_stage(now),
            // What the feed has just told is in no link yet, so nothing that is looked up proves that it has that.
            (true, true) => self.fail(Trouble::Lagging, now),
            (true, false) => vec![Effect::Prove],
        }
    }

    /// Whether a round beside the feed can begin: nothing is under way, and the last one ended well.
    pub(crate) fn may_begin(&self) -> bool {
        // The first round of a process asks the directory, and looks at what the one before left behind.
        let known = self.checkpoint.server.is_some() && self.feed != FeedState::None;
        matches!(self.phase, Phase::Idle { .. }) && known && self.trouble.is_none()
    }

    /// The next round compares everything.
    pub(crate) fn compare_all(&mut self) {
        self.log_lost = true;
    }

    /// Whether the last round ended well.
    pub(crate) fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    /// Whether the server says less of itself than it was shown to have.
    pub(crate) const fn is_forgetful(&self) -> bool {
        self.forgetful.is_some()
    }

    /// Whether the object is in quarantine.
    pub(crate) fn is_aside(&self, uuid: EntryUuid) -> bool {
        self.aside.contains_key(&uuid)
    }

    /// How many entries' objects are in quarantine.
    pub(crate) fn set_aside_now(&self) -> usize {
        self.aside.len()
    }

    /// Whether nothing more comes of this object in this round, or in the one that just ended. After a failure nobody
    /// knows.
    pub(crate) fn is_done_with(&self, uuid: EntryUuid) -> bool {
        match &self.phase {
            Phase::InRound(round) => !round.second.contains(&uuid) && !round.applying.contains_key(&uuid),
            _ => self.is_well(),
        }
    }

    /// Whether this round was told of the entry: then it is not missing.
    pub(crate) fn has_named(&self, uuid: EntryUuid) -> bool {
        matches!(&self.phase, Phase::InRound(round) if round.seen.contains(uuid))
    }

    /// Whether this round compares everything.
    pub(crate) fn compares_all(&self) -> bool {
        matches!(&self.phase, Phase::InRound(round) if round.full)
    }

    /// Whether this round is about changes as they happen.
    pub(crate) fn is_live(&self) -> bool {
        matches!(&self.phase, Phase::InRound(round) if round.live)
    }

    /// Whether the timer's round needs no look at the feed.
    pub(super) fn needs_no_poll(&self, wake: Wake, now: Timestamp) -> bool {
        wake == Wake::Timer
            && self.feed == FeedState::Open
            && self.forgetful.is_none()
            && !self.checkpoint.audit_is_due(now)
    }

    /// The open feed ended between two rounds. What it brought is applied; the rest comes by the cookie.
    pub(super) fn lost(&mut self, error: FeedError, now: Timestamp) {
        if !matches!(self.phase, Phase::Idle { .. }) {
            return;
        }
        self.log_lost |= error == FeedError::RefreshRequired;
        self.feed = FeedState::None;
        self.trouble = Some(Trouble::Feed(error));
        self.counts.failed_rounds += 1;
        self.phase = Phase::Idle {
            next: now.after(self.backoff.next()),
        };
    }

    /// Objects that no message names and whose time has come: quarantined ones, and what a round that failed owes.
    pub(super) fn due(&self, now: Timestamp) -> BTreeSet<EntryUuid> {
        let due = self.aside.iter().filter(|(_, row)| row.is_due(now));
        let due = due.map(|(uuid, _)| *uuid).chain(self.ended_by_now(now));
        let due = due.chain(self.told_by_now(now)).chain(self.awaited_by_now(now));
        due.chain(self.owed.iter().copied()).collect()
    }

    /// When to wake after a round that ended well.
    pub(super) fn after_a_round(&self, now: Timestamp) -> Timestamp {
        // What was due and failed again within this very moment waits a second.
        let not_before_now = |next: Timestamp| match next > now {
            true => next,
            false => now.after(Duration::from_secs(1)),
        };
        if self.feed != FeedState::Open {
            let next = now.after(self.settings.polling_interval);
            let again = self.next_end().into_iter().chain(self.next_awaited()).min();
            return again.map_or(next, |again| not_before_now(again).min(next));
        }
        let waiting = self.aside.values().filter(|row| !row.is_held());
        let waiting = waiting.chain(self.strangers.values());
        let again = waiting.map(|row| row.next).chain(self.next_end());
        let again = again.chain(self.next_told()).chain(self.next_awaited()).min();
        let audit = self.checkpoint.next_audit().unwrap_or(now);
        let (next, longest) = match self.forgetful {
            None => (again.map_or(audit, |again| again.min(audit)), LONGEST_SLEEP),
            // It compares nothing in full until it has caught up.
            Some(_) => (again.unwrap_or(now.after(ASK_AGAIN)), ASK_AGAIN),
        };
        not_before_now(next).min(now.after(longest))
    }
}
