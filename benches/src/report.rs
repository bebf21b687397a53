//! What a run prints: a table for people and JSON for programs.

use crate::chart;
use crate::run::{Measured, Medians, Pace};
use crate::stats::{Bar, Verdict};
use serde::Serialize;
use std::fmt::Write;

/// From this share of the machine's time on, other programs are mentioned.
const MOST_OTHERS: f64 = 10.0;

/// Everything about the run that a reader needs to judge it.
#[derive(Debug, Serialize)]
pub(crate) struct Setting {
    pub(crate) benchmark: &'static str,
    pub(crate) subject: String,
    pub(crate) peer: String,
    pub(crate) machine: String,
    pub(crate) file_system: String,
    pub(crate) pairs: usize,
    pub(crate) seconds_per_round: f64,
    pub(crate) large_mailbox: u64,
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    setting: &'a Setting,
    bars: Vec<Row>,
}

/// A number or, when it cannot be had, null: JSON has no NaN.
pub(crate) type Number = Option<f64>;

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    better: &'static str,
    ours: Number,
    peer: Number,
    ratio: Number,
    bar: Option<f64>,
    /// What the bar is compared with: `ratio` or `ours`.
    bar_on: Option<&'static str>,
    met: Option<Verdict>,
    cpu_ms: Pair,
    /// Shares of one processor that the load generator used.
    generator: Pair,
    rounds: usize,
    steal_percent: Number,
    /// The share of the machine's time that other programs worked meanwhile.
    others_percent: Number,
}

#[derive(Debug, Serialize)]
struct Pair {
    ours: Number,
    peer: Number,
}

impl Pair {
    fn of(measured: &Measured, pick: fn(&Medians) -> f64) -> Self {
        Self {
            ours: number(pick(&measured.ours)),
            peer: number(pick(&measured.peer)),
        }
    }
}

/// Four significant digits are more than a benchmark knows.
pub(crate) fn number(value: f64) -> Number {
    if !value.is_finite() {
        return None;
    }
    if value == 0.0 {
        return Some(0.0);
    }
    let scale = 10_f64.powf(3.0 - value.abs().log10().floor());
    Some((value * scale).round() / scale)
}

/// A number for people.
pub(crate) fn shown(value: f64) -> String {
    match number(value) {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// The JSON of a run.
pub(crate) fn json(setting: &Setting, all: &[Measured]) -> serde_json::Result<String> {
    let bars = all
        .iter()
        .map(|measured| Row {
            name: measured.figure.name,
            title: measured.figure.title,
            unit: measured.figure.measure.unit(),
            better: if measured.figure.measure.higher_is_better() {
                "higher"
            } else {
                "lower"
            },
            ours: number(measured.ours.value),
            peer: number(measured.peer.value),
            ratio: number(measured.ratio),
            bar: measured.figure.bar.value(),
            bar_on: measured.figure.bar.compares(),
            met: measured.met,
            cpu_ms: Pair::of(measured, |medians| medians.cpu_ms),
            generator: Pair::of(measured, |medians| medians.generator),
            rounds: measured.rounds,
            steal_percent: number(measured.weather.steal_percent),
            others_percent: number(measured.weather.others_percent),
        })
        .collect();
    serde_json::to_string_pretty(&Report { setting, bars })
}

/// A bar of the chart for each figure.
pub(crate) fn chart_rows(all: &[Measured]) -> Vec<chart::Row> {
    let row = |measured: &Measured| {
        let factor = |ratio: f64| {
            if measured.figure.measure.higher_is_better() {
                ratio
            } else {
                1.0 / ratio
            }
        };
        chart::Row {
            label: measured.figure.name.to_owned(),
            better: factor(measured.ratio),
            wanted: match measured.figure.bar {
                Bar::None => None,
                Bar::RatioAtLeast(bar) | Bar::RatioAtMost(bar) => Some(factor(bar)),
                Bar::AtMost(bar) | Bar::AtLeast(bar) => Some(factor(bar / measured.peer.value)),
            },
            met: measured.met,
        }
    };
    all.iter().map(row).collect()
}

/// The lines above the table.
pub(crate) fn head(setting: &Setting, pace: Pace) -> String {
    let mut text = format!(
        "{}: {} and {} on {}, data on {}; {} pairs of {} s, medians; ratio = ours / peer.\n",
        setting.benchmark,
        setting.subject,
        setting.peer,
        setting.machine,
        setting.file_system,
        pace.pairs,
        pace.span.as_secs_f64(),
    );
    for note in &setting.notes {
        let _ = writeln!(text, "- {note}");
    }
    let _ = write!(
        text,
        "\n{:<20} {:>10} {:>10} {:<11} {:>8} {:>10} {:<13} {:>9} {:>9}",
        "figure", "Homing", "peer", "unit", "ratio", "bar", "result", "CPU ms", "peer's"
    );
    text
}

/// One row of the table.
pub(crate) fn row(measured: &Measured) -> String {
    let figure = &measured.figure;
    let mut text = format!(
        "{:<20} {:>10} {:>10} {:<11} {:>8} {:>10} {:<13} {:>9} {:>9}",
        figure.name,
        shown(measured.ours.value),
        shown(measured.peer.value),
        figure.measure.unit(),
        shown(measured.ratio),
        figure.bar.shown(),
        measured.met.map_or("-", Verdict::shown),
        shown(measured.ours.cpu_ms),
        shown(measured.peer.cpu_ms),
    );
    let weather = measured.weather;
    if weather.steal_percent > crate::stats::MOST_STEAL {
        let _ = write!(text, "  steal {:.1} %", weather.steal_percent);
    }
    if weather.others_percent > MOST_OTHERS {
        let _ = write!(text, "  other programs {:.0} %", weather.others_percent);
    }
    if measured.ours.generator > 0.9 {
        text.push_str("  the load generator was busy all the time: the rate is its own");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_and_no_nan() {
        assert_eq!(number(1234.56), Some(1235.0));
        assert_eq!(number(0.123_456), Some(0.1235));
        assert_eq!(number(f64::NAN), None);
        assert_eq!(number(0.0), Some(0.0));
        assert_eq!(
            (
                shown(1234.5).as_str(),
                shown(0.5).as_str(),
                shown(f64::NAN).as_str()
            ),
            ("1235", "0.500", "-")
        );
    }
}
