//! Homes: from the text in a map or a host attribute to the host, port and TLS mode to connect to.

use crate::config::{HomeConfig, HomeServiceConfig, LoginMode};
use model::{ConfigProblem, Protocol, Secret};
use net::{ClientTls, ClientTlsConfig, TlsMode};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a home that is not listed gets to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A home as maps and host attributes write it: the name of a `[[home]]`, or `host[:port]`.
/// Two spellings that differ in case or in a trailing dot are one home.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HomeRef {
    host: Arc<str>,
    port: Option<u16>,
}

/// Why a text is not a home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a home; write host, host:port, [IPv6]:port or the name of a [[home]]")]
pub struct HomeRefError(String);

impl HomeRef {
    /// Reads `host[:port]`. An IPv6 address with a port stands in brackets.
    pub fn parse(text: &str) -> Result<Self, HomeRefError> {
        let error = || HomeRefError(text.to_owned());
        let trimmed = text.trim();
        if let Ok(address) = trimmed.parse::<IpAddr>() {
            return Ok(Self::of(&address.to_string(), None));
        }
        let (host, port) = match trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => {
                let address: IpAddr = host.parse().map_err(|_| error())?;
                let port = if rest.is_empty() {
                    None
                } else {
                    Some(rest.strip_prefix(':').ok_or_else(error)?)
                };
                (address.to_string(), port)
            }
            None => match trimmed.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (trimmed.to_owned(), None),
            },
        };
        let port = match port {
            Some(port) => Some(
                port.parse::<u16>()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or_else(error)?,
            ),
            None => None,
        };
        let name = host.strip_suffix('.').unwrap_or(&host);
        // `_` is no host name, but people put it into the names of a [[home]].
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if name.is_empty() || name.len() > 253 || !name.chars().all(letter) || name.starts_with(['.', '-']) {
            return Err(error());
        }
        Ok(Self::of(name, port))
    }

    fn of(host: &str, port: Option<u16>) -> Self {
        Self {
            host: host.to_ascii_lowercase().into(),
            port,
        }
    }

    /// The host, or the name of a `[[home]]`; lower case, without a trailing dot.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, when the text names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for HomeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => f.write_str(&self.host),
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
        }
    }
}

/// Where and how to reach a home for one protocol.
#[derive(Debug, Clone)]
pub struct HomeTarget {
    /// The home, for logs and limits.
    pub home: HomeRef,
    /// Host name or IP address to connect to; also the name that its certificate must show.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS mode.
    pub tls: TlsMode,
    /// How its certificate is judged.
    pub trust: ClientTls,
    /// How a session logs in.
    pub login: LoginMode,
    /// Who may act for every account there, for [`LoginMode::Master`].
    pub master: Option<Master>,
    /// How long a connection and its greeting may take.
    pub connect_timeout: Duration,
    /// A PROXY header begins each connection.
    pub proxy_protocol: bool,
}

/// A user that may act for every account of a home.
#[derive(Debug, Clone)]
pub struct Master {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl Master {
    fn load(config: &HomeConfig) -> Result<Option<Self>, ConfigProblem> {
        let (Some(user), Some(path)) = (&config.master_user, &config.master_password_file) else {
            return Ok(None);
        };
        let problem =
            |text: String| ConfigProblem::new("master_password_file", format!("{}: {text}", path.display()));
        let mut bytes = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(problem("there is no password in it".to_owned()));
        }
        Ok(Some(Self {
            user: user.clone(),
            password: Secret::new(bytes),
        }))
    }
}

/// All homes that the configuration lists, and the rules for the others.
#[derive(Debug)]
pub struct Homes {
    listed: HashMap<String, Listed>,
    trust: ClientTls,
}

#[derive(Debug)]
struct Listed {
    config: HomeConfig,
    trust: ClientTls,
    master: Option<Master>,
}

impl Homes {
    /// Takes over `[[home]]`; `defaults` says how certificates of homes that are not listed are judged.
    /// Loads the listed homes' certificate files.
    pub fn new(configs: Vec<HomeConfig>, defaults: &ClientTlsConfig) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut listed = HashMap::new();
        let mut trusts = Trusts::default();
        for (index, config) in configs.into_iter().enumerate() {
            let at = |problem: ConfigProblem| {
                ConfigProblem::new(format!("home.{index}.{}", problem.key), problem.message)
            };
            problems.extend(config.check().into_iter().map(at));
            let name = config.name.trim_end_matches('.').to_ascii_lowercase();
            let trust = trusts
                .get(&config)
                .map_err(|error| ConfigProblem::new("ca_file", error));
            match trust.and_then(|trust| Ok((trust, Master::load(&config)?))) {
                Err(problem) => problems.push(at(problem)),
                Ok((trust, master)) => {
                    let home = Listed {
                        config,
                        trust,
                        master,
                    };
                    if listed.insert(name, home).is_some() {
                        problems.push(at(ConfigProblem::new("name", "another [[home]] has this name")));
                    }
                }
            }
        }
        match ClientTls::new(defaults) {
            Ok(trust) if problems.is_empty() => Ok(Self { listed, trust }),
            Ok(_) => Err(problems),
            Err(error) => {
                problems.push(ConfigProblem::new("home", error.to_string()));
                Err(problems)
            }
        }
    }

    /// The names of all homes that are listed, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.listed.keys().cloned().collect();
        names.sort();
        names
    }

    /// Whether a session of this protocol may need the password or the token again at its home: when any home wants
    /// it, or none is listed, since homes that are not listed do.
    #[must_use]
    pub fn needs_secret(&self, protocol: Protocol) -> bool {
        let replays = |listed: &Listed| listed.config.service(protocol).login == LoginMode::Replay;
        self.listed.is_empty() || self.listed.values().any(replays)
    }

    /// How to reach `home` for `protocol`. A port in the reference wins over the listed one.
    #[must_use]
    pub fn target(&self, home: &HomeRef, protocol: Protocol) -> HomeTarget {
        let listed = self.listed.get(home.host());
        let service = listed.map_or_else(HomeServiceConfig::default, |listed| {
            listed.config.service(protocol)
        });
        let host = listed.and_then(|listed| listed.config.host.clone());
        let host = host.unwrap_or_else(|| home.host().to_owned());
        let port = home.port().or(service.port).unwrap_or(default_port(protocol));
        HomeTarget {
            home: home.clone(),
            port,
            tls: service.tls.unwrap_or_else(|| match default_tls(&host, port) {
                // HTTP has none.
                TlsMode::StartTls if protocol == Protocol::Http => TlsMode::Implicit,
                other => other,
            }),
            host,
            trust: listed.map_or_else(|| self.trust.clone(), |listed| listed.trust.clone()),
            login: service.login,
            proxy_protocol: service.proxy_protocol,
            master: listed.and_then(|listed| listed.master.clone()),
            connect_timeout: listed.map_or(CONNECT_TIMEOUT, |listed| {
                Duration::from_secs(listed.config.connect_timeout)
            }),
        }
    }
}

impl HomeConfig {
    /// What this home says of a protocol.
    #[must_use]
    pub fn service(&self, protocol: Protocol) -> HomeServiceConfig {
        match protocol {
            Protocol::Imap => self.imap,
            Protocol::Pop3 => self.pop3,
            Protocol::Lmtp => self.lmtp,
            Protocol::Submission => self.submission,
            Protocol::Http => self.http,
            Protocol::ManageSieve => self.managesieve,
            Protocol::Smtp => self.smtp,
        }
    }
}

/// Homes with the same trust share one set of authorities and resumable sessions.
#[derive(Default)]
struct Trusts(Vec<(ClientTlsConfig, ClientTls)>);

impl Trusts {
    fn get(&mut self, home: &HomeConfig) -> Result<ClientTls, String> {
        let same = |known: &ClientTlsConfig| {
            known.ca_file == home.ca_file
                && known.client_cert == home.client_cert
                && known.client_key == home.client_key
                && known.verify == home.verify
        };
        if let Some((_, trust)) = self.0.iter().find(|(known, _)| same(known)) {
            return Ok(trust.clone());
        }
        let config = ClientTlsConfig {
            ca_file: home.ca_file.clone(),
            client_cert: home.client_cert.clone(),
            client_key: home.client_key.clone(),
            verify: home.verify,
        };
        let trust = ClientTls::new(&config).map_err(|error| error.to_string())?;
        self.0.push((config, trust.clone()));
        Ok(trust)
    }
}

const fn default_port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Smtp => 25,
        Protocol::Submission => 587,
        Protocol::Lmtp => 24,
        Protocol::Imap => 143,
        Protocol::Pop3 => 110,
        Protocol::ManageSieve => 4190,
        Protocol::Http => 443,
    }
}

impl HomeConfig {
    /// The TLS towards this home.
    fn tls(&self, protocol: Protocol) -> TlsMode {
        let service = self.service(protocol);
        let port = service.port.unwrap_or_else(|| default_port(protocol));
        let host = self.host.as_deref().unwrap_or(&self.name);
        service.tls.unwrap_or_else(|| default_tls(host, port))
    }

    /// What is allowed and perhaps not meant, when this is `spoken` to homes; keys are relative to the home.
    #[must_use]
    pub fn notes(&self, spoken: &[Protocol]) -> Vec<ConfigProblem> {
        let clear: Vec<String> = spoken
            .iter()
            .filter(|protocol| self.tls(**protocol) == TlsMode::None)
            .map(ToString::to_string)
            .collect();
        let keys = [("ca_file", &self.ca_file), ("client_cert", &self.client_cert)];
        let said = keys
            .into_iter()
            .filter(|(_, file)| file.is_some() && !clear.is_empty());
        said.map(|(key, _)| {
            let protocols = clear.join(", ");
            let message = format!(
                "is not used for {protocols}: this home is spoken to without TLS there, which is the default on \
                 loopback; say {}.tls = \"starttls\" or \"implicit\" if it has TLS",
                clear.first().map_or("", String::as_str)
            );
            ConfigProblem::new(key, message)
        })
        .collect()
    }
}

/// RFC 8314 section 3: TLS wherever a network is between; nothing is gained on loopback.
fn default_tls(host: &str, port: u16) -> TlsMode {
    let loopback = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback());
    match port {
        993 | 995 | 465 | 443 => TlsMode::Implicit,
        _ if loopback => TlsMode::None,
        _ => TlsMode::StartTls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for (text, host, port) in [
            ("store1.example.test", "store1.example.test", None),
            ("Store1.Example.Test.", "store1.example.test", None),
            ("store1:143", "store1", Some(143)),
            ("192.0.2.1:25", "192.0.2.1", Some(25)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:DB8::1]:143", "2001:db8::1", Some(143)),
            ("[::1]", "::1", None),
            (" back_end-1 ", "back_end-1", None),
        ] {
            let home = HomeRef::parse(text).expect(text);
            assert_eq!((home.host(), home.port()), (host, port), "{text}");
            assert_eq!(HomeRef::parse(&home.to_string()), Ok(home));
        }
        for bad in [
            "", ":143", "a:", "a:0", "a:65536", "a b", "a/b", "[::1", "[::1]x", "[a]:1", ".a", "-a",
        ] {
            assert!(HomeRef::parse(bad).is_err(), "{bad:?}");
        }
    }

    fn home(text: &str) -> HomeRef {
        HomeRef::parse(text).expect("a home")
    }

    #[test]
    fn targets() {
        let mut config = HomeConfig::named("store1.example.test");
        config.host = Some("127.0.0.1".to_owned());
        config.imap.port = Some(1143);
        config.pop3.tls = Some(TlsMode::Implicit);
        let defaults = ClientTlsConfig {
            verify: false,
            ..ClientTlsConfig::default()
        };
        config.verify = false;
        let homes = Homes::new(vec![config.clone()], &defaults).expect("homes");
        let table = [
            (
                "store1.example.test",
                Protocol::Imap,
                "127.0.0.1",
                1143,
                TlsMode::None,
            ),
            (
                "STORE1.example.test.",
                Protocol::Pop3,
                "127.0.0.1",
                110,
                TlsMode::Implicit,
            ),
            (
                "store1.example.test:2525",
                Protocol::Smtp,
                "127.0.0.1",
                2525,
                TlsMode::None,
            ),
            (
                "store2.example.test",
                Protocol::Smtp,
                "store2.example.test",
                25,
                TlsMode::StartTls,
            ),
            (
                "store2.example.test:993",
                Protocol::Imap,
                "store2.example.test",
                993,
                TlsMode::Implicit,
            ),
            ("::1", Protocol::Lmtp, "::1", 24, TlsMode::None),
            (
                "store2.example.test:8443",
                Protocol::Http,
                "store2.example.test",
                8443,
                TlsMode::Implicit,
            ),
            ("127.0.0.1:8080", Protocol::Http, "127.0.0.1", 8080, TlsMode::None),
        ];
        for (text, protocol, host, port, tls) in table {
            let target = homes.target(&home(text), protocol);
            assert_eq!(
                (target.host.as_str(), target.port, target.tls),
                (host, port, tls),
                "{text}"
            );
        }
        let problems = Homes::new(vec![config.clone(), config], &defaults).expect_err("the same name twice");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].key, "home.1.name");
    }
}
