//! What a server may announce now.

use super::Mechanism;
use model::MechanismSet;

/// What the two ends of a TLS channel know alike (RFC 5929, RFC 9266).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266): TLS 1.3.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 section 4): the hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.exporter.is_none() && self.server_end_point.is_none()
    }

    /// The data of a registered type.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.exporter.as_deref(),
            "tls-server-end-point" => self.server_end_point.as_deref(),
            _ => None,
        }
    }

    /// What a client should use: RFC 9266 section 4 prefers the exporter.
    pub(super) fn best(&self) -> Option<(&'static str, &[u8])> {
        ["tls-exporter", "tls-server-end-point"]
            .into_iter()
            .find_map(|name| Some((name, self.get(name)?)))
    }
}

/// On what terms a client may log in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What whoever decides about logins can check for every account.
    pub can: MechanismSet,
    /// Whether the connection is encrypted, or so short that it may show passwords.
    pub may_show_secrets: bool,
    /// Whether a mechanism that shows no password may be used: always under TLS.
    pub may_challenge: bool,
    /// Whether there is anything to bind to.
    pub bindings: bool,
    /// Whether the client has shown a certificate that is good.
    pub certificate: bool,
}

impl Terms {
    /// Whether this mechanism can be finished now.
    #[must_use]
    pub fn allow(&self, mechanism: Mechanism) -> bool {
        let can = |kind| self.can.contains(kind);
        match mechanism {
            Mechanism::Plain | Mechanism::Login => self.may_show_secrets && can(MechanismSet::PASSWORD),
            Mechanism::OauthBearer | Mechanism::Xoauth2 => self.may_show_secrets && can(MechanismSet::BEARER),
            Mechanism::ScramSha1 => self.may_challenge && can(MechanismSet::SCRAM_SHA_1),
            Mechanism::ScramSha256 => self.may_challenge && can(MechanismSet::SCRAM_SHA_256),
            Mechanism::ScramSha1Plus => self.bindings && can(MechanismSet::SCRAM_SHA_1),
            Mechanism::ScramSha256Plus => self.bindings && can(MechanismSet::SCRAM_SHA_256),
            Mechanism::CramMd5 => self.may_challenge && can(MechanismSet::CRAM_MD5),
            Mechanism::External => self.certificate && can(MechanismSet::CERTIFICATE),
        }
    }

    /// What to announce, best first.
    #[must_use]
    pub fn offered(&self) -> Vec<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .filter(|mechanism| self.allow(*mechanism))
            .collect()
    }

    /// Whether the protocol's own command with a password may be used.
    #[must_use]
    pub fn allow_password(&self) -> bool {
        self.allow(Mechanism::Plain)
    }

    /// Whether a -PLUS mechanism is announced (the rule against downgrade asks for it).
    #[must_use]
    pub fn plus(&self) -> bool {
        self.allow(Mechanism::ScramSha1Plus) || self.allow(Mechanism::ScramSha256Plus)
    }
}
