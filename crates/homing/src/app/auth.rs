//! Who is asked whether a login is right: chains built from the configuration, and the last word of the
//! store about the account's state.

use super::parts::Parts;
use crate::cli::Failure;
use crate::config::{AuthMethod, Config, DomainConfig};
use directory::{ChainAuthenticator, Connector, LdapAuthenticator, LdapMethod, Throttle};
use model::{
    AccountId, Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Domain, OnDemand,
    OnDemandOutcome, RejectReason, Unavailable,
};
use std::collections::HashMap;
use std::sync::Arc;
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
    Ok((!sources.is_empty()).then(|| Arc::new(ChainAuthenticator::new(sources)) as Arc<dyn Authenticator>))
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
        by_domain.insert(domain.name.clone(), chain(config, parts, &methods, Some(domain))?);
    }
    let others = chain(config, parts, &default_methods(config), None)?;
    let choice = ByDomain {
        by_domain,
        others,
        login_domain: config.login_domain(),
    };
    Ok(Some(Arc::new(AccountGate {
        inner: choice,
        store: store.clone(),
        on_demand: parts.on_demand.clone(),
    })))
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
    Ok(Arc::new(ChainAuthenticator::new(sources)))
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
        let client = request.peer.client.ip();
        let Some(attempt) = self.throttle.attempt(id, client) else {
            let why = format!("too many wrong passwords for {address} from {client}");
            return AuthOutcome::Unavailable(Unavailable(why));
        };
        let request = AuthRequest {
            login: address.as_str().to_owned(),
            ..request.clone()
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
}

/// The chain of the login's domain.
struct ByDomain {
    by_domain: HashMap<Domain, Arc<dyn Authenticator>>,
    others: Arc<dyn Authenticator>,
    login_domain: Option<Domain>,
}

impl ByDomain {
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

/// A right password is not enough: the account must be here and open. One that the directory knows and the
/// store does not is synced before anybody says no.
struct AccountGate {
    inner: ByDomain,
    store: Store,
    on_demand: Option<OnDemand>,
}

impl AccountGate {
    async fn decide(&self, request: &AuthRequest) -> AuthOutcome {
        let outcome = self.inner.of(&request.login).check(request).await;
        let AuthOutcome::Accepted(authenticated) = outcome else {
            return outcome;
        };
        match self.admit(&authenticated).await {
            Ok(outcome) => outcome.unwrap_or(AuthOutcome::Accepted(authenticated)),
            Err(error) => AuthOutcome::Unavailable(Unavailable(error.to_string())),
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

impl Authenticator for AccountGate {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(self.decide(request))
    }
}
