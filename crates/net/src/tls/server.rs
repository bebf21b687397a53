//! The certificates that this server shows, replaced in place.

use super::by_name::Certificates;
use super::clients::Authorities;
use super::{TlsError, provider};
use crate::listener::Guest;
use crate::{Connection, TlsConfig};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::ResolvesServerCert;
use std::fmt;
use std::sync::Arc;

struct Inner {
    files: TlsConfig,
    current: ArcSwap<Current>,
}

/// What new sessions use.
struct Current {
    config: Arc<ServerConfig>,
    /// The same with ALPN for HTTP. Browsers would ask people which certificate to show.
    http: Arc<ServerConfig>,
    /// Where a certificate makes a difference all the same.
    http_asking: Arc<ServerConfig>,
    /// Which certificate is shown to whom.
    certificates: Arc<Certificates>,
    /// Who vouches for clients.
    authorities: Option<Authorities>,
}

/// Rustls' own, before it knows of certificates.
type Builder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;

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

    /// The handshake is done, and the client's certificate is not believed.
    pub(crate) fn has_doubted(&self, connection: &Connection, why: &rustls::Error) {
        match &self.guest {
            Some(guest) => guest.is_doubted(connection, why),
            // Any mail server shows what it has.
            None => tracing::debug!(%why, "a client's certificate is of no use here, and passed over"),
        }
    }

    /// What one handshake goes by, even if the files are read again meanwhile.
    pub(crate) fn handshake(&self, alpn: Alpn) -> Handshake {
        let current = self.inner.current.load_full();
        let config = match (alpn, &self.guest) {
            (Alpn::None, _) => &current.config,
            (Alpn::Http, None) => &current.http,
            (Alpn::Http, Some(_)) => &current.http_asking,
        };
        Handshake {
            acceptor: Arc::clone(config).into(),
            current,
        }
    }
}

/// One handshake.
pub(crate) struct Handshake {
    pub(crate) acceptor: tokio_rustls::TlsAcceptor,
    current: Arc<Current>,
}

impl Handshake {
    /// What a login is bound to for a client that asked for this name (RFC 5929 section 4).
    pub(crate) fn end_point(&self, name: Option<&str>) -> Option<Arc<[u8]>> {
        self.current.certificates.end_point(name)
    }

    /// Whether the client has shown a certificate that one of the authorities has made for clients; or why it is of no
    /// use here, and passed over.
    pub(crate) fn has_vouched(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<bool, rustls::Error> {
        match (&self.current.authorities, shown) {
            (Some(authorities), Some(shown)) => authorities.vouch_for(shown).map(|()| true),
            _ => Ok(false),
        }
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
    let authorities = files.client_ca.as_deref().map(Authorities::load).transpose()?;
    let resolver = || Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>;
    // Resumption without a table of sessions: RFC 8446 section 4.6.1.
    let ticketer = || {
        rustls::crypto::aws_lc_rs::Ticketer::new()
            .map_err(|error| TlsError::Config(format!("session tickets: {error}")))
    };
    let silent = |builder: Builder| builder.with_no_client_auth().with_cert_resolver(resolver());
    let asking = |builder: Builder| match &authorities {
        None => silent(builder),
        Some(authorities) => builder
            .with_client_cert_verifier(authorities.asking())
            .with_cert_resolver(resolver()),
    };
    let mut config = asking(builder.clone());
    config.ticketer = ticketer()?;
    let mut http = silent(builder);
    // Not the same tickets: one from where nobody was asked says that there was no certificate.
    http.ticketer = ticketer()?;
    let mut http_asking = config.clone();
    for http in [&mut http, &mut http_asking] {
        http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(Current {
        config: Arc::new(config),
        http: Arc::new(http),
        http_asking: Arc::new(http_asking),
        certificates,
        authorities,
    })
}
