//! Changes on our side, written to the directory, beside `ldapmodify` with the same changes of the same entries.

use super::person::Reader;
use super::reads;
use super::site::{Server, Site};
use crate::clock::now;
use crate::compare::{Contest, Figure, Measured, OURS, Side, Values};
use crate::machine::cpu_seconds;
use crate::stats::Bar;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

/// Connections that make the changes on our side.
const HANDS: usize = 8;
/// Between two looks whether everything is written.
const LOOK: Duration = Duration::from_millis(10);

/// What the changes are written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The defaults: transactions, and a rate that counts each as one write.
    Bulk,
    /// One write after the other, as fast as the directory takes them.
    Serial,
    /// Each in a commit of its own, as many under way as the defaults allow: a directory without transactions.
    Single,
}

impl Manner {
    fn connector(self) -> &'static str {
        match self {
            Self::Bulk => "direction = \"both-ways\"",
            Self::Serial => "direction = \"both-ways\"\nwrites = { rate = 0, window = 1, transaction = 1 }",
            Self::Single => "direction = \"both-ways\"\nwrites = { rate = 0, transaction = 1 }",
        }
    }

    pub(super) fn figures(self) -> Vec<Figure> {
        let rate = |title, bar| Figure {
            name: self.name(),
            title,
            unit: "changes/s",
            higher_is_better: true,
            bar,
        };
        let mut all = vec![match self {
            Self::Serial => rate("changes of accounts, written one by one", Bar::RatioAtLeast(0.95)),
            Self::Single => rate(
                "the same, as many at once as the defaults allow",
                Bar::RatioAtLeast(0.95),
            ),
            Self::Bulk => rate("the same in transactions", Bar::RatioAtLeast(5.0)),
        }];
        let [ours, directory] = self.processor_names();
        all.push(processor(ours, "CPU time of the product for each"));
        all.push(processor(directory, "CPU time of slapd for each"));
        if self == Self::Bulk {
            all.extend(reads::BULK);
        }
        all
    }

    fn processor_names(self) -> [&'static str; 2] {
        match self {
            Self::Serial => ["push-serial-cpu", "push-serial-slapd-cpu"],
            Self::Single => ["push-single-cpu", "push-single-slapd-cpu"],
            Self::Bulk => ["push-bulk-cpu", "push-bulk-slapd-cpu"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Serial => "push-serial",
            Self::Single => "push-single",
            Self::Bulk => "push-bulk",
        }
    }
}

/// Milliseconds of a processor for one change.
const fn processor(name: &'static str, title: &'static str) -> Figure {
    Figure {
        name,
        title,
        unit: "CPU ms",
        higher_is_better: false,
        bar: Bar::None,
    }
}

/// Our side and the peer's take turns with the same people; both know who is switched off now.
struct Turns<'a> {
    site: &'a Site,
    server: Server,
    count: usize,
    off: bool,
    manner: Manner,
}

impl Turns<'_> {
    /// The changes on our side, while synchronisation rests.
    fn prepare(&mut self) -> Result<()> {
        self.server.rest()?;
        self.off = !self.off;
        let enabled = !self.off;
        let mut hands = Vec::new();
        for hand in 0..HANDS {
            let (mut api, count) = (self.server.connect()?, self.count);
            hands.push(std::thread::spawn(move || -> Result<()> {
                for number in (hand..count).step_by(HANDS) {
                    let path = format!("{}/enabled", Server::account(number));
                    api.put(&path, &json!({ "enabled": enabled }))?;
                }
                Ok(())
            }));
        }
        for hand in hands {
            hand.join().ok().context("a hand panicked")??;
        }
        Ok(())
    }

    /// From the start of synchronisation until everything is written and acknowledged; changes a second.
    fn push(&mut self) -> Result<Values> {
        self.prepare()?;
        let count = self.count as u64;
        let watch = self.watch();
        let before = self.processors()?;
        let began = now();
        self.server.begin()?;
        let status = self.server.watch(LOOK, "everything is written", |status| {
            status.there >= count && status.waiting == 0 && status.state == "following"
        })?;
        let seconds = began.elapsed().as_secs_f64();
        let after = self.processors()?;
        let mut values = self.values(seconds, watch)?;
        for ((name, before), after) in self.manner.processor_names().into_iter().zip(before).zip(after) {
            values.insert(name, (after - before) * 1000.0 / self.count as f64);
        }
        ensure!(status.there == count && status.aside == 0, "{status:?}");
        self.agreed()?;
        Ok(values)
    }

    /// CPU seconds of the product and of slapd.
    fn processors(&self) -> Result<[f64; 2]> {
        Ok([cpu_seconds(&[self.server.process()?])?, self.site.processor()?])
    }

    /// The reader, where its answers are a figure.
    fn watch(&self) -> Option<Reader> {
        (self.manner == Manner::Bulk).then(|| reads::reader(self.site))
    }

    fn values(&self, seconds: f64, watch: Option<Reader>) -> Result<Values> {
        let mut values = match watch {
            Some(reader) => reads::values(reads::BULK, &reader.finish()?),
            None => Values::new(),
        };
        values.insert(self.manner.name(), self.count as f64 / seconds);
        Ok(values)
    }

    fn peer(&mut self) -> Result<Values> {
        self.server.rest()?;
        self.off = !self.off;
        let value = if self.off { "FALSE" } else { "TRUE" };
        let mut ldif = String::new();
        for number in 0..self.count {
            write!(
                ldif,
                "dn: {}\nchangetype: modify\nreplace: homingEnabled\nhomingEnabled: {value}\n\n",
                self.site.dn(number)
            )?;
        }
        let watch = self.watch();
        let [_, before] = self.processors()?;
        let seconds = self.site.modify(&ldif)?;
        let [_, after] = self.processors()?;
        let mut values = self.values(seconds, watch)?;
        let [_, directory] = self.manner.processor_names();
        values.insert(directory, (after - before) * 1000.0 / self.count as f64);
        self.server.begin()?;
        let count = self.count as u64;
        self.server.until("everything is read", |status| {
            status.here >= count && status.state == "following"
        })?;
        self.agreed()?;
        Ok(values)
    }

    /// What the directory says of those who are switched off.
    fn agreed(&self) -> Result<()> {
        let found = self.site.count("(homingEnabled=FALSE)")?;
        let wanted = if self.off { self.count } else { 0 };
        ensure!(
            found == wanted,
            "{found} are switched off in the directory, not {wanted}"
        );
        Ok(())
    }
}

/// Runs one of the two.
pub(super) fn run(site: &Site, manner: Manner, count: usize, rounds: usize) -> Result<Vec<Measured>> {
    let _apart = match manner {
        Manner::Bulk => Some(reads::Apart::new(site)?),
        Manner::Serial | Manner::Single => None,
    };
    let mut server = site.homing(manner.connector())?;
    server.until_linked(site.people)?;
    let turns = RefCell::new(Turns {
        site,
        server,
        count,
        off: false,
        manner,
    });
    let mut sides = vec![
        Side::new(OURS, || turns.borrow_mut().push()),
        Side::new("ldapmodify", || turns.borrow_mut().peer()),
    ];
    if manner == Manner::Bulk {
        sides.insert(1, reads::quiet(site, reads::BULK));
    }
    // The first round of each side is for entries that never had the attribute.
    let contest = Contest {
        figures: manner.figures(),
        sides,
        warm_up: true,
    };
    contest.run(rounds)
}
