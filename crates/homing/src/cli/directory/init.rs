//! `homing directory init`.

use super::client_error;
use crate::cli::{Failure, Global, output};
use base64::Engine;
use directory::setup::{
    BindV2, Existing, IdentityHashes, Platform, SetupError, SetupOptions, Suffix, Target, TlsFiles,
    dynamic_setup, identity_dns, static_setup, write_new,
};
use ldap::{Client, ConnectOptions, Entry, Filter, LdapUri, Scope, SearchRequest};
use model::Secret;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = "\
Example, with a configuration file:
  homing directory init --static --suffix dc=example,dc=org --database-dir /var/lib/ldap --output /etc/ldap/homing
  slaptest -u -f /etc/ldap/homing/slapd.conf
  slapadd -f /etc/ldap/homing/slapd.conf -l /etc/ldap/homing/base.ldif
  slapadd -f /etc/ldap/homing/slapd.conf -l /etc/ldap/homing/identities.ldif
  chown -R openldap: /etc/ldap/homing /var/lib/ldap
  slapd -u openldap -g openldap -f /etc/ldap/homing/slapd.conf -h 'ldap:/// ldapi:///'

Example, with cn=config in an empty folder:
  homing directory init --dynamic --suffix dc=example,dc=org --database-dir /var/lib/ldap --output /etc/ldap/homing
  slapadd -n0 -F /etc/ldap/slapd.d -l /etc/ldap/homing/config.ldif
  slapadd -n1 -F /etc/ldap/slapd.d -l /etc/ldap/homing/base.ldif
  slapadd -n1 -F /etc/ldap/slapd.d -l /etc/ldap/homing/identities.ldif
  chown -R openldap: /etc/ldap/slapd.d /var/lib/ldap

Example, with a server that runs already; nothing it has is changed:
  homing directory init --dynamic --running ldapi:/// --suffix dc=example,dc=org --database-dir /var/lib/ldap/mail --output homing-ldap
  chown openldap: /var/lib/ldap/mail
  ldapadd -Y EXTERNAL -H ldapi:/// -f homing-ldap/config.ldif

The passwords of the three identities are made up and printed once; the files hold only their hashes.";

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// A set-up with a configuration file, slapd.conf.
    #[arg(
        long = "static",
        required_unless_present = "dynamic_form",
        conflicts_with = "dynamic_form"
    )]
    static_form: bool,
    /// A set-up with cn=config, as LDIF for slapadd or, with --running, for ldapadd.
    #[arg(long = "dynamic")]
    dynamic_form: bool,
    /// The server that will take the set-up while it runs; asked as root over its Unix socket (SASL EXTERNAL).
    #[arg(long, value_name = "LDAPI-URI", requires = "dynamic_form")]
    running: Option<String>,
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

pub(super) fn run(global: &Global, args: InitArgs) -> Result<(), Failure> {
    let suffix = Suffix::parse(&args.suffix).map_err(|error| Failure::Usage(format!("--suffix: {error}")))?;
    let passwords = [random_password()?, random_password()?, random_password()?];
    let [root, read, write] = &passwords;
    let options = SetupOptions {
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
    let form = match (args.static_form, &args.running) {
        (true, _) => Form::Static,
        (false, None) => Form::Fresh,
        (false, Some(uri)) => Form::Running(uri.clone()),
    };
    let files = match &form {
        Form::Static => static_setup(&options),
        Form::Fresh => dynamic_setup(&options, &Target::Fresh),
        Form::Running(uri) => dynamic_setup(&options, &Target::Running(existing(uri)?)),
    }
    .map_err(blame)?;
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
    output::either(global.json, &value, |_| {
        text(&form, &options, &names, &identities)
    });
    Ok(())
}

fn text(form: &Form, options: &SetupOptions, files: &[String], identities: &[Value]) -> String {
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
    lines.push("next:".to_owned());
    lines.extend(
        next_steps(form, options)
            .into_iter()
            .map(|line| format!("  {line}")),
    );
    lines.join("\n")
}

/// The commands that load the files, one a line.
fn next_steps(form: &Form, options: &SetupOptions) -> Vec<String> {
    let (folder, database) = (options.output_dir.display(), options.database_dir.display());
    let data = ["base.ldif", "identities.ldif"];
    match form {
        // -u, for there is no database yet that could be opened.
        Form::Static => std::iter::once(format!("slaptest -u -f {folder}/slapd.conf"))
            .chain(data.map(|file| format!("slapadd -f {folder}/slapd.conf -l {folder}/{file}")))
            .chain([
                format!("chown -R openldap: {folder} {database}"),
                format!("slapd -u openldap -g openldap -f {folder}/slapd.conf -h 'ldap:/// ldapi:///'"),
            ])
            .collect(),
        Form::Fresh => std::iter::once(format!(
            "slapadd -n0 -F /etc/ldap/slapd.d -l {folder}/config.ldif"
        ))
        .chain(data.map(|file| format!("slapadd -n1 -F /etc/ldap/slapd.d -l {folder}/{file}")))
        .chain([format!("chown -R openldap: /etc/ldap/slapd.d {database}")])
        .collect(),
        Form::Running(uri) => {
            let [root, ..] = identity_dns(&options.suffix);
            [
                format!("chown openldap: {database}"),
                format!("ldapadd -Y EXTERNAL -H {uri} -f {folder}/config.ldif"),
            ]
            .into_iter()
            .chain(data.map(|file| format!("ldapadd -x -W -H {uri} -D {root} -f {folder}/{file}")))
            .collect()
        }
    }
}

/// Which of the three forms was asked for.
enum Form {
    Static,
    Fresh,
    Running(String),
}

/// More entries than any server's configuration has.
const MAX_CONFIG: usize = 10_000;

/// Reads a running server's configuration.
fn existing(uri: &str) -> Result<Existing, Failure> {
    let parsed =
        LdapUri::parse(uri).map_err(|error| Failure::Usage(format!("--running: {uri:?}: {error}")))?;
    if !matches!(parsed, LdapUri::Ldapi { .. }) {
        let message = "only ldapi:// proves who you are to cn=config; run this on the server's own machine";
        return Err(Failure::Usage(format!("--running: {message}")));
    }
    let found: Result<Vec<Entry>, ldap::LdapError> = super::runtime()?.block_on(async {
        let client = Client::connect(&ConnectOptions::new(parsed)).await?;
        client.bind_external().await?;
        let everything = Filter::Present("objectClass".to_owned());
        let request = SearchRequest::new("cn=config", Scope::Subtree, everything);
        client.search_all(request, MAX_CONFIG).await
    });
    let entries = found.map_err(|error| client_error(uri, &error))?;
    if entries.is_empty() {
        let message = "cn=config shows nothing; run this as root, or as whom its access rules let manage it";
        return Err(Failure::NotPermitted(format!("{uri}: {message}")));
    }
    Ok(Existing::read(&entries))
}

fn blame(error: SetupError) -> Failure {
    let text = error.to_string();
    match error {
        SetupError::Path(_) | SetupError::NotAHash(_) | SetupError::ServerId(_) => Failure::Usage(text),
        SetupError::Exists(_) | SetupError::SuffixTaken(_) => Failure::Refused(text),
        SetupError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::NotPermitted(text)
        }
        SetupError::Io { .. } => Failure::Refused(text),
    }
}

/// slapd needs full paths, for slapd is started from anywhere.
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
