//! CAPA (RFC 2449 section 5): what is possible now.

use super::super::reply;
use super::super::state::{Phase, Session};
use super::Next;
use wire::pop3::Capabilities;

pub(super) fn capa(session: &Session) -> Next {
    let before_login = session.phase() == Phase::Authorization;
    let capabilities = Capabilities {
        user: before_login && session.channel.allows_password(),
        stls: session.stls && session.phase() == Phase::Authorization,
        sasl: session
            .channel
            .offered()
            .iter()
            .filter(|_| before_login)
            .map(|m| m.name().to_owned())
            .collect(),
        top: true,
        uidl: true,
        pipelining: true,
        resp_codes: true,
        auth_resp_code: true,
        xclient: before_login && session.trusted,
        expire: Some("NEVER".to_owned()),
        // RFC 2449 section 6.9; the version is nobody's business before login.
        implementation: Some("Homing".to_owned()),
    };
    Next::Lines(
        reply::ok("capabilities follow"),
        capabilities
            .lines()
            .iter()
            .map(|line| format!("{line}\r\n"))
            .collect(),
    )
}
