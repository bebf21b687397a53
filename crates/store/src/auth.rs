//! Authentication against the password hashes of this store's own accounts.

use crate::{Account, AccountState, Store};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Credential, MechanismSet,
    RejectReason, Secret, Unavailable,
};
use password::{Encoding, Verdict, VerifyPool};

/// Checks clear-text passwords of local accounts. An account without a local password is "no entry" here, so
/// that a chain goes on to the directory it came from.
#[derive(Clone)]
pub struct LocalAuthenticator {
    store: Store,
    pool: VerifyPool,
}

impl LocalAuthenticator {
    /// Over this store's accounts; costly hashes are checked in the pool.
    #[must_use]
    pub fn new(store: Store, pool: VerifyPool) -> Self {
        Self { store, pool }
    }

    /// The password first: nobody learns the state of an account without it.
    async fn verify(&self, account: &Account, offered: &Secret) -> Result<(), AuthOutcome> {
        let Some(stored) = account.password_hash() else {
            return Err(AuthOutcome::NoEntry);
        };
        if offered.is_empty() {
            return Err(AuthOutcome::Rejected(RejectReason::EmptyPassword));
        }
        let values = [stored.expose()];
        match self.pool.verify(&values, Encoding::Plain, offered).await {
            Err(busy) => Err(AuthOutcome::Unavailable(Unavailable(busy.to_string()))),
            Ok(Verdict::Mismatch(_)) => Err(AuthOutcome::Rejected(RejectReason::WrongCredential)),
            Ok(Verdict::Unusable(errors)) => {
                tracing::warn!(account = %account.address, ?errors, "the stored password is unusable");
                Err(AuthOutcome::Rejected(RejectReason::NoPassword))
            }
            Ok(Verdict::Match(_)) => Ok(()),
        }
    }

    async fn outcome(&self, request: &AuthRequest) -> AuthOutcome {
        // Local passwords are ARGON2id hashes: they answer no challenge, and SCRAM is not announced for them.
        let offered = match &request.credential {
            Credential::Password(offered) => Some(offered),
            Credential::Vouched => None,
            _ => return AuthOutcome::NoEntry,
        };
        let Ok(address) = Address::parse(&request.login) else {
            return AuthOutcome::NoEntry;
        };
        let account = match self.store.account_by_address(&address) {
            Ok(Some(account)) => account,
            Ok(None) => return AuthOutcome::NoEntry,
            Err(error) => return AuthOutcome::Unavailable(Unavailable(error.to_string())),
        };
        if let Some(offered) = offered
            && let Err(outcome) = self.verify(&account, offered).await
        {
            return outcome;
        }
        let own = |identity: &String| {
            Address::parse(identity).is_ok_and(|identity| {
                let identity = self.store.domain_aliases().address(identity);
                account.addresses().any(|known| *known == identity)
            })
        };
        if !request.authzid.as_ref().is_none_or(own) {
            return AuthOutcome::Rejected(RejectReason::NotAllowed);
        }
        match &account.state {
            _ if !account.enabled => AuthOutcome::Rejected(RejectReason::Disabled),
            AccountState::Active => AuthOutcome::Accepted(Authenticated {
                address: account.address.clone(),
                entry: None,
            }),
            AccountState::AwaitingMail { from } => {
                AuthOutcome::Unavailable(Unavailable(format!("the account's mail is still on {from}")))
            }
            AccountState::MovedAway { .. } | AccountState::SoftDeleted { .. } => {
                AuthOutcome::Rejected(RejectReason::NotAllowed)
            }
        }
    }
}

impl Authenticator for LocalAuthenticator {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(self.outcome(request))
    }

    fn mechanisms(&self) -> MechanismSet {
        MechanismSet::PASSWORD.union(MechanismSet::VOUCHED)
    }
}
