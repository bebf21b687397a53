//! What runs now, and what a new configuration makes of it.
//!
//! A session takes its server from its service's place when it begins and keeps it to its end, so that replacing
//! what lies in the place touches nobody. Everything that can fail is done before anything is replaced.

use super::auth;
use super::front::{self, Judges};
use super::parts::{Before, Parts};
use super::pinned;
use super::services::{self, Bound, Server, Slot};
use crate::cli::Failure;
use crate::config::{Config, Source};
use crate::logging::LogLevel;
use admin::{Changed, Current, NeedsRestart, Reloaded, Service};
use arc_swap::ArcSwap;
use directory::{Connector, LiveDriver, UserMap};
use net::{ListenerControl, Shutdown, ShutdownTrigger};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How long the driver of a live map that is replaced may take to write its last snapshot.
const LAST_SNAPSHOT: Duration = Duration::from_secs(10);

/// Everything that runs.
pub(super) struct Running {
    /// The configuration in force.
    config: Config,
    /// What the parts that a reload does not replace were built from.
    start: Source,
    pub(super) parts: Parts,
    services: BTreeMap<&'static str, Slot>,
    listeners: Vec<RunningListener>,
    live: Vec<RunningLive>,
    /// Services whose listeners were retired and may still have sessions.
    retired: Vec<Arc<Service>>,
    level: LogLevel,
    current: Arc<ArcSwap<Current>>,
    /// Who says whether sessions may go on.
    judges: Arc<ArcSwap<Judges>>,
    /// Connectors whose news of accounts are heard.
    heard: Vec<Weak<Connector>>,
    pub(super) tasks: JoinSet<()>,
    shutdown: Shutdown,
}

struct RunningListener {
    configured: SocketAddr,
    control: ListenerControl,
    handle: Arc<Service>,
}

/// The driver of a live map.
struct RunningLive {
    map: Arc<UserMap>,
    stop: ShutdownTrigger,
    ended: oneshot::Receiver<()>,
}

/// What is built of a new configuration before anything is replaced.
struct Next {
    config: Config,
    parts: Parts,
    /// Services that are new.
    slots: BTreeMap<&'static str, Slot>,
    /// New servers for services that run.
    servers: BTreeMap<&'static str, Server>,
    bound: Vec<Bound>,
    needs_restart: Vec<NeedsRestart>,
}

impl Running {
    /// Builds the services and binds their listeners. Nothing is accepted yet.
    pub(super) async fn bind(
        config: Config,
        parts: Parts,
        level: LogLevel,
        shutdown: Shutdown,
    ) -> Result<(Self, Vec<Bound>), Failure> {
        let services = services::build_all(&config, &parts)?;
        services::serve_locally(&config, &parts, &services);
        let bound = services::bind(&config, &parts, &services).await?;
        let current = Current {
            maps: parts.maps.clone(),
            domains: parts.domains_in_force(&config),
            connectors: parts.connectors.clone(),
            homes: Arc::clone(&parts.dialer),
            services: bound.iter().map(|bound| Arc::clone(&bound.handle)).collect(),
            logins: auth::logins(&config, &parts),
        };
        let judges = Judges::of(&config, &parts);
        let running = Self {
            judges: Arc::new(ArcSwap::from_pointee(judges)),
            heard: Vec::new(),
            start: config.source.clone(),
            config,
            parts,
            services,
            listeners: Vec::new(),
            live: Vec::new(),
            retired: Vec::new(),
            level,
            current: Arc::new(ArcSwap::from_pointee(current)),
            tasks: JoinSet::new(),
            shutdown,
        };
        Ok((running, bound))
    }

    /// What the admin API shows.
    pub(super) fn current(&self) -> Arc<ArcSwap<Current>> {
        Arc::clone(&self.current)
    }

    /// How long sessions may take when the server stops.
    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.config.drain_timeout)
    }

    /// How long sessions go on as if nothing were when the server is asked to stop.
    pub(super) fn linger(&self) -> Duration {
        Duration::from_secs(self.config.linger)
    }

    /// Whether anybody is connected.
    pub(super) fn has_sessions(&self) -> bool {
        let handles = self.listeners.iter().map(|running| &running.handle);
        handles.chain(&self.retired).any(|service| service.sessions() > 0)
    }

    /// Lets the listeners accept and the live maps follow.
    pub(super) fn start(&mut self, bound: Vec<Bound>) {
        for map in self.parts.all_maps.clone() {
            self.follow(&map);
        }
        for bound in bound {
            self.listen(bound);
        }
        let sessions = self.parts.front.sessions.clone();
        let shutdown = self.shutdown.clone();
        self.tasks
            .spawn(async move { sessions.drain_with(shutdown).await });
        self.tasks
            .spawn(front::probe(self.current(), self.shutdown.clone()));
        let judges = Arc::clone(&self.judges);
        self.tasks.spawn(front::look_again(judges, self.shutdown.clone()));
        self.hear();
    }

    /// Listens to the connectors that are new.
    fn hear(&mut self) {
        self.heard.retain(|known| known.strong_count() > 0);
        for connector in &self.parts.connectors {
            let known = |heard: &Weak<Connector>| std::ptr::eq(heard.as_ptr(), Arc::as_ptr(connector));
            if self.heard.iter().any(known) {
                continue;
            }
            let events = connector.account_events().subscribe();
            let sessions = self.parts.front.sessions.clone();
            self.tasks
                .spawn(front::follow(events, sessions, self.shutdown.clone()));
            self.heard.push(Arc::downgrade(connector));
        }
    }

    fn listen(&mut self, bound: Bound) {
        let handle = Arc::clone(&bound.handle);
        tracing::info!(service = handle.name(), address = %handle.address(), "listening");
        self.listeners.push(RunningListener {
            configured: bound.configured,
            control: bound.control(),
            handle,
        });
        self.tasks.spawn(bound.run(self.shutdown.clone()));
    }

    fn follow(&mut self, map: &Arc<UserMap>) {
        let Some(driver) = map.live_driver() else { return };
        let (stop, order) = Shutdown::new();
        let (end, ended) = oneshot::channel();
        self.tasks.spawn(drive(driver, order, end));
        self.live.push(RunningLive {
            map: Arc::clone(map),
            stop,
            ended,
        });
    }

    /// The drivers of live maps stop and write what they know.
    pub(super) fn stop_live(&self, drain: Duration) {
        for live in &self.live {
            live.stop.request(drain);
        }
    }

    /// Reads the configuration again. On an error everything is as it was.
    pub(super) async fn reload(&mut self) -> Result<Reloaded, Failure> {
        let mut config = crate::config::load(self.config.path.as_deref())?;
        let file = config.path.as_ref().map(|path| path.display().to_string());
        let needs_restart = pinned::pin(&mut config, &self.config, &self.start, &self.parts);
        let changed = self.config.source.differences(&config.source);
        config.log_notes();
        let next = self.prepare(config, needs_restart).await?;
        let needs_restart = self.replace(next).await;
        let changed = changed.iter().map(|found| Changed {
            key: found.key(),
            what: found.what,
        });
        Ok(Reloaded {
            file,
            changed: changed.collect(),
            needs_restart,
        })
    }

    /// Builds what is new, reads the files that it names, binds new addresses.
    async fn prepare(&self, config: Config, mut needs_restart: Vec<NeedsRestart>) -> Result<Next, Failure> {
        let before = Before {
            parts: &self.parts,
            config: &self.config,
        };
        let parts = Parts::rebuild(before, &config)?;
        let mut slots = BTreeMap::new();
        let mut servers = BTreeMap::new();
        let mut bound = Vec::new();
        let (was, is) = (services::in_force(&self.config), services::in_force(&config));
        for (name, listeners) in config.listeners() {
            if !is.contains(&name) {
                continue;
            }
            match self.services.get(name) {
                // It came and went, and knows no configuration since.
                Some(slot) if !was.contains(&name) => {
                    let server = services::renew(name, &config, &parts, &slot.place.load())?;
                    servers.insert(name, server);
                }
                Some(slot) => {
                    let running = slot.place.load();
                    if let Some(server) = services::rebuild(name, &config, &parts, before, &running)? {
                        servers.insert(name, server);
                    }
                }
                None => {
                    slots.insert(name, services::build_one(name, &config, &parts)?);
                }
            }
            for (index, listener) in listeners.iter().enumerate() {
                let known = |running: &&RunningListener| running.configured == listener.address;
                let slot = self.services.get(name).or_else(|| slots.get(name));
                match (self.listeners.iter().find(known), slot) {
                    (Some(running), _) if running.handle.name() == name => {}
                    (Some(running), _) => needs_restart.push(NeedsRestart {
                        key: format!("{name}.listener.{}", listener.address),
                        why: format!("{} has this address until then", running.handle.name()),
                    }),
                    (None, Some(slot)) => {
                        bound.push(services::bind_one(name, index, &config, listener, slot, &parts).await?);
                    }
                    (None, None) => {}
                }
            }
        }
        if let Some(store) = &parts.store {
            super::host_domains(store, &config).await?;
        }
        Ok(Next {
            config,
            parts,
            slots,
            servers,
            bound,
            needs_restart,
        })
    }

    /// Puts it in force. Sessions that run keep what they began with.
    async fn replace(&mut self, next: Next) -> Vec<NeedsRestart> {
        let mut needs_restart = next.needs_restart;
        if next.config.log.level != self.config.log.level
            && let Err(why) = self.level.set(&next.config.log.level)
        {
            needs_restart.push(NeedsRestart {
                key: "log.level".to_owned(),
                why,
            });
        }
        self.replace_live(&next.parts.all_maps).await;
        self.services.extend(next.slots);
        // Before a proxy is in its place that counts on them.
        services::serve_locally(&next.config, &next.parts, &self.services);
        for (name, server) in next.servers {
            if let Some(slot) = self.services.get(name) {
                slot.place.store(Arc::new(server));
            }
        }
        self.change_listeners(&next.config, &next.parts, &mut needs_restart);
        for bound in next.bound {
            self.listen(bound);
        }
        self.parts = next.parts;
        self.config = next.config;
        self.parts.front.sessions.set_limits(self.config.sessions);
        self.judges.store(Arc::new(Judges::of(&self.config, &self.parts)));
        self.hear();
        self.retired.retain(|service| !service.is_over());
        let handles = self.listeners.iter().map(|running| &running.handle);
        self.current.store(Arc::new(Current {
            maps: self.parts.maps.clone(),
            domains: self.parts.domains_in_force(&self.config),
            connectors: self.parts.connectors.clone(),
            homes: Arc::clone(&self.parts.dialer),
            services: handles.chain(&self.retired).map(Arc::clone).collect(),
            logins: auth::logins(&self.config, &self.parts),
        }));
        needs_restart
    }

    /// Listeners that the file no longer names close; those that it names differently follow it.
    fn change_listeners(&mut self, config: &Config, parts: &Parts, needs_restart: &mut Vec<NeedsRestart>) {
        let mut kept = Vec::with_capacity(self.listeners.len());
        for running in std::mem::take(&mut self.listeners) {
            let sections = config.listeners();
            let mut named = sections
                .iter()
                .filter(|(name, _)| *name == running.handle.name())
                .flat_map(|(_, listeners)| listeners.iter());
            let Some(listener) = named.find(|listener| listener.address == running.configured) else {
                let service = running.handle.name();
                tracing::info!(service, address = %running.handle.address(), "no longer listening");
                running.control.retire();
                running.handle.retire();
                self.retired.push(running.handle);
                continue;
            };
            if let Err(error) = running.control.change(
                services::with_rules(config, running.handle.name(), listener),
                parts.tls.clone(),
            ) {
                needs_restart.push(NeedsRestart {
                    key: format!("{}.listener.{}", running.handle.name(), running.configured),
                    why: error.to_string(),
                });
            }
            kept.push(running);
        }
        self.listeners = kept;
    }

    /// A live map that is no longer in force writes its snapshot before its successor begins.
    async fn replace_live(&mut self, maps: &[Arc<UserMap>]) {
        let is_kept = |live: &RunningLive| maps.iter().any(|map| Arc::ptr_eq(map, &live.map));
        let (kept, over): (Vec<_>, Vec<_>) = std::mem::take(&mut self.live).into_iter().partition(is_kept);
        self.live = kept;
        for live in &over {
            live.stop.request(Duration::ZERO);
        }
        for live in over {
            if tokio::time::timeout(LAST_SNAPSHOT, live.ended).await.is_err() {
                tracing::warn!(map = live.map.name(), "the live map of before takes long to end");
            }
        }
        for map in maps {
            if !self.live.iter().any(|live| Arc::ptr_eq(&live.map, map)) {
                self.follow(map);
            }
        }
    }
}

async fn drive(driver: LiveDriver, order: Shutdown, end: oneshot::Sender<()>) {
    driver.run(order).await;
    // Nobody need wait for it.
    let _ = end.send(());
}
