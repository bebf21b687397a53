//! What a front end tells a home about its client: XCLIENT and XFORWARD as Postfix defined them, and
//! Dovecot's SESSION, TTL and CLIENT-TRANSPORT in XCLIENT.
//!
//! These are claims. A server believes them only from its trusted networks, and does not announce the verbs to
//! anybody else.

use super::command::CommandError;
use super::xtext::{xtext_decode, xtext_encode};
use crate::transport;
use model::TlsState;
use std::fmt;
use std::net::IpAddr;

/// Which of the two verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimVerb {
    /// The session is taken over: the server acts as if this client were connected itself.
    Xclient,
    /// For logs and the Received field only; IDENT carries the trace.
    Xforward,
}

impl ClaimVerb {
    /// The attributes that we take, as the EHLO reply announces them.
    #[must_use]
    pub const fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Xclient => &[
                "NAME",
                "ADDR",
                "PORT",
                "PROTO",
                "HELO",
                "SESSION",
                "TTL",
                "CLIENT-TRANSPORT",
            ],
            Self::Xforward => &["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"],
        }
    }
}

/// The attributes of one XCLIENT or XFORWARD. `None` means not said, or `[UNAVAILABLE]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientClaims {
    /// The client's verified host name.
    pub name: Option<String>,
    /// The client's address.
    pub addr: Option<IpAddr>,
    /// The client's port.
    pub port: Option<u16>,
    /// `SMTP`, `ESMTP` or `LMTP`.
    pub proto: Option<String>,
    /// The name that the client gave.
    pub helo: Option<String>,
    /// The message's identifier at the front end: our trace.
    pub ident: Option<String>,
    /// `LOCAL` or `REMOTE`.
    pub source: Option<String>,
    /// The session in the logs of the front end (XCLIENT as Dovecot extends it).
    pub session: Option<String>,
    /// How many more front ends the session may pass (XCLIENT as Dovecot extends it).
    pub ttl: Option<u8>,
    /// Whether the client's own connection is encrypted (XCLIENT as Dovecot extends it).
    pub tls: Option<TlsState>,
    /// The same for a Dovecot that does not know it by that name: the value of FORWARD.
    pub forward: Option<String>,
}

impl ClientClaims {
    pub(super) fn parse(verb: ClaimVerb, arguments: &[u8]) -> Result<Self, CommandError> {
        let text = std::str::from_utf8(arguments).map_err(|_| CommandError::Syntax)?;
        let mut claims = Self::default();
        if text.is_empty() {
            return Err(CommandError::Syntax);
        }
        for pair in text.split_ascii_whitespace() {
            let (keyword, value) = pair.split_once('=').ok_or(CommandError::Syntax)?;
            let keyword = keyword.to_ascii_uppercase();
            if !verb.attributes().contains(&keyword.as_str()) {
                return Err(CommandError::BadParameter);
            }
            let value = xtext_decode(value).ok_or(CommandError::BadParameter)?;
            let unknown = ["[UNAVAILABLE]", "[TEMPUNAVAIL]"];
            let value =
                Some(value).filter(|value| !unknown.iter().any(|word| word.eq_ignore_ascii_case(value)));
            match keyword.as_str() {
                "NAME" => claims.name = value,
                "ADDR" => claims.addr = value.map(|value| address(&value)).transpose()?,
                "PORT" => {
                    let port = value.map(|value| value.parse()).transpose();
                    claims.port = port.map_err(|_| CommandError::BadParameter)?;
                }
                "PROTO" => claims.proto = value,
                "HELO" => claims.helo = value,
                "IDENT" => claims.ident = value,
                "SESSION" => claims.session = value,
                // A count beyond all sense is as good as none.
                "TTL" => claims.ttl = value.map(|value| value.parse().unwrap_or(0)),
                "CLIENT-TRANSPORT" => claims.tls = value.and_then(|value| transport::parse(&value)),
                _ => claims.source = value,
            }
        }
        Ok(claims)
    }

    /// Keeps only the attributes that the other side announced; gives `None` when none of them is left.
    #[must_use]
    pub fn limited_to(mut self, announced: &[String]) -> Option<Self> {
        let has = |name: &str| announced.iter().any(|word| word.eq_ignore_ascii_case(name));
        self.name = self.name.filter(|_| has("NAME"));
        self.addr = self.addr.filter(|_| has("ADDR"));
        self.port = self.port.filter(|_| has("PORT"));
        self.proto = self.proto.filter(|_| has("PROTO"));
        self.helo = self.helo.filter(|_| has("HELO"));
        self.ident = self.ident.filter(|_| has("IDENT"));
        self.source = self.source.filter(|_| has("SOURCE"));
        self.session = self.session.filter(|_| has("SESSION"));
        self.ttl = self.ttl.filter(|_| has("TTL"));
        let knows_transport = has("CLIENT-TRANSPORT");
        self.tls = self.tls.filter(|_| knows_transport);
        self.forward = self.forward.filter(|_| has("FORWARD") && !knows_transport);
        (self != Self::default()).then_some(self)
    }
}

impl fmt::Display for ClientClaims {
    /// The attributes with a space before each, as they follow the verb.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr.map(|addr| match addr {
            IpAddr::V4(addr) => addr.to_string(),
            IpAddr::V6(addr) => format!("IPV6:{addr}"),
        });
        let port = self.port.map(|port| port.to_string());
        let ttl = self.ttl.map(|ttl| ttl.to_string());
        let tls = self.tls.map(|tls| transport::word(tls).to_owned());
        for (keyword, value) in [
            ("NAME", &self.name),
            ("ADDR", &addr),
            ("PORT", &port),
            ("PROTO", &self.proto),
            ("HELO", &self.helo),
            ("IDENT", &self.ident),
            ("SOURCE", &self.source),
            ("SESSION", &self.session),
            ("TTL", &ttl),
            ("CLIENT-TRANSPORT", &tls),
            ("FORWARD", &self.forward),
        ] {
            if let Some(value) = value {
                write!(f, " {keyword}={}", xtext_encode(value))?;
            }
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<IpAddr, CommandError> {
    let bare = match text.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case("IPV6:") => text.get(5..).unwrap_or_default(),
        _ => text,
    };
    bare.parse().map_err(|_| CommandError::BadParameter)
}
