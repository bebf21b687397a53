//! Objects here that no entry is linked to: each gets an entry, joins one, or waits.

use super::aside::Aside;
use super::examine::MOST_ASIDE;
use super::{Effect, Engine, Outcome, Phase, Stage, Trouble};
use crate::plan::{Birth, LocalId, Newcomer, Reason, plan_newcomer};
use directory::config::Direction;
use directory::feed::FeedError;
use model::{EntryUuid, Timestamp, Unavailable};
use std::collections::BTreeSet;

/// Newcomers that are looked at together.
const PORTION: usize = 256;

impl Engine {
    /// Whether the directory is written.
    pub(crate) fn pushes(&self) -> bool {
        self.settings.policy.direction != Direction::LdapToLocal
    }

    /// Asks for every object without an entry, when everything is compared.
    pub(super) fn list_newcomers(&mut self, now: Timestamp) -> Vec<Effect> {
        let full = matches!(&self.phase, Phase::InRound(round) if round.full);
        if full && self.pushes() {
            return vec![Effect::ListNewcomers];
        }
        self.next_stage(now)
    }

    pub(super) fn newcomers(&mut self, found: Vec<LocalId>, now: Timestamp) -> Vec<Effect> {
        if let Phase::InRound(round) = &mut self.phase {
            round.newcomers.extend(found);
        }
        self.next_stage(now)
    }

    /// The next few, all of one kind: groups come when every account has its entry.
    pub(super) fn next_newcomers(&mut self, now: Timestamp) -> Vec<Effect> {
        let due: BTreeSet<LocalId> = self
            .strangers
            .iter()
            .filter(|(_, row)| row.is_due(now))
            .map(|(local, _)| *local)
            .collect();
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        if round.stage == Stage::Newcomers && !std::mem::replace(&mut round.strangers_taken, true) {
            round.newcomers.extend(due);
        }
        let of_accounts = |local: &&LocalId| matches!(local, LocalId::Account(_));
        let first = round.newcomers.first().is_some_and(|local| of_accounts(&local));
        let portion: Vec<LocalId> = round
            .newcomers
            .iter()
            .take_while(|local| of_accounts(local) == first)
            .take(PORTION)
            .copied()
            .collect();
        if portion.is_empty() {
            return self.next_stage(now);
        }
        for local in &portion {
            round.newcomers.remove(local);
        }
        round.pending_newcomers.extend(&portion);
        vec![Effect::LookAt(portion)]
    }

    /// A newcomer was read, with the entries that have its addresses.
    pub(super) fn newcomer(&mut self, newcomer: &Newcomer, now: Timestamp) -> Vec<Effect> {
        let local = newcomer.local.id;
        match plan_newcomer(newcomer, &self.settings.policy) {
            Birth::Leave => self.no_newcomer(local, now),
            Birth::Join(uuid) => {
                if let Phase::InRound(round) = &mut self.phase {
                    round.joining.insert(uuid);
                    round.joined.entry(uuid).or_default().push(local);
                }
                self.newcomer_done(local, now)
            }
            Birth::Create(creation) => vec![Effect::Create(Box::new(creation))],
            Birth::SetAside(reason) => {
                // From now on its row says that it is to be looked at.
                let mut effects = self.stranger_aside(local, &reason, now);
                let aside = |effect: &Effect| matches!(effect, Effect::SetStrangerAside(..));
                if let Some(at) = effects.iter().position(aside) {
                    effects.insert(at + 1, Effect::EndIntent(local));
                }
                effects
            }
        }
    }

    pub(super) fn no_newcomer(&mut self, local: LocalId, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.settled_stranger(local);
        effects.extend(self.newcomer_done(local, now));
        effects
    }

    /// The entry that these were to join is linked.
    pub(super) fn have_joined(&mut self, uuid: EntryUuid) -> Vec<Effect> {
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        let joined = round.joined.remove(&uuid).unwrap_or_default();
        joined
            .into_iter()
            .flat_map(|local| self.settled_stranger(local))
            .collect()
    }

    /// The same entry was looked at, and nothing became of it. Where it waits for something, so do they: once it is gone,
    /// nothing else would say that they have none.
    pub(super) fn was_looked_at(
        &mut self,
        uuid: EntryUuid,
        locals: Vec<LocalId>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for local in locals {
            let room = self.strangers.len() < MOST_ASIDE || self.strangers.contains_key(&local);
            if !self.aside.contains_key(&uuid) || !room {
                effects.extend(self.settled_stranger(local));
                continue;
            }
            let reason = Reason::EntryWaits { entry: uuid };
            let known = self.strangers.get(&local);
            let row = Aside::again(known, reason.to_string(), reason.first_retry(), now);
            self.strangers.insert(local, row.clone());
            effects.extend([Effect::SetStrangerAside(local, row), Effect::EndIntent(local)]);
        }
        effects
    }

    /// No entry is made for it: it joined one, or needs none.
    pub(super) fn settled_stranger(&mut self, local: LocalId) -> Vec<Effect> {
        let mut effects = self.release_stranger(local);
        effects.push(Effect::EndIntent(local));
        effects
    }

    /// The answer to [`Effect::Create`].
    pub(super) fn created(&mut self, local: LocalId, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        match outcome {
            // The row of a list that waits for members is that of its entry.
            Outcome::Done | Outcome::Waits(_) => {
                self.counts.created_there += 1;
                self.last_change = Some(now);
                let mut effects = self.release_stranger(local);
                effects.extend(self.newcomer_done(local, now));
                effects
            }
            Outcome::Refused(message) => self.stranger_aside(local, &Reason::Refused { message }, now),
            Outcome::GivesWay(connector) => {
                self.stranger_aside(local, &Reason::MadeBeside { connector }, now)
            }
            Outcome::Stale => {
                let message = "the object changed while its entry was made".to_owned();
                self.stranger_aside(local, &Reason::Refused { message }, now)
            }
            Outcome::Temporary(message) => self.fail(Trouble::Store(message), now),
            Outcome::Unreachable(message) if !self.is_away() => {
                self.stranger_aside(local, &Reason::Unreachable { message }, now)
            }
            Outcome::Unreachable(message) => {
                self.fail(FeedError::Unavailable(Unavailable(message)).into(), now)
            }
        }
    }

    fn newcomer_done(&mut self, local: LocalId, now: Timestamp) -> Vec<Effect> {
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        let was_pending = round.pending_newcomers.remove(&local);
        if was_pending && round.pending_newcomers.is_empty() {
            self.next_newcomers(now)
        } else {
            Vec::new()
        }
    }

    fn stranger_aside(&mut self, local: LocalId, reason: &Reason, now: Timestamp) -> Vec<Effect> {
        if self.strangers.len() >= MOST_ASIDE && !self.strangers.contains_key(&local) {
            let message =
                format!("{MOST_ASIDE} objects without an entry are in quarantine; the newest: {reason}");
            return self.fail(Trouble::Store(message), now);
        }
        let row = Aside::again(
            self.strangers.get(&local),
            reason.to_string(),
            reason.first_retry(),
            now,
        );
        self.strangers.insert(local, row.clone());
        self.counts.set_aside += 1;
        let mut effects = vec![Effect::SetStrangerAside(local, row)];
        effects.extend(self.newcomer_done(local, now));
        effects
    }

    fn release_stranger(&mut self, local: LocalId) -> Vec<Effect> {
        match self.strangers.remove(&local) {
            Some(_) => vec![Effect::ReleaseStranger(local)],
            None => Vec::new(),
        }
    }
}
