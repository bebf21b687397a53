//! The command line: what can be typed, and which file answers it.
//!
//! Every command but the offline ones (`serve`, `check-config`, `directory` without its `ldif`) is a client of
//! the admin socket. Every one takes `--config`, finds the socket from it, and prints JSON with `--json`.

mod account;
mod audit;
mod check_config;
mod client;
mod cluster;
mod directory;
mod domain;
mod exit;
mod group;
mod home;
mod output;
mod reference;
mod reload;
mod route;
mod serve;
mod service;
mod session;
mod sync;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

pub(crate) use exit::{Exit, Failure};

/// Directory-native mail platform: every account has a home, and the directory says where.
#[derive(Debug, Parser)]
#[command(name = "homing", version, max_term_width = 100, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or not found, 64 wrong command line or configuration, \
69 the server does not answer, 75 try again later, 77 not permitted.";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The configuration file. Without it, /etc/homing/homing.toml when that exists, else built-in defaults.
    #[arg(long, global = true, value_name = "FILE", env = "HOMING_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server in the foreground until SIGTERM or SIGINT; SIGHUP reads the configuration again.
    #[command(after_help = "Example: homing serve --config /etc/homing/homing.toml")]
    Serve,
    /// Read the configuration, report every problem with its line, and do nothing else.
    #[command(after_help = "Example: homing check-config --config homing.toml")]
    CheckConfig,
    /// Have the running server read its configuration and its certificates again; sessions go on.
    ///
    /// The whole file is checked first. One with a problem changes nothing (exit code 64). What has changed is
    /// printed, and apart from it what does not hold before a restart.
    #[command(after_help = "Example: homing reload --config /etc/homing/homing.toml")]
    Reload,
    /// The domains whose accounts this server holds.
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// The accounts of this server.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// The groups (distribution lists) of this server.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Synchronisation with the directory.
    #[command(subcommand)]
    Sync(sync::SyncCommand),
    /// Show who changed what: administrators, connectors, users and the server itself; the newest first.
    #[command(after_help = "Example: homing audit --object alice@example.org --limit 20")]
    Audit(audit::AuditArgs),
    /// Where mail and sessions of an address go, and why.
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// The homes that this front end sends sessions to.
    #[command(subcommand)]
    Home(home::HomeCommand),
    /// Who is logged in.
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// What several servers share: the keys by which a front end vouches for logins.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Set up and look into a directory.
    #[command(subcommand)]
    Directory(directory::DirectoryCommand),
    /// The running services.
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Print the reference pages (for the documentation build).
    #[command(subcommand, hide = true)]
    Reference(reference::ReferenceCommand),
}

/// Reads the command line and carries it out; the result is the process's exit code.
pub(crate) fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What was typed has not been understood, but whoever typed it reads JSON.
            let json = std::env::args_os().any(|arg| arg == "--json");
            if json && error.use_stderr() {
                let text = error.render().to_string();
                let text = text.trim().trim_start_matches("error: ").to_owned();
                return output::failure(&Failure::Usage(text), json);
            }
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
        }
    };
    let json = cli.global.json;
    match dispatch(cli) {
        Ok(()) => Exit::Done,
        Err(failure) => output::failure(&failure, json),
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Serve => serve::run(&global),
        Command::CheckConfig => check_config::run(&global),
        Command::Reload => reload::run(&global),
        Command::Domain(command) => domain::run(&global, command),
        Command::Account(command) => account::run(&global, command),
        Command::Group(command) => group::run(&global, command),
        Command::Sync(command) => sync::run(&global, command),
        Command::Audit(args) => audit::run(&global, &args),
        Command::Route(command) => route::run(&global, command),
        Command::Home(command) => home::run(&global, command),
        Command::Session(command) => session::run(&global, command),
        Command::Cluster(command) => cluster::run(&global, command),
        Command::Directory(command) => directory::run(&global, command),
        Command::Service(command) => service::run(&global, command),
        Command::Reference(command) => reference::run(&global, &command),
    }
}

/// A number that was typed, with a cause in plain words.
fn whole_number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("this is no whole number".to_owned());
    }
    let number = text
        .parse::<u64>()
        .ok()
        .and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| "this number is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::whole_number;

    #[test]
    fn a_number_is_refused_in_plain_words() {
        assert_eq!(whole_number::<u64>("17"), Ok(17));
        assert!(whole_number::<u64>("abc").is_err_and(|why| why.contains("no whole number")));
        assert!(whole_number::<u64>("+1").is_err_and(|why| why.contains("no whole number")));
        assert!(whole_number::<u8>("256").is_err_and(|why| why.contains("too large")));
        assert!(whole_number::<u64>("99999999999999999999").is_err_and(|why| why.contains("too large")));
    }
}
