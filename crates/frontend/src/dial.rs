//! Connecting to a home: orders, health, its address, its TLS.

use crate::failure::Failure;
use crate::farewell::Farewells;
use crate::guesses::Guesses;
use crate::health::{Health, HomeState, HomeStatus, Place};
use crate::local::LocalHome;
use crate::orders::Orders;
use directory::{HomeRef, HomeTarget, Homes, LoginMode};
use model::{Clock, Peer, Protocol};
use net::proxy_protocol::{self, TlsFacts, Told};
use net::{Connection, LineStream, Resolver, Shutdown, TlsMode};
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

/// Probes at once.
const MAX_PROBES: usize = 32;
/// The longest line of a greeting that a probe reads.
const MAX_GREETING: usize = 8192;

/// Connects to homes and remembers how they are doing. The proxies share one.
pub struct Dialer {
    homes: Arc<Homes>,
    resolver: Resolver,
    shared: Arc<Shared>,
    local: Option<LocalHome>,
    /// Protocols in which a home was met that needs the password, though none is listed.
    replays: Mutex<Vec<Protocol>>,
}

/// What outlives a new configuration.
struct Shared {
    health: Health,
    orders: Orders,
    farewells: Farewells,
    guesses: Guesses,
}

/// A connection to a home that has not said anything yet. Implicit TLS is established.
pub(crate) struct Dialled {
    pub(crate) connection: Connection,
    pub(crate) target: HomeTarget,
    /// `host:port`, for logs and health.
    pub(crate) name: String,
}

/// Who connects, for a home in this process.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) named: Named<'a>,
}

/// What a PROXY header says of the client, at homes that take one.
#[derive(Clone, Copy)]
pub(crate) enum Named<'a> {
    /// Nothing: the connection is this server's own.
    Ours,
    /// Where it is, and its TLS where that is known.
    Client(Option<&'a TlsFacts>),
}

impl Caller<'_> {
    fn header(&self) -> Vec<u8> {
        let Named::Client(tls) = self.named else {
            return proxy_protocol::local();
        };
        let id = self.peer.trace.to_string();
        proxy_protocol::proxied(&Told {
            client: self.peer.client,
            local: self.peer.local,
            id: &id,
            tls,
        })
    }
}

impl Dialer {
    /// A dialer for these homes, which remembers nothing on disk.
    #[must_use]
    pub fn new(homes: Arc<Homes>, resolver: Resolver, clock: Arc<dyn Clock>) -> Self {
        Self::with(homes, resolver, clock, Orders::default())
    }

    /// The same, with the orders about homes kept in `folder`.
    pub fn with_orders(
        homes: Arc<Homes>,
        resolver: Resolver,
        clock: Arc<dyn Clock>,
        folder: &Path,
    ) -> io::Result<Self> {
        let orders = Orders::load(folder.join("drained-homes"))?;
        Ok(Self::with(homes, resolver, clock, orders))
    }

    fn with(homes: Arc<Homes>, resolver: Resolver, clock: Arc<dyn Clock>, orders: Orders) -> Self {
        Self {
            homes,
            resolver,
            shared: Arc::new(Shared {
                health: Health::new(Arc::clone(&clock)),
                orders,
                farewells: Farewells::default(),
                guesses: Guesses::new(clock),
            }),
            local: None,
            replays: Mutex::default(),
        }
    }

    /// Sessions whose home is this process are served in it.
    #[must_use]
    pub fn serving(mut self, local: LocalHome) -> Self {
        self.local = Some(local);
        self
    }

    /// A dialer for other homes that knows what this one has learned.
    #[must_use]
    pub fn for_homes(&self, homes: Arc<Homes>) -> Self {
        Self {
            homes,
            resolver: self.resolver.clone(),
            shared: Arc::clone(&self.shared),
            local: self.local.clone(),
            replays: Mutex::default(),
        }
    }

    /// The homes that have failed lately, and why. A home that is not listed is up.
    #[must_use]
    pub fn failing_homes(&self) -> Vec<HomeStatus> {
        let mut all = self.shared.health.list();
        all.retain(|home| home.state != HomeState::Up);
        all
    }

    /// Every service of a home that has been tried.
    #[must_use]
    pub fn homes(&self) -> Vec<HomeStatus> {
        self.shared.health.list()
    }

    /// Whether a home may want the client's password or token once more.
    #[must_use]
    pub(crate) fn needs_secret(&self, protocol: Protocol) -> bool {
        self.homes.needs_secret(protocol) || self.replays.lock().contains(&protocol)
    }

    /// A map has named a home that is not listed, which wants the password: from now on clients are offered nothing
    /// that does not show it, or their next login would fail like this one.
    pub(crate) fn needs_secret_from_now_on(&self, protocol: Protocol) {
        let mut replays = self.replays.lock();
        if !replays.contains(&protocol) {
            tracing::warn!(%protocol, "a home that no [[home]] lists needs the password: SCRAM is no longer offered");
            replays.push(protocol);
        }
    }

    /// How a home is reached, without a connection.
    pub(crate) fn target(&self, home: &HomeRef, protocol: Protocol) -> HomeTarget {
        self.homes.target(home, protocol)
    }

    /// Whether a home takes nothing new by an administrator's order.
    pub(crate) fn is_drained(&self, home: &HomeRef) -> bool {
        self.shared.orders.reason(home.host()).is_some()
    }

    /// The homes that the configuration lists, and this process if it is one.
    #[must_use]
    pub fn listed(&self) -> Vec<String> {
        let mut names = self.homes.names();
        let own = self.local.as_ref().and_then(LocalHome::name);
        names.extend(own.map(str::to_owned));
        names
    }

    /// The homes that are drained, and why.
    #[must_use]
    pub fn drained(&self) -> Vec<(String, String)> {
        self.shared.orders.list()
    }

    /// No new sessions for this home.
    pub fn drain(&self, home: &HomeRef, reason: &str) -> io::Result<()> {
        tracing::warn!(
            home = home.host(),
            reason,
            "home is drained: it gets no new sessions"
        );
        self.shared.orders.drain(home.host(), reason)
    }

    /// New sessions for this home again; false when it was in service.
    pub fn enable(&self, home: &HomeRef) -> io::Result<bool> {
        tracing::info!(home = home.host(), "home is in service");
        self.shared.orders.enable(home.host())
    }

    /// Tries the homes that are down and whose pause is over, so that no session has to. To be called every
    /// second or so.
    pub async fn probe(self: &Arc<Self>) {
        let mut probes = JoinSet::new();
        for (address, place) in self.shared.health.due().into_iter().take(MAX_PROBES) {
            let dialer = Arc::clone(self);
            probes.spawn(async move { dialer.probe_one(&address, &place).await });
        }
        while probes.join_next().await.is_some() {}
    }

    /// One connection, up to the home's first line. In HTTP the client speaks first.
    async fn probe_one(&self, address: &str, place: &Place) {
        if self.shared.health.may_try(address, place).is_none() {
            return;
        }
        let target = self.homes.target(&place.home, place.protocol);
        let result = match self.connect(&target, address, proxy_protocol::local).await {
            Ok(connection) => {
                let mut line = LineStream::new(connection, MAX_GREETING);
                if place.protocol == Protocol::Http {
                    let host = &target.host;
                    line.write(
                        format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
                    );
                    // What goes wrong with it shows when the answer is read.
                    let _ = line.flush(target.connect_timeout).await;
                }
                let greeting = line.read_line(target.connect_timeout).await;
                greeting.map(drop).map_err(|error| error.to_string())
            }
            Err(failure) => Err(failure.to_string()),
        };
        match result {
            Ok(()) => self.shared.health.succeeded(address),
            Err(reason) => self.shared.health.failed(address, &reason),
        }
    }

    pub(crate) async fn dial(
        &self,
        home: &HomeRef,
        protocol: Protocol,
        caller: Caller<'_>,
    ) -> Result<Dialled, Failure> {
        let mut target = self.homes.target(home, protocol);
        let name = format!("{}:{}", target.host, target.port);
        if self.shared.orders.reason(home.host()).is_some() {
            return Err(Failure::Drained(home.to_string()));
        }
        if let Some(local) = self
            .local
            .as_ref()
            .filter(|local| local.is(home.host(), protocol))
        {
            let connection = local.connect(protocol, caller.peer, caller.shutdown);
            // Nobody can listen in, and there is no password to replay.
            (target.tls, target.login) = (TlsMode::None, LoginMode::Assertion);
            return Ok(Dialled {
                connection: connection.ok_or_else(|| Failure::HomeDown(name.clone()))?,
                target,
                name,
            });
        }
        // This very server, in a protocol that it only passes on: it would connect to itself, again and again.
        if self.is_self(home) {
            return Err(Failure::NotServed(home.to_string()));
        }
        let place = Place {
            home: home.clone(),
            protocol,
        };
        let Some(wait) = self.shared.health.may_try(&name, &place) else {
            return Err(Failure::HomeDown(name));
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let result = self.connect(&target, &name, || caller.header()).await;
        if let Err(failure) = &result {
            self.report(&name, failure);
        }
        result.map(|connection| Dialled {
            connection,
            target,
            name,
        })
    }

    /// What is known of homes that end sessions in their own words.
    pub(crate) fn farewells(&self) -> &Farewells {
        &self.shared.farewells
    }

    /// What is known of logins that homes have judged.
    pub(crate) fn guesses(&self) -> &Guesses {
        &self.shared.guesses
    }

    /// A connection for a word with the home itself: also with one that is drained. The home in this process hears
    /// without one.
    pub(crate) async fn dial_bare(&self, home: &HomeRef, protocol: Protocol) -> Result<Dialled, Failure> {
        let target = self.homes.target(home, protocol);
        let name = format!("{}:{}", target.host, target.port);
        let connection = self.connect(&target, &name, proxy_protocol::local).await?;
        Ok(Dialled {
            connection,
            target,
            name,
        })
    }

    /// Whether the home is this process.
    pub(crate) fn is_local(&self, home: &HomeRef, protocol: Protocol) -> bool {
        self.local
            .as_ref()
            .is_some_and(|local| local.is(home.host(), protocol))
    }

    /// Whether a home is this server and nothing else that the configuration tells of.
    fn is_self(&self, home: &HomeRef) -> bool {
        let own = self
            .local
            .as_ref()
            .is_some_and(|local| local.is_named(home.host()));
        own && home.port().is_none() && !self.homes.names().iter().any(|name| name == home.host())
    }

    /// Tells the outcome of the talk that follows: a home that hangs or babbles is as down as one that refuses.
    pub(crate) fn report(&self, name: &str, failure: &Failure) {
        if failure.blames_home() {
            self.shared.health.failed(name, &failure.to_string());
        } else if failure.clears_home() {
            // Or a wrong password could use up the one trial of a home that is back.
            self.shared.health.succeeded(name);
        }
    }

    /// Takes the outcome of a whole talk: a home that answered as it should is well.
    pub(crate) fn learn<T>(&self, name: &str, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match &outcome {
            Ok(_) => self.shared.health.succeeded(name),
            Err(failure) => self.report(name, failure),
        }
        outcome
    }

    /// Connects, and says by `header` whose connection it is where the home is to hear that.
    async fn connect(
        &self,
        target: &HomeTarget,
        name: &str,
        header: impl FnOnce() -> Vec<u8>,
    ) -> Result<Connection, Failure> {
        let limit = target.connect_timeout;
        let mut connection = Connection::connect_host(&self.resolver, &target.host, target.port, limit)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Failure::Timeout(name.to_owned()),
                // Or a front end at its own limit would take every home for down.
                _ if net::is_exhausted(&error) => Failure::Exhausted(error.to_string()),
                _ => Failure::Connect {
                    home: name.to_owned(),
                    cause: error.to_string(),
                },
            })?;
        if target.proxy_protocol {
            let header = header();
            // A new socket has room for it.
            let written = tokio::time::timeout(limit, connection.write_all(&header)).await;
            let lost = |cause: String| Failure::Connect {
                home: name.to_owned(),
                cause,
            };
            written
                .map_err(|_| Failure::Timeout(name.to_owned()))?
                .map_err(|error| lost(error.to_string()))?;
        }
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

    fn dialer() -> Dialer {
        let homes = Homes::new(Vec::new(), &ClientTlsConfig::default()).expect("no homes are good homes");
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        Dialer::new(Arc::new(homes), Resolver::system(), clock)
    }

    #[test]
    fn a_refused_login_shows_that_the_home_is_up() {
        let dialer = dialer();
        let name = "a:143";
        let place = Place {
            home: HomeRef::parse("a").expect("a home"),
            protocol: Protocol::Imap,
        };
        dialer
            .shared
            .health
            .may_try(name, &place)
            .expect("not known to be down");
        for failure in crate::failure::tests::all() {
            for _ in 0..3 {
                dialer.report(name, &Failure::Timeout(name.to_owned()));
            }
            dialer.report(name, &failure);
            assert_eq!(
                dialer.failing_homes().is_empty(),
                failure.clears_home(),
                "{failure}"
            );
            assert!(!(failure.clears_home() && failure.blames_home()), "{failure}");
            dialer.learn(name, Ok(())).expect("as it was");
            assert!(dialer.failing_homes().is_empty());
        }
    }

    #[test]
    fn a_home_that_is_not_listed_and_needs_the_password_is_learnt_of() {
        let mut listed = directory::HomeConfig::named("store1");
        listed.imap.login = LoginMode::Assertion;
        let homes = Homes::new(vec![listed], &ClientTlsConfig::default()).expect("good homes");
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let dialer = Dialer::new(Arc::new(homes), Resolver::system(), clock);
        assert!(!dialer.needs_secret(Protocol::Imap));
        for _ in 0..2 {
            dialer.needs_secret_from_now_on(Protocol::Imap);
            assert!(dialer.needs_secret(Protocol::Imap) && dialer.replays.lock().len() == 1);
        }
    }

    #[tokio::test]
    async fn a_server_does_not_dial_itself() {
        let dialer = dialer().serving(LocalHome::new("mail1"));
        let (_trigger, shutdown) = Shutdown::new();
        let peer = Peer {
            client: ([192, 0, 2, 7], 4242).into(),
            local: ([192, 0, 2, 1], 4190).into(),
            tls: model::TlsState::Plain,
            trace: model::TraceId::new(1),
        };
        let caller = Caller {
            peer: &peer,
            shutdown: &shutdown,
            named: Named::Client(None),
        };
        let own = HomeRef::parse("Mail1.").expect("a home");
        let refused = dialer.dial(&own, Protocol::ManageSieve, caller).await.map(drop);
        assert_eq!(refused, Err(Failure::NotServed("mail1".to_owned())));
        // Another service on the same machine is told by its port, or by a [[home]].
        assert!(!dialer.is_self(&HomeRef::parse("mail1:4191").expect("a home")));
        assert!(!dialer.is_self(&HomeRef::parse("mail2").expect("a home")));
    }

    #[tokio::test]
    async fn orders_and_health_outlive_a_new_configuration() {
        let dialer = dialer();
        let home = HomeRef::parse("Store1:143").expect("a home");
        dialer.drain(&home, "new disks").expect("in memory");
        let homes = Homes::new(Vec::new(), &ClientTlsConfig::default()).expect("no homes are good homes");
        let next = dialer.for_homes(Arc::new(homes));
        let other_port = HomeRef::parse("store1").expect("a home");
        let (_trigger, shutdown) = Shutdown::new();
        let peer = Peer {
            client: ([192, 0, 2, 7], 4242).into(),
            local: ([192, 0, 2, 1], 143).into(),
            tls: model::TlsState::Plain,
            trace: model::TraceId::new(1),
        };
        let caller = Caller {
            peer: &peer,
            shutdown: &shutdown,
            named: Named::Client(None),
        };
        let refused = next.dial(&other_port, Protocol::Imap, caller).await.map(drop);
        assert_eq!(refused, Err(Failure::Drained("store1".to_owned())));
        assert!(next.enable(&home).expect("in memory") && dialer.drained().is_empty());
    }
}
