//! Setting up a new OpenLDAP server: a complete `slapd.conf`, or the same as entries of `cn=config`, with schema,
//! base tree and identities (`homing directory init`).
//!
//! Owns what a directory for Homing needs: modules, schema, indexes, limits that do not truncate the first
//! sync, change notification (RFC 4533), groups whose members follow renames, and access rules for one
//! identity that reads and one that writes.
//!
//! Never talks to a server and never overwrites a file: [`static_setup`] and [`dynamic_setup`] are pure
//! functions of one description, [`write_new`] writes their result into a folder. Passwords come in hashed; the clear text is the caller's to show once.

mod cn_config;
mod content;
mod existing;
mod platform;
mod slapd_conf;
mod suffix;
mod tree;

pub use existing::Existing;
pub use platform::Platform;
pub use suffix::{Suffix, SuffixError};

use std::path::{Path, PathBuf};

/// The schema that is written beside `slapd.conf`.
const HOMING_SCHEMA: &str = include_str!("../../../../packaging/openldap/homing.schema");

/// What a set-up is made from.
#[derive(Debug, Clone)]
pub struct SetupOptions {
    /// The naming context, for example `dc=localdomain,dc=test`.
    pub suffix: Suffix,
    /// The folder of the mdb database. It must exist before slapd starts, and belong to slapd's user.
    pub database_dir: PathBuf,
    /// The folder that will hold the files; `slapd.conf` names the schema there by its full path.
    pub output_dir: PathBuf,
    /// Where this machine keeps slapd's own schema files and modules.
    pub platform: Platform,
    /// How many entries the directory is expected to hold; sizes the database and the session log.
    pub population: u64,
    /// This server's number among replicas, 1-4095 (part of every CSN).
    pub server_id: u16,
    /// Password hashes of the three identities.
    pub hashes: IdentityHashes,
    /// Certificate files, when the server offers StartTLS and ldaps.
    pub tls: Option<TlsFiles>,
    /// Whether LDAPv2 binds are accepted.
    pub bind_v2: BindV2,
}

/// Hashed passwords (`{SSHA}...`, `{ARGON2}...`) of the identities that the set-up creates.
#[derive(Debug, Clone)]
pub struct IdentityHashes {
    /// `cn=admin`: rootdn, above all access rules.
    pub root: String,
    /// `cn=homing-read`: reads everything, passwords included, without limits.
    pub read: String,
    /// `cn=homing-write`: writes accounts and groups.
    pub write: String,
}

/// Files for `TLSCertificateFile` and its companions.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authorities that client certificates are checked against.
    pub ca: Option<PathBuf>,
}

/// The reference's `allow bind_v2`. Homing speaks LDAPv3, so nothing of ours needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BindV2 {
    /// LDAPv2 binds are refused.
    #[default]
    Refused,
    /// LDAPv2 binds are accepted, for old clients.
    Allowed,
}

/// One file of the set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupFile {
    /// Its name inside the output folder.
    pub name: &'static str,
    /// Its whole text.
    pub text: String,
    /// Whether it holds password hashes: such a file is for its owner only (mode 0600).
    pub secret: Secrecy,
}

/// Who may read a file of the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Everybody.
    Public,
    /// Its owner only.
    Owner,
}

/// Why a set-up could not be made. All are the caller's to correct.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// slapd's configuration has no way to write such a name.
    #[error(
        "the path {0:?} cannot be written in slapd's configuration; use an absolute path without quotes, backslashes and control characters"
    )]
    Path(PathBuf),
    /// A clear-text password, or a damaged hash.
    #[error("the password of {0} is not a hash such as {{SSHA}}... or {{ARGON2}}...")]
    NotAHash(&'static str),
    /// RFC 4533 servers are numbered 1-4095; 0 is for a server without replicas.
    #[error("the server id {0} is outside 0-4095")]
    ServerId(u16),
    /// A file is there already; it is never replaced.
    #[error("{0:?} exists already; name an empty folder or remove it")]
    Exists(PathBuf),
    /// The running server has a database for this suffix; it is never changed.
    #[error("the server has a database for {0} already; see what it lacks with homing directory check")]
    SuffixTaken(String),
    /// The folder could not be made or written.
    #[error("{path:?}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// The DNs of the identities below `suffix`: rootdn, reader, writer.
#[must_use]
pub fn identity_dns(suffix: &Suffix) -> [String; 3] {
    ["admin", "homing-read", "homing-write"].map(|name| format!("cn={name},{suffix}"))
}

/// The files of a complete static set-up, in the order in which they are used:
/// `homing.schema`, `slapd.conf`, `base.ldif`, `identities.ldif`.
pub fn static_setup(options: &SetupOptions) -> Result<Vec<SetupFile>, SetupError> {
    check(options)?;
    let public = |name, text| SetupFile {
        name,
        text,
        secret: Secrecy::Public,
    };
    let owner = |name, text| SetupFile {
        name,
        text,
        secret: Secrecy::Owner,
    };
    Ok(vec![
        public("homing.schema", HOMING_SCHEMA.to_owned()),
        owner("slapd.conf", slapd_conf::text(options)?),
        public("base.ldif", tree::base(&options.suffix)),
        owner(
            "identities.ldif",
            tree::identities(&options.suffix, &options.hashes),
        ),
    ])
}

/// Where a dynamic set-up is going to be loaded.
#[derive(Debug, Clone)]
pub enum Target {
    /// An empty `slapd.d`, with `slapadd -n0`.
    Fresh,
    /// A server that runs with this configuration, with `ldapadd`.
    Running(Existing),
}

/// The files of a complete dynamic set-up, in the order in which they are used: `config.ldif`, `base.ldif`,
/// `identities.ldif`.
pub fn dynamic_setup(options: &SetupOptions, target: &Target) -> Result<Vec<SetupFile>, SetupError> {
    check(options)?;
    let config = match target {
        Target::Fresh => cn_config::whole(options)?,
        Target::Running(existing) => cn_config::missing(options, existing)?,
    };
    Ok(vec![
        SetupFile {
            name: "config.ldif",
            text: config,
            secret: Secrecy::Owner,
        },
        SetupFile {
            name: "base.ldif",
            text: tree::base(&options.suffix),
            secret: Secrecy::Public,
        },
        SetupFile {
            name: "identities.ldif",
            text: tree::identities(&options.suffix, &options.hashes),
            secret: Secrecy::Owner,
        },
    ])
}

/// A path that both forms can write. There is no escape for a quote inside quotes, and a relative path would
/// depend on where slapd is started.
fn plain_path(path: &Path) -> Result<&str, SetupError> {
    let wrong = || SetupError::Path(path.to_owned());
    let text = path.to_str().ok_or_else(wrong)?;
    if !path.is_absolute() || text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')) {
        return Err(wrong());
    }
    Ok(text)
}

/// A path as one word: quoted when it has a space.
fn word(path: &Path) -> Result<String, SetupError> {
    let text = plain_path(path)?;
    Ok(if text.contains(char::is_whitespace) {
        format!("\"{text}\"")
    } else {
        text.to_owned()
    })
}

fn check(options: &SetupOptions) -> Result<(), SetupError> {
    if options.server_id > 4095 {
        return Err(SetupError::ServerId(options.server_id));
    }
    let hashes = &options.hashes;
    for (name, hash) in [
        ("cn=admin", &hashes.root),
        ("cn=homing-read", &hashes.read),
        ("cn=homing-write", &hashes.write),
    ] {
        // RFC 2307 section 5.3: "{" scheme "}" encoded. Anything else would be a clear-text password in a file.
        let scheme_end = hash.strip_prefix('{').and_then(|rest| rest.find('}'));
        if scheme_end.is_none_or(|end| end == 0) || !hash.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SetupError::NotAHash(name));
        }
    }
    Ok(())
}

/// Writes the files into `folder`, which is made when missing. Refuses to replace any of them, before
/// the first one is written.
pub fn write_new(folder: &Path, files: &[SetupFile]) -> Result<(), SetupError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| SetupError::Io { path, error }
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    if let Some(path) = files
        .iter()
        .map(|file| folder.join(file.name))
        .find(|path| path.exists())
    {
        return Err(SetupError::Exists(path));
    }
    for file in files {
        let path = folder.join(file.name);
        let mut open = std::fs::OpenOptions::new();
        open.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            open.mode(match file.secret {
                Secrecy::Public => 0o644,
                Secrecy::Owner => 0o600,
            });
        }
        let mut out = open.open(&path).map_err(io(&path))?;
        std::io::Write::write_all(&mut out, file.text.as_bytes()).map_err(io(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
