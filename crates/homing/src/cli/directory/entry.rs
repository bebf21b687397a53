//! `homing directory search`, `add`, `modify`, `delete`: entries by hand, as LDIF.

use super::{Which, client_error, open_error, runtime, section};
use crate::cli::{Failure, Global, output};
use base64::Engine;
use directory::{ConnectorConfig, Operator, Rights};
use ldap::ldif::{ChangeRecord, LdifReader, Operation, Record, write_entry};
use ldap::message::Add;
use ldap::{Dn, Entry, Filter, LdapError, ResultCode, Scope, SearchRequest};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    which: Which,
    /// The filter (RFC 4515).
    #[arg(default_value = "(objectClass=*)")]
    filter: String,
    /// The attributes to print; without any, all that users see. "+" adds the operational ones.
    attributes: Vec<String>,
    /// Where to search; without it, below the accounts and groups of the connector.
    #[arg(long, value_name = "DN")]
    base: Option<String>,
    /// How deep.
    #[arg(long, value_enum, default_value_t = Depth::Sub)]
    scope: Depth,
    /// The most entries to print.
    #[arg(long, value_name = "N", default_value_t = 500)]
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Depth {
    /// The base alone.
    Base,
    /// Directly below it.
    One,
    /// It and everything below.
    Sub,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    which: Which,
    /// The LDIF file with one record; without it, standard input.
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    which: Which,
    /// The entry.
    dn: String,
}

pub(super) fn search(global: &Global, args: SearchArgs) -> Result<(), Failure> {
    let section = configured(global, &args.which)?;
    let filter =
        Filter::parse(&args.filter).map_err(|error| Failure::Usage(format!("{}: {error}", args.filter)))?;
    let bases = match &args.base {
        Some(base) => vec![dn(base)?],
        None => [&section.accounts.base_dn, &section.groups.base_dn]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
    };
    let scope = match args.scope {
        Depth::Base => Scope::Base,
        Depth::One => Scope::OneLevel,
        Depth::Sub => Scope::Subtree,
    };
    let found = runtime()?.block_on(async {
        let operator = Operator::open(&section, Rights::Read)
            .await
            .map_err(|error| open_error(&section.name, &error))?;
        let mut found: Vec<Entry> = Vec::new();
        for base in bases {
            let request = SearchRequest::new(base, scope, filter.clone()).attributes(args.attributes.clone());
            let entries = below(&operator, request, args.limit).await?;
            // Bases may lie one in the other.
            found.extend(entries);
            found.sort_by(|a, b| a.dn.cmp(&b.dn));
            found.dedup_by(|a, b| a.dn == b.dn);
        }
        Ok::<_, Failure>(found)
    })?;
    if found.len() > args.limit {
        return Err(too_many(args.limit));
    }
    let value = Value::Array(found.iter().map(entry_json).collect());
    if found.is_empty() {
        if global.json {
            output::json(&value);
        }
        return Err(Failure::Refused("no entry matches".to_owned()));
    }
    output::either(global.json, &value, |_| text(&found));
    Ok(())
}

async fn below(operator: &Operator, request: SearchRequest, limit: usize) -> Result<Vec<Entry>, Failure> {
    match operator.client().search_all(request, limit).await {
        Ok(entries) => Ok(entries),
        Err(error) if error.code() == Some(ResultCode::NoSuchObject) => Ok(Vec::new()),
        Err(LdapError::TooMany(limit)) => Err(too_many(limit)),
        Err(error) => Err(client_error(operator.server(), &error)),
    }
}

fn too_many(limit: usize) -> Failure {
    Failure::Refused(format!(
        "more than {limit} entries match; narrow the filter or raise --limit"
    ))
}

fn text(entries: &[Entry]) -> String {
    let mut out = Vec::new();
    for entry in entries {
        // Writing to a Vec cannot fail.
        let _ = write_entry(&mut out, entry);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Values that are no text are objects with one key, `base64`.
fn entry_json(entry: &Entry) -> Value {
    let mut attributes = Map::new();
    for attribute in &entry.attributes {
        let values = attribute
            .values
            .iter()
            .map(|value| match std::str::from_utf8(value) {
                Ok(text) => Value::from(text),
                Err(_) => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(value) }),
            });
        attributes.insert(attribute.name.to_string(), values.collect());
    }
    json!({ "dn": entry.dn, "attributes": attributes })
}

pub(super) fn add(global: &Global, args: &ChangeArgs) -> Result<(), Failure> {
    let change = match record(args.file.as_deref())? {
        Record::Entry(Entry { dn, attributes }) => ChangeRecord {
            controls: Vec::new(),
            operation: Operation::Add(Add { dn, attributes }),
        },
        Record::Change(change) if matches!(change.operation, Operation::Add(_)) => change,
        Record::Change(_) => {
            let message = "the record is a change to an entry; use homing directory modify or delete";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    apply(global, &args.which, change, "added")
}

pub(super) fn modify(global: &Global, args: &ChangeArgs) -> Result<(), Failure> {
    match record(args.file.as_deref())? {
        Record::Change(change)
            if matches!(change.operation, Operation::Modify(_) | Operation::ModifyDn(_)) =>
        {
            apply(global, &args.which, change, "changed")
        }
        _ => {
            let message =
                "the record has no \"changetype: modify\" (or modrdn); use homing directory add or delete";
            Err(Failure::Usage(message.to_owned()))
        }
    }
}

pub(super) fn delete(global: &Global, args: DeleteArgs) -> Result<(), Failure> {
    let change = ChangeRecord {
        controls: Vec::new(),
        operation: Operation::Delete(dn(&args.dn)?),
    };
    apply(global, &args.which, change, "deleted")
}

fn apply(global: &Global, which: &Which, change: ChangeRecord, done: &str) -> Result<(), Failure> {
    let section = configured(global, which)?;
    let dn = change.operation.dn().to_owned();
    runtime()?.block_on(async {
        let operator = Operator::open(&section, Rights::Write)
            .await
            .map_err(|error| open_error(&section.name, &error))?;
        operator
            .apply(change)
            .await
            .map_err(|error| client_error(operator.server(), &error))
    })?;
    output::either(global.json, &json!({ "dn": dn, "done": done }), |_| {
        format!("{done} {dn}")
    });
    Ok(())
}

fn configured(global: &Global, which: &Which) -> Result<ConnectorConfig, Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    section(&config, which.connector.as_deref())
}

/// The text as it was typed, once it is known to be a DN.
fn dn(text: &str) -> Result<String, Failure> {
    match Dn::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Failure::Usage(format!("{text:?}: {error}"))),
    }
}

/// The only record of a file or of standard input.
fn record(file: Option<&Path>) -> Result<Record, Failure> {
    let (name, input): (String, Box<dyn Read>) = match file {
        Some(path) => {
            let name = path.display().to_string();
            let file =
                std::fs::File::open(path).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
            (name, Box::new(file))
        }
        None => ("standard input".to_owned(), Box::new(std::io::stdin().lock())),
    };
    let usage = |text: &dyn std::fmt::Display| Failure::Usage(format!("{name}: {text}"));
    let mut records = LdifReader::new(std::io::BufReader::new(input));
    let first = match records.next() {
        Some(record) => record.map_err(|error| usage(&error))?,
        None => return Err(usage(&"there is no record")),
    };
    match records.next() {
        None => Ok(first),
        Some(Err(error)) => Err(usage(&error)),
        Some(Ok(_)) => Err(usage(
            &"there is more than one record, and this command takes one; load many with ldapmodify",
        )),
    }
}
