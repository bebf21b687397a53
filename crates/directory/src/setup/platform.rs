//! Where an operating system keeps slapd's own files.

use std::path::{Path, PathBuf};

/// The two folders that a `slapd.conf` refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// The folder of `core.schema` and its companions.
    pub schema_dir: PathBuf,
    /// The folder of the loadable modules; none when slapd was built with everything inside.
    pub module_dir: Option<PathBuf>,
    /// Whether the `argon2` module is there, so that `{ARGON2}` passwords can bind.
    pub argon2: Argon2,
}

/// Whether slapd has the module for `{ARGON2}` passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argon2 {
    /// It is loaded.
    Loaded,
    /// It is not there.
    Missing,
}

impl Platform {
    /// Debian and its descendants, with the package `slapd` 2.5 or newer.
    #[must_use]
    pub fn debian() -> Self {
        Self {
            schema_dir: "/etc/ldap/schema".into(),
            module_dir: Some("/usr/lib/ldap".into()),
            argon2: Argon2::Loaded,
        }
    }

    /// What this machine has; Debian's layout when nothing is found, because the files may be meant for
    /// another machine.
    #[must_use]
    pub fn detect() -> Self {
        let schema = [
            "/etc/ldap/schema",
            "/etc/openldap/schema",
            "/usr/local/etc/openldap/schema",
        ];
        let modules = [
            "/usr/lib/ldap",
            "/usr/lib64/openldap",
            "/usr/lib/openldap",
            "/usr/local/libexec/openldap",
        ];
        let Some(schema_dir) = schema
            .into_iter()
            .find(|dir| Path::new(dir).join("core.schema").exists())
        else {
            return Self::debian();
        };
        let has = |dir: &str, module: &str| {
            ["la", "so"]
                .iter()
                .any(|end| Path::new(dir).join(format!("{module}.{end}")).exists())
        };
        let module_dir = modules.into_iter().find(|dir| has(dir, "syncprov"));
        let argon2 = module_dir.is_some_and(|dir| has(dir, "argon2"));
        Self {
            schema_dir: schema_dir.into(),
            module_dir: module_dir.map(PathBuf::from),
            argon2: if argon2 { Argon2::Loaded } else { Argon2::Missing },
        }
    }
}
