//! The long part of a session: bytes both ways, one log line, and the numbers.

use net::{LineStream, Metric, Metrics, Relay, Session};
use std::time::Duration;

const ENDED: Metric = Metric {
    name: "homing_proxy_sessions_ended_total",
    help: "Relayed sessions that have ended, by protocol, home and reason.",
};
const BYTES: Metric = Metric {
    name: "homing_proxy_bytes_total",
    help: "Octets relayed, by protocol, home and direction.",
};

/// A client and its home, both past the login.
pub(crate) struct Handover {
    pub(crate) client: LineStream,
    pub(crate) home: LineStream,
    pub(crate) session: Session,
    pub(crate) idle: Duration,
    pub(crate) metrics: Metrics,
}

impl Handover {
    /// The relay to its end. The future holds nothing of the login.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send + 'static {
        let relay = Relay::new(self.client, self.home, self.idle, self.session);
        finish(relay, self.metrics)
    }
}

async fn finish(mut relay: Relay, metrics: Metrics) {
    let report = (&mut relay).await;
    let session = relay.session();
    let about = session.about();
    let protocol = about.protocol.to_string();
    let home = about.home.as_deref().unwrap_or("-");
    let why = report.end.as_str();
    metrics
        .counter(ENDED, &[("protocol", &protocol), ("home", home), ("reason", why)])
        .add(1);
    for (direction, bytes) in [("up", report.bytes_up), ("down", report.bytes_down)] {
        let labels = [
            ("protocol", protocol.as_str()),
            ("home", home),
            ("direction", direction),
        ];
        metrics.counter(BYTES, &labels).add(bytes);
    }
    tracing::info!(
        protocol, trace = %about.trace, client = %about.client, account = %about.account, home,
        up = report.bytes_up, down = report.bytes_down, seconds = session.age().as_secs(), end = ?report.end,
        "session ended"
    );
}
