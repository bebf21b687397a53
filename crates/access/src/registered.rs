//! A session's place in the registry of the process.

use net::{LineStream, NewSession, Session, SessionEnd, Sessions, TooMany};
use std::future::pending;
use std::sync::Arc;

/// Takes a session in. One that comes from the front end of this process is in the registry already: it only has to
/// hear when it ends.
pub(crate) fn enter(sessions: &Sessions, about: NewSession, reach: Reach) -> Result<Arc<Session>, TooMany> {
    let session = match reach {
        Reach::Network => sessions.enter(about)?,
        Reach::Process => sessions.enter_inner(about),
    };
    Ok(Arc::new(session))
}

/// Where the other end of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anywhere.
    Network,
    /// In this process: it is the front end.
    Process,
}

impl Reach {
    pub(crate) fn of(stream: &LineStream) -> Self {
        if stream.is_internal() {
            Self::Process
        } else {
            Self::Network
        }
    }
}

/// Waits until the session is told to end; one that is not logged in never is.
pub(crate) async fn ended(place: Option<Arc<Session>>) -> SessionEnd {
    match place {
        Some(session) => session.ended().await,
        None => pending().await,
    }
}
