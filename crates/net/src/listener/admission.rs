//! How many connections there may be: in all, and of one client.

use crate::access::Pass;
use crate::sessions::site;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How many may be connected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) total: u32,
    pub(super) per_peer: u32,
}

/// Counts of what is connected now.
#[derive(Debug, Default)]
pub(super) struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    peers: HashMap<IpAddr, u32>,
}

/// One connection's place in the counts, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Arc<Admission>,
    limits: Limits,
    /// Behind a lock only where a handshake may change it.
    counted: Held,
}

#[derive(Debug)]
enum Held {
    Alone(Counted),
    Shared(Arc<Mutex<Counted>>),
}

/// What is counted against an address, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Counted {
    peer: Option<(IpAddr, Arc<Admission>)>,
    /// What a rule of access has counted.
    pass: Option<Pass>,
}

impl Admission {
    pub(super) fn enter(self: &Arc<Self>, limits: Limits, peer: Option<IpAddr>) -> Option<Slot> {
        {
            let mut counts = self.counts.lock();
            if counts.total >= limits.total {
                return None;
            }
            counts.total += 1;
        }
        let mut slot = Slot {
            admission: self.clone(),
            limits,
            counted: Held::Alone(Counted::default()),
        };
        if let Some(peer) = peer {
            slot.name_peer(peer)?;
        }
        Some(slot)
    }

    fn enter_as(self: &Arc<Self>, peer: IpAddr, most: u32) -> Option<(IpAddr, Arc<Self>)> {
        let peer = site(peer);
        let mut counts = self.counts.lock();
        let count = counts.peers.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some((peer, Arc::clone(self)))
    }
}

impl Slot {
    /// Keeps what a rule has counted, as long as the connection is there.
    pub(super) fn keep(&mut self, pass: Option<Pass>) {
        self.with(|counted| counted.pass = pass);
    }

    /// Counts the connection against a client; none when that one has too many.
    pub(super) fn name_peer(&mut self, peer: IpAddr) -> Option<()> {
        let entered = self.admission.enter_as(peer, self.limits.per_peer)?;
        self.with(|counted| counted.peer = Some(entered));
        Some(())
    }

    /// From now on somebody else can give back what is counted against the address.
    pub(super) fn share(&mut self) -> Arc<Mutex<Counted>> {
        let counted = match &mut self.counted {
            Held::Shared(counted) => return Arc::clone(counted),
            Held::Alone(counted) => Arc::new(Mutex::new(std::mem::take(counted))),
        };
        self.counted = Held::Shared(Arc::clone(&counted));
        counted
    }

    fn with(&mut self, change: impl FnOnce(&mut Counted)) {
        match &mut self.counted {
            Held::Alone(counted) => change(counted),
            Held::Shared(counted) => change(&mut counted.lock()),
        }
    }
}

impl Counted {
    /// Gives back what is counted.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((peer, admission)) = self.peer.take() else {
            return;
        };
        let mut counts = admission.counts.lock();
        if let Some(count) = counts.peers.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.peers.remove(&peer);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.total = counts.total.saturating_sub(1);
    }
}
