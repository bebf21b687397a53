//! `/v1/route`

use super::{Admin, Named, address};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use directory::{Attempt, DomainAnswer, ExplainStep, Route};
use model::Address;
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
    let mut answer = match services.as_slice() {
        [first, ..] if same("answer") => text(first, "answer"),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|row| format!("{}: {}", text(row, "service"), text(row, "answer")))
                .collect();
            parts.join("; ")
        }
    };
    // Mail has to pass these before a map is asked.
    let mut domains = Vec::new();
    for (service, known) in &current.domains {
        domains.push(gate(service, &address, &known.find(&address.domain()).await));
    }
    let mut steps: Vec<String> = domains.iter().map(|row| text(row, "step")).collect();
    let maps = services.first().and_then(|row| row.get("steps")?.as_array());
    steps.extend(
        maps.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    for row in domains.iter().filter(|row| text(row, "outcome") != "home") {
        answer.push_str(&format!("; {}", text(row, "step")));
    }
    let rows: Vec<Value> = services.iter().chain(&domains).cloned().collect();
    Ok(Json(
        json!({ "address": address, "steps": steps, "answer": answer, "outcome": worst(&rows), "services": services, "domains": domains }),
    ))
}

/// Whether a mail proxy takes mail for the domain at all.
fn gate(service: &str, address: &Address, answer: &DomainAnswer) -> Value {
    let domain = address.domain();
    let (outcome, said) = match answer {
        DomainAnswer::Ours => ("home", "is one of them".to_owned()),
        DomainAnswer::Foreign => (
            "no",
            "is none of them: its mail is refused, but for clients that may relay".to_owned(),
        ),
        DomainAnswer::Unavailable(cause) => ("later", format!("cannot be looked up: {cause}")),
    };
    json!({ "service": service, "step": format!("[{service}] domains: {domain} {said}"), "outcome": outcome })
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
