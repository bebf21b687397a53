//! Medians, ratios and verdicts.

use serde::{Serialize, Serializer};

/// Met is within this much of the bar.
const TOLERANCE: f64 = 0.10;
/// Fewer pairs than this prove nothing.
pub(crate) const LEAST_PAIRS: usize = 9;
/// A machine with more stolen time than this percentage is disturbed.
pub(crate) const MOST_STEAL: f64 = 5.0;

/// The middle of the values; the mean of the two in the middle when their number is even.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or(f64::NAN);
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = sorted.get(middle.wrapping_sub(1)).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// None is set.
    None,
    /// Ours divided by the peer's is at least this.
    RatioAtLeast(f64),
    /// Ours divided by the peer's is at most this.
    RatioAtMost(f64),
    /// Our own value is at most this.
    AtMost(f64),
    /// Our own value is at least this.
    AtLeast(f64),
}

impl Bar {
    /// Its number.
    pub(crate) fn value(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::RatioAtLeast(value)
            | Self::RatioAtMost(value)
            | Self::AtMost(value)
            | Self::AtLeast(value) => Some(value),
        }
    }

    /// What its number is compared with.
    pub(crate) fn compares(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::RatioAtLeast(_) | Self::RatioAtMost(_) => Some("ratio"),
            Self::AtMost(_) | Self::AtLeast(_) => Some("ours"),
        }
    }

    /// For people.
    pub(crate) fn shown(self) -> String {
        match self {
            Self::None => "-".to_owned(),
            Self::RatioAtLeast(value) => format!(">= {value:.2}x"),
            Self::RatioAtMost(value) => format!("<= {value:.2}x"),
            Self::AtMost(value) => format!("<= {value}"),
            Self::AtLeast(value) => format!(">= {value}"),
        }
    }

    /// Whether it is reached; none when there is no bar.
    pub(crate) fn judge(self, ours: f64, ratio: f64, conditions: Conditions) -> Option<Verdict> {
        let reached = match self {
            Self::None => return None,
            Self::RatioAtLeast(bar) => ratio >= bar * (1.0 - TOLERANCE),
            Self::RatioAtMost(bar) => ratio <= bar * (1.0 + TOLERANCE),
            Self::AtMost(bar) => ours <= bar * (1.0 + TOLERANCE),
            Self::AtLeast(bar) => ours >= bar * (1.0 - TOLERANCE),
        };
        if conditions.steal_percent > MOST_STEAL || !conditions.enough_rounds {
            return Some(Verdict::Inconclusive);
        }
        Some(if reached { Verdict::Met } else { Verdict::Missed })
    }
}

/// How a figure was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) steal_percent: f64,
    pub(crate) enough_rounds: bool,
}

/// In JSON: true, false or "inconclusive".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    Inconclusive,
}

impl Verdict {
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Met => serializer.serialize_bool(true),
            Self::Missed => serializer.serialize_bool(false),
            Self::Inconclusive => serializer.serialize_str("inconclusive"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn bars_have_a_tolerance_and_need_quiet() {
        let quiet = Conditions {
            steal_percent: 0.1,
            enough_rounds: true,
        };
        let disturbed = Conditions {
            steal_percent: 5.1,
            ..quiet
        };
        let few = Conditions {
            enough_rounds: false,
            ..quiet
        };
        for (bar, ours, ratio, conditions, expected) in [
            (Bar::None, 1.0, 1.0, quiet, None),
            (Bar::RatioAtLeast(3.0), 9.0, 2.71, quiet, Some(Verdict::Met)),
            (Bar::RatioAtLeast(3.0), 9.0, 2.69, quiet, Some(Verdict::Missed)),
            (Bar::RatioAtMost(1.0), 9.0, 1.09, quiet, Some(Verdict::Met)),
            (Bar::RatioAtMost(1.0), 9.0, 1.11, quiet, Some(Verdict::Missed)),
            (Bar::AtMost(16.0), 17.0, 9.0, quiet, Some(Verdict::Met)),
            (Bar::AtMost(16.0), 18.0, 0.1, quiet, Some(Verdict::Missed)),
            (Bar::AtLeast(10.0), 9.1, 0.1, quiet, Some(Verdict::Met)),
            (Bar::AtLeast(10.0), 8.9, 9.0, quiet, Some(Verdict::Missed)),
            (
                Bar::AtMost(16.0),
                1.0,
                0.1,
                disturbed,
                Some(Verdict::Inconclusive),
            ),
            (Bar::RatioAtLeast(1.0), 1.0, 9.0, few, Some(Verdict::Inconclusive)),
        ] {
            assert_eq!(bar.judge(ours, ratio, conditions), expected, "{bar:?}");
        }
    }

    #[test]
    fn verdicts_in_json() -> Result<(), serde_json::Error> {
        let all = [Verdict::Met, Verdict::Missed, Verdict::Inconclusive];
        assert_eq!(serde_json::to_string(&all)?, "[true,false,\"inconclusive\"]");
        Ok(())
    }
}
