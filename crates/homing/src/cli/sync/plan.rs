//! `homing sync plan`: a diff for both sides, line by line as it is made.

use super::{field, path};
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use serde_json::Value;
use std::collections::BTreeMap;

/// Lines that begin a summary.
const FIRST: u64 = 20;

/// How much of a plan is wanted on a terminal. With --json it is always the whole plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Every line.
    All,
    /// The first lines, and how many there are of each kind.
    Summary,
}

/// Shows it, and answers its hash.
pub(super) fn show(
    global: &Global,
    client: &Client,
    connector: &str,
    shown: Shown,
) -> Result<String, Failure> {
    let mut hash = None;
    let mut tally = Tally::default();
    client.lines(&path(connector, "plan"), &mut |item| {
        if field(&item, "kind") == "error" {
            let text = field(&item, "error").to_owned();
            let temporary = item.get("temporary").and_then(Value::as_bool) == Some(true);
            return Err(if temporary {
                Failure::Temporary(text)
            } else {
                Failure::Refused(text)
            });
        }
        if let Some(text) = item.get("hash").and_then(Value::as_str) {
            hash = Some(text.to_owned());
        }
        if global.json {
            output::json_line(&item);
            return Ok(());
        }
        if field(&item, "kind") == "summary" && tally.lines > FIRST && shown == Shown::Summary {
            tally.text(connector).iter().for_each(|line| output::line(line));
        }
        let first = tally.lines;
        tally.add(&item);
        for (number, line) in (first..).zip(lines_of(&item)) {
            if shown == Shown::All || number < FIRST || field(&item, "kind") == "summary" {
                output::line(&line);
            }
        }
        Ok(())
    })?;
    hash.ok_or_else(|| Failure::Unavailable("the server broke off: the plan has no end".to_owned()))
}

/// What a plan has of each kind.
#[derive(Debug, Default)]
struct Tally {
    /// All lines so far.
    lines: u64,
    /// Operations by their names, here and in the directory.
    here: BTreeMap<String, u64>,
    there: BTreeMap<String, u64>,
    set_aside: u64,
    unlinked: u64,
}

impl Tally {
    fn add(&mut self, item: &Value) {
        let kind = field(item, "kind");
        if kind != "summary" {
            self.lines += lines_of(item).len() as u64;
        }
        match kind {
            "object" => {
                for (key, counts) in [("ops", &mut self.here), ("remote", &mut self.there)] {
                    let ops = item.get(key).and_then(Value::as_array);
                    for op in ops.into_iter().flatten() {
                        *counts.entry(field(op, "op").replace('_', " ")).or_default() += 1;
                    }
                }
            }
            "entry" => *self.there.entry("create".to_owned()).or_default() += 1,
            "set_aside" => self.set_aside += 1,
            "unlinked" => self.unlinked += 1,
            _ => {}
        }
    }

    /// `here: create 290, link 10`, for what is there at all.
    fn text(&self, connector: &str) -> Vec<String> {
        let counts = |side: &str, counts: &BTreeMap<String, u64>| {
            let parts: Vec<String> = counts.iter().map(|(op, count)| format!("{op} {count}")).collect();
            (!parts.is_empty()).then(|| format!("{side}: {}", parts.join(", ")))
        };
        let more = self.lines.saturating_sub(FIRST);
        let mut lines = vec![format!(
            "... and {more} lines more; all of them: homing sync plan {connector}"
        )];
        lines.extend(counts("here", &self.here));
        lines.extend(counts("in the directory", &self.there));
        let rest = [
            ("set aside", self.set_aside),
            ("unlinked, left alone", self.unlinked),
        ];
        let rest = rest.iter().filter(|(_, count)| *count > 0);
        lines.extend(rest.map(|(what, count)| format!("{what}: {count}")));
        lines
    }
}

fn lines_of(item: &Value) -> Vec<String> {
    let get = |key| field(item, key);
    match get("kind") {
        "object" => {
            let lines = item.get("lines").and_then(Value::as_array);
            let lines = lines.into_iter().flatten().filter_map(Value::as_str);
            lines.map(str::to_owned).collect()
        }
        "entry" => vec![get("line").to_owned()],
        "set_aside" => {
            let object = item.get("object").filter(|object| !object.is_null());
            let object = object.map_or_else(|| get("uuid").to_owned(), |_| "here".to_owned());
            vec![format!("set aside {object}: {}", get("reason"))]
        }
        "unlinked" => vec![format!(
            "unlinked {}: not in the directory, left alone",
            get("address")
        )],
        "summary" => {
            let number = |key: &str| item.get(key).and_then(Value::as_u64).unwrap_or(0);
            let dangers = |key: &str| -> u64 {
                let counts = item.get(key).and_then(Value::as_object);
                counts
                    .into_iter()
                    .flatten()
                    .filter_map(|(_, count)| count.as_u64())
                    .sum()
            };
            let what = match number("changes") {
                0 => "nothing to do".to_owned(),
                changes => format!(
                    "{changes} to change, {} as they should be; destructive: {} here, {} in the directory",
                    number("unchanged"),
                    dangers("hazards"),
                    dangers("hazards_there")
                ),
            };
            vec![what, format!("hash {}", get("hash"))]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, lines_of};
    use serde_json::json;

    #[test]
    fn both_sides_are_shown() {
        let object = json!({ "kind": "object", "lines": ["a@b.test ~ quota: 0 -> 5", "a@b.test directory: - delete"] });
        assert_eq!(lines_of(&object).len(), 2);
        let entry = json!({ "kind": "entry", "line": "c@b.test directory: + create account" });
        assert_eq!(lines_of(&entry), ["c@b.test directory: + create account"]);
        let aside = json!({ "kind": "set_aside", "uuid": "u", "reason": "why" });
        assert_eq!(lines_of(&aside), ["set aside u: why"]);
        let summary = json!({
            "kind": "summary", "hash": "h", "changes": 2, "unchanged": 7,
            "hazards": { "delete": 1 }, "hazards_there": { "delete": 1, "disable": 2 },
        });
        let lines = lines_of(&summary);
        assert_eq!(
            lines,
            [
                "2 to change, 7 as they should be; destructive: 1 here, 3 in the directory",
                "hash h"
            ]
        );
        let quiet = json!({ "kind": "summary", "hash": "h", "changes": 0 });
        assert_eq!(lines_of(&quiet), ["nothing to do", "hash h"]);
    }
    #[test]
    fn a_long_plan_is_counted_by_kind() {
        let mut tally = Tally::default();
        for _ in 0..30 {
            tally.add(&json!({ "kind": "object", "lines": ["a", "b"], "ops": [{ "op": "link" }], "remote": [{ "op": "add_members" }] }));
        }
        tally.add(&json!({ "kind": "entry", "line": "c" }));
        tally.add(&json!({ "kind": "set_aside", "uuid": "u", "reason": "why" }));
        tally.add(&json!({ "kind": "summary", "hash": "h", "changes": 31 }));
        assert_eq!(
            tally.text("corp"),
            [
                "... and 42 lines more; all of them: homing sync plan corp",
                "here: link 30",
                "in the directory: add members 30, create 1",
                "set aside: 1",
            ]
        );
    }
}
