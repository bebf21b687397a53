//! What a connection lets its client log in with: the same for IMAP and POP3.

use model::{
    AuthOutcome, Authenticator, Credential, MechanismSet, Peer, Protocol, RejectReason, ScramKeys,
    ScramOutcome, ScramRequest, TlsState,
};
use net::{LineStream, ListenerConfig};
use wire::sasl::{ChannelBindings, ChannelFacts, Wanted};

/// The connection as it is now, and whom it may come from.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    sasl: wire::sasl::Channel,
    /// Whether a token may be a front end's assertion.
    assertions: bool,
}

impl std::ops::Deref for Channel {
    type Target = wire::sasl::Channel;

    fn deref(&self) -> &Self::Target {
        &self.sasl
    }
}

/// Whether the other end is a front end whose word is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In `trusted_networks`.
    FrontEnd,
    /// Anybody.
    Stranger,
}

impl Standing {
    pub(crate) fn of(trusted: bool) -> Self {
        if trusted { Self::FrontEnd } else { Self::Stranger }
    }
}

impl Channel {
    /// Looks at the connection as it is now. To be asked again after a TLS handshake.
    pub(crate) fn of(
        stream: &LineStream,
        peer: &Peer,
        listener: &ListenerConfig,
        authenticator: &dyn Authenticator,
        standing: Standing,
    ) -> Self {
        let mut can = authenticator.mechanisms();
        let encrypted = stream.is_encrypted() || peer.tls == TlsState::Encrypted;
        // Who could read an assertion on its way could use it first.
        let private = encrypted || stream.is_internal() || peer.local.ip().to_canonical().is_loopback();
        let assertions = standing == Standing::FrontEnd && private && can.contains(MechanismSet::ASSERTION);
        if assertions {
            can = can.union(MechanismSet::BEARER);
        }
        let facts = ChannelFacts {
            can,
            may_show_secrets: encrypted || assertions || listener.allows_plaintext_login(),
            may_challenge: encrypted || listener.allows_plaintext_challenge(),
            local: peer.local.ip(),
            openid_configuration: authenticator.openid_configuration(),
        };
        let bindings = || {
            let found = stream.tls_bindings();
            ChannelBindings {
                exporter: found.exporter,
                server_end_point: found.server_end_point,
            }
        };
        Self {
            sasl: wire::sasl::Channel::new(facts, bindings, || stream.client_certificate()),
            assertions,
        }
    }

    /// A token from a trusted front end may be its assertion.
    pub(crate) fn proof(&self, credential: Credential) -> Credential {
        match credential {
            Credential::Bearer(token) if self.assertions => Credential::Assertion(token),
            other => other,
        }
    }
}

/// The keys with which a SCRAM exchange goes on, or why it cannot.
pub(crate) async fn scram_keys(
    authenticator: &dyn Authenticator,
    wanted: Wanted,
    protocol: Protocol,
    peer: &Peer,
) -> Result<ScramKeys, AuthOutcome> {
    let request = ScramRequest {
        login: wanted.login,
        hash: wanted.hash,
        salt: None,
        protocol,
        peer: peer.clone(),
    };
    let outcome = match authenticator.scram_keys(&request).await {
        ScramOutcome::Keys(keys) => return Ok(keys),
        ScramOutcome::NoEntry => AuthOutcome::NoEntry,
        ScramOutcome::NotOffered => AuthOutcome::Rejected(RejectReason::NotAllowed),
        ScramOutcome::Unavailable(why) => AuthOutcome::Unavailable(why),
    };
    tracing::info!(trace = %peer.trace, client = %peer.client, %protocol, login = request.login, ?outcome, "no keys for a login");
    Err(outcome)
}
