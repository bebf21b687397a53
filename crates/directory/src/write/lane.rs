//! The connection that writes go over, and their turn on it.

use super::budget::{Answer, Budget, Limits, Turn};
use super::facts::Facts;
use super::{AttributeChange, Edit, Fate, Write, WriteError};
use crate::connector::writing::{Referred, WriteConnections, Writing};
use ldap::{Client, CloseReason, LdapError, ResultCode};
use model::Unavailable;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a write waits for its turn before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Servers that referrals lead to; no connector lists more.
const MAX_OTHERS: usize = 5;

/// A connection and what is known of the server at its other end.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) client: Client,
    pub(super) server: usize,
    pub(super) facts: Arc<Facts>,
    /// An answer did not come: whoever waits may go on waiting, and nobody else begins.
    silent: Arc<AtomicBool>,
    /// It has answered a write.
    served: Arc<AtomicBool>,
}

impl Lane {
    fn new(client: Client, server: usize, facts: Facts) -> Self {
        Self {
            client,
            server,
            facts: Arc::new(facts),
            silent: Arc::default(),
            served: Arc::default(),
        }
    }

    fn is_usable(&self) -> bool {
        !self.client.is_closed() && !self.silent.load(Ordering::Relaxed)
    }

    /// A write was answered, whatever the answer.
    pub(super) fn served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }
}

/// The lanes of a connector and the budget that they share.
pub(super) struct Lanes {
    connections: Arc<WriteConnections>,
    main: tokio::sync::Mutex<Option<Lane>>,
    others: tokio::sync::Mutex<Vec<Lane>>,
    /// One bulk work at a time, which has few transactions under way: it must leave room for the rest.
    pub(super) bulk: tokio::sync::Mutex<()>,
    budget: Mutex<Budget>,
    freed: Notify,
    /// Connections that ended though they had worked.
    ended: AtomicU64,
    /// Attributes that entries are known to have, because a write brought them.
    attributes: Mutex<BTreeSet<String>>,
}

/// The right to have one write in flight. Dropped without an answer, it counts as an answer that never came.
pub(super) struct Place<'a> {
    lanes: &'a Lanes,
    start: Duration,
    answer: Option<Answer>,
}

impl Lanes {
    pub(super) fn new(connections: WriteConnections) -> Self {
        let writes = &connections.config().writes;
        let limits = Limits {
            window: u32::from(writes.window),
            rate: writes.rate,
            burst: writes.burst,
        };
        Self {
            budget: Mutex::new(Budget::new(limits)),
            connections: Arc::new(connections),
            main: tokio::sync::Mutex::new(None),
            others: tokio::sync::Mutex::new(Vec::new()),
            bulk: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
            ended: AtomicU64::new(0),
            attributes: Mutex::default(),
        }
    }

    /// Whether entries are known to have whatever this write brings.
    pub(super) fn knows_attributes(&self, write: &Write) -> bool {
        let known = self.attributes.lock();
        brought(write).iter().all(|name| known.contains(name))
    }

    /// A write was done.
    pub(super) fn note_attributes(&self, write: &Write) {
        // Bounded: what we write is named by the configuration.
        self.attributes.lock().extend(brought(write));
    }

    /// The lane to the server in use, opened when there is none.
    pub(super) async fn main(&self) -> Result<Lane, WriteError> {
        self.connections.probe_earlier();
        let mut main = timeout(PATIENCE, self.main.lock())
            .await
            .map_err(|_| self.not_done("waiting for a connection"))?;
        if let Some(lane) = main.as_ref()
            && lane.is_usable()
            && self.connections.is_current(lane.server)
        {
            return Ok(lane.clone());
        }
        *main = None;
        let lane = self.open().await?;
        *main = Some(lane.clone());
        Ok(lane)
    }

    /// A lane of its own to the server in use.
    pub(super) async fn open(&self) -> Result<Lane, WriteError> {
        let writing = self.connections.connect().await.map_err(not_done)?;
        self.lane(writing).await
    }

    /// One more lane to a server that has just opened one. Where it is refused, the server has as many connections as it
    /// takes: that says nothing against the one that it has opened.
    pub(super) async fn beside(&self, server: usize) -> Option<Lane> {
        let opened = async {
            let client = self.connections.connect_beside(server).await?;
            let facts = Facts::read(&client).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Lane::new(client, server, facts))
        };
        let none = |why| {
            let name = self.connections.server_name(server);
            tracing::debug!(server = %name, %why, "no second connection for bulk writes");
        };
        opened.await.map_err(none).ok()
    }

    /// The lane to the server that a referral leads to.
    pub(super) async fn other(&self, referred: &Referred) -> Result<Lane, WriteError> {
        let mut others = timeout(PATIENCE, self.others.lock())
            .await
            .map_err(|_| self.not_done("waiting for a connection"))?;
        others.retain(Lane::is_usable);
        if let Some(lane) = others.iter().find(|lane| lane.server == referred.server) {
            return Ok(lane.clone());
        }
        let writing = self
            .connections
            .connect_to(referred.server)
            .await
            .map_err(not_done)?;
        let lane = self.lane(writing).await?;
        others.truncate(MAX_OTHERS - 1);
        others.push(lane.clone());
        Ok(lane)
    }

    async fn lane(&self, writing: Writing) -> Result<Lane, WriteError> {
        let Writing { client, server } = writing;
        let facts = match Facts::read(&client).await {
            Ok(facts) => facts,
            Err(error) => {
                let name = self.connections.server_name(server);
                let why = format!("{name}: {error}");
                self.connections.failed(server, &why);
                return Err(self.not_done(&why));
            }
        };
        Ok(Lane::new(client, server, facts))
    }

    /// A read that gave no answer: nothing was written.
    pub(super) fn lost(&self, lane: &Lane, error: &LdapError) -> WriteError {
        if error.code().is_none() {
            self.give_up(lane, error);
        }
        let name = self.connections.server_name(lane.server);
        self.not_done(&format!("{name}: {error}"))
    }

    /// A write that gave no answer.
    pub(super) fn lost_write(&self, lane: &Lane, error: &LdapError) -> WriteError {
        self.give_up(lane, error);
        let name = self.connections.server_name(lane.server);
        WriteError::Unavailable {
            why: self.connections.unavailable(&format!("{name}: {error}")),
            fate: match error {
                // The request never left.
                LdapError::Connect(_) | LdapError::Tls(_) | LdapError::EmptyPassword => Fate::NotDone,
                _ => Fate::Unknown,
            },
        }
    }

    /// A write that was never sent, because its connection has ended while it waited for its turn.
    pub(super) async fn unsent(&self, lane: &Lane) -> LdapError {
        let error = LdapError::Closed(lane.client.closed().await);
        self.give_up(lane, &error);
        error
    }

    /// How many connections have ended though they had worked.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    fn give_up(&self, lane: &Lane, error: &LdapError) {
        let first = !lane.silent.swap(true, Ordering::Relaxed);
        // The end of a connection that worked says nothing of the server: a request was too large for it, or it has
        // ended an idle connection, and the writes beside that one shall not wait for it. Whether it is still
        // there, the next connection tells.
        let ended =
            matches!(error, LdapError::Closed(reason) if !matches!(reason, CloseReason::Unresponsive(_)));
        if ended && lane.served.load(Ordering::Relaxed) {
            if first {
                self.ended.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let name = self.connections.server_name(lane.server);
        self.connections.failed(lane.server, &format!("{name}: {error}"));
    }

    pub(super) fn not_done(&self, why: &str) -> WriteError {
        not_done(self.connections.unavailable(why))
    }

    pub(super) fn referred(&self, referrals: &[String]) -> Option<Referred> {
        self.connections.referred(referrals)
    }

    /// Waits for the turn of one write, or of one transaction: what the server pays for is the commit.
    pub(super) async fn place(&self) -> Result<Place<'_>, WriteError> {
        match timeout(PATIENCE, self.turn()).await {
            Ok(place) => Ok(place),
            Err(_) => Err(self.not_done("too many writes are waiting")),
        }
    }

    async fn turn(&self) -> Place<'_> {
        loop {
            // Heard before the budget is asked, or a place that is freed in between is missed.
            let freed = self.freed.notified();
            let now = self.connections.clock().monotonic();
            let turn = self.budget.lock().take(now);
            match turn {
                Turn::Now => {
                    return Place {
                        lanes: self,
                        start: now,
                        answer: None,
                    };
                }
                Turn::After(wait) => tokio::time::sleep(wait).await,
                Turn::Full => freed.await,
            }
        }
    }
}

impl Place<'_> {
    /// The server answered.
    pub(super) fn answered(mut self, error: Option<&LdapError>) {
        let busy = match error.map(LdapError::code) {
            Some(None) => true,
            Some(Some(code)) => matches!(code, ResultCode::Busy | ResultCode::AdminLimitExceeded),
            None => false,
        };
        if !busy {
            let now = self.lanes.connections.clock().monotonic();
            self.answer = Some(Answer::After(now.saturating_sub(self.start)));
        }
    }

    /// The write was not sent.
    pub(super) fn unused(self) {
        self.untimed();
    }

    /// A transaction of many updates takes as long as it takes; only its commit was paid for.
    pub(super) fn untimed(mut self) {
        self.answer = Some(Answer::Untimed);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = self.lanes.connections.clock().monotonic();
        let answer = self.answer.unwrap_or(Answer::Overloaded);
        self.lanes.budget.lock().done(now, answer);
        self.lanes.freed.notify_one();
    }
}

/// The attributes that a write gives values.
fn brought(write: &Write) -> Vec<String> {
    let lower = |name: &str| name.to_ascii_lowercase();
    match write {
        Write::Add(new) => new.attributes.iter().map(|one| lower(&one.name)).collect(),
        Write::Modify { changes, .. } => {
            let gives = |change: &&AttributeChange| match &change.edit {
                Edit::Replace(values) => !values.is_empty(),
                Edit::Values { add, .. } => !add.is_empty(),
            };
            let changes = changes.iter().filter(gives);
            changes.map(|change| lower(&change.attribute)).collect()
        }
        Write::Rename { rdn, .. } => rdn.parts().iter().map(|part| lower(part.attribute())).collect(),
        Write::Delete { .. } => Vec::new(),
    }
}

fn not_done(why: Unavailable) -> WriteError {
    WriteError::Unavailable {
        why,
        fate: Fate::NotDone,
    }
}
