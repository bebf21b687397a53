//! Which certificate is shown to whom: by the name that the client asks for (SNI, RFC 6066 section 3).

use super::{TlsError, load_certificates, load_key, provider, server_end_point};
use crate::TlsConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// A certificate that can be shown.
#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    /// For channel binding (RFC 5929 section 4).
    end_point: Option<Arc<[u8]>>,
}

/// All certificates of this server.
#[derive(Debug)]
pub(crate) struct Certificates {
    default: Arc<Shown>,
    /// In lower case; a wildcard with its `*.`.
    named: HashMap<String, Arc<Shown>>,
}

impl Certificates {
    /// Reads all files, and checks that each key belongs to its certificate.
    pub(super) fn load(files: &TlsConfig) -> Result<Self, TlsError> {
        let (default, _) = load(&files.certificate, &files.key)?;
        let mut named = HashMap::new();
        for more in &files.more {
            let (shown, names) = load(&more.certificate, &more.key)?;
            if names.is_empty() {
                return Err(TlsError::File {
                    path: more.certificate.clone(),
                    message: "there is no DNS name in this certificate, so nobody would be shown it"
                        .to_owned(),
                });
            }
            for name in names {
                // The first that has the name keeps it.
                named.entry(name).or_insert_with(|| Arc::clone(&shown));
            }
        }
        Ok(Self { default, named })
    }

    fn pick(&self, name: Option<&str>) -> &Shown {
        let known = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            // RFC 6125 section 6.4.3: a wildcard stands for the leftmost label and for one only.
            let wildcard = || name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            self.named.get(&name).or_else(|| self.named.get(&wildcard()?))
        });
        known.unwrap_or(&self.default)
    }

    /// What a login is bound to for a client that asked for this name (RFC 5929 section 4).
    pub(crate) fn end_point(&self, name: Option<&str>) -> Option<Arc<[u8]>> {
        self.pick(name).end_point.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pick(client.server_name()).key))
    }
}

/// A certificate with its key, and the names in it.
fn load(certificate: &Path, key: &Path) -> Result<(Arc<Shown>, Vec<String>), TlsError> {
    let chain = load_certificates(certificate)?;
    let leaf = chain.first();
    let end_point = leaf.and_then(|leaf| server_end_point(leaf)).map(Arc::from);
    let names = leaf.map(|leaf| dns_names(leaf)).unwrap_or_default();
    let certified = CertifiedKey::from_der(chain, load_key(key)?, &provider());
    let certified = certified.map_err(|error| TlsError::File {
        path: key.to_owned(),
        message: match error {
            rustls::Error::InconsistentKeys(_) => {
                format!(
                    "this key does not belong to the certificate in {}",
                    certificate.display()
                )
            }
            other => other.to_string(),
        },
    })?;
    let shown = Shown {
        key: Arc::new(certified),
        end_point,
    };
    Ok((Arc::new(shown), names))
}

/// The DNS names of a certificate, in lower case (RFC 5280 section 4.2.1.6).
pub(crate) fn dns_names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let dns = names.iter().flat_map(|names| &names.value.general_names);
    dns.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    })
    .collect()
}
