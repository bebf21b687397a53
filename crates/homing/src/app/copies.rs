//! Passwords that synchronisation copied from a directory (`copy_passwords`): good while that directory is away.

use super::auth::address_of;
use directory::Throttle;
use model::{
    AccountId, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock, Credential, Domain,
    EntryUuid, MechanismSet, Unavailable,
};
use password::VerifyPool;
use std::sync::Arc;
use store::{LinkState, LocalAuthenticator, LocalId, Store, StoreError};

/// Checks accounts that are linked by one connector against the copies of their passwords.
pub(super) struct Copies {
    pub(super) connector: String,
    pub(super) inner: LocalAuthenticator,
    pub(super) store: Store,
    pub(super) login_domain: Option<Domain>,
    pub(super) throttle: Throttle<AccountId>,
}

impl Copies {
    pub(super) fn new(
        connector: &str,
        store: Store,
        pool: VerifyPool,
        login_domain: Option<Domain>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            connector: connector.to_owned(),
            inner: LocalAuthenticator::new(store.clone(), pool),
            store,
            login_domain,
            throttle: Throttle::new(clock),
        }
    }

    /// The account of a login and its entry, when this connector holds the two together.
    fn linked(&self, request: &AuthRequest) -> Result<Option<(LinkedAccount, EntryUuid)>, StoreError> {
        let Some(address) = address_of(&request.login, self.login_domain.as_ref()) else {
            return Ok(None);
        };
        let Some(account) = self.store.account_by_address(&address)? else {
            return Ok(None);
        };
        let links = self.store.associations_of(LocalId::Account(account.id))?;
        let link = links
            .into_iter()
            .find(|link| link.connector == self.connector && link.data.state == LinkState::Linked);
        let login = address.as_str().to_owned();
        Ok(link.map(|link| {
            let account = LinkedAccount {
                id: account.id,
                login,
            };
            (account, link.remote)
        }))
    }

    async fn decide(&self, request: &AuthRequest) -> AuthOutcome {
        if !matches!(request.credential, Credential::Password(_)) {
            return AuthOutcome::NoEntry;
        }
        let (account, entry) = match self.linked(request) {
            Ok(Some(found)) => found,
            Ok(None) => return AuthOutcome::NoEntry,
            Err(error) => return AuthOutcome::Unavailable(Unavailable(error.to_string())),
        };
        // An outage must not be the time for guessing.
        let Some(attempt) = self.throttle.attempt(account.id, request.peer.client.ip()) else {
            return AuthOutcome::Unavailable(Unavailable("too many wrong passwords".to_owned()));
        };
        let request = AuthRequest {
            login: account.login,
            ..request.clone()
        };
        match self.inner.check(&request).await {
            AuthOutcome::Accepted(found) => {
                attempt.succeeded();
                AuthOutcome::Accepted(Authenticated {
                    entry: Some(entry),
                    ..found
                })
            }
            refused => {
                attempt.failed();
                refused
            }
        }
    }
}

struct LinkedAccount {
    id: AccountId,
    login: String,
}

impl Authenticator for Copies {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(self.decide(request))
    }

    fn mechanisms(&self) -> MechanismSet {
        self.inner.mechanisms()
    }
}
