//! What somebody asks of the running engine.

use super::report::{self, PlanItem, PlanReport};
use super::{SyncEngine, operate, rest};
use crate::engine::{SyncStatus, Wake};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// What somebody asks of the running engine.
pub(super) enum Request {
    Sync {
        wake: Wake,
        reply: oneshot::Sender<SyncStatus>,
    },
    Approve {
        hash: String,
        reply: oneshot::Sender<Result<bool, SyncError>>,
    },
    Order {
        order: operate::Order,
        reply: oneshot::Sender<Result<u64, SyncError>>,
    },
}

/// Why a request could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// The engine does not run, or stops.
    #[error("synchronisation is not running")]
    NotRunning,
    /// Too many requests wait already.
    #[error("too many requests are waiting; try later")]
    Busy,
    /// Others have plans made at this moment.
    #[error("several plans of this connector are being made at this moment; try later")]
    Planning,
    /// The directory could not be asked.
    #[error("the directory: {0}")]
    Directory(String),
    /// The store could not be read.
    #[error("the store: {0}")]
    Store(String),
    /// What is held is not what was approved, or nothing is held.
    #[error("nothing is held under that hash; look at the status again")]
    NotHeld,
    /// An administrator stopped it.
    #[error("synchronisation is stopped; start it first")]
    Stopped,
    /// It waits for somebody who has seen the plan.
    #[error("{0} accounts are not in the directory yet; look at the plan and start it with --yes")]
    NeedsConsent(u64),
    /// What a plan was made from has changed.
    #[error("the plan would be another one now; look at it again")]
    OtherPlan,
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done, now or later.
    #[error("{0}")]
    Refused(String),
}

impl SyncEngine {
    /// Runs a round now and waits for its end; the status says how it ended.
    pub async fn sync_now(&self) -> Result<SyncStatus, SyncError> {
        self.ask(|reply| Request::Sync {
            wake: Wake::Now,
            reply,
        })
        .await
    }

    /// Compares everything, whatever the cookie says.
    pub async fn sync_full(&self) -> Result<SyncStatus, SyncError> {
        self.ask(|reply| Request::Sync {
            wake: Wake::Full,
            reply,
        })
        .await
    }

    /// Lets the changes through that the guard holds under this hash (see [`SyncStatus::guard`]), and runs a
    /// round that carries them out.
    pub async fn approve(&self, hash: &str) -> Result<SyncStatus, SyncError> {
        let hash = hash.to_owned();
        if self.ask(|reply| Request::Approve { hash, reply }).await?? {
            self.sync_now().await
        } else {
            Err(SyncError::NotHeld)
        }
    }

    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, SyncError> {
        if self.inbox.lock().is_some() {
            return Err(SyncError::NotRunning);
        }
        let resting = *self.rest.borrow();
        let (reply, answer) = oneshot::channel();
        self.requests
            .try_send(request(reply))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SyncError::Busy,
                mpsc::error::TrySendError::Closed(_) => SyncError::NotRunning,
            })?;
        answer.await.map_err(|_| match resting {
            Some(rest::Rest::Stopped) => SyncError::Stopped,
            Some(rest::Rest::Asks { unlinked }) => SyncError::NeedsConsent(unlinked),
            None => SyncError::NotRunning,
        })
    }

    /// The whole plan, without carrying anything out: what a full comparison would do now.
    pub async fn plan(&self) -> Result<PlanReport, SyncError> {
        report::make(self, None).await
    }

    /// The same, object by object as they are read: nothing of the list is kept here. What the report at the end
    /// lists is empty.
    pub async fn stream_plan(&self, to: &mpsc::Sender<PlanItem>) -> Result<PlanReport, SyncError> {
        report::make(self, Some(to)).await
    }

    /// A place for a plan that is told as it is made: each reads the whole directory and keeps a set of all UUIDs, so there
    /// are few. It is given back when it is dropped.
    pub fn place_for_a_plan(&self) -> Result<OwnedSemaphorePermit, SyncError> {
        Arc::clone(&self.plans)
            .try_acquire_owned()
            .map_err(|_| SyncError::Planning)
    }
}
