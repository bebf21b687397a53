//! `/v1/audit`: who changed what, from the journal of the store.

use super::time::rfc3339;
use super::{Admin, Asked};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{JournalEntry, LocalId, Origin};

/// Rows of a page unless fewer are asked for.
const PAGE: usize = 256;
/// Rows that one request looks through for those that are wanted.
const LOOKED_AT: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Rows older than this one; none for the newest.
    before: Option<u64>,
    limit: Option<usize>,
    /// Rows whose text has this in it.
    object: Option<String>,
    /// `admin`, `connector`, `connector:NAME`, `user` or `system`.
    by: Option<String>,
}

/// The newest first. With a filter a page may be short, or empty, with more behind it: `next` says so.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let (mut rows, mut before, mut looked_at) = (Vec::new(), page.before, 0);
    while rows.len() < limit && looked_at < LOOKED_AT {
        let some = store.journal_before(before, PAGE)?;
        let Some(last) = some.last() else {
            before = None;
            break;
        };
        let oldest = last.seq;
        looked_at += some.len();
        before = Some(oldest);
        for entry in some {
            if rows.len() == limit {
                break;
            }
            before = Some(entry.seq);
            if page.wants(&entry) {
                rows.push(row(&entry));
            }
        }
    }
    Ok(Json(json!({ "rows": rows, "next": before })))
}

impl Page {
    fn wants(&self, entry: &JournalEntry) -> bool {
        let object = self.object.as_deref().is_none_or(|wanted| {
            let wanted = wanted.to_lowercase();
            entry.note.to_lowercase().contains(&wanted)
        });
        let who = who(&entry.origin);
        let by = self
            .by
            .as_deref()
            .is_none_or(|by| who == by || who.split(':').next() == Some(by));
        object && by
    }
}

fn who(origin: &Origin) -> String {
    match origin {
        Origin::Admin(name) => format!("admin:{name}"),
        Origin::Connector(name) => format!("connector:{name}"),
        Origin::User(id) => format!("user:{id}"),
        Origin::System => "system".to_owned(),
    }
}

fn row(entry: &JournalEntry) -> Value {
    let object = entry.object.map(|object| match object {
        LocalId::Account(id) => format!("account {id}"),
        LocalId::Group(id) => format!("group {id}"),
    });
    json!({
        "seq": entry.seq,
        "time": rfc3339(entry.time),
        "by": who(&entry.origin),
        "object": object,
        "what": entry.note,
    })
}
