//! `/v1/route`

use super::{Admin, Named, address};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use directory::{Attempt, ExplainStep, Route};
use serde_json::{Value, json};
use std::sync::Arc;

/// Asks the maps of every proxy service that lists other maps than the ones before it.
pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let address = address(&name)?;
    let current = admin.current.load_full();
    if current.maps.is_empty() {
        return Err(ApiError::Conflict(
            "this node routes nothing: no proxy service has user_maps".to_owned(),
        ));
    }
    let mut services = Vec::new();
    for (service, maps) in &current.maps {
        let explanation = maps.explain(&address).await;
        let steps: Vec<String> = explanation.steps.iter().map(line).collect();
        services.push(json!({ "service": service, "steps": steps, "answer": explanation.route.to_string(), "outcome": outcome(&explanation.route) }));
    }
    let same = |key: &str| {
        services
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.get(key) == b.get(key)))
    };
    let text = |row: &Value, key: &str| {
        row.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let answer = match services.as_slice() {
        [first, ..] if same("answer") => text(first, "answer"),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|row| format!("{}: {}", text(row, "service"), text(row, "answer")))
                .collect();
            parts.join("; ")
        }
    };
    let steps = services
        .first()
        .and_then(|row| row.get("steps"))
        .cloned()
        .unwrap_or_default();
    Ok(Json(
        json!({ "address": address, "steps": steps, "answer": answer, "outcome": worst(&services), "services": services }),
    ))
}

/// In one word, for programs: `home`, `no` or `later`.
fn outcome(route: &Route) -> &'static str {
    match route {
        Route::Home(_) => "home",
        Route::NoSuchAccount | Route::Rejected => "no",
        Route::NoHome { .. } | Route::Ambiguous(_) | Route::Unavailable(_) => "later",
    }
}

/// The outcome of all services together: "later" from one of them outweighs a definite answer of the others.
fn worst(services: &[Value]) -> &'static str {
    let has = |word: &str| {
        services
            .iter()
            .any(|row| row.get("outcome").and_then(Value::as_str) == Some(word))
    };
    if has("later") {
        "later"
    } else if has("no") {
        "no"
    } else {
        "home"
    }
}

/// One map: what was asked, what was found, how long it took.
fn line(step: &ExplainStep) -> String {
    let mut text = format!("map {} ({})", step.map, step.kind);
    for search in &step.searches {
        text.push_str(&format!(
            "\n  {} base {:?} filter {}: {}",
            search.server,
            search.base,
            search.filter,
            found(search)
        ));
    }
    if let Some(rule) = &step.rule {
        text.push_str(&format!("\n  rule {rule}"));
    }
    let micros = step.took.as_micros();
    text.push_str(&format!(
        "\n  {} after {}.{:03} ms",
        step.answer,
        micros / 1000,
        micros % 1000
    ));
    text
}

/// What one search brought.
fn found(search: &Attempt) -> String {
    match (&search.error, search.found.as_slice()) {
        (Some(error), _) => error.clone(),
        (None, []) => "no entry".to_owned(),
        (None, dns) => dns.join(" | "),
    }
}
