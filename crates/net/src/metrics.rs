//! Numbers about what the server does, in Prometheus' text format.
//!
//! A registry is a value that is handed to whoever counts. Series are bounded: a home or a reason that is one too
//! many is counted under `overflow="true"`.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Series that one family may have.
const MAX_SERIES: usize = 2_000;
/// Characters of a label's value.
const MAX_VALUE: usize = 200;
/// Upper bounds of a histogram of durations, in microseconds.
const BOUNDS: [u64; 12] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000,
];

/// A name and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// `homing_..._total` for counters, with its unit for others.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// All numbers of this process. Cloning is a reference count.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, Family>>>);

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: &'static str,
    series: BTreeMap<String, Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// Only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds so many.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Is at least this now: a total that is counted elsewhere.
    pub fn raise_to(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }
}

/// Goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Is this now.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// How long something took, each time.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// One for each bound, and one for what is longer.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.0.counts.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Metrics {
    /// The counter with these labels; the same one each time.
    #[must_use]
    pub fn counter(&self, metric: Metric, labels: &[(&str, &str)]) -> Counter {
        match self.value(metric, "counter", labels, || Value::Counter(Counter::default())) {
            Value::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// The gauge with these labels.
    #[must_use]
    pub fn gauge(&self, metric: Metric, labels: &[(&str, &str)]) -> Gauge {
        match self.value(metric, "gauge", labels, || Value::Gauge(Gauge::default())) {
            Value::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram with these labels.
    #[must_use]
    pub fn histogram(&self, metric: Metric, labels: &[(&str, &str)]) -> Histogram {
        match self.value(metric, "histogram", labels, || {
            Value::Histogram(Histogram::default())
        }) {
            Value::Histogram(histogram) => histogram,
            _ => Histogram::default(),
        }
    }

    fn value(
        &self,
        metric: Metric,
        kind: &'static str,
        labels: &[(&str, &str)],
        new: impl FnOnce() -> Value,
    ) -> Value {
        let mut families = self.0.lock();
        let family = families.entry(metric.name).or_insert_with(|| Family {
            help: metric.help,
            kind,
            series: BTreeMap::new(),
        });
        let mut key = text_of(labels);
        if family.series.len() >= MAX_SERIES && !family.series.contains_key(&key) {
            key = "overflow=\"true\"".to_owned();
        }
        family.series.entry(key).or_insert_with(new).clone()
    }

    /// Everything, as Prometheus reads it.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in &*self.0.lock() {
            let _ = writeln!(
                out,
                "# HELP {name} {}\n# TYPE {name} {}",
                family.help, family.kind
            );
            for (labels, value) in &family.series {
                match value {
                    Value::Counter(counter) => {
                        line(&mut out, name, labels, counter.0.load(Ordering::Relaxed))
                    }
                    Value::Gauge(gauge) => line(&mut out, name, labels, gauge.0.load(Ordering::Relaxed)),
                    Value::Histogram(histogram) => buckets(&mut out, name, labels, &histogram.0),
                }
            }
        }
        out
    }
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

fn buckets(out: &mut String, name: &str, labels: &str, buckets: &Buckets) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut sum = 0;
    let bounds = BOUNDS
        .iter()
        .map(|bound| seconds(*bound))
        .chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(&buckets.counts) {
        sum += count.load(Ordering::Relaxed);
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {sum}");
    }
    line(
        out,
        &format!("{name}_sum"),
        labels,
        seconds(buckets.micros.load(Ordering::Relaxed)),
    );
    line(out, &format!("{name}_count"), labels, sum);
}

/// Microseconds as seconds, exactly.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `a="x",b="y"`, with what would end a value taken out of it.
fn text_of(labels: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(96);
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        let plain = |octet: u8| matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\');
        if value.len() <= MAX_VALUE && value.bytes().all(plain) {
            out.push_str(value);
        } else {
            let harmless = |c: &char| !c.is_control() && !matches!(c, '"' | '\\');
            out.extend(value.chars().filter(harmless).take(MAX_VALUE));
        }
        out.push('"');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGINS: Metric = Metric {
        name: "logins_total",
        help: "Logins.",
    };
    const SECONDS: Metric = Metric {
        name: "login_seconds",
        help: "How long they took.",
    };

    #[test]
    fn text_format() {
        let metrics = Metrics::default();
        metrics
            .counter(LOGINS, &[("protocol", "imap"), ("home", "a\"}\n")])
            .add(2);
        metrics
            .counter(LOGINS, &[("protocol", "imap"), ("home", "a}")])
            .add(1);
        let gauge = Metric {
            name: "up",
            help: "Up.",
        };
        metrics.gauge(gauge, &[]).set(-1);
        metrics
            .histogram(SECONDS, &[])
            .observe(Duration::from_micros(1_000));
        metrics.histogram(SECONDS, &[]).observe(Duration::from_secs(60));
        let text = metrics.render();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.contains(&"logins_total{protocol=\"imap\",home=\"a}\"} 3"),
            "{text}"
        );
        assert!(
            lines.contains(&"# TYPE login_seconds histogram") && lines.contains(&"up -1"),
            "{text}"
        );
        assert!(lines.contains(&"login_seconds_bucket{le=\"0.0005\"} 0"), "{text}");
        assert!(lines.contains(&"login_seconds_bucket{le=\"0.001\"} 1"), "{text}");
        assert!(lines.contains(&"login_seconds_bucket{le=\"30\"} 1"), "{text}");
        assert!(lines.contains(&"login_seconds_bucket{le=\"+Inf\"} 2"), "{text}");
        assert!(
            lines.contains(&"login_seconds_sum 60.001") && lines.contains(&"login_seconds_count 2"),
            "{text}"
        );
    }

    #[test]
    fn series_are_bounded() {
        let metrics = Metrics::default();
        for number in 0..MAX_SERIES + 10 {
            metrics.counter(LOGINS, &[("home", &number.to_string())]).add(1);
        }
        let text = metrics.render();
        assert!(text.contains("logins_total{overflow=\"true\"} 10"), "{text}");
    }
}
