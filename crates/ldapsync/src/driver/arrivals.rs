//! Accounts that nobody here has yet: nearly everything of a first synchronisation.
//!
//! Their plans are made as all others are, from a situation that needs no reading, and are carried out many in one
//! commit, while the feed is read on. That nobody has them is looked up for a portion at once; the commit looks again,
//! and where it finds somebody after all, each plan is carried out for itself. Whatever else is to be done waits for
//! what is under way.

use super::push::{Job, interrupted};
use super::worker::{Worker, store_trouble};
use crate::engine::{Effect, Outcome, Trouble};
use crate::local::{Seen, is_arrival};
use crate::plan::Plan;
use directory::config::Direction;
use directory::feed::ChangedEntry;
use model::EntryUuid;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use store::{Arrival, Names, StoreError};
use tokio::task::JoinSet;

/// Accounts of one commit.
const TOGETHER: usize = 512;
/// Commits under way.
const AT_ONCE: usize = 3;

/// What is on its way into the store.
pub(super) struct Arrivals {
    gathered: Vec<(Box<Plan>, Seen)>,
    running: JoinSet<Arrived>,
    /// The entries of both.
    under_way: HashSet<EntryUuid>,
    /// Whether addresses are looked up before the commit does.
    pub(super) names: Names,
}

struct Arrived {
    plans: Vec<(Box<Plan>, Seen)>,
    outcome: Result<(), StoreError>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            gathered: Vec::new(),
            running: JoinSet::new(),
            under_way: HashSet::new(),
            names: Names::Now,
        }
    }
}

impl Worker<'_> {
    /// Those of a portion that nobody here has heard of.
    pub(super) fn unknown(
        &self,
        entries: &BTreeMap<EntryUuid, &ChangedEntry>,
    ) -> Result<BTreeSet<EntryUuid>, Trouble> {
        if self.parts.policy.direction == Direction::LocalToLdap {
            return Ok(BTreeSet::new());
        }
        let mut arrivals = Vec::with_capacity(entries.len());
        for (uuid, entry) in entries {
            // What is in quarantine has a row that ends with it.
            if let Ok(account) = &entry.account
                && !self.engine.is_aside(*uuid)
                && !self.arrivals.under_way.contains(uuid)
            {
                arrivals.push(Arrival {
                    uuid: *uuid,
                    address: &account.address,
                    aliases: &account.aliases,
                });
            }
        }
        let unknown = self.parts.local.unknown(&arrivals, self.arrivals.names);
        let both = arrivals.iter().zip(unknown.map_err(store_trouble)?);
        Ok(both
            .filter_map(|(arrival, unknown)| unknown.then_some(arrival.uuid))
            .collect())
    }

    /// Takes the plans of unknown entries out of what is to be done, and begins to carry out as many as there are.
    pub(super) async fn gather(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Apply(plan) if is_arrival(&plan) && self.seen.contains_key(&plan.uuid) => {
                    if let Some(seen) = self.seen.remove(&plan.uuid) {
                        self.arrivals.under_way.insert(plan.uuid);
                        self.arrivals.gathered.push((plan, seen));
                    }
                }
                // Named entries are examined while the feed is read.
                Effect::Examine(_) => {}
                other => self.effects.push_back(other),
            }
        }
        if self.arrivals.gathered.len() >= TOGETHER {
            self.arrive().await;
        }
    }

    async fn arrive(&mut self) {
        while self.arrivals.running.len() >= AT_ONCE {
            self.one_arrived().await;
        }
        let plans = std::mem::take(&mut self.arrivals.gathered);
        if plans.is_empty() {
            return;
        }
        if plans.len() >= TOGETHER {
            // As many follow, most likely.
            self.arrivals.gathered.reserve(plans.len());
        }
        let local = self.parts.local.clone();
        self.arrivals.running.spawn(async move {
            let outcome = local.arrive(&plans).await;
            Arrived { plans, outcome }
        });
    }

    /// Until nothing is on its way any more.
    pub(super) async fn all_arrived(&mut self) {
        self.arrive().await;
        while !self.arrivals.running.is_empty() {
            self.one_arrived().await;
        }
    }

    async fn one_arrived(&mut self) {
        let Some(done) = self.arrivals.running.join_next().await else {
            return;
        };
        let Ok(Arrived { plans, outcome }) = done else {
            self.arrivals.under_way.clear();
            return self.step(interrupted());
        };
        for (plan, _) in &plans {
            self.arrivals.under_way.remove(&plan.uuid);
        }
        let connector = &self.parts.config.name;
        match outcome {
            Ok(()) => {
                if let [(plan, _)] = plans.as_slice() {
                    self.tell(plan);
                } else {
                    tracing::info!(%connector, accounts = plans.len(), "new accounts");
                }
                for (plan, _) in &plans {
                    tracing::debug!(%connector, uuid = %plan.uuid, address = %plan.subject, "a new account");
                    self.finished(plan, Outcome::Done);
                }
            }
            Err(error) => {
                // One of them has an address that somebody has, or the store cannot write: each finds out by itself.
                tracing::debug!(%connector, %error, "new accounts are made one by one");
                self.arrivals.names = Names::Now;
                let jobs = plans.into_iter().map(|(plan, seen)| Job::here(*plan, seen));
                self.write_here(jobs.collect()).await;
            }
        }
    }
}
