//! EXTERNAL (RFC 4422 appendix A): the name in a client certificate that TLS has verified is the login.

use model::{
    AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, ClientCertificate, Credential,
    MechanismSet, Recheck, RejectReason, ScramOutcome, ScramRequest,
};
use net::ClientName;
use std::sync::Arc;
use std::time::Duration;

/// Logs in by certificate where there is one, and asks the sources behind it for everything else.
pub struct CertificateAuthenticator {
    inner: Arc<dyn Authenticator>,
    name: ClientName,
}

impl CertificateAuthenticator {
    /// In front of the sources that know the accounts; `name` says which name of the certificate counts.
    #[must_use]
    pub const fn new(inner: Arc<dyn Authenticator>, name: ClientName) -> Self {
        Self { inner, name }
    }

    async fn decide(&self, request: &AuthRequest, certificate: &ClientCertificate) -> AuthOutcome {
        match named(certificate, self.name, &request.login) {
            Ok(login) => vouch(self.inner.as_ref(), request, login).await,
            Err(why) => {
                tracing::info!(trace = %request.peer.trace, client = %request.peer.client, subject = certificate.subject, login = request.login, why, "a certificate logs nobody in");
                AuthOutcome::Rejected(RejectReason::NotAllowed)
            }
        }
    }
}

/// The login that a certificate stands for. Among several names the client has to choose: none is guessed.
fn named<'a>(
    certificate: &'a ClientCertificate,
    name: ClientName,
    typed: &str,
) -> Result<&'a str, &'static str> {
    match name {
        ClientName::CommonName => certificate
            .common_name
            .as_deref()
            .ok_or("the certificate has no common name, or several"),
        ClientName::Email => match certificate.emails.as_slice() {
            [] => Err("the certificate names no mail address"),
            [only] => Ok(only),
            several => several
                .iter()
                .find(|email| email.eq_ignore_ascii_case(typed))
                .map(String::as_str)
                .ok_or("the certificate names several mail addresses, and the client none of them"),
        },
    }
}

/// Lets in the account that `proven` names, if it exists and may log in. What the client typed has to mean the
/// same account.
pub(super) async fn vouch(inner: &dyn Authenticator, request: &AuthRequest, proven: &str) -> AuthOutcome {
    let ask = |login: &str| AuthRequest {
        login: login.to_owned(),
        authzid: None,
        credential: Credential::Vouched,
        ..request.clone()
    };
    let outcome = inner.check(&ask(proven)).await;
    let AuthOutcome::Accepted(who) = &outcome else {
        return outcome;
    };
    for typed in [Some(request.login.as_str()), request.authzid.as_deref()]
        .into_iter()
        .flatten()
        .filter(|typed| !typed.is_empty() && !typed.eq_ignore_ascii_case(proven))
    {
        match inner.check(&ask(typed)).await {
            AuthOutcome::Accepted(other) if other.address == who.address => {}
            away @ (AuthOutcome::Unavailable(_) | AuthOutcome::Throttled(_)) => return away,
            _ => return AuthOutcome::Rejected(RejectReason::NotAllowed),
        }
    }
    outcome
}

impl Authenticator for CertificateAuthenticator {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        match &request.credential {
            Credential::Certificate(certificate) => Box::pin(self.decide(request, certificate)),
            _ => self.inner.check(request),
        }
    }

    fn recheck<'a>(&'a self, who: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
        self.inner.recheck(who, since)
    }

    fn scram_keys<'a>(&'a self, request: &'a ScramRequest) -> BoxFuture<'a, ScramOutcome> {
        self.inner.scram_keys(request)
    }

    fn openid_configuration(&self) -> Option<String> {
        self.inner.openid_configuration()
    }

    fn mechanisms(&self) -> MechanismSet {
        let inner = self.inner.mechanisms();
        match inner.contains(MechanismSet::VOUCHED) {
            true => inner.union(MechanismSet::CERTIFICATE),
            false => inner,
        }
    }
}

impl std::fmt::Debug for CertificateAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateAuthenticator({:?})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_guessed() {
        let certificate = |emails: &[&str], name: Option<&str>| ClientCertificate {
            emails: emails.iter().map(|email| (*email).to_owned()).collect(),
            common_name: name.map(str::to_owned),
            subject: String::new(),
        };
        let two = certificate(&["a@x.test", "b@x.test"], Some("alice"));
        assert!(named(&two, ClientName::Email, "").is_err());
        assert_eq!(named(&two, ClientName::Email, "B@x.test"), Ok("b@x.test"));
        assert!(named(&two, ClientName::Email, "c@x.test").is_err());
        assert_eq!(named(&two, ClientName::CommonName, "whoever"), Ok("alice"));
        assert!(named(&certificate(&[], None), ClientName::Email, "a@x.test").is_err());
        assert!(named(&certificate(&[], None), ClientName::CommonName, "").is_err());
        assert_eq!(
            named(&certificate(&["a@x.test"], None), ClientName::Email, ""),
            Ok("a@x.test")
        );
    }
}
