//! A connector that does not synchronise: an administrator stopped it, or it waits to be started because accounts are
//! in the way.
//!
//! Both outlive the process. While it rests nothing is read from the directory on its own account and nothing is
//! written; the plan, explanations and changes of links are there as always.

use super::operate::Order;
use super::turns::RELOAD;
use super::{Request, SyncEngine, SyncError, report};
use crate::engine::State;
use std::collections::BTreeMap;
use store::{AccountState, LocalId, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A connector without domains of its own begins with all of them.
const EVERYWHERE: &str = "*";
/// Accounts that are read at once.
const PAGE: usize = 256;

/// Whether somebody has seen what a first synchronisation would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Yes.
    Given,
    /// No: it starts only where no account is in the way.
    Missing,
}

/// Why a connector rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// An administrator stopped it.
    Stopped,
    /// So many accounts of its domains are not linked, and nobody has agreed yet.
    Asks { unlinked: u64 },
}

/// What comes after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another turn.
    Again,
    /// The connector is to rest.
    Rest,
    /// The process ends.
    End,
}

impl SyncEngine {
    /// Waits as long as the connector has a reason not to synchronise.
    pub(super) async fn rest(&self, inbox: &mut mpsc::Receiver<Request>, stop: &CancellationToken) -> Next {
        let mut halt = self.halt.subscribe();
        loop {
            halt.borrow_and_update();
            let reason = self.reason().await;
            let wait = match &reason {
                Ok(None) => {
                    let mut status = self.status.lock();
                    if matches!(status.state, State::Stopped | State::WaitingForApproval) {
                        status.state = State::Starting;
                    }
                    drop(status);
                    self.rest.send_replace(None);
                    return Next::Again;
                }
                Ok(Some(rest)) => {
                    self.show_rest(*rest);
                    None
                }
                Err(error) => {
                    tracing::error!(connector = %self.config.name, %error, "the state of the sync cannot be read");
                    self.status.lock().error = Some(error.to_string());
                    Some(RELOAD)
                }
            };
            let again = async move {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Next::End,
                () = again => {}
                Ok(()) = halt.changed() => {}
                request = inbox.recv() => match request {
                    None => return Next::End,
                    Some(Request::Order { order, reply }) => {
                        let done = self.at_rest(order).await;
                        // Whoever asked may have gone.
                        let _ = reply.send(done);
                    }
                    // Its sender hears that nothing runs.
                    Some(Request::Sync { .. } | Request::Approve { .. }) => {}
                },
            }
        }
    }

    fn show_rest(&self, rest: Rest) {
        let mut status = self.status.lock();
        status.round = None;
        status.feed = crate::engine::FeedState::None;
        status.next_round = None;
        (status.state, status.error) = match rest {
            Rest::Stopped => (State::Stopped, None),
            Rest::Asks { unlinked } => {
                status.unlinked = unlinked;
                (State::WaitingForApproval, None)
            }
        };
        drop(status);
        self.rest.send_replace(Some(rest));
    }

    /// Why it may not synchronise now. Writes down that it was stopped, or that it begins.
    async fn reason(&self) -> Result<Option<Rest>, StoreError> {
        let (store, name) = (&self.local.store, &self.config.name);
        let mut state = store.connector_state(name)?;
        if *self.halt.borrow() && !state.stopped {
            state.stopped = true;
            store.put_connector_state(name, &state).await?;
        }
        if state.stopped {
            return Ok(Some(Rest::Stopped));
        }
        let domains = self.domains();
        // A row of an earlier release: what has been synchronised goes on.
        let known = state.begun.is_empty() && state.last_success.is_some();
        let new: Vec<&String> = domains
            .iter()
            .filter(|name| !state.begun.contains(name))
            .collect();
        if self.config.ask_first && !known && !new.is_empty() {
            let unlinked = self.unlinked_in(&new)?;
            if unlinked > 0 {
                return Ok(Some(Rest::Asks { unlinked }));
            }
        }
        if state.begun != domains {
            state.begun = domains;
            store.put_connector_state(name, &state).await?;
        }
        Ok(None)
    }

    fn domains(&self) -> Vec<String> {
        match self.config.domains.as_slice() {
            [] => vec![EVERYWHERE.to_owned()],
            some => some.iter().map(ToString::to_string).collect(),
        }
    }

    /// Accounts of these domains that are in use and not linked with this connector.
    fn unlinked_in(&self, domains: &[&String]) -> Result<u64, StoreError> {
        let (store, name) = (&self.local.store, &self.config.name);
        let everywhere = domains.iter().any(|name| *name == EVERYWHERE);
        let (mut count, mut after) = (0, None);
        loop {
            let page = store.list_accounts(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(last.id);
            for account in &page {
                let domain = account.address.domain().to_string();
                let named = everywhere || domains.iter().any(|name| **name == domain);
                let in_use = !matches!(account.state, AccountState::SoftDeleted { .. });
                let linked = || store.association(name, LocalId::Account(account.id));
                if named && in_use && linked()?.is_none() {
                    count += 1;
                }
            }
        }
    }

    /// Carries an order out while nothing runs.
    async fn at_rest(&self, order: Order) -> Result<u64, SyncError> {
        match order {
            Order::Start(consent) => self.begin(consent).await,
            Order::Apply(hash) => {
                let made = report::make(self, None).await?;
                if made.hash != hash {
                    return Err(SyncError::OtherPlan);
                }
                *self.allowed.lock() = made.approvals;
                self.begin(Consent::Given).await
            }
            Order::Retry(_) | Order::Gone(_) => Err(SyncError::NotRunning),
            Order::Links { order, objects, by } => {
                let changed = self.change_links(order, &objects, &by).await?;
                Ok(changed.len() as u64)
            }
        }
    }

    /// Ends the rest, where that is agreed.
    async fn begin(&self, consent: Consent) -> Result<u64, SyncError> {
        if let (Some(Rest::Asks { unlinked }), Consent::Missing) = (*self.rest.borrow(), consent) {
            return Err(SyncError::NeedsConsent(unlinked));
        }
        let (store, name) = (&self.local.store, &self.config.name);
        let mut state = store.connector_state(name).map_err(report::store_error)?;
        state.stopped = false;
        if consent == Consent::Given {
            state.begun = self.domains();
        }
        let stored = store.put_connector_state(name, &state).await;
        stored.map_err(report::store_error)?;
        self.halt.send_replace(false);
        Ok(0)
    }

    /// What an approved plan lets pass: taken once, by the first round after a rest.
    pub(super) fn take_allowed(&self) -> BTreeMap<model::EntryUuid, Vec<String>> {
        std::mem::take(&mut *self.allowed.lock())
    }
}
