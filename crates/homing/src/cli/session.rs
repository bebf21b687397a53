//! `homing session`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Show who is logged in.
    #[command(after_help = "Example: homing session list --home store1.example.org")]
    List(Which),
    /// End sessions. Their clients may log in again at once: disable the account to keep them out.
    #[command(after_help = "Example: homing session kick --account alice@example.org")]
    Kick {
        /// The number of one session.
        #[arg(value_name = "ID", value_parser = super::whole_number::<u64>)]
        id: Option<u64>,
        #[command(flatten)]
        which: Which,
    },
}

/// Those that agree with everything that is given.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Of this account.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,
    /// At this home.
    #[arg(long, value_name = "HOME")]
    home: Option<String>,
    /// In this protocol: imap, pop3, submission, managesieve, http.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
}

pub(crate) fn run(global: &Global, command: SessionCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    match command {
        SessionCommand::List(which) => list(global, &client, &which),
        SessionCommand::Kick { id, which } => {
            let body = json!({
                "id": id, "account": which.account, "home": which.home, "protocol": which.protocol,
            });
            let answer = client.post("/v1/sessions/kick", body)?;
            output::either(global.json, &answer, |answer| {
                let ended = answer.get("ended").and_then(Value::as_u64).unwrap_or(0);
                match ended {
                    1 => "1 session is ended".to_owned(),
                    ended => format!("{ended} sessions are ended"),
                }
            });
            Ok(())
        }
    }
}

/// Page by page, so that no answer is too large.
fn list(global: &Global, client: &Client, which: &Which) -> Result<(), Failure> {
    let mut query = String::new();
    let given = [
        ("account", &which.account),
        ("home", &which.home),
        ("protocol", &which.protocol),
    ];
    for (key, value) in given {
        if let Some(value) = value {
            query.push_str(&format!("&{key}={}", segment(value)));
        }
    }
    let mut sessions = Vec::new();
    let mut after = 0;
    loop {
        let mut answer = client.get(&format!("/v1/sessions?after={after}{query}"))?;
        if let Some(Value::Array(page)) = answer.get_mut("sessions").map(Value::take) {
            sessions.extend(page);
        }
        match answer.get("next").and_then(Value::as_u64) {
            Some(next) => after = next,
            None => break,
        }
    }
    let sessions = Value::Array(sessions);
    output::either(global.json, &sessions, |sessions| {
        let columns = [
            ("ID", "id"),
            ("PROTOCOL", "protocol"),
            ("ACCOUNT", "account"),
            ("CLIENT", "client"),
            ("HOME", "home"),
            ("SINCE", "since"),
            ("UP", "bytes_up"),
            ("DOWN", "bytes_down"),
            ("TRACE", "trace"),
        ];
        output::table(sessions, &columns)
    });
    Ok(())
}
