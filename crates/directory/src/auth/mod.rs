//! Authentication against a directory.
//!
//! Owns [`LdapAuthenticator`] (search and compare, or search and bind), its caches, the [`Throttle`] of guesses
//! that local accounts use too, and [`ChainAuthenticator`]. Never takes a directory that does not answer for a
//! wrong password, and never lets an empty password reach a bind.
//!
//! Follows RFC 4513 section 5.1, draft-behera-ldap-password-policy-10.

mod bearer;
mod bind_result;
mod budget;
mod cache;
mod chain;
mod change;
mod dropped;
mod events;
mod external;
mod password;
mod proof;
mod recheck;
mod salts;
mod shared;
mod stamps;
mod throttle;
mod upgrade;

pub use bearer::TokenAuthenticator;
pub(crate) use bearer::check_issuer_url;
pub use chain::ChainAuthenticator;
pub use change::{ChangedBy, PasswordChangeError};
pub use events::{AccountEvent, AccountEventKind, AccountEventStream, AccountEvents, Heard};
pub use external::CertificateAuthenticator;
pub use salts::ScramSalts;
pub(crate) use shared::{AuthShared, LiveState};
pub use stamps::{PasswordOrigin, PasswordSeen};
pub use throttle::{Throttle, Trial};

use self::password::Offered;
use crate::account::{AccountState, DirectoryAccount};
use crate::config::ServerType;
use crate::connector::{Connector, Found, Trace};
use ::password::VerifyPool;
use budget::Trust;
use cache::{CredentialCache, Moment, Remembered, Verdict as CacheVerdict};
use ldap::Entry;
use model::{
    AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock, ConfigProblem, Credential,
    EntryUuid, MechanismSet, Recheck, RejectReason, ScramOutcome, ScramRequest, Secret, Unavailable,
};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

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
    seen: recheck::Seen,
    proofs: Arc<proof::ProofCache>,
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
        let good_for = Duration::from_secs(connector.config().credential_ttl);
        let cache = CredentialCache::new(connector.name(), good_for, Arc::clone(&clock))
            .map_err(|error| ConfigProblem::new("auth", error))?;
        let cache = Arc::new(cache);
        let proofs = Arc::new(proof::ProofCache::new(&clock));
        let remembered = (Arc::downgrade(&cache), Arc::downgrade(&proofs));
        connector.on_credentials_changed(move |uuid| {
            match (remembered.0.upgrade(), remembered.1.upgrade()) {
                (Some(cache), Some(proofs)) => {
                    cache.drop_entry(uuid);
                    proofs.drop_entry(uuid);
                    true
                }
                _ => false,
            }
        });
        Ok(Arc::new(Self {
            connector,
            method,
            pool,
            cache,
            proofs,
            seen: recheck::Seen::new(&clock),
            throttle: Throttle::new(clock),
            password_seen: AtomicBool::new(false),
        }))
    }

    async fn decide(&self, request: &AuthRequest) -> AuthOutcome {
        let Credential::Password(password) = &request.credential else {
            return self.decide_proof(request).await;
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
        let began = (self.cache.moment(), self.connector.clock().monotonic());
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
        (began, at): (Moment, Duration),
    ) -> AuthOutcome {
        if account.state != AccountState::Active {
            self.cache.forget(account.uuid);
        }
        // The reason goes to the log; the client hears the same as for a wrong password.
        if account.state == AccountState::Disabled {
            return AuthOutcome::Rejected(RejectReason::Disabled);
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
                    return AuthOutcome::Throttled(Unavailable(why));
                };
                let offered = Offered {
                    password,
                    digest: &digest,
                    trust: self.trust(account.uuid, &digest, client),
                };
                let outcome = self.verify(account, entry, offered).await;
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
                self.saw(account, entry, stamp, at);
                self.accept(request, account, stamp);
                AuthOutcome::Accepted(Authenticated {
                    address: account.address.clone(),
                    entry: Some(account.uuid),
                })
            }
        }
    }

    async fn verify(
        &self,
        account: &DirectoryAccount,
        entry: &Entry,
        offered: Offered<'_>,
    ) -> Result<(), AuthOutcome> {
        if self.method == LdapMethod::Bind {
            return self.bind(account, offered).await;
        }
        self.compare(account, entry, offered).await?;
        if account.state != AccountState::Locked {
            return Ok(());
        }
        // A lock may be over by time (draft-behera section 5.3.4, pwdLockoutDuration); only the directory knows,
        // and a bind with the right password is how it is asked.
        match self.bind(account, offered).await {
            Err(AuthOutcome::Rejected(RejectReason::WrongCredential)) => {
                Err(AuthOutcome::Rejected(RejectReason::Locked))
            }
            outcome => outcome,
        }
    }

    /// What speaks for a bind with this password.
    fn trust(&self, entry: EntryUuid, digest: &cache::Digest, client: IpAddr) -> Trust {
        if self.cache.was_good(entry, digest) {
            return Trust::LastGood;
        }
        let shared = self.connector.auth_shared();
        let refused = shared
            .budget
            .as_ref()
            .is_some_and(|budget| budget.was_refused(digest));
        if !refused && self.throttle.is_known(entry, client) {
            Trust::KnownNetwork
        } else {
            Trust::None
        }
    }

    fn accept(&self, request: &AuthRequest, account: &DirectoryAccount, stamp: cache::Stamp) {
        self.cache.remember_login(
            &request.login,
            Remembered {
                uuid: account.uuid,
                address: account.address.clone(),
                stamp,
                ends: account.state_until.map(|end| end.at),
            },
        );
    }
}

impl Authenticator for LdapAuthenticator {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(self.decide(request))
    }

    fn recheck<'a>(&'a self, who: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
        Box::pin(self.look_again(who, since))
    }

    fn scram_keys<'a>(&'a self, request: &'a ScramRequest) -> BoxFuture<'a, ScramOutcome> {
        Box::pin(self.keys_for(request))
    }

    fn mechanisms(&self) -> MechanismSet {
        self.can_check()
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
    match method {
        LdapMethod::Bind => connector.password_stamps(),
        LdapMethod::Password => vec![connector.patterns().map.password.clone()],
    }
}
