//! Who is asked whether a login is right: chains built from the configuration, and the last word of the
//! store about the account's state.

use super::parts::Parts;
use crate::cli::Failure;
use crate::config::{AuthMethod, Config, DomainConfig};
use directory::{
    CertificateAuthenticator, ChainAuthenticator, Connector, LdapAuthenticator, LdapMethod, ScramSalts,
    Throttle, TokenAuthenticator,
};
use frontend::assertion::{Verdict, Verifier};
use model::{
    AccountId, Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Credential,
    Domain, EndReason, MechanismSet, OnDemand, OnDemandOutcome, Recheck, RejectReason, ScramOutcome,
    ScramRequest, Secret, Unavailable,
};
use net::Resolver;
use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::Duration;
use store::{AccountState, LocalAuthenticator, LocalId, Store};

/// The authenticator of a proxy: the named user maps of an LDAP kind, in order, and `local`.
pub(super) fn for_proxy(
    config: &Config,
    parts: &Parts,
    auth: &[String],
    user_maps: &[String],
) -> Result<Option<Arc<dyn Authenticator>>, Failure> {
    let names = if auth.is_empty() { user_maps } else { auth };
    let mut sources: Vec<Arc<dyn Authenticator>> = Vec::new();
    for name in names {
        if name == "local" {
            sources.extend(local(config, parts));
            continue;
        }
        let Some(map) = config.user_map.iter().find(|map| map.name == *name) else {
            continue;
        };
        let method = match map.kind {
            directory::config::MapKind::LocalFile => continue,
            directory::config::MapKind::LdapPassword => LdapMethod::Password,
            directory::config::MapKind::LdapBind => LdapMethod::Bind,
        };
        let connector = map.connector.as_deref().and_then(|name| parts.connector(name));
        if let Some(connector) = connector {
            sources.push(ldap(config, parts, connector, method)?);
        }
    }
    if sources.is_empty() {
        return Ok(None);
    }
    let chain = ChainAuthenticator::new(sources).with_salts(salts(config, parts)?);
    with_proofs(config, parts, Arc::new(chain)).map(Some)
}

/// Tokens and client certificates, where the configuration says whose are good.
fn with_proofs(
    config: &Config,
    parts: &Parts,
    inner: Arc<dyn Authenticator>,
) -> Result<Arc<dyn Authenticator>, Failure> {
    let mut outer = inner;
    if let Some(tls) = config.tls.as_ref().filter(|tls| tls.client_ca.is_some()) {
        outer = Arc::new(CertificateAuthenticator::new(outer, tls.client_name));
    }
    if let Some(oauth) = &config.oauth {
        let (resolver, clock) = (Resolver::system(), Arc::clone(&parts.clock));
        let tokens = TokenAuthenticator::new(oauth.clone(), outer, resolver, clock)
            .map_err(|problem| config.faults("oauth", vec![problem]))?;
        outer = Arc::new(tokens);
    }
    Ok(outer)
}

/// The key behind the salts that SCRAM shows: it outlives restarts, or the salts would tell who has an account.
fn salts(config: &Config, parts: &Parts) -> Result<ScramSalts, Failure> {
    let path = config.data_dir.join("scram.key");
    let failed = |error: std::io::Error| Failure::Refused(format!("{}: {error}", path.display()));
    let key = match std::fs::read(&path) {
        Ok(bytes) => <[u8; 32]>::try_from(bytes)
            .map_err(|_| Failure::Refused(format!("{}: 32 octets are expected", path.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = net::fresh_random::<32>().map_err(failed)?;
            // Whole or not at all: half a key would keep the server from starting ever again.
            let draft = path.with_extension("new");
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)
                .map_err(failed)?;
            file.write_all(&key).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            std::fs::rename(&draft, &path).map_err(failed)?;
            key
        }
        Err(error) => return Err(failed(error)),
    };
    Ok(ScramSalts::new(key, parts.passwords.clone()))
}

/// The authenticator of the servers that hold the accounts.
pub(super) fn for_accounts(
    config: &Config,
    parts: &Parts,
) -> Result<Option<Arc<dyn Authenticator>>, Failure> {
    let Some(store) = &parts.store else {
        return Ok(None);
    };
    let mut by_domain = HashMap::new();
    for domain in &config.domain {
        let methods = if domain.auth.is_empty() {
            default_methods(config)
        } else {
            domain.auth.clone()
        };
        let chain = chain(config, parts, &methods, Some(domain))?;
        for name in domain.aliases.iter().chain([&domain.name]) {
            by_domain.insert(name.clone(), Arc::clone(&chain));
        }
    }
    let others = chain(config, parts, &default_methods(config), None)?;
    let choice = ByDomain {
        by_domain,
        others,
        login_domain: config.login_domain(),
        store: store.clone(),
    };
    Ok(Some(Arc::new(AccountGate {
        inner: with_proofs(config, parts, Arc::new(choice))?,
        store: store.clone(),
        on_demand: parts.on_demand.clone(),
        verifier: parts.front.verifier.clone(),
    })))
}

/// What the admin API needs to know to put a new password where it is read.
pub(super) fn logins(config: &Config, parts: &Parts) -> Option<admin::Logins> {
    let has_local = |methods: &[AuthMethod]| methods.contains(&AuthMethod::Local);
    let of_domain = |domain: &DomainConfig| match domain.auth.as_slice() {
        [] => has_local(&default_methods(config)),
        methods => has_local(methods),
    };
    let domains = config.domain.iter();
    Some(admin::Logins {
        authenticator: Arc::clone(parts.accounts.as_ref()?),
        domains: domains
            .map(|domain| (domain.name.clone(), of_domain(domain)))
            .collect(),
        others: has_local(&default_methods(config)),
    })
}

fn default_methods(config: &Config) -> Vec<AuthMethod> {
    if config.connector.is_empty() {
        vec![AuthMethod::Local]
    } else {
        vec![AuthMethod::LdapBind, AuthMethod::Local]
    }
}

fn chain(
    config: &Config,
    parts: &Parts,
    methods: &[AuthMethod],
    domain: Option<&DomainConfig>,
) -> Result<Arc<dyn Authenticator>, Failure> {
    let named = domain.and_then(|domain| domain.connector.as_deref());
    let connectors: Vec<&Arc<Connector>> = parts
        .connectors
        .iter()
        .filter(|connector| named.is_none_or(|name| connector.name() == name))
        .collect();
    let mut sources: Vec<Arc<dyn Authenticator>> = Vec::new();
    for method in methods {
        let method = match method {
            AuthMethod::Local => {
                sources.extend(local(config, parts));
                continue;
            }
            AuthMethod::LdapPassword => LdapMethod::Password,
            AuthMethod::LdapBind => LdapMethod::Bind,
        };
        for connector in &connectors {
            sources.push(ldap(config, parts, connector, method)?);
        }
    }
    Ok(Arc::new(
        ChainAuthenticator::new(sources).with_salts(salts(config, parts)?),
    ))
}

fn ldap(
    config: &Config,
    parts: &Parts,
    connector: &Arc<Connector>,
    method: LdapMethod,
) -> Result<Arc<dyn Authenticator>, Failure> {
    let made = LdapAuthenticator::new(
        Arc::clone(connector),
        method,
        parts.passwords.clone(),
        Arc::clone(&parts.clock),
    );
    made.map(|made| made as Arc<dyn Authenticator>)
        .map_err(|problem| config.faults("", vec![problem]))
}

fn local(config: &Config, parts: &Parts) -> Option<Arc<dyn Authenticator>> {
    let store = parts.store.clone()?;
    let inner = LocalAuthenticator::new(store.clone(), parts.passwords.clone());
    Some(Arc::new(Unassociated {
        inner,
        store,
        login_domain: config.login_domain(),
        throttle: Throttle::new(Arc::clone(&parts.clock)),
    }))
}

/// The address that a login stands for.
fn address_of(login: &str, login_domain: Option<&Domain>) -> Option<Address> {
    match (login.contains('@'), login_domain) {
        (true, _) | (false, None) => Address::parse(login).ok(),
        (false, Some(domain)) => Address::parse(&format!("{login}@{domain}")).ok(),
    }
}

/// Accounts of this server's own. One that belongs to a directory entry never logs in by an old local
/// password, or whoever was removed from the directory would still get in.
struct Unassociated {
    inner: LocalAuthenticator,
    store: Store,
    login_domain: Option<Domain>,
    throttle: Throttle<AccountId>,
}

impl Unassociated {
    async fn decide(&self, request: &AuthRequest) -> AuthOutcome {
        let Some(address) = address_of(&request.login, self.login_domain.as_ref()) else {
            return AuthOutcome::NoEntry;
        };
        let own = |account: Option<Arc<store::Account>>| {
            let Some(account) = account else { return Ok(None) };
            let links = self.store.associations_of(LocalId::Account(account.id))?;
            Ok(links.is_empty().then_some(account.id))
        };
        let id = match self.store.account_by_address(&address).and_then(own) {
            Ok(Some(id)) => id,
            Ok(None) => return AuthOutcome::NoEntry,
            Err(error) => return AuthOutcome::Unavailable(Unavailable(error.to_string())),
        };
        let request = AuthRequest {
            login: address.as_str().to_owned(),
            ..request.clone()
        };
        // There is nothing to guess, and whoever proved another account must not wipe out the guesses at this one.
        if matches!(request.credential, Credential::Vouched) {
            return self.inner.check(&request).await;
        }
        let client = request.peer.client.ip();
        let Some(attempt) = self.throttle.attempt(id, client) else {
            let why = format!("too many wrong passwords for {address} from {client}");
            return AuthOutcome::Throttled(Unavailable(why));
        };
        let outcome = self.inner.check(&request).await;
        match &outcome {
            AuthOutcome::Accepted(_) => attempt.succeeded(),
            AuthOutcome::Rejected(RejectReason::WrongCredential) => attempt.failed(),
            _ => {}
        }
        outcome
    }
}

impl Authenticator for Unassociated {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(self.decide(request))
    }

    fn mechanisms(&self) -> MechanismSet {
        self.inner.mechanisms()
    }
}

/// The chain of the login's domain.
struct ByDomain {
    by_domain: HashMap<Domain, Arc<dyn Authenticator>>,
    others: Arc<dyn Authenticator>,
    login_domain: Option<Domain>,
    store: Store,
}

impl ByDomain {
    /// Whether a domain is hosted here that no section names. What cannot be read may be one.
    fn hosts_others(&self) -> bool {
        let hosted = self.store.list_domains();
        hosted.map_or(true, |hosted| {
            hosted
                .iter()
                .any(|info| !self.by_domain.contains_key(&info.domain))
        })
    }

    fn of(&self, login: &str) -> &Arc<dyn Authenticator> {
        let domain = match login.rsplit_once('@') {
            Some((_, domain)) => Domain::parse(domain).ok(),
            None => self.login_domain.clone(),
        };
        domain
            .and_then(|domain| self.by_domain.get(&domain))
            .unwrap_or(&self.others)
    }
}

impl Authenticator for ByDomain {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        self.of(&request.login).check(request)
    }

    fn recheck<'a>(&'a self, who: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
        self.of(who.address.as_str()).recheck(who, since)
    }

    fn scram_keys<'a>(&'a self, request: &'a ScramRequest) -> BoxFuture<'a, ScramOutcome> {
        self.of(&request.login).scram_keys(request)
    }

    /// What each of the chains can check: it is announced before it is known whose login it will be. The chain of
    /// the domains that no section names counts only where there is such a domain.
    fn mechanisms(&self) -> MechanismSet {
        let others = self.others.mechanisms();
        let named = self.by_domain.values().map(|chain| chain.mechanisms());
        let Some(named) = named.reduce(MechanismSet::intersection) else {
            return others;
        };
        let all = named.intersection(others);
        match all == named || !self.hosts_others() {
            true => named,
            false => all,
        }
    }
}

/// A right password is not enough: the account must be here and open. One that the directory knows and the
/// store does not is synced before anybody says no.
struct AccountGate {
    inner: Arc<dyn Authenticator>,
    store: Store,
    on_demand: Option<OnDemand>,
    /// Believes the front ends that may vouch for logins.
    verifier: Option<Arc<Verifier>>,
}

impl AccountGate {
    async fn decide(&self, request: &AuthRequest) -> AuthOutcome {
        let outcome = match &request.credential {
            Credential::Assertion(token) => self.believe(request, token).await,
            _ => self.inner.check(request).await,
        };
        let AuthOutcome::Accepted(authenticated) = outcome else {
            return outcome;
        };
        match self.admit(&authenticated).await {
            Ok(outcome) => outcome.unwrap_or(AuthOutcome::Accepted(authenticated)),
            Err(error) => AuthOutcome::Unavailable(Unavailable(error.to_string())),
        }
    }

    /// What a trusted front end says, or a token that it passes on.
    async fn believe(&self, request: &AuthRequest, token: &Secret) -> AuthOutcome {
        let verifier = self
            .verifier
            .as_ref()
            .filter(|verifier| verifier.trusts_anybody());
        let verdict = verifier.map(|verifier| verifier.verify(token.expose(), request.protocol));
        match verdict {
            None | Some(Ok(Verdict::NotOurs)) => {
                let request = AuthRequest {
                    credential: Credential::Bearer(token.clone()),
                    ..request.clone()
                };
                self.inner.check(&request).await
            }
            Some(Ok(Verdict::Vouched(address))) => {
                let named =
                    request.login.is_empty() || Address::parse(&request.login).as_ref() == Ok(&address);
                match named && request.authzid.is_none() {
                    true => AuthOutcome::Accepted(Authenticated { address, entry: None }),
                    false => AuthOutcome::Rejected(RejectReason::NotAllowed),
                }
            }
            Some(Err(error)) if error.is_temporary() => {
                AuthOutcome::Unavailable(Unavailable(format!("the assertion: {error}")))
            }
            Some(Err(error)) => {
                tracing::error!(trace = %request.peer.trace, login = request.login, %error, "an assertion is refused");
                AuthOutcome::Rejected(RejectReason::NotAllowed)
            }
        }
    }

    /// None when the account is open.
    async fn admit(&self, who: &Authenticated) -> Result<Option<AuthOutcome>, store::StoreError> {
        let mut account = self.store.account_by_address(&who.address)?;
        if account.is_none()
            && let Some(on_demand) = &self.on_demand
            && on_demand(who.address.clone()).await == OnDemandOutcome::Synced
        {
            account = self.store.account_by_address(&who.address)?;
        }
        let later = |text: String| Some(AuthOutcome::Unavailable(Unavailable(text)));
        let Some(account) = account else {
            // The directory has just said that the password is right, so this is not a "no".
            return Ok(later(format!("{} has no account on this server", who.address)));
        };
        Ok(match &account.state {
            AccountState::Active if account.enabled => None,
            AccountState::Active => Some(AuthOutcome::Rejected(RejectReason::Disabled)),
            AccountState::SoftDeleted { .. } => later(format!("{} is deleted here", who.address)),
            AccountState::MovedAway { to } => later(format!("{} has moved to {to}", who.address)),
            AccountState::AwaitingMail { from } => {
                later(format!("the mail of {} is still on {from}", who.address))
            }
        })
    }
}

impl AccountGate {
    /// The store has the first word: what an administrator has closed here ends at once.
    async fn look_again(&self, who: &Authenticated, since: Duration) -> Recheck {
        let account = match self.store.account_by_address(&who.address) {
            Ok(account) => account,
            Err(error) => return Recheck::Unavailable(Unavailable(error.to_string())),
        };
        match account.as_deref() {
            None => Recheck::Ended(EndReason::Deleted),
            Some(account) if matches!(account.state, AccountState::SoftDeleted { .. }) => {
                Recheck::Ended(EndReason::Deleted)
            }
            Some(account) if !account.enabled => Recheck::Ended(EndReason::Disabled),
            Some(_) => self.inner.recheck(who, since).await,
        }
    }
}

impl Authenticator for AccountGate {
    fn mechanisms(&self) -> MechanismSet {
        let inner = self.inner.mechanisms();
        match &self.verifier {
            Some(verifier) if verifier.trusts_anybody() => inner.union(MechanismSet::ASSERTION),
            _ => inner,
        }
    }

    fn scram_keys<'a>(&'a self, request: &'a ScramRequest) -> BoxFuture<'a, ScramOutcome> {
        self.inner.scram_keys(request)
    }

    fn openid_configuration(&self) -> Option<String> {
        self.inner.openid_configuration()
    }

    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(self.decide(request))
    }

    fn recheck<'a>(&'a self, who: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
        Box::pin(self.look_again(who, since))
    }
}
