//! The authorities that the system trusts, read when a certificate is to be judged by them, and not before.
//!
//! They are some hundred files. A configuration names many servers without an authority of their own, most of which are spoken to
//! without TLS or not at all; all of them share what was read, and a reload of the configuration reads anew.

use super::provider;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_native_certs::CertificateResult;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// None where the system trusts nobody.
type Verifier = Option<Arc<WebPkiServerVerifier>>;
type Load = fn() -> CertificateResult;

/// What was read last.
#[derive(Debug)]
pub(super) struct Shared {
    /// Counts configurations and readings: which of two came first.
    turn: AtomicU64,
    last: Mutex<Option<Read>>,
}

#[derive(Debug)]
struct Read {
    turn: u64,
    verifier: Verifier,
    /// Authorities.
    count: usize,
    /// Whether all of them could be read, or a second reading came to the same.
    is_whole: bool,
}

impl Shared {
    const fn new() -> Self {
        Self {
            turn: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }

    fn turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::SeqCst)
    }
}

static OF_THE_SYSTEM: Shared = Shared::new();

/// Judges by the system's authorities.
#[derive(Debug)]
pub(super) struct SystemRoots {
    /// What was read earlier may be out of date.
    since: u64,
    verifier: OnceLock<Verifier>,
    shared: &'static Shared,
    load: Load,
}

impl SystemRoots {
    pub(super) fn new() -> Self {
        Self::with(&OF_THE_SYSTEM, rustls_native_certs::load_native_certs)
    }

    fn with(shared: &'static Shared, load: Load) -> Self {
        Self {
            since: shared.turn(),
            verifier: OnceLock::new(),
            shared,
            load,
        }
    }

    /// What cannot be read now, for want of file descriptors perhaps, may be read with the next certificate.
    fn verifier(&self) -> Verifier {
        if let Some(verifier) = self.verifier.get() {
            return verifier.clone();
        }
        let mut last = self.shared.last.lock();
        if let Some(read) = last
            .as_ref()
            .filter(|read| read.turn > self.since && read.is_whole)
        {
            return self.verifier.get_or_init(|| read.verifier.clone()).clone();
        }
        let turn = self.shared.turn();
        let CertificateResult { certs, errors, .. } = (self.load)();
        if let Some(error) = errors.first() {
            tracing::warn!(%error, errors = errors.len(), found = certs.len(), "the system's authorities cannot all be read");
        }
        let count = certs.len();
        let again = last.as_ref().is_some_and(|read| read.count == count && count > 0);
        let verifier = verifier_of(certs);
        let is_whole = errors.is_empty() || again;
        *last = Some(Read {
            turn,
            verifier: verifier.clone(),
            count,
            is_whole,
        });
        if is_whole {
            return self.verifier.get_or_init(|| verifier).clone();
        }
        verifier
    }
}

fn verifier_of(authorities: Vec<CertificateDer<'static>>) -> Verifier {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    // The one possible error: there are no authorities. A handshake says so.
    verifier.ok()
}

impl ServerCertVerifier for SystemRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(verifier) = self.verifier() else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let Some(verifier) = self.verifier() else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let Some(verifier) = self.verifier() else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // The same that the verifier says, without the authorities: a hello needs them.
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn authority() -> CertificateDer<'static> {
        static MADE: OnceLock<CertificateDer<'static>> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let params = rcgen::CertificateParams::new(["mail.test".to_owned()]).expect("a name");
            let key = rcgen::KeyPair::generate().expect("a key");
            params.self_signed(&key).expect("a certificate").der().clone()
        });
        made.clone()
    }

    fn found(certs: Vec<CertificateDer<'static>>) -> CertificateResult {
        let mut found = CertificateResult::default();
        found.certs = certs;
        found
    }

    /// A reading in which some file could not be read.
    fn torn(certs: Vec<CertificateDer<'static>>) -> CertificateResult {
        let mut torn = found(certs);
        torn.errors.push(rustls_native_certs::Error {
            context: "failed to open file",
            kind: rustls_native_certs::ErrorKind::Io {
                inner: std::io::Error::other("too many open files"),
                path: "/etc/ssl/certs".into(),
            },
        });
        torn
    }

    #[test]
    fn what_could_not_be_read_is_read_again() {
        static SHARED: Shared = Shared::new();
        static READ: AtomicUsize = AtomicUsize::new(0);
        let load: Load = || match READ.fetch_add(1, Ordering::Relaxed) {
            0 => torn(Vec::new()),
            _ => torn(vec![authority()]),
        };
        let (one, other) = (SystemRoots::with(&SHARED, load), SystemRoots::with(&SHARED, load));
        assert!(judge(&one, "mail.test").is_err());
        assert_eq!(judge(&one, "mail.test"), Ok(()));
        // A file that never can be read costs one more reading, and no more.
        for _ in 0..3 {
            assert_eq!(judge(&one, "mail.test"), Ok(()));
            assert_eq!(judge(&other, "mail.test"), Ok(()));
        }
        assert_eq!(READ.load(Ordering::Relaxed), 3);
    }

    fn judge(roots: &SystemRoots, name: &str) -> Result<(), rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let judged = roots.verify_server_cert(&authority(), &[], &name, &[], UnixTime::now());
        judged.map(drop)
    }

    #[test]
    fn authorities_are_read_once_for_all_and_again_for_who_comes_later() {
        static SHARED: Shared = Shared::new();
        static READ: AtomicUsize = AtomicUsize::new(0);
        let load: Load = || {
            READ.fetch_add(1, Ordering::Relaxed);
            found(vec![authority()])
        };
        let made = || SystemRoots::with(&SHARED, load);
        let (one, other, idle) = (made(), made(), made());
        assert!(!idle.supported_verify_schemes().is_empty());
        assert_eq!(READ.load(Ordering::Relaxed), 0);
        assert_eq!(judge(&one, "mail.test"), Ok(()));
        assert_eq!(judge(&one, "mail.test"), Ok(()));
        assert!(judge(&other, "another.test").is_err());
        assert_eq!(READ.load(Ordering::Relaxed), 1);
        let later = made();
        assert_eq!(judge(&later, "mail.test"), Ok(()));
        assert_eq!(judge(&other, "mail.test"), Ok(()));
        assert_eq!(READ.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_system_that_trusts_nobody_knows_no_issuer() {
        static SHARED: Shared = Shared::new();
        let roots = SystemRoots::with(&SHARED, CertificateResult::default);
        let unknown = rustls::Error::from(CertificateError::UnknownIssuer);
        assert_eq!(judge(&roots, "mail.test"), Err(unknown));
    }
}
