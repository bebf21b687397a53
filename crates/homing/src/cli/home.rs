//! `homing home`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum HomeCommand {
    /// Show every home with its state, its sessions and what is wrong with it.
    ///
    /// "up, submission down" is a home of which only that service fails; --json has the worst of them as the state, and each
    /// under services.
    #[command(after_help = "Example: homing home list --json")]
    List,
    /// Show one home with each of its services.
    #[command(after_help = "Example: homing home show store1.example.org")]
    Show {
        /// The home, as user maps name it.
        home: String,
    },
    /// Give a home no new sessions; their clients hear "try later". Holds until "enable", also over a restart.
    #[command(
        after_help = "Example: homing home drain store1.example.org --reason \"new disks\" --end-sessions"
    )]
    Drain {
        /// The home, as user maps name it.
        home: String,
        /// Why, for the list.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// End the sessions that are there, each at its first quiet moment.
        #[arg(long)]
        end_sessions: bool,
    },
    /// Give a drained home sessions again.
    #[command(after_help = "Example: homing home enable store1.example.org")]
    Enable {
        /// The home, as user maps name it.
        home: String,
    },
}

pub(crate) fn run(global: &Global, command: HomeCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    match command {
        HomeCommand::List => {
            let answer = client.get("/v1/homes")?;
            output::either(global.json, &answer, |homes| {
                let homes = in_words(homes);
                let columns = [
                    ("HOME", "home"),
                    ("STATE", "state"),
                    ("SESSIONS", "sessions"),
                    ("REASON", "reason"),
                ];
                output::table(&homes, &columns)
            });
        }
        HomeCommand::Show { home } => {
            let answer = client.get(&format!("/v1/homes/{}", segment(&home)))?;
            output::either(global.json, &answer, text);
        }
        HomeCommand::Drain {
            home,
            reason,
            end_sessions,
        } => {
            let body = json!({ "reason": reason, "end_sessions": end_sessions });
            let answer = client.post(&format!("/v1/homes/{}/drain", segment(&home)), body)?;
            output::either(global.json, &answer, |answer| {
                let number = |key| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
                let (left, ended) = (number("sessions"), number("ended"));
                let are = if left == 1 { "is" } else { "are" };
                let have = if ended == 1 { "has" } else { "have" };
                format!(
                    "{home} gets no new sessions; {left} {are} left, {ended} of them {have} been told to end"
                )
            });
        }
        HomeCommand::Enable { home } => {
            let answer = client.post(&format!("/v1/homes/{}/enable", segment(&home)), json!({}))?;
            output::either(global.json, &answer, |_| format!("{home} is in service"));
        }
    }
    Ok(())
}

/// The list with states and reasons for people: which service of a home fails while the others are up.
fn in_words(homes: &Value) -> Value {
    let rows = homes.as_array().into_iter().flatten().cloned();
    let told = rows.map(|mut home| {
        let words = partly_up(&home);
        if let (Some((state, reason)), Some(row)) = (words, home.as_object_mut()) {
            row.insert("state".to_owned(), json!(state));
            row.insert("reason".to_owned(), json!(reason));
        }
        home
    });
    told.collect()
}

/// `up, submission down` and why; none where all services of a home are in the same state.
fn partly_up(home: &Value) -> Option<(String, String)> {
    fn get<'a>(row: &'a Value, key: &str) -> &'a str {
        row.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    if get(home, "state") == "drained" {
        return None;
    }
    let services = home.get("services")?.as_array()?;
    let (up, failing): (Vec<&Value>, Vec<&Value>) =
        services.iter().partition(|row| get(row, "state") == "up");
    if up.is_empty() || failing.is_empty() {
        return None;
    }
    let list = |text: &dyn Fn(&Value) -> String| failing.iter().map(|row| text(row)).collect::<Vec<_>>();
    let states = list(&|row| format!("{} {}", get(row, "protocol"), get(row, "state")));
    let reasons = list(&|row| format!("{}: {}", get(row, "protocol"), get(row, "reason")));
    Some((format!("up, {}", states.join(", ")), reasons.join("; ")))
}

fn text(home: &Value) -> String {
    let mut about = home.clone();
    let services = about.as_object_mut().and_then(|about| about.remove("services"));
    let columns = [
        ("PROTOCOL", "protocol"),
        ("ADDRESS", "address"),
        ("STATE", "state"),
        ("SINCE (S)", "seconds"),
        ("REASON", "reason"),
    ];
    let services = output::table(&services.unwrap_or_default(), &columns);
    format!("{}\n\n{services}", output::details(&about))
}

#[cfg(test)]
mod tests {
    use super::{in_words, partly_up};
    use serde_json::json;

    #[test]
    fn a_service_that_fails_does_not_make_its_home_down() {
        let service = |protocol: &str, state: &str| json!({ "protocol": protocol, "state": state, "reason": (state != "up").then_some("refused") });
        let home = |state: &str, services: &[_]| json!({ "home": "a", "state": state, "services": services });
        let part = home("down", &[service("imap", "up"), service("submission", "down")]);
        assert_eq!(
            partly_up(&part),
            Some(("up, submission down".to_owned(), "submission: refused".to_owned()))
        );
        assert_eq!(in_words(&json!([part]))[0]["state"], "up, submission down");
        for whole in [
            home("down", &[service("imap", "down"), service("pop3", "suspect")]),
            home("up", &[service("imap", "up")]),
            home("not used yet", &[]),
            home("drained", &[service("imap", "up"), service("pop3", "down")]),
        ] {
            assert_eq!(partly_up(&whole), None, "{whole}");
            assert_eq!(in_words(&json!([whole]))[0]["state"], whole["state"]);
        }
    }
}
