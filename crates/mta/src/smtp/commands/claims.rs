//! XCLIENT and XFORWARD. The parser knows the verbs only in sessions from trusted networks.

use super::super::reply;
use super::super::state::Session;
use wire::smtp::{ClientClaims, Reply};

/// The session is the named client's from now on, and begins again.
pub(super) fn xclient(session: &mut Session, claims: ClientClaims) -> Reply {
    session.forget();
    if let Some(addr) = claims.addr {
        session.peer.client.set_ip(addr.to_canonical());
    }
    if let Some(port) = claims.port {
        session.peer.client.set_port(port);
    }
    if let Some(trace) = claims.session.as_deref().and_then(model::TraceId::parse) {
        session.peer.trace = trace;
    }
    session.client_tls = claims.tls;
    session.taken_over_helo = claims.helo;
    super::greeting(session)
}

/// Attributes for the next transaction; several commands add up.
pub(super) fn xforward(session: &mut Session, claims: ClientClaims) -> Reply {
    let known = &mut session.forwarded;
    known.name = claims.name.or(known.name.take());
    known.addr = claims.addr.or(known.addr);
    known.port = claims.port.or(known.port);
    known.proto = claims.proto.or(known.proto.take());
    known.helo = claims.helo.or(known.helo.take());
    known.ident = claims.ident.or(known.ident.take());
    known.source = claims.source.or(known.source.take());
    reply::ok()
}
