//! `homing directory check`: what is wrong with a directory, and what to do about it.
//!
//! Owns the questions and their remedies. It asks with a connection of its own and the service identity, as a
//! server would, and changes nothing.
//!
//! Never takes "I may not see it" for "it is not there": what cannot be read is a note that says so.

mod answer;
mod configuration;
mod dir_sync;
mod entries;
mod feed;
mod lockout;
mod reach;
mod schema;
mod server;

pub use answer::{Finding, Level, Report, Verdict};

use crate::config::{ConnectorConfig, ServerType};
use crate::connector::identity::{Identity, options};
use crate::patterns::Patterns;
use model::{Clock, ConfigProblem};
use std::time::Duration;

/// A server that gathers all its entries may be silent for longer than a lookup may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the directory is used for: it decides whether something missing is wrong.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Whether entries must name their home: the connector routes, or is `clustered`.
    pub hosts: Need,
    /// Whether passwords are compared here (`ldap-password`).
    pub passwords: Need,
    /// How many entries are looked at closely; all are counted.
    pub sample: usize,
}

/// Whether something must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Without it something does not work.
    Needed,
    /// It would be good to know.
    Optional,
}

/// Asks every question. Every server of the connector is tried; the first that takes our bind is looked into.
pub async fn check(
    config: &ConnectorConfig,
    clock: &dyn Clock,
    ask: CheckOptions,
) -> Result<Report, Vec<ConfigProblem>> {
    let problems = config.check();
    if !problems.is_empty() {
        return Err(problems);
    }
    let patterns = Patterns::new(config)?;
    let identity = Identity::new(config).map_err(|problem| vec![problem])?;
    let mut report = Report::new(&config.name);
    let mut usable = None;
    for mut options in options(config)? {
        options.operation_timeout = options.operation_timeout.max(PATIENCE);
        let client = reach::reach(config, &identity, &options, &mut report).await;
        usable = usable.or(client.map(|client| (client, options)));
    }
    let Some((client, options)) = usable else {
        return Ok(report);
    };
    reach::writes(config, &options, &mut report).await;
    let Some(root) = server::look(&client, config, &patterns, &mut report).await else {
        return Ok(report);
    };
    schema::look(&client, &root, config, &patterns, &mut report).await;
    match config.server_type {
        ServerType::Openldap => {
            let found = configuration::read(&client, &patterns).await;
            configuration::look(&found, &patterns, &mut report);
            feed::look(&client, &patterns, &found, &mut report).await;
        }
        ServerType::ActiveDirectory => dir_sync::look(&client, &root, &patterns, &mut report).await,
    }
    lockout::look(&client, &root, config, &mut report).await;
    entries::look(&client, config, &patterns, clock, ask, &mut report).await;
    Ok(report)
}
