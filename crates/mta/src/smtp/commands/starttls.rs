//! STARTTLS (RFC 3207). It is announced, and parsed, only where it can be done.

use super::super::reply;
use super::super::state::Session;
use super::Next;

pub(super) fn starttls(session: &Session) -> Next {
    if session.starttls {
        Next::StartTls(reply::start_tls())
    } else {
        Next::Reply(reply::not_implemented())
    }
}
