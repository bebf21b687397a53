//! RCPT (RFC 5321 section 4.1.1.3): the recipient is judged while the client waits.

use super::super::reply;
use super::super::state::{Accepted, Session, State};
use crate::recipient::judge;
use wire::smtp::{ForwardPath, Reply};

pub(super) async fn rcpt(session: &mut Session, path: ForwardPath) -> Reply {
    let receiver = session.receiver.clone();
    let client = session.peer.client;
    let phase = session.phase();
    let State::Mail(_, transaction) = &mut session.state else {
        return reply::bad_sequence(phase);
    };
    if transaction.recipients.len() >= receiver.limits.recipients {
        // A client that pipelines says all of them before it hears this; that is not idling.
        session.idle_commands = 0;
        return reply::too_many_recipients();
    }
    if let ForwardPath::Address(address) = &path
        && address.needs_smtputf8()
        && !transaction.parameters.smtputf8
    {
        return reply::undeclared_utf8();
    }
    match judge(&receiver, &path, transaction.parameters.size).await {
        Ok(accounts) => {
            transaction.recipients.push(Accepted { path, accounts });
            session.idle_commands = 0;
            reply::recipient_ok()
        }
        Err(refusal) => {
            tracing::info!(
                trace = %transaction.trace,
                %client,
                from = %transaction.from,
                to = %path,
                ?refusal,
                "recipient refused"
            );
            reply::refusal(&refusal)
        }
    }
}
