//! The certificate that this server shows, replaced in place.

use super::{TlsError, load_certificates, load_key, provider};
use crate::TlsConfig;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::fmt;
use std::sync::Arc;

struct Inner {
    files: TlsConfig,
    current: ArcSwap<ServerConfig>,
}

/// The server side of TLS. Clones share the certificate.
#[derive(Clone)]
pub struct ServerTls(Arc<Inner>);

impl ServerTls {
    /// Loads the certificate chain and the key, and checks that they belong together.
    pub fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Inner {
            files: config.clone(),
            current: ArcSwap::from_pointee(build(config)?),
        })))
    }

    /// Reads the files again. New sessions use the new certificate; on an error the old one stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.current.store(Arc::new(build(&self.0.files)?));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.0.current.load_full().into()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls")
            .field(&self.0.files.certificate)
            .finish()
    }
}

fn build(files: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let chain = load_certificates(&files.certificate)?;
    let key = load_key(&files.key)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Config(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::File {
            path: files.key.clone(),
            message: match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!(
                        "this key does not belong to the certificate in {}",
                        files.certificate.display()
                    )
                }
                other => other.to_string(),
            },
        })?;
    // Resumption without a table of sessions: RFC 8446 section 4.6.1.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
        .map_err(|error| TlsError::Config(format!("session tickets: {error}")))?;
    Ok(config)
}
