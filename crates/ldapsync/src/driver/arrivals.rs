//! Accounts that nobody here has yet: nearly everything of a first synchronisation.
//!
//! Their plans are made as all others are, from a situation that needs no reading, and are carried out many in one
//! commit, while the feed is read on. That nobody has them is looked up for a portion at once; the commit looks again,
//! and whom it cannot create is looked at once more by itself. Whatever else is to be done waits for what is under way.

use super::push::{Job, interrupted};
use super::worker::{Worker, store_trouble};
use crate::engine::{Effect, Input, Outcome, Trouble};
use crate::local::{Seen, is_arrival, outcome_of};
use crate::plan::Plan;
use directory::config::Direction;
use directory::feed::ChangedEntry;
use model::EntryUuid;
use store::{Arrival, Names, StagedAccounts, StoreError};
use tokio::task::JoinSet;

/// The fewest accounts of a commit while more follow.
const TOGETHER: usize = 512;
/// The most, about as many octets as their rows have, and commits under way: all of it is in memory.
const MOST: usize = 8192;
const OCTETS: usize = 8 << 20;
const COMMITS: usize = 2;

/// What is on its way into the store.
pub(super) struct Arrivals {
    /// The first: should no second one follow, it goes the way of all other plans.
    first: Option<(Box<Plan>, Box<Seen>)>,
    /// Whose rows are made. They are made at once: what was read of them needs to be kept no longer.
    staged: Option<Staged>,
    running: JoinSet<Arrived>,
    /// How many are committed together next.
    enough: usize,
    /// Whether addresses are looked up before the commit does.
    pub(super) names: Names,
}

struct Staged {
    uuids: Vec<EntryUuid>,
    rows: StagedAccounts,
}

struct Arrived {
    uuids: Vec<EntryUuid>,
    came: Result<Vec<bool>, StoreError>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            first: None,
            staged: None,
            running: JoinSet::new(),
            enough: TOGETHER,
            names: Names::Now,
        }
    }
}

impl Arrivals {
    /// Whether what is staged is as much as is committed together next.
    fn are_enough(&self) -> bool {
        let enough = |staged: &Staged| staged.uuids.len() >= self.enough || staged.rows.octets() >= OCTETS;
        self.staged.as_ref().is_some_and(enough)
    }
}

impl Worker<'_> {
    /// Of each of these entries, whether nobody here has heard of it.
    pub(super) fn unknown(&self, entries: &[&ChangedEntry]) -> Result<Vec<bool>, Trouble> {
        let mut unknown = vec![false; entries.len()];
        if self.parts.policy.direction == Direction::LocalToLdap {
            return Ok(unknown);
        }
        let (mut places, mut arrivals) = (Vec::new(), Vec::with_capacity(entries.len()));
        for (entry, place) in entries.iter().zip(&mut unknown) {
            // What is in quarantine has a row that ends with it.
            if let Ok(account) = &entry.account
                && !self.engine.is_aside(entry.uuid)
                && !self.engine.is_under_way(entry.uuid)
            {
                places.push(place);
                arrivals.push(Arrival {
                    uuid: entry.uuid,
                    address: &account.address,
                    aliases: &account.aliases,
                });
            }
        }
        let answers = self.parts.local.unknown(&arrivals, self.arrivals.names);
        for (place, answer) in places.into_iter().zip(answers.map_err(store_trouble)?) {
            *place = answer;
        }
        Ok(unknown)
    }

    /// Makes ready for so many unknown entries.
    pub(super) async fn expect(&mut self, count: usize) -> Result<(), Trouble> {
        if count == 0 || (count == 1 && self.arrivals.first.is_none() && self.arrivals.staged.is_none()) {
            return Ok(());
        }
        let (local, enough) = (&self.parts.local, self.arrivals.enough);
        // As many follow as came before, most likely.
        let room = if enough > TOGETHER { enough } else { count };
        let staged = self.arrivals.staged.get_or_insert_with(|| Staged {
            uuids: Vec::with_capacity(room),
            rows: local.staging(room),
        });
        let count = count.saturating_add(usize::from(self.arrivals.first.is_some()));
        let reserved = local.store.reserve_ids(&mut staged.rows, count).await;
        reserved.map_err(store_trouble)
    }

    /// Makes the rows of an unknown entry's plan, to carry it out with many others; or keeps whatever else is to be done about it.
    pub(super) fn comes(&mut self, uuid: EntryUuid, seen: Seen, mut effects: Vec<Effect>) {
        let alone = matches!(effects.as_slice(), [Effect::Apply(plan)] if is_arrival(plan));
        match effects.pop() {
            Some(Effect::Apply(plan)) if alone => {
                let connector = &self.parts.config.name;
                tracing::debug!(%connector, %uuid, address = %plan.subject, "an account comes");
                if self.arrivals.staged.is_none() {
                    self.arrivals.first = Some((plan, Box::new(seen)));
                    return;
                }
                if let Some((plan, seen)) = self.arrivals.first.take() {
                    self.stage(&plan, &seen);
                }
                self.stage(&plan, &seen);
            }
            last => {
                self.seen.insert(uuid, seen);
                self.effects.extend(effects.into_iter().chain(last));
            }
        }
    }

    fn stage(&mut self, plan: &Plan, seen: &Seen) {
        let Some(staged) = &mut self.arrivals.staged else {
            return;
        };
        match self.parts.local.stage(&mut staged.rows, plan, seen) {
            Ok(()) => staged.uuids.push(plan.uuid),
            Err(error) => self.came(&[plan.uuid], Err(error)),
        }
    }

    /// Begins to commit those whose rows are made, once there are enough.
    pub(super) async fn gather(&mut self) {
        if self.arrivals.are_enough() {
            self.begin_commit().await;
        }
    }

    async fn begin_commit(&mut self) {
        while self.arrivals.running.len() >= COMMITS {
            self.one_arrived().await;
        }
        let staged = self.arrivals.staged.take();
        // Unknown entries may all be of other homes.
        let Some(Staged { uuids, rows }) = staged.filter(|staged| !staged.uuids.is_empty()) else {
            return;
        };
        // The first are seen soon; the more follow, the less each of them costs.
        self.arrivals.enough = self.arrivals.enough.saturating_mul(2).min(MOST);
        let local = self.parts.local.clone();
        self.arrivals.running.spawn(async move {
            let came = local.arrive(rows).await;
            Arrived { uuids, came }
        });
    }

    /// Until nothing is on its way any more.
    pub(super) async fn all_arrived(&mut self) {
        self.begin_commit().await;
        while !self.arrivals.running.is_empty() {
            self.one_arrived().await;
        }
        let first = self.arrivals.first.take();
        let jobs: Vec<_> = first
            .map(|(plan, seen)| Job::here(*plan, *seen))
            .into_iter()
            .collect();
        if !jobs.is_empty() {
            // The way of all other plans, with a line in the log that says what it is.
            self.write_here(jobs).await;
        }
        self.arrivals.enough = TOGETHER;
    }

    async fn one_arrived(&mut self) {
        match self.arrivals.running.join_next().await {
            Some(Ok(Arrived { uuids, came })) => self.came(&uuids, came),
            Some(Err(_)) => self.lost(),
            None => {}
        }
    }

    fn lost(&mut self) {
        self.step(interrupted());
    }

    /// What became of them.
    fn came(&mut self, uuids: &[EntryUuid], came: Result<Vec<bool>, StoreError>) {
        let connector = &self.parts.config.name;
        let failed = match &came {
            Ok(came) => {
                let accounts = came.iter().filter(|came| **came).count();
                tracing::info!(%connector, accounts, "new accounts");
                None
            }
            Err(error) => {
                tracing::debug!(%connector, %error, "new accounts cannot be made");
                Some(outcome_of(error))
            }
        };
        let (came, now) = (came.unwrap_or_default(), self.parts.now());
        for (number, uuid) in uuids.iter().enumerate() {
            let input = match &failed {
                Some(outcome) => Input::Applied(*uuid, outcome.clone()),
                None if came.get(number) == Some(&true) => Input::Applied(*uuid, Outcome::Done),
                None => {
                    // It has an address that somebody has: who, and what follows, a look by itself tells. Others may as well.
                    self.arrivals.names = Names::Now;
                    Input::Overtaken(*uuid)
                }
            };
            self.effects.extend(self.engine.step(input, now));
        }
    }
}
