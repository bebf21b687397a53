//! Several sources in order.

use super::ScramSalts;
use model::{
    AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, MechanismSet, Recheck, RejectReason,
    ScramOutcome, ScramRequest, Unavailable,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// "No such account" never waits longer than this.
const LONGEST: Duration = Duration::from_secs(1);

/// Asks each source until one knows the account. Only `NoEntry` goes on to the next: a rejection or an outage
/// ends the chain, or a user disabled in the directory would pass by an old local password.
///
/// An account that no source knows is answered about as late as a wrong password, so that the time does not
/// tell which names exist.
#[derive(Clone)]
pub struct ChainAuthenticator {
    sources: Vec<Arc<dyn Authenticator>>,
    /// How long a wrong password takes here.
    usual: Arc<Mutex<Option<Duration>>>,
    /// For accounts that have no keys; without it nobody gets any.
    salts: Option<ScramSalts>,
}

impl ChainAuthenticator {
    /// The sources, in order.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn Authenticator>>) -> Self {
        Self {
            sources,
            usual: Arc::default(),
            salts: None,
        }
    }

    /// Offers SCRAM, where every source has keys.
    #[must_use]
    pub fn with_salts(mut self, salts: ScramSalts) -> Self {
        self.salts = Some(salts);
        self
    }

    async fn keys(&self, request: &ScramRequest) -> ScramOutcome {
        let Some(salts) = &self.salts else {
            return ScramOutcome::NotOffered;
        };
        let salt = salts.salt(request);
        let request = ScramRequest {
            salt: Some(salt.clone()),
            ..request.clone()
        };
        for source in &self.sources {
            match source.scram_keys(&request).await {
                ScramOutcome::NoEntry => {}
                ScramOutcome::Keys(keys) => {
                    salts.learn(&keys, &salt);
                    return ScramOutcome::Keys(keys);
                }
                // RFC 5802 section 9: as if there were keys, and then the proof is wrong.
                ScramOutcome::NotOffered => break,
                away @ ScramOutcome::Unavailable(_) => return away,
            }
        }
        match salts.false_keys(&request).await {
            Some(keys) => ScramOutcome::Keys(keys),
            None => ScramOutcome::Unavailable(Unavailable("too many password checks are waiting".to_owned())),
        }
    }

    fn learn(&self, took: Duration) {
        let mut usual = self.usual.lock();
        *usual = Some(usual.map_or(took, |usual| usual_after(usual, took)).min(LONGEST));
    }
}

/// The running average. A repeated wrong password is answered at once from a cache, and must not teach that
/// wrong passwords are quick.
fn usual_after(usual: Duration, took: Duration) -> Duration {
    let weight = if took.saturating_mul(4) < usual { 256 } else { 8 };
    (usual.saturating_mul(weight - 1).saturating_add(took)) / weight
}

impl Authenticator for ChainAuthenticator {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            let start = Instant::now();
            for source in &self.sources {
                match source.check(request).await {
                    AuthOutcome::NoEntry => {}
                    outcome => {
                        if outcome == AuthOutcome::Rejected(RejectReason::WrongCredential) {
                            self.learn(start.elapsed());
                        }
                        return outcome;
                    }
                }
            }
            let usual = self.usual.lock().unwrap_or_default();
            sleep_until(start + usual).await;
            AuthOutcome::NoEntry
        })
    }

    fn recheck<'a>(&'a self, who: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
        Box::pin(async move {
            for source in &self.sources {
                match source.recheck(who, since).await {
                    Recheck::NotMine => {}
                    answer => return answer,
                }
            }
            Recheck::NotMine
        })
    }

    fn scram_keys<'a>(&'a self, request: &'a ScramRequest) -> BoxFuture<'a, ScramOutcome> {
        Box::pin(self.keys(request))
    }

    /// What each source can: a client picks a mechanism before it says who it is.
    fn mechanisms(&self) -> MechanismSet {
        let common = self
            .sources
            .iter()
            .map(|source| source.mechanisms())
            .reduce(MechanismSet::intersection)
            .unwrap_or(MechanismSet::PASSWORD);
        let scram = MechanismSet::SCRAM_SHA_1.union(MechanismSet::SCRAM_SHA_256);
        match self.salts {
            Some(_) => common,
            None => common.without(scram),
        }
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
    use model::{Credential, Peer, Protocol, Secret, TlsState, TraceId, Unavailable};

    struct Fixed(AuthOutcome);

    impl Authenticator for Fixed {
        fn check<'a>(&'a self, _: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
            Box::pin(async { self.0.clone() })
        }
    }

    const SLOW: Duration = Duration::from_millis(30);

    /// Knows `a@b.test`, with another password, and takes its time to say so.
    struct Slow;

    impl Authenticator for Slow {
        fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
            Box::pin(async {
                if request.login != "a@b.test" {
                    return AuthOutcome::NoEntry;
                }
                tokio::time::sleep(SLOW).await;
                AuthOutcome::Rejected(RejectReason::WrongCredential)
            })
        }
    }

    fn request(login: &str) -> AuthRequest {
        let client = "127.0.0.1:1".parse().expect("an address");
        AuthRequest {
            login: login.to_owned(),
            authzid: None,
            credential: Credential::Password(Secret::from("x")),
            protocol: Protocol::Imap,
            peer: Peer {
                client,
                local: client,
                tls: TlsState::Plain,
                trace: TraceId::new(1),
            },
        }
    }

    #[tokio::test]
    async fn the_time_does_not_tell_which_names_exist() {
        let chain = ChainAuthenticator::new(vec![Arc::new(Slow), Arc::new(Fixed(AuthOutcome::NoEntry))]);
        for login in ["a@b.test", "nobody@b.test", "nobody@elsewhere.test"] {
            let start = Instant::now();
            chain.check(&request(login)).await;
            assert!(start.elapsed() >= SLOW, "{login}");
        }
    }

    #[test]
    fn an_answer_from_a_cache_teaches_little() {
        let slow = Duration::from_millis(80);
        let mut usual = slow;
        for _ in 0..20 {
            usual = usual_after(usual, Duration::from_micros(10));
        }
        assert!(usual > slow / 2, "{usual:?}");
        for _ in 0..50 {
            usual = usual_after(usual, Duration::from_millis(30));
        }
        assert!(usual < Duration::from_millis(31), "{usual:?}");
    }

    #[tokio::test]
    async fn only_no_entry_goes_on() {
        let request = request("a@b.test");
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
