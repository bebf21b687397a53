//! What every front end service and every server with sessions shares, and what ends sessions.

use super::parts::Parts;
use crate::cli::Failure;
use crate::config::Config;
use admin::Current;
use arc_swap::ArcSwap;
use directory::{AccountEvent, AccountEventStream, Heard, Route, UserMaps};
use frontend::LocalHome;
use frontend::assertion::{Minter, TrustedFrontEndConfig, Verifier};
use model::{Authenticated, Authenticator, Clock, Recheck};
use net::{Metrics, SessionEnd, SessionFilter, SessionRow, Sessions, Shutdown};
use std::sync::Arc;
use std::time::Duration;

/// Kept over a reload.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) sessions: Sessions,
    pub(super) metrics: Metrics,
    pub(super) minter: Arc<Minter>,
    pub(super) local: LocalHome,
    /// None on a front end that holds no accounts.
    pub(super) verifier: Option<Arc<Verifier>>,
}

impl Front {
    pub(super) fn build(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, Failure> {
        let ring = config.cluster_keys();
        let mut trusted = config.trusted_front_end.clone();
        if config.holds_accounts() && config.has_proxies() {
            ring.ensure(clock.now())
                .map_err(|error| Failure::Refused(format!("the keys of this front end: {error}")))?;
            trusted.push(TrustedFrontEndConfig {
                name: config.server_name.clone(),
                keys: ring.public_file(),
            });
        }
        let verifier = config
            .holds_accounts()
            .then(|| Verifier::new(&config.server_name, &trusted, Arc::clone(clock)));
        Ok(Self {
            sessions: Sessions::new(Arc::clone(clock), config.sessions),
            metrics: Metrics::default(),
            minter: Arc::new(Minter::new(ring, &config.server_name, Arc::clone(clock))),
            local: LocalHome::new(&config.server_name),
            verifier: verifier.filter(|_| !trusted.is_empty()).map(Arc::new),
        })
    }
}

/// Between two looks for homes that are down and may be tried again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Tries homes that are down again, so that no session has to.
pub(super) async fn probe(current: Arc<ArcSwap<Current>>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(PROBE_EVERY) => {}
        }
        let homes = Arc::clone(&current.load().homes);
        homes.probe().await;
    }
}

/// Looks again and again whether the sessions may go on; what a reload changes is put into `judges`.
pub(super) async fn look_again(judges: Arc<ArcSwap<Judges>>, shutdown: Shutdown) {
    loop {
        let now = judges.load_full();
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(now.every) => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = now.round() => {}
        }
    }
}

/// Ends the sessions of accounts that a directory has news of; until its connector is gone.
pub(super) async fn follow(mut events: AccountEventStream, sessions: Sessions, shutdown: Shutdown) {
    loop {
        let heard = tokio::select! {
            () = shutdown.requested() => return,
            heard = events.next() => heard,
        };
        match heard {
            Some(Heard::Event(event)) => end(&sessions, &event),
            // The next look at every account finds what was missed.
            Some(Heard::Missed(missed)) => {
                tracing::warn!(missed, "events of accounts were missed");
            }
            None => return,
        }
    }
}

fn end(sessions: &Sessions, event: &AccountEvent) {
    let of_entry = SessionFilter {
        entry: Some(event.entry),
        begun_by: Some(event.at),
        ..SessionFilter::default()
    };
    let mut ended = sessions.end(&of_entry, SessionEnd::Revoked);
    // A session that was authenticated at its home is known by its address only.
    if event.address.is_some() {
        let of_account = SessionFilter {
            account: event.address.clone(),
            begun_by: Some(event.at),
            ..SessionFilter::default()
        };
        ended += sessions.end(&of_account, SessionEnd::Revoked);
    }
    if ended > 0 {
        tracing::info!(entry = %event.entry, kind = ?event.kind, sessions = ended, "sessions are ended");
    }
}

/// Who can say whether a session may go on.
pub(super) struct Judges {
    pub(super) maps: Vec<(&'static str, Arc<UserMaps>)>,
    pub(super) authenticators: Vec<Arc<dyn Authenticator>>,
    pub(super) sessions: Sessions,
    pub(super) every: Duration,
}

impl Judges {
    pub(super) fn of(config: &Config, parts: &Parts) -> Self {
        Self {
            maps: parts.maps.clone(),
            authenticators: parts.proxy_authenticators(config),
            sessions: parts.front.sessions.clone(),
            every: Duration::from_secs(config.sessions.recheck),
        }
    }

    /// Looks at every account that is logged in, spread over the time between two rounds.
    pub(super) async fn round(&self) {
        let accounts = self.sessions.accounts();
        let Ok(count) = u32::try_from(accounts.len().max(1)) else {
            return;
        };
        let pause = self.every / count;
        for row in accounts {
            if !self.may_go_on(&row).await {
                let filter = SessionFilter {
                    account: Some(row.about.account.clone()),
                    ..SessionFilter::default()
                };
                let ended = self.sessions.end(&filter, SessionEnd::Revoked);
                tracing::info!(account = %row.about.account, sessions = ended, "sessions are ended");
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Only a definite no ends a session.
    async fn may_go_on(&self, row: &SessionRow) -> bool {
        let who = Authenticated {
            address: row.about.account.clone(),
            entry: row.about.entry,
        };
        for authenticator in &self.authenticators {
            match authenticator.recheck(&who, row.began).await {
                Recheck::Ended(why) => {
                    tracing::info!(account = %who.address, %why, "the account may not go on");
                    return false;
                }
                Recheck::NotMine => {}
                Recheck::Fine | Recheck::Unavailable(_) => break,
            }
        }
        let Some(home) = row.about.home.as_deref() else {
            // Its server looks itself whether the account is still in order.
            return true;
        };
        let service = format!("{}_proxy", row.about.protocol);
        let Some((_, maps)) = self.maps.iter().find(|(name, _)| **name == *service) else {
            return true;
        };
        match maps.resolve(&who.address).await {
            Route::Home(routed) => routed.home.to_string() == home,
            Route::NoSuchAccount | Route::Rejected => false,
            Route::NoHome { .. } | Route::Ambiguous(_) | Route::Unavailable(_) => true,
        }
    }
}
