//! One password against one entry: compared here, or by a bind.

use super::budget::Trust;
use super::cache::Digest;
use super::{LdapAuthenticator, bind_result, upgrade};
use crate::account::DirectoryAccount;
use ldap::{Entry, Filter};
use model::{AuthOutcome, RejectReason, Secret, Unavailable};
use password::{Scheme, SchemeError, Verdict};
use std::sync::atomic::Ordering;

/// A password that is checked, and what speaks for it.
#[derive(Clone, Copy)]
pub(super) struct Offered<'a> {
    pub(super) password: &'a Secret,
    pub(super) digest: &'a Digest,
    pub(super) trust: Trust,
}

impl LdapAuthenticator {
    /// `ldap-password`: the attribute's values against the password.
    pub(super) async fn compare(
        &self,
        account: &DirectoryAccount,
        entry: &Entry,
        offered: Offered<'_>,
    ) -> Result<(), AuthOutcome> {
        let attribute = &self.connector.patterns().map.password;
        let values: Vec<&[u8]> = entry.get(attribute).iter().map(AsRef::as_ref).collect();
        if values.iter().all(|value| value.is_empty()) {
            return Err(self.no_password(account).await);
        }
        self.password_seen.store(true, Ordering::Relaxed);
        let encoding = self.connector.config().attributes.password_encoding.into();
        let verdict = self.pool.verify(&values, encoding, offered.password).await;
        match verdict {
            Err(busy) => Err(AuthOutcome::Unavailable(Unavailable(busy.to_string()))),
            Ok(Verdict::Match(scheme)) => {
                if scheme.is_weak() {
                    self.weak(account, entry, scheme, offered.password);
                }
                Ok(())
            }
            // `{SASL}` means that the directory itself asks another service.
            Ok(Verdict::Mismatch(errors) | Verdict::Unusable(errors))
                if errors.contains(&SchemeError::BindInstead) =>
            {
                self.bind(account, offered).await
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

    /// A right password that is kept in a weak scheme: said once a day, and rewritten where that is wanted.
    fn weak(&self, account: &DirectoryAccount, entry: &Entry, scheme: Scheme, password: &Secret) {
        let config = self.connector.config();
        if self.connector.auth_shared().may_name(account.uuid) {
            tracing::warn!(
                entry = %account.dn, %scheme, rewrite = config.password_upgrade,
                "the password is kept in a weak scheme"
            );
        }
        if config.password_upgrade {
            let weak = upgrade::Weak {
                entry: account.uuid,
                dn: account.dn.clone(),
                values: entry.get(&self.connector.patterns().map.password).to_vec(),
                scheme,
                password: password.clone(),
            };
            upgrade::start(&self.connector, &self.pool, weak);
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

    /// `ldap-bind`: the directory says, unless one more "no" might make it lock the account.
    pub(super) async fn bind(
        &self,
        account: &DirectoryAccount,
        offered: Offered<'_>,
    ) -> Result<(), AuthOutcome> {
        let budget = self.connector.auth_shared().budget.as_ref();
        let place = match budget.map(|budget| budget.reserve(account.uuid, offered.trust)) {
            None => None,
            Some(Some(place)) => Some(place),
            Some(None) => {
                let why = format!(
                    "{}: no further bind is sent before lockout_window is over, or the directory might lock the account",
                    account.dn
                );
                tracing::warn!(connector = %self.connector.name(), "{why}");
                return Err(AuthOutcome::Unavailable(Unavailable(why)));
            }
        };
        match self.connector.check_bind(&account.dn, offered.password).await {
            Err(why) => {
                if let Some(place) = place {
                    place.not_counted();
                }
                Err(AuthOutcome::Unavailable(why))
            }
            Ok(result) => {
                let outcome = bind_result::read(&account.dn, &result);
                match (&outcome, &result) {
                    (Err(AuthOutcome::Rejected(RejectReason::WrongCredential)), _) => {
                        if let Some(budget) = budget {
                            budget.refuse(*offered.digest);
                        }
                        drop(place);
                    }
                    (_, Ok(_)) => {
                        if let Some(place) = place {
                            place.succeeded();
                        }
                    }
                    // Disabled, expired, locked: only a right password, or none at all, is told so.
                    (_, Err(error)) if error.result().is_some() => {
                        if let Some(place) = place {
                            place.not_counted();
                        }
                    }
                    (_, Err(_)) => drop(place),
                }
                outcome
            }
        }
    }
}
