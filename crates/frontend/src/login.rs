//! From a login to a home: authenticate, resolve. The same for every protocol that logs in.

use crate::assertion::Minter;
use crate::config::{AuthenticateAt, LoginSettings};
use crate::dial::{Caller, Dialer};
use crate::failure::{Failure, Rejection};
use crate::{imap, managesieve, pop3, submission};
use directory::{HomeRef, Route, RoutedHome, UserMaps};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, Clock, Credential, EntryUuid, Peer,
    Protocol, RejectReason, Secret, TlsState, TraceId,
};
use net::{LineStream, Metric, Metrics, NewSession, Session, Sessions, Watch};
use std::net::IpAddr;
use std::sync::Arc;
use wire::pop3::ClientClaims;
use wire::sasl::Login;
use wire::transport;

/// Front ends that a session may pass.
const MAX_HOPS: u8 = 7;

/// What every proxy is built from.
#[derive(Clone)]
pub struct ProxyContext {
    /// The service's user maps, in order.
    pub maps: Arc<UserMaps>,
    /// Connects to the homes; one for all proxies.
    pub dialer: Arc<Dialer>,
    /// The name of this server, for greetings and trace fields.
    pub server_name: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Everybody who is logged in.
    pub sessions: Sessions,
    /// Where numbers go.
    pub metrics: Metrics,
    /// Signs for homes with `login = "assertion"`; none when there is no key.
    pub assertions: Option<Arc<Minter>>,
}

/// A login that may go home.
pub(crate) struct Admitted {
    pub(crate) home: HomeRef,
    pub(crate) address: Address,
    pub(crate) proof: Proof,
    /// The directory entry, when a directory answered.
    pub(crate) entry: Option<EntryUuid>,
}

/// What of the client's proof can be used once more.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// The password itself.
    Password(Secret),
    /// A bearer token.
    Bearer(Secret),
    /// Nothing: the mechanism shows no secret.
    NoSecret,
}

/// A session that is logged in at its home.
pub(crate) struct Arrived {
    /// The home, past the login.
    pub(crate) stream: LineStream,
    /// What the home can do after the login, where the protocol tells.
    pub(crate) capabilities: Vec<String>,
    /// Who stands between the client and the home.
    pub(crate) watch: Option<Box<dyn Watch>>,
    /// Its place in the registry.
    pub(crate) session: Session,
}

/// A home with the user logged in.
pub(crate) struct LoggedIn {
    pub(crate) stream: LineStream,
    pub(crate) capabilities: Vec<String>,
    pub(crate) watch: Option<Box<dyn Watch>>,
}

/// Who the client is, as homes are told.
pub(crate) struct Introduction<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) peer: &'a Peer,
    pub(crate) claims: &'a Claims,
    /// How many more front ends the session may pass.
    pub(crate) hops: u8,
}

impl Introduction<'_> {
    /// The same in Dovecot's words, for POP3 and ManageSieve.
    pub(crate) fn claims(&self) -> ClientClaims {
        ClientClaims {
            addr: Some(self.peer.client.ip()),
            port: client_port(self.peer),
            session: Some(self.claims.session.clone()),
            ttl: Some(self.hops),
            tls: self.claims.tls,
        }
    }
}

/// The client's port, where it has one: whom a PROXY header does not name has none, and homes refuse the number 0.
pub(crate) fn client_port(peer: &Peer) -> Option<u16> {
    Some(peer.client.port()).filter(|port| *port > 0)
}

const LOGINS: Metric = Metric {
    name: "homing_proxy_logins_total",
    help: "Logins through the front end, by protocol, home and outcome.",
};
const SECONDS: Metric = Metric {
    name: "homing_proxy_login_seconds",
    help: "From the client's last word of a login to the home's answer, by protocol.",
};

/// What the far end says about its client, when it is trusted to.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    /// The session's name in the logs of all hops.
    pub(crate) session: String,
    /// How many more front ends the session may pass.
    pub(crate) hops: u8,
    /// The name that the client gave in EHLO, where there is such a thing.
    pub(crate) helo: Option<String>,
    /// Whether the client's own connection is encrypted; none when a front end before us does not tell.
    pub(crate) tls: Option<TlsState>,
    /// It has told.
    told_tls: bool,
}

impl Claims {
    pub(crate) fn new(peer: &Peer) -> Self {
        Self {
            session: peer.trace.to_string(),
            hops: MAX_HOPS,
            helo: None,
            tls: Some(peer.tls),
            told_tls: false,
        }
    }

    /// Takes over one field of an IMAP ID, in Dovecot's names; only for trusted networks.
    pub(crate) fn take(&mut self, peer: &mut Peer, name: &str, value: &str) {
        match name.to_ascii_lowercase().as_str() {
            "x-originating-ip" => {
                if let Ok(address) = value.parse::<IpAddr>() {
                    peer.client.set_ip(address);
                    self.tls = self.tls.filter(|_| self.told_tls);
                }
            }
            "x-originating-port" => {
                if let Ok(port) = value.parse() {
                    peer.client.set_port(port);
                }
            }
            "x-proxy-ttl" => self.limit_hops(value.parse().unwrap_or(0)),
            "x-forward-transport" => self.take_tls(transport::parse(value)),
            "x-session-id" | "x-session-ext" => self.take_session(peer, value),
            _ => {}
        }
    }

    /// Takes over the count of hops; it can only fall.
    pub(crate) fn limit_hops(&mut self, hops: u8) {
        self.hops = self.hops.min(hops);
    }

    /// Takes over what is told of the client's own connection; nothing may be.
    pub(crate) fn take_tls(&mut self, tls: Option<TlsState>) {
        self.tls = tls;
        self.told_tls = true;
    }

    /// Takes over the name of the session in the logs.
    pub(crate) fn take_session(&mut self, peer: &mut Peer, name: &str) {
        let plain = |c: &char| c.is_ascii_graphic() && *c != '"' && *c != '\\';
        self.session = name.chars().filter(plain).take(64).collect();
        if let Some(trace) = TraceId::parse(name) {
            peer.trace = trace;
        }
    }

    /// The count for the next hop.
    pub(crate) fn next_hop(&self) -> Result<u8, Failure> {
        self.hops
            .checked_sub(1)
            .filter(|hops| *hops > 0)
            .ok_or(Failure::Loop)
    }
}

/// The gate in front of the homes: who may pass, and to which.
pub(crate) struct Gate {
    pub(crate) context: ProxyContext,
    pub(crate) settings: LoginSettings,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
}

impl Gate {
    /// From the login to the home: checks it, finds the home, connects and logs in there.
    pub(crate) async fn bring_home(
        &self,
        login: Login,
        protocol: Protocol,
        caller: Caller<'_>,
        claims: &Claims,
    ) -> Result<Arrived, Failure> {
        let started = self.context.clock.monotonic();
        let mut home = None;
        let result = self.go(login, protocol, caller, claims, &mut home).await;
        let took = self.context.clock.monotonic().saturating_sub(started);
        let protocol = protocol.to_string();
        let outcome = result.as_ref().map_or_else(Failure::kind, |_| "ok");
        let home = home.as_ref().map_or("-", HomeRef::host);
        let metrics = &self.context.metrics;
        metrics
            .counter(
                LOGINS,
                &[("protocol", &protocol), ("home", home), ("outcome", outcome)],
            )
            .add(1);
        metrics
            .histogram(SECONDS, &[("protocol", &protocol)])
            .observe(took);
        result
    }

    async fn go(
        &self,
        login: Login,
        protocol: Protocol,
        caller: Caller<'_>,
        claims: &Claims,
        home: &mut Option<HomeRef>,
    ) -> Result<Arrived, Failure> {
        let typed = match self.settings.authenticate {
            AuthenticateAt::Home => login.login.clone(),
            // Whoever checks logins here sees to this.
            AuthenticateAt::Edge => {
                let admitted = self.admit(login, protocol, caller.peer).await?;
                return self.enter(&admitted, protocol, caller, claims, home).await;
            }
        };
        let admitted = self.admit(login, protocol, caller.peer).await;
        let guesses = self.context.dialer.guesses();
        let (guess, admitted) = guesses.begin(&typed, admitted, caller.peer.client.ip())?;
        let result = match admitted {
            Ok(admitted) => self.enter(&admitted, protocol, caller, claims, home).await,
            Err(failure) => Err(failure),
        };
        guess.ends(&result).await;
        result
    }

    /// Brings an admitted login to its home.
    async fn enter(
        &self,
        admitted: &Admitted,
        protocol: Protocol,
        caller: Caller<'_>,
        claims: &Claims,
        home: &mut Option<HomeRef>,
    ) -> Result<Arrived, Failure> {
        let peer = caller.peer;
        *home = Some(admitted.home.clone());
        let who = Introduction {
            protocol,
            peer,
            claims,
            hops: claims.next_hop()?,
        };
        let session = self.context.sessions.enter(NewSession {
            protocol,
            account: admitted.address.clone(),
            entry: admitted.entry,
            client: peer.client,
            home: Some(admitted.home.to_string().into()),
            trace: peer.trace,
        })?;
        let dialer: &Dialer = &self.context.dialer;
        let dialled = dialer.dial(&admitted.home, protocol, caller).await?;
        let name = dialled.name.clone();
        let talk = match protocol {
            Protocol::Pop3 => pop3::log_in(self, dialled, admitted, &who).await,
            Protocol::Submission => submission::log_in(self, dialled, admitted, &who).await,
            Protocol::ManageSieve => managesieve::log_in(self, dialled, admitted, &who).await,
            _ => imap::log_in(self, dialled, admitted, &who).await,
        };
        let LoggedIn {
            stream,
            capabilities,
            watch,
        } = dialer.learn(&name, talk)?;
        Ok(Arrived {
            stream,
            capabilities,
            watch,
            session,
        })
    }

    /// Checks a login and finds its home.
    pub(crate) async fn admit(
        &self,
        login: Login,
        protocol: Protocol,
        peer: &Peer,
    ) -> Result<Admitted, Failure> {
        // A replayed password can only log in as its owner.
        if login.authzid.is_some() {
            return Err(Failure::Authorization);
        }
        let proof = match &login.credential {
            Credential::Password(password) => Proof::Password(password.clone()),
            Credential::Bearer(token) => Proof::Bearer(token.clone()),
            _ => Proof::NoSecret,
        };
        // RFC 4513 section 5.1.2: an empty password would make an unauthenticated bind, which succeeds.
        if matches!(&proof, Proof::Password(password) if password.is_empty()) {
            return Err(Failure::Rejected(Rejection::Reason(RejectReason::EmptyPassword)));
        }
        let (route, entry) = match (self.settings.authenticate, &self.authenticator) {
            // A token may name its account by itself, but only whoever reads it can tell.
            (AuthenticateAt::Home, _) if login.login.is_empty() => {
                return Err(Failure::Rejected(Rejection::NoSuchAccount));
            }
            (AuthenticateAt::Home, _) if matches!(proof, Proof::NoSecret) => {
                return Err(Failure::Rejected(Rejection::Reason(RejectReason::NotAllowed)));
            }
            (AuthenticateAt::Home, _) => (self.context.maps.resolve_login(&login.login).await, None),
            (AuthenticateAt::Edge, None) => {
                return Err(Failure::Directory("no source of logins is configured".to_owned()));
            }
            (AuthenticateAt::Edge, Some(authenticator)) => {
                let request = AuthRequest {
                    login: login.login,
                    authzid: None,
                    credential: login.credential,
                    protocol,
                    peer: peer.clone(),
                };
                let who = authenticate(authenticator.as_ref(), &request).await?;
                (self.context.maps.resolve(&who.address).await, who.entry)
            }
        };
        let (home, address) = self.follow(route)?;
        Ok(Admitted {
            home,
            address,
            proof,
            entry,
        })
    }

    fn follow(&self, route: Route) -> Result<(HomeRef, Address), Failure> {
        match route {
            Route::Home(RoutedHome { home, address, .. }) => Ok((home, address)),
            Route::NoSuchAccount | Route::Rejected => match self.settings.authenticate {
                AuthenticateAt::Home => Err(Failure::Rejected(Rejection::NoSuchAccount)),
                // The password was right, so this is nothing the user could mend.
                AuthenticateAt::Edge => Err(Failure::NoHome),
            },
            Route::NoHome { .. } => Err(Failure::NoHome),
            Route::Ambiguous(candidates) => Err(Failure::Ambiguous(candidates.join("; "))),
            Route::Unavailable(cause) => Err(Failure::Directory(cause.to_string())),
        }
    }

    /// What the home's refusal means: with `edge` the password was right, so it is not the user's fault.
    pub(crate) fn home_refused(&self, home: &str, text: &str) -> Failure {
        match self.settings.authenticate {
            AuthenticateAt::Edge => Failure::HomeRefusedLogin {
                home: home.to_owned(),
                text: text.to_owned(),
            },
            AuthenticateAt::Home => Failure::Rejected(Rejection::Home),
        }
    }
}

async fn authenticate(
    authenticator: &dyn Authenticator,
    request: &AuthRequest,
) -> Result<Authenticated, Failure> {
    match authenticator.check(request).await {
        AuthOutcome::Accepted(who) => Ok(who),
        AuthOutcome::Rejected(RejectReason::Expired) => Err(Failure::Expired),
        AuthOutcome::Rejected(reason) => Err(Failure::Rejected(Rejection::Reason(reason))),
        AuthOutcome::NoEntry => Err(Failure::Rejected(Rejection::NoSuchAccount)),
        AuthOutcome::Throttled(why) => Err(Failure::Throttled(why.to_string())),
        AuthOutcome::Unavailable(cause) => Err(Failure::Directory(cause.to_string())),
    }
}

/// One line a failed login, at the level it deserves. Passwords are never in it.
pub(crate) fn log_failure(protocol: Protocol, peer: &Peer, login: &str, failure: &Failure) {
    if failure.is_alarming() {
        tracing::error!(%protocol, trace = %peer.trace, client = %peer.client, login, %failure, "login failed");
    } else {
        tracing::info!(%protocol, trace = %peer.trace, client = %peer.client, login, %failure, "login failed");
    }
}
