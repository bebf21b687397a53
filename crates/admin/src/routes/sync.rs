//! `/v1/sync`: the state of connectors, plans, rounds, quarantine.

use super::lines::Lines;
use super::{Admin, Asked, Body, Named};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ldapsync::{Consent, PlanItem, PlanReport, SyncEngine, SyncError, SyncStatus};
use model::{AccountId, EntryUuid, GroupId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{LocalId, Store};

/// Rows of a page unless fewer are asked for.
const PAGE: usize = 256;

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Result<Json<Value>, ApiError> {
    let rows: Result<Vec<Value>, ApiError> = admin
        .sync
        .iter()
        .map(|engine| json_of(&engine.status()))
        .collect();
    Ok(Json(Value::Array(rows?)))
}

/// The plan as JSON lines: an object each, and a last line with the totals and the hash, or with an error. Nothing of
/// it is kept here, however long it is.
pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Response, ApiError> {
    let engine = Arc::clone(engine(&admin, &name)?);
    let (lines, to) = Lines::new();
    let (items, mut planned) = tokio::sync::mpsc::channel::<PlanItem>(PAGE);
    let place = engine.place_for_a_plan()?;
    tokio::spawn(async move {
        let _place = place;
        let make = async {
            let made = engine.stream_plan(&items).await;
            drop(items);
            made
        };
        let listen = async {
            while let Some(item) = planned.recv().await {
                if to.tell(&item).await.is_err() {
                    break;
                }
            }
        };
        let made = tokio::select! {
            (made, ()) = async { tokio::join!(make, listen) } => made,
            // Whoever asked has gone, and nobody else has any use for it: the directory is asked no further.
            () = to.gone() => return,
        };
        let last = match made {
            Ok(report) => summary(&report),
            Err(error) => {
                json!({ "kind": "error", "error": error.to_string(), "temporary": is_temporary(&error) })
            }
        };
        // Whoever asked may have gone.
        let _ = to.tell(&last).await;
    });
    Ok(lines.into_response())
}

fn summary(report: &PlanReport) -> Value {
    json!({
        "kind": "summary",
        "connector": report.connector,
        "hash": report.hash,
        "changes": report.changes,
        "unchanged": report.unchanged,
        "hazards": report.hazards,
        "hazards_there": report.hazards_there,
    })
}

fn is_temporary(error: &SyncError) -> bool {
    matches!(ApiError::from(error.clone()), ApiError::Temporary(_))
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
        None => Ok(Json(json_of(&engine.status())?)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hash {
    hash: String,
}

pub(super) async fn approve(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(body): Body<Hash>,
) -> Result<Json<Value>, ApiError> {
    let status = engine(&admin, &name)?.approve(&body.hash).await?;
    match &status.error {
        // The approval is kept, over a restart too.
        Some(error) => Err(ApiError::Temporary(format!(
            "approved, and not carried out yet: {error}"
        ))),
        None => Ok(Json(json_of(&status)?)),
    }
}

pub(super) async fn apply(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(body): Body<Hash>,
) -> Result<Json<Value>, ApiError> {
    let status = engine(&admin, &name)?.apply(&body.hash).await?;
    match &status.error {
        Some(error) => Err(ApiError::Temporary(error.clone())),
        None => Ok(Json(json_of(&status)?)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    #[serde(default)]
    yes: bool,
}

pub(super) async fn start(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(body): Body<Start>,
) -> Result<Json<Value>, ApiError> {
    let consent = match body.yes {
        true => Consent::Given,
        false => Consent::Missing,
    };
    let status = engine(&admin, &name)?.start(consent).await?;
    Ok(Json(json_of(&status)?))
}

pub(super) async fn stop(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let status = engine(&admin, &name)?.stop().await?;
    Ok(Json(json_of(&status)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn quarantine(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, ApiError> {
    let (engine, store) = (engine(&admin, &name)?, admin.store()?);
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let entries = store.quarantine_after(engine.name(), page.after.as_deref(), limit)?;
    let next = entries.last().map(|entry| entry.object.clone());
    let rows: Result<Vec<Value>, ApiError> = entries
        .iter()
        .map(|entry| {
            let (address, dn) = known_as(store, engine.name(), &entry.object)?;
            Ok(json!({
                "entry": entry.object,
                "address": address,
                "dn": dn,
                "reason": entry.reason,
                "attempts": entry.attempts,
                "since": super::time::rfc3339(entry.since),
                // What the guard holds waits for a person.
                "held": ldapsync::is_held(&entry.reason),
                "next_try": (!ldapsync::is_held(&entry.reason)).then(|| super::time::rfc3339(entry.next)),
            }))
        })
        .collect();
    Ok(Json(json!({ "rows": rows?, "next": next })))
}

/// The address here and the DN that belong to a row of the quarantine, as far as they are known: the row itself has a UUID,
/// or the number of an object that has no entry.
fn known_as(
    store: &Store,
    connector: &str,
    object: &str,
) -> Result<(Option<String>, Option<String>), ApiError> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let link = match EntryUuid::parse(object) {
        Ok(uuid) => store.association_by_uuid(connector, uuid)?,
        Err(_) => None,
    };
    let local = match (&link, object.split_once(' ')) {
        (Some(link), _) => Some(link.local),
        (None, Some(("account", id))) => number(id)
            .and_then(|id| AccountId::new(id).ok())
            .map(LocalId::Account),
        (None, Some(("group", id))) => number(id)
            .and_then(|id| GroupId::new(id).ok())
            .map(LocalId::Group),
        _ => None,
    };
    let address = match local {
        Some(LocalId::Account(id)) => store.account(id)?.map(|account| account.address.to_string()),
        Some(LocalId::Group(id)) => store.group(id)?.map(|group| group.address.to_string()),
        None => None,
    };
    Ok((address, link.map(|link| link.data.dn.to_string())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// A UUID, or what the list shows of an object without one; none for all.
    object: Option<String>,
}

pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(body): Body<Retry>,
) -> Result<Json<Value>, ApiError> {
    let engine = engine(&admin, &name)?;
    let (tried, status) = engine.retry(body.object.as_deref()).await?;
    tried_again(engine, tried, &status)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gone {
    /// The DN of what was removed or renamed.
    below: String,
}

pub(super) async fn gone(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Body(body): Body<Gone>,
) -> Result<Json<Value>, ApiError> {
    let engine = engine(&admin, &name)?;
    let (found, status) = engine.say_gone(&body.below).await?;
    tried_again(engine, found, &status)
}

/// What came of objects in quarantine that were tried again.
fn tried_again(engine: &SyncEngine, tried: u64, status: &SyncStatus) -> Result<Json<Value>, ApiError> {
    let now = engine.status();
    let left = now.set_aside;
    match &status.error {
        Some(error) => Err(ApiError::Temporary(error.clone())),
        None => Ok(Json(
            json!({ "tried": tried, "left": left, "held": now.guard.held, "hash": now.guard.hash }),
        )),
    }
}

pub(super) fn engine<'a>(admin: &'a Admin, name: &str) -> Result<&'a Arc<SyncEngine>, ApiError> {
    let found = admin.sync.iter().find(|engine| engine.name() == name);
    found.ok_or_else(|| ApiError::NotFound(format!("no connector named {name:?} synchronises here")))
}

pub(super) fn json_of(value: &impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::Conflict(error.to_string()))
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        let text = error.to_string();
        match error {
            SyncError::NotHeld
            | SyncError::NeedsConsent(_)
            | SyncError::OtherPlan
            | SyncError::Stopped
            | SyncError::Refused(_) => Self::Conflict(text),
            SyncError::NotFound(_) => Self::NotFound(text),
            SyncError::NotRunning
            | SyncError::Busy
            | SyncError::Planning
            | SyncError::Directory(_)
            | SyncError::Store(_) => Self::Temporary(text),
        }
    }
}
