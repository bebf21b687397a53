//! `homing route`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Ask every user map in order and show each step: filter sent, entries found, time, answer; then the home, how it is
    /// reached and how it does.
    ///
    /// In "home store1 (people, live)" people is the map, and what follows says how fresh its answer is: file, live, server
    /// (asked just now), cache, stale (the directory cannot be asked) or default (default_home). Exits with 75 when a
    /// session would not get through now: the home is drained, down, or has no address.
    #[command(after_help = "Example: homing route explain alice@example.org")]
    Explain {
        /// The address; a login without "@" is given with its domain.
        address: String,
    },
}

pub(crate) fn run(global: &Global, command: RouteCommand) -> Result<(), Failure> {
    let RouteCommand::Explain { address } = command;
    let client = Client::new(global)?;
    let answer = client.get(&format!("/v1/route/{}", segment(&address)))?;
    output::either(global.json, &answer, |value| {
        let steps = value
            .get("steps")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let answer = value.get("answer").and_then(Value::as_str).unwrap_or("-");
        steps
            .map(|step| format!("{step}\n"))
            .chain([format!("=> {answer}\n")])
            .chain(homes(value).map(home_text))
            .collect()
    });
    // The answer is printed; the exit code says whether mail would get there.
    let said = || {
        answer
            .get("answer")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match answer.get("outcome").and_then(Value::as_str) {
        Some("no") => Err(Failure::Refused(said())),
        Some("later") => Err(Failure::Temporary(said())),
        _ => match homes(&answer).find_map(closed) {
            Some(why) => Err(Failure::Temporary(why)),
            None => Ok(()),
        },
    }
}

fn homes(answer: &Value) -> impl Iterator<Item = &Value> {
    answer
        .get("homes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Why a session would not get to this home now.
fn closed(home: &Value) -> Option<String> {
    let get = |key: &str| home.get(key).and_then(Value::as_str);
    Some(format!(
        "home {} gets no sessions now: {}",
        get("home").unwrap_or("-"),
        get("why_not")?
    ))
}

/// `home store1: imap at 127.0.0.1:1143 up, pop3 at 127.0.0.1:1110 down (refused)`
fn home_text(home: &Value) -> String {
    fn get<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
        row.get(key).and_then(Value::as_str)
    }
    let services = home
        .get("services")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut parts: Vec<String> = services
        .map(|row| {
            let text = |key: &str| get(row, key).unwrap_or("-");
            let why = get(row, "reason")
                .map(|why| format!(" ({why})"))
                .unwrap_or_default();
            format!(
                "{} at {} {}{why}",
                text("protocol"),
                text("address"),
                text("state")
            )
        })
        .collect();
    if parts.is_empty() {
        parts.push("not tried yet".to_owned());
    }
    if home.get("listed").and_then(Value::as_bool) == Some(false) {
        parts.push("no [[home]] of that name, so its name and the usual ports are used".to_owned());
    }
    if let Some(why) = get(home, "why_not") {
        parts.insert(0, format!("NO SESSIONS NOW, {why}"));
    }
    format!(
        "home {}: {}\n",
        get(home, "home").unwrap_or("-"),
        parts.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::{closed, home_text};
    use serde_json::json;

    #[test]
    fn a_home_that_takes_nobody_is_told() {
        let service =
            json!({ "protocol": "imap", "address": "127.0.0.1:1143", "state": "up", "reason": null });
        let good =
            json!({ "home": "a.test", "listed": true, "open": true, "why_not": null, "services": [service] });
        assert_eq!(home_text(&good), "home a.test: imap at 127.0.0.1:1143 up\n");
        assert_eq!(closed(&good), None);
        let drained =
            json!({ "home": "a.test", "listed": false, "why_not": "drained: new disks", "services": [] });
        let text = home_text(&drained);
        assert!(
            text.starts_with("home a.test: NO SESSIONS NOW, drained: new disks; not tried yet; no [[home]]"),
            "{text}"
        );
        assert_eq!(
            closed(&drained).as_deref(),
            Some("home a.test gets no sessions now: drained: new disks")
        );
    }
}
