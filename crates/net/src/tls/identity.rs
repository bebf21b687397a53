//! What a TLS connection says about its two ends: channel bindings, and whom a client certificate names.

use model::ClientCertificate;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Names that are looked at in one certificate.
const MAX_EMAILS: usize = 64;
/// Longer names are nobody's.
const MAX_NAME: usize = 1024;

/// What both ends of one TLS connection know, and nobody between them can make them agree on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsBindings {
    /// `tls-exporter` (RFC 9266), in TLS 1.3 only: earlier versions need a promise that cannot be seen here.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 section 4): the hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
}

/// The hash of a certificate by the hash function of its signature; MD5 and SHA-1 count as SHA-256 (RFC 5929
/// section 4.1). None when the signature has no single hash function.
pub(crate) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(
        match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
            // md5WithRSA, sha1WithRSA, sha256WithRSA, ecdsa-with-SHA1, ecdsa-with-SHA256.
            "1.2.840.113549.1.1.4"
            | "1.2.840.113549.1.1.5"
            | "1.2.840.113549.1.1.11"
            | "1.2.840.10045.4.1"
            | "1.2.840.10045.4.3.2" => Sha256::digest(certificate).to_vec(),
            // sha384WithRSA, ecdsa-with-SHA384.
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(certificate).to_vec(),
            // sha512WithRSA, ecdsa-with-SHA512.
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(certificate).to_vec(),
            _ => return None,
        },
    )
}

/// Whom a certificate names. It has been judged before; None when it cannot be read all the same.
pub(crate) fn client_certificate(certificate: &[u8]) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let plain = |name: &str| {
        let good = !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
        good.then(|| name.to_owned())
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let emails = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            // RFC 5280 section 4.2.1.6: rfc822Name is a mailbox.
            GeneralName::RFC822Name(email) => plain(email),
            _ => None,
        })
        .take(MAX_EMAILS)
        .collect();
    let mut common = parsed.subject().iter_common_name();
    let common_name = match (common.next(), common.next()) {
        (Some(name), None) => name.as_str().ok().and_then(plain),
        _ => None,
    };
    Some(ClientCertificate {
        emails,
        common_name,
        subject: plain(&parsed.subject().to_string()).unwrap_or_default(),
    })
}
