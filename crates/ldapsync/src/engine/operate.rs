//! What administrators ask of a running engine, and what they see of a round.

use super::aside::as_held;
use super::{Effect, Engine, Phase};
use crate::plan::LocalId;
use model::{EntryUuid, Timestamp};
use std::collections::BTreeMap;

/// A round that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct RoundStatus {
    /// Whether everything is compared.
    pub full: bool,
    /// Entries that were named so far.
    pub named: u64,
    /// Objects that are still to be looked at, as far as is known by now.
    pub waiting: u64,
}

impl Engine {
    /// Makes quarantined objects due now: all of them, or the one that goes by this text. Says how many. What the
    /// guard holds waits for an approval instead.
    pub(crate) fn retry(&mut self, which: Option<&str>, now: Timestamp) -> u64 {
        let mut found = 0;
        let chosen = |object: &dyn ToString| which.is_none_or(|which| object.to_string() == which);
        for (uuid, row) in &mut self.aside {
            if !row.is_held() && chosen(uuid) {
                row.next = now;
                found += 1;
            }
        }
        for (local, row) in &mut self.strangers {
            if chosen(local) {
                row.next = now;
                found += 1;
            }
        }
        found
    }

    /// Whether the guard holds anything.
    pub(crate) fn holds_anything(&self) -> bool {
        self.aside.iter().any(|(_, row)| row.is_held())
    }

    /// Hidden entries that are set aside.
    pub(crate) fn hidden(&self) -> Vec<EntryUuid> {
        let rows = self.aside.iter().filter(|(_, row)| row.is_hidden());
        rows.map(|(uuid, _)| *uuid).collect()
    }

    /// An administrator says that these are gone. The rows to be kept: they say so until each was looked at, in every
    /// process to come. The guard has its say all the same.
    pub(crate) fn say_gone(&mut self, uuids: &[EntryUuid], now: Timestamp) -> Vec<Effect> {
        let mut rows = Vec::new();
        for uuid in uuids {
            if let Some(row) = self.aside.get_mut(uuid) {
                row.say_gone(now);
                rows.push(Effect::SetAside(*uuid, row.clone()));
            }
        }
        rows
    }

    /// Lets these changes pass the guards, as far as they are still what was seen: an approved plan. The rows to be kept:
    /// what the guard held of it is held no longer, or it would still be called so once it is done.
    pub(crate) fn allow(
        &mut self,
        approved: BTreeMap<EntryUuid, Vec<String>>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut rows = Vec::new();
        for (uuid, lines) in &approved {
            let Some(row) = self.aside.get_mut(uuid) else {
                continue;
            };
            let (held, lines) = (row.held_lines(), as_held(lines));
            if held.is_some_and(|held| held.iter().all(|line| lines.contains(line))) {
                row.approve(now);
                rows.push(Effect::SetAside(*uuid, row.clone()));
            }
        }
        self.approved.extend(approved);
        rows
    }

    /// Drops what is remembered of an object's quarantine: its link was changed by hand, and its row is gone.
    pub(crate) fn forget_aside(&mut self, uuid: EntryUuid, local: LocalId) {
        // The rows themselves went with the link's change.
        let _ = self.release(uuid);
        self.strangers.remove(&local);
    }

    /// How far the round has come.
    pub(super) fn round_status(&self) -> Option<RoundStatus> {
        let Phase::InRound(round) = &self.phase else {
            return None;
        };
        let sets = [
            &round.groups,
            &round.absent,
            &round.due,
            &round.joining,
            &round.second,
        ];
        let waiting = sets.iter().map(|set| set.len()).sum::<usize>()
            + round.pending.len()
            + round.newcomers.len()
            + round.pending_newcomers.len();
        Some(RoundStatus {
            full: round.full,
            named: round.seen.len() as u64,
            waiting: waiting as u64,
        })
    }
}
