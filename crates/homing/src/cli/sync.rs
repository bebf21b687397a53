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
                    rows => rows.iter().map(output::details).collect::<Vec<_>>().join("\n\n"),
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
            output::either(global.json, &answer, output::details);
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
    let hash = plan.get("hash").and_then(Value::as_str).unwrap_or("-");
    if lines.is_empty() {
        return format!("nothing to do\nhash {hash}");
    }
    format!("{}\nhash {hash}", lines.join("\n"))
}
