//! The LDAP kinds of user map: a lookup, and what is remembered of it.

use super::{Answer, Caching, Freshness, Question, Route, RoutedHome, Source};
use crate::account::{DirectoryAccount, Host};
use crate::config::UserMapConfig;
use crate::connector::{Connector, Found, Trace};
use crate::{EntryKind, HomeRef};
use model::{Address, Clock, EntryUuid, Unavailable};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Answers kept; one takes about 200 octets.
const CACHE_ENTRIES: usize = 200_000;

pub(super) struct LdapMap {
    name: String,
    connector: Arc<Connector>,
    cache: Mutex<TtlCache<String, Known>>,
    positive: Duration,
    negative: Duration,
    stale: Duration,
}

/// A definite answer of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    Home {
        home: HomeRef,
        address: Address,
        kind: EntryKind,
        entry: EntryUuid,
    },
    NoSuchAccount,
}

/// What a lookup means for routing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Remember it.
    Known(Known),
    /// Say it, and ask again next time.
    Say(Route),
    /// Only something remembered can help.
    Away(Unavailable),
}

impl LdapMap {
    pub(super) fn new(config: &UserMapConfig, connector: Arc<Connector>, clock: Arc<dyn Clock>) -> Self {
        Self {
            name: config.name.clone(),
            connector,
            cache: Mutex::new(TtlCache::new(clock, CACHE_ENTRIES)),
            positive: Duration::from_secs(config.cache_ttl),
            negative: Duration::from_secs(config.negative_ttl),
            stale: Duration::from_secs(config.stale_for),
        }
    }

    pub(super) async fn ask(&self, question: Question<'_>, caching: Caching, trace: &mut Trace) -> Answer {
        let key = match question {
            Question::Address(address) => address.key(),
            // An address can be typed as a login, but it is looked up by another pattern.
            Question::Login(login) => format!("login\0{}", login.to_ascii_lowercase()),
        };
        if caching == Caching::Use
            && let Cached::Fresh(known) = self.cache.lock().get(&key)
        {
            return self.answer(known.clone(), Freshness::Cache);
        }
        let found = match question {
            Question::Address(address) => self.connector.find_address(address, trace).await,
            Question::Login(login) => self.connector.find_login(login, &[], trace).await,
        };
        match decide(found) {
            Decision::Known(known) => {
                // A stale source may answer yes, never no: a negative answer is not kept beyond its time.
                let (fresh, stale) = match &known {
                    Known::Home { .. } => (self.positive, self.stale),
                    Known::NoSuchAccount => (self.negative, Duration::ZERO),
                };
                self.cache.lock().insert(key, known.clone(), fresh, stale);
                self.answer(known, Freshness::Server)
            }
            Decision::Say(route) => {
                self.cache.lock().remove(&key);
                Answer::Route(route)
            }
            Decision::Away(why) => {
                let known = match self.cache.lock().get(&key) {
                    Cached::Fresh(known @ Known::Home { .. }) | Cached::Stale(known @ Known::Home { .. }) => {
                        Some(known.clone())
                    }
                    _ => None,
                };
                match known {
                    Some(known) => self.answer(known, Freshness::Stale),
                    None => Answer::Route(Route::Unavailable(why)),
                }
            }
        }
    }

    fn answer(&self, known: Known, freshness: Freshness) -> Answer {
        match known {
            Known::NoSuchAccount => Answer::NoMatch,
            Known::Home {
                home,
                address,
                kind,
                entry,
            } => Answer::Route(Route::Home(RoutedHome {
                home,
                address,
                kind,
                entry: Some(entry),
                source: Source {
                    map: self.name.clone(),
                    freshness,
                },
            })),
        }
    }
}

fn decide(found: Found) -> Decision {
    match found {
        Found::One(found) => decide_account(found.0),
        Found::None => Decision::Known(Known::NoSuchAccount),
        Found::Several(dns) => Decision::Say(Route::Ambiguous(dns)),
        Found::Unavailable(why) => Decision::Away(why),
    }
}

/// The route of one entry.
pub(super) fn decide_account(account: DirectoryAccount) -> Decision {
    match account.host {
        Host::None => {
            tracing::error!(entry = %account.dn, "the entry has no host attribute, so its mail cannot be routed");
            Decision::Say(Route::NoHome { kind: account.kind })
        }
        Host::Several(hosts) => {
            tracing::error!(entry = %account.dn, ?hosts, "the entry names more than one host");
            Decision::Say(Route::Ambiguous(hosts))
        }
        Host::One(text) => match HomeRef::parse(&text) {
            Ok(home) => Decision::Known(Known::Home {
                home,
                address: account.address,
                kind: account.kind,
                entry: account.uuid,
            }),
            Err(error) => {
                tracing::error!(entry = %account.dn, %error, "the entry's host attribute is no home");
                Decision::Say(Route::NoHome { kind: account.kind })
            }
        },
    }
}
