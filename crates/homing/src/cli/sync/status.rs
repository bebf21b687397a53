//! `homing sync status`, once or again and again.

use super::field;
use super::quarantine::Groups;
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(global: &Global, client: &Client, watch: bool) -> Result<(), Failure> {
    if !watch {
        let answer = client.get("/v1/sync")?;
        output::either(global.json, &answer, all_text);
        return Ok(());
    }
    let on_terminal = std::io::stdout().is_terminal();
    loop {
        let answer = client.get("/v1/sync")?;
        let text = match (global.json, on_terminal) {
            (true, _) => {
                let rows = answer.as_array().into_iter().flatten();
                rows.map(Value::to_string).collect::<Vec<_>>().join("\n")
            }
            // Clears the terminal and writes from its first line.
            (false, true) => format!("\x1b[H\x1b[2J{}", all_text(&answer)),
            (false, false) => all_text(&answer) + "\n",
        };
        if output::try_line(&text).is_err() {
            return Ok(());
        }
        client.pause(EVERY);
    }
}

fn all_text(rows: &Value) -> String {
    match rows.as_array().map(Vec::as_slice).unwrap_or_default() {
        [] => "no connector".to_owned(),
        rows => rows.iter().map(text).collect::<Vec<_>>().join("\n\n"),
    }
}

/// The status in words; times are ages, for that is what an administrator asks.
pub(super) fn text(status: &Value) -> String {
    let text = |key: &str| status.get(key).and_then(Value::as_str);
    let number = |key: &str| status.get(key).and_then(Value::as_u64);
    let age = |key: &str| number(key).map_or_else(|| "never".to_owned(), ago);
    let mut lines = vec![
        format!("connector      {}", text("connector").unwrap_or("-")),
        format!("direction      {}", text("direction").unwrap_or("-")),
        format!("state          {}", state_text(status)),
    ];
    if let Some(error) = text("error") {
        lines.push(format!("error          {error}"));
    }
    let lag = number("lag_seconds").map_or_else(|| "not known yet".to_owned(), |lag| format!("{lag} s"));
    lines.push(format!("lag            {lag}"));
    lines.push(format!("last success   {}", age("last_success")));
    lines.push(format!("last change    {}", age("last_change")));
    let feed = text("feed").unwrap_or("-");
    lines.push(match number("replica_id") {
        Some(id) => format!("feed           {feed}, as replica {id}"),
        None => format!("feed           {feed}"),
    });
    let cookie = match number("cookie_age_seconds") {
        Some(seconds) => format!("{seconds} s old"),
        None => "none: everything is compared next time".to_owned(),
    };
    lines.push(format!("cookie         {cookie}"));
    lines.push(format!("linked         {}", number("linked").unwrap_or(0)));
    lines.push(format!("queue          {}", queue_text(status.get("round"))));
    lines.push(format!("rates          {}", rates_text(status.get("rates"))));
    lines.push(format!("outbox         {}", outbox_text(status.get("outbox"))));
    lines.push(format!("since start    {}", counts_text(status.get("counts"))));
    lines.push(format!("quarantine     {}", aside_text(status)));
    lines.push(format!("guard          {}", guard_text(status.get("guard"))));
    lines.join("\n")
}

/// How many are set aside, and the reason that most of those have which the status shows.
fn aside_text(status: &Value) -> String {
    let mut groups = Groups::default();
    for key in ["quarantine", "strangers"] {
        let rows = status.get(key).and_then(Value::as_array);
        rows.into_iter().flatten().for_each(|row| groups.add(row.clone()));
    }
    // A status shows the first ones only.
    let all = status.get("set_aside").and_then(Value::as_u64).unwrap_or(0);
    match groups.most() {
        None if all == 0 => "empty".to_owned(),
        Some((reason, count)) if count > 1 => {
            format!("{all}; see homing sync quarantine; most of them: {reason}")
        }
        _ => format!("{all}; see homing sync quarantine"),
    }
}

fn state_text(status: &Value) -> String {
    match field(status, "state") {
        "waiting_for_approval" => {
            let unlinked = status.get("unlinked").and_then(Value::as_u64).unwrap_or(0);
            format!(
                "waiting for approval: {unlinked} accounts here have no entry yet, or one that is not linked; homing sync plan says \
                 which, homing sync start --yes begins"
            )
        }
        "stopped" => "stopped; see homing sync start".to_owned(),
        other => other.replace('_', " "),
    }
}

fn queue_text(round: Option<&Value>) -> String {
    let number = |key: &str| round.and_then(|round| round.get(key)?.as_u64());
    match (number("named"), number("waiting")) {
        (Some(named), Some(waiting)) => format!("{waiting} waiting, {named} named in this round"),
        _ => "empty".to_owned(),
    }
}

fn rates_text(rates: Option<&Value>) -> String {
    let number = |key: &str| rates.and_then(|rates| rates.get(key)?.as_u64()).unwrap_or(0);
    let (here, there) = (number("here_per_minute"), number("there_per_minute"));
    format!("{here} changed here and {there} in the directory within the last minute")
}

fn outbox_text(outbox: Option<&Value>) -> String {
    let number = |key: &str| outbox.and_then(|outbox| outbox.get(key)?.as_u64());
    let mut parts = Vec::new();
    if let (Some(waiting @ 1..), Some(since)) = (number("waiting"), number("since")) {
        parts.push(format!("{waiting} to be written, the first {}", ago(since)));
    }
    if let (Some(edits @ 1..), Some(since)) = (number("edits"), number("edited_since")) {
        let wait = match edits {
            1 => "1 change here waits".to_owned(),
            edits => format!("{edits} changes here wait"),
        };
        parts.push(format!("{wait} for the directory, the first {}", ago(since)));
    }
    match parts.as_slice() {
        [] => "empty".to_owned(),
        some => format!("{}; see homing sync pending", some.join(", ")),
    }
}

/// `created 162, updated 4`: what is not zero.
fn counts_text(counts: Option<&Value>) -> String {
    let counts = counts.and_then(Value::as_object).into_iter().flatten();
    let some = counts.filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0));
    let parts: Vec<String> = some
        .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
        .collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}

fn guard_text(guard: Option<&Value>) -> String {
    let number = |key: &str| guard.and_then(|guard| guard.get(key)?.as_u64()).unwrap_or(0);
    let hash = guard.and_then(|guard| guard.get("hash")?.as_str());
    match (number("held"), hash) {
        (held @ 1.., Some(hash)) => {
            format!("holds {held} destructive changes; let them pass with homing sync approve {hash}")
        }
        _ => format!(
            "quiet, {} destructive changes here and {} in the directory within the hour",
            number("count"),
            number("count_there")
        ),
    }
}

/// A moment in milliseconds since 1970, as an age.
fn ago(millis: u64) -> String {
    use model::Clock;
    let span = model::SystemClock::new()
        .now()
        .since(model::Timestamp::from_millis(millis));
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_with_what_to_type() {
        let held = text(&json!({
            "connector": "corp", "state": "following", "direction": "both-ways",
            "guard": { "held": 3, "hash": "h" }, "replica_id": 7,
            "outbox": { "waiting": 2, "since": 1, "edits": 5, "edited_since": 1 },
            "quarantine": [{ "reason": "why" }], "strangers": [{ "reason": "why" }], "set_aside": 310,
        }));
        for part in [
            "both-ways",
            "approve h",
            "as replica 7",
            "2 to be written",
            "5 changes here wait for the directory",
            "310; see homing sync quarantine; most of them: why",
        ] {
            assert!(held.contains(part), "{part} in {held}");
        }
        let one = json!({ "state": "following", "outbox": { "edits": 1, "edited_since": 1 } });
        let one = text(&one);
        assert!(one.contains("1 change here waits for the directory"), "{one}");
        let waits = text(&json!({ "state": "waiting_for_approval", "unlinked": 4 }));
        assert!(waits.contains("4 accounts here have no entry yet"), "{waits}");
        let stopped = text(&json!({ "state": "stopped" }));
        assert!(stopped.contains("see homing sync start"), "{stopped}");
    }
}
