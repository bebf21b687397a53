//! The connections to the servers: a few shared ones with the service identity, and a few for bind checks.

use super::health::Health;
use super::identity::{Identity, options};
use crate::config::ConnectorConfig;
use ldap::{Client, ConnectOptions, Control, LdapError, Outcome, ResultCode};
use model::{Clock, ConfigProblem, Secret, Unavailable};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Shared connections: one would be enough for throughput, two keep lookups going while one is replaced.
const SERVICE_CONNECTIONS: usize = 2;
/// Bind checks at once: one operation at a time on each connection (RFC 4511 section 4.2.1).
const BIND_CONNECTIONS: usize = 16;

/// How long a caller waits for servers that did not answer those before.
const PATIENCE_WHEN_DOWN: Duration = Duration::from_secs(1);

/// A server that gathers a large refresh may be silent for longer than a lookup may take.
const FEED_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest silence on a connection with a search that stays open, before the server is asked.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Results and octets that wait between the socket and the feed.
const PERSIST_QUEUE: (usize, usize) = (64, 1 << 20);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Lookups,
    Feed,
    /// One search that stays open and is silent most of the time.
    Persist,
}

/// All connections of one connector.
pub(super) struct Pool {
    name: String,
    clock: Arc<dyn Clock>,
    identity: Arc<Identity>,
    options: Vec<ConnectOptions>,
    health: Mutex<Health>,
    /// The server that failed last, and why: what is said while no server is to be tried yet.
    last_failure: Mutex<Option<String>>,
    service: Vec<Arc<Slot>>,
    next: AtomicUsize,
    bind_places: Semaphore,
    bind_idle: Mutex<Vec<Pooled>>,
    operation_timeout: Duration,
    /// The largest entry that a feed keeps. Other messages are held to the limit of every connection.
    max_entry: usize,
}

/// A connection and the server it leads to.
#[derive(Clone)]
pub(super) struct Pooled {
    pub(super) client: Client,
    pub(super) server: usize,
}

/// One shared connection; the async lock makes sure that one caller connects and the others wait for it.
#[derive(Default)]
struct Slot {
    ready: Mutex<Option<Pooled>>,
    connecting: Arc<tokio::sync::Mutex<()>>,
}

impl Pool {
    pub(super) fn new(config: &ConnectorConfig, clock: Arc<dyn Clock>) -> Result<Self, Vec<ConfigProblem>> {
        let options = options(config)?;
        let identity = Identity::new(config).map_err(|problem| vec![problem])?;
        Ok(Self {
            name: config.name.clone(),
            clock,
            identity: Arc::new(identity),
            health: Mutex::new(Health::new(
                options.len(),
                Duration::from_secs(config.retry_interval),
            )),
            last_failure: Mutex::new(None),
            options,
            service: (0..SERVICE_CONNECTIONS)
                .map(|_| Arc::new(Slot::default()))
                .collect(),
            next: AtomicUsize::new(0),
            bind_places: Semaphore::new(BIND_CONNECTIONS),
            bind_idle: Mutex::new(Vec::new()),
            operation_timeout: Duration::from_secs(config.timeout),
            max_entry: usize::try_from(config.max_entry).unwrap_or(usize::MAX) << 20,
        })
    }

    /// A shared connection with the service identity.
    pub(super) async fn service(self: &Arc<Self>) -> Result<Pooled, Unavailable> {
        self.probe_earlier();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = self
            .service
            .get(turn % SERVICE_CONNECTIONS)
            .ok_or_else(|| self.unavailable("no slot"))?;
        if let Some(pooled) = self.usable(slot) {
            return Ok(pooled);
        }
        // Those that wait here wait for one attempt over all servers.
        let turn = timeout(self.patience(), Arc::clone(&slot.connecting).lock_owned())
            .await
            .map_err(|_| self.unavailable("waiting for a connection"))?;
        if let Some(pooled) = self.usable(slot) {
            return Ok(pooled);
        }
        let slot = Arc::clone(slot);
        self.in_background(async move |pool| {
            let pooled = pool.connect(&pool.identity, Purpose::Lookups).await?;
            *slot.ready.lock() = Some(pooled.clone());
            drop(turn);
            Ok(pooled)
        })
        .await
    }

    /// Connecting goes on when its caller gives up: what it finds out about the servers is for the next one.
    async fn in_background<F>(
        self: &Arc<Self>,
        connect: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Result<Pooled, Unavailable>
    where
        F: Future<Output = Result<Pooled, Unavailable>> + Send + 'static,
    {
        let task = tokio::spawn(connect(Arc::clone(self)));
        match timeout(self.patience(), task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(self.unavailable(&error.to_string())),
            Err(_) => Err(self.unavailable("connecting takes too long")),
        }
    }

    /// How long a caller waits for a connection: not long for servers that all failed and have not been back since. They
    /// are tried for longer than that, and whoever comes next finds what came of it.
    fn patience(&self) -> Duration {
        let patience = self.operation_timeout.saturating_mul(2);
        match self.health.lock().is_down() {
            true => patience.min(PATIENCE_WHEN_DOWN),
            false => patience,
        }
    }

    /// A new connection of its own with the service identity, for a reader that may be slow.
    pub(super) async fn dedicated(&self) -> Result<Pooled, Unavailable> {
        self.connect(&self.identity, Purpose::Feed).await
    }

    /// A new connection to this one server, for a search that stays open.
    pub(super) async fn persistent(&self, server: usize) -> Result<Client, Unavailable> {
        match self.connect_to(server, &self.identity, Purpose::Persist).await {
            Ok(pooled) => Ok(pooled.client),
            Err(error) => {
                self.health
                    .lock()
                    .failed(server, self.clock.monotonic(), jitter());
                Err(self.unavailable(&format!("{}: {error}", self.server_name(server))))
            }
        }
    }

    /// Binds as `dn`, alone on a connection. The connection is kept for the next check.
    pub(super) async fn check_bind(
        self: &Arc<Self>,
        dn: &str,
        password: &Secret,
        controls: &[Control],
    ) -> Result<Result<Outcome, LdapError>, Unavailable> {
        let _place = timeout(self.operation_timeout, self.bind_places.acquire())
            .await
            .map_err(|_| self.unavailable("too many binds are waiting"))?
            .map_err(|_| self.unavailable("closed"))?;
        // A connection that lay idle may have been closed by the server without our knowing; a second, new
        // one decides.
        for fresh in [false, true] {
            let idle = if fresh { None } else { self.take_idle() };
            let reused = idle.is_some();
            let pooled = match idle {
                Some(pooled) => pooled,
                None => {
                    self.in_background(async |pool| {
                        pool.connect(&Identity::Anonymous, Purpose::Lookups).await
                    })
                    .await?
                }
            };
            let result = pooled.client.bind_simple(dn, password, controls).await;
            match result {
                Err(error) if is_lost(&error) => {
                    if reused {
                        continue;
                    }
                    self.report(&pooled, &error);
                    // The server may have seen the bind, and counted it.
                    return Ok(Err(error));
                }
                result => {
                    self.bind_idle.lock().push(pooled);
                    return Ok(result);
                }
            }
        }
        Err(self.unavailable("the connection was closed"))
    }

    /// An operation on this connection failed for lack of an answer: nobody else should wait for this server.
    pub(super) fn report(&self, pooled: &Pooled, error: &LdapError) {
        tracing::warn!(connector = %self.name, server = %self.server_name(pooled.server), %error, "directory server failed");
        // One slow search must not shut out everybody when there is no other server to go to. A server that
        // hangs for good is found out by the new connection's bind.
        let only_slow = matches!(error, LdapError::TimedOut) && self.options.len() == 1;
        if !only_slow {
            self.health
                .lock()
                .failed(pooled.server, self.clock.monotonic(), jitter());
        }
        for slot in &self.service {
            let mut ready = slot.ready.lock();
            if ready.as_ref().is_some_and(|other| other.server == pooled.server) {
                *ready = None;
            }
        }
        self.bind_idle
            .lock()
            .retain(|other| other.server != pooled.server);
    }

    pub(super) fn server_name(&self, index: usize) -> String {
        self.options
            .get(index)
            .map_or_else(String::new, |options| options.uri.to_string())
    }

    pub(super) fn unavailable(&self, why: &str) -> Unavailable {
        Unavailable(format!("connector {}: {why}", self.name))
    }

    /// A connection that still lives and leads to the server in use.
    fn usable(&self, slot: &Slot) -> Option<Pooled> {
        let current = self.health.lock().current();
        let mut ready = slot.ready.lock();
        let good = ready
            .as_ref()
            .is_some_and(|pooled| !pooled.client.is_closed() && pooled.server == current);
        if !good {
            *ready = None;
        }
        ready.clone()
    }

    fn take_idle(&self) -> Option<Pooled> {
        let current = self.health.lock().current();
        let mut idle = self.bind_idle.lock();
        idle.retain(|pooled| pooled.server == current && !pooled.client.is_closed());
        idle.pop()
    }

    /// Tries the servers in their order of merit.
    async fn connect(&self, identity: &Identity, purpose: Purpose) -> Result<Pooled, Unavailable> {
        let candidates = self.health.lock().candidates(self.clock.monotonic());
        if candidates.is_empty() {
            let why = match self.last_failure.lock().as_deref() {
                Some(last) => format!("every server failed a moment ago; {last}"),
                None => "every server failed a moment ago".to_owned(),
            };
            return Err(self.unavailable(&why));
        }
        let mut last = String::new();
        for server in candidates {
            match self.connect_to(server, identity, purpose).await {
                Ok(pooled) => {
                    self.health.lock().succeeded(server);
                    return Ok(pooled);
                }
                Err(error) => {
                    last = match error.code() {
                        // Whoever reads this beside a user's login would look at the user's password.
                        Some(ResultCode::InvalidCredentials) => format!(
                            "{}: our own identity {} or its password is refused: {error}",
                            self.server_name(server),
                            identity.name()
                        ),
                        _ => format!("{}: {error}", self.server_name(server)),
                    };
                    tracing::warn!(connector = %self.name, server = %self.server_name(server), %error, "cannot use directory server");
                    self.health
                        .lock()
                        .failed(server, self.clock.monotonic(), jitter());
                    *self.last_failure.lock() = Some(last.clone());
                }
            }
        }
        Err(self.unavailable(&last))
    }

    async fn connect_to(
        &self,
        server: usize,
        identity: &Identity,
        purpose: Purpose,
    ) -> Result<Pooled, LdapError> {
        let options = self
            .options
            .get(server)
            .ok_or_else(|| LdapError::Protocol("no such server".to_owned()))?;
        let client = match purpose {
            Purpose::Lookups => {
                let mut options = options.clone();
                // One entry that is too large fails its own lookup, not those beside it.
                options.max_entry = Some(options.max_message);
                Client::connect(&options).await?
            }
            Purpose::Feed => {
                let mut options = options.clone();
                options.operation_timeout = options.operation_timeout.max(FEED_TIMEOUT);
                options.max_entry = Some(self.max_entry);
                Client::connect(&options).await?
            }
            Purpose::Persist => {
                let mut options = options.clone();
                options.max_entry = Some(self.max_entry);
                // Firewalls forget idle connections without a word, and the feed must not sit on such a one.
                options.keep_alive = keep_alive(options.operation_timeout);
                // The feed has a queue of its own.
                (options.search_items, options.search_bytes) = PERSIST_QUEUE;
                Client::connect(&options).await?
            }
        };
        if let Err(error) = identity.bind(&client).await {
            if error.code() == Some(ResultCode::InvalidCredentials) {
                tracing::error!(
                    connector = %self.name,
                    server = %self.server_name(server),
                    identity = %identity.name(),
                    "the directory refuses our own bind_dn or its password (write_bind_dn for the identity that writes); no user's password is meant"
                );
            }
            return Err(error);
        }
        Ok(Pooled { client, server })
    }

    /// Looks at an earlier server in the background when it is time to.
    fn probe_earlier(self: &Arc<Self>) {
        let Some(server) = self.health.lock().due_probe(self.clock.monotonic()) else {
            return;
        };
        let pool = Arc::clone(self);
        // Bounded: at most one probe for each server and interval, and each has the connection's deadlines.
        tokio::spawn(async move {
            let result = pool.connect_to(server, &pool.identity, Purpose::Lookups).await;
            let now = pool.clock.monotonic();
            let mut health = pool.health.lock();
            match result {
                Ok(_) => {
                    if health.probe_succeeded(server, now) {
                        tracing::info!(connector = %pool.name, server = %pool.server_name(server), "directory server is back");
                    }
                }
                Err(_) => health.failed(server, now, jitter()),
            }
        });
    }
}

/// True when the answer never came, so that nothing is decided.
pub(super) fn is_lost(error: &LdapError) -> bool {
    !matches!(
        error,
        LdapError::Result(_)
            | LdapError::TooMany(_)
            | LdapError::EntryTooLarge { .. }
            | LdapError::EmptyPassword
    )
}

/// How long a silent server is believed to be there: three times what one answer may take.
fn keep_alive(operation_timeout: Duration) -> Duration {
    operation_timeout.saturating_mul(3).min(MAX_KEEP_ALIVE)
}

/// A random number for back-offs.
pub(crate) fn jitter() -> u8 {
    let mut byte = [0];
    // Without randomness the longest wait is as good.
    if getrandom::fill(&mut byte).is_err() {
        255
    } else {
        byte[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is too large for us was answered: the server is there, and so is everybody else in it.
    #[test]
    fn an_answer_that_is_not_taken_says_nothing_of_the_server() {
        let large = LdapError::EntryTooLarge {
            dn: "cn=everybody,dc=t".to_owned(),
            size: 20_000_000,
        };
        for (error, lost) in [
            (large, false),
            (LdapError::EmptyPassword, false),
            (LdapError::TimedOut, true),
        ] {
            assert_eq!(is_lost(&error), lost, "{error}");
        }
    }
}
