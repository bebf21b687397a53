//! A connector at work: lookups on the servers of one `[[connector]]`, with failover.
//!
//! Owns the pool of connections, the order of servers, and the answer of a lookup. Never chooses between two
//! entries and never says "not found" unless a server said so.
//!
//! Follows RFC 4511 section 4.5, RFC 4513 section 5.1.

mod behind;
mod explain;
mod health;
pub(crate) mod identity;
mod indirect;
mod listed;
mod members;
mod operator;
mod pool;
pub(crate) mod ranges;
mod search;
mod trace;
pub(crate) mod writing;

pub use members::ResolvedMembers;
pub use operator::{OpenError, Operator, Rights};
pub use trace::Attempt;
pub(crate) use trace::{Trace, elapsed};

use crate::account::{DirectoryAccount, Lookup, Untold, wanted};
use crate::auth::{AccountEventKind, AccountEvents, AuthShared};
use crate::config::{ConnectorConfig, ServerType};
use crate::patterns::{EntryKind, Patterns, equality};
use ldap::control::PasswordPolicy;
use ldap::{Client, Entry, Filter, LdapError, Outcome, ResultCode};
use model::{Address, Clock, ConfigProblem, EntryUuid, Secret, Unavailable};
use parking_lot::Mutex;
use pool::Pool;
pub(crate) use pool::jitter;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// One set of LDAP servers.
pub struct Connector {
    config: ConnectorConfig,
    patterns: Patterns,
    clock: Arc<dyn Clock>,
    pool: Arc<Pool>,
    /// What any of the servers has shown.
    newest: behind::Newest,
    /// Who remembers credentials; each is gone when it says so.
    rememberers: Mutex<Vec<Rememberer>>,
    auth: Arc<AuthShared>,
}

/// Forgets what it remembers of an entry; false when there is nobody any more who does.
type Rememberer = Box<dyn Fn(EntryUuid) -> bool + Send + Sync>;

/// The raw answer of a lookup: the entry as well as what was read from it.
pub(crate) enum Found {
    One(Box<(DirectoryAccount, Entry)>),
    None,
    Several(Vec<String>),
    Unavailable(Unavailable),
}

impl Found {
    fn into_lookup(self) -> Lookup {
        match self {
            Self::One(found) => Lookup::Found(Box::new(found.0)),
            Self::None => Lookup::NotFound,
            Self::Several(dns) => Lookup::Ambiguous(dns),
            Self::Unavailable(why) => Lookup::Unavailable(why),
        }
    }
}

/// Which of the connector's servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerIndex(usize);

/// Further attributes that a caller needs beside the usual ones.
pub(crate) type Extra<'a> = &'a [&'a str];

impl Connector {
    /// Checks the configuration and reads the files it names. Connects to nothing.
    pub fn new(config: ConnectorConfig, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Vec<ConfigProblem>> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(problems);
        }
        let patterns = Patterns::new(&config)?;
        let pool = Arc::new(Pool::new(&config, Arc::clone(&clock))?);
        Ok(Arc::new(Self {
            auth: Arc::new(AuthShared::new(&config, &clock)),
            config,
            patterns,
            clock,
            pool,
            newest: behind::Newest::default(),
            rememberers: Mutex::new(Vec::new()),
        }))
    }

    /// The connector's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The connector's configuration.
    #[must_use]
    pub fn config(&self) -> &ConnectorConfig {
        &self.config
    }

    /// A healthy shared connection with the service identity.
    pub async fn service(&self) -> Result<Client, Unavailable> {
        self.pool.service().await.map(|pooled| pooled.client)
    }

    /// Finds the account or group of an address: exact, then without `+detail`, then as a group, then the
    /// domain's catch-all.
    pub async fn lookup_address(&self, address: &Address) -> Lookup {
        self.find_address(address, &mut Trace::Off).await.into_lookup()
    }

    /// Finds the account or group that has exactly this address, itself or as an alias. Neither the name before
    /// `+detail` nor a catch-all counts: those get mail for addresses that are not theirs.
    pub async fn lookup_holder(&self, address: &Address) -> Result<Lookup, Untold> {
        let mut untold = None;
        let search = async {
            for kind in [EntryKind::Account, EntryKind::Group] {
                let Some(filter) = self.patterns.for_address(kind, address) else {
                    continue;
                };
                match self.try_find(kind, filter, &[], &mut Trace::Off).await {
                    Ok(Found::None) => {}
                    Ok(found) => return found,
                    Err(why) => {
                        untold = Some(why);
                        return Found::None;
                    }
                }
            }
            Found::None
        };
        let found = self.in_time(search).await;
        untold.map_or_else(|| Ok(found.into_lookup()), Err)
    }

    /// Finds the account of what a client typed as its login.
    pub async fn lookup_login(&self, login: &str) -> Lookup {
        self.find_login(login, &[], &mut Trace::Off).await.into_lookup()
    }

    /// Finds the account or group with this identity, inside of the connector's scope.
    pub async fn lookup_uuid(&self, uuid: EntryUuid) -> Lookup {
        self.find_uuid(uuid, &[]).await.into_lookup()
    }

    pub(crate) async fn find_uuid(&self, uuid: EntryUuid, extra: Extra<'_>) -> Found {
        self.in_time(self.search_uuid(uuid, extra)).await
    }

    async fn search_uuid(&self, uuid: EntryUuid, extra: Extra<'_>) -> Found {
        let filter = self.uuid_filter(uuid);
        for kind in [EntryKind::Account, EntryKind::Group] {
            let Some(half) = self.patterns.half(kind) else {
                continue;
            };
            let filter = Filter::And(vec![half.filter(), filter.clone()]);
            match self.find(kind, filter, extra, &mut Trace::Off).await {
                Found::None => {}
                found => return found,
            }
        }
        Found::None
    }

    pub(crate) async fn find_address(&self, address: &Address, trace: &mut Trace) -> Found {
        self.in_time(self.search_address(address, trace)).await
    }

    pub(crate) async fn find_login(&self, login: &str, extra: Extra<'_>, trace: &mut Trace) -> Found {
        self.in_time(self.search_login(login, extra, trace)).await
    }

    /// A lookup is several searches and perhaps a failover; somebody waits for all of it together.
    async fn in_time(&self, lookup: impl Future<Output = Found>) -> Found {
        let limit = Duration::from_secs(self.config.timeout).saturating_mul(3);
        // On the heap: the future of a whole lookup is large, and logins wait in great numbers.
        match timeout(limit, Box::pin(lookup)).await {
            Ok(found) => found,
            Err(_) => Found::Unavailable(self.pool.unavailable(&format!("no answer within {limit:?}"))),
        }
    }

    async fn search_address(&self, address: &Address, trace: &mut Trace) -> Found {
        let plain = address.without_detail();
        for kind in [EntryKind::Account, EntryKind::Group] {
            for candidate in std::iter::once(address).chain(plain.as_ref()) {
                match self.search_exactly(kind, candidate, trace).await {
                    Found::None => {}
                    found => return found,
                }
            }
        }
        match self.patterns.for_catch_all(address.domain_str()) {
            Some(filter) => self.find(EntryKind::Account, filter, &[], trace).await,
            None => Found::None,
        }
    }

    async fn search_exactly(&self, kind: EntryKind, address: &Address, trace: &mut Trace) -> Found {
        match self.patterns.for_address(kind, address) {
            Some(filter) => self.find(kind, filter, &[], trace).await,
            None => Found::None,
        }
    }

    async fn search_login(&self, login: &str, extra: Extra<'_>, trace: &mut Trace) -> Found {
        let login = self.patterns.login(login);
        match self.patterns.for_login(&login) {
            Some(filter) => self.find(EntryKind::Account, filter, extra, trace).await,
            // A bare login, no default domain and no branch for a bare name: nobody can be meant.
            None => Found::None,
        }
    }

    /// Binds as an entry to check its password.
    pub(crate) async fn check_bind(
        &self,
        dn: &str,
        password: &Secret,
    ) -> Result<Result<Outcome, LdapError>, Unavailable> {
        // Only OpenLDAP's overlay answers with this control; a server that does not know it passes it over.
        let result = self
            .pool
            .check_bind(dn, password, &[PasswordPolicy::request()])
            .await?;
        if let Err(error) = &result
            && error.code() == Some(ResultCode::InvalidCredentials)
        {
            // The new password may not have come to this server yet.
            let service = self.pool.service().await?;
            let may = self.may_say_no(&service).await;
            may.map_err(|why| self.pool.unavailable(&why))?;
        }
        Ok(result)
    }

    /// Whether any account matches the filter and shows the attribute to us.
    pub(crate) async fn sample(&self, filter: Filter, attribute: &str) -> Result<bool, Unavailable> {
        let half = &self.patterns.accounts;
        let filter = Filter::And(vec![half.filter(), filter]);
        let attributes = [attribute.to_owned()];
        for base in &half.bases {
            let query = search::Query {
                base,
                scope: half.scope,
                filter: &filter,
                attributes: &attributes,
            };
            let (found, _) = search::at_most_two(&self.pool, &*self.clock, &query, &mut Trace::Off).await?;
            if found.iter().any(|entry| entry.first(attribute).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `forget` is called for each entry whose credentials may have changed, until it answers false.
    pub(crate) fn on_credentials_changed(&self, forget: impl Fn(EntryUuid) -> bool + Send + Sync + 'static) {
        self.rememberers.lock().push(Box::new(forget));
    }

    /// The change feed says that the credentials or the state of an entry may have changed.
    pub fn credentials_changed(&self, uuid: EntryUuid) {
        self.rememberers.lock().retain(|forget| forget(uuid));
    }

    /// What happens to accounts that live sessions may not outlive. Whoever follows the directory's changes
    /// publishes here; whoever holds sessions listens.
    #[must_use]
    pub fn account_events(&self) -> &AccountEvents {
        &self.auth.events
    }

    /// What all authenticators of this connector have in common.
    pub(crate) fn auth_shared(&self) -> &Arc<AuthShared> {
        &self.auth
    }

    /// Tells everybody what a change feed saw of an entry, and forgets what was remembered of its credentials.
    pub fn publish_account_event(&self, uuid: EntryUuid, address: Option<Address>, kind: AccountEventKind) {
        match &kind {
            AccountEventKind::Moved { .. } | AccountEventKind::MovedAway { .. } => {}
            AccountEventKind::PasswordChanged | AccountEventKind::Disabled | AccountEventKind::Deleted => {
                self.credentials_changed(uuid)
            }
        }
        match kind {
            AccountEventKind::PasswordChanged => {
                self.auth.password_changed(uuid, address, self.clock.monotonic());
            }
            kind => self.auth.events.publish(uuid, address, kind),
        }
    }

    /// The attributes that change when the password does, as far as they can be read. A feed that sees other
    /// values than before, and not [`Connector::is_own_rewrite`], sees another password.
    #[must_use]
    pub fn password_stamps(&self) -> Vec<String> {
        match self.patterns.server {
            ServerType::Openldap => vec![self.patterns.map.password.clone(), "pwdChangedTime".to_owned()],
            ServerType::ActiveDirectory => vec!["pwdLastSet".to_owned()],
        }
    }

    /// Whether the entry holds the hash that this process wrote for the password of before
    /// (`password_upgrade`): then nothing has ended.
    #[must_use]
    pub fn is_own_rewrite(&self, uuid: EntryUuid, entry: &Entry) -> bool {
        self.auth.is_own_rewrite(uuid, entry, &self.patterns.map.password)
    }

    pub(crate) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A connection of its own, for a change feed, and the server it leads to; its consumer may be slow.
    pub(crate) async fn dedicated(&self) -> Result<(Client, ServerIndex), Unavailable> {
        let pooled = self.pool.dedicated().await?;
        Ok((pooled.client, ServerIndex(pooled.server)))
    }

    /// A connection to this server for one search that stays open.
    pub(crate) async fn persistent(&self, server: ServerIndex) -> Result<Client, Unavailable> {
        self.pool.persistent(server.0).await
    }

    pub(crate) fn uuid_filter(&self, uuid: EntryUuid) -> Filter {
        match self.patterns.server {
            ServerType::Openldap => equality("entryUUID", &uuid.to_string()),
            ServerType::ActiveDirectory => Filter::Equality {
                attribute: "objectGUID".to_owned(),
                value: crate::account::guid_order(*uuid.as_bytes()).to_vec().into(),
            },
        }
    }

    /// Searches all bases of one kind for exactly one entry.
    async fn find(&self, kind: EntryKind, filter: Filter, extra: Extra<'_>, trace: &mut Trace) -> Found {
        let found = self.try_find(kind, filter, extra, trace).await;
        found.unwrap_or_else(|Untold(why)| Found::Unavailable(why))
    }

    /// The same, for whom a refusal is another answer than none.
    async fn try_find(
        &self,
        kind: EntryKind,
        filter: Filter,
        extra: Extra<'_>,
        trace: &mut Trace,
    ) -> Result<Found, Untold> {
        let Some(half) = self.patterns.half(kind) else {
            return Ok(Found::None);
        };
        let mut attributes = wanted(&self.patterns, kind);
        attributes.extend(extra.iter().map(|name| (*name).to_owned()));
        let mut entries: Vec<Entry> = Vec::new();
        for base in &half.bases {
            let query = search::Query {
                base,
                scope: half.scope,
                filter: &filter,
                attributes: &attributes,
            };
            match search::at_most_two(&self.pool, &*self.clock, &query, trace).await {
                Ok((found, pooled)) => {
                    if found.is_empty()
                        && let Err(why) = self.may_say_no(&pooled).await
                    {
                        return Ok(Found::Unavailable(self.pool.unavailable(&why)));
                    }
                    for entry in found {
                        self.saw(pooled.server, &entry);
                        // Bases may lie one in the other.
                        if !entries.iter().any(|other| other.dn == entry.dn) {
                            entries.push(entry);
                        }
                    }
                }
                Err(search::Failed::Away(why)) => return Ok(Found::Unavailable(why)),
                Err(search::Failed::Refused(why)) => return Err(Untold(why)),
            }
        }
        if let (EntryKind::Group, [group]) = (kind, entries.as_mut_slice())
            && let Err(why) = self.whole(group).await
        {
            return Ok(Found::Unavailable(why));
        }
        self.exactly_one(kind, entries)
    }

    /// Fetches the members that the server did not hand out at once.
    async fn whole(&self, group: &mut Entry) -> Result<(), Unavailable> {
        let members = &self.patterns.map.members;
        if group
            .attributes
            .iter()
            .all(|attribute| !attribute.name.as_str().contains(';'))
        {
            return Ok(());
        }
        let client = self.service().await?;
        let result = ranges::complete(&client, group, members).await;
        result.map_err(|error| self.pool.unavailable(&format!("{}: {error}", group.dn)))
    }

    fn exactly_one(&self, kind: EntryKind, mut entries: Vec<Entry>) -> Result<Found, Untold> {
        if entries.len() > 1 {
            let dns: Vec<String> = entries.into_iter().map(|entry| entry.dn).collect();
            tracing::error!(connector = %self.name(), entries = ?dns, "two entries match one lookup");
            return Ok(Found::Several(dns));
        }
        let Some(entry) = entries.pop() else {
            return Ok(Found::None);
        };
        match DirectoryAccount::read(&entry, kind, &self.patterns, self.clock.now()) {
            Ok(account) => Ok(Found::One(Box::new((account, entry)))),
            Err(problem @ crate::EntryProblem::NoUuid { .. }) => {
                tracing::error!(connector = %self.name(), %problem, "the service identity must be able to read it");
                Err(Untold(self.pool.unavailable(&problem.to_string())))
            }
            Err(problem) => {
                tracing::warn!(connector = %self.name(), %problem, "an entry without an address is no mail account");
                Ok(Found::None)
            }
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.config.name)
    }
}
