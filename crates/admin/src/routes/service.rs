//! `/v1/services`

use super::Admin;
use crate::services::{Draining, ServiceRow};
use axum::Json;
use axum::extract::State;
use frontend::HomeState;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Json<Value> {
    let draining = if admin.shutdown.is_requested() {
        Draining::Yes
    } else {
        Draining::No
    };
    let rows: Vec<ServiceRow> = admin
        .services
        .iter()
        .map(|service| service.row(draining))
        .collect();
    let mut problems: Vec<String> = Vec::new();
    for map in admin.maps.iter().flat_map(|(_, maps)| maps.maps()) {
        let text = map
            .problem()
            .map(|problem| format!("user map {}: {problem}; the older version holds", map.name()));
        problems.extend(text.filter(|text| !problems.contains(text)));
    }
    let homes = admin.homes.failing_homes();
    for home in &homes {
        let state = if home.state == HomeState::Down {
            "down"
        } else {
            "suspect"
        };
        problems.push(format!(
            "home {} is {state}: {}",
            home.home,
            home.reason.as_deref().unwrap_or("-")
        ));
    }
    Json(json!({
        "server_name": admin.server_name,
        "version": admin.version,
        "holds_accounts": admin.store.is_some(),
        "services": rows,
        "problems": problems,
    }))
}
