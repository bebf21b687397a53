//! Logins that show no password: SCRAM, CRAM-MD5, and accounts that a token or a certificate has proven.
//!
//! They meet the same look-up, account states, throttle and memory for outages as passwords do.

use super::cache::{self, Stamp};
use super::{LdapAuthenticator, LdapMethod, stamp_attributes};
use crate::account::{AccountState, DirectoryAccount};
use crate::config::ChallengeMechanism;
use crate::connector::{Found, Trace};
use ::password::ChallengeSecrets;
use ldap::Entry;
use model::{
    AuthOutcome, AuthRequest, Authenticated, Clock, Credential, EntryUuid, MechanismSet, RejectReason,
    ScramHash, ScramKeys, ScramOutcome, ScramProof, ScramRequest, Unavailable,
};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Keys are not made again for this long.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// And pass for this long while the directory is away, as passwords do.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);
const ENTRIES: usize = 100_000;
/// RFC 5803: the attribute in which keys may also be kept.
const AUTH_PASSWORD: &str = "authPassword";

/// Keys in memory, so that one login makes them once, and an outage does not end logins.
pub(super) struct ProofCache {
    keys: Mutex<TtlCache<(EntryUuid, ScramHash), Known>>,
    /// Entries that a token or a certificate let in.
    vouched: Mutex<TtlCache<EntryUuid, ()>>,
}

#[derive(Clone)]
struct Known {
    stamp: Stamp,
    keys: ScramKeys,
    /// Whether somebody has logged in with them.
    proven: bool,
}

impl ProofCache {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            keys: Mutex::new(TtlCache::new(Arc::clone(clock), ENTRIES)),
            vouched: Mutex::new(TtlCache::new(Arc::clone(clock), ENTRIES)),
        }
    }

    /// The change feed reported the entry, or it may not log in.
    pub(super) fn drop_entry(&self, uuid: EntryUuid) {
        let mut keys = self.keys.lock();
        keys.remove(&(uuid, ScramHash::Sha1));
        keys.remove(&(uuid, ScramHash::Sha256));
        drop(keys);
        self.vouched.lock().remove(&uuid);
    }

    fn made(&self, uuid: EntryUuid, hash: ScramHash, stamp: &Stamp) -> Option<ScramKeys> {
        match self.keys.lock().get(&(uuid, hash)) {
            Cached::Fresh(known) if known.stamp == *stamp => Some(known.keys.clone()),
            _ => None,
        }
    }

    /// The keys with which this entry logged in within a day.
    fn proven(&self, uuid: EntryUuid, hash: ScramHash) -> Option<ScramKeys> {
        match self.keys.lock().get(&(uuid, hash)) {
            Cached::Fresh(known) | Cached::Stale(known) if known.proven => Some(known.keys.clone()),
            _ => None,
        }
    }

    fn keep(&self, uuid: EntryUuid, stamp: Stamp, keys: ScramKeys, proven: bool) {
        let mut cache = self.keys.lock();
        let key = (uuid, keys.hash());
        let before = match cache.get(&key) {
            Cached::Fresh(known) | Cached::Stale(known) => known.proven && known.stamp == stamp,
            Cached::Missing => false,
        };
        let known = Known {
            stamp,
            keys,
            proven: proven || before,
        };
        cache.insert(key, known, FRESH_FOR, STALE_FOR);
    }

    fn keep_vouched(&self, uuid: EntryUuid) {
        self.vouched.lock().insert(uuid, (), FRESH_FOR, STALE_FOR);
    }

    fn was_vouched(&self, uuid: EntryUuid) -> bool {
        !matches!(self.vouched.lock().get(&uuid), Cached::Missing)
    }
}

impl LdapAuthenticator {
    /// What can be checked for each account: the configuration's word for the challenges.
    pub(super) fn can_check(&self) -> MechanismSet {
        let always = MechanismSet::PASSWORD.union(MechanismSet::VOUCHED);
        if self.method == LdapMethod::Bind {
            return always;
        }
        let challenges = &self.connector.config().challenge_response;
        challenges.iter().fold(always, |set, challenge| {
            set.union(match challenge {
                ChallengeMechanism::ScramSha256 => MechanismSet::SCRAM_SHA_256,
                ChallengeMechanism::ScramSha1 => MechanismSet::SCRAM_SHA_1,
                ChallengeMechanism::CramMd5 => MechanismSet::CRAM_MD5,
            })
        })
    }

    /// Before there is a proof.
    pub(super) async fn keys_for(&self, request: &ScramRequest) -> ScramOutcome {
        if !self.can_check().contains(MechanismSet::of_scram(request.hash)) {
            return ScramOutcome::NotOffered;
        }
        match self.look_up(&request.login).await {
            Found::None => ScramOutcome::NoEntry,
            Found::Several(dns) => ScramOutcome::Unavailable(ambiguous(&dns)),
            Found::Unavailable(why) => {
                let known = self.cache.login(&request.login);
                match known.and_then(|known| self.proofs.proven(known.uuid, request.hash)) {
                    Some(keys) => ScramOutcome::Keys(keys),
                    None => ScramOutcome::Unavailable(why),
                }
            }
            Found::One(found) => {
                let (account, entry) = *found;
                let salt = request.salt.as_deref();
                match self.entry_keys(&account, &entry, request.hash, salt).await {
                    Ok(Some(keys)) => ScramOutcome::Keys(keys),
                    Ok(None) => {
                        tracing::warn!(entry = %account.dn, mechanism = %request.hash, "the entry's password gives no keys for this mechanism");
                        ScramOutcome::NotOffered
                    }
                    Err(why) => ScramOutcome::Unavailable(why),
                }
            }
        }
    }

    async fn look_up(&self, login: &str) -> Found {
        let mut extra = stamp_attributes(self.method, &self.connector);
        extra.push(AUTH_PASSWORD.to_owned());
        let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
        self.connector.find_login(login, &extra, &mut Trace::Off).await
    }

    /// The secrets of an entry, and a digest that changes with them.
    fn secrets(&self, entry: &Entry) -> (ChallengeSecrets, Stamp) {
        let attribute = &self.connector.patterns().map.password;
        let encoding = self.connector.config().attributes.password_encoding.into();
        let mut secrets = ChallengeSecrets::read(entry.get(attribute), encoding);
        let kept = ChallengeSecrets::read(entry.get(AUTH_PASSWORD), ::password::Encoding::Plain);
        secrets.keys.extend(kept.keys);
        let stamp = cache::stamp(entry, &[attribute.clone(), AUTH_PASSWORD.to_owned()]);
        (secrets, stamp)
    }

    /// The entry's keys: kept ones, or ones made with this salt.
    async fn entry_keys(
        &self,
        account: &DirectoryAccount,
        entry: &Entry,
        hash: ScramHash,
        salt: Option<&[u8]>,
    ) -> Result<Option<ScramKeys>, Unavailable> {
        let (secrets, stamp) = self.secrets(entry);
        if let Some(kept) = secrets.kept(hash) {
            return Ok(Some(kept.clone()));
        }
        let (false, Some(salt)) = (secrets.clear.is_empty(), salt) else {
            return Ok(None);
        };
        if let Some(made) = self.proofs.made(account.uuid, hash, &stamp)
            && made.salt() == salt
        {
            return Ok(Some(made));
        }
        let salt = salt.to_vec();
        let made = self
            .pool
            .compute(move || secrets.scram(hash, &salt, ScramKeys::ITERATIONS))
            .await
            .map_err(|busy| Unavailable(busy.to_string()))?;
        if let Some(made) = &made {
            self.proofs.keep(account.uuid, stamp, made.clone(), false);
        }
        Ok(made)
    }

    /// With a proof, or with nothing left to prove.
    pub(super) async fn decide_proof(&self, request: &AuthRequest) -> AuthOutcome {
        let kind = match &request.credential {
            Credential::Scram(proof) => MechanismSet::of_scram(proof.hash),
            Credential::CramMd5(_) => MechanismSet::CRAM_MD5,
            Credential::Vouched => MechanismSet::VOUCHED,
            _ => return AuthOutcome::Rejected(RejectReason::NotAllowed),
        };
        let other = request
            .authzid
            .as_ref()
            .is_some_and(|authzid| *authzid != request.login);
        if other || !self.can_check().contains(kind) {
            return AuthOutcome::Rejected(RejectReason::NotAllowed);
        }
        let at = self.connector.clock().monotonic();
        match self.look_up(&request.login).await {
            Found::None => {
                self.cache.forget_login(&request.login);
                AuthOutcome::NoEntry
            }
            Found::Several(dns) => AuthOutcome::Unavailable(ambiguous(&dns)),
            Found::Unavailable(why) => self.proven_before(request, why),
            Found::One(found) => {
                let (account, entry) = *found;
                self.check_proof(request, &account, &entry, at).await
            }
        }
    }

    /// The directory is away: who logged in this way within a day still does.
    fn proven_before(&self, request: &AuthRequest, why: Unavailable) -> AuthOutcome {
        let Some(known) = self.cache.login(&request.login) else {
            return AuthOutcome::Unavailable(why);
        };
        let good = match &request.credential {
            Credential::Vouched => self.proofs.was_vouched(known.uuid),
            Credential::Scram(proof) => {
                // An outage must not be the time for guessing.
                let Some(attempt) = self.throttle.attempt(known.uuid, request.peer.client.ip()) else {
                    return AuthOutcome::Unavailable(why);
                };
                let keys = self.proofs.proven(known.uuid, proof.hash);
                let good = keys.is_some_and(|keys| keys.accept(proof));
                if good {
                    attempt.succeeded();
                } else {
                    attempt.failed();
                }
                good
            }
            _ => false,
        };
        if !good {
            return AuthOutcome::Unavailable(why);
        }
        tracing::info!(login = %request.login, connector = %self.connector.name(), "the directory is away; a remembered login passes");
        AuthOutcome::Accepted(Authenticated {
            address: known.address,
            entry: Some(known.uuid),
        })
    }

    async fn check_proof(
        &self,
        request: &AuthRequest,
        account: &DirectoryAccount,
        entry: &Entry,
        at: Duration,
    ) -> AuthOutcome {
        // The reason goes to the log; the client hears the same as for a wrong password.
        let closed = match account.state {
            AccountState::Disabled => Some(RejectReason::Disabled),
            // Only a bind could tell that the lock is over, and there is no password to bind with.
            AccountState::Locked => Some(RejectReason::Locked),
            AccountState::Active | AccountState::Expired => None,
        };
        if let Some(reason) = closed {
            self.proofs.drop_entry(account.uuid);
            return AuthOutcome::Rejected(reason);
        }
        if !matches!(request.credential, Credential::Vouched) {
            let client = request.peer.client.ip();
            let Some(attempt) = self.throttle.attempt(account.uuid, client) else {
                let why = format!("too many wrong passwords for {} from {client}", account.address);
                return AuthOutcome::Throttled(Unavailable(why));
            };
            match self.is_proven(request, account, entry).await {
                Ok(true) => attempt.succeeded(),
                Ok(false) => {
                    attempt.failed();
                    return AuthOutcome::Rejected(RejectReason::WrongCredential);
                }
                Err(why) => return AuthOutcome::Unavailable(why),
            }
        }
        // Only whoever has the password learns that it has expired.
        if account.state == AccountState::Expired {
            return AuthOutcome::Rejected(RejectReason::Expired);
        }
        let stamp = cache::stamp(entry, &stamp_attributes(self.method, &self.connector));
        if matches!(request.credential, Credential::Vouched) {
            self.proofs.keep_vouched(account.uuid);
        }
        self.saw(account, entry, stamp, at);
        self.accept(request, account, stamp);
        AuthOutcome::Accepted(Authenticated {
            address: account.address.clone(),
            entry: Some(account.uuid),
        })
    }

    async fn is_proven(
        &self,
        request: &AuthRequest,
        account: &DirectoryAccount,
        entry: &Entry,
    ) -> Result<bool, Unavailable> {
        match &request.credential {
            Credential::CramMd5(proof) => {
                let (secrets, _) = self.secrets(entry);
                // Every value is compared: several values are several passwords (RFC 4519 section 2.41).
                Ok(secrets
                    .clear
                    .iter()
                    .fold(false, |good, clear| good | proof.accept(clear)))
            }
            Credential::Scram(proof) => {
                let keys = self.keys_of_proof(account, entry, proof).await?;
                let good = keys.as_ref().is_some_and(|keys| keys.accept(proof));
                if let Some(keys) = keys.filter(|_| good) {
                    let (_, stamp) = self.secrets(entry);
                    self.proofs.keep(account.uuid, stamp, keys, true);
                }
                Ok(good)
            }
            _ => Ok(false),
        }
    }

    /// The keys as the entry has them now: a password that changed meanwhile makes the proof wrong.
    async fn keys_of_proof(
        &self,
        account: &DirectoryAccount,
        entry: &Entry,
        proof: &ScramProof,
    ) -> Result<Option<ScramKeys>, Unavailable> {
        self.entry_keys(account, entry, proof.hash, Some(&proof.salt))
            .await
    }
}

fn ambiguous(dns: &[String]) -> Unavailable {
    let text = format!("{} entries match the login: {}", dns.len(), dns.join(" | "));
    Unavailable(text)
}
