//! `homing sync`: what can be typed, and who answers it.

mod links;
mod plan;
mod quarantine;
mod run;
mod status;

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Show the state of every connector: lag, last change, cookie, queue, rates, outbox, quarantine, guard.
    #[command(after_help = "Example: homing sync status --watch")]
    Status {
        /// Draw it again every second until interrupted; JSON lines with --json.
        #[arg(long)]
        watch: bool,
    },
    /// Show what a full comparison would do to both sides now, and the plan's hash; changes nothing.
    #[command(
        after_help = "Example: homing sync plan corp\n\nWith --json the plan comes as JSON lines; the last one has the hash."
    )]
    Plan {
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
    },
    /// Carry out a plan that was looked at. Refused when it would be another one by now.
    ///
    /// Its destructive changes pass the guard, and a connector that waits to be started, or was stopped, begins and goes on.
    #[command(after_help = "Example: homing sync apply --plan 4f1c02aa97e0b6d3 corp")]
    Apply {
        /// The hash that "homing sync plan" printed.
        #[arg(long, value_name = "HASH")]
        plan: String,
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
    },
    /// Sync now and wait for the end.
    #[command(after_help = "Example: homing sync run corp --full")]
    Run {
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
        /// Compare everything instead of asking only for changes.
        #[arg(long)]
        full: bool,
    },
    /// Start a connector that was stopped, or that waits because accounts are in its domains already.
    ///
    /// In the second case what the plan comes to is shown first (its first 20 lines, and a count by kind; with --json the
    /// whole plan), and nothing begins without --yes.
    #[command(after_help = "Example: homing sync start corp --yes")]
    Start {
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
        /// Begin although accounts are in the way; the plan has been looked at.
        #[arg(long)]
        yes: bool,
    },
    /// Stop a connector. It stays stopped over a restart of the server.
    #[command(after_help = "Example: homing sync stop corp")]
    Stop {
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
    },
    /// Tell why an account or group is as it is: both sides, what they had in common, the rule, the last events.
    #[command(after_help = "Example: homing sync explain alice@example.org")]
    Explain {
        /// An address, a login, or the UUID of an entry.
        object: String,
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
    },
    /// List values that lost a conflict, the newest first, with both values and the rule.
    #[command(after_help = "Example: homing sync conflicts --connector corp")]
    Conflicts {
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        #[arg(long)]
        connector: Option<String>,
    },
    /// Give an object a value back that lost a conflict. It goes the way of every edit made here.
    #[command(after_help = "Example: homing sync restore 1795323661000.6f9d...-....display_name")]
    Restore {
        /// The id from "homing sync conflicts".
        id: String,
        /// Whose value, where both lost: here or directory.
        #[arg(long, value_name = "SIDE")]
        side: Option<String>,
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        #[arg(long)]
        connector: Option<String>,
    },
    /// List objects that are set aside because they cannot be synced, and why; or try them again.
    ///
    /// Many with one reason are one paragraph, with how many they are and the first of them. With --json every object is a
    /// line.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Example: homing sync quarantine corp\nExample: homing sync quarantine retry --all"
    )]
    Quarantine {
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
        /// Every object, however many have the same reason.
        #[arg(long)]
        all: bool,
        #[command(subcommand)]
        command: Option<QuarantineCommand>,
    },
    /// Let destructive changes pass that the guard holds.
    #[command(after_help = "Example: homing sync approve 4f1c02aa97e0b6d3 corp")]
    Approve {
        /// The hash that "homing sync status" shows beside the guard.
        hash: String,
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
    },
    /// Part accounts or groups from their entries: pending writes stop, nothing is deleted, and neither side is joined
    /// or created again until "relink" or "release".
    ///
    /// Needs the privilege sync.unlink, which root and the server's own user have. Written to the audit log.
    #[command(
        after_help = "Example: homing sync unlink alice@example.org\nExample: homing sync unlink --all --filter '*@old.example.org'"
    )]
    Unlink(links::Chosen),
    /// Link what was unlinked again. With --by mail each is looked for in the directory by its address: a directory that
    /// was built anew has other UUIDs.
    #[command(
        after_help = "Example: homing sync relink alice@example.org\nExample: homing sync relink --by mail --dry-run"
    )]
    Relink(links::Relink),
    /// Set free what was unlinked: account and entry may be joined or created again.
    #[command(after_help = "Example: homing sync release alice@example.org")]
    Release(links::Chosen),
    /// List what waits: writes that the directory has not acknowledged, members without an entry or an address.
    #[command(after_help = "Example: homing sync pending corp")]
    Pending {
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        connector: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Say that entries which cannot be seen are gone: an organizational unit was removed or renamed, and what stood below it
    /// was deleted. Without your word that looks like lost read rights, and nothing follows from it.
    ///
    /// What follows (by on_delete) is done now. Many at once are held by the guard all the same.
    #[command(after_help = "Example: homing sync quarantine gone 'ou=Labs,dc=example,dc=org'")]
    Gone {
        /// The DN that was removed or renamed; every hidden entry in quarantine that stood below it is meant.
        dn: String,
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        #[arg(long)]
        connector: Option<String>,
    },
    /// Try one object again now, or all. What the guard holds waits for "homing sync approve" instead.
    #[command(after_help = "Example: homing sync quarantine retry --all")]
    Retry {
        /// The object as the list shows it.
        #[arg(required_unless_present = "all")]
        object: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "object")]
        all: bool,
        /// The connector, or a domain that it alone has; may be left out when there is only one.
        #[arg(long)]
        connector: Option<String>,
    },
}

pub(crate) fn run(global: &Global, command: SyncCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    match command {
        SyncCommand::Status { watch } => status::run(global, &client, watch)?,
        SyncCommand::Plan { connector } => {
            let name = connector_name(&client, connector)?;
            plan::show(global, &client, &name, plan::Shown::All)?;
        }
        SyncCommand::Apply { plan, connector } => {
            let path = path(&connector_name(&client, connector)?, "apply");
            run::long(global, &client, &path, json!({ "hash": plan }))?;
        }
        SyncCommand::Run { connector, full } => {
            let path = path(&connector_name(&client, connector)?, "run");
            run::long(global, &client, &path, json!({ "full": full }))?;
        }
        SyncCommand::Start { connector, yes } => {
            run::start(global, &client, &connector_name(&client, connector)?, yes)?;
        }
        SyncCommand::Stop { connector } => {
            let name = connector_name(&client, connector)?;
            let answer = client.post(&path(&name, "stop"), json!({}))?;
            output::either(global.json, &answer, |_| {
                format!("{name} is stopped, also over a restart")
            });
        }
        SyncCommand::Explain { object, connector } => {
            let name = connector_name(&client, connector)?;
            let answer = client.get(&path(&name, &format!("objects/{}", segment(&object))))?;
            output::either(global.json, &answer, |found| {
                found
                    .get("text")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            });
        }
        SyncCommand::Conflicts { connector } => {
            let name = connector_name(&client, connector)?;
            rows(global, &client, &path(&name, "conflicts"), conflict_text)?;
        }
        SyncCommand::Restore { id, side, connector } => {
            let name = connector_name(&client, connector)?;
            let answer = client.post(&path(&name, "restore"), json!({ "id": id, "side": side }))?;
            output::either(global.json, &answer, |done| {
                done.get("restored")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            });
        }
        SyncCommand::Quarantine {
            connector,
            all,
            command,
        } => match command {
            None => {
                let name = connector_name(&client, connector)?;
                let rows = match all {
                    true => quarantine::Rows::All,
                    false => quarantine::Rows::Grouped,
                };
                quarantine::show(global, &client, &name, rows)?;
            }
            Some(QuarantineCommand::Gone { dn, connector }) => {
                let name = connector_name(&client, connector)?;
                let answer = client.post(&path(&name, "quarantine/gone"), json!({ "below": dn }))?;
                output::either(global.json, &answer, retried_text);
            }
            Some(QuarantineCommand::Retry {
                object, connector, ..
            }) => {
                let name = connector_name(&client, connector)?;
                let answer = client.post(&path(&name, "quarantine/retry"), json!({ "object": object }))?;
                output::either(global.json, &answer, retried_text);
            }
        },
        SyncCommand::Approve { hash, connector } => {
            let name = connector_name(&client, connector)?;
            let answer = client.post(&path(&name, "approve"), json!({ "hash": hash }))?;
            output::either(global.json, &answer, |status| approved_text(&hash, status));
        }
        SyncCommand::Unlink(chosen) => links::change(global, &client, "unlink", chosen)?,
        SyncCommand::Relink(relink) => links::relink(global, &client, relink)?,
        SyncCommand::Release(chosen) => links::change(global, &client, "release", chosen)?,
        SyncCommand::Pending { connector } => {
            let name = connector_name(&client, connector)?;
            rows(global, &client, &path(&name, "pending"), pending_text)?;
        }
    }
    Ok(())
}

fn path(connector: &str, what: &str) -> String {
    format!("/v1/sync/{}/{what}", segment(connector))
}

/// A list of any length, row by row.
fn rows(
    global: &Global,
    client: &Client,
    path: &str,
    text: impl Fn(&Value) -> String,
) -> Result<(), Failure> {
    let mut none = true;
    client.rows(path, "after", &mut |row| {
        none = false;
        if global.json {
            output::json_line(&row);
        } else {
            output::line(&text(&row));
        }
        Ok(())
    })?;
    if none && !global.json {
        output::line("none");
    }
    Ok(())
}

fn field<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or("-")
}

fn conflict_text(row: &Value) -> String {
    let get = |key| field(row, key);
    format!(
        "{}  {} {}: {} decided; lost: {}\n  last common {}; here {}; directory {}\n  id {}",
        get("time"),
        get("object"),
        get("field"),
        get("rule"),
        get("lost"),
        get("base"),
        get("here"),
        get("directory"),
        get("id"),
    )
}

/// What was approved may be another change by now, and is held again then.
fn approved_text(hash: &str, status: &Value) -> String {
    let guard = |name: &str| status.get("guard").and_then(|guard| guard.get(name));
    let held = guard("held").and_then(Value::as_u64).unwrap_or_default();
    let now = guard("hash").and_then(Value::as_str);
    match now {
        None => format!("approved {hash}, and carried out"),
        Some(now) => format!(
            "approved {hash}, and carried out what was still the same; {held} held now until: homing sync approve {now}"
        ),
    }
}

/// What a retry came to; what the guard holds it does not touch.
fn retried_text(done: &Value) -> String {
    let number = |key: &str| done.get(key).and_then(Value::as_u64).unwrap_or(0);
    let text = format!(
        "tried {} again; {} are set aside now",
        number("tried"),
        number("left")
    );
    match number("held") {
        0 => text,
        held => format!(
            "{text}, {held} of them held by the guard until: homing sync approve {}",
            field(done, "hash")
        ),
    }
}

fn pending_text(row: &Value) -> String {
    let get = |key| field(row, key);
    match get("what") {
        "member" => format!("{} waits for its member {}", get("object"), get("for")),
        "edit" => {
            let changed = row.get("changed").and_then(Value::as_array);
            let changed: Vec<&str> = changed.into_iter().flatten().filter_map(Value::as_str).collect();
            format!(
                "{} {} was changed here ({}, since {}) and waits for the directory",
                get("object"),
                get("for"),
                changed.join(", "),
                get("since")
            )
        }
        _ => format!(
            "{} is to be written as {} ({}, since {}): {}",
            get("object"),
            get("for"),
            get("kind"),
            get("since"),
            get("error")
        ),
    }
}

/// The connector that was named, by its name or by the domain that is its alone, or the only one there is.
fn connector_name(client: &Client, named: Option<String>) -> Result<String, Failure> {
    let status = client.get("/v1/sync")?;
    let rows: Vec<(&str, Vec<&str>)> = status.as_array().into_iter().flatten().map(own).collect();
    let Some(named) = named else {
        return match rows.as_slice() {
            [(only, _)] => Ok((*only).to_owned()),
            [] => Err(Failure::Refused(
                "this server has no connector that synchronises".to_owned(),
            )),
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
                Err(Failure::Usage(format!(
                    "name the connector, one of: {}",
                    names.join(", ")
                )))
            }
        };
    };
    if rows.iter().any(|(name, _)| *name == named) {
        return Ok(named);
    }
    let has = |domains: &[&str]| domains.iter().any(|domain| domain.eq_ignore_ascii_case(&named));
    let found: Vec<&(&str, Vec<&str>)> = rows.iter().filter(|(_, domains)| has(domains)).collect();
    match found.as_slice() {
        [(name, domains)] if domains.len() == 1 => Ok((*name).to_owned()),
        [(name, domains)] => Err(Failure::Usage(format!(
            "{named} is synchronised by {name} together with others ({}): name {name} to mean all of them, or give \
             {named} a connector of its own",
            domains.join(", ")
        ))),
        [] => Err(Failure::Refused(format!(
            "no connector of this server has the name {named:?}, and none synchronises a domain {named}"
        ))),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            Err(Failure::Usage(format!(
                "several connectors synchronise {named}; name one of: {}",
                names.join(", ")
            )))
        }
    }
}

/// The name and the domains of a connector.
fn own(row: &Value) -> (&str, Vec<&str>) {
    let domains = row.get("domains").and_then(Value::as_array);
    let domains = domains.into_iter().flatten().filter_map(Value::as_str);
    (field(row, "connector"), domains.collect())
}
