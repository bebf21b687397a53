//! `homing directory`: set up a directory, check it, and look into it.
//!
//! Everything here but `ldif` works without a running server: it reads the configuration and talks to the
//! directory itself.

mod init;

use crate::cli::{Failure, Global};
use clap::Subcommand;
use ldap::{LdapError, ResultCode};

#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Write a complete set-up of a new OpenLDAP server: configuration, schema, base tree, identities.
    #[command(after_help = init::HELP)]
    Init(init::InitArgs),
}

pub(super) fn run(global: &Global, command: DirectoryCommand) -> Result<(), Failure> {
    match command {
        DirectoryCommand::Init(args) => init::run(global, args),
    }
}

/// Commands are one thread that waits for one server.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Temporary(format!("cannot start: {error}")))
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
