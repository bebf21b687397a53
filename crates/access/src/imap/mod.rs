//! The IMAP server over the store: IMAP4rev1 (RFC 3501) and the extensions of `capability`.
//!
//! Owns the dialogue: states, verbs, replies, and what a client may be told when (`updates`). The grammar is
//! `wire::imap`'s, the mail is `store`'s, and who may log in is the [`Authenticator`]'s.
//!
//! No reply is written while a lock or a snapshot of the store is held; FETCH streams and waits for the
//! client above 64 KiB of queued output. Everything that a client can make grow has a limit: commands,
//! search programs, messages on their way in (over all sessions together), errors, time.
//!
//! `\Recent` is the session's own knowledge (RFC 3501 section 2.3.2): the first SELECT that is told of a message
//! claims it, and mutt and others tell new mail from old by it.

mod body;
mod commands;
mod config;
mod matching;
mod reply;
mod section;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod updates;

pub use config::ImapConfig;

use model::{Authenticator, Clock};
use net::{Accepted, Sessions};
use std::sync::Arc;
use store::Store;
use tokio::sync::Semaphore;

/// What every IMAP session of this server shares.
pub struct ImapService {
    store: Store,
    authenticator: Arc<dyn Authenticator>,
    clock: Arc<dyn Clock>,
    sessions: Sessions,
    config: ImapConfig,
    /// KiB that messages on their way in may still take.
    append_memory: Arc<Semaphore>,
    /// For messages on their way out.
    fetch_memory: body::Memory,
}

impl std::fmt::Debug for ImapService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImapService")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ImapService {
    /// A service that is not listening yet: bind a [`net::Listener`] for each listener of the configuration
    /// and hand what it accepts to [`serve`].
    #[must_use]
    pub fn new(
        store: Store,
        authenticator: Arc<dyn Authenticator>,
        clock: Arc<dyn Clock>,
        sessions: Sessions,
        config: ImapConfig,
    ) -> Arc<Self> {
        let kib = usize::try_from(config.append_memory.0 >> 10).unwrap_or(usize::MAX);
        let append_memory = Arc::new(Semaphore::new(kib.clamp(1, Semaphore::MAX_PERMITS)));
        let fetch_memory = body::Memory::new(config.fetch_memory.0);
        Arc::new(Self {
            store,
            authenticator,
            clock,
            sessions,
            config,
            append_memory,
            fetch_memory,
        })
    }
}

/// Serves one client until it leaves, is thrown out, or the server stops.
pub async fn serve(accepted: Accepted, service: Arc<ImapService>) {
    Box::pin(session::Session::new(accepted, service).run()).await;
}
