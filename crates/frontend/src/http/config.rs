//! `[http_proxy]`.

use crate::config::{AuthenticateAt, LoginProxyConfig, check_auth, check_maps, in_range};
use model::{ByteSize, ConfigProblem};
use net::{ListenerConfig, TlsMode};
use std::path::PathBuf;

/// The HTTP front end: who may log in, and what one client may ask of it.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpProxyConfig {
    /// Where to listen, `[[http_proxy.listener]]`. Default: nowhere, which turns the service off. `tls` is `implicit`
    /// when the server has a certificate, else `none`; there is no STARTTLS in HTTP. HTTP/2 is spoken over TLS only.
    pub listener: Vec<ListenerConfig>,
    /// Names of the `[[user_map]]` that are asked for an account's home, in this order. Required when there is
    /// a listener.
    pub user_maps: Vec<String>,
    /// Names of the sources that check passwords, in order: user maps of an LDAP kind, or `local`. Default: the
    /// LDAP maps of `user_maps`. HTTP logins are always checked here.
    pub auth: Vec<String>,
    /// What the login page calls this service. Default: the `server_name`.
    pub title: Option<String>,
    /// Whether browsers are sent to a login page; default true. Without it they are asked by HTTP Basic.
    pub login_form: bool,
    /// Whether HTTP Basic logs in; default true.
    pub basic: bool,
    /// The host names that requests may be for; others hear 421. Default: any.
    pub hosts: Vec<String>,
    /// Seconds that a login by the form lasts; 60 to 2592000, default 43200 (12 hours).
    pub session_lifetime: u64,
    /// File with the keys that seal the cookie of a login. Front ends with the same file know each other's logins.
    /// Read again within seconds after a change. Default: `cluster-keys/session.keys` in `data_dir`, which is made
    /// when it is missing.
    pub session_keys: Option<PathBuf>,
    /// The other front ends with the same `session_keys`, each as a `host`, `host:port` or the name of a `[[home]]`
    /// says where its HTTP listener is. A logout here ends the login there too. This server may be among them, so that
    /// all have the same list. Default: none.
    pub front_ends: Vec<String>,
    /// The largest head of a request or of a home's answer; 8 KiB to 1 MiB, default 64 KiB.
    pub max_header_size: ByteSize,
    /// The largest body of a request; 1 KiB to 1 TiB, default 1 GiB.
    pub max_body_size: ByteSize,
    /// Seconds that a request's head may take, and that an idle connection is kept; 1 to 600, default 60.
    pub header_timeout: u64,
    /// Seconds that a client may pause while it sends a body or takes an answer; 1 to 3600, default 60.
    pub body_timeout: u64,
    /// Seconds without progress after which a home's answer is no longer waited for; 1 to 3600, default 60. A request
    /// that waits for room at its home waits no longer than this either.
    pub home_timeout: u64,
    /// Requests, event streams and WebSockets that one home serves at once; 1 to 1000000, default 2000.
    pub home_requests: u32,
    /// Requests that may wait for room at one home; past it a client hears 503. 0 to 1000000, default 1000.
    pub home_queue: u32,
    /// Requests, event streams and WebSockets that one account may have at once; past it a client hears 429. 1 to
    /// 100000, default 100.
    pub account_requests: u32,
    /// Failed logins after which a connection ends; 1 to 100, default 5.
    pub max_login_failures: u32,
    /// Seconds for which browsers are told to use TLS only (HSTS), on TLS listeners that are not on loopback; 0 for
    /// not at all. At most 63072000, default 31536000 (a year).
    pub hsts: u64,
}

impl Default for HttpProxyConfig {
    fn default() -> Self {
        Self {
            listener: Vec::new(),
            user_maps: Vec::new(),
            auth: Vec::new(),
            title: None,
            login_form: true,
            basic: true,
            hosts: Vec::new(),
            session_lifetime: 43_200,
            session_keys: None,
            front_ends: Vec::new(),
            max_header_size: ByteSize(64 << 10),
            max_body_size: ByteSize(1 << 30),
            header_timeout: 60,
            body_timeout: 60,
            home_timeout: 60,
            home_requests: 2_000,
            home_queue: 1_000,
            account_requests: 100,
            max_login_failures: 5,
            hsts: 31_536_000,
        }
    }
}

impl HttpProxyConfig {
    /// The keys that every proxy with logins has.
    #[must_use]
    pub fn login(&self) -> LoginProxyConfig {
        LoginProxyConfig {
            listener: self.listener.clone(),
            user_maps: self.user_maps.clone(),
            authenticate: AuthenticateAt::Edge,
            auth: self.auth.clone(),
            max_login_failures: self.max_login_failures,
            ..LoginProxyConfig::default()
        }
    }

    /// Everything wrong with this section; keys are relative to it. `maps` are the names of the user maps,
    /// `sources` those of everything that can check a password.
    #[must_use]
    pub fn check(&self, maps: &[&str], sources: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = ListenerConfig::check_all(&self.listener);
        for (index, listener) in self.listener.iter().enumerate() {
            if listener.tls == Some(TlsMode::StartTls) {
                let message = "HTTP has no STARTTLS; write \"implicit\" or \"none\"";
                problems.push(ConfigProblem::new(format!("listener.{index}.tls"), message));
            }
        }
        check_maps(&mut problems, &self.listener, &self.user_maps, maps);
        check_auth(&mut problems, AuthenticateAt::Edge, &self.auth, sources);
        for (index, host) in self.hosts.iter().enumerate() {
            if model::Domain::parse(host).is_err() && host.parse::<std::net::IpAddr>().is_err() {
                let message = format!("{host:?} is not a host name; write it without a port");
                problems.push(ConfigProblem::new(format!("hosts.{index}"), message));
            }
        }
        for (index, name) in self.front_ends.iter().enumerate() {
            if let Err(error) = directory::HomeRef::parse(name) {
                problems.push(ConfigProblem::new(
                    format!("front_ends.{index}"),
                    error.to_string(),
                ));
            }
        }
        for (key, value, range) in [
            ("session_lifetime", self.session_lifetime, 60..=2_592_000),
            ("max_header_size", self.max_header_size.0, 8 << 10..=1 << 20),
            ("max_body_size", self.max_body_size.0, 1 << 10..=1 << 40),
            ("header_timeout", self.header_timeout, 1..=600),
            ("body_timeout", self.body_timeout, 1..=3600),
            ("home_timeout", self.home_timeout, 1..=3600),
            ("home_requests", self.home_requests.into(), 1..=1_000_000),
            ("home_queue", self.home_queue.into(), 0..=1_000_000),
            ("account_requests", self.account_requests.into(), 1..=100_000),
            ("max_login_failures", self.max_login_failures.into(), 1..=100),
            ("hsts", self.hsts, 0..=63_072_000),
        ] {
            in_range(&mut problems, key, value, range);
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_names_the_key() {
        let mut config = HttpProxyConfig::default();
        assert!(config.check(&[], &[]).is_empty(), "an absent section is in order");
        let mut listener = ListenerConfig::at(([127, 0, 0, 1], 0).into());
        listener.tls = Some(TlsMode::StartTls);
        config.listener = vec![listener];
        config.hosts = vec!["mail.example.test".to_owned(), "mail:443".to_owned()];
        config.auth = vec!["nobody".to_owned()];
        config.front_ends = vec!["front2:8443".to_owned(), "front 3".to_owned()];
        config.account_requests = 0;
        let keys: Vec<String> = config
            .check(&["people"], &["people"])
            .into_iter()
            .map(|problem| problem.key)
            .collect();
        assert_eq!(
            keys,
            [
                "listener.0.tls",
                "user_maps",
                "auth.0",
                "hosts.1",
                "front_ends.1",
                "account_requests"
            ]
        );
    }
}
