//! The numbers of mail on its way through: recipients, messages, octets.

use super::dialect::Dialect;
use crate::relaying::BYTES;
use directory::HomeRef;
use net::{Metric, Metrics};
use std::collections::BTreeMap;
use std::time::Duration;
use wire::smtp::{Reply, Severity};

const RECIPIENTS: Metric = Metric {
    name: "homing_proxy_recipients_total",
    help: "Recipients that senders have named, by protocol, home (- for none) and outcome.",
};
const DELIVERIES: Metric = Metric {
    name: "homing_proxy_deliveries_total",
    help: "Recipients whose home has answered for the message, by protocol, home and outcome.",
};
const MESSAGES: Metric = Metric {
    name: "homing_proxy_messages_total",
    help: "Messages that senders have heard an answer to, by protocol and outcome.",
};
const SECONDS: Metric = Metric {
    name: "homing_proxy_message_seconds",
    help: "From the end of a message to its answer, by protocol.",
};

/// Counts for one proxy.
#[derive(Clone, Copy)]
pub(super) struct Tally<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) dialect: Dialect,
}

impl Tally<'_> {
    /// Recipients, each with the home that it was routed to and the reply that the sender hears.
    pub(super) fn recipients<'h>(&self, named: impl Iterator<Item = (Option<&'h HomeRef>, &'h Reply)>) {
        let named = named.map(|(home, reply)| (home.map_or("-", HomeRef::host), reply));
        self.by_home(RECIPIENTS, named);
    }

    /// What the homes have said to a message, for each recipient.
    pub(super) fn deliveries<'h>(&self, answered: impl Iterator<Item = (&'h HomeRef, &'h Reply)>) {
        self.by_home(DELIVERIES, answered.map(|(home, reply)| (home.host(), reply)));
    }

    /// A message of so many octets went to a home.
    pub(super) fn sent(&self, home: &HomeRef, octets: u64) {
        let labels = [
            ("protocol", self.dialect.name()),
            ("home", home.host()),
            ("direction", "up"),
        ];
        self.metrics.counter(BYTES, &labels).add(octets);
    }

    /// What the sender hears of a message: one reply, or in LMTP one for each recipient.
    pub(super) fn message(&self, replies: &[Reply], took: Duration) {
        let protocol = ("protocol", self.dialect.name());
        let worst = replies.iter().map(outcome).max_by_key(|outcome| rank(outcome));
        let outcome = ("outcome", worst.unwrap_or("refused"));
        self.metrics.counter(MESSAGES, &[protocol, outcome]).add(1);
        self.metrics.histogram(SECONDS, &[protocol]).observe(took);
    }

    /// One look at the table of numbers for each home and outcome, not for each of a thousand recipients.
    fn by_home<'h>(&self, metric: Metric, all: impl Iterator<Item = (&'h str, &'h Reply)>) {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (home, reply) in all {
            *counts.entry((home, outcome(reply))).or_default() += 1;
        }
        for ((home, outcome), count) in counts {
            let labels = [
                ("protocol", self.dialect.name()),
                ("home", home),
                ("outcome", outcome),
            ];
            self.metrics.counter(metric, &labels).add(count);
        }
    }
}

/// In one word.
fn outcome(reply: &Reply) -> &'static str {
    match reply.severity() {
        Severity::Completed => "ok",
        Severity::Permanent => "refused",
        _ => "put_off",
    }
}

/// The worst of several answers to one message: one that will come again outweighs one that will not.
fn rank(outcome: &str) -> u8 {
    match outcome {
        "ok" => 0,
        "refused" => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_home_and_outcome() {
        let metrics = Metrics::default();
        let tally = Tally {
            metrics: &metrics,
            dialect: Dialect::Lmtp,
        };
        let replies: Vec<Reply> = [250, 250, 550, 451]
            .iter()
            .map(|code| Reply::new(*code, None, String::new()))
            .collect();
        let home = HomeRef::parse("store1.example.org").unwrap();
        let homes = [Some(&home), Some(&home), Some(&home), None];
        tally.recipients(homes.into_iter().zip(&replies));
        tally.deliveries(replies.iter().take(3).map(|reply| (&home, reply)));
        tally.sent(&home, 1000);
        tally.message(&replies, Duration::from_millis(3));
        tally.message(replies.get(..3).unwrap(), Duration::from_millis(3));
        let text = metrics.render();
        for line in [
            r#"homing_proxy_recipients_total{protocol="lmtp",home="store1.example.org",outcome="ok"} 2"#,
            r#"homing_proxy_recipients_total{protocol="lmtp",home="store1.example.org",outcome="refused"} 1"#,
            r#"homing_proxy_recipients_total{protocol="lmtp",home="-",outcome="put_off"} 1"#,
            r#"homing_proxy_deliveries_total{protocol="lmtp",home="store1.example.org",outcome="ok"} 2"#,
            r#"homing_proxy_bytes_total{protocol="lmtp",home="store1.example.org",direction="up"} 1000"#,
            r#"homing_proxy_messages_total{protocol="lmtp",outcome="put_off"} 1"#,
            r#"homing_proxy_messages_total{protocol="lmtp",outcome="refused"} 1"#,
            r#"homing_proxy_message_seconds_count{protocol="lmtp"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
