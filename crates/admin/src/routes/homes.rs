//! `/v1/homes`

use super::{Admin, Body, Named};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use directory::HomeRef;
use frontend::{Dialer, HomeStatus};
use net::{SessionEnd, SessionFilter};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An order to take a home out of service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    reason: Option<String>,
    #[serde(default)]
    end_sessions: bool,
}

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Value> {
    let homes = Arc::clone(&admin.current.load().homes);
    let met = homes.homes();
    let drained = homes.drained();
    let mut names: BTreeSet<String> = homes.listed().into_iter().collect();
    names.extend(met.iter().map(|status| status.home.clone()));
    names.extend(drained.iter().map(|(name, _)| name.clone()));
    let rows: Vec<Value> = names
        .iter()
        .map(|name| row(&admin, name, &met, &drained))
        .collect();
    Json(json!(rows))
}

/// One home: the worst of its services, and each of them.
fn row(admin: &Admin, name: &str, met: &[HomeStatus], drained: &[(String, String)]) -> Value {
    let of_home: Vec<&HomeStatus> = met.iter().filter(|status| status.home == name).collect();
    let host = HomeRef::parse(name).map_or_else(|_| name.to_owned(), |home| home.host().to_owned());
    let order = drained.iter().find(|(drained, _)| *drained == host);
    let failing = of_home.iter().find(|status| status.reason.is_some());
    let state = match (order, failing, of_home.is_empty()) {
        (Some(_), _, _) => "drained",
        (None, Some(status), _) => status.state.as_str(),
        (None, None, true) => "not used yet",
        (None, None, false) => "up",
    };
    let reason = order
        .map(|(_, reason)| reason.clone())
        .filter(|reason| !reason.is_empty())
        .or_else(|| failing.and_then(|status| status.reason.clone()));
    let services: Vec<Value> = of_home.iter().map(|status| service(status)).collect();
    json!({
        "home": name,
        "state": state,
        "sessions": admin.sessions.at_home(name),
        "reason": reason,
        "services": services,
    })
}

fn service(status: &HomeStatus) -> Value {
    json!({
        "protocol": status.protocol.to_string(),
        "address": status.address,
        "state": status.state.as_str(),
        "seconds": status.lasting.as_secs(),
        "reason": status.reason,
    })
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let home = known(&admin.current.load().homes, &name)?;
    let homes = Arc::clone(&admin.current.load().homes);
    Ok(Json(row(
        &admin,
        &home.to_string(),
        &homes.homes(),
        &homes.drained(),
    )))
}

/// A home that the configuration lists, that has been met, or that is drained: a wrong name is told.
fn known(homes: &Dialer, name: &str) -> Result<HomeRef, ApiError> {
    let home = HomeRef::parse(name).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let text = home.to_string();
    let is_known = homes.listed().iter().any(|listed| *listed == home.host())
        || homes.homes().iter().any(|status| status.home == text)
        || homes.drained().iter().any(|(drained, _)| *drained == home.host());
    match is_known {
        true => Ok(home),
        false => Err(ApiError::NotFound(format!(
            "{name} is no [[home]], and no session has gone there yet"
        ))),
    }
}

pub(super) async fn drain(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(order): Body<Order>,
) -> Result<Json<Value>, ApiError> {
    let homes = Arc::clone(&admin.current.load().homes);
    let home = known(&homes, &name)?;
    let written = homes.drain(&home, order.reason.as_deref().unwrap_or_default());
    written.map_err(|error| ApiError::Conflict(format!("the order cannot be written: {error}")))?;
    let ended = match order.end_sessions {
        true => admin.sessions.end(&concerned(&home), SessionEnd::Drained),
        false => 0,
    };
    let left = admin.sessions.at_home(home.host());
    Ok(Json(
        json!({ "home": home.host(), "state": "drained", "ended": ended, "sessions": left }),
    ))
}

/// The sessions at a home that is drained: the order is one for all of its ports, whichever was typed.
fn concerned(home: &HomeRef) -> SessionFilter {
    SessionFilter {
        home: Some(home.host().to_owned()),
        ..SessionFilter::default()
    }
}

pub(super) async fn enable(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let homes = Arc::clone(&admin.current.load().homes);
    let home = known(&homes, &name)?;
    let enabled = homes.enable(&home);
    match enabled.map_err(|error| ApiError::Conflict(format!("the order cannot be written: {error}")))? {
        true => Ok(Json(json!({ "home": home.host(), "state": "in service" }))),
        false => Err(ApiError::Conflict(format!("{} is not drained", home.host()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Address, ManualClock, Protocol, Timestamp, TraceId};
    use net::{NewSession, SessionLimits, Sessions};

    #[test]
    fn a_home_is_drained_at_all_of_its_ports_whichever_is_typed() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let sessions = Sessions::new(clock, SessionLimits::default());
        let at = |home: &str| {
            sessions.enter(NewSession {
                protocol: Protocol::Imap,
                account: Address::parse("alice@example.test").expect("an address"),
                entry: None,
                client: ([192, 0, 2, 7], 4242).into(),
                home: Some(home.into()),
                trace: TraceId::new(7),
            })
        };
        let _open = ["store1", "store1:1143", "store10:1143"].map(|home| at(home).expect("room"));
        for typed in ["store1", "store1:1143", "Store1:993"] {
            let home = HomeRef::parse(typed).expect("a home");
            assert_eq!(sessions.count(&concerned(&home)), 2, "{typed}");
        }
    }
}
