//! `homing group`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Create a group: mail to its address goes to every member.
    ///
    /// Its entry in the directory gets no host, for a group has no mailbox: front ends send its mail to the group_home of
    /// their [smtp_proxy], and defer it where none is set.
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
    /// Change what people know a group by; only what is named. Goes to the directory where the direction says so.
    ///
    /// Refused for what the directory alone decides (direction ldap-to-local), for it would be undone.
    #[command(
        after_help = "Example: homing group change staff@example.org --display-name 'All of us' --add-alias all@example.org\nExample: homing group change staff@example.org --address team@example.org --add-alias staff@example.org"
    )]
    Change(Change),
    /// Add a member. Refused where the directory alone decides who is in the group.
    #[command(after_help = "Example: homing group add staff@example.org bob@example.org")]
    Add {
        /// The group's address.
        address: String,
        /// The new member's address. Mail to a group with members on other servers is answered "try later".
        member: String,
    },
    /// Remove a member. Refused where the directory alone decides who is in the group.
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

/// What is to change.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The group's address or one of its aliases.
    group: String,
    /// Its address from now on. The old one is free unless --add-alias keeps it.
    #[arg(long = "address", value_name = "ADDRESS")]
    new: Option<String>,
    /// The name that people see; empty for none.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Another address of the group; may be given several times.
    #[arg(long = "add-alias", value_name = "ADDRESS")]
    add_aliases: Vec<String>,
    /// An address that it is to lose; may be given several times.
    #[arg(long = "remove-alias", value_name = "ADDRESS")]
    remove_aliases: Vec<String>,
    /// Change it only in this version, as `group show --json` tells it, and refuse when somebody or the directory
    /// has changed the group since.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

impl Change {
    fn body(self) -> Result<Value, Failure> {
        let mut body = serde_json::Map::new();
        let texts = [("address", self.new), ("display_name", self.display_name)];
        for (key, text) in texts {
            body.extend(text.map(|text| (key.to_owned(), json!(text))));
        }
        let lists = [
            ("add_aliases", self.add_aliases),
            ("remove_aliases", self.remove_aliases),
        ];
        for (key, addresses) in lists {
            if !addresses.is_empty() {
                body.insert(key.to_owned(), json!(addresses));
            }
        }
        if body.is_empty() {
            return Err(Failure::Usage(
                "nothing is to be changed; see homing group change --help".to_owned(),
            ));
        }
        body.extend(
            self.if_version
                .map(|version| ("version".to_owned(), json!(version))),
        );
        Ok(Value::Object(body))
    }
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
            let mut rows = Vec::new();
            client.numbered("/v1/groups", 256, &mut |row| {
                rows.push(row);
                Ok(())
            })?;
            output::either(global.json, &Value::Array(rows), |rows| {
                output::table(
                    rows,
                    &[
                        ("ID", "id"),
                        ("ADDRESS", "address"),
                        ("NAME", "display_name"),
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
        GroupCommand::Change(change) => {
            let path = path(&change.group);
            let answer = client.patch(&path, change.body()?)?;
            output::either(global.json, &answer, |group| {
                let address = group.get("address").and_then(Value::as_str).unwrap_or_default();
                format!("changed group {address}")
            });
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
            output::either(global.json, &answer, |done| {
                match done.get("undone_by").and_then(Value::as_str) {
                    Some(connector) => format!(
                        "deleted group {address} for the moment: its entry decides (connector {connector}, direction \
                     ldap-to-local), so delete the entry as well, or the next comparison brings it back"
                    ),
                    None => format!("deleted group {address}"),
                }
            });
        }
    }
    Ok(())
}
