//! Who is logged in by HTTP: a login is checked once, is a session like any other, and serves the requests that
//! bring the same credential until it ends.
//!
//! Nothing here outlives the process or has to: a credential that is not known is checked again.

mod watch;

use crate::failure::{Failure, Rejection};
use crate::http::cookie::{Ticket, TicketId};
use crate::http::logouts::{self, Logout, Logouts};
use crate::http::reply::Fault;
use crate::login::{Admitted, Gate, Proof, log_failure};
use aws_lc_rs::hmac;
use directory::HomeRef;
use model::{Address, Clock, Credential, Peer, Protocol, Secret, Timestamp};
use net::{Cached, Metric, NewSession, TtlCache};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// Logins remembered.
const MAX_LOGINS: usize = 100_000;
/// A login without a request ends after this.
const IDLE: Duration = Duration::from_secs(300);
/// How often what another process has written is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// A token is looked at again after this: it may have expired.
const TOKEN_FOR: Duration = Duration::from_secs(60);

const LOGINS: Metric = Metric {
    name: "homing_proxy_logins_total",
    help: "Logins through the front end, by protocol, home and outcome.",
};

/// What a request logs in with.
#[derive(Debug, Clone)]
pub(super) enum Brought {
    /// A cookie.
    Ticket(Ticket),
    /// A name and a password.
    Basic {
        /// The name.
        login: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Bearer(Secret),
}

impl Brought {
    fn login(&self) -> wire::sasl::Login {
        let (login, credential) = match self {
            Self::Ticket(Ticket { login, password, .. }) | Self::Basic { login, password } => {
                (login.clone(), Credential::Password(password.clone()))
            }
            Self::Bearer(token) => (String::new(), Credential::Bearer(token.clone())),
        };
        wire::sasl::Login {
            login,
            authzid: None,
            credential,
        }
    }

    /// What there is to remember when the account's ticket is given up.
    fn given_up(&self, account: &Address, now: Timestamp) -> Option<Logout> {
        match self {
            Self::Ticket(ticket) => Some(Logout {
                owner: logouts::owner(account),
                ..ticket.given_up(now)
            }),
            _ => None,
        }
    }
}

type Key = [u8; 32];

/// The logins of this process.
pub(super) struct Logins {
    table: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Requests that run, by account.
    running: Arc<Mutex<HashMap<Address, u32>>>,
    /// Tickets that were given up, here or at another front end.
    logouts: Logouts,
    /// Tickets that were refused here.
    dead: Mutex<TtlCache<TicketId, ()>>,
    /// Keys of the table cannot be guessed from outside, and hold no secret.
    secret: hmac::Key,
    clock: Arc<dyn Clock>,
}

/// One credential; the login, once it has been checked. Requests that come meanwhile wait for the same check.
#[derive(Default)]
struct Slot(OnceCell<Arc<Login>>);

/// Somebody who is logged in.
pub(super) struct Login {
    admitted: Admitted,
    /// Everything ends now.
    pub(super) cut: CancellationToken,
    /// Streams end; requests are answered. Also given when everything ends.
    pub(super) winds_down: CancellationToken,
    running: AtomicU32,
    used: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    /// Its ticket, in case it is given up.
    ticket: Option<Logout>,
    /// When it has to be checked again.
    stale: Option<Duration>,
    logged_out: CancellationToken,
    retired: AtomicBool,
    clock: Arc<dyn Clock>,
}

impl Login {
    pub(super) fn address(&self) -> &Address {
        &self.admitted.address
    }

    pub(super) fn home(&self) -> &HomeRef {
        &self.admitted.home
    }

    pub(super) fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    pub(super) fn count(&self, up: u64, down: u64) {
        self.up.fetch_add(up, Ordering::Relaxed);
        self.down.fetch_add(down, Ordering::Relaxed);
    }

    fn touch(&self) {
        self.used.store(millis(self.clock.monotonic()), Ordering::Relaxed);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A login that serves a request. It does not end by itself meanwhile.
pub(super) struct InUse {
    login: Arc<Login>,
    running: Arc<Mutex<HashMap<Address, u32>>>,
}

impl InUse {
    pub(super) fn login(&self) -> &Arc<Login> {
        &self.login
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.login.touch();
        self.login.running.fetch_sub(1, Ordering::AcqRel);
        let mut running = self.running.lock();
        if let Some(count) = running.get_mut(self.login.address()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.remove(self.login.address());
            }
        }
    }
}

impl Logins {
    pub(super) fn new(clock: Arc<dyn Clock>, logouts: Logouts) -> std::io::Result<Arc<Self>> {
        let secret: [u8; 32] = net::fresh_random()?;
        let logins = Arc::new(Self {
            table: Mutex::default(),
            running: Arc::default(),
            logouts,
            dead: Mutex::new(TtlCache::new(Arc::clone(&clock), MAX_LOGINS)),
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            clock,
        });
        tokio::spawn(hear_of_logouts(Arc::downgrade(&logins)));
        Ok(logins)
    }

    fn key(&self, brought: &Brought) -> Key {
        match brought {
            Brought::Ticket(ticket) => self.key_of_ticket(&ticket.id),
            Brought::Basic { login, password } => {
                self.key_of(&[b"basic", login.as_bytes(), password.expose()])
            }
            Brought::Bearer(token) => self.key_of(&[b"bearer", token.expose()]),
        }
    }

    /// A ticket's number says all that is in it: nobody else can seal another one with it.
    fn key_of_ticket(&self, ticket: &TicketId) -> Key {
        self.key_of(&[b"ticket", ticket])
    }

    fn key_of(&self, parts: &[&[u8]]) -> Key {
        let mut context = hmac::Context::with_key(&self.secret);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut key = Key::default();
        for (octet, signed) in key.iter_mut().zip(context.sign().as_ref()) {
            *octet = *signed;
        }
        key
    }

    /// The login that a request belongs to; checked now, when this is its first request.
    pub(super) async fn enter(
        self: &Arc<Self>,
        brought: &Brought,
        gate: &Gate,
        peer: &Peer,
        limit: u32,
    ) -> Result<InUse, Fault> {
        let key = self.key(brought);
        // A login may end between two steps; more than once in a row, and the server is stopping.
        for _ in 0..3 {
            let slot = self.slot(key)?;
            let slot = Waiting {
                logins: self,
                key,
                slot,
            };
            let slot = &slot.slot;
            let begun = slot
                .0
                .get_or_try_init(|| self.begin(key, brought, gate, peer))
                .await;
            match begun {
                Ok(login) => match self.take(&key, slot, login, limit) {
                    Some(taken) => return taken,
                    None => self.forget(&key, slot),
                },
                Err(failure) => {
                    self.forget(&key, slot);
                    return Err(failure.into());
                }
            }
        }
        Err(Failure::ShuttingDown.into())
    }

    fn slot(&self, key: Key) -> Result<Arc<Slot>, Fault> {
        let mut table = self.table.lock();
        if let Some(slot) = table.get(&key) {
            return Ok(Arc::clone(slot));
        }
        if table.len() >= MAX_LOGINS {
            return Err(Fault::TooMany);
        }
        let slot = Arc::new(Slot::default());
        table.insert(key, Arc::clone(&slot));
        Ok(slot)
    }

    /// Takes the login for one request; none when it has ended, or has to be checked again.
    fn take(
        &self,
        key: &Key,
        slot: &Arc<Slot>,
        login: &Arc<Login>,
        limit: u32,
    ) -> Option<Result<InUse, Fault>> {
        // Whoever logs out while the login is checked finds nothing to end.
        if login
            .ticket
            .is_some_and(|ticket| self.logouts.has(&ticket.ticket))
        {
            login.logged_out.cancel();
            return Some(Err(nobody()));
        }
        let table = self.table.lock();
        let known = table.get(key).is_some_and(|known| Arc::ptr_eq(known, slot));
        let is_stale = login.stale.is_some_and(|stale| self.clock.monotonic() >= stale);
        if !known || is_stale || login.winds_down.is_cancelled() {
            return None;
        }
        // Under the lock of the table, or it could be retired as idle at this very moment.
        let mut running = self.running.lock();
        let count = running.entry(login.address().clone()).or_default();
        if *count >= limit {
            return Some(Err(Fault::TooMany));
        }
        *count += 1;
        login.running.fetch_add(1, Ordering::AcqRel);
        login.touch();
        Some(Ok(InUse {
            login: Arc::clone(login),
            running: Arc::clone(&self.running),
        }))
    }

    fn forget(&self, key: &Key, slot: &Arc<Slot>) {
        let mut table = self.table.lock();
        if table.get(key).is_some_and(|known| Arc::ptr_eq(known, slot)) {
            table.remove(key);
        }
        if let Some(login) = slot.0.get() {
            login.retired.store(true, Ordering::Release);
        }
    }

    async fn begin(
        self: &Arc<Self>,
        key: Key,
        brought: &Brought,
        gate: &Gate,
        peer: &Peer,
    ) -> Result<Arc<Login>, Failure> {
        let mut home = None;
        let begun = self.check(key, brought, gate, peer, &mut home).await;
        let outcome = begun.as_ref().map_or_else(Failure::kind, |_| "ok");
        let home = home.as_deref().unwrap_or("-");
        let labels = [("protocol", "http"), ("home", home), ("outcome", outcome)];
        gate.context.metrics.counter(LOGINS, &labels).add(1);
        let typed = brought.login().login;
        match &begun {
            Ok(login) => tracing::info!(
                protocol = "http", trace = %peer.trace, client = %peer.client, login = typed,
                account = %login.address(), home, "logged in"
            ),
            Err(failure) => log_failure(Protocol::Http, peer, &typed, failure),
        }
        begun
    }

    async fn check(
        self: &Arc<Self>,
        key: Key,
        brought: &Brought,
        gate: &Gate,
        peer: &Peer,
        home: &mut Option<String>,
    ) -> Result<Arc<Login>, Failure> {
        let admitted = Box::pin(gate.admit(brought.login(), Protocol::Http, peer)).await?;
        *home = Some(admitted.home.to_string());
        let session = gate.context.sessions.enter(NewSession {
            protocol: Protocol::Http,
            account: admitted.address.clone(),
            entry: admitted.entry,
            client: peer.client,
            home: Some(admitted.home.to_string().into()),
            trace: peer.trace,
        })?;
        let now = self.clock.monotonic();
        let login = Arc::new(Login {
            ticket: brought.given_up(&admitted.address, self.clock.now()),
            stale: matches!(admitted.proof, Proof::Bearer(_)).then(|| now + TOKEN_FOR),
            admitted,
            cut: CancellationToken::new(),
            winds_down: CancellationToken::new(),
            running: AtomicU32::new(0),
            used: AtomicU64::new(millis(now)),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            logged_out: CancellationToken::new(),
            retired: AtomicBool::new(false),
            clock: Arc::clone(&self.clock),
        });
        let expires = match brought {
            Brought::Ticket(ticket) => {
                let left = ticket.expires.saturating_sub(self.clock.now().as_secs());
                Some(now + Duration::from_secs(left))
            }
            _ => None,
        };
        let watch = Watch {
            session,
            login: Arc::clone(&login),
            logins: Arc::downgrade(self),
            key,
            expires,
            metrics: gate.context.metrics.clone(),
        };
        tokio::spawn(watch.run());
        Ok(login)
    }

    /// Whether a ticket was given up anywhere, or refused here.
    pub(super) fn is_dead(&self, ticket: &TicketId) -> bool {
        self.logouts.has(ticket) || !matches!(self.dead.lock().get(ticket), Cached::Missing)
    }

    pub(super) fn logouts(&self) -> &Logouts {
        &self.logouts
    }

    /// Tickets that were given up here or elsewhere: what runs with them ends.
    pub(super) fn have_ended(&self, logouts: &[Logout]) {
        self.end(&self.logouts.add(logouts));
    }

    fn end(&self, fresh: &[Logout]) {
        for logout in fresh {
            let key = self.key_of_ticket(&logout.ticket);
            let slot = self.table.lock().get(&key).cloned();
            if let Some(login) = slot.as_ref().and_then(|slot| slot.0.get()) {
                login.logged_out.cancel();
            }
        }
    }

    /// A ticket is not taken here again, for as long as it could be good.
    pub(super) fn bury(&self, ticket: TicketId, lifetime: Duration) {
        self.dead.lock().insert(ticket, (), lifetime, Duration::ZERO);
    }

    /// Ends what a ticket has begun. The number under which the others are told of it.
    pub(super) fn log_out(&self, ticket: &Ticket) -> u64 {
        self.have_ended(&[ticket.given_up(self.clock.now())]);
        self.logouts.number(&ticket.id)
    }

    /// Takes a login out when nothing uses it; true when it is out.
    fn retire_if_idle(&self, key: &Key, login: &Arc<Login>) -> bool {
        let mut table = self.table.lock();
        if login.running.load(Ordering::Acquire) > 0 {
            return false;
        }
        let used = login.used.load(Ordering::Relaxed);
        let idle = millis(self.clock.monotonic()).saturating_sub(used);
        let is_over = login.retired.load(Ordering::Acquire) || idle >= millis(IDLE);
        if is_over {
            self.remove(&mut table, key, login);
        }
        is_over
    }

    fn remove(&self, table: &mut HashMap<Key, Arc<Slot>>, key: &Key, login: &Arc<Login>) {
        let is_it = |slot: &Arc<Slot>| slot.0.get().is_some_and(|known| Arc::ptr_eq(known, login));
        if table.get(key).is_some_and(is_it) {
            table.remove(key);
        }
    }
}

/// While an upgrade hands over, another process has the same file of logouts.
async fn hear_of_logouts(logins: Weak<Logins>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(logins) = logins.upgrade() else {
            return;
        };
        logins.end(&logins.logouts.look());
    }
}

/// A request that waits for its login to be checked. When its client goes away meanwhile, and nobody else waits,
/// nothing is left behind.
struct Waiting<'a> {
    logins: &'a Logins,
    key: Key,
    slot: Arc<Slot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.slot.0.initialized() {
            return;
        }
        let mut table = self.logins.table.lock();
        let is_it = table
            .get(&self.key)
            .is_some_and(|known| Arc::ptr_eq(known, &self.slot));
        // The table's own, and this one.
        if is_it && Arc::strong_count(&self.slot) <= 2 {
            table.remove(&self.key);
        }
    }
}

/// Whether a login was wrong, rather than not checked.
pub(super) fn is_wrong(fault: &Fault) -> bool {
    matches!(fault, Fault::Failure(failure) if failure.blames_client())
}

/// No credential at all.
pub(super) fn nobody() -> Fault {
    Fault::Failure(Failure::Rejected(Rejection::NoSuchAccount))
}

#[cfg(test)]
mod tests;
