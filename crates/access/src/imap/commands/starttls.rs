//! STARTTLS (RFC 3501 section 6.2.1).

use super::capability;
use crate::imap::reply::{self, Failure};
use crate::imap::session::{self, Session};
use std::time::Duration;
use wire::imap::{StatusLine, Tag};

const HANDSHAKE: Duration = Duration::from_secs(30);

/// Answers itself, because the handshake comes after the reply. What the client had pipelined behind the
/// command is thrown away with the plaintext.
pub(super) async fn run(session: &mut Session, tag: &Tag) -> Result<Option<StatusLine>, Failure> {
    let offered = capability::may_start_tls(session);
    let Some(tls) = session.tls.clone().filter(|_| offered) else {
        return Err(Failure::NoTls);
    };
    session.line(Some(tag), &reply::ok("Begin TLS negotiation now"));
    session::flush(&mut session.stream).await?;
    if let Err(error) = session.stream.start_tls(&tls, HANDSHAKE).await {
        tracing::debug!(trace = %session.peer.trace, client = %session.peer.client, %error, "imap: no TLS");
        return Err(Failure::Gone);
    }
    session.encrypted();
    Ok(None)
}
