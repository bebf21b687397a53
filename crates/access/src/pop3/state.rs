//! What a session knows, without the stream.

use super::maildrop::Maildrop;
use super::service::Pop3Service;
use crate::channel::Channel;
use crate::registered;
use model::{AuthOutcome, AuthRequest, Peer, TlsState};
use std::sync::Arc;
use wire::sasl::ServerExchange;

/// RFC 1939 section 3: the states of a session. UPDATE is QUIT's own business.
#[derive(Debug)]
pub(super) enum State {
    /// Nobody is logged in.
    Authorization {
        /// The name of USER, for the PASS that follows it.
        user: Option<String>,
    },
    /// Between AUTH and the end of its exchange: the next line is the client's response.
    Exchange {
        /// How far it is.
        exchange: Box<ServerExchange>,
        /// What the authenticator said, while the client still has to take note of it.
        judged: Option<Box<(AuthRequest, AuthOutcome)>>,
    },
    /// Logged in.
    Transaction(Maildrop),
}

/// The same without the data, for the table of legal commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// [`State::Authorization`] and [`State::Exchange`]
    Authorization,
    /// [`State::Transaction`]
    Transaction,
}

/// Everything about the session that is not the stream.
#[derive(Debug)]
pub(super) struct Session {
    /// The service.
    pub(super) service: Arc<Pop3Service>,
    /// The client.
    pub(super) peer: Peer,
    /// The client as it connected, before any claim about who it stands for.
    pub(super) connected: Peer,
    /// Whether the client's own connection is encrypted; none when its front end does not tell.
    pub(super) client_tls: Option<TlsState>,
    /// Whether what the other end says about its client is believed.
    pub(super) trusted: bool,
    /// Whether STLS is offered now.
    pub(super) stls: bool,
    /// What the client may log in with now.
    pub(super) channel: Channel,
    /// Where the session stands.
    pub(super) state: State,
    /// Its place in the registry, once somebody is logged in.
    pub(super) place: Option<Arc<net::Session>>,
    /// Where the client is.
    pub(super) reach: registered::Reach,
    /// Failed logins so far.
    pub(super) failures: u32,
}

impl Session {
    /// The state without its data.
    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Authorization { .. } | State::Exchange { .. } => Phase::Authorization,
            State::Transaction(_) => Phase::Transaction,
        }
    }
}
