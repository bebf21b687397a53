//! One line in the log for each request, and the numbers.

use super::body::Moves;
use super::connection::Busy;
use super::logins::Login;
use super::reply::Fault;
use hyper::{Method, StatusCode};
use model::{Address, Clock, Peer};
use net::{Metric, Metrics};
use std::sync::Arc;
use std::time::Duration;

const REQUESTS: Metric = Metric {
    name: "homing_http_requests_total",
    help: "HTTP requests, by home, class of status and outcome.",
};
const SECONDS: Metric = Metric {
    name: "homing_http_request_seconds",
    help: "From the head of a request to the end of its answer, by class of status.",
};
const BYTES: Metric = Metric {
    name: "homing_proxy_bytes_total",
    help: "Octets relayed, by protocol, home and direction.",
};

/// What is known about a request so far. When it is dropped, the request is over.
pub(super) struct Trail {
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    pub(super) peer: Peer,
    method: Method,
    /// Without the query, which may hold secrets.
    path: String,
    pub(super) moves: Arc<Moves>,
    began: Duration,
    /// Keeps the connection from being taken for idle.
    _busy: Busy,
    account: Option<Address>,
    home: Option<String>,
    status: u16,
    cause: Option<String>,
    outcome: &'static str,
    down: u64,
    end: &'static str,
}

/// What a trail begins with.
pub(super) struct Start {
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) peer: Peer,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) busy: Busy,
}

impl Trail {
    pub(super) fn new(start: Start) -> Self {
        Self {
            began: start.clock.monotonic(),
            metrics: start.metrics,
            clock: start.clock,
            peer: start.peer,
            method: start.method,
            path: start.path.chars().take(512).collect(),
            _busy: start.busy,
            moves: Arc::default(),
            account: None,
            home: None,
            status: 0,
            cause: None,
            outcome: "ok",
            down: 0,
            end: "client gone",
        }
    }

    /// Whose request it is.
    pub(super) fn belongs_to(&mut self, login: &Login) {
        self.account = Some(login.address().clone());
        self.home = Some(login.home().to_string());
    }

    /// Whether it is known whose request it is.
    pub(super) const fn is_known(&self) -> bool {
        self.account.is_some()
    }

    pub(super) fn failed(&mut self, fault: &Fault) {
        self.outcome = fault.kind();
        self.cause = Some(fault.to_string());
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    pub(super) fn count(&mut self, octets: u64) {
        self.down = self.down.saturating_add(octets);
    }

    pub(super) fn is_done(&mut self) {
        self.end = "done";
    }

    pub(super) fn ends(&mut self, end: &'static str) {
        self.end = end;
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let took = self.clock.monotonic().saturating_sub(self.began);
        let class = match self.status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "-",
        };
        let home = self.home.as_deref().unwrap_or("-");
        let up = self.moves.octets();
        let outcome = match (self.outcome, self.end) {
            ("ok", "done") => "ok",
            ("ok", _) => "cut",
            (other, _) => other,
        };
        let labels = [("home", home), ("status", class), ("outcome", outcome)];
        self.metrics.counter(REQUESTS, &labels).add(1);
        self.metrics
            .histogram(SECONDS, &[("status", class)])
            .observe(took);
        for (direction, octets) in [("up", up), ("down", self.down)] {
            let labels = [("protocol", "http"), ("home", home), ("direction", direction)];
            self.metrics.counter(BYTES, &labels).add(octets);
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            protocol = "http", trace = %self.peer.trace, client = %self.peer.client,
            account = self.account.as_ref().map(Address::as_str), home, method = %self.method, path = self.path,
            status = self.status, up, down = self.down, millis, end = self.end, cause = self.cause,
            "request"
        );
    }
}
