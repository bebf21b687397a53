//! MAIL (RFC 5321 section 4.1.1.2): a transaction begins.

use super::super::reply;
use super::super::state::{Session, State, Transaction};
use model::{ReversePath, TraceId};
use wire::smtp::{MailParameters, Reply};

pub(super) fn mail(session: &mut Session, from: ReversePath, parameters: MailParameters) -> Reply {
    let limit = u64::try_from(session.receiver.limits.message_size).unwrap_or(u64::MAX);
    // RFC 1870 section 6.1.
    if parameters.size.is_some_and(|size| size > limit) {
        return reply::message_too_large();
    }
    // RFC 6531 section 3.5.
    if let ReversePath::Address(address) = &from
        && address.needs_smtputf8()
        && !parameters.smtputf8
    {
        return reply::undeclared_utf8();
    }
    session.state = match std::mem::replace(&mut session.state, State::Start) {
        State::Ready(hello) => {
            let trace = trace(session);
            let transaction = Transaction {
                trace,
                from,
                parameters,
                recipients: Vec::new(),
                begun: false,
            };
            session.transactions = session.transactions.saturating_add(1);
            session.idle_commands = 0;
            State::Mail(hello, transaction)
        }
        other => {
            session.state = other;
            return reply::bad_sequence(session.phase());
        }
    };
    reply::sender_ok()
}

/// The front end's trace goes on; without one the first message has the session's, further ones their own.
fn trace(session: &Session) -> TraceId {
    let forwarded = session.forwarded.ident.as_deref().and_then(TraceId::parse);
    match (forwarded, session.transactions) {
        (Some(trace), _) => trace,
        (None, 0) => session.peer.trace,
        (None, _) => net::new_trace_id(),
    }
}
