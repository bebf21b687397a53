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
    let filter = SessionFilter {
        home: Some(home.to_string()),
        ..SessionFilter::default()
    };
    let ended = match order.end_sessions {
        true => admin.sessions.end(&filter, SessionEnd::Drained),
        false => 0,
    };
    let left = admin.sessions.at_home(&home.to_string());
    Ok(Json(
        json!({ "home": home.to_string(), "state": "drained", "ended": ended, "sessions": left }),
    ))
}

pub(super) async fn enable(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let homes = Arc::clone(&admin.current.load().homes);
    let home = known(&homes, &name)?;
    let enabled = homes.enable(&home);
    match enabled.map_err(|error| ApiError::Conflict(format!("the order cannot be written: {error}")))? {
        true => Ok(Json(json!({ "home": home.to_string(), "state": "in service" }))),
        false => Err(ApiError::Conflict(format!("{home} is not drained"))),
    }
}
