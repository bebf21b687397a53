//! `/v1/services`

use super::Admin;
use crate::services::{Draining, ServiceRow};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

/// Who this server is, whatever its name; none where it holds no accounts.
fn node(admin: &Admin) -> Option<Value> {
    let node = admin.store.as_ref()?.node()?;
    Some(json!({ "id": node.id(), "former_names": node.former_names() }))
}

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Json<Value> {
    let draining = if admin.shutdown.is_requested() {
        Draining::Yes
    } else {
        Draining::No
    };
    let rows: Vec<ServiceRow> = admin
        .current
        .load()
        .services
        .iter()
        .filter(|service| !service.is_over())
        .map(|service| service.row(draining))
        .collect();
    Json(json!({
        "server_name": admin.server_name,
        "version": admin.version,
        "holds_accounts": admin.store.is_some(),
        "node": node(&admin),
        "services": rows,
        "problems": super::problems::list(&admin).await,
    }))
}
