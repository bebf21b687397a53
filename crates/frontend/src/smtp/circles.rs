//! Mail that comes back while it is being relayed: a relay that leads to this server again would make it ask itself,
//! connection by connection, before a word of the message is there.

use model::TraceId;
use parking_lot::Mutex;
use std::collections::HashMap;

/// How often a relay may be asked for one session at the same moment. A session asks once; one that has given up
/// waiting, or that reaches this server by two names, asks again while the first is under way.
const AT_ONCE: u32 = 4;

/// The sessions for which a relay is being asked right now, and how often. XTRACE carries the name of the first one
/// through all of them.
#[derive(Debug, Default)]
pub(super) struct Circles(Mutex<HashMap<TraceId, u32>>);

/// A relay is being asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    circles: &'a Circles,
    first: TraceId,
}

impl Circles {
    /// None when a relay is being asked for this very session so often that it must be asking us.
    pub(super) fn enter(&self, first: TraceId) -> Option<Asked<'_>> {
        let mut asked = self.0.lock();
        let count = asked.entry(first).or_default();
        if *count >= AT_ONCE {
            return None;
        }
        *count += 1;
        Some(Asked { circles: self, first })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut asked = self.circles.0.lock();
        if let Some(count) = asked.get_mut(&self.first) {
            *count -= 1;
            if *count == 0 {
                asked.remove(&self.first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_asked_for_a_few_times_at_once_and_leaves_nothing() {
        let circles = Circles::default();
        let mut asked: Vec<_> = (0..AT_ONCE).map(|_| circles.enter(TraceId::new(7))).collect();
        assert!(asked.iter().all(Option::is_some));
        assert!(circles.enter(TraceId::new(7)).is_none());
        assert!(circles.enter(TraceId::new(8)).is_some());
        asked.pop();
        assert!(circles.enter(TraceId::new(7)).is_some());
        asked.clear();
        assert!(circles.0.lock().is_empty());
    }
}
