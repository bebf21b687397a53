//! STLS (RFC 2595 section 4).

use super::super::reply;
use super::super::state::Session;
use super::Next;

pub(super) fn stls(session: &Session) -> Next {
    if session.stls {
        Next::StartTls(reply::ok("ready to start TLS"))
    } else {
        Next::Wrong(reply::out_of_place())
    }
}
