//! The certificates that this server shows, replaced in place.

use super::by_name::Certificates;
use super::{TlsError, load_certificates, provider};
use crate::listener::Guest;
use crate::{Connection, TlsConfig};
use arc_swap::ArcSwap;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

struct Inner {
    files: TlsConfig,
    current: ArcSwap<Current>,
}

/// What new sessions use.
struct Current {
    config: Arc<ServerConfig>,
    /// The same with ALPN for HTTP.
    http: Arc<ServerConfig>,
    /// Which certificate is shown to whom.
    certificates: Arc<Certificates>,
}

/// What the client may agree on besides TLS itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// Nothing: the port says which protocol is spoken.
    None,
    /// HTTP/2, else HTTP/1.1 (RFC 7301, RFC 9113 section 3.2).
    Http,
}

/// The server side of TLS. Clones share the certificate.
#[derive(Clone)]
pub struct ServerTls {
    inner: Arc<Inner>,
    /// Who is to hear of the certificate that the client of this connection shows.
    guest: Option<Arc<Guest>>,
}

impl ServerTls {
    /// Loads the certificate chain and the key, and checks that they belong together.
    pub fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        let inner = Inner {
            files: config.clone(),
            current: ArcSwap::from_pointee(build(config)?),
        };
        Ok(Self {
            inner: Arc::new(inner),
            guest: None,
        })
    }

    /// Reads the files again. New sessions use the new certificate; on an error the old one stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.inner.current.store(Arc::new(build(&self.inner.files)?));
        Ok(())
    }

    /// For one connection, whose guest hears of its certificate.
    pub(crate) fn of(&self, guest: Guest) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            guest: Some(Arc::new(guest)),
        }
    }

    /// The handshake is done.
    pub(crate) fn has_accepted(&self, connection: &Connection) {
        if let Some(guest) = &self.guest {
            guest.is_known(connection);
        }
    }

    /// For one handshake: the acceptor, and the certificates that it has.
    pub(crate) fn acceptor(&self, alpn: Alpn) -> (tokio_rustls::TlsAcceptor, Arc<Certificates>) {
        let current = self.inner.current.load();
        let config = match alpn {
            Alpn::None => &current.config,
            Alpn::Http => &current.http,
        };
        (Arc::clone(config).into(), Arc::clone(&current.certificates))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls")
            .field(&self.inner.files.certificate)
            .finish()
    }
}

fn build(files: &TlsConfig) -> Result<Current, TlsError> {
    let certificates = Arc::new(Certificates::load(files)?);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Config(error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(client_verifier(path)?),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
    // Resumption without a table of sessions: RFC 8446 section 4.6.1.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
        .map_err(|error| TlsError::Config(format!("session tickets: {error}")))?;
    let mut http = config.clone();
    http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Current {
        config: Arc::new(config),
        http: Arc::new(http),
        certificates,
    })
}

/// Asks clients for a certificate and takes those who have none; one that is not good ends the handshake.
fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let failed = |message: String| TlsError::File {
        path: path.to_owned(),
        message,
    };
    let mut roots = RootCertStore::empty();
    for certificate in load_certificates(path)? {
        roots.add(certificate).map_err(|error| {
            failed(format!(
                "a certificate in this file cannot be an authority: {error}"
            ))
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| failed(error.to_string()))
}
