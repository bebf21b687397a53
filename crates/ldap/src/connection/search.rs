//! Searches: the request, and the stream of its results.

use super::client::Ticket;
use super::{Client, LdapError, Outcome};
use crate::control::{Control, PagedResults};
use crate::message::{Intermediate, Search};
use crate::{Entry, Filter, Scope};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// A search and the controls that go with it.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// The search itself.
    pub search: Search,
    /// The request controls.
    pub controls: Vec<Control>,
    /// Whether there is a deadline between two results.
    pub patience: Patience,
}

/// How long the caller of a search waits for the next result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// The connection's operation timeout.
    #[default]
    Deadline,
    /// For ever: a search that stays open for changes is silent while there are none. The keep-alive notices a
    /// server that is gone.
    Endless,
}

impl SearchRequest {
    /// A search for whole entries. The base is a DN's text, as [`Dn`](crate::Dn) prints it or a server gave it.
    #[must_use]
    pub fn new(base: impl Into<String>, scope: Scope, filter: Filter) -> Self {
        Self {
            search: Search::new(base, scope, filter),
            controls: Vec::new(),
            patience: Patience::Deadline,
        }
    }

    /// The same for these attributes only.
    #[must_use]
    pub fn attributes<S: Into<String>>(mut self, attributes: impl IntoIterator<Item = S>) -> Self {
        self.search.attributes = attributes.into_iter().map(Into::into).collect();
        self
    }

    /// The same with one more control.
    #[must_use]
    pub fn control(mut self, control: Control) -> Self {
        self.controls.push(control);
        self
    }

    /// The same with the server's limit of entries; 0 is none.
    #[must_use]
    pub fn size_limit(mut self, entries: u32) -> Self {
        self.search.size_limit = entries;
        self
    }

    /// The same without a deadline between results.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.patience = Patience::Endless;
        self
    }
}

/// One thing that a search finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchItem {
    /// An entry, with the controls of its message.
    Entry {
        /// The entry.
        entry: Entry,
        /// The controls, such as the sync state.
        controls: Vec<Control>,
    },
    /// An entry that is larger than [`ConnectOptions::max_entry`](crate::ConnectOptions::max_entry). Its attributes
    /// were not kept.
    Oversized {
        /// The distinguished name, as the server spells it.
        dn: String,
        /// The length of its message.
        size: usize,
        /// The controls, such as the sync state.
        controls: Vec<Control>,
    },
    /// URIs where the search could go on. Nothing follows them by itself.
    Reference(Vec<String>),
    /// An intermediate response, such as a sync info message.
    Intermediate(Intermediate),
}

/// What the reader hands to a stream.
pub(super) enum Event {
    Item(SearchItem),
    Done(Outcome),
}

/// An event in the queue; it holds its share of the bytes until it is taken.
struct Queued {
    event: Event,
    _bytes: OwnedSemaphorePermit,
}

/// The reader's end of a stream.
#[derive(Clone)]
pub(super) struct Sink {
    events: mpsc::Sender<Queued>,
    bytes: Arc<Semaphore>,
    capacity: u32,
    slow: Arc<AtomicBool>,
}

impl Sink {
    /// Waits for room and puts the event there. A stream that is gone swallows it.
    pub(super) async fn push(&self, event: Event, size: usize) {
        let Ok(bytes) = self.bytes.clone().acquire_many_owned(self.share(size)).await else {
            return;
        };
        let _ = self.events.send(Queued { event, _bytes: bytes }).await;
    }

    /// The same when there is room at once; else the event comes back.
    // Most events find room, and a future that waits for it is large.
    pub(super) fn try_push(&self, event: Event, size: usize) -> Result<(), Event> {
        let Ok(bytes) = self.bytes.clone().try_acquire_many_owned(self.share(size)) else {
            return Err(event);
        };
        match self.events.try_send(Queued { event, _bytes: bytes }) {
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(queued)) => Err(queued.event),
        }
    }

    /// A message larger than the whole capacity passes when nothing else waits.
    fn share(&self, size: usize) -> u32 {
        u32::try_from(size).unwrap_or(u32::MAX).min(self.capacity)
    }

    /// Ends the stream, once what is queued has been taken, with [`LdapError::SlowConsumer`].
    pub(super) fn give_up(&self) {
        self.slow.store(true, Ordering::Release);
    }
}

/// The two ends of a queue of `items` results and `bytes` bytes.
pub(super) fn queue(items: usize, bytes: usize) -> (Sink, Source) {
    let (sender, events) = mpsc::channel(items.max(1));
    let capacity = u32::try_from(bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let slow = Arc::new(AtomicBool::new(false));
    let semaphore = Arc::new(Semaphore::new(
        usize::try_from(capacity).unwrap_or(Semaphore::MAX_PERMITS),
    ));
    let sink = Sink {
        events: sender,
        bytes: semaphore,
        capacity,
        slow: slow.clone(),
    };
    (sink, Source { events, slow })
}

/// The stream's end of the queue.
pub(super) struct Source {
    events: mpsc::Receiver<Queued>,
    slow: Arc<AtomicBool>,
}

/// The results of a search as they come. Dropping it before the end abandons the search.
pub struct SearchStream {
    ticket: Ticket,
    source: Source,
    /// The deadline for the next result.
    limit: Option<Duration>,
    outcome: Option<Outcome>,
    finished: bool,
}

impl SearchStream {
    pub(super) fn new(ticket: Ticket, source: Source, limit: Option<Duration>) -> Self {
        Self {
            ticket,
            source,
            limit,
            outcome: None,
            finished: false,
        }
    }

    /// The next result; none when the search ended with success. Any other end is an error, and after it there
    /// are no more results. The future may be dropped and asked for again without losing a result.
    pub async fn next(&mut self) -> Result<Option<SearchItem>, LdapError> {
        if self.finished {
            return Ok(None);
        }
        let event = match self.limit {
            None => self.source.events.recv().await,
            Some(limit) => match timeout(limit, self.source.events.recv()).await {
                Ok(event) => event,
                Err(_) => {
                    self.finished = true;
                    self.ticket.abandon();
                    return Err(LdapError::TimedOut);
                }
            },
        };
        match event.map(|queued| queued.event) {
            Some(Event::Item(item)) => Ok(Some(item)),
            Some(Event::Done(outcome)) => {
                self.finished = true;
                self.ticket.finish();
                let success = outcome.result.is_success();
                let outcome = self.outcome.insert(outcome);
                if success {
                    Ok(None)
                } else {
                    Err(LdapError::Result(Box::new(outcome.clone())))
                }
            }
            None => {
                self.finished = true;
                let slow = self.source.slow.load(Ordering::Acquire);
                Err(if slow {
                    LdapError::SlowConsumer
                } else {
                    self.ticket.closed()
                })
            }
        }
    }

    /// The next entry with its controls; references and intermediate responses are passed over.
    /// An entry that is too large is an error.
    pub async fn next_entry(&mut self) -> Result<Option<(Entry, Vec<Control>)>, LdapError> {
        loop {
            match self.next().await? {
                Some(SearchItem::Entry { entry, controls }) => return Ok(Some((entry, controls))),
                Some(SearchItem::Oversized { dn, size, .. }) => {
                    return Err(LdapError::EntryTooLarge { dn, size });
                }
                Some(SearchItem::Reference(_) | SearchItem::Intermediate(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// How the server ended the search, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }
}

/// The results of a search that fetches page after page (RFC 2696).
pub struct PagedSearch {
    client: Client,
    request: SearchRequest,
    page_size: u32,
    stream: Option<SearchStream>,
}

impl PagedSearch {
    pub(super) async fn start(
        client: Client,
        request: SearchRequest,
        page_size: u32,
    ) -> Result<Self, LdapError> {
        let mut paged = Self {
            client,
            request,
            page_size,
            stream: None,
        };
        paged.page(PagedResults::first(page_size)).await?;
        Ok(paged)
    }

    async fn page(&mut self, page: PagedResults) -> Result<(), LdapError> {
        let request = self.request.clone().control(page.to_control().critical());
        self.stream = Some(self.client.search(request).await?);
        Ok(())
    }

    /// The next result; none after the last page. An error ends the search.
    pub async fn next(&mut self) -> Result<Option<SearchItem>, LdapError> {
        loop {
            let Some(stream) = &mut self.stream else {
                return Ok(None);
            };
            match stream.next().await {
                Ok(None) => {}
                Ok(item) => return Ok(item),
                Err(error) => {
                    self.stream = None;
                    return Err(error);
                }
            }
            let controls = stream
                .outcome()
                .map(|outcome| outcome.controls.as_slice())
                .unwrap_or_default();
            let page = PagedResults::find(controls);
            self.stream = None;
            match page {
                Ok(Some(page)) if !page.cookie.is_empty() => {
                    self.page(PagedResults {
                        size: self.page_size,
                        cookie: page.cookie,
                    })
                    .await?;
                }
                Ok(_) => return Ok(None),
                Err(error) => return Err(LdapError::Protocol(error.to_string())),
            }
        }
    }

    /// The next entry; references and intermediate responses are passed over.
    /// An entry that is too large is an error.
    pub async fn next_entry(&mut self) -> Result<Option<Entry>, LdapError> {
        loop {
            match self.next().await? {
                Some(SearchItem::Entry { entry, .. }) => return Ok(Some(entry)),
                Some(SearchItem::Oversized { dn, size, .. }) => {
                    return Err(LdapError::EntryTooLarge { dn, size });
                }
                Some(SearchItem::Reference(_) | SearchItem::Intermediate(_)) => {}
                None => return Ok(None),
            }
        }
    }
}
