//! Who is logged in now: every session of every protocol, so that it can be listed, limited and ended.
//!
//! Owns the registry, its limits, and the word to a session that it has to end. Never writes to a client and
//! never closes a connection: the session's own driver does, in its protocol's way.

mod about;
mod ids;
mod limits;
mod timer;

pub use about::{NewSession, SessionEnd, SessionFilter, SessionId, SessionRow};
pub(crate) use limits::site;
pub use limits::{SessionLimits, TooMany};

use crate::Shutdown;
use crate::relay::Pipes;
use ids::Ids;
use model::{Address, Clock, EntryUuid, Timestamp, TraceId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use timer::Timer;
use tokio::time::Instant;

impl SessionFilter {
    fn matches(&self, entry: &Entry) -> bool {
        let about = &entry.about;
        self.id.is_none_or(|wanted| wanted == entry.id)
            && self
                .trace
                .is_none_or(|trace| about.home.is_none() && trace == about.trace)
            && self.begun_by.is_none_or(|moment| entry.began <= moment)
            && self
                .account
                .as_ref()
                .is_none_or(|account| *account == about.account)
            && self.entry.is_none_or(|entry| about.entry == Some(entry))
            && (!self.without_entry || about.entry.is_none())
            && self
                .home
                .as_deref()
                .is_none_or(|wanted| about.home.as_deref().is_some_and(|home| is_at(home, wanted)))
            && self.protocol.is_none_or(|protocol| protocol == about.protocol)
    }
}

/// Whether a home, `host` or `host:port`, is meant by another such text: without a port, all of its ports are.
fn is_at(home: &str, wanted: &str) -> bool {
    let host = match home.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        // More than one colon is an address without a port.
        None => match home.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => home,
        },
    };
    home == wanted || host == wanted
}

/// Which half of a session it is, when both run in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outer,
    Inner,
}

#[derive(Debug)]
struct Entry {
    id: SessionId,
    about: NewSession,
    since: Timestamp,
    began: Duration,
    place: Place,
    up: AtomicU64,
    down: AtomicU64,
    /// A [`SessionEnd`], or 0.
    end: AtomicU8,
    /// The task that drives the session.
    waker: Mutex<Option<Waker>>,
    /// The second at which it wants to be woken, and the one at which the timer looks.
    due: AtomicU32,
    slot: AtomicU32,
}

impl Entry {
    fn end(&self) -> Option<SessionEnd> {
        SessionEnd::from_number(self.end.load(Ordering::Acquire))
    }

    /// The first reason counts.
    fn tell(&self, end: SessionEnd) -> bool {
        let told = self
            .end
            .compare_exchange(0, end as u8, Ordering::AcqRel, Ordering::Acquire);
        if told.is_ok()
            && let Some(waker) = self.waker.lock().take()
        {
            waker.wake();
        }
        told.is_ok()
    }

    fn row(&self) -> SessionRow {
        SessionRow {
            id: self.id,
            about: self.about.clone(),
            since: self.since,
            began: self.began,
            bytes_up: self.up.load(Ordering::Relaxed),
            bytes_down: self.down.load(Ordering::Relaxed),
            ending: self.end(),
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    last: SessionId,
    /// The server stops: whoever still comes in is told at once.
    draining: bool,
    live: BTreeMap<SessionId, Arc<Entry>>,
    by_account: HashMap<Address, Ids>,
    /// The same for inner halves, which do not count.
    inner: HashMap<Address, Ids>,
    by_entry: HashMap<EntryUuid, Ids>,
    /// Those that end here: front ends know them by that.
    by_trace: HashMap<TraceId, Ids>,
    by_client: HashMap<IpAddr, u32>,
    by_home: HashMap<Arc<str>, u64>,
}

/// The sessions of this process. Cloning is a reference count.
#[derive(Clone)]
pub struct Sessions(Arc<Registry>);

struct Registry {
    clock: Arc<dyn Clock>,
    limits: Mutex<SessionLimits>,
    table: Mutex<Table>,
    timer: Timer,
    pipes: Arc<Pipes>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("live", &self.len()).finish()
    }
}

impl Sessions {
    /// An empty registry.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limits: SessionLimits) -> Self {
        Self(Arc::new(Registry {
            clock,
            limits: Mutex::new(limits),
            table: Mutex::default(),
            timer: Timer::default(),
            pipes: Arc::default(),
        }))
    }

    /// Other limits from now on. Sessions that are too many by them go on.
    pub fn set_limits(&self, limits: SessionLimits) {
        *self.0.limits.lock() = limits;
    }

    /// Takes a session in, for as long as the answer lives. Refused when its account or its client has too many.
    pub fn enter(&self, mut about: NewSession) -> Result<Session, TooMany> {
        let limits = *self.0.limits.lock();
        let mut table = self.0.table.lock();
        let client = limits::site(about.client.ip());
        let of_account = table.by_account.get(&about.account).map_or(0, Ids::len);
        let of_client = table.by_client.get(&client).copied().unwrap_or(0);
        limits.admit(of_account, of_client)?;
        let next = table.last + 1;
        table
            .by_account
            .entry(about.account.clone())
            .or_default()
            .add(next);
        if let Some(home) = &mut about.home {
            // Tens of thousands of sessions share the name of their home.
            if let Some((known, _)) = table.by_home.get_key_value(home) {
                *home = Arc::clone(known);
            }
            *table.by_home.entry(Arc::clone(home)).or_default() += 1;
        }
        *table.by_client.entry(client).or_default() += 1;
        Ok(self.add(&mut table, about, Place::Outer))
    }

    /// Takes in the other half of a session that a front end in this process has entered already: it is not
    /// counted and not listed, and hears all the same when it has to end.
    #[must_use]
    pub fn enter_inner(&self, about: NewSession) -> Session {
        self.add(&mut self.0.table.lock(), about, Place::Inner)
    }

    fn add(&self, table: &mut Table, about: NewSession, place: Place) -> Session {
        table.last += 1;
        let id = table.last;
        match place {
            Place::Inner => table.inner.entry(about.account.clone()).or_default().add(id),
            Place::Outer => {}
        }
        if let Some(uuid) = about.entry {
            table.by_entry.entry(uuid).or_default().add(id);
        }
        if about.home.is_none() {
            table.by_trace.entry(about.trace).or_default().add(id);
        }
        let entry = Arc::new(Entry {
            id,
            about,
            since: self.0.clock.now(),
            began: self.0.clock.monotonic(),
            place,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            end: AtomicU8::new(if table.draining {
                SessionEnd::Drained as u8
            } else {
                0
            }),
            waker: Mutex::new(None),
            due: AtomicU32::new(timer::NOWHERE),
            slot: AtomicU32::new(timer::NOWHERE),
        });
        table.live.insert(id, Arc::clone(&entry));
        Session {
            entry,
            registry: Arc::clone(&self.0),
        }
    }

    #[cfg(test)]
    pub(crate) fn pipes(&self) -> &Arc<Pipes> {
        &self.0.pipes
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let table = self.0.table.lock();
        table
            .live
            .values()
            .filter(|entry| entry.place == Place::Outer)
            .count()
    }

    /// Whether nobody is logged in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sessions go to this home; without a port, to all of its ports.
    #[must_use]
    pub fn at_home(&self, home: &str) -> u64 {
        let table = self.0.table.lock();
        let there = table.by_home.iter().filter(|(known, _)| is_at(known, home));
        there.map(|(_, count)| count).sum()
    }

    /// The first `limit` sessions after the number `after` that are meant, in the order of their logins.
    #[must_use]
    pub fn list(&self, filter: &SessionFilter, after: SessionId, limit: usize) -> Vec<SessionRow> {
        let table = self.0.table.lock();
        let wanted = table.candidates(filter);
        let in_order = wanted.skip_while(|entry| entry.id <= after);
        in_order
            .filter(|entry| entry.place == Place::Outer && filter.matches(entry))
            .take(limit)
            .map(|entry| entry.row())
            .collect()
    }

    /// How many sessions are meant.
    #[must_use]
    pub fn count(&self, filter: &SessionFilter) -> usize {
        let table = self.0.table.lock();
        let meant = |entry: &&Arc<Entry>| entry.place == Place::Outer && filter.matches(entry);
        table.candidates(filter).filter(meant).count()
    }

    /// The accounts that are logged in, each once, with their oldest session.
    #[must_use]
    pub fn accounts(&self) -> Vec<SessionRow> {
        let table = self.0.table.lock();
        let first = |ids: &Ids| ids.iter().next().and_then(|id| table.live.get(&id));
        let oldest = |ids: &Ids| first(ids).map(|entry| entry.row());
        table.by_account.values().filter_map(oldest).collect()
    }

    /// Tells every session to end when the server is asked to stop, also those that come later.
    pub async fn drain_with(&self, shutdown: Shutdown) {
        shutdown.requested().await;
        self.0.table.lock().draining = true;
        self.end(&SessionFilter::default(), SessionEnd::Drained);
    }

    /// Tells the sessions that are meant to end; how many of them had not been told before.
    pub fn end(&self, filter: &SessionFilter, why: SessionEnd) -> usize {
        let told: Vec<Arc<Entry>> = {
            let table = self.0.table.lock();
            let wanted = table.candidates(filter);
            wanted.filter(|entry| filter.matches(entry)).cloned().collect()
        };
        // A waker may run what it wakes; no lock is held here.
        told.iter().filter(|entry| entry.tell(why)).count()
    }
}

impl Table {
    /// The sessions that may be meant, by the narrowest index, in the order of their numbers.
    fn candidates<'a>(&'a self, filter: &SessionFilter) -> Box<dyn Iterator<Item = &'a Arc<Entry>> + 'a> {
        let of = |ids: Option<&'a Ids>| -> Box<dyn Iterator<Item = &'a Arc<Entry>> + 'a> {
            let ids = ids.into_iter().flat_map(Ids::iter);
            Box::new(ids.filter_map(|id| self.live.get(&id)))
        };
        if let Some(id) = filter.id {
            return Box::new(self.live.get(&id).into_iter());
        }
        if let Some(trace) = &filter.trace {
            return of(self.by_trace.get(trace));
        }
        if let Some(account) = &filter.account {
            let inner = of(self.inner.get(account));
            return Box::new(of(self.by_account.get(account)).chain(inner));
        }
        if let Some(entry) = &filter.entry {
            return of(self.by_entry.get(entry));
        }
        Box::new(self.live.values())
    }

    fn remove(&mut self, entry: &Entry) {
        self.live.remove(&entry.id);
        let about = &entry.about;
        if let Some(uuid) = &about.entry
            && let Some(ids) = self.by_entry.get_mut(uuid)
            && ids.remove(entry.id)
        {
            self.by_entry.remove(uuid);
        }
        if about.home.is_none()
            && let Some(ids) = self.by_trace.get_mut(&about.trace)
            && ids.remove(entry.id)
        {
            self.by_trace.remove(&about.trace);
        }
        if entry.place == Place::Inner {
            if let Some(ids) = self.inner.get_mut(&about.account)
                && ids.remove(entry.id)
            {
                self.inner.remove(&about.account);
            }
            return;
        }
        if let Some(ids) = self.by_account.get_mut(&about.account)
            && ids.remove(entry.id)
        {
            self.by_account.remove(&about.account);
        }
        let client = limits::site(about.client.ip());
        if let Some(count) = self.by_client.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_client.remove(&client);
            }
        }
        if let Some(home) = &about.home
            && let Some(count) = self.by_home.get_mut(home)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_home.remove(home);
            }
        }
    }
}

/// A session in the registry; dropping it takes the session out.
pub struct Session {
    entry: Arc<Entry>,
    registry: Arc<Registry>,
}

impl Session {
    /// What was known at the login.
    #[must_use]
    pub fn about(&self) -> &NewSession {
        &self.entry.about
    }

    /// How long it has lasted.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.registry.clock.monotonic().saturating_sub(self.entry.began)
    }

    /// When it began, on the monotonic clock.
    #[must_use]
    pub fn began(&self) -> Duration {
        self.entry.began
    }

    /// Tells how much has been moved so far.
    pub fn count(&self, up: u64, down: u64) {
        self.entry.up.store(up, Ordering::Relaxed);
        self.entry.down.store(down, Ordering::Relaxed);
    }

    /// Why it has to end; none while it may go on.
    #[must_use]
    pub fn ending(&self) -> Option<SessionEnd> {
        self.entry.end()
    }

    /// Ready once the session has to end. One task waits for it: the one that asked last.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        if let Some(end) = self.entry.end() {
            return Poll::Ready(end);
        }
        self.watch(cx);
        // It may have been told between the look and the waker.
        self.entry.end().map_or(Poll::Pending, Poll::Ready)
    }

    /// This task hears when the session has to end, and when its time has come.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.entry.waker.lock();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes the task that watches at this moment, or up to a second later. The last moment that was given counts.
    pub(crate) fn wake_at(&self, moment: Instant) {
        self.registry.wake_at(&self.entry, moment);
    }

    /// The pipes for those that move much.
    pub(crate) fn pipes(&self) -> &Arc<Pipes> {
        &self.registry.pipes
    }

    /// Waits until the session has to end.
    pub async fn ended(&self) -> SessionEnd {
        std::future::poll_fn(|cx| self.poll_ended(cx)).await
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.entry.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.registry.table.lock().remove(&self.entry);
    }
}

#[cfg(test)]
mod tests;
