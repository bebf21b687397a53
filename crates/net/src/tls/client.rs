//! How this server trusts the servers it connects to.

use super::system::SystemRoots;
use super::{TlsError, load_certificates, load_key, provider};
use crate::ClientTlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The client side of TLS. Clones share the trusted authorities and the resumable sessions.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    verifies: bool,
}

impl ClientTls {
    /// Trusts the authorities of `ca_file`, which are loaded; without one the system's, which are read once they are needed.
    pub fn new(config: &ClientTlsConfig) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Config(error.to_string()))?;
        let builder = match &config.ca_file {
            Some(path) if config.verify => builder.with_root_certificates(roots(path)?),
            None if config.verify => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(SystemRoots::new())),
            _ => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider()))),
        };
        let client = match (&config.client_cert, &config.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(load_certificates(cert)?, load_key(key)?)
                .map_err(|error| TlsError::File {
                    path: key.clone(),
                    message: error.to_string(),
                })?,
            _ => {
                let message = "client_cert and client_key are needed together";
                return Err(TlsError::Config(message.to_owned()));
            }
        };
        Ok(Self {
            config: Arc::new(client),
            verifies: config.verify,
        })
    }

    pub(crate) fn connector(&self) -> tokio_rustls::TlsConnector {
        self.config.clone().into()
    }

    /// Whether the other side's certificate is verified.
    #[must_use]
    pub const fn verifies(&self) -> bool {
        self.verifies
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in load_certificates(path)? {
        store.add(certificate).map_err(|error| TlsError::File {
            path: path.to_owned(),
            message: format!("a certificate in this file cannot be an authority: {error}"),
        })?;
    }
    Ok(store)
}

/// `verify = false`: any certificate will do, but the other side must hold its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
