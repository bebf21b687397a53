//! What a session knows, without the stream.

use crate::receiver::{Dialect, Receiver};
use model::{AccountId, Peer, ReversePath, TlsState, TraceId};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::smtp::{ClientClaims, Extensions, ForwardPath, MailParameters, Transmission};

/// How the client greeted.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    /// The name that it gave.
    pub(super) name: String,
    /// What was announced to it; nothing after HELO.
    pub(super) extensions: Extensions,
}

/// One recipient that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    /// As the client wrote it.
    pub(super) path: ForwardPath,
    /// Who gets the mail.
    pub(super) accounts: Vec<AccountId>,
}

/// The mail transaction (RFC 5321 section 3.3).
#[derive(Debug)]
pub(super) struct Transaction {
    /// Every log line of this message carries it.
    pub(super) trace: TraceId,
    /// MAIL's path.
    pub(super) from: ReversePath,
    /// MAIL's parameters.
    pub(super) parameters: MailParameters,
    /// The recipients so far, in the order of their RCPT.
    pub(super) recipients: Vec<Accepted>,
    /// A part of the message has come with BDAT.
    pub(super) begun: bool,
}

/// Where the session stands.
#[derive(Debug)]
pub(super) enum State {
    /// The client has not greeted, or must greet again after STARTTLS or XCLIENT.
    Start,
    /// Between transactions.
    Ready(Hello),
    /// After MAIL.
    Mail(Hello, Transaction),
}

/// The same without the data, for the table of legal commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// [`State::Start`]
    Start,
    /// [`State::Ready`]
    Ready,
    /// [`State::Mail`] without a recipient
    Mail,
    /// [`State::Mail`] with a recipient
    Rcpt,
    /// [`State::Mail`] with a part of the message
    Chunks,
}

/// Everything about the session that is not the stream.
#[derive(Debug)]
pub(super) struct Session {
    /// The service.
    pub(super) receiver: Arc<Receiver>,
    /// The client, or whom a trusted front end named by XCLIENT.
    pub(super) peer: Peer,
    /// Where it connected from, before any claim about who it stands for.
    pub(super) connected: SocketAddr,
    /// Whether the client's own connection is encrypted; none when its front end does not tell.
    pub(super) client_tls: Option<TlsState>,
    /// Whether claims about the client are believed.
    pub(super) trusted: bool,
    /// Whether STARTTLS is offered now.
    pub(super) starttls: bool,
    /// Where the session stands.
    pub(super) state: State,
    /// HELO of an XCLIENT, which goes into the Received field.
    pub(super) taken_over_helo: Option<String>,
    /// XFORWARD's attributes, for the next transaction.
    pub(super) forwarded: ClientClaims,
    /// Messages begun so far.
    pub(super) transactions: u32,
    /// Refused commands so far.
    pub(super) errors: u32,
    /// Commands since the last one that moved a transaction forward.
    pub(super) idle_commands: u32,
}

impl Session {
    /// What is announced to this client now.
    pub(super) fn offered(&self) -> Extensions {
        let mut offered = Extensions::PIPELINING
            .with(Extensions::SIZE)
            .with(Extensions::EIGHT_BIT_MIME)
            .with(Extensions::ENHANCED_STATUS_CODES)
            .with(Extensions::SMTPUTF8)
            .with(Extensions::CHUNKING)
            .with(Extensions::LIMITS);
        // RFC 8689 section 2: only over TLS. The message goes no further than to the store.
        if self.peer.tls == TlsState::Encrypted {
            offered = offered.with(Extensions::REQUIRETLS);
        }
        if self.starttls {
            offered = offered.with(Extensions::STARTTLS);
        }
        if self.trusted {
            offered = offered.with(Extensions::XCLIENT).with(Extensions::XFORWARD);
        }
        offered
    }

    /// What the client may use now: what its EHLO was answered with.
    pub(super) fn extensions(&self) -> Extensions {
        match &self.state {
            State::Start => Extensions::NONE,
            State::Ready(hello) | State::Mail(hello, _) => hello.extensions,
        }
    }

    /// The state without its data.
    pub(super) fn phase(&self) -> Phase {
        match &self.state {
            State::Start => Phase::Start,
            State::Ready(_) => Phase::Ready,
            State::Mail(_, transaction) if transaction.begun => Phase::Chunks,
            State::Mail(_, transaction) if transaction.recipients.is_empty() => Phase::Mail,
            State::Mail(..) => Phase::Rcpt,
        }
    }

    /// Ends the transaction, if there is one, and gives it.
    pub(super) fn end_transaction(&mut self) -> Option<(Hello, Transaction)> {
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start => None,
            State::Ready(hello) => {
                self.state = State::Ready(hello);
                None
            }
            State::Mail(hello, transaction) => {
                self.state = State::Ready(hello.clone());
                self.forwarded = ClientClaims::default();
                Some((hello, transaction))
            }
        }
    }

    /// Forgets everything the client said: RFC 3207 section 4.2.
    pub(super) fn forget(&mut self) {
        self.state = State::Start;
        self.forwarded = ClientClaims::default();
        self.taken_over_helo = None;
    }

    /// Whether the message's first server got it over TLS, in one word, for the log.
    pub(super) fn transport(&self, claims: &ClientClaims) -> &'static str {
        let proto = claims.proto.as_deref().unwrap_or_default().to_ascii_uppercase();
        // RFC 3848: the S of ESMTPS and ESMTPSA. Without it nothing is said: Postfix writes ESMTP for both.
        let told = match proto.strip_suffix('A').unwrap_or(&proto).ends_with('S') {
            true => Some(TlsState::Encrypted),
            false if self.names_another(claims) => None,
            false => self.client_tls,
        };
        told.map_or("unknown", wire::transport::word)
    }

    /// The port of the message's first client, where it is known.
    pub(super) fn port(&self, claims: &ClientClaims) -> Option<u16> {
        let own = (!self.names_another(claims)).then(|| self.peer.client.port());
        claims.port.or(own)
    }

    /// Whether XFORWARD tells of somebody else than this session's client.
    fn names_another(&self, claims: &ClientClaims) -> bool {
        claims
            .addr
            .is_some_and(|addr| addr.to_canonical() != self.peer.client.ip().to_canonical())
    }

    /// The keyword for the Received field.
    pub(super) fn transmission(&self, hello: &Hello, parameters: &MailParameters) -> Transmission {
        let encrypted = self.peer.tls == TlsState::Encrypted;
        let plain = match (self.receiver.dialect(), encrypted) {
            (Dialect::Lmtp, false) => Transmission::Lmtp,
            (Dialect::Lmtp, true) => Transmission::Lmtps,
            (Dialect::Smtp, true) => Transmission::Esmtps,
            (Dialect::Smtp, false) if hello.extensions == Extensions::NONE => Transmission::Smtp,
            (Dialect::Smtp, false) => Transmission::Esmtp,
        };
        // RFC 6531 section 4.3.
        match parameters.smtputf8 {
            true => plain.with_utf8(),
            false => plain,
        }
    }
}
