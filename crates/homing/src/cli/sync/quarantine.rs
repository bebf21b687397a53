//! `homing sync quarantine`: one cause is one paragraph, however many objects it sets aside.

use super::{field, path};
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use serde_json::Value;

/// Objects of one reason that are shown one by one.
const SHOWN: usize = 3;
/// Reasons that are told apart; what comes after them is only counted.
const REASONS: usize = 1000;

/// Which rows a person wants.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    /// Every object.
    All,
    /// A few of each reason.
    Grouped,
}

/// Objects with one reason: how many, and the first of them.
struct Group {
    key: String,
    count: u64,
    first: Vec<Value>,
}

/// The reasons, in the order in which they were met.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    others: u64,
}

/// Shows them; JSON has every row, one a line.
pub(super) fn show(global: &Global, client: &Client, connector: &str, rows: Rows) -> Result<(), Failure> {
    let path = path(connector, "quarantine");
    if global.json || matches!(rows, Rows::All) {
        return super::rows(global, client, &path, text);
    }
    let mut groups = Groups::default();
    client.rows(&path, "after", &mut |row| {
        groups.add(row);
        Ok(())
    })?;
    groups.lines().iter().for_each(|line| output::line(line));
    Ok(())
}

impl Groups {
    pub(super) fn add(&mut self, row: Value) {
        let key = kind(field(&row, "reason"));
        if let Some(group) = self.groups.iter_mut().find(|group| group.key == key) {
            group.count += 1;
            if group.first.len() < SHOWN {
                group.first.push(row);
            }
        } else if self.groups.len() < REASONS {
            self.groups.push(Group {
                key,
                count: 1,
                first: vec![row],
            });
        } else {
            self.others += 1;
        }
    }

    /// The reason that most have, and how many.
    pub(super) fn most(&self) -> Option<(&str, u64)> {
        let group = self.groups.iter().max_by_key(|group| group.count)?;
        Some((&group.key, group.count))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for group in &self.groups {
            if group.count > SHOWN as u64 {
                lines.push(format!(
                    "{} objects: {}\n  the first of them (all: homing sync quarantine --all):",
                    group.count, group.key
                ));
            }
            lines.extend(group.first.iter().map(text));
        }
        match (lines.is_empty(), self.others) {
            (true, _) => lines.push("none".to_owned()),
            (false, 0) => {}
            (false, others) => lines.push(format!("{others} more: homing sync quarantine --all")),
        }
        lines
    }
}

/// One row, for a person.
fn text(row: &Value) -> String {
    let get = |key| field(row, key);
    let when = match row.get("held").and_then(Value::as_bool) {
        Some(true) => "waits for homing sync approve".to_owned(),
        _ => format!("next try {}", get("next_try")),
    };
    let address = row.get("address").and_then(Value::as_str);
    let address = address.map(|address| format!("  {address}")).unwrap_or_default();
    format!("{}{address}  {when}\n  {}", get("entry"), get("reason"))
}

/// A reason without the names that differ from object to object.
fn kind(reason: &str) -> String {
    if reason.starts_with("held by the guard: ") {
        return "held by the guard; let them pass with homing sync approve".to_owned();
    }
    // `uid=anna,ou=people,dc=test: why`
    let why = match reason.split_once(": ") {
        Some((name, why)) if is_a_prefix(name) => why,
        _ => reason,
    };
    let mut words: Vec<&str> = Vec::new();
    for word in why.split_whitespace() {
        match is_a_name(word) {
            false => words.push(word),
            true if words.last() == Some(&"...") => {}
            true => words.push("..."),
        }
    }
    words.join(" ")
}

/// A DN, which may have spaces, or one word that is a name.
fn is_a_prefix(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    first.contains('=') || (first == text && is_a_name(text))
}

/// An address, a DN or a UUID.
fn is_a_name(word: &str) -> bool {
    let word = word.trim_matches(|char: char| !char.is_ascii_alphanumeric());
    let uuid = word.len() == 36 && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    uuid || word.contains('@') || word.contains('=')
}

#[cfg(test)]
mod tests {
    use super::{Groups, kind};
    use serde_json::json;

    #[test]
    fn names_do_not_make_another_reason() {
        let foreign = |name: &str| {
            format!(
                "uid={name},ou=people,dc=test: c.test is not a domain of this server: homing domain create c.test"
            )
        };
        assert_eq!(kind(&foreign("anna")), kind(&foreign("bert")));
        assert!(kind(&foreign("anna")).starts_with("c.test is not a domain"));
        let taken = |name: &str| {
            format!("{name}@c.test is an address of the entry uid={name},dc=test already: take it from one")
        };
        assert_eq!(
            kind(&taken("anna")),
            "... is an address of the entry ... already: take it from one"
        );
        assert_eq!(kind(&taken("anna")), kind(&taken("bert")));
        assert_ne!(kind(&taken("anna")), kind(&foreign("anna")));
    }

    #[test]
    fn one_cause_is_one_paragraph() {
        let mut groups = Groups::default();
        for number in 0..310 {
            let reason = format!("uid=u{number},dc=test: c.test is not a domain of this server");
            groups.add(json!({ "entry": format!("e{number}"), "reason": reason, "next_try": "soon" }));
        }
        groups.add(json!({ "entry": "account 7", "address": "eve@c.test", "reason": "the change was refused", "held": true }));
        assert_eq!(
            groups.most(),
            Some(("c.test is not a domain of this server", 310))
        );
        let lines = groups.lines();
        // The paragraph, three of it, and the other one.
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(
            lines[0].starts_with("310 objects: c.test is not a domain"),
            "{lines:?}"
        );
        assert_eq!(
            lines[4],
            "account 7  eve@c.test  waits for homing sync approve\n  the change was refused"
        );
        assert_eq!(Groups::default().lines(), ["none"]);
    }
}
