//! What differs between SMTP and LMTP on the client's side (RFC 2033).

use super::client::Client;
use super::reply;
use crate::config::{HomeProtocol, MultiHome, SmtpProxyConfig};
use net::LineStream;
use wire::smtp::{Reply, Transmission};

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Smtp,
    Lmtp,
}

/// A greeting's verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Helo,
    Ehlo,
    Lhlo,
}

impl Dialect {
    /// In log lines.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }

    /// The second word of the greeting.
    pub(super) fn greeting(self, server_name: &str) -> String {
        let protocol = match self {
            Self::Smtp => "ESMTP",
            Self::Lmtp => "LMTP",
        };
        format!("{server_name} {protocol} Homing")
    }

    /// Why a client may not greet so. RFC 2033 section 4.1: LMTP knows LHLO and nothing else.
    pub(super) fn refuses(self, verb: Verb) -> Option<Reply> {
        match (self, verb) {
            (Self::Smtp, Verb::Lhlo) => Some(reply::ehlo_instead()),
            (Self::Lmtp, Verb::Helo | Verb::Ehlo) => Some(reply::lhlo_instead()),
            _ => None,
        }
    }

    /// A message for several homes. In LMTP each recipient has its own reply, so that nothing speaks against it.
    pub(super) fn multi_home(self, config: &SmtpProxyConfig) -> MultiHome {
        match self {
            Self::Smtp => config.multi_home(),
            Self::Lmtp => MultiHome::Parallel,
        }
    }

    /// Recipients in one transaction. A home that speaks LMTP may take the message for one of them and not for another
    /// (RFC 2033 section 4.2), and an SMTP client has one reply for both: where nobody takes over the other, its retry
    /// would bring the message to the first again and again.
    pub(super) fn max_recipients(self, config: &SmtpProxyConfig) -> u32 {
        match (self, config.home_protocol, &config.spill_home) {
            (Self::Smtp, HomeProtocol::Lmtp, None) => 1,
            _ => config.max_recipients,
        }
    }

    /// The reply to a message without recipients: RFC 5321 section 3.3, RFC 2033 section 4.2.
    pub(super) fn no_recipients(self) -> Reply {
        match self {
            Self::Smtp => reply::no_recipients(),
            Self::Lmtp => reply::rcpt_first(),
        }
    }

    /// How often the end of a message is answered: in LMTP once for each recipient that was taken. RFC 2033 section
    /// 4.3: a last chunk in a transaction without recipients has no reply at all.
    pub(super) const fn answers(self, recipients: usize) -> usize {
        match self {
            Self::Smtp => 1,
            Self::Lmtp => recipients,
        }
    }

    /// The keyword of the Received field (RFC 3848).
    pub(super) fn transmission(self, client: &Client, stream: &LineStream) -> Transmission {
        match (self, client.is_esmtp(), stream.is_encrypted()) {
            (Self::Lmtp, _, false) => Transmission::Lmtp,
            (Self::Lmtp, _, true) => Transmission::Lmtps,
            (Self::Smtp, false, _) => Transmission::Smtp,
            (Self::Smtp, true, false) => Transmission::Esmtp,
            (Self::Smtp, true, true) => Transmission::Esmtps,
        }
    }
}
