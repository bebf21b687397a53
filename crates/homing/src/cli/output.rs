//! What commands print: tables for people, JSON for scripts.
#![allow(clippy::print_stderr)] // This is the one place that prints.

use super::{Exit, Failure};
use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::Write;

/// A line for a person.
pub(crate) fn line(text: &str) {
    print(text);
}

/// A value for a script.
pub(crate) fn json(value: &Value) {
    print(&format!("{value:#}"));
}

/// A value for a script, in one line of many.
pub(crate) fn json_line(value: &Value) {
    print(&value.to_string());
}

/// Whoever reads may have seen enough (`| head -1`). What was begun is carried out all the same.
fn print(text: &str) {
    let _ = try_line(text);
}

/// A line of something that goes on until nobody listens any more.
pub(crate) fn try_line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// The value as JSON when that is asked for, else as `text` says.
pub(crate) fn either(json_wanted: bool, value: &Value, text: impl FnOnce(&Value) -> String) {
    if json_wanted {
        json(value);
    } else {
        line(text(value).trim_end());
    }
}

/// A table with one row an object; `columns` are the title and the JSON key.
pub(crate) fn table(rows: &Value, columns: &[(&str, &str)]) -> String {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "none".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(title, _)| *title));
    for row in rows {
        table.add_row(columns.iter().map(|(_, key)| cell(row.get(*key))));
    }
    table.trim_fmt()
}

/// `key: value` lines of one object.
pub(crate) fn details(value: &Value) -> String {
    let Some(object) = value.as_object() else {
        return cell(Some(value));
    };
    let width = object.keys().map(String::len).max().unwrap_or(0) + 1;
    let lines = object
        .iter()
        .map(|(key, value)| format!("{:width$} {}", format!("{key}:"), cell(Some(value))));
    lines.collect::<Vec<_>>().join("\n")
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) if values.is_empty() => "-".to_owned(),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| cell(Some(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Some(other) => other.to_string(),
    }
}

/// Says why a command failed, on standard error.
pub(crate) fn failure(failure: &Failure, json_wanted: bool) -> Exit {
    let exit = failure.exit();
    match failure {
        Failure::Config(errors) if json_wanted => eprintln!("{:#}", errors.to_json()),
        Failure::Config(errors) => eprint!("{errors}"),
        other if json_wanted => {
            eprintln!(
                "{:#}",
                serde_json::json!({ "error": other.to_string(), "exit": exit.code() })
            );
        }
        other => eprintln!("homing: {other}"),
    }
    exit
}
