//! Entries that the change feed reported: what was checked before has to be checked again.
//!
//! A first synchronisation reports everybody, so this is a table of its own: 24 octets each, a bound that is soon
//! reached, and memory that goes back when the time of the reports is over.

use super::cache::Moment;
use model::{Clock, EntryUuid};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Reports kept one by one. Past them everybody counts as reported, which costs each login one more check.
const MOST: usize = 50_000;

pub(super) struct Dropped {
    clock: Arc<dyn Clock>,
    /// A report is kept for this long at least, and for twice as long at most.
    span: Duration,
    /// Young ones in the order in which they came: a table of them is made once somebody asks.
    newest: Vec<(EntryUuid, Moment)>,
    young: HashMap<EntryUuid, Moment>,
    old: HashMap<EntryUuid, Moment>,
    /// When the young ones became the old ones.
    turned: Duration,
    /// Up to this moment everybody was reported.
    everybody: Moment,
}

impl Dropped {
    pub(super) fn new(clock: Arc<dyn Clock>, span: Duration) -> Self {
        Self {
            turned: clock.monotonic(),
            clock,
            span,
            newest: Vec::new(),
            young: HashMap::new(),
            old: HashMap::new(),
            everybody: Moment::default(),
        }
    }

    /// The entry was reported at this moment. They come in their order.
    pub(super) fn note(&mut self, uuid: EntryUuid, moment: Moment) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.turned) >= self.span {
            self.gather();
            self.old = std::mem::take(&mut self.young);
            self.turned = now;
        }
        // An entry that was reported twice counts twice until somebody asks, which costs no more than a check.
        if self.newest.len() + self.young.len() + self.old.len() < MOST {
            self.newest.push((uuid, moment));
        } else {
            self.everybody = moment;
            self.newest = Vec::new();
            (self.young, self.old) = (HashMap::new(), HashMap::new());
        }
    }

    fn gather(&mut self) {
        self.young.extend(std::mem::take(&mut self.newest));
    }

    /// Whether the entry was reported at this moment or later.
    pub(super) fn since(&mut self, uuid: EntryUuid, moment: Moment) -> bool {
        self.gather();
        let own = || self.young.get(&uuid).or_else(|| self.old.get(&uuid));
        self.everybody >= moment || own().is_some_and(|reported| *reported >= moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};

    const SPAN: Duration = Duration::from_secs(60);

    fn entry(number: usize) -> EntryUuid {
        EntryUuid::from_bytes((number as u128).to_be_bytes())
    }

    #[test]
    fn a_report_lasts_for_its_span_and_not_for_ever() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let mut dropped = Dropped::new(clock.clone(), SPAN);
        dropped.note(entry(1), Moment(5));
        let is = |dropped: &mut Dropped, moment| dropped.since(entry(1), Moment(moment));
        assert!(is(&mut dropped, 4) && is(&mut dropped, 5) && !is(&mut dropped, 6));
        assert!(!dropped.since(entry(2), Moment(4)));
        clock.advance(SPAN);
        dropped.note(entry(2), Moment(6));
        assert!(is(&mut dropped, 5), "it was young until now");
        dropped.note(entry(1), Moment(7));
        assert!(is(&mut dropped, 7), "the later one counts");
        for number in [8, 9] {
            clock.advance(SPAN);
            dropped.note(entry(3), Moment(number));
        }
        assert!(!is(&mut dropped, 5), "nothing from before can live any more");
    }

    #[test]
    fn past_the_bound_everybody_was_reported() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let mut dropped = Dropped::new(clock, SPAN);
        let moment = |number: usize| Moment(number as u64);
        for number in 1..=MOST {
            dropped.note(entry(number), moment(number));
        }
        assert!(!dropped.since(entry(0), moment(1)));
        assert!(dropped.since(entry(1), moment(1)));
        dropped.note(entry(MOST + 1), moment(MOST + 1));
        for number in [0, 1, MOST, MOST + 1] {
            assert!(dropped.since(entry(number), moment(MOST + 1)));
            assert!(!dropped.since(entry(number), moment(MOST + 2)));
        }
        assert!(dropped.newest.is_empty() && dropped.young.is_empty() && dropped.old.is_empty());
    }
}
