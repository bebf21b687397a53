//! One request: whose it is, where it goes, what is answered.

use super::body::{Outgoing, Upload};
use super::config::HttpProxyConfig;
use super::connection::Door;
use super::cookie::{Name, Ticket};
use super::credentials::{self, Offered};
use super::forward::Asking;
use super::forwarded;
use super::headers;
use super::keys::{SessionKeyError, SessionKeys};
use super::logins::{Brought, InUse, Logins, is_wrong, nobody};
use super::logouts::Logouts;
use super::neighbours::{Means, Neighbours};
use super::page;
use super::pool::{self, Pool};
use super::reply::Fault;
use super::request::{self, Kind, Rules, Site, Target};
use super::trail::{Start, Trail};
use super::websocket::{self, Ends};
use crate::failure::Failure;
use crate::login::{Gate, ProxyContext};
use directory::{HomeRef, HomeRefError};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, CONNECTION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use model::{Authenticator, MechanismSet, Peer, Protocol};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The HTTP proxy of this server.
pub struct HttpProxy {
    pub(super) gate: Gate,
    pub(super) config: HttpProxyConfig,
    pub(super) limits: Deadlines,
    pub(super) keys: Arc<SessionKeys>,
    pub(super) logins: Arc<Logins>,
    pub(super) neighbours: Neighbours,
    pool: Pool,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    pub(super) header_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) home_timeout: Duration,
    pub(super) session_lifetime: Duration,
}

/// A request and who sends it, as far as that is believed.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) peer: Peer,
    /// Whether the client's own connection is encrypted.
    pub(super) secure: bool,
    /// Whether a password may be taken over it.
    pub(super) may_log_in: bool,
    pub(super) target: Target,
    /// How long an answer may be silent.
    pub(super) idle: Duration,
}

impl Visit {
    pub(super) fn site(&self) -> Site<'_> {
        Site {
            host: &self.target.host,
            secure: self.secure,
        }
    }
}

/// Why the proxy cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpProxyError {
    /// The file with the keys.
    #[error(transparent)]
    Keys(#[from] SessionKeyError),
    /// The system has no randomness.
    #[error("no randomness: {0}")]
    Random(std::io::Error),
    /// What is known of logouts.
    #[error("{path}: {cause}")]
    Logouts {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A name in `front_ends`.
    #[error(transparent)]
    FrontEnd(#[from] HomeRefError),
}

/// The files of an HTTP proxy.
#[derive(Debug, Clone, Copy)]
pub struct HttpFiles<'a> {
    /// That of `session_keys`, which has to be there.
    pub session_keys: &'a Path,
    /// Where logouts are remembered over a restart.
    pub logouts: &'a Path,
}

impl HttpProxy {
    /// Builds the proxy, which keeps in step with its `front_ends` from now on: to be called within a runtime.
    pub fn new(
        config: &HttpProxyConfig,
        files: HttpFiles<'_>,
        context: ProxyContext,
        authenticator: Option<Arc<dyn Authenticator>>,
    ) -> Result<Self, HttpProxyError> {
        let clock = &context.clock;
        let logouts = Logouts::load(files.logouts, Arc::clone(clock), &context.metrics);
        let logouts = logouts.map_err(|cause| HttpProxyError::Logouts {
            path: files.logouts.to_owned(),
            cause,
        })?;
        let logins = Logins::new(Arc::clone(clock), logouts).map_err(HttpProxyError::Random)?;
        Self::with(config, files.session_keys, context, authenticator, logins, None)
    }

    /// The same for another configuration, with everybody who is logged in or has logged out.
    pub fn renewed(
        &self,
        config: &HttpProxyConfig,
        keys: &Path,
        context: ProxyContext,
        authenticator: Option<Arc<dyn Authenticator>>,
    ) -> Result<Self, HttpProxyError> {
        let (logins, before) = (Arc::clone(&self.logins), Some(&self.neighbours));
        Self::with(config, keys, context, authenticator, logins, before)
    }

    fn with(
        config: &HttpProxyConfig,
        keys: &Path,
        context: ProxyContext,
        authenticator: Option<Arc<dyn Authenticator>>,
        logins: Arc<Logins>,
        before: Option<&Neighbours>,
    ) -> Result<Self, HttpProxyError> {
        let keys = Arc::new(SessionKeys::load(keys, Arc::clone(&context.clock))?);
        let others = config.front_ends.iter().map(|name| HomeRef::parse(name));
        let mut others = others.collect::<Result<Vec<_>, _>>()?;
        others.retain(|home| !is_self(home, config, &context));
        let means = Means {
            keys: Arc::clone(&keys),
            logins: Arc::clone(&logins),
            dialer: Arc::clone(&context.dialer),
            clock: Arc::clone(&context.clock),
            host: config.hosts.first().cloned(),
        };
        let neighbours = match before {
            Some(before) => before.renewed(others, means),
            None => Neighbours::start(&others, &means),
        };
        let limits = Deadlines {
            header_timeout: Duration::from_secs(config.header_timeout),
            body_timeout: Duration::from_secs(config.body_timeout),
            home_timeout: Duration::from_secs(config.home_timeout),
            session_lifetime: Duration::from_secs(config.session_lifetime),
        };
        let at_homes = pool::Limits {
            requests: config.home_requests,
            queue: config.home_queue,
            patience: limits.home_timeout,
            max_header_size: usize::try_from(config.max_header_size.0).unwrap_or(usize::MAX),
        };
        Ok(Self {
            limits,
            keys,
            neighbours,
            pool: Pool::new(Arc::clone(&context.dialer), Arc::clone(&context.clock), at_homes),
            logins,
            config: config.clone(),
            gate: Gate {
                settings: config.login().login_settings(),
                context,
                authenticator,
            },
        })
    }

    pub(super) fn title(&self) -> &str {
        let title = self.config.title.as_deref();
        title.unwrap_or(&self.gate.context.server_name)
    }

    fn takes_tokens(&self) -> bool {
        let source = self.gate.authenticator.as_ref();
        source.is_some_and(|source| source.mechanisms().contains(MechanismSet::BEARER))
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        door: &Arc<Door>,
        mut request: Request<Incoming>,
    ) -> Response<Outgoing> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let (peer, secure) = door.believe(&parts.headers);
        let mut trail = Trail::new(Start {
            metrics: self.gate.context.metrics.clone(),
            clock: Arc::clone(&self.gate.context.clock),
            peer: peer.clone(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            busy: door.busy(),
        });
        let is_http1 = parts.version != Version::HTTP_2;
        let hsts = secure && !peer.local.ip().to_canonical().is_loopback();
        let read = request::read(
            &parts,
            Rules {
                server_name: &self.gate.context.server_name,
                hosts: &self.config.hosts,
                max_head: self.config.max_header_size.0,
            },
        );
        let (mut response, is_last) = match read {
            Err(fault) => (self.explain(&parts, &fault, &mut trail), true),
            Ok(target) => {
                let visit = Visit {
                    may_log_in: secure || door.config.allows_plaintext_login(),
                    idle: door.config.idle(),
                    peer,
                    secure,
                    target,
                };
                let is_last = visit.target.last;
                let exchange = Exchange {
                    door,
                    parts: &parts,
                    visit: &visit,
                };
                match self.dispatch(&exchange, body, upgrade, &mut trail).await {
                    Answer::Plain(response) => (response, is_last),
                    Answer::Fault(fault) => (self.explain(&parts, &fault, &mut trail), is_last),
                    // The relay keeps the trail.
                    Answer::Socket(mut response, socket) => {
                        if hsts {
                            headers::tell_hsts(response.headers_mut(), self.config.hsts);
                        }
                        trail.answered(response.status());
                        door.relays.spawn(socket.run(trail));
                        return response;
                    }
                }
            }
        };
        let fields = response.headers_mut();
        if hsts {
            headers::tell_hsts(fields, self.config.hsts);
        }
        if is_http1 && (is_last || door.is_closing()) {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        trail.answered(response.status());
        response.map(|body| {
            // In HTTP/1.1 a client that does not read stops the connection, and that is seen there.
            let watched = !is_http1 && body.is_text();
            body.leaving(trail, watched.then(|| door.taking(CancellationToken::new())))
        })
    }

    async fn dispatch(
        &self,
        exchange: &Exchange<'_>,
        body: Incoming,
        upgrade: OnUpgrade,
        trail: &mut Trail,
    ) -> Answer {
        let Exchange { door, parts, visit } = *exchange;
        if visit.target.path.path().starts_with(page::PREFIX) {
            return match self.own(exchange, body).await {
                Ok(response) => Answer::Plain(response),
                Err(fault) => fault.into(),
            };
        }
        if Name::Ticket.values(&parts.headers, visit.secure).next().is_some() {
            self.neighbours.have_spoken().await;
        }
        let brought = match self.brought(parts, visit) {
            Ok(Some(brought)) => brought,
            Ok(None) => return Answer::Plain(self.ask_for_login(parts, visit, None, trail)),
            Err(fault) => return fault.into(),
        };
        if !visit.may_log_in {
            return Fault::Clear.into();
        }
        let from_page = !matches!(brought, Brought::Bearer(_));
        if from_page && request::is_cross_site(&parts.method, visit.target.kind, &parts.headers, visit.site())
        {
            return Fault::CrossSite.into();
        }
        let limit = self.config.account_requests;
        let login = match self.logins.enter(&brought, &self.gate, &visit.peer, limit).await {
            Ok(login) => login,
            Err(fault) if is_wrong(&fault) => {
                trail.failed(&fault);
                door.count_failure(self.config.max_login_failures);
                return Answer::Plain(self.ask_for_login(parts, visit, Some(&brought), trail));
            }
            Err(fault) => return fault.into(),
        };
        trail.belongs_to(login.login());
        match self.forward(exchange, body, upgrade, login, trail).await {
            Ok(answer) => answer,
            Err(fault) => fault.into(),
        }
    }

    async fn forward(
        &self,
        exchange: &Exchange<'_>,
        body: Incoming,
        upgrade: OnUpgrade,
        login: InUse,
        trail: &Trail,
    ) -> Result<Answer, Fault> {
        let Exchange { door, parts, visit } = *exchange;
        if forwarded::is_loop(&parts.headers) {
            return Err(Failure::Loop.into());
        }
        let home = login.login().home();
        if self.gate.context.dialer.is_drained(home) {
            return Err(Failure::Drained(home.to_string()).into());
        }
        let announced = body.size_hint().lower();
        if announced > self.config.max_body_size.0 {
            return Err(Fault::TooLarge);
        }
        let kind = visit.target.kind;
        let upload = match kind {
            Kind::Plain => {
                let limit = self.config.max_body_size.0;
                Upload::new(body, limit, self.limits.body_timeout, &trail.moves)
            }
            Kind::WebSocket | Kind::WebSocketStream => Upload::none(),
        };
        let mut request = self.compose(parts, visit, upload);
        if kind != Kind::Plain {
            websocket::prepare(&mut request, kind)?;
        }
        let cut = login.login().cut.clone();
        let work = async {
            let mut lease = self.pool.room(login.login().home()).await?;
            let asking = Asking {
                visit,
                login: &login,
                moves: &trail.moves,
                shutdown: &door.shutdown,
            };
            let response = self.ask(&mut lease, request, &asking).await?;
            Ok::<_, Fault>((lease, response))
        };
        let (lease, response) = tokio::select! {
            done = Box::pin(work) => done?,
            () = cut.cancelled() => return Err(nobody()),
        };
        login.login().count(trail.moves.octets(), 0);
        let head = headers::size(response.headers());
        if u64::try_from(head).map_or(true, |head| head > self.config.max_header_size.0) {
            let home = lease.name().to_owned();
            let cause = format!("the head of its answer has {head} octets");
            let failure = Failure::Protocol { home, cause };
            lease.report(&failure);
            return Err(failure.into());
        }
        if kind != Kind::Plain {
            if websocket::is_agreed(&response) {
                let ends = Ends {
                    client: upgrade,
                    lease,
                    login,
                };
                let (answer, socket) = self.agree(response, ends, visit, door.gone.clone());
                return Ok(Answer::Socket(answer, Box::new(socket)));
            }
            // RFC 8441 section 5: a 2xx would open the tunnel.
            if kind == Kind::WebSocketStream && response.status().is_success() {
                let failure = websocket::refused(lease.name(), response.status());
                lease.report(&failure);
                return Err(failure.into());
            }
        }
        let response = self.relay(lease, login, response, door)?;
        Ok(Answer::Plain(response))
    }

    /// What the request logs in with. The Authorization field comes before the cookie.
    fn brought(&self, parts: &Parts, visit: &Visit) -> Result<Option<Brought>, Fault> {
        let offered = credentials::offered(&parts.headers)
            .map_err(|_| Fault::Malformed("the Authorization field is malformed"))?;
        Ok(match offered {
            Offered::Basic { login, password } if self.config.basic => {
                Some(Brought::Basic { login, password })
            }
            Offered::Bearer(token) if self.takes_tokens() => Some(Brought::Bearer(token)),
            _ => self.ticket(&parts.headers, visit).map(Brought::Ticket),
        })
    }

    /// A good ticket among the cookies.
    pub(super) fn ticket(&self, headers: &HeaderMap, visit: &Visit) -> Option<Ticket> {
        let now = self.gate.context.clock.now();
        Name::Ticket
            .values(headers, visit.secure)
            .filter_map(|value| Ticket::open(value, &self.keys, now))
            .find(|ticket| !self.logins.is_dead(&ticket.id))
    }

    /// RFC 9110 section 15.5.2 for programs, the login page for people. A ticket that was refused is not tried again:
    /// each try would count as a wrong password.
    fn ask_for_login(
        &self,
        parts: &Parts,
        visit: &Visit,
        refused: Option<&Brought>,
        trail: &mut Trail,
    ) -> Response<Outgoing> {
        let mut response = if self.config.login_form && wants_page(parts) {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("to", visit.target.path.as_str())
                .finish();
            see_other(&format!("{}?{query}", page::LOGIN))
        } else {
            let mut response = page::text(StatusCode::UNAUTHORIZED, "Log in first.");
            self.challenge(parts, refused, response.headers_mut());
            response
        };
        if refused.is_none() {
            trail.failed(&nobody());
        }
        if let Some(Brought::Ticket(ticket)) = refused {
            self.logins.bury(ticket.id, self.limits.session_lifetime);
            let cookie = Name::Ticket.set(visit.secure, "", Duration::ZERO);
            response
                .headers_mut()
                .extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
        }
        response
    }

    fn challenge(&self, parts: &Parts, refused: Option<&Brought>, headers: &mut HeaderMap) {
        let realm: String = self
            .title()
            .chars()
            .filter(|c| (c.is_ascii_graphic() || *c == ' ') && !matches!(c, '"' | '\\'))
            .collect();
        let mut add = |text: String| {
            headers.extend(
                HeaderValue::try_from(text)
                    .ok()
                    .map(|value| (WWW_AUTHENTICATE, value)),
            );
        };
        if self.takes_tokens() {
            // RFC 6750 section 3.1.
            let error = match refused {
                Some(Brought::Bearer(_)) => ", error=\"invalid_token\"",
                _ => "",
            };
            add(format!("Bearer realm=\"{realm}\"{error}"));
        }
        // A page's own requests must not make the browser ask for a password beside the login page.
        let is_script = self.config.login_form && parts.headers.contains_key("sec-fetch-mode");
        match self.config.basic && !is_script {
            // RFC 7617 section 2.1.
            true => add(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")),
            false => add(format!("Form realm=\"{realm}\", location=\"{}\"", page::LOGIN)),
        }
    }

    /// Says why the front end answers by itself.
    fn explain(&self, parts: &Parts, fault: &Fault, trail: &mut Trail) -> Response<Outgoing> {
        trail.failed(fault);
        // What was wrong with a login has been logged with it.
        if let Fault::Failure(failure) = fault
            && failure.is_alarming()
            && trail.is_known()
        {
            tracing::error!(trace = %trail.peer.trace, %failure, "a request failed");
        }
        let mut response = match wants_page(parts) {
            true => page::html(fault.status(), page::notice(self.title(), fault.text(), None)),
            false => page::text(fault.status(), fault.text()),
        };
        let headers = response.headers_mut();
        if let Some(seconds) = fault.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if fault.status() == StatusCode::UNAUTHORIZED {
            self.challenge(parts, None, headers);
        }
        if *fault == Fault::Method {
            // RFC 9110 section 15.5.6.
            let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

/// Whether a front end in the list is this one: its name, at a port where it listens.
fn is_self(home: &HomeRef, config: &HttpProxyConfig, context: &ProxyContext) -> bool {
    let target = context.dialer.target(home, Protocol::Http);
    let mut ports = config.listener.iter().map(|listener| listener.address.port());
    target.host.eq_ignore_ascii_case(&context.server_name) && ports.any(|port| port == target.port)
}

/// A request in hand.
#[derive(Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) door: &'a Arc<Door>,
    pub(super) parts: &'a Parts,
    pub(super) visit: &'a Visit,
}

/// How a request is answered.
enum Answer {
    Plain(Response<Outgoing>),
    Socket(Response<Outgoing>, Box<websocket::Socket>),
    Fault(Fault),
}

impl<T: Into<Fault>> From<T> for Answer {
    fn from(fault: T) -> Self {
        Self::Fault(fault.into())
    }
}

/// Whether a person looks at the answer: a browser that goes to a page, not a script in one.
fn wants_page(parts: &Parts) -> bool {
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let text = |name: &str| {
        let value = parts.headers.get(name)?;
        value.to_str().ok()
    };
    let accepts = text(ACCEPT.as_str()).is_some_and(|kinds| kinds.contains("text/html"));
    let navigates = text("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
    reads && accepts && navigates
}

/// RFC 9110 section 15.4.4.
pub(super) fn see_other(to: &str) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::whole(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    page::protect(response.headers_mut());
    if let Ok(value) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}
