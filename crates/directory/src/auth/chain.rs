//! Several sources in order.

use model::{AuthOutcome, AuthRequest, Authenticator, BoxFuture};
use std::sync::Arc;

/// Asks each source until one knows the account. Only `NoEntry` goes on to the next: a rejection or an outage
/// ends the chain, or a user disabled in the directory would pass by an old local password.
#[derive(Clone)]
pub struct ChainAuthenticator {
    sources: Vec<Arc<dyn Authenticator>>,
}

impl ChainAuthenticator {
    /// The sources, in order.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn Authenticator>>) -> Self {
        Self { sources }
    }
}

impl Authenticator for ChainAuthenticator {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            for source in &self.sources {
                match source.check(request).await {
                    AuthOutcome::NoEntry => {}
                    outcome => return outcome,
                }
            }
            AuthOutcome::NoEntry
        })
    }
}

impl std::fmt::Debug for ChainAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChainAuthenticator({} sources)", self.sources.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Credential, Peer, Protocol, RejectReason, Secret, TlsState, TraceId, Unavailable};

    struct Fixed(AuthOutcome);

    impl Authenticator for Fixed {
        fn check<'a>(&'a self, _: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
            Box::pin(async { self.0.clone() })
        }
    }

    #[tokio::test]
    async fn only_no_entry_goes_on() {
        let client = "127.0.0.1:1".parse().expect("an address");
        let request = AuthRequest {
            login: "a@b.test".to_owned(),
            authzid: None,
            credential: Credential::Password(Secret::from("x")),
            protocol: Protocol::Imap,
            peer: Peer {
                client,
                local: client,
                tls: TlsState::Plain,
                trace: TraceId::new(1),
            },
        };
        let away = AuthOutcome::Unavailable(Unavailable("away".to_owned()));
        let no = AuthOutcome::Rejected(RejectReason::Disabled);
        for (first, second, expected) in [
            (AuthOutcome::NoEntry, no.clone(), no.clone()),
            (AuthOutcome::NoEntry, AuthOutcome::NoEntry, AuthOutcome::NoEntry),
            (no.clone(), away.clone(), no.clone()),
            (away.clone(), no.clone(), away.clone()),
        ] {
            let sources: Vec<Arc<dyn Authenticator>> = vec![Arc::new(Fixed(first)), Arc::new(Fixed(second))];
            assert_eq!(ChainAuthenticator::new(sources).check(&request).await, expected);
        }
    }
}
