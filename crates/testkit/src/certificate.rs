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
    self_signed_for(folder, &["localhost", "127.0.0.1"])
}

/// Makes one for these names and IP addresses in `folder`.
pub fn self_signed_for(folder: &Path, names: &[&str]) -> Result<Certificate> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names)?;
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok(Certificate { certificate, key })
}
