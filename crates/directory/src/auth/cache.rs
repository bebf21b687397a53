//! Verified credentials, kept for `credential_ttl`, and for a day in case the directory is away. Memory only.

use super::dropped::Dropped;
use ldap::Entry;
use model::{Address, Clock, EntryUuid, Secret, Timestamp};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A good credential passes for this long while the directory is away, and only then.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);
/// A wrong one is wrong without another check for this long.
const BAD_FOR: Duration = Duration::from_secs(5);
/// No check takes longer: several operations of at most 600 seconds (`timeout`).
const LONGEST_CHECK: Duration = Duration::from_secs(1800);
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
    /// When the account ends by itself.
    pub(super) ends: Option<Timestamp>,
}

/// When a check began, counted in reports of the change feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(pub(super) u64);

pub(super) struct CredentialCache {
    /// Of this process alone: digests are worth nothing outside of it.
    key: [u8; 32],
    /// A good credential is good without another check for this long.
    good_for: Duration,
    good: Mutex<TtlCache<Digest, Moment>>,
    /// Entries that the change feed reported, for as long as a good credential from before could live.
    dropped: Mutex<Dropped>,
    /// Counts what the change feed reported.
    moment: AtomicU64,
    /// The credential that each entry used last: the only one that passes while the directory is away, since
    /// an older one may have been replaced there.
    last: Mutex<TtlCache<EntryUuid, Digest>>,
    bad: Mutex<TtlCache<Digest, Moment>>,
    logins: Mutex<TtlCache<String, Remembered>>,
    clock: Arc<dyn Clock>,
}

impl CredentialCache {
    pub(super) fn new(connector: &str, good_for: Duration, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| format!("no random key: {error}"))?;
        Ok(Self {
            key: *blake3::keyed_hash(&seed, connector.as_bytes()).as_bytes(),
            good_for,
            good: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            // A check may be under way when one comes: what it brings is from before the change.
            dropped: Mutex::new(Dropped::new(
                Arc::clone(&clock),
                good_for.saturating_mul(2).max(LONGEST_CHECK),
            )),
            moment: AtomicU64::new(1),
            last: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            bad: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            logins: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            clock,
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

    /// To be asked before the entry is read: a credential that was checked against what was read earlier is
    /// not remembered.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.moment.load(Ordering::Acquire))
    }

    /// The change feed reported the entry: what was good before it has to be checked again.
    pub(super) fn drop_entry(&self, uuid: EntryUuid) {
        {
            let mut dropped = self.dropped.lock();
            let moment = Moment(self.moment.fetch_add(1, Ordering::AcqRel));
            dropped.note(uuid, moment);
        }
        self.forget(uuid);
    }

    /// Whether the entry was reported at this moment or later.
    fn dropped_since(&self, uuid: EntryUuid, moment: Moment) -> bool {
        self.dropped.lock().since(uuid, moment)
    }

    pub(super) fn verdict(&self, uuid: EntryUuid, digest: &Digest) -> Verdict {
        let since = |cached: Cached<&Moment>| match cached {
            Cached::Fresh(moment) => Some(*moment),
            Cached::Stale(_) | Cached::Missing => None,
        };
        let good = since(self.good.lock().get(digest));
        let bad = since(self.bad.lock().get(digest));
        let holds = |moment: Option<Moment>| moment.is_some_and(|moment| !self.dropped_since(uuid, moment));
        if holds(good) {
            Verdict::Good
        } else if holds(bad) {
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

    pub(super) fn remember_good(&self, uuid: EntryUuid, digest: Digest, began: Moment) {
        self.bad.lock().remove(&digest);
        if self.dropped_since(uuid, began) {
            return;
        }
        self.good
            .lock()
            .insert(digest, began, self.good_for, Duration::ZERO);
        self.last.lock().insert(uuid, digest, self.good_for, STALE_FOR);
    }

    /// The directory has just refused it, so it is not good any more either.
    pub(super) fn remember_bad(&self, uuid: EntryUuid, digest: Digest) {
        self.good.lock().remove(&digest);
        if self.was_good(uuid, &digest) {
            self.forget(uuid);
        }
        let moment = self.moment();
        self.bad.lock().insert(digest, moment, BAD_FOR, Duration::ZERO);
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
        let known = match self.logins.lock().get(&login.to_lowercase()) {
            Cached::Fresh(known) | Cached::Stale(known) => known.clone(),
            Cached::Missing => return None,
        };
        // What the directory said of the account was for this long.
        let over = known.ends.is_some_and(|at| at <= self.clock.now());
        (!over).then_some(known)
    }

    pub(super) fn remember_login(&self, login: &str, known: Remembered) {
        // Spaces mean nothing to a directory, so that one account has logins of any length.
        if login.len() > LOGIN {
            return;
        }
        self.logins
            .lock()
            .insert(login.to_lowercase(), known, self.good_for, STALE_FOR);
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

    const GOOD_FOR: Duration = Duration::from_secs(60);

    #[test]
    fn without_a_span_only_an_absent_directory_lets_it_pass() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let cache = CredentialCache::new("c", Duration::ZERO, clock).expect("a cache");
        let (uuid, digest) = (EntryUuid::from_bytes([1; 16]), [7; 32]);
        let began = cache.moment();
        cache.remember_good(uuid, digest, began);
        assert_eq!(cache.verdict(uuid, &digest), Verdict::Unknown);
        assert!(cache.was_good(uuid, &digest));
        cache.drop_entry(uuid);
        assert!(!cache.was_good(uuid, &digest));
        cache.remember_good(uuid, digest, began);
        assert!(
            !cache.was_good(uuid, &digest),
            "checked before the change was reported"
        );
    }

    #[test]
    fn good_for_a_minute_and_for_a_day_when_asked_so() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let cache = CredentialCache::new("c", GOOD_FOR, clock.clone()).expect("a cache");
        let uuid = EntryUuid::from_bytes([1; 16]);
        let entry = |value: &'static str| Entry::new("uid=a").with("userPassword", vec![value.into()]);
        let names = ["userPassword".to_owned()];
        let (old, new) = (stamp(&entry("{SSHA}x"), &names), stamp(&entry("{SSHA}y"), &names));
        let digest = cache.digest(uuid, &old, &Secret::from("pw"));
        assert_eq!(cache.verdict(uuid, &digest), Verdict::Unknown);
        cache.remember_good(uuid, digest, cache.moment());
        assert_eq!(cache.verdict(uuid, &digest), Verdict::Good);
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
            cache.verdict(uuid, &digest),
            Verdict::Unknown,
            "only the directory's absence makes it pass now"
        );
        assert!(cache.was_good(uuid, &digest));
        clock.advance(STALE_FOR);
        assert!(!cache.was_good(uuid, &digest));
        cache.remember_good(uuid, digest, cache.moment());
        cache.remember_bad(uuid, digest);
        assert_eq!(cache.verdict(uuid, &digest), Verdict::Bad);
        assert!(
            !cache.was_good(uuid, &digest),
            "what the directory refused is forgotten"
        );
        clock.advance(BAD_FOR);
        assert_eq!(cache.verdict(uuid, &digest), Verdict::Unknown);
        let later = cache.digest(uuid, &new, &Secret::from("pw2"));
        cache.remember_good(uuid, digest, cache.moment());
        cache.remember_good(uuid, later, cache.moment());
        assert!(cache.was_good(uuid, &later));
        assert!(
            !cache.was_good(uuid, &digest),
            "the password may have been replaced by the later one"
        );
        cache.forget(uuid);
        assert!(!cache.was_good(uuid, &later));
    }

    #[test]
    fn what_the_feed_reports_is_checked_again() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let cache = CredentialCache::new("c", GOOD_FOR, clock.clone()).expect("a cache");
        let (uuid, other) = (EntryUuid::from_bytes([1; 16]), EntryUuid::from_bytes([2; 16]));
        let digest = |uuid, text| cache.digest(uuid, &[0; 32], &Secret::from(text));
        let (one, two) = (digest(uuid, "pw"), digest(other, "pw"));
        cache.remember_good(uuid, one, cache.moment());
        cache.remember_good(other, two, cache.moment());
        let began = cache.moment();
        cache.drop_entry(uuid);
        assert_eq!(cache.verdict(uuid, &one), Verdict::Unknown);
        assert!(
            !cache.was_good(uuid, &one),
            "not while the directory is away, either"
        );
        assert_eq!(cache.verdict(other, &two), Verdict::Good);
        cache.remember_good(uuid, one, began);
        assert_eq!(
            cache.verdict(uuid, &one),
            Verdict::Unknown,
            "it was checked against the entry of before"
        );
        let new = digest(uuid, "new");
        cache.remember_good(uuid, new, cache.moment());
        assert_eq!(cache.verdict(uuid, &new), Verdict::Good);
        assert_eq!(
            cache.verdict(uuid, &one),
            Verdict::Unknown,
            "the old one stays dropped"
        );
    }
}
