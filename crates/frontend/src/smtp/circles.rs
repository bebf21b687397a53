//! Mail that comes back while it is being relayed: a relay that leads to this server again would make it ask itself,
//! connection by connection, before a word of the message is there.

use model::TraceId;
use parking_lot::Mutex;
use std::collections::HashSet;

/// The sessions for which a relay is being asked right now. XFORWARD carries the name of the first one through all of
/// them.
#[derive(Debug, Default)]
pub(super) struct Circles(Mutex<HashSet<TraceId>>);

/// A relay is being asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    circles: &'a Circles,
    trace: TraceId,
}

impl Circles {
    /// None when a relay is being asked for this very session.
    pub(super) fn enter(&self, trace: TraceId) -> Option<Asked<'_>> {
        let is_new = self.0.lock().insert(trace);
        is_new.then_some(Asked { circles: self, trace })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.circles.0.lock().remove(&self.trace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_asked_for_once_at_a_time() {
        let circles = Circles::default();
        let asked = circles.enter(TraceId::new(7)).expect("the first");
        assert!(circles.enter(TraceId::new(7)).is_none());
        assert!(circles.enter(TraceId::new(8)).is_some());
        drop(asked);
        assert!(circles.enter(TraceId::new(7)).is_some());
    }
}
