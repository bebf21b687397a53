//! Runs figures: ours and the peer's in turn, many short rounds, the one that begins changing each time.

use crate::client::Dialect;
use crate::figures::{Figure, Measure, What};
use crate::load::{Load, Until, Work, drive, hold};
use crate::machine::{Ticks, cores, cpu_seconds, machine_ticks, own_cpu_seconds, pss_kib};
use crate::stage::{Side, Stage};
use crate::stats::{Bar, Conditions, LEAST_PAIRS, Verdict, median};
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) pairs: usize,
    pub(crate) span: Duration,
}

/// What one round says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// In the figure's unit.
    pub(crate) value: f64,
    /// CPU milliseconds of the servers for one operation; none for memory.
    pub(crate) cpu_ms: f64,
    /// The share of one processor that the load generator used.
    pub(crate) generator: f64,
}

/// One side's medians.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Medians {
    pub(crate) value: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) generator: f64,
}

/// A figure that has been measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) figure: Figure,
    pub(crate) ours: Medians,
    pub(crate) peer: Medians,
    /// The median of the pairs' ratios.
    pub(crate) ratio: f64,
    pub(crate) rounds: usize,
    pub(crate) weather: Weather,
    pub(crate) met: Option<Verdict>,
}

/// What else the machine did meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// The share of its time that the hypervisor gave to others.
    pub(crate) steal_percent: f64,
    /// The share of its time that other programs worked.
    pub(crate) others_percent: f64,
}

/// What the machine and the stage have used so far.
#[derive(Debug, Clone, Copy)]
struct Spent {
    machine: Ticks,
    stage: f64,
}

/// The readings before and after a round.
#[derive(Debug, Clone, Copy)]
struct Reading {
    servers: f64,
    generator: f64,
}

/// Runs figures on a stage.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) runtime: &'a Runtime,
    pub(crate) pace: Pace,
    /// Counts rounds, so that no two deliver the same message.
    pub(crate) round: u64,
}

impl Runner<'_> {
    /// Measures one figure.
    pub(crate) fn measure(&mut self, figure: &Figure) -> Result<Measured> {
        let before = self.spent()?;
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        let rounds = match figure.what {
            What::Idle => 1,
            What::Load(work) => {
                // One short round each to warm up: caches, processes that are started on demand.
                for side in [Side::Ours, Side::Peer] {
                    self.load(figure, work, side, self.pace.span.min(Duration::from_millis(300)))?;
                }
                self.pace.pairs
            }
        };
        for pair in 0..rounds {
            let order = if pair % 2 == 0 {
                [Side::Ours, Side::Peer]
            } else {
                [Side::Peer, Side::Ours]
            };
            for side in order {
                let sample = match figure.what {
                    What::Idle => self.idle(figure, side)?,
                    What::Load(work) => self.load(figure, work, side, self.pace.span)?,
                };
                match side {
                    Side::Ours => ours.push(sample),
                    Side::Peer => peer.push(sample),
                }
            }
        }
        let weather = weather(before, self.spent()?);
        Ok(conclude(*figure, &ours, &peer, weather))
    }

    fn spent(&self) -> Result<Spent> {
        Ok(Spent {
            stage: cpu_seconds(&self.stage.everything()?)? + own_cpu_seconds()?,
            machine: machine_ticks()?,
        })
    }

    fn load(&mut self, figure: &Figure, work: Work, side: Side, span: Duration) -> Result<Sample> {
        self.round += 1;
        let (address, dialect) = self.stage.address(side, figure.place, figure.port);
        let work = match work {
            Work::Deliver { size, .. } => Work::Deliver { dialect, size },
            other => other,
        };
        let load = Load {
            work,
            target: address.into(),
            logins: self.stage.cast.logins(figure.who),
            connections: figure.connections,
            round: self.round,
        };
        let leaders = self.stage.processes(side, figure.place)?;
        let read = || {
            Ok(Reading {
                servers: cpu_seconds(&leaders)?,
                generator: own_cpu_seconds()?,
            })
        };
        let tally = drive(self.runtime, load.run(Until::Span(span), read)).with_context(|| {
            format!(
                "{} at {side:?}; its last words:\n{}",
                figure.name,
                self.stage.last_words(side)
            )
        })?;
        let (before, after) = tally.readings;
        let seconds = tally.elapsed.as_secs_f64();
        let operations = tally.operations as f64;
        let cpu_ms = (after.servers - before.servers) * 1000.0 / operations;
        let value = match figure.measure {
            Measure::Rate => operations / seconds,
            Measure::Millis => seconds * 1000.0 * figure.connections as f64 / operations,
            Measure::CpuMillis => cpu_ms,
            Measure::Megabytes => tally.bytes as f64 / 1e6 / seconds,
            Measure::Memory => f64::NAN,
        };
        Ok(Sample {
            value,
            cpu_ms,
            generator: (after.generator - before.generator) / seconds,
        })
    }

    fn idle(&mut self, figure: &Figure, side: Side) -> Result<Sample> {
        let (address, _): (_, Dialect) = self.stage.address(side, figure.place, figure.port);
        let leaders = self.stage.processes(side, figure.place)?;
        let logins = self.stage.cast.logins(figure.who);
        let count = figure.connections;
        let kib = drive(self.runtime, async {
            // What a server sets up once is not a session's: the first few are held before the count begins.
            let first = hold(&address.into(), &logins, logins.len()).await?;
            let before = pss_kib(&leaders)?;
            let held = hold(&address.into(), &logins, count).await?;
            let after = pss_kib(&leaders)?;
            drop((first, held));
            anyhow::Ok((after - before) / count as f64)
        })
        .with_context(|| {
            format!(
                "{} at {side:?}; its last words:\n{}",
                figure.name,
                self.stage.last_words(side)
            )
        })?;
        Ok(Sample {
            value: kib,
            cpu_ms: f64::NAN,
            generator: f64::NAN,
        })
    }
}

fn weather(before: Spent, after: Spent) -> Weather {
    let share = |part: f64| {
        let all = after.machine.all.saturating_sub(before.machine.all).max(1);
        100.0 * part / (all as f64 / rustix::param::clock_ticks_per_second() as f64)
    };
    let busy = after.machine.busy_seconds() - before.machine.busy_seconds();
    let stolen = after.machine.stolen.saturating_sub(before.machine.stolen);
    Weather {
        steal_percent: share(stolen as f64 / rustix::param::clock_ticks_per_second() as f64),
        others_percent: share((busy - (after.stage - before.stage)).max(0.0)),
    }
}

fn conclude(figure: Figure, ours: &[Sample], peer: &[Sample], weather: Weather) -> Measured {
    let medians = |samples: &[Sample]| {
        let of = |pick: fn(&Sample) -> f64| median(&samples.iter().map(pick).collect::<Vec<_>>());
        Medians {
            value: of(|sample| sample.value),
            cpu_ms: of(|sample| sample.cpu_ms),
            generator: of(|sample| sample.generator),
        }
    };
    let ratios: Vec<f64> = ours
        .iter()
        .zip(peer)
        .map(|(ours, peer)| ours.value / peer.value)
        .collect();
    let (our_medians, ratio) = (medians(ours), median(&ratios));
    let conditions = Conditions {
        steal_percent: weather.steal_percent,
        // Memory does not depend on what else the machine does: one round of many sessions is enough.
        enough_rounds: matches!(figure.what, What::Idle) || ratios.len() >= LEAST_PAIRS,
    };
    Measured {
        met: Bar::judge(figure.bar, our_medians.value, ratio, conditions),
        figure,
        ours: our_medians,
        peer: medians(peer),
        ratio,
        rounds: ratios.len(),
        weather,
    }
}

/// The conditions of a whole run.
pub(crate) fn machine_line() -> String {
    let system = rustix::system::uname();
    format!(
        "{} processors, {} {}",
        cores(),
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::smoke;
    use crate::stage::Sizes;

    #[test]
    fn a_pair_is_compared_with_itself() {
        let sizes = Sizes { big: 1, read: 1 };
        let figure = smoke(sizes)
            .into_iter()
            .find(|figure| figure.name == "lmtp-delivery");
        let figure = figure.expect("a figure");
        let sample = |value| Sample {
            value,
            cpu_ms: 1.0,
            generator: 0.1,
        };
        // The machine slows down in the middle; each pair still says 4.
        let ours: Vec<Sample> = [400.0, 400.0, 40.0].into_iter().map(sample).collect();
        let peer: Vec<Sample> = [100.0, 100.0, 10.0].into_iter().map(sample).collect();
        let measured = conclude(figure, &ours, &peer, Weather::default());
        assert_eq!(measured.ratio, 4.0);
        assert_eq!(
            measured.met,
            Some(Verdict::Inconclusive),
            "three pairs are too few"
        );
        let nine: Vec<Sample> = vec![sample(400.0); 9];
        let measured = conclude(figure, &nine, &vec![sample(100.0); 9], Weather::default());
        assert_eq!(measured.met, Some(Verdict::Met));
    }

    #[test]
    fn what_others_did_is_a_share() {
        let hertz = rustix::param::clock_ticks_per_second();
        let spent = |busy, stolen, all, stage| Spent {
            machine: Ticks {
                busy: busy * hertz,
                stolen: stolen * hertz,
                all: all * hertz,
            },
            stage,
        };
        let found = weather(spent(1, 1, 10, 1.0), spent(51, 11, 110, 31.0));
        assert_eq!((found.steal_percent, found.others_percent), (10.0, 20.0));
        let idle = weather(spent(1, 1, 10, 1.0), spent(1, 1, 10, 1.5));
        assert_eq!((idle.steal_percent, idle.others_percent), (0.0, 0.0));
    }
}
