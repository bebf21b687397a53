//! `homing service`.

use super::client::Client;
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Show every service of the running server with its address, state and sessions.
    #[command(after_help = "Example: homing service status --json")]
    Status,
    /// Print what the running server has counted, in Prometheus' text format.
    #[command(after_help = "Example: homing service metrics | grep homing_proxy_logins_total")]
    Metrics,
}

pub(crate) fn run(global: &Global, command: ServiceCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    match command {
        ServiceCommand::Status => status(global, &client),
        ServiceCommand::Metrics => {
            output::line(client.get_text("/metrics")?.trim_end());
            Ok(())
        }
    }
}

/// The lasting id, and the names that the server had before.
fn node_text(node: Option<&Value>) -> String {
    let Some(id) = node.and_then(|node| node.get("id")?.as_str()) else {
        return String::new();
    };
    let former = node.and_then(|node| node.get("former_names")?.as_array());
    let former: Vec<&str> = former.into_iter().flatten().filter_map(Value::as_str).collect();
    match former.as_slice() {
        [] => format!("node {id}\n"),
        former => format!("node {id}, formerly {}\n", former.join(", ")),
    }
}

fn status(global: &Global, client: &Client) -> Result<(), Failure> {
    let answer = client.get("/v1/services")?;
    output::either(global.json, &answer, |value| {
        let text = |key| value.get(key).and_then(Value::as_str).unwrap_or("-");
        let services = value.get("services").unwrap_or(&Value::Null);
        let columns = [
            ("SERVICE", "service"),
            ("ADDRESS", "address"),
            ("STATE", "state"),
            ("SESSIONS", "sessions"),
            ("ACCEPTED", "accepted"),
        ];
        let problems = value
            .get("problems")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let problems: String = problems
            .filter_map(Value::as_str)
            .map(|text| format!("\nproblem: {text}"))
            .collect();
        let table = output::table(services, &columns);
        format!(
            "{} homing {}\n{}{table}{problems}",
            text("server_name"),
            text("version"),
            node_text(value.get("node"))
        )
    });
    Ok(())
}
