//! `homing sync unlink`, `relink` and `release`.

use super::{connector_name, field, path};
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use clap::Args;
use serde_json::{Value, json};

/// Links that one request changes.
const TOGETHER: usize = 256;

/// Which links are meant.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// Addresses, or "account 17" and "group 3".
    #[arg(required_unless_present = "all")]
    objects: Vec<String>,
    /// Every link of the connector that the filter selects.
    #[arg(long, conflicts_with = "objects", requires = "filter")]
    all: bool,
    /// Which addresses --all means: `*` stands for any text, for example '*@example.org'.
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// The connector, or a domain that it alone has; may be left out when there is only one.
    #[arg(long)]
    connector: Option<String>,
}

/// Which of the unlinked are meant, and how their entries are found.
#[derive(Debug, Args)]
pub(crate) struct Relink {
    /// Addresses, or "account 17" and "group 3": each with the entry that it was linked with.
    #[arg(required_unless_present = "by")]
    objects: Vec<String>,
    /// Look for an entry for everything that is unlinked: mail.
    #[arg(long, conflicts_with = "objects", value_name = "HOW", value_parser = ["mail"])]
    by: Option<String>,
    /// Only say what would be linked with what.
    #[arg(long, requires = "by")]
    dry_run: bool,
    /// The connector, or a domain that it alone has; may be left out when there is only one.
    #[arg(long)]
    connector: Option<String>,
}

pub(super) fn change(global: &Global, client: &Client, order: &str, chosen: Chosen) -> Result<(), Failure> {
    let name = connector_name(client, chosen.connector)?;
    let mut objects = chosen.objects;
    if chosen.all {
        let pattern = chosen.filter.unwrap_or_default();
        let wanted = |row: &Value| {
            let held = field(row, "state") == "unlinked-held";
            held == (order == "release") && matches(&pattern, field(row, "address"))
        };
        client.rows(&path(&name, "links"), "after", &mut |row| {
            if wanted(&row) {
                objects.push(field(&row, "object").to_owned());
            }
            Ok(())
        })?;
    }
    let changed = send(client, &name, order, &objects)?;
    done(global, order, changed, objects.len() as u64)
}

/// The last line, in JSON as in words: lines may have come before it.
fn last(global: &Global, answer: &Value, text: &str) {
    if global.json {
        output::json_line(answer);
    } else {
        output::line(text);
    }
}

fn done(global: &Global, order: &str, changed: u64, of: u64) -> Result<(), Failure> {
    let answer = json!({ "order": order, "changed": changed, "of": of });
    last(global, &answer, &format!("{order}: {changed} of {of}"));
    if changed == 0 && of > 0 {
        return Err(Failure::Refused(match order {
            "unlink" => "none of them is linked".to_owned(),
            _ => "none of them is unlinked".to_owned(),
        }));
    }
    Ok(())
}

fn send(client: &Client, name: &str, order: &str, objects: &[String]) -> Result<u64, Failure> {
    let mut changed = 0;
    for some in objects.chunks(TOGETHER) {
        let answer = client.post(&path(name, "links"), json!({ "order": order, "objects": some }))?;
        changed += answer.get("changed").and_then(Value::as_u64).unwrap_or(0);
    }
    Ok(changed)
}

pub(super) fn relink(global: &Global, client: &Client, relink: Relink) -> Result<(), Failure> {
    let name = connector_name(client, relink.connector)?;
    if relink.by.is_none() {
        let changed = send(client, &name, "relink", &relink.objects)?;
        return done(global, "relink", changed, relink.objects.len() as u64);
    }
    let (mut same, mut new, mut of) = (Vec::new(), Vec::new(), 0);
    let target = format!("{}?state=unlinked-held&pairing=true", path(&name, "links"));
    client.rows(&target, "after", &mut |row| {
        of += 1;
        let object = field(&row, "object").to_owned();
        match row.get("pairing").map(|pairing| field(pairing, "found")) {
            Some("same") => same.push(object),
            // It is free then, and joins the entry that has its address.
            Some("new") => new.push(object),
            _ => {}
        }
        if global.json {
            output::json_line(&row);
        } else {
            output::line(&pairing_text(&row));
        }
        Ok(())
    })?;
    let found = (same.len() + new.len()) as u64;
    if relink.dry_run {
        let answer = json!({ "would_link": found, "of": of });
        last(global, &answer, &format!("would link {found} of {of}"));
        return Ok(());
    }
    let changed = send(client, &name, "relink", &same)? + send(client, &name, "release", &new)?;
    done(global, "relink", changed, of)
}

fn pairing_text(row: &Value) -> String {
    let none = Value::Null;
    let pairing = row.get("pairing").unwrap_or(&none);
    let what = match field(pairing, "found") {
        "same" => format!("the entry it was linked with: {}", field(pairing, "dn")),
        "new" => format!(
            "another entry: {} ({})",
            field(pairing, "dn"),
            field(pairing, "uuid")
        ),
        "taken" => format!("{} is linked with somebody else", field(pairing, "dn")),
        "ambiguous" => "several entries have its address".to_owned(),
        _ => "no entry has its address".to_owned(),
    };
    format!("{}: {what}", field(row, "address"))
}

/// `*` stands for any text; case does not matter.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, answer) in [
            ("*@a.test", "x@A.test", true),
            ("*@a.test", "x@b.test", false),
            ("x@a.test", "x@a.test", true),
            ("x@a.test", "xy@a.test", false),
            ("*", "x@a.test", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), answer, "{pattern} {text}");
        }
    }
}
