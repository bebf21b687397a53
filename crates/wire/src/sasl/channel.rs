//! One client's connection: which mechanisms can be finished on it, and what an exchange needs there.

use super::{ChannelBindings, Mechanism, NONCE, ServerContext, Terms};
use model::{ClientCertificate, MechanismSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What a server knows of a connection.
#[derive(Debug, Clone)]
pub struct ChannelFacts {
    /// What whoever decides about logins can check for every account.
    pub can: MechanismSet,
    /// Whether the connection is encrypted, or so short that it may show passwords.
    pub may_show_secrets: bool,
    /// Whether a mechanism that shows no password may be used.
    pub may_challenge: bool,
    /// The address that the client has connected to.
    pub local: IpAddr,
    /// Where a client learns how to get a token.
    pub openid_configuration: Option<String>,
}

/// The connection as it is now. After a TLS handshake there is another one.
#[derive(Debug, Clone)]
pub struct Channel {
    terms: Terms,
    context: ServerContext,
}

impl Channel {
    /// What TLS has to say is asked for only where a mechanism needs it.
    #[must_use]
    pub fn new(
        facts: ChannelFacts,
        bindings: impl FnOnce() -> ChannelBindings,
        certificate: impl FnOnce() -> Option<ClientCertificate>,
    ) -> Self {
        let scram = MechanismSet::SCRAM_SHA_1.union(MechanismSet::SCRAM_SHA_256);
        let bindings = match facts.can.intersection(scram) {
            MechanismSet::NONE => ChannelBindings::default(),
            _ => bindings(),
        };
        let certificate = match facts.can.contains(MechanismSet::CERTIFICATE) {
            true => certificate().map(Arc::new),
            false => None,
        };
        let terms = Terms {
            can: facts.can,
            may_show_secrets: facts.may_show_secrets,
            may_challenge: facts.may_challenge,
            bindings: !bindings.is_empty(),
            certificate: certificate.is_some(),
        };
        Self {
            terms,
            context: ServerContext {
                bindings,
                plus_announced: terms.plus(),
                certificate,
                // RFC 2195 section 2 wants a name; RFC 5322 section 3.4.1: an address in brackets is one.
                server_name: format!("[{}]", facts.local),
                openid_configuration: facts.openid_configuration,
                ..ServerContext::default()
            },
        }
    }

    /// A connection of which only this is known.
    #[must_use]
    pub fn with_terms(terms: Terms) -> Self {
        Self {
            terms,
            context: ServerContext::default(),
        }
    }

    /// What can be finished now, best first.
    #[must_use]
    pub fn offered(&self) -> Vec<Mechanism> {
        self.terms.offered()
    }

    /// Whether the protocol's own command with a password may be used now.
    #[must_use]
    pub fn allows_password(&self) -> bool {
        self.terms.allow_password()
    }

    /// Whether a mechanism that cannot be finished now could be, under TLS.
    #[must_use]
    pub fn needs_tls(&self, mechanism: Mechanism) -> bool {
        let encrypted = Terms {
            may_show_secrets: true,
            may_challenge: true,
            ..self.terms
        };
        !self.terms.allow(mechanism) && encrypted.allow(mechanism)
    }

    /// What one exchange needs; none when the mechanism cannot be finished now, or there is no randomness.
    #[must_use]
    pub fn begin(
        &self,
        mechanism: Mechanism,
        nonce: impl FnOnce() -> Option<[u8; NONCE]>,
    ) -> Option<ServerContext> {
        if !self.terms.allow(mechanism) {
            return None;
        }
        Some(ServerContext {
            nonce: nonce()?,
            ..self.context.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(can: MechanismSet) -> ChannelFacts {
        ChannelFacts {
            can,
            may_show_secrets: false,
            may_challenge: true,
            local: [192, 0, 2, 1].into(),
            openid_configuration: None,
        }
    }

    #[test]
    fn tls_is_asked_for_what_a_mechanism_needs_and_no_more() {
        let unasked = || unreachable!("nobody needs it");
        let plain = Channel::new(facts(MechanismSet::PASSWORD), unasked, || unreachable!());
        assert!(plain.offered().is_empty() && !plain.allows_password());
        assert!(plain.needs_tls(Mechanism::Plain) && !plain.needs_tls(Mechanism::ScramSha1));
        assert!(plain.begin(Mechanism::Plain, || Some([0; NONCE])).is_none());
        let bound = || ChannelBindings {
            exporter: Some(vec![1]),
            server_end_point: None,
        };
        let scram = Channel::new(facts(MechanismSet::SCRAM_SHA_256), bound, || unreachable!());
        assert_eq!(
            scram.offered(),
            [Mechanism::ScramSha256Plus, Mechanism::ScramSha256]
        );
        let context = scram.begin(Mechanism::ScramSha256, || Some([7; NONCE]));
        let context = context.expect("it can be finished");
        assert!(context.plus_announced && context.nonce == [7; NONCE]);
        assert_eq!(context.server_name, "[192.0.2.1]");
        assert!(scram.begin(Mechanism::ScramSha256, || None).is_none());
    }
}
