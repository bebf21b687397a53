//! `homing directory test-lookup`.

use super::{Which, connector, runtime, section};
use crate::cli::{Failure, Global, output};
use directory::{AccountState, Attempt, DirectoryAccount, EntryKind, Host, Lookup};
use model::Address;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(crate) struct LookupArgs {
    #[command(flatten)]
    which: Which,
    /// The address.
    address: String,
}

pub(super) fn run(global: &Global, args: &LookupArgs) -> Result<(), Failure> {
    let address = Address::parse(&args.address)
        .map_err(|error| Failure::Usage(format!("{:?}: {error}", args.address)))?;
    let config = crate::config::load(global.config.as_deref())?;
    let connector = connector(section(&config, args.which.connector.as_deref())?)?;
    // On the runtime, because connecting goes on in the background.
    let (lookup, attempts) = runtime()?.block_on(connector.explain_address(&address));
    let value = json!({
        "connector": connector.name(),
        "pattern": connector.address_pattern(),
        "searches": attempts.iter().map(attempt_json).collect::<Vec<_>>(),
        "answer": answer_json(&lookup),
    });
    output::either(global.json, &value, |_| {
        let mut lines = vec![format!("pattern   {}", connector.address_pattern())];
        lines.extend(attempts.iter().map(attempt_text));
        lines.push(answer_text(&lookup));
        lines.join("\n")
    });
    end(&lookup, &args.address)
}

/// What the answer means for the exit code.
pub(super) fn end(lookup: &Lookup, name: &str) -> Result<(), Failure> {
    match lookup {
        Lookup::Found(_) => Ok(()),
        Lookup::NotFound => Err(Failure::Refused(format!("no entry for {name}"))),
        Lookup::Ambiguous(_) => Err(Failure::Refused(format!("more than one entry for {name}"))),
        Lookup::Unavailable(why) => Err(Failure::Temporary(why.to_string())),
    }
}

pub(super) fn attempt_text(attempt: &Attempt) -> String {
    let mut lines = vec![
        format!("search    {} below {}", attempt.server, attempt.base),
        format!("  filter  {}", attempt.filter),
    ];
    match &attempt.error {
        Some(error) => lines.push(format!("  failed  {error}")),
        None if attempt.found.is_empty() => lines.push("  found   nothing".to_owned()),
        None => lines.extend(attempt.found.iter().map(|dn| format!("  found   {dn}"))),
    }
    lines.push(format!("  time    {:?}", attempt.took));
    lines.join("\n")
}

pub(super) fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "server": attempt.server,
        "base": attempt.base,
        "filter": attempt.filter,
        "found": attempt.found,
        "error": attempt.error,
        "microseconds": u64::try_from(attempt.took.as_micros()).unwrap_or(u64::MAX),
    })
}

pub(super) fn answer_text(lookup: &Lookup) -> String {
    match lookup {
        Lookup::Found(account) => {
            let kind = match account.kind {
                EntryKind::Account => "account",
                EntryKind::Group => "group",
            };
            let lines = [
                format!("=> {kind} {}", account.dn),
                format!("   address {}", account.address),
                format!("   host    {}", host(account)),
                format!("   state   {}", state(account)),
            ];
            lines.join("\n")
        }
        Lookup::NotFound => "=> no such address: the directory says that there is none".to_owned(),
        Lookup::Ambiguous(dns) => {
            format!(
                "=> ambiguous, so nobody: leave the address in one of {}",
                dns.join(" | ")
            )
        }
        Lookup::Unavailable(why) => format!("=> the directory cannot answer now: {why}"),
    }
}

pub(super) fn answer_json(lookup: &Lookup) -> Value {
    match lookup {
        Lookup::Found(account) => json!({
            "kind": match account.kind { EntryKind::Account => "account", EntryKind::Group => "group" },
            "dn": account.dn,
            "entry_uuid": account.uuid,
            "address": account.address,
            "aliases": account.aliases,
            "host": host(account),
            "state": state(account),
        }),
        Lookup::NotFound => json!({ "kind": "none" }),
        Lookup::Ambiguous(dns) => json!({ "kind": "ambiguous", "entries": dns }),
        Lookup::Unavailable(why) => json!({ "kind": "unavailable", "why": why.to_string() }),
    }
}

fn host(account: &DirectoryAccount) -> String {
    match &account.host {
        Host::None => "none".to_owned(),
        Host::One(host) => host.clone(),
        Host::Several(hosts) => format!("several, so none: {}", hosts.join(", ")),
    }
}

pub(super) fn state(account: &DirectoryAccount) -> &'static str {
    match account.state {
        AccountState::Active => "active",
        AccountState::Disabled => "disabled",
        AccountState::Locked => "locked",
        AccountState::Expired => "expired",
    }
}
