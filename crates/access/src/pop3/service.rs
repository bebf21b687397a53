//! What every POP3 session shares.

use super::config::Pop3Config;
use model::{AccountId, Authenticator, Domain};
use net::Sessions;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use store::Store;

/// The parts that a [`Pop3Service`] is made of.
pub struct Pop3Parts {
    /// The name in the greeting.
    pub server_name: Domain,
    /// Where accounts and mail are.
    pub store: Store,
    /// Everybody who is logged in.
    pub sessions: Sessions,
    /// Who decides about a login.
    pub authenticator: Arc<dyn Authenticator>,
}

/// The POP3 service.
pub struct Pop3Service {
    pub(super) parts: Pop3Parts,
    pub(super) config: Pop3Config,
    /// Maildrops that a session holds alone.
    held: Arc<Mutex<HashSet<AccountId>>>,
}

impl Pop3Service {
    /// A service with the settings of its section.
    #[must_use]
    pub fn new(parts: Pop3Parts, config: Pop3Config) -> Arc<Self> {
        Arc::new(Self {
            parts,
            config,
            held: Arc::default(),
        })
    }

    /// A service with new settings beside this one, whose sessions go on: a maildrop that one of them holds stays
    /// held for both.
    #[must_use]
    pub fn renewed(&self, parts: Pop3Parts, config: Pop3Config) -> Arc<Self> {
        Arc::new(Self {
            parts,
            config,
            held: Arc::clone(&self.held),
        })
    }

    /// Takes the maildrop for one session, where that is asked for; none when another session has it.
    pub(super) fn hold(&self, account: AccountId) -> Option<Hold> {
        let exclusive = self.config.exclusive;
        if exclusive && !self.held.lock().insert(account) {
            return None;
        }
        Some(Hold {
            held: Arc::clone(&self.held),
            account: exclusive.then_some(account),
        })
    }
}

impl fmt::Debug for Pop3Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pop3Service")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A session's hold on a maildrop; it ends with the value.
#[derive(Debug)]
pub(super) struct Hold {
    held: Arc<Mutex<HashSet<AccountId>>>,
    account: Option<AccountId>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(account) = self.account {
            self.held.lock().remove(&account);
        }
    }
}
