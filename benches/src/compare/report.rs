//! The text and the JSON of a comparison with several peers.

use super::{Measured, OURS};
use crate::chart;
use crate::report::{number, shown};
use crate::stats::{Bar, LEAST_PAIRS, MOST_STEAL, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a reader needs to judge a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) benchmark: &'static str,
    /// Name to version, ours included.
    pub(crate) programs: BTreeMap<&'static str, String>,
    pub(crate) machine: String,
    pub(crate) file_system: String,
    pub(crate) rounds: usize,
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    setting: &'a Setting,
    bars: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    better: &'static str,
    ours: Option<f64>,
    peers: BTreeMap<&'static str, PeerRow>,
    bar: Option<f64>,
    bar_on: Option<&'static str>,
    /// The peer whose ratio the bar is for.
    bar_peer: Option<&'static str>,
    met: Option<Verdict>,
    rounds: usize,
    steal_percent: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PeerRow {
    value: Option<f64>,
    ratio: Option<f64>,
}

/// The JSON of a run.
pub(crate) fn json(setting: &Setting, all: &[Measured]) -> serde_json::Result<String> {
    let bars = all
        .iter()
        .map(|measured| Row {
            name: measured.figure.name,
            title: measured.figure.title,
            unit: measured.figure.unit,
            better: if measured.figure.higher_is_better {
                "higher"
            } else {
                "lower"
            },
            ours: number(measured.ours),
            peers: measured
                .peers
                .iter()
                .map(|peer| {
                    let row = PeerRow {
                        value: number(peer.value),
                        ratio: number(peer.ratio),
                    };
                    (peer.name, row)
                })
                .collect(),
            bar: measured.figure.bar.value(),
            bar_on: measured.figure.bar.compares(),
            bar_peer: match measured.figure.bar.compares() {
                Some("ratio") => measured.peers.first().map(|peer| peer.name),
                _ => None,
            },
            met: measured.met,
            rounds: measured.rounds,
            steal_percent: number(measured.steal_percent),
        })
        .collect();
    serde_json::to_string_pretty(&Report { setting, bars })
}

/// The lines above the table.
pub(crate) fn head(setting: &Setting) -> String {
    let programs: Vec<&str> = setting.programs.values().map(String::as_str).collect();
    let mut text = format!(
        "{}: {} on {}, files on {}; {} rounds, medians; ratio = ours / peer.\n",
        setting.benchmark,
        programs.join(", "),
        setting.machine,
        setting.file_system,
        setting.rounds,
    );
    for note in &setting.notes {
        let _ = writeln!(text, "- {note}");
    }
    let _ = write!(
        text,
        "\n{:<24} {:>10} {:<14} {:>10} {:<13} peers (value, ratio)",
        "figure", OURS, "unit", "bar", "result"
    );
    text
}

/// One row of the table.
pub(crate) fn row(measured: &Measured) -> String {
    let figure = &measured.figure;
    let mut text = format!(
        "{:<24} {:>10} {:<14} {:>10} {:<13}",
        figure.name,
        shown(measured.ours),
        figure.unit,
        figure.bar.shown(),
        measured.met.map_or("-", Verdict::shown),
    );
    for peer in &measured.peers {
        let _ = write!(
            text,
            " {} {} ({}x)",
            peer.name,
            shown(peer.value),
            shown(peer.ratio)
        );
    }
    if measured.steal_percent > MOST_STEAL {
        let _ = write!(text, "  steal {:.1} %", measured.steal_percent);
    }
    text
}

/// The last line: what the bars came to, and why some say nothing.
pub(crate) fn summary(setting: &Setting, all: &[Measured]) -> String {
    let named = |verdict: Verdict| -> Vec<&str> {
        let judged = all.iter().filter(|measured| measured.met == Some(verdict));
        judged.map(|measured| measured.figure.name).collect()
    };
    let (met, missed, unclear) = (
        named(Verdict::Met),
        named(Verdict::Missed),
        named(Verdict::Inconclusive),
    );
    let list = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let why = if unclear.is_empty() {
        String::new()
    } else if setting.rounds < LEAST_PAIRS {
        format!(" ({} rounds; {LEAST_PAIRS} are needed)", setting.rounds)
    } else {
        format!(" (the hypervisor took more than {MOST_STEAL} % of the time)")
    };
    format!(
        "\nmet: {}; missed: {}; inconclusive: {}{why}",
        list(&met),
        list(&missed),
        list(&unclear)
    )
}

/// A bar of the chart for each figure and peer.
pub(crate) fn chart_rows(all: &[Measured]) -> Vec<chart::Row> {
    let mut rows = Vec::new();
    for measured in all {
        for (index, peer) in measured.peers.iter().enumerate() {
            let factor = |ratio: f64| {
                if measured.figure.higher_is_better {
                    ratio
                } else {
                    1.0 / ratio
                }
            };
            let first = index == 0;
            rows.push(chart::Row {
                label: format!("{} / {}", measured.figure.name, peer.name),
                better: factor(peer.ratio),
                wanted: match measured.figure.bar {
                    _ if !first => None,
                    Bar::None => None,
                    Bar::RatioAtLeast(bar) | Bar::RatioAtMost(bar) => Some(factor(bar)),
                    Bar::AtMost(bar) | Bar::AtLeast(bar) => Some(factor(bar / peer.value)),
                },
                met: if first { measured.met } else { None },
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Figure;

    #[test]
    fn the_last_line_names_what_says_nothing_and_why() {
        let setting = |rounds| Setting {
            benchmark: "x",
            programs: BTreeMap::new(),
            machine: String::new(),
            file_system: String::new(),
            rounds,
            notes: Vec::new(),
        };
        let measured = |name, met| Measured {
            figure: Figure {
                name,
                title: "",
                unit: "ms",
                higher_is_better: false,
                bar: Bar::AtMost(1.0),
            },
            ours: 1.0,
            peers: Vec::new(),
            rounds: 9,
            steal_percent: 0.0,
            met,
        };
        let all = [
            measured("a", Some(Verdict::Met)),
            measured("b", Some(Verdict::Inconclusive)),
            measured("c", None),
        ];
        let text = summary(&setting(3), &all);
        assert!(text.ends_with("met: a; missed: none; inconclusive: b (3 rounds; 9 are needed)"));
        assert!(summary(&setting(9), &all).contains("hypervisor"));
        assert!(summary(&setting(3), &all[..1]).ends_with("inconclusive: none"));
    }
}
