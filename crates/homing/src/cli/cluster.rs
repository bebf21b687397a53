//! `homing cluster`: the keys by which this front end vouches for logins. Works on the files, without a server.

use super::{Failure, Global, output};
use clap::{Subcommand, ValueEnum};
use frontend::assertion::{KeyError, KeyInfo, dovecot_tree, jwks};
use frontend::http::SessionKeys;
use model::{Clock, SystemClock};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// The keys of this front end, for homes with login = "assertion".
    #[command(subcommand)]
    Key(KeyCommand),
    /// The keys that front ends share, which seal the cookie of a login by HTTP.
    #[command(subcommand)]
    SessionKey(SessionKeyCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionKeyCommand {
    /// Put a new key first. Cookies of the two keys before it stay good. Copy the file to the other front ends; they
    /// and this one read it within seconds.
    #[command(after_help = "Example: homing cluster session-key rotate")]
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key. The first one signs at once; a later one signs after "rotate".
    #[command(after_help = "Example: homing cluster key generate")]
    Generate,
    /// Show the keys: active, next, retired.
    #[command(after_help = "Example: homing cluster key list")]
    List,
    /// Write the public keys, for the homes.
    #[command(after_help = "Example: homing cluster key export --format jwks --out front1.jwks")]
    Export {
        /// `jwks` for Homing, `dovecot` for the folder of Dovecot's local_validation_key_dict, `pem`.
        #[arg(long, value_enum, default_value_t = Format::Jwks)]
        format: Format,
        /// A file for `jwks` and `pem` (default: standard output), a folder for `dovecot`.
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Sign with the newest key from now on. Export it to the homes first.
    #[command(
        after_help = "Example: homing cluster key generate, then export, then homing cluster key rotate"
    )]
    Rotate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A JWK set.
    Jwks,
    /// Files FRONT-END/ES256/KEY.
    Dovecot,
    /// PEM blocks, one after the other.
    Pem,
}

pub(crate) fn run(global: &Global, command: ClusterCommand) -> Result<(), Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    let command = match command {
        ClusterCommand::Key(command) => command,
        ClusterCommand::SessionKey(SessionKeyCommand::Rotate) => {
            let path = config.session_keys();
            SessionKeys::rotate(&path).map_err(|error| Failure::Refused(error.to_string()))?;
            let path = path.display().to_string();
            output::either(global.json, &json!({ "file": path }), |_| {
                format!("{path} has a new first key")
            });
            return Ok(());
        }
    };
    let ring = config.cluster_keys();
    match command {
        KeyCommand::Generate => one(global, &ring.generate(SystemClock::new().now()).map_err(failed)?),
        KeyCommand::Rotate => one(global, &ring.rotate().map_err(failed)?),
        KeyCommand::List => {
            let rows: Vec<Value> = ring.list().map_err(failed)?.iter().map(row).collect();
            output::either(global.json, &Value::Array(rows), |rows| {
                output::table(rows, &[("KEY", "kid"), ("STATE", "state")])
            });
        }
        KeyCommand::Export { format, out } => {
            let keys = ring.public_keys().map_err(failed)?;
            if keys.is_empty() {
                return Err(failed(KeyError::None));
            }
            match (format, out) {
                (Format::Jwks, out) => put(out.as_deref(), &format!("{:#}", jwks(&keys)))?,
                (Format::Pem, out) => put(
                    out.as_deref(),
                    &keys.iter().map(|key| key.pem.as_str()).collect::<String>(),
                )?,
                (Format::Dovecot, None) => {
                    return Err(Failure::Usage("--format dovecot needs --out FOLDER".to_owned()));
                }
                (Format::Dovecot, Some(folder)) => {
                    for (path, pem) in dovecot_tree(&config.server_name, &keys) {
                        let path = folder.join(path);
                        if let Some(parent) = path.parent() {
                            std::fs::create_dir_all(parent).map_err(|error| at(parent, &error))?;
                        }
                        std::fs::write(&path, pem).map_err(|error| at(&path, &error))?;
                        output::line(&path.display().to_string());
                    }
                }
            }
        }
    }
    Ok(())
}

fn row(key: &KeyInfo) -> Value {
    json!({ "kid": key.kid, "state": key.state.as_str() })
}

fn one(global: &Global, key: &KeyInfo) {
    output::either(global.json, &row(key), |_| {
        format!("{} is {}", key.kid, key.state.as_str())
    });
}

fn put(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    match path {
        None => output::line(text.trim_end()),
        Some(path) => std::fs::write(path, text).map_err(|error| at(path, &error))?,
    }
    Ok(())
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Failure::NotPermitted(text),
        _ => Failure::Refused(text),
    }
}

fn failed(error: KeyError) -> Failure {
    match &error {
        KeyError::File { cause, .. } if cause.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::NotPermitted(error.to_string())
        }
        _ => Failure::Refused(error.to_string()),
    }
}
