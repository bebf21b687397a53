//! Bodies on their way: a client's to its home, a home's to the client. Never held as a whole, never waited for
//! without end.

use super::connection::Taking;
use super::logins::InUse;
use super::pool::Lease;
use super::reply::Fault;
use super::trail::Trail;
use crate::failure::Failure;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How an upload is doing, for whoever waits for the home's answer.
#[derive(Debug, Default)]
pub(super) struct Moves {
    octets: AtomicU64,
    /// Whether the next octet is the client's turn.
    clients_turn: AtomicBool,
    fault: Mutex<Option<Fault>>,
}

impl Moves {
    /// Octets that the client has sent.
    pub(super) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }

    pub(super) fn is_clients_turn(&self) -> bool {
        self.clients_turn.load(Ordering::Relaxed)
    }

    /// Why the upload was given up, when that was not the home's fault.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.lock().clone()
    }
}

/// A body that a client sends.
pub(super) struct Upload {
    body: Option<Incoming>,
    left: u64,
    pause: Pause,
    moves: Arc<Moves>,
}

impl Upload {
    /// No body at all.
    pub(super) fn none() -> Self {
        Self {
            body: None,
            left: 0,
            pause: Pause::new(Duration::ZERO),
            moves: Arc::default(),
        }
    }

    /// A body of at most `limit` octets, whose sender may pause no longer than `pause`.
    pub(super) fn new(body: Incoming, limit: u64, pause: Duration, moves: &Arc<Moves>) -> Self {
        Self {
            body: (!body.is_end_stream()).then_some(body),
            left: limit,
            pause: Pause::new(pause),
            moves: Arc::clone(moves),
        }
    }

    fn give_up(&mut self, fault: Fault) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.body = None;
        let error = io::Error::other(fault.to_string());
        self.moves.fault.lock().get_or_insert(fault);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => {
                    self.moves.clients_turn.store(true, Ordering::Relaxed);
                    ready!(self.pause.poll(cx));
                    return self.give_up(Fault::Slow);
                }
                Poll::Ready(None) => {
                    self.moves.clients_turn.store(false, Ordering::Relaxed);
                    self.body = None;
                }
                Poll::Ready(Some(Err(_))) => return self.give_up(Fault::Gone),
                Poll::Ready(Some(Ok(frame))) => {
                    self.moves.clients_turn.store(false, Ordering::Relaxed);
                    self.pause.begin_anew();
                    // RFC 9110 section 6.5.1: trailers may be dropped, and nobody can tell what a home makes of them.
                    let Ok(data) = frame.into_data() else { continue };
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    let Some(left) = self.left.checked_sub(length) else {
                        return self.give_up(Fault::TooLarge);
                    };
                    self.left = left;
                    self.moves.octets.fetch_add(length, Ordering::Relaxed);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// How long the other side may say nothing.
struct Pause {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    const fn new(limit: Duration) -> Self {
        Self { limit, sleep: None }
    }

    fn begin_anew(&mut self) {
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(Instant::now() + self.limit);
        }
    }

    /// Ready once it has lasted too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        sleep.as_mut().poll(cx)
    }
}

/// What is sent to a client.
pub(super) struct Outgoing {
    content: Content,
    /// Says how it went, when it is dropped.
    trail: Option<Trail>,
    /// Whether the client takes a text of ours is looked after. The body is asked before there is room for what it
    /// gives, so only its end tells that the text was taken.
    _watch: Option<Arc<Taking>>,
}

enum Content {
    Whole(Option<Bytes>),
    Home(Box<Download>),
}

/// A home's answer, on its way.
pub(super) struct Download {
    body: Incoming,
    /// The connection and the room at the home.
    lease: Lease,
    login: InUse,
    pause: Pause,
    taking: Arc<Taking>,
    /// When the login ends, this does too.
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    /// An event stream can end at any time: its client asks again.
    is_event_stream: bool,
}

impl Download {
    pub(super) fn new(
        body: Incoming,
        lease: Lease,
        login: InUse,
        idle: Duration,
        is_event_stream: bool,
        taking: Arc<Taking>,
    ) -> Self {
        let order = match is_event_stream {
            true => login.login().winds_down.clone(),
            false => login.login().cut.clone(),
        };
        Self {
            body,
            lease,
            login,
            pause: Pause::new(idle),
            taking,
            end: Box::pin(order.cancelled_owned()),
            is_event_stream,
        }
    }
}

impl Outgoing {
    /// A text of ours.
    pub(super) fn whole(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self {
            content: Content::Whole((!text.is_empty()).then_some(text)),
            trail: None,
            _watch: None,
        }
    }

    pub(super) fn home(download: Download) -> Self {
        Self {
            content: Content::Home(Box::new(download)),
            trail: None,
            _watch: None,
        }
    }

    /// Whether there is a text of ours to be taken.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self.content, Content::Whole(Some(_)))
    }

    /// Keeps the trail until the last octet.
    pub(super) fn leaving(mut self, mut trail: Trail, taking: Option<Arc<Taking>>) -> Self {
        self._watch = taking;
        if self.is_end_stream() || matches!(self.content, Content::Whole(_)) {
            trail.is_done();
        }
        if let Content::Whole(Some(text)) = &self.content {
            trail.count(u64::try_from(text.len()).unwrap_or(u64::MAX));
        }
        if let Content::Home(download) = &mut self.content
            && download.body.is_end_stream()
        {
            download.lease.give_back();
        }
        self.trail = Some(trail);
        self
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        match &mut this.content {
            Content::Whole(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Content::Home(download) => download.poll(cx, this.trail.as_mut()),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(text) => text.is_none(),
            Content::Home(download) => download.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(text) => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Content::Home(download) => download.body.size_hint(),
        }
    }
}

impl Download {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut trail: Option<&mut Trail>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut note = |end: &'static str| {
            if let Some(trail) = trail.as_mut() {
                trail.ends(end);
            }
        };
        self.taking.is_done();
        if self.end.as_mut().poll(cx).is_ready() {
            note("login ended");
            return Poll::Ready(match self.is_event_stream {
                true => None,
                false => Some(Err(io::ErrorKind::ConnectionAborted.into())),
            });
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    ready!(self.pause.poll(cx));
                    note("idle");
                    return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
                }
                Poll::Ready(None) => {
                    note("done");
                    self.lease.give_back();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    note("home broke off");
                    let home = self.lease.name().to_owned();
                    let cause = error.to_string();
                    self.lease.report(&Failure::Protocol { home, cause });
                    // A cut answer must not look like a whole one (RFC 9112 section 8).
                    return Poll::Ready(Some(Err(io::Error::other(error))));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.pause.begin_anew();
                    let Ok(data) = frame.into_data() else { continue };
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    self.taking.begins();
                    self.login.login().count(0, length);
                    if let Some(trail) = trail.as_mut() {
                        trail.count(length);
                        if self.body.is_end_stream() {
                            trail.is_done();
                        }
                    }
                    if self.body.is_end_stream() {
                        self.lease.give_back();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
        }
    }
}
