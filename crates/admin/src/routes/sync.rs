//! `/v1/sync`

use super::{Admin, Body, Named};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use ldapsync::{PlanReport, SyncEngine, SyncError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// More set-aside objects than anybody reads.
const QUARANTINE: usize = 1000;

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Result<Json<Value>, ApiError> {
    let rows: Result<Vec<Value>, ApiError> = admin
        .sync
        .iter()
        .map(|engine| json_of(&engine.status()))
        .collect();
    Ok(Json(Value::Array(rows?)))
}

pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let plan = engine(&admin, &name)?.plan().await?;
    let lines: Vec<String> = plan.lines().map(str::to_owned).chain(unlinked(&plan)).collect();
    let mut value = json_of(&plan)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("lines".to_owned(), json!(lines));
    }
    Ok(Json(value))
}

/// Accounts that the directory does not know are listed, for nothing will ever touch them.
fn unlinked(plan: &PlanReport) -> impl Iterator<Item = String> {
    plan.unlinked
        .iter()
        .map(|address| format!("unlinked {address}: not in the directory, left alone"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    #[serde(default)]
    full: bool,
}

pub(super) async fn run(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(body): Body<Run>,
) -> Result<Json<Value>, ApiError> {
    let engine = engine(&admin, &name)?;
    let status = if body.full {
        engine.sync_full().await?
    } else {
        engine.sync_now().await?
    };
    // A round that failed is not a success, though the status could be read.
    match &status.error {
        Some(error) => Err(ApiError::Temporary(error.clone())),
        None => Ok(Json(json_of(&status)?)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    hash: String,
}

pub(super) async fn approve(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(body): Body<Approve>,
) -> Result<Json<Value>, ApiError> {
    let status = engine(&admin, &name)?.approve(&body.hash).await?;
    Ok(Json(json_of(&status)?))
}

pub(super) async fn quarantine(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let engine = engine(&admin, &name)?;
    let entries = admin.store()?.list_quarantine(engine.name(), QUARANTINE)?;
    let rows = entries.iter().map(|entry| {
        json!({
            "entry": entry.object,
            "reason": entry.reason,
            "attempts": entry.attempts,
            "next_try": super::time::rfc3339(entry.next),
        })
    });
    Ok(Json(rows.collect()))
}

fn engine<'a>(admin: &'a Admin, name: &str) -> Result<&'a Arc<SyncEngine>, ApiError> {
    let found = admin.sync.iter().find(|engine| engine.name() == name);
    found.ok_or_else(|| ApiError::NotFound(format!("no connector named {name:?} synchronises here")))
}

fn json_of(value: &impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::Conflict(error.to_string()))
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::NotHeld => Self::Conflict(error.to_string()),
            other => Self::Temporary(other.to_string()),
        }
    }
}
