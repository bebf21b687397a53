//! The configuration file: one TOML file, read once, checked as a whole before anything binds.
//!
//! Owns the sum of every part's section, the search for the file, and the report of what is wrong with it by
//! file, line and key. What a key means stands in the part that owns it.

mod check;
mod domain;
mod locate;
mod notes;
mod problem;
mod source;

pub(crate) use domain::{AuthMethod, DomainConfig};
pub(crate) use problem::{ConfigErrors, Problem};
pub(crate) use source::{Difference, Source};

use crate::cli::Failure;
use model::{Domain, DomainAliases, Protocol};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the file is looked for when none is named.
pub(crate) const DEFAULT_FILE: &str = "/etc/homing/homing.toml";

/// Everything that can be configured.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the server keeps its data and its admin socket. Default `/var/lib/homing`.
    pub(crate) data_dir: PathBuf,
    /// This server's host name, as the directory's host attribute and SMTP greetings spell it. Default: the
    /// machine's host name. Has to be said where a `clustered` connector writes to the directory.
    pub(crate) server_name: String,
    /// The domain of a login without `@`. Default: the only `[[domain]]`, if there is exactly one.
    pub(crate) default_domain: Option<Domain>,
    /// Whether this server holds accounts itself. Default: when it has an `smtp`, `lmtp`, `imap` or `pop3` listener,
    /// or no listener at all. With `true` and only `*_proxy` listeners it serves its own accounts in process and sends
    /// everybody else home.
    pub(crate) holds_accounts: Option<bool>,
    /// Seconds that sessions have to finish when the server is asked to stop; 0 to 3600, default 30.
    pub(crate) drain_timeout: u64,
    /// Seconds that sessions go on as if nothing were after the server was asked to stop and has closed its listeners,
    /// unless the last one ends before; then `drain_timeout` begins. For a server whose successor has the same sockets
    /// (systemd's, or `reuse_port`). A second SIGTERM ends it at once. 0 to 86400, default 0.
    pub(crate) linger: u64,
    /// Who may connect, and how often, in order; each listener's own rules go first, then those that name its service.
    /// Default: everybody.
    pub(crate) access: Vec<net::AccessRule>,
    /// The server's certificate. Without it there is no TLS.
    pub(crate) tls: Option<net::TlsConfig>,
    /// Logging.
    pub(crate) log: LogConfig,
    /// Administration.
    pub(crate) admin: AdminConfig,
    /// How mail and accounts are kept.
    pub(crate) store: store::StoreConfig,
    /// Passwords that this server itself keeps.
    pub(crate) password: PasswordConfig,
    /// Directory servers.
    pub(crate) connector: Vec<directory::ConnectorConfig>,
    /// Which back end is whose home.
    pub(crate) user_map: Vec<directory::UserMapConfig>,
    /// Back ends with other ports, TLS or login than the default.
    pub(crate) home: Vec<directory::HomeConfig>,
    /// Limits on sessions, over all services together.
    pub(crate) sessions: net::SessionLimits,
    /// Front ends whose assertions this server's IMAP and POP3 believe, from `trusted_networks` only.
    pub(crate) trusted_front_end: Vec<frontend::assertion::TrustedFrontEndConfig>,
    /// Whose OAuth 2.0 tokens log in (OAUTHBEARER, XOAUTH2). Default: nobody's.
    pub(crate) oauth: Option<directory::config::OauthConfig>,
    /// Domains and who authenticates their accounts.
    pub(crate) domain: Vec<DomainConfig>,
    /// SMTP receiving, for the accounts of this server.
    pub(crate) smtp: mta::SmtpConfig,
    /// LMTP receiving, for the accounts of this server.
    pub(crate) lmtp: mta::LmtpConfig,
    /// IMAP, for the accounts of this server.
    pub(crate) imap: access::imap::ImapConfig,
    /// POP3, for the accounts of this server.
    pub(crate) pop3: access::Pop3Config,
    /// The SMTP front end, which sends each recipient's mail home.
    pub(crate) smtp_proxy: frontend::SmtpProxyConfig,
    /// The LMTP front end, which sends each recipient's mail home and answers for each.
    pub(crate) lmtp_proxy: frontend::LmtpProxyConfig,
    /// The IMAP front end, which sends each session home.
    pub(crate) imap_proxy: frontend::ImapProxyConfig,
    /// The POP3 front end, which sends each session home.
    pub(crate) pop3_proxy: frontend::Pop3ProxyConfig,
    /// The ManageSieve front end, which sends each session home.
    pub(crate) managesieve_proxy: frontend::ManageSieveProxyConfig,
    /// The submission front end, which sends each session of a user's mail client home.
    pub(crate) submission_proxy: frontend::SubmissionProxyConfig,
    /// The HTTP front end, which sends each request home.
    pub(crate) http_proxy: frontend::http::HttpProxyConfig,
    /// The file that was read; none for the built-in defaults.
    #[serde(skip)]
    pub(crate) path: Option<PathBuf>,
    /// The keys that the file has, to compare with a later reading.
    #[serde(skip)]
    pub(crate) source: Source,
    /// What is allowed, and perhaps not meant.
    #[serde(skip)]
    pub(crate) notes: Option<Arc<ConfigErrors>>,
}

/// Logging, to standard error.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, for all or by part: `"info,ldap=debug"`. Default `info`.
    pub(crate) level: String,
    /// `text` or `json`; default `text`.
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Administration.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminConfig {
    /// The Unix socket of the admin API. Default: `admin.sock` in `data_dir`.
    pub(crate) socket: Option<PathBuf>,
}

/// Passwords that this server itself keeps.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PasswordConfig {
    /// How many costly checks (ARGON2, bcrypt, crypt) run at once; 0 for one a processor; default 0, at most 256.
    pub(crate) workers: usize,
    /// How many more may wait; past it a login hears "try later". 1 to 100000, default 1000.
    pub(crate) queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/homing"),
            server_name: host_name(),
            default_domain: None,
            holds_accounts: None,
            drain_timeout: 30,
            linger: 0,
            access: Vec::new(),
            tls: None,
            log: LogConfig::default(),
            admin: AdminConfig::default(),
            store: store::StoreConfig::default(),
            password: PasswordConfig::default(),
            connector: Vec::new(),
            oauth: None,
            user_map: Vec::new(),
            home: Vec::new(),
            sessions: net::SessionLimits::default(),
            trusted_front_end: Vec::new(),
            domain: Vec::new(),
            smtp: mta::SmtpConfig::default(),
            lmtp: mta::LmtpConfig::default(),
            imap: access::imap::ImapConfig::default(),
            pop3: access::Pop3Config::default(),
            smtp_proxy: frontend::SmtpProxyConfig::default(),
            lmtp_proxy: frontend::LmtpProxyConfig::default(),
            imap_proxy: frontend::ImapProxyConfig::default(),
            pop3_proxy: frontend::Pop3ProxyConfig::default(),
            managesieve_proxy: frontend::ManageSieveProxyConfig::default(),
            submission_proxy: frontend::SubmissionProxyConfig::default(),
            http_proxy: frontend::http::HttpProxyConfig::default(),
            path: None,
            source: Source::default(),
            notes: None,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            queue: 1000,
        }
    }
}

fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_ascii_lowercase();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

/// Reads and checks the named file, else the default one when it exists, else the built-in defaults.
pub(crate) fn load(named: Option<&Path>) -> Result<Config, Box<ConfigErrors>> {
    let path = match named {
        Some(path) => path.to_owned(),
        None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
        None => return Ok(Config::default().with_default_listeners()),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("cannot read the configuration file: {error}");
        Box::new(ConfigErrors::new(
            &path,
            "",
            vec![Problem {
                key: String::new(),
                message,
                span: None,
            }],
        ))
    })?;
    let mut config =
        parse(&text).map_err(|problem| Box::new(ConfigErrors::new(&path, &text, vec![*problem])))?;
    config.tell_aliases();
    config.settle_http();
    config.path = Some(path.clone());
    config.source = Source::read(&text);
    let problems = located(&text, config.check());
    if problems.is_empty() {
        let notes = located(&text, config.find_notes());
        config.notes = (!notes.is_empty()).then(|| Arc::new(ConfigErrors::new(&path, &text, notes)));
        Ok(config.with_default_listeners())
    } else {
        Err(Box::new(ConfigErrors::new(&path, &text, problems)))
    }
}

/// Finds each problem's place in the file, and puts them in the file's order.
fn located(text: &str, problems: Vec<model::ConfigProblem>) -> Vec<Problem> {
    let locate = |problem: model::ConfigProblem| Problem {
        span: locate::span_of(text, &problem.key),
        key: problem.key,
        message: problem.message,
    };
    let mut problems: Vec<Problem> = problems.into_iter().map(locate).collect();
    problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
    problems
}

fn parse(text: &str) -> Result<Config, Box<Problem>> {
    toml::from_str(text).map_err(|error| {
        let key = error
            .span()
            .map(|span| locate::path_at(text, span.start))
            .unwrap_or_default();
        let message = with_suggestion(error.message());
        Box::new(Problem {
            key,
            message,
            span: error.span(),
        })
    })
}

/// Puts the name that was probably meant before all that could be: "unknown field `x`, expected one of `a`, `b`".
fn with_suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let (Some(wrong), true) = (names.next(), message.starts_with("unknown ")) else {
        return message.to_owned();
    };
    let likeness = |name: &str| strsim::jaro_winkler(wrong, name);
    let best = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|name| likeness(name) > 0.8) {
        Some(meant) => match message.split_once(", expected ") {
            Some((wrong, names)) => format!("{wrong}; did you mean `{meant}`? Expected: {names}"),
            None => format!("{message}; did you mean `{meant}`?"),
        },
        None => message.to_owned(),
    }
}

impl Config {
    /// Without a single listener a server holds accounts and serves this machine only, on ports that need no
    /// privilege.
    fn with_default_listeners(mut self) -> Self {
        if self.service_names().is_empty() {
            let at = |port| {
                vec![net::ListenerConfig::at(std::net::SocketAddr::from((
                    [127, 0, 0, 1],
                    port,
                )))]
            };
            (self.smtp.listener, self.imap.listener, self.pop3.listener) = (at(2525), at(1143), at(1110));
        }
        self
    }

    /// What turned out wrong with a key only when its value was used, with its line.
    pub(crate) fn fault(&self, key: &str, message: String) -> Failure {
        self.faults("", vec![model::ConfigProblem::new(key, message)])
    }

    /// The same for several keys of one section; `section` is its path, or empty.
    pub(crate) fn faults(&self, section: &str, found: Vec<model::ConfigProblem>) -> Failure {
        let path = self
            .path
            .clone()
            .unwrap_or_else(|| PathBuf::from("built-in defaults"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut problems = Vec::new();
        check::within(section, found, &mut problems);
        Failure::Config(Box::new(ConfigErrors::new(
            &path,
            &text,
            located(&text, problems),
        )))
    }

    /// Which domains are other names of others.
    pub(crate) fn domain_aliases(&self) -> DomainAliases {
        let of = |domain: &DomainConfig| -> Vec<(Domain, Domain)> {
            let pair = |alias: &Domain| (alias.clone(), domain.name.clone());
            domain.aliases.iter().map(pair).collect()
        };
        DomainAliases::new(self.domain.iter().flat_map(of))
    }

    /// Tells every section that looks at addresses.
    fn tell_aliases(&mut self) {
        let aliases = self.domain_aliases();
        if aliases.is_empty() {
            return;
        }
        for connector in &mut self.connector {
            connector.domain_aliases = aliases.clone();
        }
        for map in &mut self.user_map {
            map.domain_aliases = aliases.clone();
        }
    }

    /// HTTP has no STARTTLS, which is the default elsewhere.
    fn settle_http(&mut self) {
        let mode = match self.tls {
            Some(_) => net::TlsMode::Implicit,
            None => net::TlsMode::None,
        };
        for listener in &mut self.http_proxy.listener {
            listener.tls.get_or_insert(mode);
        }
    }

    /// The file with the keys that seal the cookies of logins.
    pub(crate) fn session_keys(&self) -> PathBuf {
        let named = self.http_proxy.session_keys.clone();
        named.unwrap_or_else(|| self.data_dir.join("cluster-keys/session.keys"))
    }

    /// Where the admin API is.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.admin
            .socket
            .clone()
            .unwrap_or_else(|| self.data_dir.join("admin.sock"))
    }

    /// Whether this server holds accounts. A front end does not, and opens no store.
    pub(crate) fn holds_accounts(&self) -> bool {
        self.holds_accounts.unwrap_or_else(|| !self.is_front_end_only())
    }

    /// Says in the log what is allowed, and perhaps not meant.
    pub(crate) fn log_notes(&self) {
        for note in self.notes.iter().flat_map(|notes| notes.lines()) {
            tracing::warn!(note, "this configuration holds; look whether it is what you mean");
        }
    }

    /// Whether the file is there for a second look: what came through a pipe is not.
    pub(crate) fn can_be_read_again(&self) -> bool {
        self.path.as_deref().is_none_or(Path::is_file)
    }

    /// Where the keys of this front end are.
    pub(crate) fn cluster_keys(&self) -> frontend::assertion::KeyRing {
        frontend::assertion::KeyRing::new(self.data_dir.join("cluster-keys"))
    }

    fn is_front_end_only(&self) -> bool {
        let back_end = [
            &self.smtp.listener,
            &self.lmtp.listener,
            &self.imap.listener,
            &self.pop3.listener,
        ];
        let front_end = [
            &self.smtp_proxy.listener,
            &self.lmtp_proxy.listener,
            &self.imap_proxy.listener,
            &self.pop3_proxy.listener,
            &self.managesieve_proxy.listener,
            &self.submission_proxy.listener,
            &self.http_proxy.listener,
        ];
        back_end.iter().all(|listeners| listeners.is_empty())
            && front_end.iter().any(|listeners| !listeners.is_empty())
    }

    /// Whether it serves as a front end.
    pub(crate) fn has_proxies(&self) -> bool {
        let names = self.service_names();
        names.iter().any(|name| name.ends_with("_proxy"))
    }

    /// Every service with a listener, by the name of its section.
    pub(crate) fn listeners(&self) -> [(&'static str, &[net::ListenerConfig]); 11] {
        [
            ("smtp", &self.smtp.listener),
            ("lmtp", &self.lmtp.listener),
            ("imap", &self.imap.listener),
            ("pop3", &self.pop3.listener),
            ("smtp_proxy", &self.smtp_proxy.listener),
            ("lmtp_proxy", &self.lmtp_proxy.listener),
            ("imap_proxy", &self.imap_proxy.listener),
            ("pop3_proxy", &self.pop3_proxy.listener),
            ("managesieve_proxy", &self.managesieve_proxy.listener),
            ("submission_proxy", &self.submission_proxy.listener),
            ("http_proxy", &self.http_proxy.listener),
        ]
    }

    /// The proxies that log in at homes, by the name of their section, with the keys that they all have.
    pub(crate) fn login_proxies(&self) -> [(Protocol, &'static str, frontend::LoginProxyConfig); 5] {
        [
            (Protocol::Imap, "imap_proxy", self.imap_proxy.clone()),
            (Protocol::Pop3, "pop3_proxy", self.pop3_proxy.clone()),
            (
                Protocol::ManageSieve,
                "managesieve_proxy",
                self.managesieve_proxy.login(),
            ),
            (
                Protocol::Submission,
                "submission_proxy",
                self.submission_proxy.login(),
            ),
            (Protocol::Http, "http_proxy", self.http_proxy.login()),
        ]
    }

    /// The proxies that route mail, by the name of their section.
    pub(crate) fn mail_proxies(&self) -> [(&'static str, &frontend::SmtpProxyConfig); 2] {
        [("smtp_proxy", &self.smtp_proxy), ("lmtp_proxy", &self.lmtp_proxy)]
    }

    /// The names of the services that will run.
    pub(crate) fn service_names(&self) -> Vec<&'static str> {
        self.listeners()
            .iter()
            .filter(|(_, listeners)| !listeners.is_empty())
            .map(|(name, _)| *name)
            .collect()
    }

    /// The domain of a login without `@`.
    pub(crate) fn login_domain(&self) -> Option<Domain> {
        self.default_domain
            .clone()
            .or_else(|| match self.domain.as_slice() {
                [only] => Some(only.name.clone()),
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::with_suggestion;

    #[test]
    fn the_name_that_was_meant_comes_before_all_others() {
        for (message, told) in [
            (
                "unknown field `listner`, expected one of `access`, `listener`",
                "unknown field `listner`; did you mean `listener`? Expected: one of `access`, `listener`",
            ),
            (
                "unknown field `zzz`, expected `access` or `listener`",
                "unknown field `zzz`, expected `access` or `listener`",
            ),
            ("missing field `name`", "missing field `name`"),
        ] {
            assert_eq!(with_suggestion(message), told);
        }
    }
}
