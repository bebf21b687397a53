//! What a client may log in with at the front end, and what a SASL exchange needs there.

use crate::config::AuthenticateAt;
use crate::failure::{Failure, Rejection};
use crate::login::Gate;
use model::{MechanismSet, Peer, Protocol, RejectReason, ScramKeys, ScramOutcome, ScramRequest};
use net::LineStream;
use wire::sasl::{Channel, ChannelBindings, ChannelFacts, Verdict, Wanted};

/// What the listener allows without TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InTheClear {
    pub(crate) passwords: bool,
    pub(crate) challenges: bool,
}

/// The connection as it is now: which mechanisms can be finished up to the home, and what they need.
pub(crate) fn channel(
    gate: &Gate,
    stream: &LineStream,
    peer: &Peer,
    protocol: Protocol,
    clear: InTheClear,
) -> Channel {
    let encrypted = stream.is_encrypted();
    let authenticator = gate.authenticator.as_ref();
    let facts = ChannelFacts {
        can: gate.mechanisms(protocol),
        may_show_secrets: encrypted || clear.passwords,
        may_challenge: encrypted || clear.challenges,
        local: peer.local.ip(),
        openid_configuration: authenticator.and_then(|source| source.openid_configuration()),
    };
    let bindings = || {
        let found = stream.tls_bindings();
        ChannelBindings {
            exporter: found.exporter,
            server_end_point: found.server_end_point,
        }
    };
    Channel::new(facts, bindings, || stream.client_certificate())
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
