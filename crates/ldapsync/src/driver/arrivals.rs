//! Accounts that nobody here has yet: nearly everything of a first synchronisation.
//!
//! Their plans are made as all others are, from a situation that needs no reading, and are carried out many in one
//! commit, while the feed is read on. That nobody has them is looked up for a portion at once; the commit looks again,
//! and whom it cannot create is looked at once more by itself. Whatever else is to be done waits for what is under way.

use super::push::{Job, interrupted};
use super::worker::{Worker, store_trouble};
use crate::engine::{Effect, Input, Outcome, Trouble};
use crate::field::Field;
use crate::local::{Seen, is_arrival, outcome_of};
use crate::plan::{Op, Plan};
use directory::config::Direction;
use directory::feed::ChangedEntry;
use model::EntryUuid;
use store::{Arrival, Names, StagedAccounts, StoreError};
use tokio::task::JoinSet;

/// Accounts whose rows are made together, and the fewest of a commit while more follow.
const TOGETHER: usize = 512;
/// Aliases of accounts whose rows are made together: where each has hundreds, fewer accounts are enough.
const ALIASES: usize = 8192;
/// How many times that is made at once.
const AT_ONCE: usize = 3;
/// The most accounts of a commit, about as many octets as their rows have, and commits under way: all of it is in memory.
const MOST: usize = 8192;
const OCTETS: usize = 8 << 20;
const COMMITS: usize = 2;
/// What is on its way into the store.
pub(super) struct Arrivals {
    gathered: Vec<(Box<Plan>, Box<Seen>)>,
    /// Aliases of those that were gathered.
    aliases: usize,
    staging: JoinSet<Staged>,
    staged: Vec<(Vec<EntryUuid>, StagedAccounts)>,
    running: JoinSet<Arrived>,
    /// How many are committed together next.
    enough: usize,
    /// Whether addresses are looked up before the commit does.
    pub(super) names: Names,
}

struct Staged {
    uuids: Vec<EntryUuid>,
    rows: Result<StagedAccounts, StoreError>,
}

struct Arrived {
    uuids: Vec<EntryUuid>,
    came: Result<Vec<bool>, StoreError>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            gathered: Vec::new(),
            aliases: 0,
            staging: JoinSet::new(),
            staged: Vec::new(),
            running: JoinSet::new(),
            enough: TOGETHER,
            names: Names::Now,
        }
    }
}

impl Arrivals {
    /// Whether what is staged is as much as is committed together next.
    fn are_enough(&self) -> bool {
        let accounts: usize = self.staged.iter().map(|(uuids, _)| uuids.len()).sum();
        let octets: usize = self.staged.iter().map(|(_, rows)| rows.octets()).sum();
        accounts >= self.enough || octets >= OCTETS
    }

    fn is_idle(&self) -> bool {
        self.staging.is_empty() && self.staged.is_empty() && self.running.is_empty()
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

    /// Keeps the plan of an unknown entry, to carry it out with many others; or whatever else is to be done about it.
    pub(super) fn comes(&mut self, uuid: EntryUuid, seen: Seen, mut effects: Vec<Effect>) {
        let alone = matches!(effects.as_slice(), [Effect::Apply(plan)] if is_arrival(plan));
        match effects.pop() {
            Some(Effect::Apply(plan)) if alone => {
                let connector = &self.parts.config.name;
                tracing::debug!(%connector, %uuid, address = %plan.subject, "an account comes");
                self.arrivals.aliases += aliases_of(&plan);
                self.arrivals.gathered.push((plan, Box::new(seen)));
            }
            last => {
                self.seen.insert(uuid, seen);
                self.effects.extend(effects.into_iter().chain(last));
            }
        }
    }

    /// Begins to carry out the plans of unknown entries where there are as many as one takes together.
    pub(super) async fn gather(&mut self) {
        if self.arrivals.gathered.len() >= TOGETHER || self.arrivals.aliases >= ALIASES {
            self.stage().await;
        }
    }

    /// Has the rows of those that were gathered made, beside the reading.
    async fn stage(&mut self) {
        let plans = std::mem::take(&mut self.arrivals.gathered);
        self.arrivals.aliases = 0;
        if plans.is_empty() {
            return;
        }
        while self.arrivals.staging.len() >= AT_ONCE {
            self.one_staged().await;
        }
        if plans.len() >= TOGETHER {
            // As many follow, most likely.
            self.arrivals.gathered.reserve(plans.len());
        }
        let local = self.parts.local.clone();
        self.arrivals.staging.spawn(async move {
            let rows = local.stage(&plans).await;
            let uuids = plans.iter().map(|(plan, _)| plan.uuid).collect();
            Staged { uuids, rows }
        });
    }

    /// Takes rows that are made, and begins to commit them once there are enough.
    async fn one_staged(&mut self) {
        let Some(done) = self.arrivals.staging.join_next().await else {
            return;
        };
        match done {
            Ok(Staged {
                uuids,
                rows: Ok(rows),
            }) => self.arrivals.staged.push((uuids, rows)),
            Ok(Staged {
                uuids,
                rows: Err(error),
            }) => self.came(&uuids, Err(error)),
            Err(_) => return self.lost(),
        }
        if self.arrivals.are_enough() {
            self.begin_commit().await;
        }
    }

    async fn begin_commit(&mut self) {
        if self.arrivals.staged.is_empty() {
            return;
        }
        while self.arrivals.running.len() >= COMMITS {
            self.one_arrived().await;
        }
        let staged = std::mem::take(&mut self.arrivals.staged);
        // The first are seen soon; the more follow, the less each of them costs.
        self.arrivals.enough = self.arrivals.enough.saturating_mul(2).min(MOST);
        let (uuids, rows): (Vec<_>, Vec<_>) = staged.into_iter().unzip();
        let local = self.parts.local.clone();
        self.arrivals.running.spawn(async move {
            let came = local.arrive(rows).await;
            Arrived {
                uuids: uuids.concat(),
                came,
            }
        });
    }

    /// Until nothing is on its way any more.
    pub(super) async fn all_arrived(&mut self) {
        if self.arrivals.is_idle() && self.arrivals.gathered.len() == 1 {
            // The way of all other plans, with a line in the log that says what it is.
            let plans = std::mem::take(&mut self.arrivals.gathered);
            self.arrivals.aliases = 0;
            let jobs = plans.into_iter().map(|(plan, seen)| Job::here(*plan, *seen));
            self.write_here(jobs.collect()).await;
        }
        self.stage().await;
        while !self.arrivals.staging.is_empty() {
            self.one_staged().await;
        }
        self.begin_commit().await;
        while !self.arrivals.running.is_empty() {
            self.one_arrived().await;
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

fn aliases_of(plan: &Plan) -> usize {
    let of = |op: &Op| match op {
        Op::Create { image, .. } => image.get(Field::Aliases).iter().count(),
        _ => 0,
    };
    plan.ops.iter().map(of).sum()
}
