//! ID (RFC 2971). From a trusted front end it also says who the real client is.

use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use crate::imap::state::State;
use model::TraceId;
use std::net::IpAddr;
use wire::imap::{IdFields, StatusLine};
use wire::transport;

pub(super) fn run(session: &mut Session, fields: &IdFields) -> Result<StatusLine, Failure> {
    // Once somebody is logged in, who he is has been decided and logged.
    if session.trusted && matches!(session.state, State::NotAuthenticated) {
        believe(session, fields);
    }
    session.stream.write(b"* ID (\"name\" \"Homing\")\r\n");
    Ok(reply::ok("ID completed"))
}

/// The fields by which proxies forward a client: the address, its port, and the session's trace.
fn believe(session: &mut Session, fields: &IdFields) {
    // Its connection is not its client's.
    if fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(b"x-originating-ip"))
    {
        session.client_tls = None;
    }
    for (name, value) in fields {
        let Some(value) = value.as_deref().and_then(|value| std::str::from_utf8(value).ok()) else {
            continue;
        };
        match name.to_ascii_lowercase().as_slice() {
            b"x-originating-ip" => {
                if let Ok(address) = value.parse::<IpAddr>() {
                    session.peer.client.set_ip(address);
                }
            }
            b"x-originating-port" => {
                if let Ok(port) = value.parse() {
                    session.peer.client.set_port(port);
                }
            }
            b"x-forward-transport" => session.client_tls = transport::parse(value),
            b"x-session-id" => {
                if let Some(trace) = TraceId::parse(value) {
                    session.peer.trace = trace;
                }
            }
            _ => {}
        }
    }
}
