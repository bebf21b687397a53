//! What a client may log in with at the front end, and what a SASL exchange needs there.

use crate::config::AuthenticateAt;
use crate::failure::{Failure, Rejection};
use crate::login::Gate;
use model::{MechanismSet, Peer, Protocol, RejectReason, ScramKeys, ScramOutcome, ScramRequest};
use net::{LineStream, TlsBindings};
use std::sync::Arc;
use wire::sasl::{ChannelBindings, Mechanism, ServerContext, Terms, Verdict, Wanted};

/// What the listener allows without TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InTheClear {
    pub(crate) passwords: bool,
    pub(crate) challenges: bool,
}

/// The connection as it is now: which mechanisms can be finished, and what they need.
pub(crate) struct Channel {
    terms: Terms,
    context: ServerContext,
}

impl Channel {
    pub(crate) fn of(
        gate: &Gate,
        stream: &LineStream,
        peer: &Peer,
        protocol: Protocol,
        clear: InTheClear,
    ) -> Self {
        let can = gate.mechanisms(protocol);
        let encrypted = stream.is_encrypted();
        let scram = MechanismSet::SCRAM_SHA_1.union(MechanismSet::SCRAM_SHA_256);
        let found = match can.intersection(scram) {
            MechanismSet::NONE => TlsBindings::default(),
            _ => stream.tls_bindings(),
        };
        let bindings = ChannelBindings {
            exporter: found.exporter,
            server_end_point: found.server_end_point,
        };
        let certificate = match can.contains(MechanismSet::CERTIFICATE) {
            true => stream.client_certificate().map(Arc::new),
            false => None,
        };
        let terms = Terms {
            can,
            may_show_secrets: encrypted || clear.passwords,
            may_challenge: encrypted || clear.challenges,
            bindings: !bindings.is_empty(),
            certificate: certificate.is_some(),
        };
        let authenticator = gate.authenticator.as_ref();
        Self {
            terms,
            context: ServerContext {
                bindings,
                plus_announced: terms.plus(),
                certificate,
                // RFC 2195 section 2 wants a name; RFC 5322 section 3.4.1: an address in brackets is one.
                server_name: format!("[{}]", peer.local.ip()),
                openid_configuration: authenticator.and_then(|source| source.openid_configuration()),
                ..ServerContext::default()
            },
        }
    }

    /// What can be finished now.
    pub(crate) fn offered(&self) -> Vec<Mechanism> {
        self.terms.offered()
    }

    /// Whether the protocol's own command with a password may be used now.
    pub(crate) fn allows_password(&self) -> bool {
        self.terms.allow_password()
    }

    /// Whether a mechanism that cannot be finished now could be, under TLS.
    pub(crate) fn needs_tls(&self, mechanism: Mechanism) -> bool {
        let encrypted = Terms {
            may_show_secrets: true,
            may_challenge: true,
            ..self.terms
        };
        !self.terms.allow(mechanism) && encrypted.allow(mechanism)
    }

    /// What one exchange needs; none when the mechanism cannot be finished now.
    pub(crate) fn begin(&self, mechanism: Mechanism) -> Option<ServerContext> {
        if !self.terms.allow(mechanism) {
            return None;
        }
        let nonce = net::fresh_random()
            .inspect_err(|error| tracing::error!(%error, "no randomness for a login"))
            .ok()?;
        Some(ServerContext {
            nonce,
            ..self.context.clone()
        })
    }
}

#[cfg(test)]
impl Channel {
    /// A connection of which only this is known.
    pub(crate) fn with_terms(terms: Terms) -> Self {
        Self {
            terms,
            context: ServerContext::default(),
        }
    }
}

impl Gate {
    /// What can be finished up to the home, for every account.
    fn mechanisms(&self, protocol: Protocol) -> MechanismSet {
        let replayed = MechanismSet::PASSWORD.union(MechanismSet::BEARER);
        match (self.settings.authenticate, &self.authenticator) {
            (AuthenticateAt::Home, _) => replayed,
            (AuthenticateAt::Edge, None) => MechanismSet::PASSWORD,
            (AuthenticateAt::Edge, Some(source)) => match self.context.dialer.needs_secret(protocol) {
                false => source.mechanisms(),
                // A home that wants the password or the token again can be entered with nothing else.
                true => source.mechanisms().intersection(replayed),
            },
        }
    }

    /// The keys with which a SCRAM exchange goes on, or why it cannot.
    pub(crate) async fn scram_keys(
        &self,
        wanted: Wanted,
        protocol: Protocol,
        peer: &Peer,
    ) -> Result<ScramKeys, Failure> {
        let request = ScramRequest {
            login: wanted.login,
            hash: wanted.hash,
            salt: None,
            protocol,
            peer: peer.clone(),
        };
        let outcome = match &self.authenticator {
            Some(source) => source.scram_keys(&request).await,
            None => ScramOutcome::NotOffered,
        };
        match outcome {
            ScramOutcome::Keys(keys) => Ok(keys),
            ScramOutcome::NoEntry => Err(Failure::Rejected(Rejection::NoSuchAccount)),
            ScramOutcome::NotOffered => Err(Failure::Rejected(Rejection::Reason(RejectReason::NotAllowed))),
            ScramOutcome::Unavailable(why) => Err(Failure::Directory(why.to_string())),
        }
    }
}

/// What an exchange has to know of a login that went through or did not.
pub(crate) fn verdict<T>(result: &Result<T, Failure>) -> Verdict {
    match result {
        Ok(_) => Verdict::Good,
        Err(failure) if failure.blames_client() => Verdict::Bad,
        Err(_) => Verdict::Later,
    }
}
