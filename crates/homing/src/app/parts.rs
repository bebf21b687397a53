//! Everything that services share, built in the order in which it depends on each other.

use super::auth;
use super::front::Front;
use crate::cli::Failure;
use crate::config::Config;
use directory::{Connector, Domains, Homes, UserMap, UserMaps};
use frontend::Dialer;
use ldapsync::SyncEngine;
use model::{Authenticator, Clock, Domain, OnDemand, OnDemandOutcome, SystemClock};
use net::{ClientTlsConfig, Resolver, ServerTls};
use password::VerifyPool;
use std::num::NonZeroUsize;
use std::sync::Arc;
use store::Store;

/// What services are made of. A reload builds another one, out of what is unchanged and what is new.
pub(super) struct Parts {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) server_name: Domain,
    pub(super) tls: Option<ServerTls>,
    pub(super) passwords: VerifyPool,
    /// None on a front end that holds no accounts.
    pub(super) store: Option<Store>,
    pub(super) connectors: Vec<Arc<Connector>>,
    pub(super) sync: Vec<Arc<SyncEngine>>,
    pub(super) on_demand: Option<OnDemand>,
    /// The maps of each proxy service, in its order.
    pub(super) maps: Vec<(&'static str, Arc<UserMaps>)>,
    /// The domains that each mail proxy takes mail for.
    pub(super) domains: Vec<(&'static str, Arc<Domains>)>,
    /// Every user map, used or not.
    pub(super) all_maps: Vec<Arc<UserMap>>,
    pub(super) dialer: Arc<Dialer>,
    /// What a reload keeps of the front end.
    pub(super) front: Front,
    /// Checks logins at the IMAP and POP3 servers.
    pub(super) accounts: Option<Arc<dyn Authenticator>>,
}

/// The parts in force and the configuration that they were built from.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) parts: &'a Parts,
    pub(super) config: &'a Config,
}

impl Before<'_> {
    /// Whether a section, or an item of a list, says what it said; `without` is a part that does not count.
    pub(super) fn same(&self, now: &Config, path: &[&str], without: Option<&str>) -> bool {
        self.config.source.same(&now.source, path, without)
    }

    /// Whether client certificates log in as they did.
    pub(super) fn same_certificates(&self, now: &Config) -> bool {
        let of = |config: &Config| {
            let tls = config.tls.as_ref().filter(|tls| tls.client_ca.is_some());
            tls.map(|tls| tls.client_name)
        };
        of(self.config) == of(now)
    }

    /// Whether everything is the same that is in no section with a rule of its own in this folder.
    pub(super) fn same_elsewhere(&self, now: &Config) -> bool {
        let known = [
            "drain_timeout",
            "tls",
            "log",
            "connector",
            "user_map",
            "home",
            "domain",
        ];
        let services: Vec<&str> = now.listeners().iter().map(|(name, _)| *name).collect();
        let (before, after) = (self.config.source.sections(), now.source.sections());
        let mut others = before
            .union(&after)
            .filter(|section| !known.contains(section) && !services.contains(section));
        others.all(|section| self.same(now, &[section], None))
    }
}

impl Parts {
    pub(super) fn build(config: &Config) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let server_name = Domain::parse(&config.server_name)
            .map_err(|error| config.fault("server_name", error.to_string()))?;
        let tls = match &config.tls {
            Some(tls) => Some(ServerTls::load(tls).map_err(|error| config.fault("tls", error.to_string()))?),
            None => None,
        };
        let passwords = password_pool(config);
        let Routing {
            connectors,
            maps: all_maps,
            domains,
            homes,
        } = Routing::build(config, &clock, None)?;
        make_data_dir(config)?;
        let store = match config.holds_accounts() {
            true => Some(open_store(config, &clock)?),
            false => None,
        };
        let sync = sync_engines(config, store.as_ref(), &connectors, &clock);
        let on_demand = on_demand(&sync);
        let maps = service_maps(config, &all_maps);
        let front = Front::build(config, &clock)?;
        let dialer = dialer(config, homes, &clock, &front)?;
        let mut parts = Self {
            clock,
            server_name,
            tls,
            passwords,
            store,
            connectors,
            sync,
            on_demand,
            maps,
            domains,
            all_maps,
            dialer,
            front,
            accounts: None,
        };
        parts.accounts = auth::for_accounts(config, &parts)?;
        Ok(parts)
    }

    /// Whose mail is taken, by each mail proxy that listens.
    pub(super) fn domains_in_force(&self, config: &Config) -> Vec<(&'static str, Arc<Domains>)> {
        let listens = |service: &str| match service {
            "smtp_proxy" => !config.smtp_proxy.listener.is_empty(),
            _ => !config.lmtp_proxy.listener.is_empty(),
        };
        let domains = self.domains.iter().filter(|(service, _)| listens(service));
        domains.cloned().collect()
    }

    /// The parts of a new configuration. What it says nothing new about is kept as it is, with its connections,
    /// its caches and its replicas; the store and the synchronisation are always kept.
    pub(super) fn rebuild(before: Before<'_>, config: &Config) -> Result<Self, Failure> {
        let old = before.parts;
        let tls = match &config.tls {
            Some(tls) => Some(ServerTls::load(tls).map_err(|error| config.fault("tls", error.to_string()))?),
            None => None,
        };
        let Routing {
            connectors,
            maps: all_maps,
            domains,
            homes,
        } = Routing::build(config, &old.clock, Some(before))?;
        let dialer = if before.same(config, &["home"], None) && before.same_elsewhere(config) {
            Arc::clone(&old.dialer)
        } else {
            Arc::new(old.dialer.for_homes(Arc::new(homes)))
        };
        old.front.trust_itself(config, &old.clock)?;
        let same_accounts = before.same(config, &["domain"], None)
            && before.same_elsewhere(config)
            && before.same_certificates(config)
            && same_items(&old.connectors, &connectors);
        let mut parts = Self {
            clock: Arc::clone(&old.clock),
            server_name: old.server_name.clone(),
            tls,
            passwords: old.passwords.clone(),
            store: old.store.clone(),
            connectors,
            sync: old.sync.clone(),
            on_demand: old.on_demand.clone(),
            maps: service_maps(config, &all_maps),
            domains,
            all_maps,
            dialer,
            front: old.front.clone(),
            accounts: old.accounts.clone(),
        };
        if !same_accounts {
            parts.accounts = auth::for_accounts(config, &parts)?;
        }
        Ok(parts)
    }

    /// Who can look again at the sessions of the proxies.
    pub(super) fn proxy_authenticators(&self, config: &Config) -> Vec<Arc<dyn Authenticator>> {
        let build = |(_, _, section): (_, _, frontend::LoginProxyConfig)| {
            auth::for_proxy(config, self, &section.auth, &section.user_maps)
                .ok()
                .flatten()
        };
        config.login_proxies().into_iter().filter_map(build).collect()
    }

    /// The connector of this name.
    pub(super) fn connector(&self, name: &str) -> Option<&Arc<Connector>> {
        self.connectors.iter().find(|connector| connector.name() == name)
    }

    /// The domains of a mail proxy.
    pub(super) fn domains_of(&self, service: &str) -> Option<&Arc<Domains>> {
        let found = self.domains.iter().find(|(name, _)| *name == service);
        found.map(|(_, domains)| domains)
    }

    /// The maps of a proxy service.
    pub(super) fn maps_of(&self, service: &str) -> Arc<UserMaps> {
        let found = self.maps.iter().find(|(name, _)| *name == service);
        found.map_or_else(
            || Arc::new(UserMaps::new(Vec::new())),
            |(_, maps)| Arc::clone(maps),
        )
    }
}

/// What the configuration says about directories and homes. Building it reads the files that it names, and
/// asks no server.
struct Routing {
    connectors: Vec<Arc<Connector>>,
    maps: Vec<Arc<UserMap>>,
    domains: Vec<(&'static str, Arc<Domains>)>,
    homes: Homes,
}

impl Routing {
    fn build(config: &Config, clock: &Arc<dyn Clock>, before: Option<Before<'_>>) -> Result<Self, Failure> {
        let connectors = connectors(config, clock, before)?;
        let maps = all_maps(config, &connectors, clock, before)?;
        check_ports(config, &maps)?;
        let domains = all_domains(config, &connectors, clock, before)?;
        let homes = Homes::new(config.home.clone(), &ClientTlsConfig::default())
            .map_err(|found| config.faults("", found))?;
        Ok(Self {
            connectors,
            maps,
            domains,
            homes,
        })
    }
}

/// Finds what only the use of a configuration shows, without a trace on disk.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Routing::build(config, &clock, None).map(drop)
}

fn password_pool(config: &Config) -> VerifyPool {
    match NonZeroUsize::new(config.password.workers) {
        Some(workers) => VerifyPool::new(workers, config.password.queue),
        None => VerifyPool::new(
            std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            config.password.queue,
        ),
    }
}

/// Nobody else may look into the folder: it holds mail.
fn make_data_dir(config: &Config) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir);
    made.map_err(|error| {
        let text = format!(
            "data_dir {}: {error}; name a folder that this user may write in, with data_dir in --config FILE",
            config.data_dir.display()
        );
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NotPermitted(text),
            _ => Failure::Refused(text),
        }
    })
}

fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> Result<Store, Failure> {
    let opened = Store::open(&config.data_dir, &config.store, Arc::clone(clock));
    let store = opened.map_err(|error| {
        let text = format!("store in {}: {error}", config.data_dir.display());
        if error.is_temporary() {
            Failure::Temporary(text)
        } else {
            Failure::Refused(text)
        }
    })?;
    let before = store.node();
    let node = store
        .take_name(&config.server_name)
        .map_err(|error| Failure::Temporary(format!("store in {}: {error}", config.data_dir.display())))?;
    match before {
        Some(before) if before.name() != node.name() => tracing::warn!(
            former = before.name(),
            now = node.name(),
            node = node.id(),
            "this server has another name; what the directory says under the former one is still its own"
        ),
        _ => tracing::debug!(node = %node, "who this server is"),
    }
    if let Some(lost) = store.lost_commits() {
        let (found, made) = (lost.found, lost.made);
        tracing::error!(
            found,
            made,
            "the disk has lost commits that it had promised to keep; restore from a backup"
        );
    }
    Ok(store)
}

fn dialer(
    config: &Config,
    homes: Homes,
    clock: &Arc<dyn Clock>,
    front: &Front,
) -> Result<Arc<Dialer>, Failure> {
    let made = Dialer::with_orders(
        Arc::new(homes),
        Resolver::system(),
        Arc::clone(clock),
        &config.data_dir,
    );
    let dialer = made.map_err(|error| Failure::Refused(format!("the list of drained homes: {error}")))?;
    Ok(Arc::new(match config.holds_accounts() {
        true => dialer.serving(front.local.clone()),
        false => dialer,
    }))
}

/// Whether both lists hold the very same items.
pub(super) fn same_items<T>(before: &[Arc<T>], now: &[Arc<T>]) -> bool {
    before.len() == now.len()
        && before
            .iter()
            .zip(now)
            .all(|(before, now)| Arc::ptr_eq(before, now))
}

fn connectors(
    config: &Config,
    clock: &Arc<dyn Clock>,
    before: Option<Before<'_>>,
) -> Result<Vec<Arc<Connector>>, Failure> {
    let login_domain = config.login_domain();
    let kept = |name: &str| {
        let before = before?;
        let same = before.same(config, &["connector", name], None)
            && before.config.login_domain() == login_domain
            && before.config.domain_aliases() == config.domain_aliases();
        before.parts.connector(name).filter(|_| same).cloned()
    };
    let build = |(index, section): (usize, &directory::ConnectorConfig)| {
        if let Some(kept) = kept(&section.name) {
            return Ok(kept);
        }
        let mut section = section.clone();
        section.default_domain = section.default_domain.or_else(|| login_domain.clone());
        let made = Connector::new(section, Arc::clone(clock));
        made.map_err(|found| config.faults(&format!("connector.{index}"), found))
    };
    config.connector.iter().enumerate().map(build).collect()
}

fn sync_engines(
    config: &Config,
    store: Option<&Store>,
    connectors: &[Arc<Connector>],
    clock: &Arc<dyn Clock>,
) -> Vec<Arc<SyncEngine>> {
    let Some(store) = store else { return Vec::new() };
    let names = connectors.iter().map(|connector| connector.name().to_owned());
    let homes = config.home.iter();
    let homes = homes.flat_map(|home| std::iter::once(&home.name).chain(&home.host));
    let beside = ldapsync::Beside {
        connectors: names.collect(),
        homes: homes.cloned().collect(),
    };
    let engine = |connector: &Arc<Connector>| {
        SyncEngine::new(
            Arc::clone(connector),
            store.clone(),
            Arc::clone(clock),
            &config.server_name,
            &[],
            &beside,
        )
    };
    connectors.iter().map(engine).collect()
}

/// Asks each engine until one serves the domain.
fn on_demand(engines: &[Arc<SyncEngine>]) -> Option<OnDemand> {
    if engines.is_empty() {
        return None;
    }
    let engines: Arc<[Arc<SyncEngine>]> = engines.into();
    Some(Arc::new(move |address| {
        let engines = Arc::clone(&engines);
        Box::pin(async move {
            for engine in &*engines {
                match engine.on_demand(&address).await {
                    OnDemandOutcome::NotConnected => {}
                    other => return other,
                }
            }
            OnDemandOutcome::NotConnected
        })
    }))
}

fn all_maps(
    config: &Config,
    connectors: &[Arc<Connector>],
    clock: &Arc<dyn Clock>,
    before: Option<Before<'_>>,
) -> Result<Vec<Arc<UserMap>>, Failure> {
    // A map is what it was when its own settings and its connector are.
    let kept = |name: &str, connector: Option<&Arc<Connector>>| {
        let before = before?;
        let same = before.same(config, &["user_map", name], None)
            && before.config.domain_aliases() == config.domain_aliases()
            && connector.is_none_or(|now| {
                let old = before.parts.connector(now.name());
                old.is_some_and(|old| Arc::ptr_eq(old, now))
            });
        let mut maps = before.parts.all_maps.iter();
        maps.find(|map| map.name() == name).filter(|_| same).cloned()
    };
    let build = |(index, section): (usize, &directory::UserMapConfig)| {
        let named = section.connector.as_deref();
        let connector = connectors
            .iter()
            .find(|connector| Some(connector.name()) == named);
        if let Some(kept) = kept(&section.name, connector) {
            return Ok(kept);
        }
        let snapshots = config.data_dir.join("live-maps");
        let made = UserMap::with_snapshots(section.clone(), connector.cloned(), snapshots, Arc::clone(clock));
        made.map_err(|found| config.faults(&format!("user_map.{index}"), found))
    };
    config.user_map.iter().enumerate().map(build).collect()
}

/// Who knows the domains of the mail proxies. One that says what it said keeps what it knows; its file is read again.
fn all_domains(
    config: &Config,
    connectors: &[Arc<Connector>],
    clock: &Arc<dyn Clock>,
    before: Option<Before<'_>>,
) -> Result<Vec<(&'static str, Arc<Domains>)>, Failure> {
    let aliases = config.domain_aliases();
    let kept = |service: &str, connector: Option<&Arc<Connector>>| {
        let before = before?;
        let sections = before.config.mail_proxies();
        let old = sections.iter().find(|(name, _)| *name == service);
        let now = config.mail_proxies();
        let now = now.iter().find(|(name, _)| *name == service);
        let same = old.map(|(_, section)| &section.domains) == now.map(|(_, section)| &section.domains)
            && before.config.domain_aliases() == aliases
            && connector.is_none_or(|now| {
                let old = before.parts.connector(now.name());
                old.is_some_and(|old| Arc::ptr_eq(old, now))
            });
        before.parts.domains_of(service).filter(|_| same).cloned()
    };
    let build = |(service, section): (&'static str, &frontend::SmtpProxyConfig)| {
        let named = section.domains.connector();
        let connector = connectors
            .iter()
            .find(|connector| Some(connector.name()) == named);
        let domains = match kept(service, connector) {
            Some(kept) => kept.read_again().map(|()| kept),
            None => Domains::new(
                &section.domains,
                connector.cloned(),
                aliases.clone(),
                Arc::clone(clock),
            ),
        };
        let domains = domains.map_err(|found| config.faults(service, found))?;
        Ok((service, domains))
    };
    config.mail_proxies().into_iter().map(build).collect()
}

/// Services that name the same map share it and its cache.
fn service_maps(config: &Config, all: &[Arc<UserMap>]) -> Vec<(&'static str, Arc<UserMaps>)> {
    let pick = |names: &[String]| {
        let found = names
            .iter()
            .filter_map(|name| all.iter().find(|map| map.name() == name))
            .cloned();
        Arc::new(UserMaps::new(found.collect()))
    };
    let used = proxy_maps(config)
        .into_iter()
        .filter(|(_, names)| !names.is_empty());
    used.map(|(service, names)| (service, pick(&names))).collect()
}

/// The maps that each proxy names.
fn proxy_maps(config: &Config) -> Vec<(&'static str, Vec<String>)> {
    let login = config.login_proxies();
    let login = login
        .into_iter()
        .map(|(_, service, section)| (service, section.user_maps));
    let routed = [
        ("smtp_proxy", config.smtp_proxy.user_maps.clone()),
        ("lmtp_proxy", config.lmtp_proxy.user_maps.clone()),
    ];
    routed.into_iter().chain(login).collect()
}

/// A home with a port can serve one protocol only.
fn check_ports(config: &Config, all: &[Arc<UserMap>]) -> Result<(), Failure> {
    let services = proxy_maps(config);
    for (index, map) in all.iter().enumerate() {
        let users = services
            .iter()
            .filter(|(_, names)| names.iter().any(|name| name == map.name()))
            .count();
        if let (2.., Some(home)) = (users, map.home_with_port()) {
            let message = format!(
                "{home} names a port, and several protocols use this map; give the home a [[home]] section with a \
                 port for each protocol"
            );
            return Err(config.fault(&format!("user_map.{index}"), message));
        }
    }
    Ok(())
}
