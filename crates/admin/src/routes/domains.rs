//! `/v1/domains`

use super::{Admin, Body, Named, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use model::Domain;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: Domain,
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<Create>,
) -> Result<Json<Value>, ApiError> {
    admin.store()?.create_domain(&body.name, &origin(caller)).await?;
    Ok(Json(json!({ "name": body.name })))
}

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Value>, ApiError> {
    let domains = admin.store()?.list_domains()?;
    let rows = domains
        .iter()
        .map(|info| json!({ "name": info.domain, "catch_all": info.catch_all }));
    Ok(Json(rows.collect()))
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let domain = Domain::parse(&name).map_err(|error| ApiError::BadRequest(format!("{name:?}: {error}")))?;
    admin.store()?.delete_domain(&domain, &origin(caller)).await?;
    Ok(Json(json!({ "name": domain })))
}
