//! `[[user_map]]`: which back end is an account's home.

use super::in_range;
use model::ConfigProblem;
use std::path::PathBuf;

/// One source of the answer "which back end is this account's home". A service lists its maps by name.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserMapConfig {
    /// Its name. Required, unique.
    pub name: String,
    /// `local-file`, `ldap-password` or `ldap-bind`. Required.
    pub kind: MapKind,
    /// For `local-file`: the file.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// For the LDAP kinds: the name of the `[[connector]]`.
    #[serde(default)]
    pub connector: Option<String>,
    /// What follows when this map definitely has no match: `reject`, `default` (use `default_home`) or `next`
    /// (ask the next map); default `reject`. A map that cannot answer never gets this far.
    #[serde(default)]
    pub on_no_match: OnNoMatch,
    /// The home for `on_no_match = "default"`: `host[:port]` or the name of a `[[home]]`.
    #[serde(default)]
    pub default_home: Option<String>,
    /// For the LDAP kinds: whether to keep a replica of addresses and homes in memory, filled and kept right by the
    /// directory's change feed (`syncprov`; DirSync on Active Directory, for which an ordinary account will do), so
    /// that a lookup costs no round trip and goes on while the directory is away. It takes up to 256 octets an
    /// account and is kept in `data_dir` between runs. The connector's `address_pattern` and `login_pattern` may
    /// only compare, as `(|(mail=%e)(uid=%u))` does; default false.
    #[serde(default)]
    pub live: bool,
    /// Seconds for which an answer of the directory is used again; 0 to 86400, default 300.
    #[serde(default = "default_cache_ttl")]
    pub cache_ttl: u64,
    /// The same for "no such account"; 0 to 3600, default 30.
    #[serde(default = "default_negative_ttl")]
    pub negative_ttl: u64,
    /// Seconds for which an answer past its time still serves while the directory is away; 0 to 604800,
    /// default 86400.
    #[serde(default = "default_stale_for")]
    pub stale_for: u64,
    /// The `aliases` of all domains; filled in when the whole file has been read.
    #[serde(skip)]
    pub domain_aliases: model::DomainAliases,
}

fn default_cache_ttl() -> u64 {
    300
}
fn default_negative_ttl() -> u64 {
    30
}
fn default_stale_for() -> u64 {
    86_400
}

/// Where a map's answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MapKind {
    /// A file.
    LocalFile,
    /// A directory whose password attribute is read and checked here.
    LdapPassword,
    /// A directory that checks the password itself, by a bind.
    LdapBind,
}

/// What follows a definite no-match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnNoMatch {
    /// There is no such account.
    #[default]
    Reject,
    /// `default_home` is its home.
    Default,
    /// The next map of the service is asked.
    Next,
}

impl UserMapConfig {
    /// Everything wrong with this map; keys are relative to it. `connectors` are the names of the connectors.
    #[must_use]
    pub fn check(&self, connectors: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String| problems.push(ConfigProblem::new(key, message));
        if self.name.is_empty() {
            problem("name", "the name is empty".to_owned());
        }
        match self.kind {
            MapKind::LocalFile => {
                if self.path.is_none() {
                    problem("path", "a local-file map needs the path of its file".to_owned());
                }
                if self.live {
                    problem(
                        "live",
                        "only the LDAP kinds can be live; remove the key".to_owned(),
                    );
                }
                if self.connector.is_some() {
                    problem(
                        "connector",
                        "a local-file map has no connector; remove the key".to_owned(),
                    );
                }
            }
            MapKind::LdapPassword | MapKind::LdapBind => {
                if self.path.is_some() {
                    problem(
                        "path",
                        "only a local-file map has a path; remove the key".to_owned(),
                    );
                }
                match self.connector.as_deref() {
                    None => problem(
                        "connector",
                        "this kind needs the name of a [[connector]]".to_owned(),
                    ),
                    Some(name) if !connectors.contains(&name) => {
                        problem("connector", format!("there is no [[connector]] named {name:?}"));
                    }
                    Some(_) => {}
                }
            }
        }
        match (self.on_no_match, &self.default_home) {
            (OnNoMatch::Default, None) => problem(
                "default_home",
                "on_no_match = \"default\" needs a default_home".to_owned(),
            ),
            (OnNoMatch::Reject | OnNoMatch::Next, Some(_)) => problem(
                "default_home",
                "default_home is used only with on_no_match = \"default\"".to_owned(),
            ),
            (OnNoMatch::Default, Some(home)) => {
                if let Err(error) = crate::HomeRef::parse(home) {
                    problem("default_home", error.to_string());
                }
            }
            _ => {}
        }
        in_range(&mut problems, "cache_ttl", self.cache_ttl, 0..=86_400);
        in_range(&mut problems, "negative_ttl", self.negative_ttl, 0..=3_600);
        in_range(&mut problems, "stale_for", self.stale_for, 0..=604_800);
        problems
    }
}
