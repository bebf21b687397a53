//! Certificates for tests.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
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

/// An authority that gives people certificates to log in with.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// PEM certificate of the authority, for `tls.client_ca`.
    pub certificate: PathBuf,
    folder: PathBuf,
}

impl Authority {
    /// Makes one in `folder`, which must be empty.
    pub fn new(folder: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "People of the test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = folder.join("authority.crt");
        std::fs::write(&certificate, params.self_signed(&key)?.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            folder: folder.to_owned(),
        })
    }

    /// A client certificate; each address stands in the subject alternative name (RFC 5280 section 4.2.1.6).
    pub fn person(&self, name: &str, addresses: &[&str]) -> Result<Certificate> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        for address in addresses {
            params
                .subject_alt_names
                .push(SanType::Rfc822Name((*address).try_into()?));
        }
        self.sign(name, &params)
    }

    /// The certificate of a server with this DNS name, which shows it to other servers too.
    pub fn server(&self, name: &str) -> Result<Certificate> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        self.sign(name, &params)
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Result<Certificate> {
        let key = KeyPair::generate()?;
        let made = params.signed_by(&key, &self.issuer)?;
        let file = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        let (certificate, key_file) = (file("crt"), file("key"));
        std::fs::write(&certificate, made.pem())?;
        std::fs::write(&key_file, key.serialize_pem())?;
        Ok(Certificate {
            certificate,
            key: key_file,
        })
    }
}
