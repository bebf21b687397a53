//! XCLIENT as Dovecot defined it for POP3: what a front end tells a home about its client.
//!
//! These are claims. A server believes them only from its trusted networks, announces the verb with `[XCLIENT]`
//! in their greeting, and does not know it to anybody else.

use super::command::CommandError;
use crate::transport;
use model::TlsState;
use std::fmt;
use std::net::IpAddr;

/// Opens the greeting where the verb is taken.
pub const XCLIENT_GREETING: &str = "[XCLIENT]";

/// Longer values are refused.
const MAX_VALUE: usize = 128;
/// The fields that a Dovecot front end forwards are its administrator's.
const MAX_FORWARD: usize = 2048;

/// The attributes of one XCLIENT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientClaims {
    /// The client's address.
    pub addr: Option<IpAddr>,
    /// The client's port.
    pub port: Option<u16>,
    /// The session's name in the logs of all hops.
    pub session: Option<String>,
    /// How many more front ends the session may pass.
    pub ttl: Option<u8>,
    /// Whether the client's own connection is encrypted, where that is told.
    pub tls: Option<TlsState>,
}

impl ClientClaims {
    /// Reads the attributes after the verb. Those that are not known are passed over, as Dovecot does.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, CommandError> {
        let mut claims = Self::default();
        for word in words {
            let (keyword, value) = word.split_once('=').ok_or(CommandError::Arguments)?;
            let keyword = keyword.to_ascii_uppercase();
            let most = if keyword == "FORWARD" {
                MAX_FORWARD
            } else {
                MAX_VALUE
            };
            if value.len() > most || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(CommandError::Arguments);
            }
            match keyword.as_str() {
                "ADDR" => claims.addr = Some(value.parse().map_err(|_| CommandError::Arguments)?),
                "PORT" => claims.port = Some(value.parse().map_err(|_| CommandError::Arguments)?),
                "SESSION" => claims.session = Some(value.to_owned()),
                "TTL" => claims.ttl = Some(value.parse().map_err(|_| CommandError::Arguments)?),
                "FORWARD" => claims.tls = transport::from_forward(value),
                _ => {}
            }
        }
        Ok(claims)
    }
}

impl fmt::Display for ClientClaims {
    /// The attributes with a space before each, as they follow the verb.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(addr) = self.addr {
            write!(f, " ADDR={addr}")?;
        }
        if let Some(port) = self.port {
            write!(f, " PORT={port}")?;
        }
        if let Some(session) = &self.session {
            write!(f, " SESSION={session}")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, " TTL={ttl}")?;
        }
        if let Some(tls) = self.tls {
            write!(f, " FORWARD={}", transport::forward(tls))?;
        }
        Ok(())
    }
}
