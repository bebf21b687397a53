//! What a connection lets its client log in with: the same for IMAP and POP3.

use model::{
    AuthOutcome, Authenticator, Credential, MechanismSet, Peer, Protocol, RejectReason, ScramKeys,
    ScramOutcome, ScramRequest, TlsState,
};
use net::{LineStream, ListenerConfig, TlsBindings};
use std::sync::Arc;
use wire::sasl::{ChannelBindings, Mechanism, ServerContext, Terms, Wanted};

/// The facts that decide which mechanisms can be finished.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    terms: Terms,
    context: ServerContext,
    /// Whether a token may be a front end's assertion.
    assertions: bool,
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
        let scram = MechanismSet::SCRAM_SHA_1.union(MechanismSet::SCRAM_SHA_256);
        let bindings = if can.intersection(scram) == MechanismSet::NONE {
            TlsBindings::default()
        } else {
            stream.tls_bindings()
        };
        let bindings = ChannelBindings {
            exporter: bindings.exporter,
            server_end_point: bindings.server_end_point,
        };
        let certificate = match can.contains(MechanismSet::CERTIFICATE) {
            true => stream.client_certificate().map(Arc::new),
            false => None,
        };
        let terms = Terms {
            can,
            may_show_secrets: encrypted || assertions || listener.allows_plaintext_login(),
            may_challenge: encrypted || listener.allows_plaintext_challenge(),
            bindings: !bindings.is_empty(),
            certificate: certificate.is_some(),
        };
        Self {
            terms,
            assertions,
            context: ServerContext {
                bindings,
                plus_announced: terms.plus(),
                certificate,
                // RFC 2195 section 2 wants a name; RFC 5322 section 3.4.1: an address in brackets is one.
                server_name: format!("[{}]", peer.local.ip()),
                openid_configuration: authenticator.openid_configuration(),
                ..ServerContext::default()
            },
        }
    }

    /// A token from a trusted front end may be its assertion.
    pub(crate) fn proof(&self, credential: Credential) -> Credential {
        match credential {
            Credential::Bearer(token) if self.assertions => Credential::Assertion(token),
            other => other,
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
