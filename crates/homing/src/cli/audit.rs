//! `homing audit`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Args;
use serde_json::Value;

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only rows whose text has this in it, for example an address.
    #[arg(long, value_name = "TEXT")]
    object: Option<String>,
    /// Only rows of: admin, connector, connector:NAME, user or system.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// How many rows at most.
    #[arg(long, default_value_t = 50, value_parser = super::whole_number::<usize>)]
    limit: usize,
}

pub(crate) fn run(global: &Global, args: &AuditArgs) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let mut path = "/v1/audit?limit=256".to_owned();
    for (key, value) in [("object", &args.object), ("by", &args.by)] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", segment(value)));
        }
    }
    let (mut left, mut any) = (args.limit, false);
    let mut target = path.clone();
    while left > 0 {
        let page = client.get(&target)?;
        let rows = page.get("rows").and_then(Value::as_array);
        for row in rows.into_iter().flatten().take(left) {
            left -= 1;
            any = true;
            show(global, row);
        }
        let Some(next) = page.get("next").and_then(Value::as_u64) else {
            break;
        };
        target = format!("{path}&before={next}");
    }
    if !any && !global.json {
        output::line("none");
    }
    Ok(())
}

/// A line as soon as it is read: the list may be long.
fn show(global: &Global, row: &Value) {
    if global.json {
        output::json_line(row);
        return;
    }
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or("-");
    output::line(&format!("{}  {:<22} {}", text("time"), text("by"), text("what")));
}
