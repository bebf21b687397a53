//! From a login to a home: authenticate, resolve. The same for every protocol that logs in.

use crate::config::{AuthenticateAt, LoginSettings};
use crate::dial::Dialer;
use crate::failure::{Failure, Rejection};
use directory::{HomeRef, Route, RoutedHome, UserMaps};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticator, Clock, Credential, Peer, Protocol, RejectReason,
    Secret, TraceId,
};
use std::net::IpAddr;
use std::sync::Arc;
use wire::sasl::Login;

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
}

/// A login that may go home.
pub(crate) struct Admitted {
    pub(crate) home: HomeRef,
    pub(crate) address: Address,
    pub(crate) password: Secret,
}

/// What the far end says about its client, when it is trusted to.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    /// The session's name in the logs of all hops.
    pub(crate) session: String,
    /// How many more front ends the session may pass.
    pub(crate) hops: u8,
}

impl Claims {
    pub(crate) fn new(peer: &Peer) -> Self {
        Self {
            session: peer.trace.to_string(),
            hops: MAX_HOPS,
        }
    }

    /// Takes over one field of an IMAP ID, in Dovecot's names; only for trusted networks.
    pub(crate) fn take(&mut self, peer: &mut Peer, name: &str, value: &str) {
        match name.to_ascii_lowercase().as_str() {
            "x-originating-ip" => {
                if let Ok(address) = value.parse::<IpAddr>() {
                    peer.client.set_ip(address);
                }
            }
            "x-originating-port" => {
                if let Ok(port) = value.parse() {
                    peer.client.set_port(port);
                }
            }
            "x-proxy-ttl" => self.limit_hops(value.parse().unwrap_or(0)),
            "x-session-id" | "x-session-ext" => self.take_session(peer, value),
            _ => {}
        }
    }

    /// Takes over the count of hops; it can only fall.
    pub(crate) fn limit_hops(&mut self, hops: u8) {
        self.hops = self.hops.min(hops);
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
        let Credential::Password(password) = login.credential else {
            return Err(Failure::Rejected(Rejection::Reason(RejectReason::NotAllowed)));
        };
        // RFC 4513 section 5.1.2: an empty password would make an unauthenticated bind, which succeeds.
        if password.is_empty() {
            return Err(Failure::Rejected(Rejection::Reason(RejectReason::EmptyPassword)));
        }
        let route = match (self.settings.authenticate, &self.authenticator) {
            (AuthenticateAt::Home, _) => self.context.maps.resolve_login(&login.login).await,
            (AuthenticateAt::Edge, None) => {
                return Err(Failure::Directory("no source of logins is configured".to_owned()));
            }
            (AuthenticateAt::Edge, Some(authenticator)) => {
                let request = AuthRequest {
                    login: login.login,
                    authzid: None,
                    credential: Credential::Password(password.clone()),
                    protocol,
                    peer: peer.clone(),
                };
                let address = authenticate(authenticator.as_ref(), &request).await?;
                self.context.maps.resolve(&address).await
            }
        };
        let (home, address) = self.follow(route)?;
        Ok(Admitted {
            home,
            address,
            password,
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

async fn authenticate(authenticator: &dyn Authenticator, request: &AuthRequest) -> Result<Address, Failure> {
    match authenticator.check(request).await {
        AuthOutcome::Accepted(who) => Ok(who.address),
        AuthOutcome::Rejected(RejectReason::Expired) => Err(Failure::Expired),
        AuthOutcome::Rejected(reason) => Err(Failure::Rejected(Rejection::Reason(reason))),
        AuthOutcome::NoEntry => Err(Failure::Rejected(Rejection::NoSuchAccount)),
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

/// One line when a relayed session ends.
pub(crate) fn log_relay(protocol: Protocol, peer: &Peer, report: &net::RelayReport) {
    tracing::info!(
        %protocol, trace = %peer.trace, up = report.bytes_up, down = report.bytes_down, end = ?report.end,
        "session ended"
    );
}
