//! `/v1/sessions`

use super::time::rfc3339;
use super::{Admin, Asked, Body, address};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use model::Protocol;
use net::{SessionEnd, SessionFilter, SessionId, SessionRow};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows of a page unless fewer are asked for.
const PAGE: usize = 500;

/// Which sessions are meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    id: Option<SessionId>,
    account: Option<String>,
    home: Option<String>,
    protocol: Option<String>,
}

/// A page of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    account: Option<String>,
    home: Option<String>,
    protocol: Option<String>,
    after: Option<SessionId>,
    limit: Option<usize>,
}

impl Which {
    fn filter(self) -> Result<SessionFilter, ApiError> {
        Ok(SessionFilter {
            id: self.id,
            account: self.account.as_deref().map(address).transpose()?,
            home: self
                .home
                .map(|home| home.trim_end_matches('.').to_ascii_lowercase()),
            protocol: self.protocol.as_deref().map(protocol).transpose()?,
            ..SessionFilter::default()
        })
    }
}

fn protocol(name: &str) -> Result<Protocol, ApiError> {
    let all = [
        Protocol::Imap,
        Protocol::Pop3,
        Protocol::Submission,
        Protocol::ManageSieve,
        Protocol::Http,
    ];
    let found = all.into_iter().find(|protocol| protocol.to_string() == name);
    found.ok_or_else(|| {
        let names: Vec<String> = all.iter().map(Protocol::to_string).collect();
        ApiError::BadRequest(format!("{name:?} is none of: {}", names.join(", ")))
    })
}

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let filter = Which {
        id: None,
        account: page.account,
        home: page.home,
        protocol: page.protocol,
    };
    let rows = admin
        .sessions
        .list(&filter.filter()?, page.after.unwrap_or(0), limit);
    let next = (rows.len() == limit)
        .then(|| rows.last().map(|row| row.id))
        .flatten();
    let sessions: Vec<Value> = rows.iter().map(row).collect();
    Ok(Json(json!({ "sessions": sessions, "next": next })))
}

fn row(row: &SessionRow) -> Value {
    let about = &row.about;
    json!({
        "id": row.id,
        "protocol": about.protocol.to_string(),
        "account": about.account,
        "entry": about.entry.map(|entry| entry.to_string()),
        "client": about.client.to_string(),
        "home": about.home,
        "trace": about.trace.to_string(),
        "since": rfc3339(row.since),
        "bytes_up": row.bytes_up,
        "bytes_down": row.bytes_down,
        "ending": row.ending.map(SessionEnd::as_str),
    })
}

pub(super) async fn kick(
    State(admin): State<Arc<Admin>>,
    Body(which): Body<Which>,
) -> Result<Json<Value>, ApiError> {
    if which.id.is_none() && which.account.is_none() && which.home.is_none() && which.protocol.is_none() {
        return Err(ApiError::BadRequest(
            "name the sessions to end by id, account, home or protocol".to_owned(),
        ));
    }
    let filter = which.filter()?;
    // A session whose home is this process has two halves, and is one all the same.
    let ended = admin.sessions.count(&filter);
    admin.sessions.end(&filter, SessionEnd::Kicked);
    tracing::warn!(?filter, ended, "sessions are ended by an administrator");
    if ended == 0 {
        return Err(ApiError::NotFound("no such session".to_owned()));
    }
    Ok(Json(json!({ "ended": ended })))
}
