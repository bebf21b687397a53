//! `homing route`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Ask every user map in order and show each step: filter sent, entries found, time, answer.
    #[command(after_help = "Example: homing route explain alice@example.org")]
    Explain {
        /// The address; a login without "@" is given with its domain.
        address: String,
    },
}

pub(crate) fn run(global: &Global, command: RouteCommand) -> Result<(), Failure> {
    let RouteCommand::Explain { address } = command;
    let client = Client::new(global)?;
    let answer = client.get(&format!("/v1/route/{}", segment(&address)))?;
    output::either(global.json, &answer, |value| {
        let steps = value
            .get("steps")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let answer = value.get("answer").and_then(Value::as_str).unwrap_or("-");
        steps
            .map(|step| format!("{step}\n"))
            .chain([format!("=> {answer}")])
            .collect()
    });
    // The answer is printed; the exit code says whether mail would get there.
    let said = || {
        answer
            .get("answer")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match answer.get("outcome").and_then(Value::as_str) {
        Some("no") => Err(Failure::Refused(said())),
        Some("later") => Err(Failure::Temporary(said())),
        _ => Ok(()),
    }
}
