//! The reader task: messages off the wire, each to the operation that waits for it.

use super::inner::{Inner, Waiter};
use super::search::{Event, SearchItem, Sink};
use super::{CloseReason, Outcome};
use crate::extended;
use crate::message::{Arrival, Intake, Message, MessageId, OversizedEntry, Response};
use bytes::{Bytes, BytesMut};
use net::Connection;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, ReadHalf};

/// How much is read at once; a larger message makes the buffer grow as its bytes arrive, not before.
const CHUNK: usize = 64 * 1024;

pub(super) struct Reader {
    pub(super) stream: ReadHalf<Connection>,
    pub(super) inner: Arc<Inner>,
    /// Cuts the stream, within the limits of messages and entries.
    pub(super) intake: Intake,
    /// How long a slow search may hold up the others.
    pub(super) stall_timeout: Duration,
}

impl Reader {
    /// Reads until the connection is closed, by either side.
    pub(super) async fn run(mut self) {
        let inner = self.inner.clone();
        tokio::select! {
            reason = self.read_all() => inner.close(reason),
            _ = inner.closed() => {}
        }
    }

    async fn read_all(&mut self) -> CloseReason {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        loop {
            let inner = &self.inner;
            let waits =
                |id| inner.with_waiter(id, |waiter| matches!(waiter, Waiter::Search(_))) == Some(true);
            let missing = match self.intake.next(&mut buffer, waits) {
                Err(error) => return error.into(),
                Ok(Arrival::Incomplete(missing)) => missing,
                Ok(Arrival::Oversized(entry)) => {
                    if let Err(reason) = self.oversized(entry).await {
                        return reason;
                    }
                    continue;
                }
                Ok(Arrival::Message(length)) => {
                    match Message::<Response>::decode(buffer.split_to(length).freeze()) {
                        Err(error) => return CloseReason::Protocol(error.to_string()),
                        Ok(message) => {
                            if let Err(reason) = self.dispatch(message, length).await {
                                return reason;
                            }
                        }
                    }
                    continue;
                }
            };
            buffer.reserve(missing.min(CHUNK));
            match self.stream.read_buf(&mut buffer).await {
                Ok(0) => return CloseReason::EndOfStream,
                // A part of a large message is a sign of life too.
                Ok(_) => self.inner.count_received(),
                Err(error) => return error.into(),
            }
        }
    }

    async fn dispatch(&self, message: Message<Response>, size: usize) -> Result<(), CloseReason> {
        let id = message.id;
        if id == MessageId::UNSOLICITED {
            return match extended::notice_of_disconnection(&message) {
                Some(result) => Err(CloseReason::Notice(Box::new(result.clone()))),
                // RFC 4511 section 4.4: notifications that are not known are ignored.
                None => {
                    // RFC 5805 section 2.4: its end will be refused, which tells whoever waits.
                    if extended::aborted_transaction(&message).is_some() {
                        tracing::info!("the server gave a transaction up");
                    }
                    Ok(())
                }
            };
        }
        match self.sink(id) {
            // RFC 4511 section 4.11: answers to an abandoned operation may still come. An id that was never
            // used looks the same, and harms nobody.
            None => {
                tracing::debug!(id = id.get(), "an answer that nobody waits for");
                Ok(())
            }
            Some(None) => self.answer(message),
            Some(Some(sink)) => self.search_result(sink, message, size).await,
        }
    }

    /// Where the results of this search go; none when the id is that of another operation, or of nothing.
    fn sink(&self, id: MessageId) -> Option<Option<Sink>> {
        self.inner.with_waiter(id, |waiter| match waiter {
            Waiter::One(_) => None,
            Waiter::Search(sink) => Some(sink.clone()),
        })
    }

    /// An entry that was read past.
    async fn oversized(&self, entry: OversizedEntry) -> Result<(), CloseReason> {
        let OversizedEntry {
            id,
            dn,
            controls,
            size,
        } = entry;
        // In the queue only that counts which is there.
        let values = controls.iter().filter_map(|control| control.value.as_ref());
        let kept = dn.len() + values.map(Bytes::len).sum::<usize>();
        match self.sink(id) {
            None => Ok(()),
            Some(None) => Err(answers_no_search()),
            Some(Some(sink)) => {
                let item = SearchItem::Oversized { dn, size, controls };
                self.push(&sink, id, Event::Item(item), kept).await;
                Ok(())
            }
        }
    }

    /// The answer to an operation that has one.
    fn answer(&self, message: Message<Response>) -> Result<(), CloseReason> {
        match &message.operation {
            // RFC 4511 section 4.13: what comes on the way to an answer may be ignored.
            Response::Intermediate(_) => return Ok(()),
            Response::SearchEntry(_) | Response::SearchReference(_) | Response::SearchDone(_) => {
                return Err(answers_no_search());
            }
            _ => {}
        }
        if let Some(Waiter::One(waiter)) = self.inner.remove(message.id) {
            // The caller may have gone in this moment.
            let _ = waiter.send(message);
        }
        Ok(())
    }

    async fn search_result(
        &self,
        sink: Sink,
        message: Message<Response>,
        size: usize,
    ) -> Result<(), CloseReason> {
        let Message {
            id,
            operation,
            controls,
        } = message;
        let event = match operation {
            Response::SearchEntry(entry) => Event::Item(SearchItem::Entry { entry, controls }),
            Response::SearchReference(uris) => Event::Item(SearchItem::Reference(uris)),
            Response::Intermediate(intermediate) => Event::Item(SearchItem::Intermediate(intermediate)),
            Response::SearchDone(result) => {
                self.inner.remove(id);
                Event::Done(Outcome { result, controls })
            }
            _ => {
                return Err(CloseReason::Protocol(
                    "an answer of another kind than the search".to_owned(),
                ));
            }
        };
        self.push(&sink, id, event, size).await;
        Ok(())
    }

    /// Hands over one result of a search, and gives the search up when it is taken too slowly.
    async fn push(&self, sink: &Sink, id: MessageId, event: Event, size: usize) {
        let Err(event) = sink.try_push(event, size) else {
            self.inner.stalled.store(false, Ordering::Relaxed);
            return;
        };
        // No room: only now a clock is needed.
        let mut push = std::pin::pin!(sink.push(event, size));
        loop {
            tokio::select! {
                biased;
                () = &mut push => {
                    self.inner.stalled.store(false, Ordering::Relaxed);
                    return;
                }
                () = tokio::time::sleep(self.stall_timeout) => {
                    self.inner.stalled.store(true, Ordering::Relaxed);
                    if self.inner.others_wait(id) {
                        sink.give_up();
                        self.inner.abandon(id, None);
                        self.inner.stalled.store(false, Ordering::Relaxed);
                        return;
                    }
                }
            }
        }
    }
}

fn answers_no_search() -> CloseReason {
    CloseReason::Protocol("a search result that answers no search".to_owned())
}
