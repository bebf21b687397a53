//! A session before it is relayed: what every login proxy does alike, whatever its protocol.

use crate::dial::{Caller, Named};
use crate::exchange::{InTheClear, channel};
use crate::failure::{Failure, Rejection};
use crate::login::{Arrived, Claims, Gate, log_failure};
use crate::relaying::Handover;
use model::{Peer, Protocol, RejectReason, TlsState};
use net::{Accepted, LinePolicy, LineStream, ListenerConfig, ServerTls, Shutdown};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::pop3::ClientClaims;
use wire::sasl::{Channel, Login, SaslError};

/// Commands that make no sense, after which the session ends.
const MAX_ERRORS: u32 = 20;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A client that has not logged in yet.
pub(crate) struct Edge<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) stream: LineStream,
    pub(crate) peer: Peer,
    /// The peer as it connected, before any claim about who it stands for.
    connected: Peer,
    pub(crate) claims: Claims,
    pub(crate) tls: Option<ServerTls>,
    clear: InTheClear,
    pub(crate) trusted: bool,
    deadline: Instant,
    pub(crate) errors: u32,
    refused: u32,
    pub(crate) shutdown: Shutdown,
    listener: Arc<ListenerConfig>,
    pub(crate) protocol: Protocol,
}

/// What follows a command of a client that has not logged in yet.
pub(crate) enum After {
    /// The next one.
    Next,
    /// The end.
    End,
    /// The long part of the session.
    Relay(Box<Arrived>),
}

/// Why a session before login may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enough {
    /// Too many commands that make no sense.
    Errors,
    /// Too many failed logins.
    Refusals,
}

impl<'a> Edge<'a> {
    pub(crate) fn new(accepted: Accepted, gate: &'a Gate, protocol: Protocol, max_line: usize) -> Self {
        Self {
            gate,
            protocol,
            trusted: accepted.is_trusted(),
            claims: Claims::new(&accepted.peer),
            stream: LineStream::new(accepted.connection, max_line).with_policy(LinePolicy::AcceptLf),
            connected: accepted.peer.clone(),
            peer: accepted.peer,
            tls: accepted.tls,
            clear: InTheClear {
                passwords: accepted.config.allows_plaintext_login(),
                challenges: accepted.config.allows_plaintext_challenge(),
            },
            deadline: Instant::now() + gate.settings.login_timeout,
            errors: 0,
            refused: 0,
            shutdown: accepted.shutdown,
            listener: accepted.config,
        }
    }

    /// What is left of the time for the login.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What the client may log in with now.
    pub(crate) fn channel(&self) -> Channel {
        channel(self.gate, &self.stream, &self.peer, self.protocol, self.clear)
    }

    /// One login failed before the home was asked.
    pub(crate) fn refuse(&mut self, login: &str, failure: &Failure) {
        log_failure(self.protocol, &self.peer, login, failure);
        self.refused += u32::from(failure.blames_client());
    }

    /// RFC 5802 section 6: a login that is bound to another channel fails. Nothing is wrong with its grammar.
    pub(crate) fn unbound(&mut self, error: SaslError) -> Failure {
        tracing::warn!(protocol = %self.protocol, trace = %self.peer.trace, client = %self.peer.client, %error, "login failed");
        let failure = Failure::Rejected(Rejection::Reason(RejectReason::NotAllowed));
        self.refused += u32::from(failure.blames_client());
        failure
    }

    /// Whether the client has had its chances.
    pub(crate) fn enough(&self) -> Option<Enough> {
        if self.errors >= MAX_ERRORS {
            Some(Enough::Errors)
        } else if self.refused >= self.gate.settings.max_login_failures {
            Some(Enough::Refusals)
        } else {
            None
        }
    }

    /// The session cannot be brought back into step: it ends after this command.
    pub(crate) fn give_up(&mut self) {
        self.errors = MAX_ERRORS;
    }

    /// The handshake that the client was just told to begin; none when it failed.
    pub(crate) async fn start_tls(&mut self, tls: &ServerTls) -> Option<()> {
        let left = self.left();
        if let Err(error) = self.stream.start_tls(tls, left).await {
            tracing::debug!(trace = %self.peer.trace, client = %self.peer.client, %error, "STARTTLS failed");
            return None;
        }
        // Claims from before the handshake may be anybody's who sits on the way.
        self.trusted |= self.listener.trusts_holder(self.stream.connection());
        self.peer = self.connected.clone();
        self.peer.tls = TlsState::Encrypted;
        self.claims = Claims::new(&self.peer);
        Some(())
    }

    /// A front end before this one names its client, in Dovecot's words.
    pub(crate) fn take_over(&mut self, about: &ClientClaims) {
        if let Some(addr) = about.addr {
            self.peer.client.set_ip(addr.to_canonical());
        }
        if let Some(port) = about.port {
            self.peer.client.set_port(port);
        }
        if let Some(session) = &about.session {
            self.claims.take_session(&mut self.peer, session);
        }
        self.claims.limit_hops(about.ttl.unwrap_or(u8::MAX));
        self.claims.take_tls(about.tls);
    }

    /// Checks the login, and logs in at the home. What failed is logged and counted here; the caller says it.
    pub(crate) async fn log_in(&mut self, login: Login) -> Result<Arrived, Failure> {
        let typed = login.login.clone();
        let shutdown = self.shutdown.clone();
        // A front end before us has a client whose TLS is not that of its connection to us.
        let is_itself = self.peer.client == self.connected.client;
        let tls = is_itself.then(|| self.stream.connection().tls_facts()).flatten();
        let caller = Caller {
            peer: &self.peer,
            shutdown: &shutdown,
            named: Named::Client(tls.as_ref()),
        };
        let work = self.gate.bring_home(login, self.protocol, caller, &self.claims);
        let result = tokio::select! {
            result = Box::pin(work) => result,
            () = shutdown.requested() => Err(Failure::ShuttingDown),
        };
        match &result {
            Ok(arrived) => {
                let about = arrived.session.about();
                tracing::info!(
                    protocol = %self.protocol, trace = %self.peer.trace, client = %self.peer.client, login = typed,
                    account = %about.account, home = about.home.as_deref(), session = self.claims.session, "logged in"
                );
            }
            Err(failure) => {
                log_failure(self.protocol, &self.peer, &typed, failure);
                self.refused += u32::from(failure.blames_client());
            }
        }
        result
    }

    /// Sends what is queued and closes.
    pub(crate) async fn close(self) {
        self.stream.close(FAREWELL).await;
    }

    /// The reply to the login goes out, and the relay takes over; none when the client is gone already.
    pub(crate) async fn hand_over(mut self, arrived: Arrived) -> Option<Handover> {
        self.stream.flush(self.left()).await.ok()?;
        Some(Handover {
            client: self.stream,
            home: arrived.stream,
            watch: arrived.watch,
            session: arrived.session,
            idle: self.listener.idle(),
            metrics: self.gate.context.metrics.clone(),
            dialer: Arc::clone(&self.gate.context.dialer),
        })
    }
}
