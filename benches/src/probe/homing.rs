//! The product's own crates at work.

use super::{Answer, Job, Shuffle, memory};
use crate::machine::own_cpu_seconds;
use anyhow::{Context, Result, bail, ensure};
use directory::feed::{self, ChangeSource, Step};
use directory::{
    Connector, ConnectorConfig, Freshness, HomeRef, LdapAuthenticator, LdapMethod, Lookup, Route, UserMap,
    UserMapConfig, UserMaps,
};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticator, Clock, Credential, Peer, Protocol, Secret, SystemClock,
    TlsState, TraceId,
};
use net::{Shutdown, ShutdownTrigger};
use password::VerifyPool;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};

/// Longer than any filling of a map takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// This process may look at the clock: it measures.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn connector(job: &Job) -> Result<Arc<Connector>> {
    let config: ConnectorConfig =
        serde_json::from_value(job.connector.clone()).context("the connector's configuration")?;
    let problems = config.check();
    ensure!(problems.is_empty(), "the connector's configuration: {problems:?}");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Connector::new(config, clock).map_err(|problems| anyhow::anyhow!("{problems:?}"))
}

pub(super) fn addresses(job: &Job) -> Result<Arc<Vec<Address>>> {
    let parsed: Result<Vec<Address>, _> = job.addresses.iter().map(|text| Address::parse(text)).collect();
    Ok(Arc::new(parsed?))
}

/// CPU time, memory and clock of the measured part.
pub(super) struct Meter {
    began: Instant,
    cpu: f64,
    memory: f64,
    peak: f64,
}

impl Meter {
    pub(super) fn start() -> Result<Self> {
        let memory = memory();
        Ok(Self {
            cpu: own_cpu_seconds()?,
            began: now(),
            memory,
            peak: memory,
        })
    }

    pub(super) fn look(&mut self) {
        self.peak = self.peak.max(memory());
    }

    pub(super) fn answer(mut self, operations: u64) -> Result<Answer> {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu_seconds = own_cpu_seconds()? - self.cpu;
        self.look();
        Ok(Answer {
            operations,
            seconds,
            cpu_seconds,
            memory_before: self.memory,
            memory_peak: self.peak,
            memory_after: memory(),
            ..Answer::default()
        })
    }
}

/// Runs `window` workers until the time is over; how many operations were done. Each operation gets the number of
/// the person that it is about.
pub(super) async fn at_once<F, Fut>(window: usize, span: Duration, people: usize, operation: F) -> Result<u64>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let until = now() + span;
    let mut workers = JoinSet::new();
    for worker in 0..window {
        let operation = operation.clone();
        workers.spawn(async move {
            let mut shuffle = Shuffle::new(worker as u64);
            let mut done = 0u64;
            while now() < until {
                operation(shuffle.next(people)).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut all = 0;
    while let Some(worker) = workers.join_next().await {
        all += worker??;
    }
    Ok(all)
}

/// Look-ups as a front end without a cache makes them.
pub(super) async fn lookups(job: &Job, window: usize, span: Duration) -> Result<Answer> {
    let (connector, addresses) = (connector(job)?, addresses(job)?);
    let count = addresses.len();
    let look_up = move |index: usize| {
        let (connector, addresses) = (Arc::clone(&connector), Arc::clone(&addresses));
        async move {
            let address = addresses.get(index).context("an address")?;
            match connector.lookup_address(address).await {
                Lookup::Found(_) => Ok(()),
                other => bail!("{address}: {other:?}"),
            }
        }
    };
    look_up(0).await?;
    let meter = Meter::start()?;
    let done = at_once(window, span, count, look_up).await?;
    meter.answer(done)
}

/// One whole refresh, every entry read through the mapping.
pub(super) async fn refresh(job: &Job) -> Result<Answer> {
    let connector = connector(job)?;
    let mut source = feed::ContentSync::new(connector);
    let mut meter = Meter::start()?;
    let mut changes = source.poll(None).await?;
    let mut entries = 0u64;
    let mut steps = 0u32;
    while let Step::Changes(portion) = changes.next().await.context("the feed ended early")?? {
        entries += portion.len() as u64;
        steps += 1;
        if steps.is_multiple_of(64) {
            meter.look();
        }
    }
    meter.answer(entries)
}

/// Logins, each a search and a bind: nobody comes twice while a cache would remember.
pub(super) async fn binds(job: &Job, window: usize, span: Duration) -> Result<Answer> {
    let (connector, addresses) = (connector(job)?, addresses(job)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let pool = VerifyPool::for_this_machine();
    let authenticator = LdapAuthenticator::new(connector, LdapMethod::Bind, pool, clock)
        .map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
    let password = Secret::new(job.password.clone());
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = addresses.len();
    let log_in = move |_| {
        let (authenticator, addresses) = (Arc::clone(&authenticator), Arc::clone(&addresses));
        let (password, next) = (password.clone(), Arc::clone(&next));
        async move {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % addresses.len().max(1);
            let login = addresses.get(index).context("an address")?.as_str().to_owned();
            let request = AuthRequest {
                login,
                authzid: None,
                credential: Credential::Password(password),
                protocol: Protocol::Imap,
                peer: peer(),
            };
            match authenticator.check(&request).await {
                AuthOutcome::Accepted(_) => Ok(()),
                other => bail!("{}: {other:?}", request.login),
            }
        }
    };
    log_in(0).await?;
    let meter = Meter::start()?;
    let done = at_once(window, span, count, log_in).await?;
    meter.answer(done)
}

/// A live map at work.
pub(super) struct Live {
    pub(super) maps: UserMaps,
    map: Arc<UserMap>,
    trigger: ShutdownTrigger,
    driver: JoinHandle<()>,
}

impl Live {
    /// Starts it; it fills while others look.
    pub(super) fn start(job: &Job, connector: Arc<Connector>) -> Result<Self> {
        let config: UserMapConfig = serde_json::from_value(serde_json::json!({
            "name": "people", "kind": "ldap-password", "connector": connector.name(), "live": true
        }))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let map = UserMap::with_snapshots(config, Some(connector), PathBuf::from(&job.folder), clock)
            .map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
        let (trigger, shutdown) = Shutdown::new();
        let driver = map.live_driver().context("the map is not live")?;
        Ok(Self {
            maps: UserMaps::new(vec![Arc::clone(&map)]),
            driver: tokio::spawn(driver.run(shutdown)),
            map,
            trigger,
        })
    }

    /// The home of an address when the map itself says so.
    pub(super) async fn home(&self, address: &Address) -> Option<HomeRef> {
        match self.maps.resolve(address).await {
            Route::Home(found) if found.source.freshness == Freshness::Live => Some(found.home),
            _ => None,
        }
    }

    /// Waits until it answers by itself.
    pub(super) async fn filled(&self, address: &Address, meter: &mut Meter) -> Result<()> {
        let until = now() + PATIENCE;
        while self.home(address).await.is_none() {
            ensure!(now() < until, "the map is not filled: {:?}", self.map.problem());
            meter.look();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.trigger.request(Duration::ZERO);
        Ok(self.driver.await?)
    }
}

/// Fills a live map, then asks it.
pub(super) async fn live_map(job: &Job, span: Duration) -> Result<Answer> {
    let addresses = addresses(job)?;
    let first = addresses.first().context("an address")?;
    let connector = connector(job)?;
    let mut meter = Meter::start()?;
    let live = Live::start(job, connector)?;
    live.filled(first, &mut meter).await?;
    let mut answer = meter.answer(addresses.len() as u64)?;
    // What the filling freed goes back to the system before the map is weighed.
    tokio::time::sleep(Duration::from_millis(500)).await;
    answer.memory_after = memory();
    let mut shuffle = Shuffle::new(7);
    let began = now();
    let mut done = 0u64;
    while began.elapsed() < span {
        for _ in 0..1000 {
            let address = addresses
                .get(shuffle.next(addresses.len()))
                .context("an address")?;
            ensure!(
                live.home(address).await.is_some(),
                "{address} has no home in the live map"
            );
            done += 1;
        }
    }
    answer.lookups_per_second = done as f64 / began.elapsed().as_secs_f64();
    live.stop().await?;
    Ok(answer)
}

/// The client that logins come from.
fn peer() -> Peer {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Peer {
        client: nowhere,
        local: nowhere,
        tls: TlsState::Plain,
        trace: TraceId::new(0),
    }
}
