//! Who we are at a server, and how the way there is secured.

use crate::config::{ConnectorConfig, ConnectorTls};
use ldap::{Client, ConnectOptions, LdapError, LdapUri, StartTls};
use model::{ConfigProblem, Secret};
use net::{ClientTls, ClientTlsConfig};
use std::path::Path;
use std::time::Duration;

/// Whom we bind as.
pub(crate) enum Identity {
    Anonymous,
    Simple { dn: String, password: Secret },
    External,
}

impl Identity {
    /// The service identity; its password is read from where the configuration says.
    pub(crate) fn new(config: &ConnectorConfig) -> Result<Self, ConfigProblem> {
        if config.sasl_external {
            return Ok(Self::External);
        }
        let Some(dn) = config.bind_dn.clone() else {
            return Ok(Self::Anonymous);
        };
        let (key, password) = if let Some(path) = &config.bind_password_file {
            let key = "bind_password_file";
            (key, password_in(path, key)?)
        } else if let Some(name) = &config.bind_password_env {
            let text = std::env::var(name).map_err(|_| {
                ConfigProblem::new("bind_password_env", format!("the variable {name} is not set"))
            })?;
            ("bind_password_env", Secret::from(text))
        } else {
            ("bind_password", config.bind_password.clone().unwrap_or_default())
        };
        Self::simple(dn, key, password)
    }

    /// The identity that writes; the service identity when there is no other.
    pub(crate) fn for_writes(config: &ConnectorConfig) -> Result<Self, ConfigProblem> {
        let Some(dn) = config.write_bind_dn.clone() else {
            return Self::new(config);
        };
        match &config.write_bind_password_file {
            Some(path) => {
                let key = "write_bind_password_file";
                Self::simple(dn, key, password_in(path, key)?)
            }
            None => {
                let password = config.write_bind_password.clone().unwrap_or_default();
                Self::simple(dn, "write_bind_password", password)
            }
        }
    }

    fn simple(dn: String, key: &str, password: Secret) -> Result<Self, ConfigProblem> {
        if password.is_empty() {
            // RFC 4513 section 5.1.2: such a bind would succeed as anonymous.
            return Err(ConfigProblem::new(key, "the password is empty"));
        }
        Ok(Self::Simple { dn, password })
    }

    /// What a log line calls it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anonymous => "(anonymous)",
            Self::Simple { dn, .. } => dn,
            Self::External => "(SASL EXTERNAL)",
        }
    }

    pub(crate) async fn bind(&self, client: &Client) -> Result<(), LdapError> {
        match self {
            Self::Anonymous => Ok(()),
            Self::Simple { dn, password } => client.bind_simple(dn, password, &[]).await.map(|_| ()),
            Self::External => client.bind_external().await.map(|_| ()),
        }
    }
}

/// The password in a file, without the newline that editors put at the end.
fn password_in(path: &Path, key: &str) -> Result<Secret, ConfigProblem> {
    let text = std::fs::read(path)
        .map_err(|error| ConfigProblem::new(key, format!("{}: {error}", path.display())))?;
    let end = text
        .iter()
        .rposition(|byte| !matches!(byte, b'\n' | b'\r'))
        .map_or(0, |last| last + 1);
    Ok(Secret::new(text.get(..end).unwrap_or_default().to_vec()))
}

/// How to connect to each server, in the configured order.
pub(crate) fn options(config: &ConnectorConfig) -> Result<Vec<ConnectOptions>, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let mut all = Vec::with_capacity(config.uris.len());
    let mut tls = None;
    for (index, text) in config.uris.iter().enumerate() {
        let uri = match LdapUri::parse(text) {
            Ok(uri) => uri,
            Err(error) => {
                problems.push(ConfigProblem::new(
                    format!("uris.{index}"),
                    format!("{text:?}: {error}"),
                ));
                continue;
            }
        };
        let starttls = match (&uri, config.tls) {
            (LdapUri::Ldap { .. }, Some(ConnectorTls::StartTls)) => StartTls::Require,
            (LdapUri::Ldap { .. }, None) if !uri.is_loopback() => StartTls::Require,
            _ => StartTls::Off,
        };
        let mut options = ConnectOptions::new(uri);
        if starttls == StartTls::Require || matches!(options.uri, LdapUri::Ldaps { .. }) {
            if tls.is_none() {
                match trust(config) {
                    Ok(loaded) => tls = Some(loaded),
                    Err(problem) => {
                        problems.push(problem);
                        break;
                    }
                }
            }
            options.tls = tls.clone();
        }
        options.starttls = starttls;
        options.connect_timeout = Duration::from_secs(config.timeout);
        options.operation_timeout = Duration::from_secs(config.timeout);
        all.push(options);
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(problems)
    }
}

fn trust(config: &ConnectorConfig) -> Result<ClientTls, ConfigProblem> {
    ClientTls::new(&ClientTlsConfig {
        ca_file: config.ca_file.clone(),
        client_cert: config.client_cert.clone(),
        client_key: config.client_key.clone(),
        verify: true,
    })
    .map_err(|error| ConfigProblem::new("ca_file", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_is_held_to() {
        let uris = vec![
            "ldap://127.0.0.1".to_owned(),
            "ldaps://ldap.example.test".to_owned(),
        ];
        let mut config = ConnectorConfig::openldap("c", uris, vec!["dc=test".to_owned()]);
        config.timeout = 7;
        let all = options(&config).expect("good options");
        assert_eq!(all.len(), 2);
        for options in all {
            let seven = Duration::from_secs(7);
            assert_eq!(
                (options.connect_timeout, options.operation_timeout),
                (seven, seven)
            );
            // Before it is known who speaks, and for bind checks, nobody may send more.
            assert_eq!(options.max_message, 16 << 20);
        }
    }
}
