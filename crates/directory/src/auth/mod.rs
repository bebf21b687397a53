//! Authentication against a directory.
//!
//! Owns [`LdapAuthenticator`] (search and compare, or search and bind), its caches, the [`Throttle`] of guesses
//! that local accounts use too, and [`ChainAuthenticator`]. Never takes a directory that does not answer for a
//! wrong password, and never lets an empty password reach a bind.
//!
//! Follows RFC 4513 section 5.1, draft-behera-ldap-password-policy-10.

mod bind_result;
mod cache;
mod chain;
mod events;
mod throttle;

pub use chain::ChainAuthenticator;
pub use events::{AccountEvent, AccountEventKind, AccountEventStream, AccountEvents, Heard};
pub use throttle::{Throttle, Trial};

use crate::account::{AccountState, DirectoryAccount};
use crate::config::ServerType;
use crate::connector::{Connector, Found, Trace};
use cache::{CredentialCache, Moment, Remembered, Verdict as CacheVerdict};
use ldap::{Entry, Filter};
use model::{
    AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock, ConfigProblem, Credential,
    EntryUuid, RejectReason, Secret, Unavailable,
};
use password::{SchemeError, Verdict, VerifyPool};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a password is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LdapMethod {
    /// The password attribute is read and compared here (`ldap-password`).
    Password,
    /// The directory compares, when we bind as the entry (`ldap-bind`).
    Bind,
}

/// Checks logins against one connector.
pub struct LdapAuthenticator {
    connector: Arc<Connector>,
    method: LdapMethod,
    pool: VerifyPool,
    cache: Arc<CredentialCache>,
    throttle: Throttle<EntryUuid>,
    /// Some entry has shown its password attribute, so the service identity may read it.
    password_seen: AtomicBool,
}

impl LdapAuthenticator {
    /// An authenticator. The pool is shared by everything that checks costly hashes.
    pub fn new(
        connector: Arc<Connector>,
        method: LdapMethod,
        pool: VerifyPool,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, ConfigProblem> {
        if method == LdapMethod::Password && connector.config().server_type == ServerType::ActiveDirectory {
            let message = "Active Directory never shows a password attribute; use ldap-bind";
            return Err(ConfigProblem::new("auth", message));
        }
        let cache = CredentialCache::new(connector.name(), Arc::clone(&clock))
            .map_err(|error| ConfigProblem::new("auth", error))?;
        let cache = Arc::new(cache);
        let remembered = Arc::downgrade(&cache);
        connector.on_credentials_changed(move |uuid| match remembered.upgrade() {
            Some(cache) => {
                cache.drop_entry(uuid);
                true
            }
            None => false,
        });
        Ok(Arc::new(Self {
            connector,
            method,
            pool,
            cache,
            throttle: Throttle::new(clock),
            password_seen: AtomicBool::new(false),
        }))
    }

    async fn decide(&self, request: &AuthRequest) -> AuthOutcome {
        let Credential::Password(password) = &request.credential else {
            return AuthOutcome::Rejected(RejectReason::NotAllowed);
        };
        if request
            .authzid
            .as_ref()
            .is_some_and(|authzid| *authzid != request.login)
        {
            return AuthOutcome::Rejected(RejectReason::NotAllowed);
        }
        // RFC 4513 section 5.1.2: such a bind would succeed as "unauthenticated".
        if password.is_empty() {
            return AuthOutcome::Rejected(RejectReason::EmptyPassword);
        }
        let began = self.cache.moment();
        let stamp = stamp_attributes(self.method, &self.connector);
        let extra: Vec<&str> = stamp.iter().map(String::as_str).collect();
        match self
            .connector
            .find_login(&request.login, &extra, &mut Trace::Off)
            .await
        {
            Found::None => {
                self.cache.forget_login(&request.login);
                AuthOutcome::NoEntry
            }
            Found::Several(dns) => AuthOutcome::Unavailable(Unavailable(format!(
                "{} entries match the login: {}",
                dns.len(),
                dns.join(" | ")
            ))),
            Found::Unavailable(why) => self.remembered(request, password, why),
            Found::One(found) => {
                let (account, entry) = *found;
                self.check_entry(request, password, &account, &entry, &stamp, began)
                    .await
            }
        }
    }

    /// The directory is away: only a credential that was good before passes, and nobody is refused.
    fn remembered(&self, request: &AuthRequest, password: &Secret, why: Unavailable) -> AuthOutcome {
        let Some(known) = self.cache.login(&request.login) else {
            return AuthOutcome::Unavailable(why);
        };
        // An outage must not be the time for guessing.
        let Some(attempt) = self.throttle.attempt(known.uuid, request.peer.client.ip()) else {
            return AuthOutcome::Unavailable(why);
        };
        let digest = self.cache.digest(known.uuid, &known.stamp, password);
        if !self.cache.was_good(known.uuid, &digest) {
            attempt.failed();
            return AuthOutcome::Unavailable(why);
        }
        attempt.succeeded();
        tracing::info!(login = %request.login, connector = %self.connector.name(), "the directory is away; a remembered credential passes");
        AuthOutcome::Accepted(Authenticated {
            address: known.address,
            entry: Some(known.uuid),
        })
    }

    async fn check_entry(
        &self,
        request: &AuthRequest,
        password: &Secret,
        account: &DirectoryAccount,
        entry: &Entry,
        stamp_attributes: &[String],
        began: Moment,
    ) -> AuthOutcome {
        if account.state != AccountState::Active {
            self.cache.forget(account.uuid);
        }
        // The reason goes to the log; the client hears the same as for a wrong password.
        if account.state == AccountState::Disabled {
            return AuthOutcome::Rejected(RejectReason::Disabled);
        }
        if account.state == AccountState::Locked && self.method == LdapMethod::Password {
            return AuthOutcome::Rejected(RejectReason::Locked);
        }
        let stamp = cache::stamp(entry, stamp_attributes);
        let digest = self.cache.digest(account.uuid, &stamp, password);
        // A locked account goes to the directory: it knows when the lock ends.
        let cached = if account.state == AccountState::Locked {
            CacheVerdict::Unknown
        } else {
            self.cache.verdict(account.uuid, &digest)
        };
        let outcome = match cached {
            CacheVerdict::Good => Ok(()),
            CacheVerdict::Bad => return AuthOutcome::Rejected(RejectReason::WrongCredential),
            CacheVerdict::Unknown => {
                let client = request.peer.client.ip();
                let Some(attempt) = self.throttle.attempt(account.uuid, client) else {
                    let why = format!("too many wrong passwords for {} from {client}", account.address);
                    return AuthOutcome::Unavailable(Unavailable(why));
                };
                let outcome = match self.method {
                    LdapMethod::Password => self.compare(account, entry, password).await,
                    LdapMethod::Bind => self.bind(account, password).await,
                };
                match &outcome {
                    Ok(()) => attempt.succeeded(),
                    Err(AuthOutcome::Rejected(RejectReason::WrongCredential)) => {
                        attempt.failed();
                        self.cache.remember_bad(account.uuid, digest);
                    }
                    Err(_) => {}
                }
                outcome
            }
        };
        match outcome {
            Err(outcome) => outcome,
            // Only whoever has the password learns that it has expired.
            Ok(()) if account.state == AccountState::Expired => AuthOutcome::Rejected(RejectReason::Expired),
            Ok(()) => {
                if cached == CacheVerdict::Unknown {
                    // A hit does not prolong itself: 60 s after the check the directory is asked again.
                    self.cache.remember_good(account.uuid, digest, began);
                }
                self.accept(request, account, stamp);
                AuthOutcome::Accepted(Authenticated {
                    address: account.address.clone(),
                    entry: Some(account.uuid),
                })
            }
        }
    }

    fn accept(&self, request: &AuthRequest, account: &DirectoryAccount, stamp: cache::Stamp) {
        self.cache.remember_login(
            &request.login,
            Remembered {
                uuid: account.uuid,
                address: account.address.clone(),
                stamp,
            },
        );
    }

    /// `ldap-password`: the attribute's values against the password.
    async fn compare(
        &self,
        account: &DirectoryAccount,
        entry: &Entry,
        password: &Secret,
    ) -> Result<(), AuthOutcome> {
        let attribute = &self.connector.patterns().map.password;
        let values: Vec<&[u8]> = entry.get(attribute).iter().map(AsRef::as_ref).collect();
        if values.iter().all(|value| value.is_empty()) {
            return Err(self.no_password(account).await);
        }
        self.password_seen.store(true, Ordering::Relaxed);
        let encoding = self.connector.config().attributes.password_encoding.into();
        let verdict = self.pool.verify(&values, encoding, password).await;
        match verdict {
            Err(busy) => Err(AuthOutcome::Unavailable(Unavailable(busy.to_string()))),
            Ok(Verdict::Match(scheme)) => {
                if scheme.is_weak() {
                    tracing::debug!(entry = %account.dn, %scheme, "the password is kept in a weak scheme");
                }
                Ok(())
            }
            // `{SASL}` means that the directory itself asks another service.
            Ok(Verdict::Mismatch(errors) | Verdict::Unusable(errors))
                if errors.contains(&SchemeError::BindInstead) =>
            {
                self.bind(account, password).await
            }
            Ok(Verdict::Mismatch(errors)) => {
                for error in errors {
                    tracing::warn!(entry = %account.dn, %error, "a password value cannot be used");
                }
                Err(AuthOutcome::Rejected(RejectReason::WrongCredential))
            }
            Ok(Verdict::Unusable(errors)) => {
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let why = format!(
                    "{}: no password value can be checked: {}",
                    account.dn,
                    texts.join("; ")
                );
                tracing::error!("{why}");
                Err(AuthOutcome::Unavailable(Unavailable(why)))
            }
        }
    }

    /// The entry shows no password. Either it has none, or we may read nobody's: then a thousand users must
    /// not be told that their password is wrong.
    async fn no_password(&self, account: &DirectoryAccount) -> AuthOutcome {
        if !self.password_seen.load(Ordering::Relaxed) {
            let attribute = &self.connector.patterns().map.password;
            match self
                .connector
                .sample(Filter::Present(attribute.clone()), attribute)
                .await
            {
                Err(why) => return AuthOutcome::Unavailable(why),
                Ok(false) => {
                    let why = format!(
                        "no entry shows {attribute}; the service identity needs the right to read it"
                    );
                    tracing::error!(connector = %self.connector.name(), "{why}");
                    return AuthOutcome::Unavailable(Unavailable(why));
                }
                Ok(true) => self.password_seen.store(true, Ordering::Relaxed),
            }
        }
        tracing::warn!(entry = %account.dn, "the entry has no password attribute, so it cannot log in");
        AuthOutcome::Rejected(RejectReason::NoPassword)
    }

    /// `ldap-bind`: the directory says.
    async fn bind(&self, account: &DirectoryAccount, password: &Secret) -> Result<(), AuthOutcome> {
        match self.connector.check_bind(&account.dn, password).await {
            Err(why) => Err(AuthOutcome::Unavailable(why)),
            Ok(result) => bind_result::read(&account.dn, &result),
        }
    }
}

impl Authenticator for LdapAuthenticator {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(self.decide(request))
    }
}

impl fmt::Debug for LdapAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LdapAuthenticator({}, {:?})",
            self.connector.name(),
            self.method
        )
    }
}

/// Attributes that change when the password does: cached credentials of another password end with them.
fn stamp_attributes(method: LdapMethod, connector: &Connector) -> Vec<String> {
    let changed = match connector.config().server_type {
        ServerType::Openldap => "pwdChangedTime",
        ServerType::ActiveDirectory => "pwdLastSet",
    };
    match method {
        LdapMethod::Bind => vec![changed.to_owned()],
        LdapMethod::Password => vec![connector.patterns().map.password.clone()],
    }
}
