//! `homing group`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Create a group: mail to its address goes to every member.
    #[command(after_help = "Example: homing group create staff@example.org --member alice@example.org")]
    Create {
        /// The group's address.
        address: String,
        /// A member's address; may be given several times.
        #[arg(long = "member", value_name = "ADDRESS")]
        members: Vec<String>,
        /// The name that people see.
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
    },
    /// List the groups.
    #[command(after_help = "Example: homing group list")]
    List,
    /// Show one group and its members.
    #[command(after_help = "Example: homing group show staff@example.org")]
    Show {
        /// The group's address.
        address: String,
    },
    /// Add a member.
    #[command(after_help = "Example: homing group add staff@example.org bob@example.org")]
    Add {
        /// The group's address.
        address: String,
        /// The new member's address. Mail to a group with members on other servers is answered "try later".
        member: String,
    },
    /// Remove a member.
    #[command(after_help = "Example: homing group remove staff@example.org bob@example.org")]
    Remove {
        /// The group's address.
        address: String,
        /// The member's address.
        member: String,
    },
    /// Delete a group; its members stay.
    #[command(after_help = "Example: homing group delete staff@example.org")]
    Delete {
        /// The group's address.
        address: String,
    },
}

pub(crate) fn run(global: &Global, command: GroupCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let path = |address: &str| format!("/v1/groups/{}", segment(address));
    match command {
        GroupCommand::Create {
            address,
            members,
            display_name,
        } => {
            let body = json!({ "address": address, "members": members, "display_name": display_name });
            let answer = client.post("/v1/groups", body)?;
            output::either(global.json, &answer, |_| format!("created group {address}"));
        }
        GroupCommand::List => {
            let answer = client.get("/v1/groups")?;
            output::either(global.json, &answer, |rows| {
                output::table(
                    rows,
                    &[
                        ("ADDRESS", "address"),
                        ("MEMBERS", "member_count"),
                        ("ENTRY", "entry_uuid"),
                    ],
                )
            });
        }
        GroupCommand::Show { address } => {
            let answer = client.get(&path(&address))?;
            output::either(global.json, &answer, output::details);
        }
        GroupCommand::Add { address, member } => {
            let answer = client.post(
                &format!("{}/members", path(&address)),
                json!({ "member": member }),
            )?;
            output::either(global.json, &answer, |_| {
                format!("{member} is a member of {address}")
            });
        }
        GroupCommand::Remove { address, member } => {
            let answer = client.delete(&format!("{}/members/{}", path(&address), segment(&member)))?;
            output::either(global.json, &answer, |_| {
                format!("{member} is no member of {address}")
            });
        }
        GroupCommand::Delete { address } => {
            let answer = client.delete(&path(&address))?;
            output::either(global.json, &answer, |_| format!("deleted group {address}"));
        }
    }
    Ok(())
}
