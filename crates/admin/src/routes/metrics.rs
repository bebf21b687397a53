//! `/metrics`, as Prometheus reads it.

use super::Admin;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use frontend::HomeState;
use ldapsync::{State as SyncState, SyncStatus};
use model::Protocol;
use net::{Metric, Metrics, SessionFilter};
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
const STORE_WRITABLE: Metric = Metric {
    name: "homing_store_takes_mail",
    help: "Whether the store takes new mail: 1, or 0 when its disk is full or a write has failed.",
};
const STORE_FREE: Metric = Metric {
    name: "homing_store_free_bytes",
    help: "Octets that are free on the disk of the store.",
};

const SYNC_CHANGES: Metric = Metric {
    name: "homing_sync_changes_total",
    help: "Objects that synchronisation changed, by connector and side.",
};
const SYNC_CONFLICTS: Metric = Metric {
    name: "homing_sync_conflicts_total",
    help: "Values that lost a conflict and went to the conflict journal.",
};
const SYNC_SET_ASIDE: Metric = Metric {
    name: "homing_sync_set_aside_total",
    help: "Times that an object was put in quarantine.",
};
const SYNC_HELD: Metric = Metric {
    name: "homing_sync_held_total",
    help: "Destructive changes that the guard held.",
};
const SYNC_FAILED: Metric = Metric {
    name: "homing_sync_failed_rounds_total",
    help: "Rounds that did not end well.",
};
const SYNC_LAG: Metric = Metric {
    name: "homing_sync_lag_seconds",
    help: "Seconds since this server was last known to agree with the directory; -1 before the first time.",
};
const SYNC_QUARANTINE: Metric = Metric {
    name: "homing_sync_quarantine",
    help: "Objects in quarantine.",
};
const SYNC_OUTBOX: Metric = Metric {
    name: "homing_sync_outbox",
    help: "Writes that the directory has not acknowledged.",
};
const SYNC_UP: Metric = Metric {
    name: "homing_sync_up",
    help: "Whether synchronisation works: 1, or 0 when it is stopped, waits or fails.",
};

pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Response {
    let metrics = &admin.metrics;
    for protocol in [
        Protocol::Imap,
        Protocol::Pop3,
        Protocol::Submission,
        Protocol::ManageSieve,
    ] {
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
    if let Ok(store) = admin.store() {
        let disk = store.disk();
        metrics
            .gauge(STORE_WRITABLE, &[])
            .set(i64::from(disk.takes_mail()));
        if let Some(free) = disk.free {
            let free = i64::try_from(free).unwrap_or(i64::MAX);
            metrics.gauge(STORE_FREE, &[]).set(free);
        }
    }
    for engine in &admin.sync {
        synchronisation(metrics, &engine.status());
    }
    metrics.gauge(DRAINED, &[]).set(number(homes.drained().len()));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}

/// What one connector has done since the start, and where it stands.
fn synchronisation(metrics: &Metrics, status: &SyncStatus) {
    let connector = ("connector", status.connector.as_str());
    let counts = &status.counts;
    for (side, count) in [("here", counts.here()), ("directory", counts.there())] {
        metrics
            .counter(SYNC_CHANGES, &[connector, ("side", side)])
            .raise_to(count);
    }
    let totals = [
        (SYNC_CONFLICTS, counts.conflicts),
        (SYNC_SET_ASIDE, counts.set_aside),
        (SYNC_HELD, counts.held),
        (SYNC_FAILED, counts.failed_rounds),
    ];
    for (metric, count) in totals {
        metrics.counter(metric, &[connector]).raise_to(count);
    }
    let lag = status.lag_seconds.and_then(|lag| i64::try_from(lag).ok());
    let aside = i64::try_from(status.set_aside).unwrap_or(i64::MAX);
    let waiting = i64::try_from(status.outbox.waiting).unwrap_or(i64::MAX);
    let well = matches!(status.state, SyncState::Following | SyncState::Working) && status.error.is_none();
    // No round has ended yet: an age that no alarm takes for health.
    metrics.gauge(SYNC_LAG, &[connector]).set(lag.unwrap_or(-1));
    metrics.gauge(SYNC_QUARANTINE, &[connector]).set(aside);
    metrics.gauge(SYNC_OUTBOX, &[connector]).set(waiting);
    metrics.gauge(SYNC_UP, &[connector]).set(i64::from(well));
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
