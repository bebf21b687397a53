//! A bounded cache whose entries are fresh for a while, stale for a while longer, then gone.

use model::Clock;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the cache knows about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached<V> {
    /// Within its time: use it.
    Fresh(V),
    /// Past its time but kept for the case that the source cannot be asked.
    Stale(V),
    /// Unknown.
    Missing,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    fresh_until: Duration,
    stale_until: Duration,
    /// Tells the queue entry of this slot from those of earlier ones with the same key.
    sequence: u64,
    used: AtomicBool,
}

/// A map with at most `capacity` entries. When it is full, the oldest entry that nobody asked for since it
/// was last looked at goes (second chance).
pub struct TtlCache<K, V> {
    clock: Arc<dyn Clock>,
    capacity: usize,
    slots: HashMap<K, Slot<V>>,
    queue: VecDeque<(K, u64)>,
    sequence: u64,
}

impl<K: Eq + Hash + Clone, V> TtlCache<K, V> {
    /// An empty cache for `capacity` entries (at least one).
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self {
            clock,
            capacity: capacity.max(1),
            slots: HashMap::new(),
            queue: VecDeque::new(),
            sequence: 0,
        }
    }

    /// What is known about `key` now.
    pub fn get<Q>(&self, key: &Q) -> Cached<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(slot) = self.slots.get(key) else {
            return Cached::Missing;
        };
        let now = self.clock.monotonic();
        if now >= slot.stale_until {
            return Cached::Missing;
        }
        slot.used.store(true, Ordering::Relaxed);
        if now < slot.fresh_until {
            Cached::Fresh(&slot.value)
        } else {
            Cached::Stale(&slot.value)
        }
    }

    /// Keeps `value` fresh for `fresh`, then stale for `stale` more.
    pub fn insert(&mut self, key: K, value: V, fresh: Duration, stale: Duration) {
        let now = self.clock.monotonic();
        let fresh_until = now.saturating_add(fresh);
        self.sequence += 1;
        let slot = Slot {
            value,
            fresh_until,
            stale_until: fresh_until.saturating_add(stale),
            sequence: self.sequence,
            used: AtomicBool::new(false),
        };
        if self.slots.insert(key.clone(), slot).is_none() && self.slots.len() > self.capacity {
            self.evict(now);
        }
        self.queue.push_back((key, self.sequence));
        if self.queue.len() > self.capacity.saturating_mul(2) {
            let slots = &self.slots;
            self.queue
                .retain(|(key, sequence)| slots.get(key).is_some_and(|slot| slot.sequence == *sequence));
        }
    }

    /// Forgets one key.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.slots.is_empty() {
            // A synchronisation asks of everybody, and nobody has logged in yet: no key is to be hashed for it.
            return None;
        }
        self.slots.remove(key).map(|slot| slot.value)
    }

    /// Keeps only the entries that the test likes.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.slots.retain(|key, slot| keep(key, &slot.value));
    }

    /// How many entries are held, those past their time included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn evict(&mut self, now: Duration) {
        // Every pass either removes an entry or clears its mark, so two rounds always find one.
        while let Some((key, sequence)) = self.queue.pop_front() {
            let Some(slot) = self.slots.get(&key).filter(|slot| slot.sequence == sequence) else {
                continue;
            };
            if now < slot.stale_until && slot.used.swap(false, Ordering::Relaxed) {
                self.queue.push_back((key, sequence));
                continue;
            }
            self.slots.remove(&key);
            return;
        }
    }
}

impl<K, V> std::fmt::Debug for TtlCache<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TtlCache")
            .field("entries", &self.slots.len())
            .field("capacity", &self.capacity)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn fresh_then_stale_then_gone() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let mut cache = TtlCache::new(clock.clone(), 4);
        cache.insert("a", 1, SECOND, SECOND);
        assert_eq!(cache.get("a"), Cached::Fresh(&1));
        clock.advance(SECOND);
        assert_eq!(cache.get("a"), Cached::Stale(&1));
        clock.advance(SECOND);
        assert_eq!(cache.get("a"), Cached::Missing);
        cache.insert("a", 2, SECOND, Duration::ZERO);
        assert_eq!(cache.remove("a"), Some(2));
        assert_eq!(cache.get("a"), Cached::Missing);
    }

    #[test]
    fn bounded_and_keeps_what_is_used() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let mut cache = TtlCache::new(clock, 3);
        for key in 0..3 {
            cache.insert(key, key, SECOND, SECOND);
        }
        for key in 3..1000 {
            assert_eq!(
                cache.get(&0),
                Cached::Fresh(&0),
                "asked for all the time, so it stays"
            );
            cache.insert(key, key, SECOND, SECOND);
            assert!(cache.len() <= 3 && cache.queue.len() <= 7);
        }
        for _ in 0..1000 {
            cache.insert(0, 0, SECOND, SECOND);
            assert!(cache.queue.len() <= 7);
        }
    }
}
