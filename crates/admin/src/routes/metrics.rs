//! `/metrics`, as Prometheus reads it.

use super::Admin;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use frontend::HomeState;
use model::Protocol;
use net::{Metric, SessionFilter};
use std::sync::Arc;

const SESSIONS: Metric = Metric {
    name: "homing_sessions",
    help: "Sessions that are logged in, by protocol.",
};
const HOME_UP: Metric = Metric {
    name: "homing_home_up",
    help: "Whether a service of a home can be used: 1, or 0 when it is down.",
};
const DRAINED: Metric = Metric {
    name: "homing_homes_drained",
    help: "Homes that get no new sessions by an administrator's order.",
};

pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Response {
    let metrics = &admin.metrics;
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let filter = SessionFilter {
            protocol: Some(protocol),
            ..SessionFilter::default()
        };
        let name = protocol.to_string();
        let gauge = metrics.gauge(SESSIONS, &[("protocol", &name)]);
        gauge.set(number(admin.sessions.count(&filter)));
    }
    let homes = Arc::clone(&admin.current.load().homes);
    for home in homes.homes() {
        let protocol = home.protocol.to_string();
        let labels = [("home", home.home.as_str()), ("protocol", &protocol)];
        let up = matches!(home.state, HomeState::Up | HomeState::Suspect);
        metrics.gauge(HOME_UP, &labels).set(i64::from(up));
    }
    metrics.gauge(DRAINED, &[]).set(number(homes.drained().len()));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
