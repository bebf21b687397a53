//! CAPABILITY (RFC 3501 section 6.1.1): the one list of what this server speaks.

use super::end_session;
use crate::channel::{Channel, Standing};
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use crate::imap::state::State;
use net::TlsMode;
use wire::imap::{Code, StatusLine};

/// In every state: RFC 2177, 2971, 4959, 7888.
const ALWAYS: [&str; 5] = ["IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "IDLE"];

/// After login: RFC 2342, 4315, 3691, 3348, 5258, 5819, 6154, 6851, 4731, 8438.
const LOGGED_IN: [&str; 11] = [
    "NAMESPACE",
    "UIDPLUS",
    "UNSELECT",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "MOVE",
    "ESEARCH",
    "STATUS=SIZE",
];

pub(in crate::imap) fn run(session: &mut Session) -> Result<StatusLine, Failure> {
    let line = format!("* CAPABILITY {}\r\n", list(session).join(" "));
    session.stream.write(line.as_bytes());
    Ok(reply::ok("CAPABILITY completed"))
}

/// The same as a response code, which saves clients a round trip.
pub(in crate::imap) fn code(session: &Session) -> Code {
    Code::Capability(list(session))
}

/// What the client may log in with now.
pub(super) fn channel(session: &Session) -> Channel {
    let authenticator = session.service.authenticator.as_ref();
    let standing = Standing::of(session.trusted);
    Channel::of(
        &session.stream,
        &session.peer,
        &session.listener,
        authenticator,
        standing,
    )
}

/// Whether STARTTLS is offered now.
pub(super) fn may_start_tls(session: &Session) -> bool {
    session.tls.is_some()
        && !session.stream.is_encrypted()
        && session.listener.tls_mode(session.tls.as_ref()) == TlsMode::StartTls
}

fn list(session: &Session) -> Vec<String> {
    let mut words: Vec<String> = ALWAYS.iter().map(|word| (*word).to_owned()).collect();
    if matches!(session.state, State::NotAuthenticated) {
        if may_start_tls(session) {
            words.push("STARTTLS".to_owned());
        }
        let channel = channel(session);
        for mechanism in channel.offered() {
            words.push(format!("AUTH={}", mechanism.name()));
        }
        if !channel.allows_password() {
            // RFC 3501 section 6.2.3.
            words.push("LOGINDISABLED".to_owned());
        }
        if session.trusted {
            words.push(end_session::CAPABILITY.to_owned());
        }
    } else {
        words.extend(LOGGED_IN.iter().map(|word| (*word).to_owned()));
        // RFC 7889 section 3.
        words.push(format!(
            "APPENDLIMIT={}",
            session.service.config.max_message_size.0
        ));
    }
    words
}
