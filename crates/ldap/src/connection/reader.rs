//! The reader task: messages off the wire, each to the operation that waits for it.

use super::inner::{Inner, Waiter};
use super::search::{Event, SearchItem, Sink};
use super::{CloseReason, Outcome};
use crate::extended;
use crate::message::{Frame, Message, MessageId, Response, frame};
use bytes::BytesMut;
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
    /// The largest message.
    pub(super) max_message: usize,
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
            let missing = match frame(&buffer, self.max_message) {
                Err(error) => return error.into(),
                Ok(Frame::Incomplete(missing)) => missing,
                Ok(Frame::Complete(length)) => {
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
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
    }

    async fn dispatch(&self, message: Message<Response>, size: usize) -> Result<(), CloseReason> {
        self.inner.count_message();
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
        let sink = self.inner.with_waiter(id, |waiter| match waiter {
            Waiter::One(_) => None,
            Waiter::Search(sink) => Some(sink.clone()),
        });
        match sink {
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

    /// The answer to an operation that has one.
    fn answer(&self, message: Message<Response>) -> Result<(), CloseReason> {
        match &message.operation {
            // RFC 4511 section 4.13: what comes on the way to an answer may be ignored.
            Response::Intermediate(_) => return Ok(()),
            Response::SearchEntry(_) | Response::SearchReference(_) | Response::SearchDone(_) => {
                return Err(CloseReason::Protocol(
                    "a search result that answers no search".to_owned(),
                ));
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
        let mut push = std::pin::pin!(sink.push(event, size));
        loop {
            tokio::select! {
                biased;
                () = &mut push => {
                    self.inner.stalled.store(false, Ordering::Relaxed);
                    return Ok(());
                }
                () = tokio::time::sleep(self.stall_timeout) => {
                    self.inner.stalled.store(true, Ordering::Relaxed);
                    if self.inner.others_wait(id) {
                        sink.give_up();
                        self.inner.abandon(id, None);
                        self.inner.stalled.store(false, Ordering::Relaxed);
                        return Ok(());
                    }
                }
            }
        }
    }
}
