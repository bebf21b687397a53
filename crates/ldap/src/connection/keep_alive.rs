//! The keep-alive: notices a server that is gone while nobody asks it anything.

use super::client::WeakClient;
use super::inner::Inner;
use super::search::SearchRequest;
use super::{CloseReason, LdapError};
use crate::{Filter, Scope};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) struct KeepAlive {
    pub(super) inner: Arc<Inner>,
    pub(super) client: WeakClient,
    pub(super) interval: Duration,
    /// How long the server has for the answer.
    pub(super) limit: Duration,
}

impl KeepAlive {
    /// Runs until the connection is closed.
    pub(super) async fn run(self) {
        tokio::select! {
            () = self.watch() => {}
            _ = self.inner.closed() => {}
        }
    }

    async fn watch(&self) {
        let mut seen = self.inner.received.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(self.interval).await;
            let now = self.inner.received.load(Ordering::Relaxed);
            // A reader that waits for a slow consumer cannot read the answer either.
            let busy = now != seen || self.inner.stalled.load(Ordering::Relaxed);
            seen = now;
            if busy {
                continue;
            }
            let Some(client) = self.client.upgrade() else {
                return;
            };
            // The root DSE without attributes: the cheapest question that every server answers (RFC 4512 section 5.1).
            let question = SearchRequest::new("", Scope::Base, Filter::Present("objectClass".to_owned()))
                .attributes(["1.1"]);
            self.inner.asked.store(true, Ordering::Relaxed);
            let answer = client.search_all(question, 1).await;
            self.inner.asked.store(false, Ordering::Relaxed);
            // Anything at all that came meanwhile is a sign of life, and so is a reader that waits for a consumer.
            let alive = self.inner.received.load(Ordering::Relaxed) != seen
                || self.inner.stalled.load(Ordering::Relaxed);
            if matches!(answer, Err(LdapError::TimedOut)) && !alive {
                self.inner.close(CloseReason::Unresponsive(self.limit));
            }
        }
    }
}
