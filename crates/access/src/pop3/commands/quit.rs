//! QUIT (RFC 1939 sections 4 and 6): the only place where messages are removed.

use super::super::reply;
use super::super::state::{Session, State};
use super::Next;

pub(super) async fn quit(session: &mut Session) -> Next {
    let State::Transaction(maildrop) = &mut session.state else {
        return Next::Close(reply::ok("goodbye"));
    };
    match maildrop.update().await {
        Ok(removed) => {
            tracing::info!(trace = %session.peer.trace, protocol = "pop3", removed, "quit");
            Next::Close(reply::ok("goodbye"))
        }
        Err(error) => {
            tracing::warn!(trace = %session.peer.trace, protocol = "pop3", %error, "not removed");
            Next::Close(reply::update_failed())
        }
    }
}
