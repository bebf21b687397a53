//! From an edit in the directory until the mail server says so.

use super::person::Editor;
use super::site::Server;
use crate::clock::{now, pause};
use crate::compare::Values;
use crate::directory::percentile;
use crate::stats::median;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Longer than any edit takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the account; half of it is the error of a measurement.
const LOOK: Duration = Duration::from_micros(100);

/// The names under which the values go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) commit: &'static str,
    pub(super) middle: &'static str,
    pub(super) slow: &'static str,
}

/// Changes `count` names, one after the other, and waits for each. `place` gives the DN and the account in the API.
pub(super) fn round(
    editor: &Editor,
    server: &mut Server,
    names: Names,
    count: usize,
    mut place: impl FnMut() -> (String, String),
) -> Result<Values> {
    let (mut commits, mut latencies) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (dn, account) = place();
        let before = name(server, &account)?;
        let name_now = format!("Edited {number} after {}", before.len() + number);
        let name_now = if name_now == before {
            format!("{name_now} again")
        } else {
            name_now
        };
        let began = now();
        editor.replace(&dn, "displayName", &name_now)?;
        commits.push(began.elapsed().as_secs_f64() * 1000.0);
        while name(server, &account)? != name_now {
            ensure!(
                began.elapsed() < PATIENCE,
                "{dn} has a new name, and {account} has not"
            );
            pause(LOOK);
        }
        latencies.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(Values::from([
        (names.commit, median(&commits)),
        (names.middle, median(&latencies)),
        (names.slow, percentile(&latencies, 0.99)),
    ]))
}

fn name(server: &mut Server, account: &str) -> Result<String> {
    let account = server.api.get(account)?;
    let name = account.get("display_name").and_then(serde_json::Value::as_str);
    Ok(name.unwrap_or_default().to_owned())
}
