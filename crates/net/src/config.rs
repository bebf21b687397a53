//! Configuration that every TCP service shares: listeners, the server's certificate, trust towards others.

use crate::{AccessRule, Connection, Network};
use model::ConfigProblem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How a listener or a home uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// No TLS at all.
    None,
    /// Plaintext first, then an upgrade in the protocol (STARTTLS, STLS).
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// One listening socket.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// Where to listen: `"127.0.0.1:1143"`, `"[::]:143"`. Port 0 takes any free port.
    #[serde(deserialize_with = "socket_address")]
    pub address: SocketAddr,
    /// `none`, `starttls` or `implicit`. Default: `starttls` when the server has a certificate, else `none`.
    #[serde(default)]
    pub tls: Option<TlsMode>,
    /// Whether a password may be sent without TLS. Default: only when the listener is on loopback.
    #[serde(default)]
    pub plaintext_login: Option<bool>,
    /// Whether logins that show no password (SCRAM, CRAM-MD5) are offered without TLS. Default: as
    /// `plaintext_login`. What follows the login can be read by anybody on the way all the same.
    #[serde(default)]
    pub plaintext_challenge: Option<bool>,
    /// How many connections this listener serves at once; 1 to 1000000, default 10000.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// How many connections one client address (an IPv6 /64) may hold at once; 1 to 1000000, default 1000.
    /// Addresses in `trusted_networks` are exempt, and holders of `trusted_certificates` once they have shown theirs.
    #[serde(default = "default_max_connections_per_peer")]
    pub max_connections_per_peer: u32,
    /// Seconds after which a silent session ends; 10 to 86400, default 1800.
    #[serde(default = "default_idle_timeout")]
    pub idle_timeout: u64,
    /// Networks whose claims about the client are believed: PROXY protocol, XCLIENT, XFORWARD, IMAP ID.
    /// Default: none.
    #[serde(default)]
    pub trusted_networks: Vec<Network>,
    /// DNS names of client certificates whose holders are believed as those in `trusted_networks` are, wherever they
    /// connect from: other front ends. The certificate is verified with `[tls] client_ca`. What their `per_minute` rule of
    /// `access` counts is counted before it is seen. Default: none.
    #[serde(default)]
    pub trusted_certificates: Vec<String>,
    /// Whether every connection from `trusted_networks` begins with a PROXY protocol header (v1 or v2);
    /// default false. Others are never asked for one. A header that names no client (UNKNOWN, LOCAL, a Unix socket)
    /// makes the client a stranger at no address: it is believed in nothing and never relays.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Who may connect here, and how often, in order: the first rule that matches wins. The rules of the top-level
    /// `[[access]]` follow, those that name the service first; whom none is about is let in. Behind a PROXY header it is
    /// the client that is judged.
    #[serde(default)]
    pub access: Vec<AccessRule>,
    /// Whether another process that says the same may listen on this address at the same time (SO_REUSEPORT), so
    /// that a new process can take over before the old one stops; default false. Needs the sysctl
    /// `net.ipv4.tcp_migrate_req=1`, or connections that are just being made may be reset.
    #[serde(default)]
    pub reuse_port: bool,
}

/// Names that a certificate can have.
pub fn check_certificate_names(key: &str, names: &[String], problems: &mut Vec<ConfigProblem>) {
    for (index, name) in names.iter().enumerate() {
        if model::Domain::parse(name).is_err() {
            let message =
                format!("{name:?} is no DNS name of a certificate; write for example \"front1.example.org\"");
            problems.push(ConfigProblem::new(format!("{key}.{index}"), message));
        }
    }
}

/// An address with its port; the error says what one looks like.
fn socket_address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is not an IP address and a port; write for example \"127.0.0.1:1143\" or \"[::]:143\""
        ))
    })
}

fn default_max_connections() -> u32 {
    10_000
}

fn default_max_connections_per_peer() -> u32 {
    1_000
}

fn default_idle_timeout() -> u64 {
    1_800
}

impl ListenerConfig {
    /// A listener at `address` with every other key at its default.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            plaintext_login: None,
            plaintext_challenge: None,
            max_connections: default_max_connections(),
            max_connections_per_peer: default_max_connections_per_peer(),
            idle_timeout: default_idle_timeout(),
            trusted_networks: Vec::new(),
            trusted_certificates: Vec::new(),
            proxy_protocol: false,
            access: Vec::new(),
            reuse_port: false,
        }
    }

    /// Whether a login without TLS is allowed here.
    #[must_use]
    pub fn allows_plaintext_login(&self) -> bool {
        self.plaintext_login
            .unwrap_or_else(|| self.address.ip().to_canonical().is_loopback())
    }

    /// Whether a login that shows no password is allowed here without TLS.
    #[must_use]
    pub fn allows_plaintext_challenge(&self) -> bool {
        self.plaintext_challenge
            .unwrap_or_else(|| self.allows_plaintext_login())
    }

    /// The mode in force; `certificate` says whether the server has one.
    #[must_use]
    pub fn tls_mode(&self, certificate: Option<&crate::ServerTls>) -> TlsMode {
        match (self.tls, certificate) {
            (Some(mode), _) => mode,
            (None, Some(_)) => TlsMode::StartTls,
            (None, None) => TlsMode::None,
        }
    }

    /// The idle timeout as a duration.
    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_timeout)
    }

    /// Whether what this address says about the client is believed. The unspecified one is nobody's.
    #[must_use]
    pub fn trusts(&self, address: std::net::IpAddr) -> bool {
        !address.is_unspecified() && Network::any_contains(&self.trusted_networks, address)
    }

    /// Whether what the other end of this connection says about its client is believed, for the certificate that it
    /// has shown.
    #[must_use]
    pub fn trusts_holder(&self, connection: &Connection) -> bool {
        connection.holds_certificate_of(&self.trusted_certificates)
    }

    /// What is wrong with this listener. Keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (key, value) in [
            ("max_connections", self.max_connections),
            ("max_connections_per_peer", self.max_connections_per_peer),
        ] {
            if !(1..=1_000_000).contains(&value) {
                problems.push(ConfigProblem::new(
                    key,
                    format!("{value} is not between 1 and 1000000"),
                ));
            }
        }
        if !(10..=86_400).contains(&self.idle_timeout) {
            let message = format!("{} is not between 10 and 86400 seconds", self.idle_timeout);
            problems.push(ConfigProblem::new("idle_timeout", message));
        }
        AccessRule::check_all(&self.access, "access", &[], &mut problems);
        check_certificate_names("trusted_certificates", &self.trusted_certificates, &mut problems);
        if self.proxy_protocol && self.trusted_networks.is_empty() {
            problems.push(ConfigProblem::new(
                "proxy_protocol",
                "a PROXY header is only believed from trusted_networks, and there are none; list the proxy's network",
            ));
        }
        problems
    }

    /// Checks every listener of a service; keys begin with `listener.N.`.
    #[must_use]
    pub fn check_all(listeners: &[Self]) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (index, listener) in listeners.iter().enumerate() {
            for problem in listener.check() {
                problems.push(ConfigProblem::new(
                    format!("listener.{index}.{}", problem.key),
                    problem.message,
                ));
            }
            let same = |other: &Self| other.address == listener.address && other.address.port() != 0;
            if listeners.iter().take(index).any(same) {
                problems.push(ConfigProblem::new(
                    format!("listener.{index}.address"),
                    format!(
                        "{} is already used by another listener of this service",
                        listener.address
                    ),
                ));
            }
        }
        problems
    }
}

/// The certificate that this server shows to clients.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate and the chain below the root, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM file with the private key (PKCS#8, SEC1 or PKCS#1, without a passphrase).
    pub key: PathBuf,
    /// Certificates for clients that ask for another name (SNI), `[[tls.more]]`. Each is shown to those who ask for
    /// one of the names in it; whoever asks for none of them is shown the one above.
    #[serde(default)]
    pub more: Vec<CertificateConfig>,
    /// PEM file with the authorities whose client certificates count: for logins (SASL EXTERNAL), `trusted_certificates`
    /// and `relay_certificates`. Clients are asked for a certificate then, by HTTP only where `trusted_certificates` are
    /// named; those that have none, or one of somebody else's, are served as if they had shown none. Default: nobody is
    /// asked.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Which name of a client certificate is the login: `email` (the mail address of the subject alternative
    /// name) or `common-name`. Default `email`.
    #[serde(default)]
    pub client_name: ClientName,
}

impl TlsConfig {
    /// A certificate and its key, with every other key at its default.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            more: Vec::new(),
            client_ca: None,
            client_name: ClientName::default(),
        }
    }
}

/// One more certificate.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// PEM file with the certificate and its chain. Its DNS names (subject alternative names) say who is shown it;
    /// `*.example.org` stands for one label.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Which name of a client certificate is the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientName {
    /// The mail address of the subject alternative name; with several, the client has to say which.
    #[default]
    Email,
    /// The common name of the subject.
    CommonName,
}

/// How this server judges the servers it connects to over TLS.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTlsConfig {
    /// PEM file with the authorities to trust instead of the system's. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with a client certificate to show. Needs `client_key`.
    pub client_cert: Option<PathBuf>,
    /// PEM file with the private key of `client_cert`.
    pub client_key: Option<PathBuf>,
    /// Whether the other server's certificate is verified; default true. Without verification anybody on the
    /// way can read everything.
    pub verify: bool,
}

impl Default for ClientTlsConfig {
    fn default() -> Self {
        Self {
            ca_file: None,
            client_cert: None,
            client_key: None,
            verify: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_login_is_for_loopback_unless_said_otherwise() {
        for (address, key, allowed) in [
            ("127.0.0.1:143", None, true),
            ("[::1]:143", None, true),
            ("0.0.0.0:143", None, false),
            ("192.0.2.1:143", None, false),
            ("192.0.2.1:143", Some(true), true),
            ("127.0.0.1:143", Some(false), false),
        ] {
            let mut config = ListenerConfig::at(address.parse().expect("an address"));
            config.plaintext_login = key;
            assert_eq!(config.allows_plaintext_login(), allowed, "{address} {key:?}");
        }
    }

    #[test]
    fn check_names_the_key() {
        let good = ListenerConfig::at("127.0.0.1:143".parse().expect("an address"));
        assert!(ListenerConfig::check_all(std::slice::from_ref(&good)).is_empty());
        let mut bad = good.clone();
        bad.max_connections = 0;
        bad.idle_timeout = 1;
        bad.proxy_protocol = true;
        bad.trusted_certificates = vec!["front1.example.org".to_owned(), "CN=front1".to_owned()];
        let keys: Vec<_> = ListenerConfig::check_all(&[good, bad])
            .into_iter()
            .map(|p| p.key)
            .collect();
        assert_eq!(
            keys,
            [
                "listener.1.max_connections",
                "listener.1.idle_timeout",
                "listener.1.trusted_certificates.1",
                "listener.1.proxy_protocol",
                "listener.1.address"
            ]
        );
    }
}
