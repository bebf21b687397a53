//! What every front end service and every server with sessions shares, and what ends sessions.

use super::parts::Parts;
use crate::cli::Failure;
use crate::config::Config;
use admin::Current;
use arc_swap::ArcSwap;
use directory::{AccountEvent, AccountEventKind, AccountEventStream, Heard, HomeRef, Route, UserMaps};
use frontend::LocalHome;
use frontend::assertion::{Minter, TrustedFrontEndConfig, Verifier};
use model::{Address, Authenticated, Authenticator, Clock, Recheck};
use net::{Inherited, Metrics, SessionEnd, SessionFilter, SessionRow, Sessions, Shutdown};
use std::sync::Arc;
use std::time::Duration;

/// Kept over a reload.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) sessions: Sessions,
    pub(super) metrics: Metrics,
    pub(super) minter: Arc<Minter>,
    pub(super) local: LocalHome,
    /// Sockets that listeners may take over.
    pub(super) inherited: Arc<Inherited>,
    /// None on a front end that holds no accounts. It may trust nobody.
    pub(super) verifier: Option<Arc<Verifier>>,
}

impl Front {
    pub(super) fn build(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, Failure> {
        let ring = config.cluster_keys();
        let verifier = || Verifier::new(&config.server_name, &config.trusted_front_end, Arc::clone(clock));
        let front = Self {
            sessions: Sessions::new(Arc::clone(clock), config.sessions),
            metrics: Metrics::default(),
            minter: Arc::new(Minter::new(ring, &config.server_name, Arc::clone(clock))),
            local: LocalHome::new(&config.server_name),
            inherited: Arc::default(),
            verifier: config.holds_accounts().then(|| Arc::new(verifier())),
        };
        front.trust_itself(config, clock)?;
        Ok(front)
    }

    /// The proxies of this process vouch for logins at its own servers: also those that a reload brings.
    pub(super) fn trust_itself(&self, config: &Config, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
        let Some(verifier) = self.verifier.as_ref().filter(|_| config.has_proxies()) else {
            return Ok(());
        };
        let ring = config.cluster_keys();
        ring.ensure(clock.now())
            .map_err(|error| Failure::Refused(format!("the keys of this front end: {error}")))?;
        verifier.trust(&TrustedFrontEndConfig {
            name: config.server_name.clone(),
            keys: ring.public_file(),
        });
        Ok(())
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
    // A session that was authenticated at its home is known by its address only. One that is known to be of another
    // entry is not meant: an address may have gone from one entry to another.
    let of_account = event.address.as_ref().map(|address| SessionFilter {
        account: Some(address.clone()),
        without_entry: true,
        begun_by: Some(event.at),
        ..SessionFilter::default()
    });
    let meant = std::iter::once(of_entry).chain(of_account);
    let ended: usize = match &event.kind {
        AccountEventKind::Moved { to } => meant
            .map(|filter| leave_home(sessions, &filter, to.as_deref(), Own::Stay))
            .sum(),
        AccountEventKind::MovedAway { to } => meant
            .map(|filter| leave_home(sessions, &filter, Some(to), Own::End))
            .sum(),
        _ => meant
            .map(|filter| sessions.end(&filter, SessionEnd::Revoked))
            .sum(),
    };
    if ended > 0 {
        tracing::info!(entry = %event.entry, kind = ?event.kind, sessions = ended, "sessions are ended");
    }
}

/// What becomes of the sessions that this server serves itself, when an entry names another home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// Whoever keeps the accounts here has not said that it is one of them.
    Stay,
    End,
}

/// Ends the sessions at other homes than the one that the entry names now. One that it only names at last, or in
/// other words, has them already; and a home that it no longer names is no reason to leave it.
fn leave_home(sessions: &Sessions, filter: &SessionFilter, to: Option<&str>, own: Own) -> usize {
    let Some(Ok(to)) = to.map(HomeRef::parse) else {
        return 0;
    };
    let to = to.to_string();
    let rows = sessions.list(filter, 0, usize::MAX);
    let elsewhere = rows.iter().filter(|row| match row.about.home.as_deref() {
        Some(home) => home != to,
        None => own == Own::End,
    });
    elsewhere
        .map(|row| {
            let this = SessionFilter {
                id: Some(row.id),
                ..SessionFilter::default()
            };
            sessions.end(&this, SessionEnd::Revoked)
        })
        .sum()
}

/// Who can say whether a session may go on.
pub(super) struct Judges {
    maps: Vec<(&'static str, Arc<UserMaps>)>,
    /// For sessions that go to a home.
    proxied: Vec<Arc<dyn Authenticator>>,
    /// For sessions that end in this process.
    accounts: Option<Arc<dyn Authenticator>>,
    sessions: Sessions,
    every: Duration,
}

impl Judges {
    pub(super) fn of(config: &Config, parts: &Parts) -> Self {
        Self {
            maps: parts.maps.clone(),
            proxied: parts.proxy_authenticators(config),
            accounts: parts.accounts.clone(),
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
            let account = &row.about.account;
            for oldest in self.kinds(account) {
                if !self.may_go_on(&oldest).await {
                    self.end_those_of(account).await;
                    break;
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The oldest of each kind of session that the account has. One that this server knows nothing of, or that is at
    /// another home, says nothing about the others.
    fn kinds(&self, account: &Address) -> Vec<SessionRow> {
        let of_account = SessionFilter {
            account: Some(account.clone()),
            ..SessionFilter::default()
        };
        let mut kinds: Vec<SessionRow> = Vec::new();
        for row in self.sessions.list(&of_account, 0, usize::MAX) {
            let is_known = kinds.iter().any(|known| {
                let (known, this) = (&known.about, &row.about);
                known.protocol == this.protocol && known.entry == this.entry && known.home == this.home
            });
            if row.ending.is_none() && !is_known {
                kinds.push(row);
            }
        }
        kinds
    }

    /// A session of the account may not go on. One that began with the new password, or with the entry
    /// that has the address now, may: each is judged by itself.
    async fn end_those_of(&self, account: &Address) {
        let of_account = SessionFilter {
            account: Some(account.clone()),
            ..SessionFilter::default()
        };
        let mut ended = 0;
        for row in self.sessions.list(&of_account, 0, usize::MAX) {
            if row.ending.is_none() && !self.may_go_on(&row).await {
                let this = SessionFilter {
                    id: Some(row.id),
                    ..SessionFilter::default()
                };
                ended += self.sessions.end(&this, SessionEnd::Revoked);
            }
        }
        if ended > 0 {
            tracing::info!(%account, sessions = ended, "sessions are ended");
        }
    }

    /// Only a definite no ends a session.
    async fn may_go_on(&self, row: &SessionRow) -> bool {
        let who = Authenticated {
            address: row.about.account.clone(),
            entry: row.about.entry,
        };
        let judges = match row.about.home {
            Some(_) => self.proxied.as_slice(),
            None => self.accounts.as_slice(),
        };
        for authenticator in judges {
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::{
        AuthOutcome, AuthRequest, BoxFuture, EndReason, EntryUuid, ManualClock, Protocol, Timestamp,
    };
    use net::{NewSession, Session, SessionLimits};

    const OLD: EntryUuid = EntryUuid::from_bytes([1; 16]);
    const NEW: EntryUuid = EntryUuid::from_bytes([2; 16]);

    fn registry() -> (Arc<ManualClock>, Sessions) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        (clock.clone(), Sessions::new(clock, SessionLimits::default()))
    }

    fn alice() -> Address {
        Address::parse("alice@example.test").expect("an address")
    }

    fn enter(sessions: &Sessions, entry: Option<EntryUuid>) -> Session {
        enter_at(sessions, entry, None)
    }

    fn enter_at(sessions: &Sessions, entry: Option<EntryUuid>, home: Option<&str>) -> Session {
        let about = NewSession {
            protocol: Protocol::Imap,
            account: alice(),
            entry,
            client: ([192, 0, 2, 7], 4242).into(),
            home: home.map(Into::into),
            trace: model::TraceId::new(1),
        };
        sessions.enter(about).expect("room")
    }

    #[test]
    fn news_of_an_entry_leave_the_next_owner_of_its_address_alone() {
        let (_, sessions) = registry();
        let (old, new) = (enter(&sessions, Some(OLD)), enter(&sessions, Some(NEW)));
        let unknown = enter(&sessions, None);
        let event = AccountEvent {
            entry: OLD,
            address: Some(alice()),
            kind: AccountEventKind::Deleted,
            at: Duration::from_secs(1),
        };
        end(&sessions, &event);
        assert_eq!(
            [old, new, unknown].map(|session| session.ending()),
            [Some(SessionEnd::Revoked), None, Some(SessionEnd::Revoked)]
        );
    }

    #[test]
    fn whoever_is_at_the_new_home_already_stays() {
        for (to, store1, store2) in [
            (Some("Store1"), None, Some(SessionEnd::Revoked)),
            (
                Some("store3"),
                Some(SessionEnd::Revoked),
                Some(SessionEnd::Revoked),
            ),
            (None, None, None),
        ] {
            let (_, sessions) = registry();
            let here = enter_at(&sessions, Some(OLD), Some("store1"));
            let there = enter_at(&sessions, None, Some("store2"));
            let event = AccountEvent {
                entry: OLD,
                address: Some(alice()),
                kind: AccountEventKind::Moved {
                    to: to.map(str::to_owned),
                },
                at: Duration::from_secs(1),
            };
            end(&sessions, &event);
            assert_eq!((here.ending(), there.ending()), (store1, store2), "{to:?}");
        }
    }

    /// What a map shows of an entry is not what the accounts here go by; what the synchronisation did is.
    #[test]
    fn whoever_moves_away_leaves_this_server_at_once() {
        let to = "store2".to_owned();
        for (kind, own) in [
            (AccountEventKind::Moved { to: Some(to.clone()) }, None),
            (AccountEventKind::MovedAway { to }, Some(SessionEnd::Revoked)),
        ] {
            let (_, sessions) = registry();
            let served_here = enter(&sessions, Some(OLD));
            let there_already = enter_at(&sessions, Some(OLD), Some("store2"));
            let event = AccountEvent {
                entry: OLD,
                address: Some(alice()),
                kind,
                at: Duration::from_secs(1),
            };
            end(&sessions, &event);
            assert_eq!((served_here.ending(), there_already.ending()), (own, None));
        }
    }

    /// The password was changed at this moment.
    struct ChangedAt(Duration);

    impl Authenticator for ChangedAt {
        fn check<'a>(&'a self, _: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
            Box::pin(std::future::ready(AuthOutcome::NoEntry))
        }

        fn recheck<'a>(&'a self, _: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
            let answer = match since <= self.0 {
                true => Recheck::Ended(EndReason::PasswordChanged),
                false => Recheck::Fine,
            };
            Box::pin(std::future::ready(answer))
        }
    }

    /// Knows the entry of a directory, and nothing of who logged in without one.
    struct Gone(EntryUuid);

    impl Authenticator for Gone {
        fn check<'a>(&'a self, _: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
            Box::pin(std::future::ready(AuthOutcome::NoEntry))
        }

        fn recheck<'a>(&'a self, who: &'a Authenticated, _: Duration) -> BoxFuture<'a, Recheck> {
            let answer = match who.entry {
                Some(entry) if entry == self.0 => Recheck::Ended(EndReason::PasswordChanged),
                _ => Recheck::NotMine,
            };
            Box::pin(std::future::ready(answer))
        }
    }

    #[tokio::test]
    async fn an_old_session_that_nobody_knows_hides_no_other() {
        let (clock, sessions) = registry();
        let unknown = enter(&sessions, None);
        clock.advance(Duration::from_secs(10));
        let known = enter(&sessions, Some(OLD));
        let next = enter(&sessions, Some(NEW));
        let judges = Judges {
            maps: Vec::new(),
            proxied: Vec::new(),
            accounts: Some(Arc::new(Gone(OLD))),
            sessions,
            every: Duration::from_millis(1),
        };
        judges.round().await;
        assert_eq!(
            [unknown, known, next].map(|session| session.ending()),
            [None, Some(SessionEnd::Revoked), None]
        );
    }

    #[tokio::test]
    async fn whoever_came_with_the_new_password_stays() {
        let (clock, sessions) = registry();
        let before = enter(&sessions, Some(OLD));
        clock.advance(Duration::from_secs(10));
        let after = enter(&sessions, Some(OLD));
        let judges = Judges {
            maps: Vec::new(),
            proxied: Vec::new(),
            accounts: Some(Arc::new(ChangedAt(Duration::from_secs(5)))),
            sessions,
            every: Duration::from_millis(1),
        };
        judges.round().await;
        assert_eq!(before.ending(), Some(SessionEnd::Revoked));
        assert_eq!(after.ending(), None);
    }
}
