//! Connections to homes that are kept for the next request, and room at each home.

use super::body::Upload;
use super::reply::Fault;
use crate::dial::{Caller, Dialer};
use crate::failure::Failure;
use directory::HomeRef;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use model::{Clock, Protocol};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections kept for one home.
const MAX_IDLE: usize = 64;
/// How long one is kept: homes close theirs after some time, and a request must not meet that.
const KEEP: Duration = Duration::from_secs(15);
/// Homes remembered; a wildcard DNS and a bad map could name any number of them.
const MAX_HOMES: usize = 10_000;

/// What one home is asked for at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) requests: u32,
    pub(super) queue: u32,
    /// How long a request waits for room.
    pub(super) patience: Duration,
    pub(super) max_header_size: usize,
}

/// The homes that requests have been sent to.
pub(super) struct Pool {
    dialer: Arc<Dialer>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    places: Mutex<HashMap<HomeRef, Arc<Place>>>,
}

/// One home.
struct Place {
    home: HomeRef,
    room: Arc<Semaphore>,
    waiting: AtomicU32,
    idle: Mutex<Vec<Idle>>,
    dialer: Arc<Dialer>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

struct Idle {
    sender: Sender,
    name: String,
    since: Duration,
}

/// A connection to a home.
pub(super) type Sender = SendRequest<Upload>;

/// Room at a home, and the connection that is used. Given back when the answer is complete; a connection whose
/// answer was left in the middle is closed.
pub(super) struct Lease {
    place: Arc<Place>,
    _room: OwnedSemaphorePermit,
    sender: Option<Sender>,
    name: String,
}

impl Pool {
    pub(super) fn new(dialer: Arc<Dialer>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            dialer,
            clock,
            limits,
            places: Mutex::default(),
        }
    }

    fn place(&self, home: &HomeRef) -> Arc<Place> {
        let mut places = self.places.lock();
        if let Some(place) = places.get(home) {
            return Arc::clone(place);
        }
        if places.len() >= MAX_HOMES {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        let place = Arc::new(Place {
            home: home.clone(),
            room: Arc::new(Semaphore::new(
                usize::try_from(self.limits.requests).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            waiting: AtomicU32::new(0),
            idle: Mutex::default(),
            dialer: Arc::clone(&self.dialer),
            clock: Arc::clone(&self.clock),
            limits: self.limits,
        });
        places.insert(home.clone(), Arc::clone(&place));
        place
    }

    /// Waits for room at a home, among a bounded number of others. No connection is made yet.
    pub(super) async fn room(&self, home: &HomeRef) -> Result<Lease, Fault> {
        let place = self.place(home);
        let room = match Arc::clone(&place.room).try_acquire_owned() {
            Ok(room) => room,
            Err(_) => place.queue().await?,
        };
        Ok(Lease {
            place,
            _room: room,
            sender: None,
            name: home.to_string(),
        })
    }
}

impl Place {
    async fn queue(&self) -> Result<OwnedSemaphorePermit, Fault> {
        /// Leaves the queue also when the client goes away meanwhile.
        struct Turn<'a>(&'a AtomicU32);
        impl Drop for Turn<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _turn = Turn(&self.waiting);
        let busy = || Fault::Busy(self.home.to_string());
        if before >= self.limits.queue {
            return Err(busy());
        }
        let room = Arc::clone(&self.room).acquire_owned();
        match tokio::time::timeout(self.limits.patience, room).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(busy()),
        }
    }

    fn take(&self) -> Option<(Sender, String)> {
        let now = self.clock.monotonic();
        let mut idle = self.idle.lock();
        idle.retain(|idle| idle.sender.is_ready() && now < idle.since + KEEP);
        idle.pop().map(|idle| (idle.sender, idle.name))
    }

    fn put(&self, sender: Sender, name: String) {
        let since = self.clock.monotonic();
        let mut idle = self.idle.lock();
        idle.retain(|idle| idle.sender.is_ready() && since < idle.since + KEEP);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, name, since });
        }
    }
}

impl Lease {
    /// Where the home is, for logs and health.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a connection that is kept; false when there is none.
    pub(super) fn reuse(&mut self) -> bool {
        let Some((sender, name)) = self.place.take() else {
            return false;
        };
        (self.sender, self.name) = (Some(sender), name);
        true
    }

    /// Makes a new connection.
    pub(super) async fn connect(&mut self, caller: Caller<'_>) -> Result<(), Failure> {
        let place = &self.place;
        self.sender = None;
        let dialled = place.dialer.dial(&place.home, Protocol::Http, caller).await?;
        self.name = dialled.name;
        let made = http1::Builder::new()
            .max_buf_size(place.limits.max_header_size)
            .handshake(TokioIo::new(dialled.connection))
            .await;
        let (sender, connection) = made.map_err(|error| Failure::Protocol {
            home: self.name.clone(),
            cause: error.to_string(),
        })?;
        let name = self.name.clone();
        // It ends when the sender is dropped, or the home closes.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(home = name, %error, "connection to a home ended");
            }
        });
        self.sender = Some(sender);
        Ok(())
    }

    pub(super) fn sender(&mut self) -> Option<&mut Sender> {
        self.sender.as_mut()
    }

    /// Tells the home's health what went wrong.
    pub(super) fn report(&self, failure: &Failure) {
        self.place.dialer.report(&self.name, failure);
    }

    /// Tells that the home has answered as it should.
    pub(super) fn is_well(&self) {
        // Nothing can fail here: the outcome is what is told.
        let _ = self.place.dialer.learn(&self.name, Ok(()));
    }

    /// The answer is complete: the connection is good for another request.
    pub(super) fn give_back(&mut self) {
        let Some(mut sender) = self.sender.take() else {
            return;
        };
        let (place, name) = (Arc::clone(&self.place), self.name.clone());
        if sender.is_ready() {
            place.put(sender, name);
            return;
        }
        // The request may still be on its way, or the driver has not yet seen the end.
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(KEEP, sender.ready()).await {
                place.put(sender, name);
            }
        });
    }

    /// The connection is no longer HTTP.
    pub(super) fn is_upgraded(&mut self) {
        self.sender = None;
    }
}
