//! The driver: does what the engine asks, and nothing on its own account.
//!
//! Owns the timer, the feed (one search that stays open, or polling), and the order of I/O: changes are applied side
//! by side, and the engine hears of them before anything that depends on them. Dropping it at any point is safe,
//! because the cookie is committed last.

mod ahead;
mod apply;
mod arrivals;
mod beside;
mod decided;
mod equal;
mod examine;
mod explain;
mod fetch;
mod gone;
mod journal;
mod mapped;
mod names;
mod opened;
mod operate;
mod order;
mod outlet;
mod parents;
mod proof;
mod push;
mod quarantine;
mod rates;
mod rename;
mod renames;
mod report;
mod request;
mod rest;
mod restore;
mod rivals;
mod sessions;
mod stream;
mod sums;
mod turns;
mod waiting;
mod worker;
mod writes;

#[cfg(test)]
mod simulation;

pub use beside::Beside;
pub use explain::Named;
pub use opened::opened_rows;
pub use operate::{LinkOrder, Pairing, unlink_rows};
pub use rates::Rates;
pub use report::{PlanItem, PlanReport, PlannedEntry, PlannedObject, SetAsideObject};
pub use request::SyncError;
pub use rest::Consent;
pub use waiting::{OutboxStatus, WaitingEdit, WaitingEdits};

use crate::engine::SyncStatus;
use crate::local::{Copies, Local};
use crate::mapping::{Members, Scope};
use crate::plan::{Arrivals, Deletions, Policy};
use directory::config::{Direction, OnDelete, OnHostChange};
use directory::feed::ChangeSource;
use directory::write::Writer;
use directory::{Connector, ConnectorConfig, Lookup, PasswordSeen, Untold};
use model::{Address, BoxFuture, Clock, Domain, EntryUuid, Timestamp, Unavailable};
use outlet::Outlet;
use parking_lot::Mutex;
use request::Request;
use sessions::Sessions;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::{Origin, Store, StoreError};
use tokio::sync::{Semaphore, mpsc, watch};

/// Look-ups on demand at once; more than that is somebody who guesses names.
const ON_DEMAND_AT_ONCE: usize = 16;
/// Plans of a connector that are told at once.
const PLANS_AT_ONCE: usize = 2;
/// Entries brought here on demand that the feed may still owe a word on; past that, on demand is "try later".
const FETCHED: usize = 4096;
/// Requests of administrators that may wait.
const REQUESTS: usize = 16;

/// Opens a feed of its own.
pub(crate) type Source = Arc<dyn Fn() -> Box<dyn ChangeSource> + Send + Sync>;
/// Resolves the members of a group.
pub(crate) type MemberLookup =
    Arc<dyn Fn(Vec<String>) -> BoxFuture<'static, Result<Members, Unavailable>> + Send + Sync>;
/// Looks one address up.
pub(crate) type AddressLookup = Arc<dyn Fn(Address) -> BoxFuture<'static, Lookup> + Send + Sync>;
/// Looks up who has an address.
pub(crate) type HolderLookup =
    Arc<dyn Fn(Address) -> BoxFuture<'static, Result<Lookup, Untold>> + Send + Sync>;

/// What an entry tells of its password.
pub(crate) type PasswordReader = Arc<dyn Fn(EntryUuid, &ldap::Entry) -> PasswordSeen + Send + Sync>;

/// The directory's side, as functions: the real connector, or a simulated one.
#[derive(Clone)]
pub(crate) struct Remotes {
    pub(crate) source: Source,
    pub(crate) members: MemberLookup,
    /// Whom mail to an address is for, a catch-all too.
    pub(crate) address: AddressLookup,
    /// Who has an address.
    pub(crate) holder: HolderLookup,
    pub(crate) sessions: Sessions,
    pub(crate) passwords: PasswordReader,
    /// None where the direction writes nothing there.
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
}

/// Synchronisation with one connector.
pub struct SyncEngine {
    config: ConnectorConfig,
    server_name: String,
    scope: Scope,
    policy: Policy,
    local: Local,
    remotes: Remotes,
    /// What the scope and the mapping were built from; another one means that everything is compared again.
    fingerprint: blake3::Hash,
    seed: u64,
    status: Arc<Mutex<SyncStatus>>,
    requests: mpsc::Sender<Request>,
    inbox: Mutex<Option<mpsc::Receiver<Request>>>,
    on_demand: Semaphore,
    plans: Arc<Semaphore>,
    /// Entries that were brought here on demand and not named by the feed since: groups that have them are still to
    /// hear of it.
    fetched: Mutex<BTreeSet<EntryUuid>>,
    /// Whether it is to rest, as an administrator says.
    halt: watch::Sender<bool>,
    /// Why it rests, if it does.
    rest: watch::Sender<Option<rest::Rest>>,
    /// Destructive changes of an approved plan, for the round that follows a rest.
    allowed: Mutex<BTreeMap<EntryUuid, Vec<String>>>,
    rates: Mutex<rates::Sampled>,
    /// How far the journal was read in this process.
    heard: Mutex<u64>,
    /// What the status counted of it last.
    counted: Mutex<Option<waiting::Counted>>,
}

impl SyncEngine {
    /// An engine for `connector` on this server. Does no I/O; [`SyncEngine::run`] starts it. `host_aliases`
    /// are further spellings of `server_name` beside those in the connector's configuration; `beside` is what else there is.
    #[must_use]
    pub fn new(
        connector: Arc<Connector>,
        store: Store,
        clock: Arc<dyn Clock>,
        server_name: &str,
        host_aliases: &[String],
        beside: &Beside,
    ) -> Arc<Self> {
        let (feed, members, address, holder) = (
            Arc::clone(&connector),
            Arc::clone(&connector),
            Arc::clone(&connector),
            Arc::clone(&connector),
        );
        let replica = replica_id(connector.config(), &store);
        let remotes = Remotes {
            source: Arc::new(move || directory::feed::open_as(&feed, replica)),
            members: Arc::new(move |dns| {
                let connector = Arc::clone(&members);
                Box::pin(async move { connector.resolve_members(&dns).await })
            }),
            address: Arc::new(move |wanted| {
                let connector = Arc::clone(&address);
                Box::pin(async move { connector.lookup_address(&wanted).await })
            }),
            holder: Arc::new(move |wanted| {
                let connector = Arc::clone(&holder);
                Box::pin(async move { connector.lookup_holder(&wanted).await })
            }),
            sessions: Sessions::of(&connector),
            passwords: {
                let connector = Arc::clone(&connector);
                Arc::new(move |uuid, entry| connector.password_seen(uuid, entry))
            },
            outlet: outlet(&connector),
        };
        Self::with_remotes(
            connector.config().clone(),
            remotes,
            store,
            clock,
            (server_name, host_aliases),
            beside,
        )
    }

    pub(crate) fn with_remotes(
        config: ConnectorConfig,
        remotes: Remotes,
        store: Store,
        clock: Arc<dyn Clock>,
        (server_name, host_aliases): (&str, &[String]),
        beside: &Beside,
    ) -> Arc<Self> {
        let fingerprint = fingerprint(&config, server_name, host_aliases);
        let seed = fingerprint
            .as_bytes()
            .iter()
            .fold(0u64, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let policy = Policy {
            direction: config.direction,
            resolution: config.conflict_resolution,
            scope: config.conflict_scope,
            absent: config.absent,
            deletions: match config.on_delete {
                OnDelete::Ignore => Deletions::Ignore,
                OnDelete::Disable | OnDelete::Delete => Deletions::Follow,
            },
            arrivals: match config.on_host_change {
                OnHostChange::Hold => Arrivals::Hold,
                OnHostChange::StartEmpty => Arrivals::StartEmpty,
            },
        };
        let node = store.node();
        let scope = Scope::new(&config, server_name, host_aliases, node.as_deref());
        let local = Local {
            former: scope.former_beside(&beside.homes),
            store,
            connector: config.name.clone(),
            clock,
            retention: Duration::from_secs(config.retention.saturating_mul(86_400)),
            on_delete: config.on_delete,
            direction: config.direction,
            home: config
                .clustered
                .then(|| crate::mapping::canonical_host(server_name)),
            copies: match config.copy_passwords {
                true => Copies::Yes,
                false => Copies::No,
            },
            others: {
                let others = beside.connectors.iter().filter(|other| **other != config.name);
                others.cloned().collect()
            },
        };
        Arc::new(Self {
            server_name: server_name.to_owned(),
            scope,
            policy,
            status: Arc::new(Mutex::new(SyncStatus::starting(&config.name))),
            config,
            local,
            remotes,
            fingerprint,
            seed,
            requests,
            inbox: Mutex::new(Some(inbox)),
            on_demand: Semaphore::new(ON_DEMAND_AT_ONCE),
            plans: Arc::new(Semaphore::new(PLANS_AT_ONCE)),
            fetched: Mutex::default(),
            halt: watch::Sender::new(false),
            rest: watch::Sender::new(None),
            allowed: Mutex::default(),
            rates: Mutex::default(),
            heard: Mutex::default(),
            counted: Mutex::default(),
        })
    }

    /// The connector's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        let mut status = self.status.lock().clone();
        let now = self.now();
        status.refresh(now);
        status.direction = match self.config.direction {
            Direction::LdapToLocal => "ldap-to-local",
            Direction::LocalToLdap => "local-to-ldap",
            Direction::BothWays => "both-ways",
        };
        status.replica_id = replica_id(&self.config, &self.local.store);
        status.domains = self.config.domains.iter().map(ToString::to_string).collect();
        status.rates = self.rates.lock().rates(&status.counts, now);
        match waiting::outbox(self) {
            Ok(outbox) => status.outbox = outbox,
            Err(error) => status.error = status.error.or(Some(error.to_string())),
        }
        status
    }

    /// Whether names of this domain may be found in this directory and belong on this server.
    fn is_connected(&self, domain: &Domain) -> bool {
        let listed = self.config.domains.is_empty() || self.config.domains.contains(domain);
        listed && self.is_local(domain)
    }

    /// Whether the domain is this server's: one that the store has, or one that the connector claims and that
    /// is created with its first account.
    fn is_local(&self, domain: &Domain) -> bool {
        self.config.domains.contains(domain) || self.local.store.is_local_domain(domain).unwrap_or(false)
    }

    /// Creates the connector's own domains where they are missing.
    async fn claim_domains(&self) -> Result<(), StoreError> {
        let origin = Origin::Connector(self.config.name.clone());
        for domain in &self.config.domains {
            if !self.local.store.is_local_domain(domain)? {
                match self.local.store.create_domain(domain, &origin).await {
                    Ok(()) | Err(StoreError::AlreadyExists(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    async fn resolve(&self, dns: &[String]) -> Result<Members, Unavailable> {
        if dns.is_empty() {
            return Ok(Members::default());
        }
        (self.remotes.members)(dns.to_vec()).await
    }

    fn now(&self) -> Timestamp {
        self.local.clock.now()
    }
}

/// The number of this server's feed: what the configuration says, or what its lasting identity gives.
fn replica_id(config: &ConnectorConfig, store: &Store) -> Option<u16> {
    let own = || store.node().map(|node| node.replica_id(&config.name));
    config.replica_id.or_else(own)
}

/// The writer of a connector whose direction writes.
fn outlet(connector: &Arc<Connector>) -> Option<Arc<dyn Outlet>> {
    if connector.config().direction == Direction::LdapToLocal {
        return None;
    }
    match Writer::new(Arc::clone(connector)) {
        Ok(writer) => Some(Arc::new(outlet::Real(writer))),
        Err(problems) => {
            for problem in problems {
                tracing::error!(connector = %connector.name(), ?problem, "the directory cannot be written");
            }
            None
        }
    }
}

/// Everything that decides which entries are seen and how they are read.
fn fingerprint(config: &ConnectorConfig, server_name: &str, host_aliases: &[String]) -> blake3::Hash {
    let text = format!(
        "{:?} {:?} {:?} {:?} {:?} {} {server_name} {:?} {host_aliases:?} {:?}",
        config.direction,
        config.accounts,
        config.groups,
        config.attributes,
        config.domains,
        config.clustered,
        config.host_aliases,
        config.search_domain_aliases.then_some(&config.domain_aliases),
    );
    blake3::hash(text.as_bytes())
}
