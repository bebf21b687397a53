//! `homing directory`: works without a running server.

use super::{Failure, Global, output};
use base64::Engine;
use clap::Subcommand;
use directory::setup::{
    BindV2, IdentityHashes, Platform, SetupError, StaticOptions, Suffix, TlsFiles, identity_dns,
    static_setup, write_new,
};
use model::Secret;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Write a complete set-up of a new OpenLDAP server: slapd.conf, schema, base tree, identities.
    #[command(after_help = INIT_HELP)]
    Init(InitArgs),
}

const INIT_HELP: &str = "\
Example:
  homing directory init --static --suffix dc=example,dc=org --database-dir /var/lib/ldap --output /etc/ldap/homing
  slaptest -f /etc/ldap/homing/slapd.conf
  slapadd -f /etc/ldap/homing/slapd.conf -l /etc/ldap/homing/base.ldif
  slapadd -f /etc/ldap/homing/slapd.conf -l /etc/ldap/homing/identities.ldif

The passwords of the three identities are made up and printed once; the files hold only their hashes.";

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// A set-up with a configuration file, slapd.conf.
    #[arg(long = "static", required = true)]
    static_form: bool,
    /// The naming context, for example dc=example,dc=org.
    #[arg(long, value_name = "DN")]
    suffix: String,
    /// The folder of the database; must be empty or missing.
    #[arg(long, value_name = "DIR")]
    database_dir: PathBuf,
    /// The folder for the files; none of them may exist yet.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How many entries are expected; sizes the database and the session log.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    population: u64,
    /// The server's number among replicas, 1 to 4095; 0 for a server without replicas.
    #[arg(long, value_name = "N", default_value_t = 1)]
    server_id: u16,
    /// PEM certificate chain for StartTLS and ldaps.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM key of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// PEM authorities that client certificates are checked against.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_ca: Option<PathBuf>,
    /// Accept LDAPv2 binds, for old clients; Homing needs none.
    #[arg(long)]
    bind_v2: bool,
}

pub(crate) fn run(global: &Global, command: DirectoryCommand) -> Result<(), Failure> {
    let DirectoryCommand::Init(args) = command;
    let suffix = Suffix::parse(&args.suffix).map_err(|error| Failure::Usage(format!("--suffix: {error}")))?;
    let passwords = [random_password()?, random_password()?, random_password()?];
    let [root, read, write] = &passwords;
    let options = StaticOptions {
        suffix: suffix.clone(),
        database_dir: absolute(&args.database_dir)?,
        output_dir: absolute(&args.output)?,
        platform: Platform::detect(),
        population: args.population,
        server_id: args.server_id,
        hashes: IdentityHashes {
            root: hash(root)?,
            read: hash(read)?,
            write: hash(write)?,
        },
        tls: args
            .tls_certificate
            .zip(args.tls_key)
            .map(|(certificate, key)| TlsFiles {
                certificate,
                key,
                ca: args.tls_ca,
            }),
        bind_v2: if args.bind_v2 {
            BindV2::Allowed
        } else {
            BindV2::Refused
        },
    };
    let files = static_setup(&options).map_err(blame)?;
    write_new(&options.output_dir, &files).map_err(blame)?;
    make_database_dir(&options.database_dir)?;
    let identities: Vec<Value> = identity_dns(&suffix)
        .iter()
        .zip(&passwords)
        .map(|(dn, password)| json!({ "dn": dn, "password": password }))
        .collect();
    let names: Vec<String> = files
        .iter()
        .map(|file| options.output_dir.join(file.name).display().to_string())
        .collect();
    let value = json!({ "files": names, "identities": identities });
    output::either(global.json, &value, |_| text(&options, &names, &identities));
    Ok(())
}

fn text(options: &StaticOptions, files: &[String], identities: &[Value]) -> String {
    let mut lines: Vec<String> = files.iter().map(|file| format!("wrote {file}")).collect();
    lines.push("passwords, shown only now:".to_owned());
    let field = |identity: &Value, key: &str| {
        identity
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    lines.extend(
        identities
            .iter()
            .map(|identity| format!("  {}  {}", field(identity, "dn"), field(identity, "password"))),
    );
    let folder = options.output_dir.display();
    lines.push("next:".to_owned());
    lines.push(format!("  slaptest -f {folder}/slapd.conf"));
    for file in ["base.ldif", "identities.ldif"] {
        lines.push(format!("  slapadd -f {folder}/slapd.conf -l {folder}/{file}"));
    }
    lines.join("\n")
}

fn blame(error: SetupError) -> Failure {
    let text = error.to_string();
    match error {
        SetupError::Path(_) | SetupError::NotAHash(_) | SetupError::ServerId(_) => Failure::Usage(text),
        SetupError::Exists(_) => Failure::Refused(text),
        SetupError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::NotPermitted(text)
        }
        SetupError::Io { .. } => Failure::Refused(text),
    }
}

/// slapd.conf needs full paths, for slapd is started from anywhere.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// slapd refuses to start without the folder, and its data is nobody else's to read.
fn make_database_dir(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))
}

/// 18 random bytes, 24 characters: beyond guessing, so that a fast hash may guard it.
fn random_password() -> Result<String, Failure> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Temporary(format!("no random bytes: {error}")))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

fn hash(password: &str) -> Result<String, Failure> {
    password::hash_ssha(&Secret::from(password)).map_err(|error| Failure::Temporary(error.to_string()))
}
