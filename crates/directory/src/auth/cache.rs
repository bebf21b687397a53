//! Verified credentials, kept for a minute, and for a day in case the directory is away. Memory only.

use ldap::Entry;
use model::{Address, Clock, EntryUuid, Secret};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// A good credential is good without another check for this long.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// And passes for this long while the directory is away, and only then.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);
/// A wrong one is wrong without another check for this long.
const BAD_FOR: Duration = Duration::from_secs(5);
/// Credentials kept of each kind.
const ENTRIES: usize = 200_000;
/// Longer logins than an address can be are not remembered.
const LOGIN: usize = 320;

/// A keyed digest of (entry, password stamp, offered password).
pub(super) type Digest = [u8; 32];
/// A digest of what changes when the password does.
pub(super) type Stamp = [u8; 32];

/// What the cache says about a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Bad,
    Unknown,
}

/// The entry behind a login, for when it cannot be looked up.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) uuid: EntryUuid,
    pub(super) address: Address,
    pub(super) stamp: Stamp,
}

pub(super) struct CredentialCache {
    /// Of this process alone: digests are worth nothing outside of it.
    key: [u8; 32],
    good: Mutex<TtlCache<Digest, ()>>,
    /// The credential that each entry used last: the only one that passes while the directory is away, since
    /// an older one may have been replaced there.
    last: Mutex<TtlCache<EntryUuid, Digest>>,
    bad: Mutex<TtlCache<Digest, ()>>,
    logins: Mutex<TtlCache<String, Remembered>>,
}

impl CredentialCache {
    pub(super) fn new(connector: &str, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| format!("no random key: {error}"))?;
        Ok(Self {
            key: *blake3::keyed_hash(&seed, connector.as_bytes()).as_bytes(),
            good: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            last: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            bad: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            logins: Mutex::new(TtlCache::new(clock, ENTRIES)),
        })
    }

    pub(super) fn digest(&self, uuid: EntryUuid, stamp: &Stamp, password: &Secret) -> Digest {
        *blake3::Hasher::new_keyed(&self.key)
            .update(uuid.as_bytes())
            .update(stamp)
            .update(password.expose())
            .finalize()
            .as_bytes()
    }

    pub(super) fn verdict(&self, digest: &Digest) -> Verdict {
        if matches!(self.good.lock().get(digest), Cached::Fresh(())) {
            Verdict::Good
        } else if matches!(self.bad.lock().get(digest), Cached::Fresh(())) {
            Verdict::Bad
        } else {
            Verdict::Unknown
        }
    }

    /// Whether the entry used this credential last, within a day: asked only while the directory is away.
    pub(super) fn was_good(&self, uuid: EntryUuid, digest: &Digest) -> bool {
        match self.last.lock().get(&uuid) {
            Cached::Fresh(last) | Cached::Stale(last) => last == digest,
            Cached::Missing => false,
        }
    }

    pub(super) fn remember_good(&self, uuid: EntryUuid, digest: Digest) {
        self.bad.lock().remove(&digest);
        self.good.lock().insert(digest, (), GOOD_FOR, Duration::ZERO);
        self.last.lock().insert(uuid, digest, GOOD_FOR, STALE_FOR);
    }

    /// The directory has just refused it, so it is not good any more either.
    pub(super) fn remember_bad(&self, uuid: EntryUuid, digest: Digest) {
        self.good.lock().remove(&digest);
        if self.was_good(uuid, &digest) {
            self.forget(uuid);
        }
        self.bad.lock().insert(digest, (), BAD_FOR, Duration::ZERO);
    }

    /// The directory says that the account may not log in: that holds while it is away, too.
    pub(super) fn forget(&self, uuid: EntryUuid) {
        self.last.lock().remove(&uuid);
    }

    /// The login leads to no entry any more.
    pub(super) fn forget_login(&self, login: &str) {
        self.logins.lock().remove(&login.to_lowercase());
    }

    pub(super) fn login(&self, login: &str) -> Option<Remembered> {
        match self.logins.lock().get(&login.to_lowercase()) {
            Cached::Fresh(known) | Cached::Stale(known) => Some(known.clone()),
            Cached::Missing => None,
        }
    }

    pub(super) fn remember_login(&self, login: &str, known: Remembered) {
        // Spaces mean nothing to a directory, so that one account has logins of any length.
        if login.len() > LOGIN {
            return;
        }
        self.logins
            .lock()
            .insert(login.to_lowercase(), known, GOOD_FOR, STALE_FOR);
    }
}

/// A digest of these attributes. The order of an attribute's values means nothing (RFC 4512 section 2.2).
pub(super) fn stamp(entry: &Entry, attributes: &[String]) -> Stamp {
    let mut hasher = blake3::Hasher::new();
    for attribute in attributes {
        let mut values: Vec<&[u8]> = entry.get(attribute).iter().map(AsRef::as_ref).collect();
        values.sort_unstable();
        for value in values {
            hasher.update(blake3::hash(value).as_bytes());
        }
        hasher.update(b"\0");
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};

    #[test]
    fn good_for_a_minute_and_for_a_day_when_asked_so() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let cache = CredentialCache::new("c", clock.clone()).expect("a cache");
        let uuid = EntryUuid::from_bytes([1; 16]);
        let entry = |value: &'static str| Entry::new("uid=a").with("userPassword", vec![value.into()]);
        let names = ["userPassword".to_owned()];
        let (old, new) = (stamp(&entry("{SSHA}x"), &names), stamp(&entry("{SSHA}y"), &names));
        let digest = cache.digest(uuid, &old, &Secret::from("pw"));
        assert_eq!(cache.verdict(&digest), Verdict::Unknown);
        cache.remember_good(uuid, digest);
        assert_eq!(cache.verdict(&digest), Verdict::Good);
        assert_ne!(
            digest,
            cache.digest(uuid, &new, &Secret::from("pw")),
            "a changed password is another stamp"
        );
        assert_ne!(
            digest,
            cache.digest(EntryUuid::from_bytes([2; 16]), &old, &Secret::from("pw"))
        );
        assert_ne!(digest, cache.digest(uuid, &old, &Secret::from("pW")));
        clock.advance(GOOD_FOR);
        assert_eq!(
            cache.verdict(&digest),
            Verdict::Unknown,
            "only the directory's absence makes it pass now"
        );
        assert!(cache.was_good(uuid, &digest));
        clock.advance(STALE_FOR);
        assert!(!cache.was_good(uuid, &digest));
        cache.remember_good(uuid, digest);
        cache.remember_bad(uuid, digest);
        assert_eq!(cache.verdict(&digest), Verdict::Bad);
        assert!(
            !cache.was_good(uuid, &digest),
            "what the directory refused is forgotten"
        );
        clock.advance(BAD_FOR);
        assert_eq!(cache.verdict(&digest), Verdict::Unknown);
        let later = cache.digest(uuid, &new, &Secret::from("pw2"));
        cache.remember_good(uuid, digest);
        cache.remember_good(uuid, later);
        assert!(cache.was_good(uuid, &later));
        assert!(
            !cache.was_good(uuid, &digest),
            "the password may have been replaced by the later one"
        );
        cache.forget(uuid);
        assert!(!cache.was_good(uuid, &later));
    }
}
