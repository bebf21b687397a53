//! `homing domain`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Add a domain whose accounts this server holds.
    #[command(after_help = "Example: homing domain create example.org")]
    Create {
        /// The domain name.
        name: String,
    },
    /// List the domains.
    #[command(after_help = "Example: homing domain list --json")]
    List,
    /// Remove a domain that has no accounts and no groups.
    #[command(after_help = "Example: homing domain delete example.org")]
    Delete {
        /// The domain name.
        name: String,
    },
}

pub(crate) fn run(global: &Global, command: DomainCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    match command {
        DomainCommand::Create { name } => {
            let answer = client.post("/v1/domains", json!({ "name": name }))?;
            output::either(global.json, &answer, |_| format!("created domain {name}"));
        }
        DomainCommand::List => {
            let answer = client.get("/v1/domains")?;
            output::either(global.json, &answer, |rows| {
                output::table(rows, &[("DOMAIN", "name")])
            });
        }
        DomainCommand::Delete { name } => {
            let answer = client.delete(&format!("/v1/domains/{}", segment(&name)))?;
            output::either(global.json, &answer, |_| format!("deleted domain {name}"));
        }
    }
    Ok(())
}
