//! Connecting to a home: its health, its address, its TLS.

use crate::failure::Failure;
use crate::health::{Health, HomeStatus};
use directory::{HomeRef, HomeTarget, Homes};
use model::{Clock, Protocol};
use net::{Connection, Resolver, TlsMode};
use std::io;
use std::sync::Arc;

/// Connects to homes and remembers how they are doing. The proxies share one.
pub struct Dialer {
    homes: Arc<Homes>,
    resolver: Resolver,
    health: Health,
}

/// A connection to a home that has not said anything yet. Implicit TLS is established.
pub(crate) struct Dialled {
    pub(crate) connection: Connection,
    pub(crate) target: HomeTarget,
    /// `host:port`, for logs and health.
    pub(crate) name: String,
}

impl Dialer {
    /// A dialer for these homes.
    #[must_use]
    pub fn new(homes: Arc<Homes>, resolver: Resolver, clock: Arc<dyn Clock>) -> Self {
        Self {
            homes,
            resolver,
            health: Health::new(clock),
        }
    }

    /// The homes that have failed lately, and why. A home that is not listed is up.
    #[must_use]
    pub fn failing_homes(&self) -> Vec<HomeStatus> {
        self.health.list()
    }

    pub(crate) async fn dial(&self, home: &HomeRef, protocol: Protocol) -> Result<Dialled, Failure> {
        let target = self.homes.target(home, protocol);
        let name = format!("{}:{}", target.host, target.port);
        if !self.health.may_try(&name) {
            return Err(Failure::HomeDown(name));
        }
        let result = self.connect(&target, &name).await;
        if let Err(failure) = &result {
            self.report(&name, failure);
        }
        result.map(|connection| Dialled {
            connection,
            target,
            name,
        })
    }

    /// Tells the outcome of the talk that follows: a home that hangs or babbles is as down as one that refuses.
    pub(crate) fn report(&self, name: &str, failure: &Failure) {
        if failure.blames_home() {
            self.health.failed(name, &failure.to_string());
        } else if failure.clears_home() {
            // Or a wrong password could use up the one trial of a home that is back.
            self.health.succeeded(name);
        }
    }

    /// Takes the outcome of a whole talk: a home that answered as it should is well.
    pub(crate) fn learn<T>(&self, name: &str, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match &outcome {
            Ok(_) => self.health.succeeded(name),
            Err(failure) => self.report(name, failure),
        }
        outcome
    }

    async fn connect(&self, target: &HomeTarget, name: &str) -> Result<Connection, Failure> {
        let limit = target.connect_timeout;
        let connection = Connection::connect_host(&self.resolver, &target.host, target.port, limit)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Failure::Timeout(name.to_owned()),
                _ => Failure::Connect {
                    home: name.to_owned(),
                    cause: error.to_string(),
                },
            })?;
        if target.tls != TlsMode::Implicit {
            return Ok(connection);
        }
        let encrypted = connection.connect_tls(&target.trust, &target.host, limit).await;
        encrypted.map_err(|error| Failure::Tls {
            home: name.to_owned(),
            cause: error.to_string(),
        })
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("homes", &self.homes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};
    use net::ClientTlsConfig;

    #[test]
    fn a_refused_login_shows_that_the_home_is_up() {
        let homes = Homes::new(Vec::new(), &ClientTlsConfig::default()).expect("no homes are good homes");
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let dialer = Dialer::new(Arc::new(homes), Resolver::system(), clock);
        for failure in crate::failure::tests::all() {
            for _ in 0..3 {
                dialer.report("a:143", &Failure::Timeout("a:143".to_owned()));
            }
            dialer.report("a:143", &failure);
            assert_eq!(
                dialer.failing_homes().is_empty(),
                failure.clears_home(),
                "{failure}"
            );
            assert!(!(failure.clears_home() && failure.blames_home()), "{failure}");
            dialer.learn("a:143", Ok(())).expect("as it was");
            assert!(dialer.failing_homes().is_empty());
        }
    }
}
