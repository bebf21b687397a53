//! What takes long: a progress bar on a terminal, JSON lines for scripts.

use super::{path, plan, status};
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// The state of a connector that has accounts in its way.
const WAITS: &str = "waiting_for_approval";

/// Posts, shows how far it has come, and then the state at the end.
pub(super) fn long(global: &Global, client: &Client, target: &str, body: Value) -> Result<(), Failure> {
    let bar = bar(global);
    let connector = target.split('/').nth(3).unwrap_or_default().to_owned();
    let mut show = |all: &Value| {
        let rows = all.as_array().into_iter().flatten();
        let own = rows.filter(|row| {
            let name = row.get("connector").and_then(Value::as_str).unwrap_or_default();
            crate::cli::client::segment(name) == connector
        });
        for row in own {
            let Some(done) = progress(row) else { continue };
            if global.json {
                output::json_line(&json!({ "progress": done }));
            } else if let Some(bar) = &bar {
                let number = |key: &str| done.get(key).and_then(Value::as_u64).unwrap_or(0);
                bar.set_length(number("of").max(number("done")));
                bar.set_position(number("done"));
                bar.set_message(format!("{} waiting", number("waiting")));
            }
        }
    };
    let answer = client.post_and_watch(target, body, ("/v1/sync", &mut show));
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let answer = answer?;
    if global.json {
        output::json_line(&answer);
    } else {
        output::line(&status::text(&answer));
    }
    Ok(())
}

fn bar(global: &Global) -> Option<ProgressBar> {
    if global.json || !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} objects, {per_sec}, {msg} {elapsed}")
    {
        bar.set_style(style);
    }
    Some(bar)
}

/// How far a round has come: the entries that were named, of as many as are linked.
fn progress(status: &Value) -> Option<Value> {
    let round = status.get("round").filter(|round| !round.is_null())?;
    let number = |from: &Value, key: &str| from.get(key).and_then(Value::as_u64).unwrap_or(0);
    let full = round.get("full").and_then(Value::as_bool).unwrap_or(false);
    let (done, waiting) = (number(round, "named"), number(round, "waiting"));
    let of = if full {
        number(status, "linked")
    } else {
        done + waiting
    };
    Some(json!({ "full": full, "done": done, "waiting": waiting, "of": of.max(done) }))
}

/// Starts a connector. Where accounts are in the way, what the plan comes to is shown first.
pub(super) fn start(global: &Global, client: &Client, connector: &str, yes: bool) -> Result<(), Failure> {
    let waits = || -> Result<bool, Failure> {
        let all = client.get("/v1/sync")?;
        let mut rows = all.as_array().into_iter().flatten();
        let own = rows.find(|row| row.get("connector").and_then(Value::as_str) == Some(connector));
        let state = own.and_then(|row| row.get("state")?.as_str());
        Ok(state == Some(WAITS))
    };
    let ask = || -> Result<(), Failure> {
        let hash = plan::show(global, client, connector, plan::Shown::Summary)?;
        Err(Failure::Refused(format!(
            "accounts are in the way, so nothing has begun. This plan: homing sync apply --plan {hash} {connector}. \
             Whatever is there by then: homing sync start --yes {connector}"
        )))
    };
    if !yes && waits()? {
        return ask();
    }
    let answer = client.post(&path(connector, "start"), json!({ "yes": yes }))?;
    // It was stopped, and begins with accounts in its way.
    if !yes && answer.get("state").and_then(Value::as_str) == Some(WAITS) {
        return ask();
    }
    output::either(global.json, &answer, |_| format!("{connector} is started"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::progress;
    use serde_json::json;

    #[test]
    fn progress_is_of_what_is_known() {
        assert_eq!(progress(&json!({ "round": null })), None);
        let first = json!({ "linked": 0, "round": { "full": true, "named": 40, "waiting": 2 } });
        let found = progress(&first).expect("a round");
        assert_eq!(
            (found["done"].as_u64(), found["of"].as_u64()),
            (Some(40), Some(40))
        );
        let later = json!({ "linked": 90, "round": { "full": false, "named": 3, "waiting": 2 } });
        assert_eq!(progress(&later).expect("a round")["of"], 5);
    }
}
