//! `homing directory ldif`: what this server holds, for a directory.

use super::{problems, section};
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use directory::export::{Disabled, Exported, LocalEntry, LocalGroup, export};
use model::Address;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct LdifArgs {
    /// The connector whose bases and attributes are used; may be left out when there is only one.
    connector: Option<String>,
}

/// One row of the admin API.
#[derive(Deserialize)]
struct Row {
    address: Address,
    #[serde(default)]
    aliases: Vec<Address>,
    display_name: Option<String>,
    #[serde(default)]
    quota: Option<u64>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    members: Vec<Address>,
}

impl Row {
    fn is_deleted(&self) -> bool {
        self.state.as_deref() == Some("deleted")
    }

    fn entry(&self) -> LocalEntry {
        let disabled = self.enabled == Some(false) || self.state.as_deref() == Some("disabled");
        LocalEntry {
            address: self.address.clone(),
            aliases: self.aliases.clone(),
            display_name: self.display_name.clone(),
            quota: self.quota.unwrap_or(0),
            disabled: if disabled { Disabled::Yes } else { Disabled::No },
        }
    }
}

pub(super) fn run(global: &Global, args: &LdifArgs) -> Result<(), Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    let section = section(&config, args.connector.as_deref())?;
    let client = Client::new(global)?;
    let accounts: Vec<LocalEntry> = all(&client, "/v1/accounts", 1000)?
        .iter()
        .filter(|row| !row.is_deleted())
        .map(Row::entry)
        .collect();
    let groups: Vec<LocalGroup> = all(&client, "/v1/groups", 256)?
        .into_iter()
        .map(|row| LocalGroup {
            entry: row.entry(),
            members: row.members,
        })
        .collect();
    let exported = export(&section, &config.server_name, &accounts, &groups)
        .map_err(|found| problems(&section.name, &found))?;
    let ldif = text(&exported);
    let value = json!({ "ldif": ldif, "entries": exported.entries.len(), "notes": exported.notes });
    output::either(global.json, &value, |_| {
        let notes: String = exported.notes.iter().map(|note| format!("# {note}\n")).collect();
        format!("{notes}{ldif}")
    });
    Ok(())
}

fn text(exported: &Exported) -> String {
    let mut out = Vec::new();
    for entry in &exported.entries {
        // Writing to a Vec cannot fail.
        let _ = ldap::ldif::write_entry(&mut out, entry);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// All pages of a list.
fn all(client: &Client, path: &str, limit: u32) -> Result<Vec<Row>, Failure> {
    let mut all = Vec::new();
    client.numbered(path, limit, &mut |row| {
        all.push(
            serde_json::from_value(row).map_err(|error| {
                Failure::Unavailable(format!("the server's answer cannot be read: {error}"))
            })?,
        );
        Ok(())
    })?;
    Ok(all)
}
