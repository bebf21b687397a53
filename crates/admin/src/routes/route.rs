//! `/v1/route`

use super::{Admin, Named, address};
use crate::ApiError;
use axum::Json;
use axum::extract::State;
use directory::{Attempt, DomainAnswer, ExplainStep, HomeRef, Route};
use frontend::{Dialer, HomeState};
use model::Address;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long the name of a home may be looked up.
const LOOK_UP: Duration = Duration::from_secs(2);

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
    let (mut services, mut homes) = (Vec::new(), BTreeSet::new());
    for (service, maps) in &current.maps {
        let explanation = maps.explain(&address).await;
        let steps: Vec<String> = explanation.steps.iter().map(line).collect();
        if let Route::Home(found) = &explanation.route {
            homes.insert(found.home.to_string());
        }
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
    let mut met = Vec::with_capacity(homes.len());
    for home in &homes {
        met.push(way(&current.homes, home).await);
    }
    Ok(Json(
        json!({ "address": address, "steps": steps, "answer": answer, "outcome": worst(&rows), "services": services, "domains": domains, "homes": met }),
    ))
}

/// Whether a session would get to a home now, and what is known of each of its services. A home that is not listed and has
/// not been met is looked up by its name: a slip in the directory has no address.
async fn way(dialer: &Dialer, name: &str) -> Value {
    let host = HomeRef::parse(name).map_or_else(|_| name.to_owned(), |home| home.host().to_owned());
    let drained = dialer.drained().into_iter().find(|(drained, _)| *drained == host);
    let listed = dialer.listed().contains(&host);
    let mut met = dialer.homes();
    met.retain(|status| status.home == name);
    let all_down = !met.is_empty()
        && met
            .iter()
            .all(|status| matches!(status.state, HomeState::Down | HomeState::Trial));
    let why_not = match &drained {
        Some((_, reason)) if reason.is_empty() => Some("drained".to_owned()),
        Some((_, reason)) => Some(format!("drained: {reason}")),
        None if all_down => Some("down".to_owned()),
        None if !listed && met.iter().all(|status| status.state != HomeState::Up) => no_address(&host).await,
        None => None,
    };
    let services: Vec<Value> = met
        .iter()
        .map(|status| {
            json!({
                "protocol": status.protocol.to_string(), "address": status.address,
                "state": status.state.as_str(), "reason": status.reason,
            })
        })
        .collect();
    json!({
        "home": name, "listed": listed, "drained": drained.is_some(), "open": why_not.is_none(), "why_not": why_not,
        "services": services,
    })
}

/// Why the name of a home that no `[[home]]` lists leads nowhere.
async fn no_address(host: &str) -> Option<String> {
    let looked_up = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, 143))).await;
    match looked_up {
        Ok(Ok(found)) => match found.count() {
            0 => Some("no [[home]] lists it, and its name has no address".to_owned()),
            _ => None,
        },
        Ok(Err(error)) => Some(format!(
            "no [[home]] lists it, and its name cannot be looked up: {error}"
        )),
        Err(_) => Some("no [[home]] lists it, and nobody answers for its name".to_owned()),
    }
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
