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
    peer: Option<IpAddr>,
    /// What a rule of access has counted, given back with the place.
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
            peer: None,
            pass: None,
        };
        if let Some(peer) = peer {
            slot.name_peer(peer)?;
        }
        Some(slot)
    }
}

impl Slot {
    /// Keeps what a rule has counted, as long as the connection is there.
    pub(super) fn keep(&mut self, pass: Option<Pass>) {
        self.pass = pass;
    }

    /// Counts the connection against a client; none when that one has too many.
    pub(super) fn name_peer(&mut self, peer: IpAddr) -> Option<()> {
        let peer = site(peer);
        let mut counts = self.admission.counts.lock();
        let count = counts.peers.entry(peer).or_default();
        if *count >= self.limits.per_peer {
            return None;
        }
        *count += 1;
        self.peer = Some(peer);
        Some(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Some(peer) = self.peer
            && let Some(count) = counts.peers.get_mut(&peer)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.peers.remove(&peer);
            }
        }
    }
}
