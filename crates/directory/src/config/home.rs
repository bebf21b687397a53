//! `[[home]]`: ports, TLS and limits of one back end.

use super::in_range;
use model::ConfigProblem;
use net::TlsMode;
use std::path::PathBuf;

/// One back end under a name that user maps and host attributes refer to. A home that is not listed is used
/// under its host name with the protocols' own ports.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeConfig {
    /// The name by which user maps and host attributes refer to it. Required, unique.
    pub name: String,
    /// Its host name or IP address; default: the name.
    #[serde(default)]
    pub host: Option<String>,
    /// IMAP at this home: `port` (default 143), `tls`, `login`.
    #[serde(default)]
    pub imap: HomeServiceConfig,
    /// POP3 at this home: `port` (default 110), `tls`, `login`.
    #[serde(default)]
    pub pop3: HomeServiceConfig,
    /// SMTP at this home: `port` (default 25), `tls`.
    #[serde(default)]
    pub smtp: HomeServiceConfig,
    /// LMTP at this home: `port` (default 24), `tls`.
    #[serde(default)]
    pub lmtp: HomeServiceConfig,
    /// Submission at this home: `port` (default 587), `tls`, `login`.
    #[serde(default)]
    pub submission: HomeServiceConfig,
    /// HTTP at this home: `port` (default 443), `tls` (`none` or `implicit`; default `implicit` but on loopback),
    /// `login` (`replay` or `assertion`).
    #[serde(default)]
    pub http: HomeServiceConfig,
    /// ManageSieve at this home: `port` (default 4190), `tls`, `login`.
    #[serde(default)]
    pub managesieve: HomeServiceConfig,
    /// Seconds to wait for a connection and its greeting; 1 to 120, default 10.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: u64,
    /// PEM file with the authorities to trust for this home. Default: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file with a client certificate to show. Needs `client_key`.
    #[serde(default)]
    pub client_cert: Option<PathBuf>,
    /// PEM file with the private key of `client_cert`.
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// Whether the home's certificate is verified; default true.
    #[serde(default = "default_verify")]
    pub verify: bool,
    /// The user that may act for every account there, for `login = "master"`.
    #[serde(default)]
    pub master_user: Option<String>,
    /// A file that holds the master user's password; a newline at the end is ignored. Nobody else may read it.
    #[serde(default)]
    pub master_password_file: Option<PathBuf>,
}

fn default_connect_timeout() -> u64 {
    10
}
fn default_verify() -> bool {
    true
}

/// One protocol at a home.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HomeServiceConfig {
    /// The TCP port; default: the protocol's own.
    pub port: Option<u16>,
    /// `none`, `starttls` or `implicit`. Default: `none` on loopback, `implicit` on the ports 993, 995 and
    /// 465, else `starttls`.
    pub tls: Option<TlsMode>,
    /// How a session logs in there: `replay` sends the user's own password or token (default), `master` logs in as
    /// the master user on behalf of the account, `assertion` shows a token that this front end signs.
    pub login: LoginMode,
    /// Begins each connection with a PROXY header, version 2, that names the client: its address and port, the
    /// session, and its TLS (version, cipher, server name, certificate) where the client has connected to this front
    /// end itself. The home must expect the header from this front end, and from then on takes the client for whoever
    /// connects: it no longer believes what the front end says in other ways. Default false. Not for `http`, whose
    /// connections carry requests of several clients, and of no use to Homing homes, which are told more without it.
    pub proxy_protocol: bool,
}

/// How the front end logs in at a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoginMode {
    /// With the password or the token that the client gave.
    #[default]
    Replay,
    /// As `master_user`, on behalf of the account (SASL PLAIN with an authorization identity).
    Master,
    /// With a token that this front end signs for the account and the home (OAUTHBEARER).
    Assertion,
}

impl HomeConfig {
    /// A home with every other key at its default.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: None,
            imap: HomeServiceConfig::default(),
            pop3: HomeServiceConfig::default(),
            smtp: HomeServiceConfig::default(),
            lmtp: HomeServiceConfig::default(),
            submission: HomeServiceConfig::default(),
            managesieve: HomeServiceConfig::default(),
            http: HomeServiceConfig::default(),
            connect_timeout: default_connect_timeout(),
            ca_file: None,
            client_cert: None,
            client_key: None,
            verify: default_verify(),
            master_user: None,
            master_password_file: None,
        }
    }

    /// Everything wrong with this home; keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if !is_host(&self.name) {
            problems.push(ConfigProblem::new(
                "name",
                format!(
                    "{:?} is not a home's name: letters, digits, dots and hyphens, no port",
                    self.name
                ),
            ));
        }
        if let Some(host) = &self.host
            && !is_host(host)
        {
            problems.push(ConfigProblem::new(
                "host",
                format!("{host:?} is not a host name or IP address; ports go under imap.port and the like"),
            ));
        }
        for (key, service) in self.services() {
            if key == "http" && service.proxy_protocol {
                problems.push(ConfigProblem::new(
                    "http.proxy_protocol",
                    "a connection to an HTTP home carries requests of several clients; Forwarded names each of them",
                ));
            }
            if service.port == Some(0) {
                problems.push(ConfigProblem::new(
                    format!("{key}.port"),
                    "a home cannot be on port 0",
                ));
            }
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            problems.push(ConfigProblem::new(
                "client_key",
                "client_cert and client_key are set together or not at all",
            ));
        }
        in_range(&mut problems, "connect_timeout", self.connect_timeout, 1..=120);
        if self.http.tls == Some(TlsMode::StartTls) {
            let message = "HTTP has no STARTTLS; write \"implicit\" or \"none\"";
            problems.push(ConfigProblem::new("http.tls", message));
        }
        if self.http.login == LoginMode::Master {
            let message = "HTTP has no login on behalf of another; write \"replay\" or \"assertion\"";
            problems.push(ConfigProblem::new("http.login", message));
        }
        self.check_master(&mut problems);
        problems
    }

    fn check_master(&self, problems: &mut Vec<ConfigProblem>) {
        for (key, service) in self.services() {
            let has_master = self.master_user.is_some() && self.master_password_file.is_some();
            if service.login == LoginMode::Master && !has_master {
                let message = "login = \"master\" needs master_user and master_password_file";
                problems.push(ConfigProblem::new(format!("{key}.login"), message));
            }
        }
        if self
            .master_user
            .as_deref()
            .is_some_and(|user| user.is_empty() || user.contains('\0'))
        {
            problems.push(ConfigProblem::new("master_user", "is not a name"));
        }
        if self.master_user.is_some() != self.master_password_file.is_some() {
            let message = "master_user and master_password_file are set together or not at all";
            problems.push(ConfigProblem::new("master_password_file", message));
        }
    }

    fn services(&self) -> [(&'static str, HomeServiceConfig); 7] {
        [
            ("imap", self.imap),
            ("pop3", self.pop3),
            ("smtp", self.smtp),
            ("lmtp", self.lmtp),
            ("submission", self.submission),
            ("managesieve", self.managesieve),
            ("http", self.http),
        ]
    }
}

/// A host name or address without a port.
fn is_host(text: &str) -> bool {
    crate::HomeRef::parse(text).is_ok_and(|home| home.port().is_none())
}
