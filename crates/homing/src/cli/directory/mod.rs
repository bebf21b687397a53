//! `homing directory`: set up a directory, check it, and look into it.
//!
//! Everything here but `ldif` works without a running server: it reads the configuration and talks to the
//! directory itself.

mod check;
mod entry;
mod init;
mod ldif;
mod login;
mod lookup;

use crate::cli::{Failure, Global};
use crate::config::Config;
use clap::Subcommand;
use directory::{Connector, ConnectorConfig, OpenError};
use ldap::{LdapError, ResultCode};
use model::{ConfigProblem, SystemClock};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Write a complete set-up of a new OpenLDAP server: configuration, schema, base tree, identities.
    #[command(after_help = init::HELP)]
    Init(init::InitArgs),
    /// Connect to the directory and report what is wrong with it, each line with its remedy.
    ///
    /// Ends with 0 when nothing is wrong, with 1 when something is, and with 75 when no server answers.
    #[command(after_help = "Example: homing directory check corp")]
    Check(check::CheckArgs),
    /// Print entries of the directory as LDIF, found with the service identity.
    #[command(
        after_help = "Example: homing directory search '(mail=alice@example.org)' mail mailHost\n         homing directory search --base uid=alice,ou=Users,dc=example,dc=org --scope base"
    )]
    Search(entry::SearchArgs),
    /// Add one entry, read as LDIF.
    #[command(after_help = "Example: homing directory add alice.ldif")]
    Add(entry::ChangeArgs),
    /// Change or rename one entry, read as an LDIF change record.
    #[command(
        after_help = "Example: printf 'dn: uid=alice,ou=Users,dc=example,dc=org\\nchangetype: modify\\nreplace: mailHost\\nmailHost: store2.example.org\\n' | homing directory modify"
    )]
    Modify(entry::ChangeArgs),
    /// Delete one entry.
    #[command(after_help = "Example: homing directory delete uid=alice,ou=Users,dc=example,dc=org")]
    Delete(entry::DeleteArgs),
    /// Print the accounts and groups of this server as LDIF, to be loaded into a directory.
    ///
    /// Asks the running server. Entries have the classes and attributes that the connector maps. Passwords are
    /// left out: they never leave the server.
    #[command(
        after_help = "Example: homing directory ldif corp > accounts.ldif\n         ldapadd -c -x -W -D cn=homing-write,dc=example,dc=org -f accounts.ldif"
    )]
    Ldif(ldif::LdifArgs),
    /// Try a login and show the method, the entry, the outcome and why.
    ///
    /// Ends with 0 when it is accepted, with 1 when it is not, and with 75 when nobody can say now.
    #[command(after_help = "Example: homing directory test-login alice@example.org")]
    TestLogin(login::LoginArgs),
    /// Look an address up and show the pattern, the filter sent, the entries found and the time.
    #[command(after_help = "Example: homing directory test-lookup alice+news@example.org")]
    TestLookup(lookup::LookupArgs),
}

pub(super) fn run(global: &Global, command: DirectoryCommand) -> Result<(), Failure> {
    match command {
        DirectoryCommand::Init(args) => init::run(global, args),
        DirectoryCommand::Check(args) => check::run(global, &args),
        DirectoryCommand::Search(args) => entry::search(global, args),
        DirectoryCommand::Add(args) => entry::add(global, &args),
        DirectoryCommand::Modify(args) => entry::modify(global, &args),
        DirectoryCommand::Delete(args) => entry::delete(global, args),
        DirectoryCommand::Ldif(args) => ldif::run(global, &args),
        DirectoryCommand::TestLogin(args) => login::run(global, &args),
        DirectoryCommand::TestLookup(args) => lookup::run(global, &args),
    }
}

/// Which connector a command asks.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The connector; may be left out when there is only one.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
}

/// The section of the named connector, or of the only one.
fn section(config: &Config, name: Option<&str>) -> Result<ConnectorConfig, Failure> {
    let found = match (name, config.connector.as_slice()) {
        (Some(name), all) => all.iter().find(|section| section.name == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    if let Some(section) = found {
        let mut section = section.clone();
        section.default_domain = section.default_domain.or_else(|| config.login_domain());
        return Ok(section);
    }
    let names: Vec<&str> = config
        .connector
        .iter()
        .map(|section| section.name.as_str())
        .collect();
    Err(Failure::Usage(match (name, names.as_slice()) {
        (_, []) => "the configuration has no [[connector]]; name the file with --config".to_owned(),
        (Some(name), names) => format!("there is no connector {name:?}; there are: {}", names.join(", ")),
        (None, names) => format!("name one of the connectors: {}", names.join(", ")),
    }))
}

fn connector(section: ConnectorConfig) -> Result<Arc<Connector>, Failure> {
    let name = section.name.clone();
    Connector::new(section, Arc::new(SystemClock::new())).map_err(|found| problems(&name, &found))
}

/// What the check of the whole file did not see, such as a file that cannot be read.
fn problems(name: &str, found: &[ConfigProblem]) -> Failure {
    let line = |problem: &ConfigProblem| format!("connector {name}: {}: {}", problem.key, problem.message);
    Failure::Usage(found.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Commands are one thread that waits for one server.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Temporary(format!("cannot start: {error}")))
}

fn open_error(name: &str, error: &OpenError) -> Failure {
    match error {
        OpenError::Config(found) => problems(name, found),
        OpenError::Server { server, error } => client_error(server, error),
    }
}

/// Who is to blame that the directory did not do it.
fn client_error(server: &str, error: &LdapError) -> Failure {
    let text = format!("{server}: {error}");
    match error.code() {
        Some(
            ResultCode::InsufficientAccessRights
            | ResultCode::InvalidCredentials
            | ResultCode::StrongerAuthRequired
            | ResultCode::ConfidentialityRequired
            | ResultCode::InappropriateAuthentication,
        ) => Failure::NotPermitted(text),
        _ if error.is_transient() => Failure::Temporary(text),
        _ => Failure::Refused(text),
    }
}
