//! `homing sync plan`: a diff for both sides, line by line as it is made.

use super::{field, path};
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use serde_json::Value;

/// Shows it, and answers its hash.
pub(super) fn show(global: &Global, client: &Client, connector: &str) -> Result<String, Failure> {
    let mut hash = None;
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
        } else {
            lines_of(&item).iter().for_each(|line| output::line(line));
        }
        Ok(())
    })?;
    hash.ok_or_else(|| Failure::Unavailable("the server broke off: the plan has no end".to_owned()))
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
    use super::lines_of;
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
}
