//! `[imap_proxy]`, `[pop3_proxy]`, `[managesieve_proxy]`, `[submission_proxy]` and `[smtp_proxy]`.

mod login;
mod relaying;

pub use login::{ManageSieveProxyConfig, SubmissionProxyConfig};

use crate::smtp::{BareLineEndPolicy, OfferedExtension};
use directory::DomainsConfig;
use model::{ByteSize, ConfigProblem};
use net::{ListenerConfig, Network};
use std::path::PathBuf;
use std::time::Duration;
use wire::smtp::Extensions;

/// Where a password is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticateAt {
    /// Here, before any home hears of the session; the home checks once more.
    #[default]
    Edge,
    /// At the home only: the front end passes the password through.
    Home,
}

/// What login proxies are told: where to ask, and how long to wait.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoginProxyConfig {
    /// Where to listen. Default: nowhere, which turns the service off.
    pub listener: Vec<ListenerConfig>,
    /// Names of the `[[user_map]]` that are asked for an account's home, in this order. Required when there is
    /// a listener.
    pub user_maps: Vec<String>,
    /// `edge` (default) checks the password here, `home` leaves it to the home.
    pub authenticate: AuthenticateAt,
    /// Names of the sources that check passwords with `authenticate = "edge"`, in order: user maps of an LDAP
    /// kind, or `local`. Default: the LDAP maps of `user_maps`.
    pub auth: Vec<String>,
    /// Seconds that a client has to log in; 10 to 3600, default 180.
    pub login_timeout: u64,
    /// Seconds to wait for a home's reply during login; 1 to 600, default 30.
    pub home_timeout: u64,
    /// Failed logins after which a session ends; 1 to 100, default 5.
    pub max_login_failures: u32,
}

/// `[imap_proxy]`
pub type ImapProxyConfig = LoginProxyConfig;

/// `[pop3_proxy]` has the keys of `[imap_proxy]`.
pub type Pop3ProxyConfig = LoginProxyConfig;

/// What the login proxies share, whatever the protocol.
#[derive(Debug, Clone)]
pub(crate) struct LoginSettings {
    pub(crate) authenticate: AuthenticateAt,
    pub(crate) login_timeout: Duration,
    pub(crate) home_timeout: Duration,
    pub(crate) max_login_failures: u32,
    /// What was promised before the login and every home must have (submission).
    pub(crate) announced: Vec<String>,
}

impl Default for LoginProxyConfig {
    fn default() -> Self {
        Self {
            listener: Vec::new(),
            user_maps: Vec::new(),
            authenticate: AuthenticateAt::default(),
            auth: Vec::new(),
            login_timeout: 180,
            home_timeout: 30,
            max_login_failures: 5,
        }
    }
}

impl LoginProxyConfig {
    /// Everything wrong with this section; keys are relative to it. `maps` are the names of the user maps,
    /// `sources` those of everything that can check a password.
    #[must_use]
    pub fn check(&self, maps: &[&str], sources: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = ListenerConfig::check_all(&self.listener);
        check_maps(&mut problems, &self.listener, &self.user_maps, maps);
        check_auth(&mut problems, self.authenticate, &self.auth, sources);
        in_range(&mut problems, "login_timeout", self.login_timeout, 10..=3600);
        in_range(&mut problems, "home_timeout", self.home_timeout, 1..=600);
        in_range(
            &mut problems,
            "max_login_failures",
            self.max_login_failures.into(),
            1..=100,
        );
        problems
    }

    pub(crate) fn login_settings(&self) -> LoginSettings {
        LoginSettings {
            authenticate: self.authenticate,
            login_timeout: Duration::from_secs(self.login_timeout),
            home_timeout: Duration::from_secs(self.home_timeout),
            max_login_failures: self.max_login_failures,
            announced: Vec::new(),
        }
    }
}

/// What happens when one message goes to accounts with different homes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MultiHome {
    /// Recipients of a second home are put off with 452, so that a transaction has one home and one honest
    /// reply.
    Split,
    /// The message goes to all homes at once; recipients whose home fails go to `spill_home`.
    Parallel,
}

/// How the front end speaks to the homes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HomeProtocol {
    /// SMTP: one reply for a message.
    #[default]
    Smtp,
    /// LMTP: one reply for a recipient.
    Lmtp,
}

/// `[lmtp_proxy]` has the keys of `[smtp_proxy]`, but for `multi_home` and `spill_home`: a message goes to all homes at
/// once, and each recipient has its own reply.
pub type LmtpProxyConfig = SmtpProxyConfig;

/// What `[smtp_proxy]` holds.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpProxyConfig {
    /// The listening sockets, `[[smtp_proxy.listener]]`.
    pub listener: Vec<ListenerConfig>,
    /// Names of the `[[user_map]]` that are asked for a recipient's home, in this order. Required when there is
    /// a listener.
    pub user_maps: Vec<String>,
    /// The domains that mail is taken for: a list, `["example.org"]`, or a table that says who knows them, a file or
    /// a directory. Required when there is a listener: a recipient in any other domain is refused, whatever a map
    /// says, or this would be an open relay.
    pub domains: DomainsConfig,
    /// Networks whose mail for other domains is relayed, by `relay_home`. Behind a PROXY header, and behind a trusted
    /// front end's XCLIENT, it is the client that is judged. Default: nobody's.
    pub relay_from: Vec<Network>,
    /// DNS names of client certificates whose holders may relay too; verified with `[tls] client_ca`. Default: none.
    pub relay_certificates: Vec<String>,
    /// The server that mail for other domains is offered to, while its client waits, and whose reply the client gets:
    /// `host[:port]` or the name of a `[[home]]`. It must relay for us. Default: `spill_home`.
    pub relay_home: Option<String>,
    /// `split` or `parallel`. Default: `parallel` when there is a `spill_home`, else `split`.
    pub multi_home: Option<MultiHome>,
    /// The back end that takes recipients whose home failed while others took the message: `host[:port]` or the
    /// name of a `[[home]]`. It must believe our XFORWARD and owns retry and DSN. Required by `parallel`.
    pub spill_home: Option<String>,
    /// Where mail for groups whose entry names no home goes, and mail for `postmaster` when no map knows it.
    /// Default: `spill_home`.
    pub group_home: Option<String>,
    /// `smtp` (default) or `lmtp` towards the homes. The spill home is always spoken to in SMTP. With `lmtp` and without
    /// a `spill_home`, a message in `[smtp_proxy]` has one recipient: a home may take it for one and refuse it for
    /// another, which one reply cannot say.
    pub home_protocol: HomeProtocol,
    /// The largest message; 1 KiB to 1 GiB, default 64 MiB.
    pub max_message_size: ByteSize,
    /// Recipients in one transaction; 1 to 1000, default 100. It is one in `[smtp_proxy]` with `home_protocol =
    /// "lmtp"` and without a `spill_home`.
    pub max_recipients: u32,
    /// Received fields at which a message is taken for a loop; 1 to 999, default 30.
    pub max_received: u32,
    /// How much of a message is held in memory before it goes to an unlinked temporary file; 64 KiB to 64 MiB,
    /// default 256 KiB.
    pub buffer_memory: ByteSize,
    /// Space for all messages that are on their way at once, in memory and in temporary files; past it a client
    /// hears `452 4.3.1`. At least `max_message_size`; default 1 GiB.
    pub max_buffered: ByteSize,
    /// `"reject"` or `"normalise"`: what happens to a CR or LF that stands alone; default `"reject"`.
    pub bare_line_ends: BareLineEndPolicy,
    /// Which of `8BITMIME`, `SMTPUTF8`, `CHUNKING`, `BINARYMIME`, `DSN` and `REQUIRETLS` are announced. A message
    /// that needs one of them is refused for recipients whose home does not have it. Default: all but `BINARYMIME`,
    /// and `DSN` only with a `spill_home`, by which notifications are sent for homes that send none.
    pub offer: Option<Vec<OfferedExtension>>,
    /// Folder for the temporary files. Default: the system's.
    pub buffer_dir: Option<PathBuf>,
    /// Seconds to wait for a client's next command or for more data; 10 to 3600, default 300.
    pub command_timeout: u64,
    /// Seconds to wait for a home's reply to a command; 1 to 600, default 60.
    pub home_timeout: u64,
    /// Seconds that a home may take for a whole message, and again for its reply to it; 1 to 3600, default 300.
    pub home_data_timeout: u64,
}

impl Default for SmtpProxyConfig {
    fn default() -> Self {
        Self {
            listener: Vec::new(),
            user_maps: Vec::new(),
            domains: DomainsConfig::default(),
            relay_from: Vec::new(),
            relay_certificates: Vec::new(),
            relay_home: None,
            multi_home: None,
            spill_home: None,
            group_home: None,
            home_protocol: HomeProtocol::default(),
            max_message_size: ByteSize(64 << 20),
            max_recipients: 100,
            max_received: 30,
            buffer_memory: ByteSize(256 << 10),
            max_buffered: ByteSize(1 << 30),
            bare_line_ends: BareLineEndPolicy::default(),
            offer: None,
            buffer_dir: None,
            command_timeout: 300,
            home_timeout: 60,
            home_data_timeout: 300,
        }
    }
}

impl SmtpProxyConfig {
    /// The mode in force.
    #[must_use]
    pub fn multi_home(&self) -> MultiHome {
        match (self.multi_home, &self.spill_home) {
            (Some(mode), _) => mode,
            (None, Some(_)) => MultiHome::Parallel,
            (None, None) => MultiHome::Split,
        }
    }

    pub(crate) fn refuses_bare_line_ends(&self) -> bool {
        self.bare_line_ends == BareLineEndPolicy::Reject
    }

    /// What is announced because the homes have it.
    pub(crate) fn offered(&self) -> Extensions {
        match &self.offer {
            None => OfferedExtension::usual(self.spill_home.is_some()),
            Some(offer) => offer
                .iter()
                .fold(Extensions::NONE, |all, one| all.with(one.extension())),
        }
    }

    /// The same as [`Self::check`] for `[lmtp_proxy]`.
    #[must_use]
    pub fn check_lmtp(&self, maps: &[&str], connectors: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = self.check(maps, connectors);
        let split = "LMTP answers for each recipient, so nothing has to be split or spilled; remove it";
        let relay = "LMTP delivers and does not relay (RFC 2033 section 5); remove it, or use [smtp_proxy]";
        for (key, is_set, message) in [
            ("multi_home", self.multi_home.is_some(), split),
            ("spill_home", self.spill_home.is_some(), split),
            ("relay_from", !self.relay_from.is_empty(), relay),
            ("relay_certificates", !self.relay_certificates.is_empty(), relay),
            ("relay_home", self.relay_home.is_some(), relay),
        ] {
            if is_set {
                problems.push(ConfigProblem::new(key, message));
            }
        }
        problems
    }

    /// Everything wrong with this section; keys are relative to it. `maps` and `connectors` are the names of the user
    /// maps and of the connectors.
    #[must_use]
    pub fn check(&self, maps: &[&str], connectors: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = ListenerConfig::check_all(&self.listener);
        check_maps(&mut problems, &self.listener, &self.user_maps, maps);
        problems.extend(self.domains.check(connectors));
        relaying::check(self, &mut problems);
        self.check_limits(&mut problems);
        let offered = self.offered();
        if offered.has(Extensions::BINARYMIME) && !offered.has(Extensions::CHUNKING) {
            // RFC 3030 section 3.
            problems.push(ConfigProblem::new(
                "offer",
                "BINARYMIME cannot be used without CHUNKING; offer both",
            ));
        }
        if !self.listener.is_empty() && self.domains.is_absent() {
            problems.push(ConfigProblem::new(
                "domains",
                "without a list of domains this would be an open relay; write domains = [\"example.org\"]",
            ));
        }
        if self.multi_home() == MultiHome::Parallel && self.spill_home.is_none() {
            problems.push(ConfigProblem::new(
                "multi_home",
                "\"parallel\" needs a spill_home for recipients whose home fails; name one or use \"split\"",
            ));
        }
        for (key, home) in [
            ("spill_home", &self.spill_home),
            ("group_home", &self.group_home),
            ("relay_home", &self.relay_home),
        ] {
            if let Some(Err(error)) = home.as_deref().map(directory::HomeRef::parse) {
                problems.push(ConfigProblem::new(key, error.to_string()));
            }
        }
        problems
    }

    fn check_limits(&self, problems: &mut Vec<ConfigProblem>) {
        in_range(
            problems,
            "max_message_size",
            self.max_message_size.0,
            1 << 10..=1 << 30,
        );
        in_range(problems, "max_recipients", self.max_recipients.into(), 1..=1000);
        in_range(problems, "max_received", self.max_received.into(), 1..=999);
        in_range(
            problems,
            "buffer_memory",
            self.buffer_memory.0,
            64 << 10..=64 << 20,
        );
        if self.max_buffered < self.max_message_size {
            let message = format!(
                "must be at least max_message_size, which is {} bytes",
                self.max_message_size.0
            );
            problems.push(ConfigProblem::new("max_buffered", message));
        } else if self.max_buffered.0 > 1 << 40 {
            problems.push(ConfigProblem::new("max_buffered", "must be at most 1024 GiB"));
        }
        in_range(problems, "command_timeout", self.command_timeout, 10..=3600);
        in_range(problems, "home_timeout", self.home_timeout, 1..=600);
        in_range(problems, "home_data_timeout", self.home_data_timeout, 1..=3600);
        if let Some(dir) = self.buffer_dir.as_ref().filter(|dir| !dir.is_dir()) {
            problems.push(ConfigProblem::new(
                "buffer_dir",
                format!("{} is not a folder", dir.display()),
            ));
        }
    }
}

pub(crate) fn in_range(
    problems: &mut Vec<ConfigProblem>,
    key: &str,
    value: u64,
    range: std::ops::RangeInclusive<u64>,
) {
    if !range.contains(&value) {
        let message = format!("{value} is not between {} and {}", range.start(), range.end());
        problems.push(ConfigProblem::new(key, message));
    }
}

pub(crate) fn check_maps(
    problems: &mut Vec<ConfigProblem>,
    listeners: &[ListenerConfig],
    named: &[String],
    known: &[&str],
) {
    if !listeners.is_empty() && named.is_empty() {
        problems.push(ConfigProblem::new(
            "user_maps",
            "a proxy needs the names of the user maps that know the homes; write user_maps = [\"NAME\"]",
        ));
    }
    for (index, name) in named.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let message = format!("there is no [[user_map]] named {name:?}");
            problems.push(ConfigProblem::new(format!("user_maps.{index}"), message));
        }
    }
}

pub(crate) fn check_auth(
    problems: &mut Vec<ConfigProblem>,
    authenticate: AuthenticateAt,
    named: &[String],
    known: &[&str],
) {
    if authenticate == AuthenticateAt::Home && !named.is_empty() {
        let message = "authenticate = \"home\" checks no password here; remove auth or use \"edge\"";
        problems.push(ConfigProblem::new("auth", message));
    }
    for (index, name) in named.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let message = format!(
                "{name:?} cannot check passwords; it can be one of: {}",
                known.join(", ")
            );
            problems.push(ConfigProblem::new(format!("auth.{index}"), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> Vec<ListenerConfig> {
        vec![ListenerConfig::at(([127, 0, 0, 1], 0).into())]
    }

    fn keys(problems: Vec<ConfigProblem>) -> Vec<String> {
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn an_open_relay_is_refused() {
        let mut config = SmtpProxyConfig {
            listener: listener(),
            user_maps: vec!["people".to_owned()],
            ..SmtpProxyConfig::default()
        };
        assert_eq!(keys(config.check(&["people"], &[])), ["domains"]);
        let empty = serde_json::json!({});
        config.domains = serde_json::from_value(empty).expect("a table");
        assert_eq!(keys(config.check(&["people"], &[])), ["domains"]);
        let query = serde_json::json!({ "connector": "corp", "filter": "(objectClass=*)" });
        config.domains = serde_json::from_value(query).expect("a table");
        assert_eq!(
            keys(config.check(&["people"], &["corp"])),
            ["domains.filter"],
            "every domain would match"
        );
        config.domains = serde_json::from_value(serde_json::json!(["example.test"])).expect("a list");
        assert!(config.check(&["people"], &[]).is_empty());
        config.multi_home = Some(MultiHome::Parallel);
        assert_eq!(keys(config.check(&["people"], &[])), ["multi_home"]);
        config.spill_home = Some("not a home".to_owned());
        config.max_recipients = 0;
        config.max_buffered = ByteSize(1 << 20);
        let lmtp = keys(config.check_lmtp(&[], &[]));
        assert_eq!(lmtp[lmtp.len() - 2..], ["multi_home", "spill_home"]);
        assert_eq!(
            keys(config.check(&[], &[])),
            ["user_maps.0", "max_recipients", "max_buffered", "spill_home"]
        );
    }

    #[test]
    fn what_is_offered() {
        let mut config = SmtpProxyConfig::default();
        let usual = config.offered();
        assert!(
            usual.has(
                Extensions::SMTPUTF8
                    .with(Extensions::CHUNKING)
                    .with(Extensions::REQUIRETLS)
            )
        );
        assert!(!usual.has(Extensions::DSN) && !usual.has(Extensions::BINARYMIME));
        config.spill_home = Some("store1".to_owned());
        assert_eq!(config.offered(), usual.with(Extensions::DSN));
        let offer = serde_json::json!(["BINARYMIME", "8BITMIME"]);
        config.offer = serde_json::from_value(offer).expect("extensions");
        assert_eq!(
            config.offered(),
            Extensions::BINARYMIME.with(Extensions::EIGHT_BIT_MIME)
        );
        assert_eq!(keys(config.check(&[], &[])), ["offer"]);
        config.offer = Some(Vec::new());
        assert_eq!(config.offered(), Extensions::NONE);
        assert!(config.check(&[], &[]).is_empty());
    }

    #[test]
    fn spilling_decides_the_default() {
        let mut config = SmtpProxyConfig::default();
        assert!(config.check(&[], &[]).is_empty(), "an absent section is in order");
        assert_eq!(config.multi_home(), MultiHome::Split);
        config.spill_home = Some("store1".to_owned());
        assert_eq!(config.multi_home(), MultiHome::Parallel);
    }

    #[test]
    fn login_proxies_need_maps_and_sources() {
        let mut config = ImapProxyConfig {
            listener: listener(),
            auth: vec!["people".to_owned(), "nobody".to_owned()],
            ..ImapProxyConfig::default()
        };
        assert_eq!(
            keys(config.check(&["people"], &["people"])),
            ["user_maps", "auth.1"]
        );
        config.authenticate = AuthenticateAt::Home;
        config.user_maps = vec!["people".to_owned()];
        config.auth.pop();
        config.home_timeout = 0;
        assert_eq!(
            keys(config.check(&["people"], &["people"])),
            ["auth", "home_timeout"]
        );
    }
}
