//! Certificates of clients: asked for, and judged after the handshake.
//!
//! Mail servers show whatever certificate they have to whoever asks. One that is of no use here must not cost them TLS,
//! so the handshake only checks that the client has its key.

use super::{TlsError, load_certificates, provider};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Who vouches for clients.
#[derive(Debug, Clone)]
pub(crate) struct Authorities(Arc<dyn ClientCertVerifier>);

impl Authorities {
    pub(super) fn load(path: &Path) -> Result<Self, TlsError> {
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
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self(verifier))
    }

    /// Asks for a certificate, and takes none and any.
    pub(super) fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Asking(Arc::clone(&self.0)))
    }

    /// Whether they vouch for what a client has shown, now.
    pub(crate) fn vouch_for(&self, shown: &[CertificateDer<'_>]) -> Result<(), Error> {
        let Some((own, chain)) = shown.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        self.0.verify_client_cert(own, chain, UnixTime::now()).map(|_| ())
    }
}

/// The same authorities in a handshake: their names are told to the client, and its certificate is judged later.
#[derive(Debug)]
struct Asking(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if is_unreadable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if is_unreadable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Such as one of version 1, which many mail servers have. Nobody ever vouches for it, because that begins with the same
/// reading: whether the client has its key is of no interest then. One that can be read is always checked, or whoever has
/// a copy of it would be its holder.
fn is_unreadable(certificate: &CertificateDer<'_>) -> bool {
    ParsedCertificate::try_from(certificate).is_err()
}
