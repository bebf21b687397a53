//! The engines of a schedule: one for each connector, and another one for each name that its server gets.

use super::clock::Crash;
use super::server::Shared;
use super::steps::Schedule;
use super::wires::remotes;
use super::world::config;
use crate::driver::{Beside, SyncEngine};
use model::Clock;
use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use store::Store;

/// Names that each server may have, one after the other.
pub(super) const NAMES: [[&str; 3]; 2] = [["a.test", "a2.test", "a3.test"], ["b.test", "b2.test", "b3.test"]];

/// What an engine is made with.
pub(super) struct Slot {
    pub(super) name: &'static str,
    pub(super) node: usize,
    pub(super) store: Store,
    made: [OnceCell<Arc<SyncEngine>>; 3],
    turn: Cell<usize>,
}

pub(super) struct Engines {
    schedule: Schedule,
    server: Shared,
    crash: Arc<Crash>,
    clock: Arc<dyn Clock>,
    slots: Vec<Slot>,
}

impl Engines {
    pub(super) fn new(
        schedule: &Schedule,
        (server, crash, clock): (Shared, Arc<Crash>, Arc<dyn Clock>),
        sites: Vec<(usize, &'static str, Store)>,
    ) -> Self {
        let slot = |(node, name, store): (usize, &'static str, Store)| {
            store.take_name(NAMES[node][0]).expect("named");
            Slot {
                name,
                node,
                store,
                made: Default::default(),
                turn: Cell::new(0),
            }
        };
        let slots = sites.into_iter().map(slot).collect();
        let schedule = schedule.clone();
        Self {
            schedule,
            server,
            crash,
            clock,
            slots,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The engine of this connector now.
    pub(super) fn of(&self, on: usize) -> &Arc<SyncEngine> {
        let slot = &self.slots[on];
        let turn = slot.turn.get();
        slot.made[turn].get_or_init(|| {
            let config = config(&self.schedule, slot.name);
            let remotes = remotes(&self.server, &self.crash, &config);
            let name = NAMES[slot.node][turn];
            let (store, clock) = (slot.store.clone(), Arc::clone(&self.clock));
            let others = self.slots.iter().filter(|other| other.node == slot.node);
            let beside = Beside {
                connectors: others.map(|other| other.name.to_owned()).collect(),
                homes: Vec::new(),
            };
            SyncEngine::with_remotes(config, remotes, store, clock, (name, &[]), &beside)
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<SyncEngine>> {
        (0..self.len()).map(|on| self.of(on))
    }

    /// The server of this connector gets its next name; false when it has had them all.
    pub(super) fn rename(&self, on: usize) -> bool {
        let slot = &self.slots[on];
        let next = slot.turn.get() + 1;
        let Some(name) = NAMES[slot.node].get(next) else {
            return false;
        };
        slot.store.take_name(name).expect("named");
        slot.turn.set(next);
        true
    }
}
