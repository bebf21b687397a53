//! EHLO, HELO (RFC 5321 section 4.1.1.1) and LHLO (RFC 2033 section 4.1).

use super::super::reply;
use super::super::state::{Hello, Session, State};
use crate::receiver::Dialect;
use wire::smtp::{Capabilities, ClaimVerb, Extensions, Limits, Reply};

pub(super) fn ehlo(session: &mut Session, name: String) -> Reply {
    match session.receiver.dialect() {
        Dialect::Smtp => extended(session, name),
        Dialect::Lmtp => reply::wrong_hello("LHLO"),
    }
}

pub(super) fn lhlo(session: &mut Session, name: String) -> Reply {
    match session.receiver.dialect() {
        Dialect::Lmtp => extended(session, name),
        Dialect::Smtp => reply::wrong_hello("EHLO"),
    }
}

pub(super) fn helo(session: &mut Session, name: String) -> Reply {
    if session.receiver.dialect() == Dialect::Lmtp {
        return reply::wrong_hello("LHLO");
    }
    greeted(session, name, Extensions::NONE);
    reply::helo(session.receiver.parts.server_name.as_str())
}

fn extended(session: &mut Session, name: String) -> Reply {
    let extensions = session.offered();
    let words = |verb: ClaimVerb| verb.attributes().iter().map(|&word| word.to_owned()).collect();
    let capabilities = Capabilities {
        name: session.receiver.parts.server_name.to_string(),
        extensions,
        size_limit: u64::try_from(session.receiver.limits.message_size).ok(),
        auth: Vec::new(),
        xclient: words(ClaimVerb::Xclient),
        xforward: words(ClaimVerb::Xforward),
        limits: Limits {
            mail_max: None,
            rcpt_max: u32::try_from(session.receiver.limits.recipients).ok(),
        },
    };
    let reply = capabilities.reply(&name);
    greeted(session, name, extensions);
    reply
}

/// A new greeting also ends the transaction (RFC 5321 section 4.1.4).
fn greeted(session: &mut Session, name: String, extensions: Extensions) {
    session.end_transaction();
    session.state = State::Ready(Hello { name, extensions });
}
