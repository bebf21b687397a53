//! `homing sync`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Show the state of every connector: lag, last change, cookie, quarantine, guard.
    #[command(after_help = "Example: homing sync status")]
    Status,
    /// Show what a sync would do now, and the plan's hash; changes nothing.
    #[command(after_help = "Example: homing sync plan corp")]
    Plan {
        /// The connector; may be left out when there is only one.
        connector: Option<String>,
    },
    /// Sync now and wait for the end.
    #[command(after_help = "Example: homing sync run corp --full")]
    Run {
        /// The connector; may be left out when there is only one.
        connector: Option<String>,
        /// Compare everything instead of asking only for changes.
        #[arg(long)]
        full: bool,
    },
    /// List objects that are set aside because they cannot be synced, and why.
    #[command(after_help = "Example: homing sync quarantine corp")]
    Quarantine {
        /// The connector; may be left out when there is only one.
        connector: Option<String>,
    },
    /// Let a plan pass that the delete guard holds.
    #[command(after_help = "Example: homing sync approve 4f1c02aa97e0b6d3 corp")]
    Approve {
        /// The hash that "homing sync plan" printed.
        hash: String,
        /// The connector; may be left out when there is only one.
        connector: Option<String>,
    },
}

pub(crate) fn run(global: &Global, command: SyncCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    match command {
        SyncCommand::Status => {
            let answer = client.get("/v1/sync")?;
            output::either(global.json, &answer, |rows| {
                let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
                match rows {
                    [] => "no connector".to_owned(),
                    rows => rows.iter().map(status_text).collect::<Vec<_>>().join("\n\n"),
                }
            });
        }
        SyncCommand::Plan { connector } => {
            let name = connector_name(&client, connector)?;
            let answer = client.get(&format!("/v1/sync/{}/plan", segment(&name)))?;
            output::either(global.json, &answer, plan_text);
        }
        SyncCommand::Run { connector, full } => {
            let name = connector_name(&client, connector)?;
            let answer = client.post(
                &format!("/v1/sync/{}/run", segment(&name)),
                json!({ "full": full }),
            )?;
            output::either(global.json, &answer, status_text);
        }
        SyncCommand::Quarantine { connector } => {
            let name = connector_name(&client, connector)?;
            let answer = client.get(&format!("/v1/sync/{}/quarantine", segment(&name)))?;
            output::either(global.json, &answer, |rows| {
                output::table(
                    rows,
                    &[("ENTRY", "entry"), ("REASON", "reason"), ("NEXT TRY", "next_try")],
                )
            });
        }
        SyncCommand::Approve { hash, connector } => {
            let name = connector_name(&client, connector)?;
            let answer = client.post(
                &format!("/v1/sync/{}/approve", segment(&name)),
                json!({ "hash": hash }),
            )?;
            output::either(global.json, &answer, |_| {
                format!("approved plan {hash}; the next sync carries it out")
            });
        }
    }
    Ok(())
}

/// The connector that was named, or the only one there is.
fn connector_name(client: &Client, named: Option<String>) -> Result<String, Failure> {
    if let Some(name) = named {
        return Ok(name);
    }
    let status = client.get("/v1/sync")?;
    let names: Vec<&str> = status
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row.get("connector")?.as_str())
        .collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Failure::Refused(
            "this server has no connector that synchronises".to_owned(),
        )),
        several => Err(Failure::Usage(format!(
            "name the connector, one of: {}",
            several.join(", ")
        ))),
    }
}

fn plan_text(plan: &Value) -> String {
    let lines: Vec<&str> = plan
        .get("lines")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
    let aside = plan
        .get("set_aside")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    lines.extend(aside.map(|object| {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("-");
        format!("set aside {}: {}", text("uuid"), text("reason"))
    }));
    let hash = plan.get("hash").and_then(Value::as_str).unwrap_or("-");
    if lines.is_empty() {
        return format!("nothing to do\nhash {hash}");
    }
    format!("{}\nhash {hash}", lines.join("\n"))
}

/// The status in words; times are ages, for that is what an administrator asks.
fn status_text(status: &Value) -> String {
    let text = |key: &str| status.get(key).and_then(Value::as_str);
    let number = |key: &str| status.get(key).and_then(Value::as_u64);
    let age = |key: &str| number(key).map_or_else(|| "never".to_owned(), ago);
    let mut lines = vec![
        format!("connector      {}", text("connector").unwrap_or("-")),
        format!("state          {}", text("state").unwrap_or("-")),
    ];
    if let Some(error) = text("error") {
        lines.push(format!("error          {error}"));
    }
    lines.push(format!("lag            {} s", number("lag_seconds").unwrap_or(0)));
    lines.push(format!("last success   {}", age("last_success")));
    lines.push(format!("last change    {}", age("last_change")));
    let cookie = match number("cookie_age_seconds") {
        Some(seconds) => format!("{seconds} s old"),
        None => "none: everything is compared next time".to_owned(),
    };
    lines.push(format!("cookie         {cookie}"));
    lines.push(format!("linked         {}", number("linked").unwrap_or(0)));
    lines.push(format!("since start    {}", counts_text(status.get("counts"))));
    let aside = status
        .get("quarantine")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    lines.push(match aside {
        0 => "quarantine     empty".to_owned(),
        some => format!("quarantine     {some}; see homing sync quarantine"),
    });
    lines.push(format!("guard          {}", guard_text(status.get("guard"))));
    lines.join("\n")
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
        _ => format!("quiet, {} destructive changes within the hour", number("count")),
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
