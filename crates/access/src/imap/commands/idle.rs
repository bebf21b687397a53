//! IDLE (RFC 2177).

use crate::imap::reply::{self, Failure};
use crate::imap::session::{self, Session};
use crate::imap::state::State;
use crate::imap::updates::Expunges;
use crate::registered;
use net::{ReadError, SessionEnd};
use std::future::pending;
use std::time::Duration;
use wire::imap::StatusLine;

/// A sign of life, so that middle boxes keep the connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(120);

/// Why the wait ended.
enum Woken {
    Changed,
    Quiet,
    Input(Result<(), ReadError>),
    GoingDown,
    Told(SessionEnd),
}

pub(super) async fn run(session: &mut Session) -> Result<StatusLine, Failure> {
    session.stream.write(b"+ idling\r\n");
    let patience = session.listener.idle();
    let mut quiet = Duration::ZERO;
    loop {
        // In a busy mailbox it is never quiet for long.
        session.still_welcome()?;
        session.update(Expunges::Tell).await?;
        session::flush(&mut session.stream).await?;
        match wait(session).await {
            Woken::Changed => {}
            Woken::Quiet => {
                quiet += SIGN_OF_LIFE;
                // RFC 2177: a client has to ask anew before its time is over.
                if quiet >= patience {
                    return Err(Failure::IdleTooLong);
                }
                session.line(None, &reply::ok("Still here"));
            }
            Woken::Told(why) => return Err(Failure::Told(why)),
            Woken::GoingDown => return Err(Failure::GoingDown),
            Woken::Input(Err(_)) => return Err(Failure::Gone),
            Woken::Input(Ok(())) => {
                let line = session
                    .stream
                    .read_line(SIGN_OF_LIFE)
                    .await
                    .map_err(|_| Failure::Gone)?;
                return if line.trim_ascii().eq_ignore_ascii_case(b"DONE") {
                    Ok(reply::ok("IDLE completed"))
                } else {
                    Err(Failure::NotDone)
                };
            }
        }
    }
}

/// Waits for the first thing to happen. A change that came since the client was told wakes at once.
async fn wait(session: &mut Session) -> Woken {
    let Session {
        stream,
        state,
        shutdown,
        place,
        ..
    } = session;
    let changed = async {
        match state {
            State::Selected(_, selected) => selected.mailbox.changed().await,
            _ => pending().await,
        }
    };
    tokio::select! {
        () = shutdown.requested() => Woken::GoingDown,
        why = registered::ended(place.clone()) => Woken::Told(why),
        input = stream.wait_input() => Woken::Input(input),
        () = changed => Woken::Changed,
        () = tokio::time::sleep(SIGN_OF_LIFE) => Woken::Quiet,
    }
}
