//! One object: plan it, ask the guard, carry it out or set it aside.

use super::aside::{Aside, FIRST_RETRY, as_held, held_hash};
use super::round::{Applying, Extent, Stage};
use super::status::Counts;
use super::{Effect, Engine, Notice, Outcome, Phase, Trouble};
use crate::guard::Admission;
use crate::merge::Side;
use crate::plan::{Decision, Plan, Reason, Remote, Situation, plan};
use directory::feed::FeedError;
use model::{Address, EntryUuid, Timestamp, Unavailable};

/// Most rows in quarantine. Past it something is wrong with the directory or the mapping as a whole, and a
/// stopped round says so better than a million rows.
pub(super) const MOST_ASIDE: usize = 10_000;
/// Quarantined objects that are looked at again together with one that meets another in its way.
const LOOKED_AT_AGAIN: usize = 32;
/// Writes without an answer in one round, each of which waits for itself.
const ALONE: u32 = 3;

impl Engine {
    /// An entry of the feed that nobody here has heard of: named, and looked at, in one. A first synchronisation does
    /// nothing else.
    pub(crate) fn met(
        &mut self,
        situation: &Situation,
        address: Option<Address>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let uuid = situation.uuid;
        let mut effects = self.noticed(Notice::Present(uuid));
        effects.extend(self.noticed(Notice::Member(uuid, address)));
        effects.extend(self.examined(situation, now));
        effects
    }

    /// Whether a plan of this entry is being carried out.
    pub(crate) fn is_under_way(&self, uuid: EntryUuid) -> bool {
        matches!(&self.phase, Phase::InRound(round) if round.applying.contains_key(&uuid))
    }

    pub(super) fn examined(&mut self, situation: &Situation, now: Timestamp) -> Vec<Effect> {
        if !matches!(self.phase, Phase::InRound(_)) {
            return Vec::new();
        }
        let uuid = situation.uuid;
        let gone = self.told_gone(situation);
        let situation = gone.as_ref().unwrap_or(situation);
        self.no_longer_awaited(uuid);
        self.note_end(situation, now);
        let whole = match plan(situation, &self.settings.policy) {
            Decision::SetAside(reason) => return self.set_aside(uuid, &situation.name, &reason, now),
            Decision::Act(whole) => whole,
        };
        if self.spares(&whole, situation) && !self.is_approved(&whole) {
            return self.set_aside(uuid, &situation.name, &Reason::Spared, now);
        }
        let held = self.ask_guards(&whole, now);
        if !held.is_empty() {
            if let Some(effects) = self.too_many_aside(uuid, "held by the guard", now) {
                return effects;
            }
            let mut effects = self.hold(&whole, &held, now);
            let part = whole.without(&held, situation.link.as_ref());
            // What is seen of the entry belongs to the link also where all that follows from it is held: under which name of this
            // server it stands, above all, for a write whose answer was lost may have ended so.
            if part.is_quiet() && is_settled(&part, situation) {
                effects.extend(self.finished(uuid, now));
            } else {
                effects.extend(self.apply(part, &situation.name, Extent::Part, now));
            }
            return effects;
        }
        if whole.is_quiet() && is_settled(&whole, situation) {
            if let Some(reason) = &whole.aside {
                self.approved.remove(&uuid);
                return self.set_aside(uuid, &situation.name, reason, now);
            }
            self.counts.unchanged += 1;
            let mut effects = self.release(uuid);
            effects.extend(self.finished(uuid, now));
            effects
        } else {
            // Its row in quarantine stays until the plan is carried out: should the round or the process end before,
            // nothing else would say that the object is to be looked at.
            self.apply(whole, &situation.name, Extent::Whole, now)
        }
    }

    /// An entry that cannot be seen, and neither can what stood above it, where an administrator says that it is gone, or
    /// has approved what follows. A message that names it says nothing: slapd names as deleted, too, what was changed and is
    /// hidden since.
    fn told_gone(&self, situation: &Situation) -> Option<Situation> {
        if !matches!(situation.remote, Remote::Hidden { .. }) {
            return None;
        }
        let uuid = situation.uuid;
        let gone = Situation {
            remote: Remote::Gone,
            ..situation.clone()
        };
        let said = self.aside.get(&uuid).is_some_and(Aside::is_said_to_be_gone);
        let approved = || match plan(&gone, &self.settings.policy) {
            Decision::Act(plan) => self.is_approved(&plan),
            Decision::SetAside(_) => false,
        };
        (said || approved()).then_some(gone)
    }

    /// The sides whose guard holds this plan's dangerous part.
    fn ask_guards(&mut self, whole: &Plan, now: Timestamp) -> Vec<Side> {
        let mut held = Vec::new();
        if self.is_approved(whole) {
            return held;
        }
        for side in [Side::Local, Side::Remote] {
            let weight = whole.weight(side);
            let guard = match side {
                Side::Local => &mut self.guard,
                Side::Remote => &mut self.guard_remote,
            };
            if weight == 0 {
                guard.came_about(whole.uuid, now);
            } else if guard.admit(whole.uuid, weight, self.linked, now) == Admission::Held {
                held.push(side);
            }
        }
        held
    }

    fn apply(&mut self, plan: Plan, name: &str, extent: Extent, now: Timestamp) -> Vec<Effect> {
        let counts = Counts::of(&plan);
        if let Phase::InRound(round) = &mut self.phase {
            round.pending.insert(plan.uuid);
            let applying = Applying {
                name: name.to_owned(),
                counts,
                aside: plan.aside.clone(),
                extent,
            };
            round.applying.insert(plan.uuid, applying);
        }
        if !plan.is_quiet() {
            self.last_change = Some(now);
        }
        vec![Effect::Apply(Box::new(plan))]
    }

    /// The local half of a plan is durable; what is to be written in the directory is not sent yet.
    pub(crate) fn half_done(&mut self, uuid: EntryUuid, now: Timestamp) {
        self.guard.came_about(uuid, now);
    }

    pub(super) fn overtaken(&mut self, uuid: EntryUuid, now: Timestamp) -> Vec<Effect> {
        if let Phase::InRound(round) = &mut self.phase {
            round.applying.remove(&uuid);
            round.due.insert(uuid);
        }
        self.guard.was_refused(uuid);
        self.guard_remote.was_refused(uuid);
        self.finished(uuid, now)
    }

    pub(super) fn applied(&mut self, uuid: EntryUuid, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        let Applying {
            name,
            counts,
            aside,
            extent,
        } = match &mut self.phase {
            Phase::InRound(round) => round.applying.remove(&uuid).unwrap_or_default(),
            _ => Applying::default(),
        };
        // Where all of it was tried, nothing of it is held any more.
        let held = extent == Extent::Part && self.aside.get(&uuid).is_some_and(Aside::is_held);
        if let Outcome::Refused(_) | Outcome::Stale = outcome {
            // What was done here already (`half_done`) is counted, whatever became of the rest.
            self.guard.was_refused(uuid);
            self.guard_remote.was_refused(uuid);
        }
        match outcome {
            Outcome::Done => {
                self.counts.add(&counts);
                self.guard.came_about(uuid, now);
                self.guard_remote.came_about(uuid, now);
                let mut effects = self.have_joined(uuid);
                if let (Some(reason), false) = (aside, held) {
                    self.approved.remove(&uuid);
                    effects.extend(self.set_aside(uuid, &name, &reason, now));
                    return effects;
                }
                if !held {
                    effects.extend(self.release(uuid));
                }
                effects.extend(self.finished(uuid, now));
                effects
            }
            // The guards go on counting it once, until all of it is done.
            Outcome::Waits(_) if held => self.finished(uuid, now),
            Outcome::Waits(members) => {
                self.approved.remove(&uuid);
                self.set_aside(uuid, &name, &Reason::MembersNotFound { members }, now)
            }
            Outcome::Refused(message) => self.refused((uuid, held), &name, message, now),
            Outcome::GivesWay(connector) => {
                self.set_aside(uuid, &name, &Reason::MadeBeside { connector }, now)
            }
            Outcome::Stale => {
                // Somebody edited the object meanwhile. It is looked at again in this round, and if that
                // fails too, in a later one.
                let message = "the object changed while it was synchronised".to_owned();
                self.refused((uuid, held), &name, message, now)
            }
            // A store that cannot write fails everything alike: no quarantine, the cookie stays.
            Outcome::Temporary(message) => self.fail(Trouble::Store(message), now),
            Outcome::Unreachable(message) if self.is_away() => {
                self.fail(FeedError::Unavailable(Unavailable(message)).into(), now)
            }
            // Its intent stays, and it waits alone.
            Outcome::Unreachable(message) => {
                self.set_aside(uuid, &name, &Reason::Unreachable { message }, now)
            }
        }
    }

    /// Counts a write without an answer. One object may have bad luck; several in a row, and none that was written
    /// between them, mean that nothing can be written now.
    pub(super) fn is_away(&mut self) -> bool {
        let Phase::InRound(round) = &mut self.phase else {
            return true;
        };
        round.unanswered += 1;
        round.unanswered > ALONE
    }

    /// Where the guard holds the rest, what was refused is the part that it let through, and what waits for an approval is the
    /// whole.
    fn refused(
        &mut self,
        (uuid, held): (EntryUuid, bool),
        name: &str,
        message: String,
        now: Timestamp,
    ) -> Vec<Effect> {
        let reason = Reason::Refused { message };
        if held {
            self.gets_another_chance(uuid, &reason);
            return self.finished(uuid, now);
        }
        self.set_aside(uuid, name, &reason, now)
    }

    fn set_aside(&mut self, uuid: EntryUuid, name: &str, reason: &Reason, now: Timestamp) -> Vec<Effect> {
        if self.gets_another_chance(uuid, reason) {
            return self.finished(uuid, now);
        }
        let (first, reason) = (reason.first_retry(), reason.about(name));
        if let Some(effects) = self.too_many_aside(uuid, &reason, now) {
            return effects;
        }
        let row = Aside::again(self.aside.get(&uuid), reason, first, now);
        self.aside.insert(uuid, row.clone());
        self.counts.set_aside += 1;
        let mut effects = vec![Effect::SetAside(uuid, row)];
        effects.extend(self.finished(uuid, now));
        effects
    }

    /// Whether it is looked at again at the end of this round: what is in its way may be gone by then.
    fn gets_another_chance(&mut self, uuid: EntryUuid, reason: &Reason) -> bool {
        let spares = self.spares_absences();
        if let Phase::InRound(round) = &mut self.phase {
            let in_the_way = match reason {
                Reason::AlreadyLinked { other, .. } => {
                    // Often the other one was deleted and this is its successor: make sure first.
                    if round.stage < Stage::Absences && !spares {
                        round.absent.insert(*other);
                    }
                    true
                }
                Reason::AliasMatch { .. } | Reason::OtherKind { .. } | Reason::Refused { .. } => true,
                _ => false,
            };
            if in_the_way && round.stage < Stage::SecondChance {
                round.second.insert(uuid);
                // Who was in somebody's way before may be the one, and wait for this one in turn.
                let waiting = self.aside.iter().filter(|(_, row)| !row.is_held());
                round
                    .second
                    .extend(waiting.map(|(uuid, _)| *uuid).take(LOOKED_AT_AGAIN));
                return true;
            }
        }
        false
    }

    /// Gives the round up when one more row would be too many. What is held is approved, or what is wrong is
    /// repaired, ten thousand at a time: the cookie stays, so the rest comes again.
    fn too_many_aside(&mut self, uuid: EntryUuid, newest: &str, now: Timestamp) -> Option<Vec<Effect>> {
        if self.aside.len() < MOST_ASIDE || self.aside.contains_key(&uuid) {
            return None;
        }
        let message = format!("{MOST_ASIDE} objects are in quarantine; the newest: {newest}");
        Some(self.fail(Trouble::Store(message), now))
    }

    fn hold(&mut self, plan: &Plan, sides: &[Side], now: Timestamp) -> Vec<Effect> {
        let lines = plan.dangerous_lines(sides);
        let row = Aside::again(
            self.aside.get(&plan.uuid),
            Reason::Held { lines }.to_string(),
            FIRST_RETRY,
            now,
        );
        if self
            .aside
            .get(&plan.uuid)
            .is_some_and(|known| known.reason == row.reason)
        {
            return Vec::new();
        }
        self.aside.insert(plan.uuid, row.clone());
        self.counts.held += 1;
        vec![Effect::SetAside(plan.uuid, row)]
    }

    /// The object is in order (again).
    pub(super) fn release(&mut self, uuid: EntryUuid) -> Vec<Effect> {
        self.approved.remove(&uuid);
        if self.aside.remove(&uuid).is_none() {
            return Vec::new();
        }
        for side in [Side::Local, Side::Remote] {
            let holds = self.aside.values().any(|row| row.holds(side));
            let guard = match side {
                Side::Local => &mut self.guard,
                Side::Remote => &mut self.guard_remote,
            };
            if guard.is_tripped() && !holds {
                guard.nothing_is_held();
            }
        }
        vec![Effect::Release(uuid)]
    }

    fn is_approved(&self, plan: &Plan) -> bool {
        let Some(approved) = self.approved.get(&plan.uuid) else {
            return false;
        };
        let approved = as_held(approved);
        let sides = [
            vec![Side::Local],
            vec![Side::Remote],
            vec![Side::Local, Side::Remote],
        ];
        sides
            .iter()
            .any(|sides| as_held(&plan.dangerous_lines(sides)) == approved)
    }

    /// The hash of what the guard holds; none when it holds nothing.
    pub(crate) fn held(&self) -> Option<String> {
        held_hash(self.aside.iter())
    }

    /// Lets through what is held, if it is still what `hash` names; the rows to be kept then, which say so in every
    /// process to come. The next round carries it out, provided that each change is still the one that was approved.
    pub(crate) fn approve(&mut self, hash: &str, now: Timestamp) -> Option<Vec<Effect>> {
        if self.held().as_deref() != Some(hash) {
            return None;
        }
        let mut rows = Vec::new();
        for (uuid, row) in &mut self.aside {
            if let Some(lines) = row.held_lines() {
                self.approved.insert(*uuid, lines);
                // No longer held: due now. A row that turns out to be another change is held again.
                row.approve(now);
                rows.push(Effect::SetAside(*uuid, row.clone()));
            }
        }
        self.guard.release();
        self.guard_remote.release();
        Some(rows)
    }

    /// Whether an absence says nothing now: since the directory, or what is read of it, is another one, it was not
    /// compared without an objection yet.
    pub(super) fn spares_absences(&self) -> bool {
        match &self.phase {
            Phase::InRound(round) => round.spares(self.checkpoint.spared),
            _ => false,
        }
    }

    /// Whether this plan follows from such an absence. What a message names as gone is no part of that.
    fn spares(&self, plan: &Plan, situation: &Situation) -> bool {
        let absent = matches!(
            situation.remote,
            Remote::Gone | Remote::OutOfScope | Remote::Hidden { .. }
        );
        let named = matches!(&self.phase, Phase::InRound(round) if round.stage == Stage::Absences);
        absent && !named && !plan.is_quiet() && self.spares_absences()
    }
}

/// Whether the link says already what the plan says of it.
pub(crate) fn is_settled(plan: &Plan, situation: &Situation) -> bool {
    let Some(link) = &situation.link else {
        return plan.base.is_none();
    };
    plan.base.as_ref() == Some(&link.base)
        && plan.marks == link.marks
        && plan.standing == link.standing
        && plan.passwords == link.passwords
        && plan.until == link.until
        && plan.home == link.home
        && !link.rebased
        && !situation.is_renamed()
}
