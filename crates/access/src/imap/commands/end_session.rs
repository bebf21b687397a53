//! XENDSESSION: a trusted front end has a session ended that came through it (docs/design/0012).
//!
//! The front end may not write into the session's stream; this server knows where its own goodbye belongs. Strangers
//! are told that there is no such command. A session goes by the trace that its front end gave it, which nobody else
//! knows.

use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use model::TraceId;
use net::{SessionEnd, SessionFilter};
use wire::imap::StatusLine;

/// How the command is announced, to those who may use it.
pub(super) const CAPABILITY: &str = "XENDSESSION";

pub(super) fn run(session: &mut Session, trace: &[u8], why: &[u8]) -> Result<StatusLine, Failure> {
    if !session.trusted {
        return Err(Failure::WrongState);
    }
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let trace = text(trace).and_then(TraceId::parse);
    let why = text(why).and_then(SessionEnd::parse);
    let (Some(trace), Some(why)) = (trace, why) else {
        return Err(Failure::NoSuchSession);
    };
    let filter = SessionFilter {
        trace: Some(trace),
        ..SessionFilter::default()
    };
    match session.service.sessions.end(&filter, why) {
        0 => Err(Failure::NoSuchSession),
        _ => {
            tracing::info!(%trace, why = why.as_str(), front_end = %session.peer.client, "a front end ends a session");
            Ok(reply::ok("It ends"))
        }
    }
}
