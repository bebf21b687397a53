//! Names to addresses, by the system's own configuration.

use hickory_resolver::TokioResolver;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Why a name gave no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name, or an address for it, does not exist.
    #[error("there is no address for the host {0:?}")]
    NoSuchHost(String),
    /// Nobody could be asked.
    #[error("looking up the host {host:?} failed: {message}")]
    Unavailable {
        /// The name.
        host: String,
        /// What went wrong.
        message: String,
    },
}

/// The resolver: address literals, `localhost` and the hosts file first, then the name servers of
/// `/etc/resolv.conf`. Clones share one cache.
#[derive(Clone)]
pub struct Resolver(Arc<Result<TokioResolver, String>>);

impl Resolver {
    /// Reads the system's configuration. When that fails, names are answered by "unavailable" with the reason,
    /// and address literals still work.
    #[must_use]
    pub fn system() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
        Self(Arc::new(resolver.map_err(|error| error.to_string())))
    }

    /// The addresses of a host, never an empty list.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let literal = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        // RFC 6761 section 6.3: these names are answered without asking anybody.
        let name = host.trim_end_matches('.');
        if name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let unavailable = |message: String| DnsError::Unavailable {
            host: host.to_owned(),
            message,
        };
        let resolver = self
            .0
            .as_ref()
            .as_ref()
            .map_err(|error| unavailable(error.clone()))?;
        match resolver.lookup_ip(host).await {
            Ok(found) => {
                let addresses: Vec<_> = found.iter().collect();
                if addresses.is_empty() {
                    return Err(DnsError::NoSuchHost(host.to_owned()));
                }
                Ok(addresses)
            }
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => {
                Err(DnsError::NoSuchHost(host.to_owned()))
            }
            Err(error) => Err(unavailable(error.to_string())),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_localhost_need_no_server() {
        let resolver = Resolver(Arc::new(Err("no servers".to_owned())));
        for (host, first) in [
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("localhost", "127.0.0.1"),
            ("x.Localhost.", "127.0.0.1"),
        ] {
            let found = resolver.addresses(host).await.expect("no question asked");
            assert_eq!(found.first().map(ToString::to_string).as_deref(), Some(first));
        }
        let error = resolver.addresses("mail.example.test").await;
        assert!(matches!(error, Err(DnsError::Unavailable { .. })), "{error:?}");
    }
}
