//! The life of a connector's engine: whatever comes first is done.

use super::SyncEngine;
use super::request::Request;
use super::rest::Next;
use super::worker::Worker;
use crate::engine::Wake;
use directory::feed::{FeedError, FeedEvent};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Between two attempts to read the store at start.
pub(super) const RELOAD: Duration = Duration::from_secs(5);

/// What comes first.
enum Turn {
    Stop,
    Serve(Request),
    Live(Option<Result<FeedEvent, FeedError>>),
    Journal,
    Save,
    Timer,
}

impl SyncEngine {
    /// Synchronises until `stop`. Only the first call does anything.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let Some(mut inbox) = self.inbox.lock().take() else {
            return;
        };
        while self.rest(&mut inbox, &stop).await == Next::Again {
            if self.follow(&mut inbox, &stop).await == Next::End {
                return;
            }
        }
    }

    /// Synchronises until the process ends or the connector is to rest.
    async fn follow(&self, inbox: &mut mpsc::Receiver<Request>, stop: &CancellationToken) -> Next {
        let mut worker = loop {
            match Worker::load(self).await {
                Ok(worker) => break worker,
                Err(error) => {
                    tracing::error!(connector = %self.config.name, %error, "the state of the sync cannot be read");
                    self.status.lock().error = Some(error.to_string());
                    tokio::select! {
                        () = stop.cancelled() => return Next::End,
                        () = tokio::time::sleep(RELOAD) => {}
                    }
                }
            }
        };
        let mut journal = self.local.store.journal_watch();
        // What was written while nobody listened.
        journal.mark_changed();
        if let Err(error) = worker.allow(self.take_allowed()).await {
            tracing::error!(connector = %self.config.name, %error, "the approval of a plan cannot be kept");
        }
        let next = loop {
            match self.turn(&mut worker, inbox, &mut journal, stop).await {
                Next::Again => {}
                next => break next,
            }
        };
        worker.save_now().await;
        next
    }

    /// Waits for whatever comes first and does it.
    async fn turn(
        &self,
        worker: &mut Worker<'_>,
        inbox: &mut mpsc::Receiver<Request>,
        journal: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Next {
        let mut halt = self.halt.subscribe();
        let mut halted = self.halt.subscribe();
        let wait = worker.next_wake().map_or(RELOAD, |next| next.since(self.now()));
        let save_by = worker.save_by();
        let save = async move {
            match save_by {
                Some(moment) => tokio::time::sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        let hears_journal = worker.hears_journal();
        let turn = tokio::select! {
            () = stop.cancelled() => return Next::End,
            _ = halt.wait_for(|halt| *halt) => return Next::Rest,
            request = inbox.recv() => request.map_or(Turn::Stop, Turn::Serve),
            event = worker.next_event() => Turn::Live(event),
            Ok(()) = journal.changed(), if hears_journal => Turn::Journal,
            () = save => Turn::Save,
            () = tokio::time::sleep(wait) => Turn::Timer,
        };
        let work = async {
            *self.heard.lock() = worker.offset;
            match turn {
                Turn::Stop => return Next::End,
                Turn::Serve(request) => worker.serve(request).await,
                Turn::Live(event) => worker.live(event).await,
                Turn::Journal => {
                    if !worker.journal().await {
                        // Nobody else would say that it is not read yet.
                        journal.mark_changed();
                    }
                }
                Turn::Save => worker.save_now().await,
                Turn::Timer => worker.round(Wake::Timer).await,
            }
            *self.heard.lock() = worker.offset;
            Next::Again
        };
        tokio::select! {
            () = stop.cancelled() => Next::End,
            // Whatever is given up here is done again by the next round: the cookie is committed last.
            _ = halted.wait_for(|halt| *halt) => Next::Rest,
            more = work => more,
        }
    }
}
