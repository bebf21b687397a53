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
            "{} homing {}\n{table}{problems}",
            text("server_name"),
            text("version")
        )
    });
    Ok(())
}
