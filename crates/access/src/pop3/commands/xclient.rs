//! XCLIENT (Dovecot): a trusted front end names its client.

use super::super::reply;
use super::super::state::Session;
use super::Next;
use model::TraceId;
use wire::pop3::{ClientClaims, CommandError};

/// To anybody else the verb does not exist.
pub(super) fn xclient(session: &mut Session, claims: ClientClaims) -> Next {
    if !session.trusted {
        return Next::Wrong(reply::command_error(CommandError::Unknown));
    }
    if claims.ttl == Some(0) {
        return Next::Close(reply::too_many_hops());
    }
    if let Some(addr) = claims.addr {
        session.peer.client.set_ip(addr.to_canonical());
    }
    if let Some(port) = claims.port {
        session.peer.client.set_port(port);
    }
    session.client_tls = claims.tls;
    if let Some(trace) = claims.session.as_deref().and_then(TraceId::parse) {
        session.peer.trace = trace;
    }
    Next::Reply(reply::ok("updated"))
}
