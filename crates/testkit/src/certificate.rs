//! Certificates for tests.

use anyhow::Result;
use std::path::{Path, PathBuf};

/// The files of a certificate that signs itself; `certificate` is also the CA file that trusts it.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM certificate.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// Makes one for `localhost` and 127.0.0.1 in `folder`.
pub fn self_signed(folder: &Path) -> Result<Certificate> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok(Certificate { certificate, key })
}
