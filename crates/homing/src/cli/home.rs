//! `homing home`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum HomeCommand {
    /// Show every home with its state, its sessions and what is wrong with it.
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
                let columns = [
                    ("HOME", "home"),
                    ("STATE", "state"),
                    ("SESSIONS", "sessions"),
                    ("REASON", "reason"),
                ];
                output::table(homes, &columns)
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
                format!("{home} gets no new sessions; {left} are left, {ended} of them have been told to end")
            });
        }
        HomeCommand::Enable { home } => {
            let answer = client.post(&format!("/v1/homes/{}/enable", segment(&home)), json!({}))?;
            output::either(global.json, &answer, |_| format!("{home} is in service"));
        }
    }
    Ok(())
}

fn text(home: &Value) -> String {
    let mut about = home.clone();
    let services = about.as_object_mut().and_then(|about| about.remove("services"));
    let columns = [
        ("PROTOCOL", "protocol"),
        ("ADDRESS", "address"),
        ("STATE", "state"),
        ("SECONDS", "seconds"),
        ("REASON", "reason"),
    ];
    let services = output::table(&services.unwrap_or_default(), &columns);
    format!("{}\n\n{services}", output::details(&about))
}
