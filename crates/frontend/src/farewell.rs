//! Asks homes to end sessions in their own words.
//!
//! After the login nothing is written into a session's stream here. A Homing home that trusts this front end takes
//! orders about the sessions that came through it (`XENDSESSION`, docs/design/0012): it says its protocol's goodbye
//! at a place where that is right. Orders for one home go over one connection that lives as long as there are any.

use crate::dial::Dialer;
use crate::failure::Failure;
use crate::imap::Orders;
use directory::HomeRef;
use model::{Protocol, TraceId};
use net::SessionEnd;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Orders that may wait for one home; whoever comes after is ended as at a home that takes none.
const QUEUE: usize = 10_000;
/// Orders that go out together.
const BATCH: usize = 100;
/// How long a connection waits for the next order.
const PATIENCE: Duration = Duration::from_secs(5);
/// Homes that are remembered. There are never so many; a map could name any.
const MAX_HOMES: usize = 10_000;

/// One session is to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) trace: TraceId,
    pub(crate) why: SessionEnd,
}

/// What is known about a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Understands {
    /// Nobody has looked.
    Unknown,
    Orders,
    Nothing,
}

struct Place {
    understands: Understands,
    queue: Option<mpsc::Sender<Order>>,
}

/// The homes, and the orders that are on their way to them. Outlives a new configuration.
#[derive(Default)]
pub(crate) struct Farewells(Mutex<HashMap<HomeRef, Place>>);

impl Farewells {
    fn with<T>(&self, home: &HomeRef, work: impl FnOnce(&mut Place) -> T) -> Option<T> {
        let mut homes = self.0.lock();
        if homes.len() >= MAX_HOMES && !homes.contains_key(home) {
            return None;
        }
        let place = homes.entry(home.clone()).or_insert(Place {
            understands: Understands::Unknown,
            queue: None,
        });
        Some(work(place))
    }

    /// A login has shown what the home can do.
    pub(crate) fn learn(&self, home: &HomeRef, takes_orders: bool) {
        self.with(home, |place| {
            place.understands = match takes_orders {
                true => Understands::Orders,
                false => Understands::Nothing,
            };
        });
    }
}

impl Dialer {
    /// Asks the home to end this session. True when its goodbye can be expected.
    pub(crate) fn ask_to_end(self: &Arc<Self>, home: &HomeRef, order: Order) -> bool {
        let asked = self.farewells().with(home, |place| {
            if place.understands == Understands::Nothing {
                return false;
            }
            let refused = match &place.queue {
                Some(queue) => match queue.try_send(order) {
                    Ok(()) => None,
                    Err(mpsc::error::TrySendError::Full(_)) => return false,
                    Err(mpsc::error::TrySendError::Closed(order)) => Some(order),
                },
                None => Some(order),
            };
            if let Some(order) = refused {
                let (queue, orders) = mpsc::channel(QUEUE);
                // The channel is new: there is room.
                let _ = queue.try_send(order);
                place.queue = Some(queue);
                tokio::spawn(carry(Arc::downgrade(self), home.clone(), orders));
            }
            place.understands == Understands::Orders
        });
        asked.unwrap_or(false)
    }
}

/// Carries orders to one home until there are none.
async fn carry(dialer: Weak<Dialer>, home: HomeRef, mut orders: mpsc::Receiver<Order>) {
    let Some(dialer) = dialer.upgrade() else { return };
    match talk(&dialer, &home, &mut orders).await {
        Ok(ended) => tracing::info!(%home, sessions = ended, "the home has ended sessions"),
        Err(failure) => {
            // Their relays close them all the same.
            tracing::warn!(%home, %failure, "the home cannot be asked to end sessions");
        }
    }
}

async fn talk(
    dialer: &Arc<Dialer>,
    home: &HomeRef,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<usize, Failure> {
    let dialled = dialer.dial_bare(home, Protocol::Imap).await?;
    let mut talk = match Orders::open(dialled).await? {
        Some(talk) => talk,
        None => {
            dialer.farewells().learn(home, false);
            return Ok(0);
        }
    };
    dialer.farewells().learn(home, true);
    let mut ended = 0;
    let mut batch = Vec::with_capacity(BATCH);
    // The queue is closed before the last look at it: an order that comes later finds it closed and begins anew.
    loop {
        match timeout(PATIENCE, orders.recv_many(&mut batch, BATCH)).await {
            Ok(0) => break,
            Ok(_) => {
                ended += talk.end(&batch).await?;
                batch.clear();
            }
            Err(_) => orders.close(),
        }
    }
    talk.leave().await;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_remembered_and_bounded() {
        let farewells = Farewells::default();
        let home = |name: &str| HomeRef::parse(name).expect("a home");
        farewells.learn(&home("store1"), true);
        farewells.learn(&home("store2"), false);
        let known = |name: &str| farewells.with(&home(name), |place| place.understands);
        assert_eq!(known("store1"), Some(Understands::Orders));
        assert_eq!(known("store2"), Some(Understands::Nothing));
        assert_eq!(known("store3"), Some(Understands::Unknown));
        for number in 0..MAX_HOMES {
            farewells.learn(&home(&format!("h{number}")), true);
        }
        assert_eq!(farewells.0.lock().len(), MAX_HOMES);
        assert_eq!(known("store1"), Some(Understands::Orders), "the old ones stay");
        assert_eq!(known("one-too-many"), None);
    }
}
