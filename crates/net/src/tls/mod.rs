//! TLS on both sides (RFC 8446, RFC 8314), with aws-lc-rs and nothing else.
//!
//! A certificate is loaded, checked against its key and replaced without a restart by [`ServerTls`], which shows each client the one for the name it asks for;
//! [`ClientTls`] verifies by default; clients are asked for a certificate when there is an authority for them. Errors say which file, or what about the certificate, is wrong.

mod by_name;
mod client;
mod clients;
mod error;
mod identity;
mod server;
mod system;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use by_name::dns_names;
pub use client::ClientTls;
pub use error::TlsError;
pub use identity::TlsBindings;
pub(crate) use identity::{client_certificate, server_end_point};
pub use server::{Alpn, ServerTls};

use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// The one provider. It is named at every use, because the process default is a global.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::File {
        path: path.to_owned(),
        message: cause.to_string(),
    })
}

fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |message: String| TlsError::File {
        path: path.to_owned(),
        message,
    };
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| error(format!("not a PEM file: {cause}")))?;
    if chain.is_empty() {
        return Err(error("there is no \"BEGIN CERTIFICATE\" in this file".to_owned()));
    }
    Ok(chain)
}

fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|cause| TlsError::File {
        path: path.to_owned(),
        message: match cause {
            rustls_pki_types::pem::Error::NoItemsFound => {
                "there is no private key without a passphrase (\"BEGIN PRIVATE KEY\") in this file".to_owned()
            }
            other => format!("not a PEM file: {other}"),
        },
    })
}
