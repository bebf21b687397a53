//! Every listener of the configuration: bound first, all of them, then run.

use super::auth;
use super::parts::{Before, Parts, same_items};
use crate::cli::Failure;
use crate::config::Config;
use access::imap::ImapService;
use access::{Pop3Parts, Pop3Service};
use admin::Service;
use arc_swap::ArcSwap;
use directory::Domains;
use frontend::ProxyContext;
use frontend::http::{HttpFiles, HttpProxy, HttpProxyError, SessionKeys};
use frontend::imap::ImapProxy;
use frontend::managesieve::ManageSieveProxy;
use frontend::pop3::Pop3Proxy;
use frontend::smtp::SmtpProxy;
use frontend::submission::SubmissionProxy;
use model::Protocol;
use mta::{Dialect, Receiver, ReceiverParts};
use net::{Accepted, Listener, ListenerConfig, ListenerControl, Rest, Shutdown};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a listener hands its connections to.
#[derive(Clone)]
pub(super) enum Server {
    Receive(Arc<Receiver>),
    Imap(Arc<ImapService>),
    Pop3(Arc<Pop3Service>),
    SmtpProxy(Arc<SmtpProxy>),
    ImapProxy(Arc<ImapProxy>),
    Pop3Proxy(Arc<Pop3Proxy>),
    ManageSieveProxy(Arc<ManageSieveProxy>),
    SubmissionProxy(Arc<SubmissionProxy>),
    HttpProxy(Arc<HttpProxy>),
}

/// The place where a session that begins finds its server. Those that run keep theirs.
pub(super) type Place = Arc<ArcSwap<Server>>;

/// A service by the name of its section, with all its listeners.
pub(super) struct Slot {
    pub(super) protocol: Protocol,
    pub(super) place: Place,
}

/// A listener that is bound and not yet running.
pub(super) struct Bound {
    listener: Listener,
    place: Place,
    pub(super) handle: Arc<Service>,
    /// The address that the configuration names, with port 0 for a free one.
    pub(super) configured: SocketAddr,
}

/// Builds each configured service, and those that its proxies reach in this process. Nothing listens yet.
pub(super) fn build_all(config: &Config, parts: &Parts) -> Result<BTreeMap<&'static str, Slot>, Failure> {
    let mut slots = BTreeMap::new();
    for name in in_force(config) {
        slots.insert(name, build_one(name, config, parts)?);
    }
    Ok(slots)
}

/// The services that this configuration has a use for, by name.
pub(super) fn in_force(config: &Config) -> Vec<&'static str> {
    let mut names = config.service_names();
    let local = reached_locally(config);
    names.extend(
        local
            .into_iter()
            .filter(|name| !config.service_names().contains(name)),
    );
    names
}

/// The servers through which the proxies of this configuration reach this server's own accounts, without a network.
/// Each is built, also when it has no listener of its own.
fn reached_locally(config: &Config) -> Vec<&'static str> {
    if !config.holds_accounts() {
        return Vec::new();
    }
    let running = config.service_names();
    let delivery = |section: &frontend::SmtpProxyConfig| match section.home_protocol {
        frontend::HomeProtocol::Smtp => "smtp",
        frontend::HomeProtocol::Lmtp => "lmtp",
    };
    let pairs = [
        ("imap_proxy", "imap"),
        ("pop3_proxy", "pop3"),
        ("smtp_proxy", delivery(&config.smtp_proxy)),
        ("lmtp_proxy", delivery(&config.lmtp_proxy)),
    ];
    let mut names: Vec<_> = pairs
        .into_iter()
        .filter(|(proxy, _)| running.contains(proxy))
        .map(|(_, name)| name)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Lets the proxies of this configuration reach their servers in this process. Done again, it changes nothing.
pub(super) fn serve_locally(config: &Config, parts: &Parts, slots: &BTreeMap<&'static str, Slot>) {
    for name in reached_locally(config) {
        let Some(slot) = slots.get(name) else { continue };
        let place = Arc::clone(&slot.place);
        let start = move |accepted: Accepted| {
            let server = Server::clone(&place.load());
            tokio::spawn(async move {
                serve(accepted, server).await;
            });
        };
        parts.front.local.serve(slot.protocol, Arc::new(start));
    }
}

/// Builds one service.
pub(super) fn build_one(name: &str, config: &Config, parts: &Parts) -> Result<Slot, Failure> {
    let (protocol, server) = build(name, config, parts, None)?;
    let place = Arc::new(ArcSwap::from_pointee(server));
    Ok(Slot { protocol, place })
}

/// Builds one service for a new configuration; none when nothing that it is made of is new.
pub(super) fn rebuild(
    name: &'static str,
    config: &Config,
    parts: &Parts,
    before: Before<'_>,
    running: &Server,
) -> Result<Option<Server>, Failure> {
    let same_section = before.same(config, &[name], Some("listener"))
        && before.same_elsewhere(config)
        && before.same_certificates(config)
        && before.config.login_domain() == config.login_domain()
        && before.config.domain_aliases() == config.domain_aliases();
    let same_parts = match running {
        Server::Receive(_) => true,
        Server::Imap(_) | Server::Pop3(_) => match (&before.parts.accounts, &parts.accounts) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            _ => false,
        },
        Server::SmtpProxy(_) => {
            let (old, now) = (before.parts.domains_of(name), parts.domains_of(name));
            Arc::ptr_eq(&before.parts.dialer, &parts.dialer)
                && same_items(&before.parts.all_maps, &parts.all_maps)
                && old.zip(now).is_some_and(|(old, now)| Arc::ptr_eq(old, now))
        }
        Server::ImapProxy(_)
        | Server::Pop3Proxy(_)
        | Server::ManageSieveProxy(_)
        | Server::SubmissionProxy(_)
        | Server::HttpProxy(_) => {
            // `auth` may name maps that `user_maps` does not.
            Arc::ptr_eq(&before.parts.dialer, &parts.dialer)
                && same_items(&before.parts.all_maps, &parts.all_maps)
        }
    };
    if same_section && same_parts {
        return Ok(None);
    }
    build(name, config, parts, Some(running)).map(|(_, server)| Some(server))
}

/// Builds one service that the configuration of before had no use for, out of what it was when it was last used.
pub(super) fn renew(
    name: &'static str,
    config: &Config,
    parts: &Parts,
    running: &Server,
) -> Result<Server, Failure> {
    build(name, config, parts, Some(running)).map(|(_, server)| server)
}

/// Binds every listener of the configuration.
pub(super) async fn bind(
    config: &Config,
    parts: &Parts,
    slots: &BTreeMap<&'static str, Slot>,
) -> Result<Vec<Bound>, Failure> {
    let mut bound = Vec::new();
    for (name, listeners) in config.listeners() {
        let Some(slot) = slots.get(name) else { continue };
        for (index, listener) in listeners.iter().enumerate() {
            bound.push(bind_one(name, index, config, listener, slot, parts).await?);
        }
    }
    Ok(bound)
}

/// Binds one listener, number `index` of its service.
pub(super) async fn bind_one(
    name: &'static str,
    index: usize,
    config: &Config,
    listener: &ListenerConfig,
    slot: &Slot,
    parts: &Parts,
) -> Result<Bound, Failure> {
    let configured = listener.address;
    let listener = with_rules(config, name, listener);
    let bound =
        Listener::bind_or_take(listener, slot.protocol, parts.tls.clone(), &parts.front.inherited).await;
    let key = format!("{name}.listener.{index}.address");
    let listener = bound
        .map_err(|error| config.fault(&key, error.to_string()))?
        .turning_away_with(last_words(slot.protocol));
    let handle = Service::new(name, listener.local_addr());
    Ok(Bound {
        listener,
        place: Arc::clone(&slot.place),
        handle,
        configured,
    })
}

/// A listener with the rules of the whole server behind its own.
pub(super) fn with_rules(config: &Config, service: &str, listener: &ListenerConfig) -> ListenerConfig {
    let mut listener = listener.clone();
    listener
        .access
        .extend(net::AccessRule::for_service(&config.access, service));
    listener
}

/// What a client hears that is one connection too many: never a "no".
fn last_words(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Smtp | Protocol::Submission | Protocol::Lmtp => {
            b"421 4.3.2 Too many connections; try again later\r\n"
        }
        // RFC 3501 section 7.1.5 and RFC 5530 section 3.
        Protocol::Imap => b"* BYE [UNAVAILABLE] Too many connections; try again later.\r\n",
        // RFC 3206 section 4.
        Protocol::Pop3 => b"-ERR [SYS/TEMP] Too many connections; try again later.\r\n",
        // RFC 5804 section 1.3.
        Protocol::ManageSieve => b"BYE (TRYLATER) \"Too many connections; try again later.\"\r\n",
        // RFC 9110 section 15.6.4.
        Protocol::Http => {
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        }
    }
}

fn build(
    name: &str,
    config: &Config,
    parts: &Parts,
    running: Option<&Server>,
) -> Result<(Protocol, Server), Failure> {
    Ok(match name {
        "smtp" => (
            Protocol::Smtp,
            Server::Receive(receiver(Dialect::Smtp, config, parts)?),
        ),
        "lmtp" => (
            Protocol::Lmtp,
            Server::Receive(receiver(Dialect::Lmtp, config, parts)?),
        ),
        "imap" => (Protocol::Imap, Server::Imap(imap(config, parts)?)),
        "pop3" => (Protocol::Pop3, Server::Pop3(pop3(config, parts, running)?)),
        "smtp_proxy" => {
            let domains = domains(parts, name)?;
            let proxy = SmtpProxy::new(config.smtp_proxy.clone(), context(parts, name), domains)
                .map_err(|error| config.fault("smtp_proxy", error.to_string()))?;
            (Protocol::Smtp, Server::SmtpProxy(Arc::new(proxy)))
        }
        "lmtp_proxy" => {
            let domains = domains(parts, name)?;
            let proxy = SmtpProxy::lmtp(config.lmtp_proxy.clone(), context(parts, name), domains)
                .map_err(|error| config.fault("lmtp_proxy", error.to_string()))?;
            (Protocol::Lmtp, Server::SmtpProxy(Arc::new(proxy)))
        }
        "imap_proxy" => {
            let section = &config.imap_proxy;
            let authenticator = auth::for_proxy(config, parts, &section.auth, &section.user_maps)?;
            let proxy = ImapProxy::new(section, context(parts, name), authenticator);
            (Protocol::Imap, Server::ImapProxy(Arc::new(proxy)))
        }
        "http_proxy" => (
            Protocol::Http,
            Server::HttpProxy(http_proxy(config, parts, running)?),
        ),
        "managesieve_proxy" => {
            let section = &config.managesieve_proxy;
            let authenticator = auth::for_proxy(config, parts, &section.auth, &section.user_maps)?;
            let proxy = ManageSieveProxy::new(section, context(parts, name), authenticator);
            (Protocol::ManageSieve, Server::ManageSieveProxy(Arc::new(proxy)))
        }
        "submission_proxy" => {
            let section = &config.submission_proxy;
            let authenticator = auth::for_proxy(config, parts, &section.auth, &section.user_maps)?;
            let proxy = SubmissionProxy::new(section, context(parts, name), authenticator);
            (Protocol::Submission, Server::SubmissionProxy(Arc::new(proxy)))
        }
        _ => {
            let section = &config.pop3_proxy;
            let authenticator = auth::for_proxy(config, parts, &section.auth, &section.user_maps)?;
            let proxy = Pop3Proxy::new(section, context(parts, name), authenticator);
            (Protocol::Pop3, Server::Pop3Proxy(Arc::new(proxy)))
        }
    })
}

fn http_proxy(config: &Config, parts: &Parts, running: Option<&Server>) -> Result<Arc<HttpProxy>, Failure> {
    let section = &config.http_proxy;
    let authenticator = auth::for_proxy(config, parts, &section.auth, &section.user_maps)?;
    let keys = config.session_keys();
    let context = context(parts, "http_proxy");
    if section.session_keys.is_none() {
        let made = SessionKeys::ensure(&keys);
        made.map_err(|error| config.fault("http_proxy.session_keys", error.to_string()))?;
    }
    let proxy = match running {
        Some(Server::HttpProxy(running)) => running.renewed(section, &keys, context, authenticator),
        _ => {
            let files = HttpFiles {
                session_keys: &keys,
                logouts: &config.data_dir.join("http-logouts"),
            };
            HttpProxy::new(section, files, context, authenticator)
        }
    };
    proxy.map(Arc::new).map_err(|error| {
        let key = match error {
            HttpProxyError::Keys(_) => "http_proxy.session_keys",
            HttpProxyError::FrontEnd(_) => "http_proxy.front_ends",
            HttpProxyError::Logouts { .. } => "data_dir",
            HttpProxyError::Random(_) => "http_proxy",
        };
        config.fault(key, error.to_string())
    })
}

fn context(parts: &Parts, service: &str) -> ProxyContext {
    ProxyContext {
        maps: parts.maps_of(service),
        dialer: Arc::clone(&parts.dialer),
        server_name: parts.server_name.to_string(),
        clock: Arc::clone(&parts.clock),
        sessions: parts.front.sessions.clone(),
        metrics: parts.front.metrics.clone(),
        assertions: Some(Arc::clone(&parts.front.minter)),
    }
}

fn domains(parts: &Parts, service: &str) -> Result<Arc<Domains>, Failure> {
    let found = parts.domains_of(service).map(Arc::clone);
    found.ok_or_else(|| Failure::Usage(format!("{service} has no domains")))
}

fn receiver(dialect: Dialect, config: &Config, parts: &Parts) -> Result<Arc<Receiver>, Failure> {
    let parts = ReceiverParts {
        dialect,
        server_name: parts.server_name.clone(),
        store: store(parts)?,
        clock: Arc::clone(&parts.clock),
        on_demand: parts.on_demand.clone(),
    };
    Ok(match dialect {
        Dialect::Smtp => Receiver::new(parts, &config.smtp),
        Dialect::Lmtp => Receiver::new(parts, &config.lmtp),
    })
}

fn imap(config: &Config, parts: &Parts) -> Result<Arc<ImapService>, Failure> {
    let authenticator = parts.accounts.clone().ok_or_else(no_accounts)?;
    Ok(ImapService::new(
        store(parts)?,
        authenticator,
        Arc::clone(&parts.clock),
        parts.front.sessions.clone(),
        config.imap.clone(),
    ))
}

fn pop3(config: &Config, parts: &Parts, running: Option<&Server>) -> Result<Arc<Pop3Service>, Failure> {
    let authenticator = parts.accounts.clone().ok_or_else(no_accounts)?;
    let pop3 = Pop3Parts {
        store: store(parts)?,
        authenticator,
        server_name: parts.server_name.clone(),
        sessions: parts.front.sessions.clone(),
    };
    Ok(match running {
        Some(Server::Pop3(running)) => running.renewed(pop3, config.pop3.clone()),
        _ => Pop3Service::new(pop3, config.pop3.clone()),
    })
}

fn store(parts: &Parts) -> Result<store::Store, Failure> {
    parts.store.clone().ok_or_else(no_accounts)
}

fn no_accounts() -> Failure {
    Failure::Usage("this server holds no accounts".to_owned())
}

impl Bound {
    /// What changes the listener while it runs.
    pub(super) fn control(&self) -> ListenerControl {
        self.listener.control()
    }

    pub(super) async fn run(self, shutdown: Shutdown) {
        let (place, handle) = (self.place, self.handle);
        let handler = move |accepted: Accepted| {
            let (server, session) = (Server::clone(&place.load()), handle.enter());
            async move { serve(accepted, server).await.holding(session) }
        };
        self.listener.run(shutdown, handler).await;
    }
}

/// Each future is boxed, or every session would take the memory of the largest kind.
async fn serve(accepted: Accepted, server: Server) -> Rest {
    match server {
        Server::Receive(receiver) => Box::pin(mta::smtp::serve(accepted, receiver)).await,
        Server::Imap(service) => Box::pin(access::imap::serve(accepted, service)).await,
        Server::Pop3(service) => Box::pin(access::pop3::serve(accepted, service)).await,
        Server::SmtpProxy(proxy) => Box::pin(frontend::smtp::serve(accepted, proxy)).await,
        Server::HttpProxy(proxy) => Box::pin(frontend::http::serve(accepted, proxy)).await,
        // What is left to do after the login is a smaller future of its own.
        Server::ImapProxy(proxy) => return Box::pin(frontend::imap::serve(accepted, proxy)).await,
        Server::Pop3Proxy(proxy) => return Box::pin(frontend::pop3::serve(accepted, proxy)).await,
        Server::ManageSieveProxy(proxy) => {
            return Box::pin(frontend::managesieve::serve(accepted, proxy)).await;
        }
        Server::SubmissionProxy(proxy) => {
            return Box::pin(frontend::submission::serve(accepted, proxy)).await;
        }
    }
    Rest::from(())
}
