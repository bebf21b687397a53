//! A password in a weak scheme is kept in a strong one from its owner's next login on.
//!
//! The old value is deleted and the new one added in one operation, so that a password that was changed
//! meanwhile stays as it is. The login never waits for it and never fails because of it.
//!
//! Follows RFC 4528 (assertion).

use super::shared::{AuthShared, password_values};
use crate::config::{ConnectorConfig, PasswordScheme};
use crate::connector::{Connector, OpenError, Operator, Rights};
use bytes::Bytes;
use ldap::control::Assertion;
use ldap::ldif::{ChangeRecord, Operation};
use ldap::message::{Modification, Modify, ModifyOperation};
use ldap::{Attribute, Control, Filter, LdapError, ResultCode};
use model::{Clock, EntryUuid, Secret};
use parking_lot::Mutex;
use password::{ArgonCost, HashError, Scheme, StoredPassword, Verdict, VerifyPool};
use std::sync::Arc;
use std::time::Duration;

/// From one rewrite to the next.
const PACE: Duration = Duration::from_millis(200);
/// After the directory has refused one: the next one will hardly fare better.
const PAUSE: Duration = Duration::from_secs(600);
/// Traditional DES looks at so many octets. Only a shorter password is known to be all of it: of a longer one,
/// other devices of its owner may send another end.
const DES_LOOKS_AT: usize = 8;

/// When the next rewrite may begin. One runs at a time.
pub(super) struct Upgrades {
    clock: Arc<dyn Clock>,
    next: Mutex<Next>,
}

#[derive(Debug, Clone, Copy)]
struct Next {
    at: Duration,
    running: bool,
}

/// What is rewritten.
pub(super) struct Weak {
    pub(super) entry: EntryUuid,
    pub(super) dn: String,
    pub(super) values: Vec<Bytes>,
    pub(super) scheme: Scheme,
    pub(super) password: Secret,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Ldap(#[from] LdapError),
}

impl Upgrades {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let next = Mutex::new(Next {
            at: Duration::ZERO,
            running: false,
        });
        Self { clock, next }
    }

    /// Takes the turn, if there is one now.
    fn begin(&self) -> bool {
        let mut next = self.next.lock();
        if next.running || self.clock.monotonic() < next.at {
            return false;
        }
        next.running = true;
        true
    }

    fn end(&self, wait: Duration) {
        *self.next.lock() = Next {
            at: self.clock.monotonic().saturating_add(wait),
            running: false,
        };
    }
}

/// Gives the turn back whatever happens to the task.
struct Turn {
    shared: Arc<AuthShared>,
    wait: Duration,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.upgrades.end(self.wait);
    }
}

/// Starts a rewrite, unless one runs or was made a moment ago: the next login comes.
pub(super) fn start(connector: &Connector, pool: &VerifyPool, weak: Weak) {
    if weak.scheme == Scheme::DesCrypt && weak.password.expose().len() >= DES_LOOKS_AT {
        return;
    }
    let shared = Arc::clone(connector.auth_shared());
    if !shared.upgrades.begin() {
        return;
    }
    let mut turn = Turn {
        shared: Arc::clone(&shared),
        wait: PACE,
    };
    let (config, pool) = (connector.config().clone(), pool.clone());
    let attribute = connector.patterns().map.password.clone();
    // Bounded: one at a time for each connector, and every step has a deadline.
    tokio::spawn(async move {
        match rewrite(&config, &attribute, &shared, &pool, &weak).await {
            Ok(()) => tracing::info!(
                entry = %weak.dn, from = %weak.scheme,
                "the password is kept in a strong scheme now"
            ),
            // Somebody else has changed it in between, which is as good.
            Err(Failure::Ldap(error))
                if matches!(
                    error.code(),
                    Some(ResultCode::NoSuchAttribute | ResultCode::AssertionFailed)
                ) => {}
            Err(error) => {
                turn.wait = PAUSE;
                tracing::warn!(
                    entry = %weak.dn, %error,
                    "the password stays in a weak scheme; no other one is rewritten for a while"
                );
            }
        }
        drop(turn);
    });
}

async fn rewrite(
    config: &ConnectorConfig,
    attribute: &str,
    shared: &AuthShared,
    pool: &VerifyPool,
    weak: &Weak,
) -> Result<(), Failure> {
    let Some(old) = matching(config, pool, weak).await? else {
        return Ok(());
    };
    let new = match config.password_scheme {
        PasswordScheme::Sha512Crypt => pool.hash_crypt(&weak.password).await?,
        PasswordScheme::Argon2 => pool.hash(&weak.password, ArgonCost::DEFAULT).await?,
    };
    let new = Bytes::from(new);
    let others = weak.values.iter().filter(|value| **value != old).cloned();
    let after: Vec<Bytes> = others.chain(std::iter::once(new.clone())).collect();
    let operator = Operator::open(config, Rights::Write).await?;
    // The feed may tell of it before the answer is here.
    shared.will_rewrite(weak.entry, password_values(&after));
    let exchange = change(
        weak,
        vec![
            modification(ModifyOperation::Delete, attribute, &old),
            modification(ModifyOperation::Add, attribute, &new),
        ],
        Vec::new(),
    );
    match operator.apply(exchange).await {
        // Under a password policy slapd takes a value that is deleted beside one that is added for the old
        // password itself, in clear text. There is one value then, and no other can come in between.
        Err(error) if error.code() == Some(ResultCode::UnwillingToPerform) && weak.values.len() == 1 => {
            let unchanged = Assertion(Filter::Equality {
                attribute: attribute.to_owned(),
                value: old,
            });
            let replace = vec![modification(ModifyOperation::Replace, attribute, &new)];
            Ok(operator
                .apply(change(weak, replace, vec![unchanged.to_control()]))
                .await?)
        }
        result => Ok(result?),
    }
}

fn modification(operation: ModifyOperation, attribute: &str, value: &Bytes) -> Modification {
    Modification {
        operation,
        attribute: Attribute::new(attribute, vec![value.clone()]),
    }
}

fn change(weak: &Weak, changes: Vec<Modification>, controls: Vec<Control>) -> ChangeRecord {
    let modify = Modify {
        dn: weak.dn.clone(),
        changes,
    };
    ChangeRecord {
        controls,
        operation: Operation::Modify(modify),
    }
}

/// The weak value that the password was checked against.
async fn matching(
    config: &ConnectorConfig,
    pool: &VerifyPool,
    weak: &Weak,
) -> Result<Option<Bytes>, HashError> {
    let encoding = config.attributes.password_encoding.into();
    for value in &weak.values {
        let parsed = StoredPassword::parse(value, encoding);
        if !parsed.is_ok_and(|parsed| parsed.scheme() == weak.scheme) {
            continue;
        }
        let verdict = pool.verify(&[value], encoding, &weak.password).await;
        match verdict.map_err(|_| HashError::Busy)? {
            Verdict::Match(_) => return Ok(Some(value.clone())),
            Verdict::Mismatch(_) | Verdict::Unusable(_) => {}
        }
    }
    Ok(None)
}
