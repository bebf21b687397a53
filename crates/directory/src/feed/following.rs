//! The receiving end of a feed that stays open, and the bound on what may wait there.
//!
//! During a refresh a slow consumer slows the reading of the socket. Afterwards nothing may wait at the server,
//! which would queue it without a bound: what does not fit ends the search.

use super::limited::Meter;
use super::{Change, Changes, Cookie, FeedError, PollEnd, Step};
use model::Unavailable;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// Changes that may wait for the consumer.
pub(super) const MAX_ENTRIES: u32 = 1024;
/// Octets that they may hold.
pub(super) const MAX_BYTES: u32 = 8 << 20;

/// One step of a feed that stays open.
#[derive(Debug, Clone)]
pub enum FeedEvent {
    /// Some changes of the refresh, in the server's order. Their cookie comes with its end.
    Refreshing(Vec<Change>),
    /// The refresh ended well. Only now may its cookie be stored, and only now absences count.
    Refreshed(PollEnd),
    /// Changes as they happen.
    Live {
        /// The changes, in the server's order.
        changes: Vec<Change>,
        /// Covers these and all before them; none when the server gave none, and then the old one stays.
        cookie: Option<Cookie>,
    },
    /// More happened than could wait here, so the search was given up. Another refresh follows by itself, from
    /// the last cookie.
    Resuming,
}

/// A feed that stays open. Dropping it ends the search.
#[derive(Debug)]
pub struct Following {
    source: Source,
    meter: Meter,
}

#[derive(Debug)]
enum Source {
    /// A search that stays open.
    Search {
        receiver: mpsc::UnboundedReceiver<Queued>,
        reader: JoinHandle<()>,
    },
    /// One poll; the consumer comes again.
    Poll(Changes),
    Ended,
}

/// An event and its share of the bound, until it is taken.
#[derive(Debug)]
struct Queued {
    event: Result<FeedEvent, FeedError>,
    _share: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// The reader's end, with the bound on what may wait.
#[derive(Debug, Clone)]
pub struct Backlog {
    sender: mpsc::UnboundedSender<Queued>,
    entries: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// Why something could not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The bound is reached.
    Full,
    /// Nobody reads any more.
    Gone,
}

impl Following {
    /// One poll in the form of a feed: it ends after [`FeedEvent::Refreshed`].
    #[must_use]
    pub fn polled(changes: Changes) -> Self {
        Self::of(Source::Poll(changes))
    }

    /// Starts `read` as a task that is ended when this value is dropped.
    pub fn read_by<F>(read: impl FnOnce(Backlog) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::unbounded_channel();
        let permits = |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(1)));
        let backlog = Backlog {
            sender,
            entries: permits(MAX_ENTRIES),
            bytes: permits(MAX_BYTES),
        };
        let reader = tokio::spawn(read(backlog));
        Self::of(Source::Search { receiver, reader })
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            meter: Meter::default(),
        }
    }

    /// The same with a limit.
    pub(super) fn metered(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// Whether more comes after the refresh. False for a poll: come again after a while.
    #[must_use]
    pub fn stays(&self) -> bool {
        matches!(self.source, Source::Search { .. })
    }

    /// The next event; nothing after an error or after the end of a poll. The future may be dropped and asked
    /// for again without losing an event.
    pub async fn next(&mut self) -> Option<Result<FeedEvent, FeedError>> {
        let (event, last) = match &mut self.source {
            Source::Ended => return None,
            Source::Search { receiver, .. } => {
                let event = receiver.recv().await.map_or_else(
                    || {
                        let message = "the reader of the feed stopped".to_owned();
                        Err(FeedError::Unavailable(Unavailable(message)))
                    },
                    |queued| queued.event,
                );
                let last = event.is_err();
                (event, last)
            }
            Source::Poll(changes) => match changes.next().await {
                None => return None,
                Some(Ok(Step::Changes(changes))) => (Ok(FeedEvent::Refreshing(changes)), false),
                Some(Ok(Step::Done(end))) => (Ok(FeedEvent::Refreshed(end)), true),
                Some(Err(error)) => (Err(error), true),
            },
        };
        let event = self.within_limit(event);
        if last || event.is_err() {
            self.end();
        }
        Some(event)
    }

    fn within_limit(&mut self, event: Result<FeedEvent, FeedError>) -> Result<FeedEvent, FeedError> {
        match &event {
            Ok(FeedEvent::Refreshing(changes)) => self.meter.count(changes)?,
            Ok(FeedEvent::Refreshed(_) | FeedEvent::Resuming) => self.meter.restart(),
            Ok(FeedEvent::Live { .. }) | Err(_) => {}
        }
        event
    }

    fn end(&mut self) {
        if let Source::Search { reader, .. } = std::mem::replace(&mut self.source, Source::Ended) {
            reader.abort();
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.end();
    }
}

impl Backlog {
    /// Queues changes, waiting for room; false when nobody reads any more.
    pub async fn send(&self, event: FeedEvent) -> bool {
        let (entries, bytes) = size(&event);
        // Neither semaphore is ever closed. A consumer that has gone ends this task.
        let Ok(entries) = Arc::clone(&self.entries).acquire_many_owned(entries).await else {
            return false;
        };
        let Ok(bytes) = Arc::clone(&self.bytes).acquire_many_owned(bytes).await else {
            return false;
        };
        self.push(Ok(event), Some((entries, bytes)))
    }

    /// Queues changes when there is room for them.
    pub fn try_send(&self, event: FeedEvent) -> Result<(), Refused> {
        let (entries, bytes) = size(&event);
        let full = |_| Refused::Full;
        let entries = Arc::clone(&self.entries)
            .try_acquire_many_owned(entries)
            .map_err(full)?;
        let bytes = Arc::clone(&self.bytes)
            .try_acquire_many_owned(bytes)
            .map_err(full)?;
        match self.push(Ok(event), Some((entries, bytes))) {
            true => Ok(()),
            false => Err(Refused::Gone),
        }
    }

    /// Waits until the consumer has taken everything.
    pub async fn drained(&self) {
        let _all = self.entries.acquire_many(MAX_ENTRIES).await;
    }

    /// The last word of the reader.
    pub fn fail(&self, error: FeedError) {
        self.push(Err(error), None);
    }

    fn push(
        &self,
        event: Result<FeedEvent, FeedError>,
        share: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    ) -> bool {
        self.sender.send(Queued { event, _share: share }).is_ok()
    }
}

/// What an event takes of the bound. One that is larger than all of it passes alone.
fn size(event: &FeedEvent) -> (u32, u32) {
    let changes = match event {
        FeedEvent::Refreshing(changes) | FeedEvent::Live { changes, .. } => changes.as_slice(),
        FeedEvent::Refreshed(_) | FeedEvent::Resuming => &[],
    };
    let bytes: usize = changes.iter().map(weight).sum();
    let clamp = |size: usize, most: u32| u32::try_from(size).unwrap_or(most).clamp(1, most);
    (clamp(changes.len(), MAX_ENTRIES), clamp(bytes, MAX_BYTES))
}

/// The octets of a change: the entry's message, and what was read from it.
fn weight(change: &Change) -> usize {
    let Change::Entry(changed) = change else {
        return size_of::<Change>();
    };
    let values = |attribute: &ldap::Attribute| -> usize {
        let values: usize = attribute.values.iter().map(|value| value.len() + 8).sum();
        attribute.name.as_bytes().len() + values + 64
    };
    let attributes: usize = changed.entry.attributes.iter().map(values).sum();
    2 * (changed.entry.dn.len() + attributes) + size_of_val(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::EntryUuid;

    fn live(count: usize) -> FeedEvent {
        let uuid = EntryUuid::from_bytes([1; 16]);
        FeedEvent::Live {
            changes: vec![Change::Deleted(uuid); count],
            cookie: None,
        }
    }

    #[tokio::test]
    async fn the_backlog_is_bounded_and_told_so() {
        let (give, mut given) = mpsc::unbounded_channel();
        let mut following = Following::read_by(move |backlog| async move {
            let mut fitted = 0;
            while backlog.try_send(live(1)) == Ok(()) {
                fitted += 1;
            }
            assert_eq!(backlog.try_send(live(1)), Err(Refused::Full));
            give.send(fitted).expect("the test listens");
            backlog.drained().await;
            // Larger than the bound, and alone: it passes.
            assert!(backlog.send(live(5000)).await);
            backlog.fail(FeedError::RefreshRequired);
        });
        let fitted = given.recv().await.expect("a number");
        assert_eq!(u32::try_from(fitted), Ok(MAX_ENTRIES));
        for _ in 0..fitted {
            assert!(matches!(following.next().await, Some(Ok(FeedEvent::Live { .. }))));
        }
        assert!(
            matches!(following.next().await, Some(Ok(FeedEvent::Live { changes, .. })) if changes.len() == 5000)
        );
        assert!(matches!(
            following.next().await,
            Some(Err(FeedError::RefreshRequired))
        ));
        assert!(following.next().await.is_none(), "nothing follows an error");
    }

    #[tokio::test]
    async fn large_entries_count_by_their_octets() {
        let entry = ldap::Entry::new("uid=a").with("jpegPhoto", vec![vec![0; 3 << 20].into()]);
        let changed = super::super::ChangedEntry {
            uuid: EntryUuid::from_bytes([1; 16]),
            kind: None,
            account: Err(crate::EntryProblem::NoUuid {
                dn: "uid=a".to_owned(),
            }),
            entry,
        };
        let change = Change::Entry(Box::new(changed));
        let event = |change: &Change| FeedEvent::Live {
            changes: vec![change.clone()],
            cookie: None,
        };
        let mut following = Following::read_by(move |backlog| async move {
            assert_eq!(backlog.try_send(event(&change)), Ok(()));
            assert_eq!(backlog.try_send(event(&change)), Err(Refused::Full));
            backlog.fail(FeedError::RefreshRequired);
        });
        assert!(matches!(following.next().await, Some(Ok(_))));
        assert!(matches!(following.next().await, Some(Err(_))));
    }
}
