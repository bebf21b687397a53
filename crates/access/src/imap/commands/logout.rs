//! LOGOUT (RFC 3501 section 6.1.3).

use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use crate::imap::state::State;
use wire::imap::StatusLine;

pub(super) fn run(session: &mut Session) -> Result<StatusLine, Failure> {
    session.line(None, &reply::bye("Logging out"));
    session.state = State::Logout;
    Ok(reply::ok("LOGOUT completed"))
}
