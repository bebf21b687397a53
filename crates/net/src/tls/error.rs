//! What can go wrong with TLS, in words that name the cause.

use rustls::CertificateError;
use std::path::PathBuf;

/// A TLS failure, by who is to blame.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of ours cannot be used.
    #[error("{path}: {message}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Our own settings do not fit together.
    #[error("{0}")]
    Config(String),
    /// The other side's certificate is not good.
    #[error("the certificate of {name} {problem}")]
    Certificate {
        /// The name we asked for.
        name: String,
        /// What is wrong with it: a predicate, such as "has expired".
        problem: String,
    },
    /// The handshake failed.
    #[error("TLS handshake failed: {0}")]
    Handshake(String),
    /// The handshake took too long.
    #[error("TLS handshake timed out")]
    TimedOut,
    /// The connection broke.
    #[error("connection lost in the TLS handshake: {0}")]
    Io(#[source] std::io::Error),
}

impl TlsError {
    /// From what tokio-rustls reports; `name` is the server's name on the client side.
    pub(crate) fn from_handshake(error: std::io::Error, name: Option<&str>) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(problem)) => Self::Certificate {
                name: name.unwrap_or("the client").to_owned(),
                problem: certificate_problem(problem),
            },
            Some(other) => Self::Handshake(other.to_string()),
            None => Self::Io(error),
        }
    }
}

/// rustls shows `DnsName("mail.example.test")`; people want what is inside.
fn plain_name(shown: &str) -> &str {
    let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(shown).trim_matches('"')
}

/// The predicate of "the certificate of NAME ...".
fn certificate_problem(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet (is one of the clocks wrong?)".to_owned()
        }
        CertificateError::Revoked => "has been revoked".to_owned(),
        CertificateError::UnknownIssuer => {
            "is not issued by an authority this server trusts (set ca_file to the issuer's certificate)"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "bears a signature that the trusted authority of that name did not make (is ca_file out of date?)"
                .to_owned()
        }
        CertificateError::NotValidForName => "is not valid for that name".to_owned(),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "names no server at all".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().take(8).map(|name| plain_name(name)).collect();
            format!("is not valid for that name, only for {}", names.join(", "))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not meant for this use".to_owned()
        }
        // webpki refuses a server certificate that says CA:TRUE; rustls has no variant of its own for that.
        CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity" => {
            "is that of an authority and not of a server (openssl req -x509 makes such ones; \
             add -addext basicConstraints=critical,CA:FALSE)"
                .to_owned()
        }
        other => format!("is not good: {other}"),
    }
}
