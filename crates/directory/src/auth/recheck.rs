//! Whether a session that was good is good still.
//!
//! A live replica is asked first, then what was found out a moment ago, then the server. An outage ends nothing.

use super::cache::{self, Stamp};
use super::shared::LiveState;
use super::{LdapAuthenticator, stamp_attributes};
use crate::account::{AccountState, DirectoryAccount};
use crate::config::ServerType;
use crate::connector::Found;
use ldap::Entry;
use model::{Authenticated, Clock, EndReason, EntryUuid, Recheck, Unavailable};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Sessions of one account share an answer for so long.
const ANSWER_FOR: Duration = Duration::from_secs(15);
/// A stamp that nobody asks for is forgotten.
const STAMP_FOR: Duration = Duration::from_secs(24 * 3600);
const ENTRIES: usize = 200_000;

/// The password's stamp in a version of an entry, and that version's CSN.
type Version = (Stamp, Option<Box<str>>);

/// What was seen of entries, to be compared with what is seen later.
pub(super) struct Seen {
    stamps: Mutex<TtlCache<EntryUuid, Version>>,
    answers: Mutex<TtlCache<EntryUuid, Answer>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    There(AccountState),
    Gone,
}

impl Seen {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            stamps: Mutex::new(TtlCache::new(Arc::clone(clock), ENTRIES)),
            answers: Mutex::new(TtlCache::new(Arc::clone(clock), ENTRIES)),
        }
    }

    /// Keeps the stamp of an entry; true when it was another one before. An older version of the entry, from a server
    /// that lags, is no news: it would end every session of somebody who has just changed the password.
    fn changed(&self, uuid: EntryUuid, stamp: Stamp, csn: Option<&str>) -> bool {
        let mut stamps = self.stamps.lock();
        let before = match stamps.get(&uuid) {
            // CSNs begin with a time of fixed width, so that their order is that of their text.
            Cached::Fresh((_, Some(seen))) if csn.is_some_and(|csn| csn < &**seen) => return false,
            Cached::Fresh((before, _)) => Some(*before),
            Cached::Stale(_) | Cached::Missing => None,
        };
        stamps.insert(uuid, (stamp, csn.map(Box::from)), STAMP_FOR, Duration::ZERO);
        before.is_some_and(|before| before != stamp)
    }

    fn knows(&self, uuid: EntryUuid) -> bool {
        !matches!(self.stamps.lock().get(&uuid), Cached::Missing)
    }

    fn answer(&self, uuid: EntryUuid) -> Option<Answer> {
        match self.answers.lock().get(&uuid) {
            Cached::Fresh(answer) => Some(*answer),
            Cached::Stale(_) | Cached::Missing => None,
        }
    }

    fn keep(&self, uuid: EntryUuid, answer: Answer) {
        self.answers
            .lock()
            .insert(uuid, answer, ANSWER_FOR, Duration::ZERO);
    }
}

impl LdapAuthenticator {
    /// The entry was read at `at` or later: another password than the last time ends what began before.
    pub(super) fn saw(&self, account: &DirectoryAccount, entry: &Entry, stamp: Stamp, at: Duration) {
        let shared = self.connector.auth_shared();
        // A uSNChanged counts on one domain controller only, and says nothing about the order of two.
        let csn = match self.connector.config().server_type {
            ServerType::Openldap => account.entry_csn.as_deref(),
            ServerType::ActiveDirectory => None,
        };
        if !self.seen.changed(account.uuid, stamp, csn) {
            return;
        }
        let attribute = &self.connector.patterns().map.password;
        if !shared.is_own_rewrite(account.uuid, entry, attribute) {
            shared.password_changed(account.uuid, Some(account.address.clone()), at);
        }
    }

    pub(super) async fn look_again(&self, who: &Authenticated, since: Duration) -> Recheck {
        let Some(uuid) = who.entry else {
            return Recheck::NotMine;
        };
        let shared = self.connector.auth_shared();
        let answer = match shared.live_state(uuid) {
            LiveState::Known(state) => Answer::There(state),
            LiveState::Gone => Answer::Gone,
            LiveState::Unsure => match self.seen.answer(uuid) {
                Some(answer) => answer,
                None => match self.ask_again(uuid).await {
                    Ok(answer) => answer,
                    Err(why) => return Recheck::Unavailable(why),
                },
            },
        };
        match answer {
            Answer::Gone if self.seen.knows(uuid) => Recheck::Ended(EndReason::Deleted),
            Answer::Gone => Recheck::NotMine,
            Answer::There(AccountState::Disabled | AccountState::Expired) => {
                Recheck::Ended(EndReason::Disabled)
            }
            // Whoever guesses passwords locks accounts: that must not end what the owner has open.
            Answer::There(AccountState::Active | AccountState::Locked) => {
                if shared.password_changed_since(uuid, since) {
                    Recheck::Ended(EndReason::PasswordChanged)
                } else {
                    Recheck::Fine
                }
            }
        }
    }

    async fn ask_again(&self, uuid: EntryUuid) -> Result<Answer, Unavailable> {
        let at = self.connector.clock().monotonic();
        let attributes = stamp_attributes(self.method, &self.connector);
        let extra: Vec<&str> = attributes.iter().map(String::as_str).collect();
        let answer = match self.connector.find_uuid(uuid, &extra).await {
            Found::One(found) => {
                let (account, entry) = *found;
                let stamp = cache::stamp(&entry, &attributes);
                self.saw(&account, &entry, stamp, at);
                Answer::There(account.state)
            }
            Found::None => Answer::Gone,
            Found::Several(dns) => {
                let text = format!("{} entries have the identity {uuid}", dns.len());
                return Err(Unavailable(text));
            }
            Found::Unavailable(why) => return Err(why),
        };
        self.seen.keep(uuid, answer);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ManualClock;

    #[test]
    fn an_older_version_of_an_entry_is_no_news() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(model::Timestamp::from_millis(1_000_000)));
        let seen = Seen::new(&clock);
        let uuid = EntryUuid::from_bytes([7; 16]);
        let (old, new): (Stamp, Stamp) = ([0; 32], [1; 32]);
        let csn = |second: u8| format!("202601011200{second:02}.000000Z#000000#001#000000");
        assert!(!seen.changed(uuid, old, Some(&csn(1))), "the first is no change");
        assert!(seen.changed(uuid, new, Some(&csn(5))));
        assert!(!seen.changed(uuid, old, Some(&csn(1))), "a server that lags");
        assert!(
            !seen.changed(uuid, new, Some(&csn(5))),
            "the new one is still what counts"
        );
        assert!(seen.changed(uuid, old, Some(&csn(9))), "changed back");
        assert!(seen.changed(uuid, new, None), "a server without CSNs is believed");
    }
}
