//! `homing reload`.

use super::client::Client;
use super::{Failure, Global, output};
use serde_json::{Value, json};

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let answer = Client::new(global)?.post("/v1/reload", json!({}))?;
    output::either(global.json, &answer, text);
    Ok(())
}

fn text(answer: &Value) -> String {
    let rows = |key| answer.get(key).and_then(Value::as_array).into_iter().flatten();
    let word = |row: &Value, key| row.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let changed: String = rows("changed")
        .map(|row| format!("{}: {}\n", word(row, "what"), word(row, "key")))
        .collect();
    let restart: String = rows("needs_restart")
        .map(|row| format!("needs a restart: {}: {}\n", word(row, "key"), word(row, "why")))
        .collect();
    match (changed.is_empty(), restart.is_empty()) {
        (true, true) => "nothing has changed".to_owned(),
        _ => format!("{changed}{restart}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_changed_and_what_did_not() {
        assert_eq!(
            text(&json!({ "changed": [], "needs_restart": [] })),
            "nothing has changed"
        );
        let answer = json!({
            "changed": [{ "key": "log.level", "what": "changed" }],
            "needs_restart": [{ "key": "data_dir", "why": "it is in use" }],
        });
        assert_eq!(
            text(&answer),
            "changed: log.level\nneeds a restart: data_dir: it is in use\n"
        );
    }
}
